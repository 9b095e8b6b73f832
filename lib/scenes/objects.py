"""The painters of single objects: each puts polygons on a stage.

People, plants and posts are flat figures that face the camera; cars and houses are solids, seen
from where the camera stands.
"""

from functools import cache

import numpy as np

from lib.scenes.stage import (
    BARK, CLOTHES, DARK, METAL, RING, SIGN_BLUE, SIGN_GREEN, SIGN_RED, SIGN_YELLOW, SIGNS, WHITE,
    Label, Material, disc, linear, pick, upright)  # fmt: skip

# Trees, round, tall and conical: half the crown's width and the bare trunk, both as shares of the
# height, and how much narrower the crown is at its top.
TREES = (
    (0.30, 0.42, 0.1),
    (0.16, 0.22, 0.3),
    (0.24, 0.12, 0.85),
)
# Fences: height, distance between two bars and width of a bar, in metres.
FENCES = (
    (1.1, 0.16, 0.09),
    (1.5, 0.2, 0.035),
    (2.0, 0.3, 0.05),
)
# The plates of traffic signs: outline within a unit square, rim and face; a metal one is seen from
# behind.
SQUARE = np.array([
    (-1, -1),
    (1, -1),
    (1, 1),
    (-1, 1),
])
TRIANGLE = np.array([
    (-1, -0.8),
    (1, -0.8),
    (0, 0.95),
])
DIAMOND = np.array([
    (-1, 0),
    (0, -1),
    (1, 0),
    (0, 1),
])
PLATES = (
    (TRIANGLE, SIGN_RED, WHITE),
    (RING, SIGN_RED, WHITE),
    (RING, SIGN_BLUE, SIGN_BLUE),
    (DIAMOND, WHITE, SIGN_YELLOW),
    (SQUARE, SIGN_BLUE, SIGN_BLUE),
    (RING, SIGN_RED, SIGN_RED),
    (SQUARE * (2.2, 1), SIGN_GREEN, SIGN_GREEN),
    (RING, METAL, METAL),
    (TRIANGLE * (1, -1), SIGN_RED, WHITE),
)


def building(stage, rng, side, z0, z1, s, height, colour, look):
    """Put a house from z0 to z1 whose front stands at s, with an end wall, a roof and an awning."""
    near = max(z0, 1.0)
    back = s + side * rng.uniform(7, 11)
    storey = rng.uniform(2.9, 3.6)
    bay = rng.uniform(1.9, 3.4)
    shop = rng.random() < look.shops
    brick = rng.random() < look.brick
    seed = rng.random() * 500
    wide = rng.uniform(0.38, 0.72)  # of windows, in shares of a bay and of a storey
    high = rng.uniform(0.45, 0.7)
    if height < 14 and rng.random() < look.gables:
        _gable_roof(stage, rng, side, near, z1, s, back, height, colour)
    else:
        ledge = upright(s, near, s, z1, height, height + 0.4)
        stage.put(ledge, colour * 0.6, Label.BUILDING, z1 + 0.01, casts=False)

    def facade(points, tint, shop):
        texture = (bay, storey, height, shop, brick, seed, wide, high)
        stage.put(
            points,
            tint,
            Label.BUILDING,
            z1,
            material=Material.FACADE,
            casts=False,
            texture=texture,
        )

    facade(upright(s, near, back, near, 0, height), colour * 0.92, 0)
    facade(upright(s, near, s, z1, 0, height), colour, shop)
    if shop and z0 > 4:
        _shop_front(stage, rng, side, z0, z1, s)


def _gable_roof(stage, rng, side, near, z1, s, back, height, colour):
    """Put the front half of a roof, its gable and a chimney on a house from `near` to z1."""
    ridge = height + rng.uniform(2, 3.6)
    mid = (s + back) / 2
    tiles = pick(rng, linear("#7e4634 #565050 #683e32"))
    eaves = s - side * 0.3
    roof = np.array([
        (eaves, height, near),
        (mid, ridge, near),
        (mid, ridge, z1),
        (eaves, height, z1),
    ])
    gable = np.array([
        (s, height, near),
        (mid, ridge, near),
        (back, height, near),
    ])
    z = rng.uniform(near, z1)
    chimney = upright(mid - 0.4, z, mid + 0.4, z, height, ridge + 1.1)
    stage.put(chimney, tiles * 0.7, Label.BUILDING, z1)
    stage.put(roof, tiles, Label.BUILDING, z1, casts=False)
    stage.put(gable, colour * 0.9, Label.BUILDING, z1, casts=False)


