"""The painters of single objects: each puts polygons on a stage.

People, plants and posts are flat figures that face the camera; cars and houses are solids, seen
from where the camera stands.
"""

from functools import cache

import numpy as np

from lib.scenes.stage import (
    BARK, CLOTHES, DARK, METAL, RING, SIGN_BLUE, SIGN_GREEN, SIGN_RED, SIGN_YELLOW, SIGNS, WHITE,
    Label, Material, disc, linear, upright)  # fmt: skip


def building(stage, rng, side, z0, z1, s, height, colour, look):
    """Put a house from z0 to z1 whose front stands at s, with an end wall, a roof and an awning."""
    near = max(z0, 1.0)
    back = s + side * rng.uniform(7, 11)
    storey = rng.uniform(2.9, 3.6)
    bay = rng.uniform(1.9, 3.4)
    texture = (
        bay, storey, height, rng.random() < look.shops, rng.random() < look.brick,
        rng.random() * 500, rng.uniform(0.38, 0.72), rng.uniform(0.45, 0.7))
    if height < 14 and rng.random() < look.gables:
        ridge = height + rng.uniform(2, 3.6)
        mid = (s + back) / 2
        tiles = linear("#7e4634 #565050 #683e32")[rng.integers(3)]
        eaves = s - side * 0.3
        roof = np.array(
            [(eaves, height, near), (mid, ridge, near), (mid, ridge, z1), (eaves, height, z1)])
        gable = np.array([(s, height, near), (mid, ridge, near), (back, height, near)])
        chimney = rng.uniform(near, z1)
        stage.put(
            upright(mid - 0.4, chimney, mid + 0.4, chimney, height, ridge + 1.1), tiles * 0.7,
            Label.BUILDING, z1)
        stage.put(roof, tiles, Label.BUILDING, z1, casts=False)
        stage.put(gable, colour * 0.9, Label.BUILDING, z1, casts=False)
    else:
        stage.put(
            upright(s, near, s, z1, height, height + 0.4), colour * 0.6, Label.BUILDING, z1 + 0.01,
            casts=False)
    stage.put(
        upright(s, near, back, near, 0, height), colour * 0.92, Label.BUILDING, z1, None,
        Material.FACADE, False, False, (*texture[:3], 0, *texture[4:]))
    front = upright(s, near, s, z1, 0, height)
    stage.put(front, colour, Label.BUILDING, z1, None, Material.FACADE, False, False, texture)
    if texture[3] and z0 > 4:
        out = s - side * 1.3
        awning = np.array(
            [(s, 3.0, z0 + 1), (out, 2.5, z0 + 1), (out, 2.5, z1 - 1), (s, 3.0, z1 - 1)])
        cloth = CLOTHES[rng.integers(len(CLOTHES))]
        stage.put(awning, cloth, Label.BUILDING, z1 - 0.1)
        stage.put(
            upright(out, z0 + 1, out, z1 - 1, 2.25, 2.5), cloth * 0.8, Label.BUILDING, z1 - 0.1)
        blade = SIGNS[rng.integers(len(SIGNS))]  # a shop's board, not a road sign
        stage.put(
            upright(s, z0 + 2, s - side * 0.9, z0 + 2, 3.1, 3.9), blade, Label.BUILDING, z0 + 2)


@cache
def _crown(variant: int, count: int, taper: float):
    """Return clumps in a unit circle, those on top last.

    They are centres (count, 2), outlines (count, 9, 2) and tones (count, 1).
    """
    rng = np.random.default_rng((variant, count))
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = np.sqrt(rng.random(count))
    centre = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    centre = centre[np.argsort(centre[:, 1] + rng.normal(0, 0.35, count))]
    narrow = 1 - taper * (centre[:, 1] + 1) / 2
    size = rng.uniform(0.28, 0.55, count) * (0.4 + 0.6 * narrow) * (16 / count) ** 0.25
    outline = RING * (size[:, None, None] * rng.uniform(0.7, 1.25, (count, len(RING), 1)))
    tone = 0.93 + 0.33 * centre[:, 1] + rng.uniform(-0.18, 0.18, count)
    return centre * np.stack([narrow, np.ones(count)], 1), outline, tone[:, None]


def foliage(stage, rng, s, y, z, width, height, count, colour, order, taper=0.0, depth=0.0):
    """Put irregular leafy clumps around (s, y, z); all lengths are half extents in metres."""
    centre, outline, tone = _crown(int(rng.integers(24)), count, taper)
    points = np.empty((count, len(RING), 3), np.float32)
    points[..., :2] = (centre * (width, height))[:, None] + outline * min(width, height) + (s, y)
    points[..., 1] = np.maximum(points[..., 1], 0)
    points[..., 2] = z if not depth else z + depth * rng.uniform(-1, 1, (count, 1))
    stage.put(
        points.reshape(-1, 3), colour * tone, Label.VEGETATION, order, [len(RING)] * count,
        Material.FOLIAGE)


def tree(stage, rng, s, z, height, colour):
    """A tree whose trunk stands at (s, z); round, tall or conical."""
    width, bare, taper = ((0.30, 0.42, 0.1), (0.16, 0.22, 0.3), (0.24, 0.12, 0.85))[
        rng.choice(3, p=(0.68, 0.16, 0.16))]
    lean = rng.normal(0, 0.25)
    thick = 0.1 + 0.016 * height
    top = s + lean
    high = height * 0.7
    trunk = np.array(
        [(s - thick, 0, z), (s + thick, 0, z), (top + 0.08, high, z), (top - 0.08, high, z)])
    stage.put(trunk, BARK * rng.uniform(0.7, 1.3), Label.VEGETATION, z)
    middle = height * (1 + bare) / 2
    half = height * (1 - bare) / 2
    count = int(np.clip(560 / z, 8, 52))
    foliage(stage, rng, s + lean, middle, z, height * width, half * 0.86, count, colour, z, taper)


def fence(stage, rng, s0, z0, s1, z1):
    """A fence one can see through: one comb of bars and its rails, from (s0, z0) to (s1, z1)."""
    length = np.hypot(s1 - s0, z1 - z0)
    height, pitch, bar = ((1.1, 0.16, 0.09), (1.5, 0.2, 0.035), (2.0, 0.3, 0.05))[rng.integers(3)]
    colour = linear("#3c3e40 #7a5e42 #b0aca2 #364e42")[rng.integers(4)]
    t = np.arange(0.05, length - bar, pitch)
    teeth = np.stack(
        [np.stack([t, t, t + bar, t + bar], 1), np.tile((0.2, height, height, 0.2), (len(t), 1))], 2
    )
    outline = np.concatenate([[(0, 0.12)], teeth.reshape(-1, 2), [(length, 0.12)]])
    along = outline[:, :1] / length
    points = np.concatenate([s0 + along * (s1 - s0), outline[:, 1:], z0 + along * (z1 - z0)], 1)
    order = max(z0, z1)
    stage.put(points, colour, Label.FENCE, order)
    stage.put(upright(s0, z0, s1, z1, height - 0.16, height - 0.06), colour, Label.FENCE, order)


def wall(stage, rng, s0, z0, s1, z1, height):
    """A masonry wall with a coping; bricks, plaster and posters are its texture."""
    colour = linear("#968474 #a4a098 #865442 #bab2a0")[rng.integers(4)]
    texture = (1, 1, height, 0, rng.random() < 0.5, rng.random() * 500)
    face = upright(s0, z0, s1, z1, 0, height)
    stage.put(face, colour, Label.WALL, max(z0, z1), None, Material.MASONRY, False, True, texture)
    stage.put(
        upright(s0, z0, s1, z1, height, height + 0.12), colour * 1.25, Label.WALL, max(z0, z1))


def post(stage, s, z, height, thick=0.08, colour=METAL, label=Label.POLE):
    """A vertical post, never thinner than about one pixel in an image 128 pixels wide."""
    half = max(thick, 0.0042 * z)
    stage.put(upright(s - half, z, s + half, z, 0, height), colour, label, z)


def lamp(stage, s, z, side, height, lit):
    """A street lamp whose arm reaches over the road."""
    post(stage, s, z, height)
    reach = s - side * 1.7
    thick = max(0.06, 0.004 * z)
    arm = np.array(
        [(s, -thick, z), (reach, 0.25 - thick, z), (reach, 0.25 + thick, z), (s, thick, z)]
    ) + (0, height, 0)
    stage.put(arm, METAL, Label.POLE, z)
    head = upright(reach - 0.35, z, reach + 0.35, z, height + 0.1, height + 0.3)
    colour, material = (linear("#ffd896"), Material.GLOW) if lit else (METAL, Material.FLAT)
    stage.put(head, colour, Label.POLE, z, None, material)


def traffic_light(stage, rng, s, z, side, arm):
    """A signal on a post, with a second head on an arm over the road where there is one."""
    height = 5.6 if arm else 3.2
    post(stage, s, z, height)
    heads = [(s, 2.3)] + ([(s - side * arm, height - 1.0)] if arm else [])
    if arm:
        thick = max(0.07, 0.004 * z)
        stage.put(
            upright(s, z, s - side * arm, z, height - 2 * thick, height), METAL, Label.POLE, z)
    state = rng.integers(3)
    for across, low in heads:
        stage.put(
            upright(across - 0.24, z, across + 0.24, z, low, low + 1.15), DARK, Label.TRAFFIC_SIGN,
            z)
        for k, lens in enumerate(linear("#3cff96 #ffbe3c #ff3c32")):
            on = k == state
            stage.put(
                disc(across, low + 0.22 + 0.36 * k, z, 0.15), lens if on else lens * 0.08,
                Label.TRAFFIC_SIGN, z, None, Material.GLOW if on else Material.FLAT, casts=False)


def sign(stage, rng, s, z):
    """Put a traffic sign on its post: triangle, ban, order or board; some are seen from behind."""
    y = rng.uniform(2.3, 3.0)
    size = rng.uniform(0.36, 0.5)
    post(stage, s, z, y + size, 0.05)
    plate(stage, rng, s, y, z, size)


def plate(stage, rng, s, y, z, size, label=Label.TRAFFIC_SIGN):
    """The plate of a traffic sign around (s, y, z), `size` metres from its middle to its rim."""
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    triangle = np.array([(-1, -0.8), (1, -0.8), (0, 0.95)])
    diamond = np.array([(-1, 0), (0, -1), (1, 0), (0, 1)])
    shapes = (
        (triangle, SIGN_RED, WHITE), (RING, SIGN_RED, WHITE), (RING, SIGN_BLUE, SIGN_BLUE),
        (diamond, WHITE, SIGN_YELLOW), (square, SIGN_BLUE, SIGN_BLUE), (RING, SIGN_RED, SIGN_RED),
        (square * (2.2, 1), SIGN_GREEN, SIGN_GREEN), (RING, METAL, METAL),
        (triangle * (1, -1), SIGN_RED, WHITE))
    corners, rim, face = shapes[rng.integers(len(shapes))]
    stage.put(disc(s, y, z, size, corners=corners), rim, label, z)
    stage.put(disc(s, y, z, size * 0.7, corners=corners), face, label, z, casts=False)
    if rim is not METAL:
        mark = DARK if face is WHITE else WHITE
        stage.put(disc(s, y, z, size * 0.42, 0.32, square), mark, label, z, casts=False)