def _shop_front(stage, rng, side, z0, z1, s):
    """Put an awning and a board on the front of a shop from z0 to z1."""
    out = s - side * 1.3
    start = z0 + 1
    end = z1 - 1
    awning = np.array([
        (s, 3.0, start),
        (out, 2.5, start),
        (out, 2.5, end),
        (s, 3.0, end),
    ])
    cloth = pick(rng, CLOTHES)
    stage.put(awning, cloth, Label.BUILDING, z1 - 0.1)
    edge = upright(out, start, out, end, 2.25, 2.5)
    stage.put(edge, cloth * 0.8, Label.BUILDING, z1 - 0.1)
    tint = pick(rng, SIGNS)
    z = z0 + 2
    board = upright(s, z, s - side * 0.9, z, 3.1, 3.9)  # no road sign
    stage.put(board, tint, Label.BUILDING, z)


@cache
def _crown(variant: int, count: int, taper: float):
    """Return clumps in a unit circle, those on top last.

    They are centres (count, 2), outlines (count, 9, 2) and tones (count, 1).
    """
    rng = np.random.default_rng((variant, count))
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = np.sqrt(rng.random(count))
    centre = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    height = centre[:, 1] + rng.normal(0, 0.35, count)
    centre = centre[np.argsort(height)]
    up = centre[:, 1]
    narrow = 1 - taper * (up + 1) / 2
    size = rng.uniform(0.28, 0.55, count)
    size = size * (0.4 + 0.6 * narrow) * (16 / count) ** 0.25
    uneven = rng.uniform(0.7, 1.25, (count, len(RING), 1))
    outline = RING * (size[:, None, None] * uneven)
    tone = 0.93 + 0.33 * up + rng.uniform(-0.18, 0.18, count)
    squeezed = centre * np.stack([narrow, np.ones(count)], 1)
    return squeezed, outline, tone[:, None]


def foliage(stage, rng, s, y, z, width, height, count, colour, order, taper=0.0, depth=0.0):
    """Put irregular leafy clumps around (s, y, z); all lengths are half extents in metres."""
    variant = int(rng.integers(24))
    centre, outline, tone = _crown(variant, count, taper)
    middle = centre * (width, height)
    points = np.empty((count, len(RING), 3), np.float32)
    size = min(width, height)
    points[..., :2] = middle[:, None] + outline * size + (s, y)
    points[..., 1] = np.maximum(points[..., 1], 0)
    points[..., 2] = z
    if depth:
        away = rng.uniform(-1, 1, (count, 1))
        points[..., 2] = z + depth * away
    stage.put(
        points.reshape(-1, 3),
        colour * tone,
        Label.VEGETATION,
        order,
        sizes=[len(RING)] * count,
        material=Material.FOLIAGE,
    )


def tree(stage, rng, s, z, height, colour):
    """Put a tree whose trunk stands at (s, z); round, tall or conical."""
    width, bare, taper = TREES[rng.choice(3, p=(0.68, 0.16, 0.16))]
    lean = rng.normal(0, 0.25)
    thick = 0.1 + 0.016 * height
    top = s + lean
    high = height * 0.7
    trunk = np.array([
        (s - thick, 0, z),
        (s + thick, 0, z),
        (top + 0.08, high, z),
        (top - 0.08, high, z),
    ])
    stage.put(trunk, BARK * rng.uniform(0.7, 1.3), Label.VEGETATION, z)
    middle = height * (1 + bare) / 2
    half = height * (1 - bare) / 2
    count = int(np.clip(560 / z, 8, 52))
    foliage(stage, rng, top, middle, z, height * width, half * 0.86, count, colour, z, taper)


def fence(stage, rng, s0, z0, s1, z1):
    """Put a fence one can see through, a comb of bars and a rail, from (s0, z0) to (s1, z1)."""
    length = np.hypot(s1 - s0, z1 - z0)
    height, pitch, bar = pick(rng, FENCES)
    colour = pick(rng, linear("#3c3e40 #7a5e42 #b0aca2 #364e42"))
    left = np.arange(0.05, length - bar, pitch)
    right = left + bar
    across = np.stack([left, left, right, right], 1)
    up = np.tile((0.2, height, height, 0.2), (len(left), 1))
    teeth = np.stack([across, up], 2)
    outline = np.concatenate([[(0, 0.12)], teeth.reshape(-1, 2), [(length, 0.12)]])
    along, up = np.hsplit(outline, 2)
    share = along / length
    s = s0 + share * (s1 - s0)
    z = z0 + share * (z1 - z0)
    points = np.concatenate([s, up, z], 1)
    order = max(z0, z1)
    stage.put(points, colour, Label.FENCE, order)
    rail = upright(s0, z0, s1, z1, height - 0.16, height - 0.06)
    stage.put(rail, colour, Label.FENCE, order)


def wall(stage, rng, s0, z0, s1, z1, height):
    """Put a masonry wall with a coping; bricks, plaster and posters are its texture."""
    colour = pick(rng, linear("#968474 #a4a098 #865442 #bab2a0"))
    brick = rng.random() < 0.5
    seed = rng.random() * 500
    texture = (1, 1, height, 0, brick, seed)
    order = max(z0, z1)
    face = upright(s0, z0, s1, z1, 0, height)
    stage.put(face, colour, Label.WALL, order, material=Material.MASONRY, texture=texture)
    coping = upright(s0, z0, s1, z1, height, height + 0.12)
    stage.put(coping, colour * 1.25, Label.WALL, order)


def post(stage, s, z, height, thick=0.08, colour=METAL, label=Label.POLE):
    """Put a vertical post, never thinner than about one pixel in an image 128 pixels wide."""
    half = max(thick, 0.0042 * z)
    bar = upright(s - half, z, s + half, z, 0, height)
    stage.put(bar, colour, label, z)


def lamp(stage, s, z, side, height, lit):
    """Put a street lamp whose arm reaches over the road."""
    post(stage, s, z, height)
    reach = s - side * 1.7
    thick = max(0.06, 0.004 * z)
    arm = np.array([
        (s, -thick, z),
        (reach, 0.25 - thick, z),
        (reach, 0.25 + thick, z),
        (s, thick, z),
    ])
    arm = arm + (0, height, 0)
    stage.put(arm, METAL, Label.POLE, z)
    head = upright(reach - 0.35, z, reach + 0.35, z, height + 0.1, height + 0.3)
    if lit:
        stage.put(head, linear("#ffd896"), Label.POLE, z, material=Material.GLOW)
    else:
        stage.put(head, METAL, Label.POLE, z)


def traffic_light(stage, rng, s, z, side, arm):
    """Put a signal on a post, with a second head on an arm over the road where there is one."""
    height = 5.6 if arm else 3.2
    post(stage, s, z, height)
    heads = [(s, 2.3)]
    if arm:
        end = s - side * arm
        heads.append((end, height - 1.0))
        thick = max(0.07, 0.004 * z)
        beam = upright(s, z, end, z, height - 2 * thick, height)
        stage.put(beam, METAL, Label.POLE, z)
    state = rng.integers(3)
    for across, low in heads:
        head = upright(across - 0.24, z, across + 0.24, z, low, low + 1.15)
        stage.put(head, DARK, Label.TRAFFIC_SIGN, z)
        for k, colour in enumerate(linear("#3cff96 #ffbe3c #ff3c32")):
            material = Material.GLOW
            if k != state:
                colour = colour * 0.08
                material = Material.FLAT
            lens = disc(across, low + 0.22 + 0.36 * k, z, 0.15)
            stage.put(lens, colour, Label.TRAFFIC_SIGN, z, material=material, casts=False)


def sign(stage, rng, s, z):
    """Put a traffic sign on its post: triangle, ban, order or board; some are seen from behind."""
    y = rng.uniform(2.3, 3.0)
    size = rng.uniform(0.36, 0.5)
    post(stage, s, z, y + size, 0.05)
    plate(stage, rng, s, y, z, size)


def plate(stage, rng, s, y, z, size, label=Label.TRAFFIC_SIGN):
    """Put the plate of a traffic sign around (s, y, z); `size` is from its middle to its rim."""
    corners, rim, face = pick(rng, PLATES)
    stage.put(disc(s, y, z, size, corners=corners), rim, label, z)
    inner = disc(s, y, z, size * 0.7, corners=corners)
    stage.put(inner, face, label, z, casts=False)
    if rim is not METAL:
        mark = DARK if face is WHITE else WHITE
        bar = disc(s, y, z, size * 0.42, 0.32, SQUARE)
        stage.put(bar, mark, label, z, casts=False)
