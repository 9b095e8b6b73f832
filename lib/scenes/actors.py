"""Cars, people and street furniture, as polygons on the stage of `lib.scenes.objects`."""

from functools import cache
from itertools import product

import numpy as np

from lib.scenes.objects import (
    CAR_PAINT,
    CLOTHES,
    DARK,
    HAIR,
    METAL,
    RING,
    SIGN_BLUE,
    SKIN,
    WHITE,
    Label,
    Material,
    disc,
    rgb,
    upright,
)  # fmt: skip

# Profiles of cars from the rear bumper over the roof to the front, (along, up) in metres; then the two corners of the
# rear window and of the windscreen among them, the half width, and the wheels' radius and place.
CARS = {
    "saloon": (((-2.2, 0.3), (-2.25, 0.8), (-2.1, 0.98), (-1.55, 1.02), (-1.0, 1.42), (0.3, 1.44), (1.05, 0.98),
                (2.05, 0.84), (2.25, 0.62), (2.2, 0.3)), (3, 5), 0.89, 0.33, 1.38),
    "hatch": (((-1.9, 0.3), (-1.95, 0.75), (-1.88, 0.98), (-1.5, 1.5), (0.2, 1.52), (0.95, 1.02), (1.75, 0.9),
               (1.95, 0.65), (1.9, 0.3)), (2, 4), 0.87, 0.32, 1.22),
    "suv": (((-2.2, 0.38), (-2.28, 0.85), (-2.2, 1.12), (-1.9, 1.68), (0.2, 1.72), (0.95, 1.15), (2.0, 1.05),
             (2.25, 0.8), (2.2, 0.38)), (2, 4), 0.95, 0.38, 1.36),
    "van": (((-2.6, 0.35), (-2.62, 1.0), (-2.6, 1.2), (-2.5, 2.1), (1.3, 2.15), (2.0, 1.25), (2.5, 1.05), (2.6, 0.7),
             (2.55, 0.35)), (2, 4), 0.98, 0.36, 1.6),
    "bus": (((-5.4, 0.35), (-5.5, 1.2), (-5.5, 1.4), (-5.4, 3.0), (5.3, 3.0), (5.5, 1.3), (5.5, 0.9), (5.5, 0.35)),
            (2, 4), 1.24, 0.48, 3.3),
}  # fmt: skip


@cache
def _car(kind: str) -> tuple:
    """The polygons of a car in its own axes (across, up, along): points, sizes and roles (rows of a colour table)."""
    profile, (rear, front), half, radius, axle = CARS[kind]
    profile = np.array(profile)
    width = np.where(profile[:, 1] > profile[rear, 1] + 0.1, half * 0.82, half)
    left, right = (np.column_stack([sign * width, profile[:, 1], profile[:, 0]]) for sign in (-1, 1))
    parts = [(upright(x - 0.12, a, x + 0.12, a, 0, 0.5), 7) for a in (-1.0, 1.0) for x in (0.68, -0.68)]
    parts = [(p * (1, 1, axle + radius * 0.6), role) for p, role in parts]
    for i in range(len(profile) - 1):
        strip = np.stack([right[i], right[i + 1], left[i + 1], left[i]])
        parts.append((strip, 0))
        if i in (rear, front):
            parts.append((strip.mean(0) + (strip - strip.mean(0)) * 0.86, 2))
    parts += [(left, 0), (right[::-1], 0)]
    glass = np.stack([profile[rear] + (0.3, 0.04), profile[rear + 1] + (0.12, -0.08), profile[front] + (-0.06, -0.08),
                      profile[front + 1] + (-0.3, 0.04)])  # fmt: skip
    wheel = RING * radius + (0, radius)
    for sign in (-1, 1):
        flat = [(glass[::-1], 2, 1.005)]
        for a, (r, role) in product((-axle, axle), ((1, 1), (0.55, 3))):
            flat.append((wheel * r + (a, (1 - r) * radius), role, 1.01))
        for shape, role, out in flat:
            points = np.column_stack([np.full(len(shape), sign * half * out), shape[:, 1], shape[:, 0]])
            parts.append((points[:: sign], role))
    low = profile[1, 1]
    for x in (-0.72, 0.72):
        lights = upright(x * half - 0.16, 0, x * half + 0.16, 0, low - 0.12, low + 0.08)
        parts += [(lights + (0, 0, profile[1, 0] - 0.03), 4), (lights[::-1] + (0, -0.05, profile[-2, 0] + 0.03), 5)]
    plate = upright(-0.26, 0, 0.26, 0, 0.5, 0.62)
    parts += [(plate + (0, 0, profile[1, 0] - 0.04), 6), (plate[::-1] + (0, 0, profile[-2, 0] + 0.04), 3)]
    return np.concatenate([p for p, _ in parts]), [len(p) for p, _ in parts], np.array([role for _, role in parts])


def car(stage, rng, s, z, heading=0.0, kind=None, lit=False):
    """A car centred at (s, z); heading in radians, 0 driving away from the camera, pi towards it."""
    kind = kind or ("saloon", "hatch", "suv", "van")[rng.choice(4, p=(0.34, 0.32, 0.24, 0.1))]
    points, sizes, roles = _car(kind)
    weights = (5, 5, 4, 4, 4, 1.5, 1, 0.8, 0.6, 0.5, 1)
    paint = CAR_PAINT[rng.choice(len(CAR_PAINT), p=np.array(weights) / sum(weights))]
    lamps = rgb((255, 52, 36), (255, 244, 214)) if lit else rgb((150, 24, 24), (214, 216, 214))
    colours = np.stack([paint, DARK * 0.5, rgb(44, 54, 62), METAL * 0.8, *lamps, WHITE * 0.8, DARK * 0.5])
    cos, sin = np.cos(heading), np.sin(heading)
    across, up, along = points.T
    placed = np.column_stack([s + across * cos + along * sin, up, z - across * sin + along * cos])
    order = placed[:, 2].min()
    material = np.where(lit & ((roles == 4) | (roles == 5)), Material.GLOW, Material.FLAT)
    stage.put(placed, colours[roles], Label.CAR, order, sizes, material, roles != 7)
    length, half = np.ptp(points[:, 2]) / 2 + 0.1, np.ptp(points[:, 0]) / 2
    corners = np.array([(-half, -length), (half, -length), (half, length), (-half, length)])
    under = np.column_stack([s + corners @ (cos, sin), np.zeros(4), z + corners @ (-sin, cos)])
    stage.contact.append(under)


def person(stage, rng, s, z, walking=True, rain=False):
    """A person with head, hair, torso, arms and legs, in some clothes and some pose."""
    size = rng.uniform(0.92, 1.12) * (0.66 if rng.random() < 0.12 else 1.0)
    stride = rng.uniform(-0.26, 0.26) if walking else 0.05
    top, legs = CLOTHES[rng.permutation(len(CLOTHES))[:2]]
    skin, hair, broad = SKIN[rng.integers(len(SKIN))], HAIR[rng.integers(len(HAIR))], rng.uniform(0.19, 0.25)
    skirt = rng.random() < 0.22

    def limb(x0, y0, x1, y1, thick):
        return np.array([(x0 - thick, y0), (x0 + thick, y0), (x1 + thick, y1), (x1 - thick, y1)])

    parts = [(limb(-0.08, 0.85, -0.09 - stride, 0, 0.075), legs * 0.8),
             (limb(0.08, 0.85, 0.09 + stride, 0, 0.08), legs)]  # fmt: skip
    if skirt:
        parts.append((np.array([(-0.15, 0.95), (0.15, 0.95), (0.25, 0.42), (-0.25, 0.42)]), legs))
    torso = [(-broad, 1.42), (-0.08, 1.5), (0.08, 1.5), (broad, 1.42), (0.16, 0.8), (-0.16, 0.8)]
    parts += [(limb(-broad, 1.4, -broad - stride * 0.6, 0.82, 0.05), top * 0.75), (np.array(torso), top),
              (limb(broad, 1.4, broad + stride * 0.6, 0.82, 0.05), top * 0.8),
              (RING * 0.12 + (0, 1.63), hair),
              (RING * (0.095, 0.11) + (rng.choice((-0.03, 0, 0.03)), 1.6), skin)]  # fmt: skip
    if rng.random() < 0.3:  # a bag
        parts.append((limb(broad + 0.05, 1.05, broad + 0.06, 0.72, 0.11), CLOTHES[rng.integers(len(CLOTHES))]))
    if rain and rng.random() < 0.6:
        canopy = np.array([(-0.6, 1.85), (-0.35, 2.1), (0, 2.2), (0.35, 2.1), (0.6, 1.85)])
        parts.append((canopy, CLOTHES[rng.integers(len(CLOTHES))]))
    flat = np.concatenate([p for p, _ in parts]) * size
    points = np.column_stack([s + flat[:, 0] * max(1, z / 40), flat[:, 1], np.full(len(flat), z)])
    stage.put(points, np.stack([c for _, c in parts]), Label.PEDESTRIAN, z, [len(p) for p, _ in parts])
    stage.contact.append(disc(s, 0, 0, 0.32)[:, :2] @ np.array([(1, 0, 0), (0, 0, 0.6)]) + (0, 0, z))


def box(stage, s, z, wide, deep, low, high, colour, label=Label.OTHER):
    """A box whose front is at z, with the side that the camera sees and a lighter top."""
    a, b, back = s - wide / 2, s + wide / 2, z + deep
    for x, points in ((a, upright(a, back, a, z, low, high)), (b, upright(b, z, b, back, low, high))):
        stage.put(points, colour * 0.8, label, z, None, Material.FLAT, True)
    lid = np.array([(a, high, z), (b, high, z), (b, high, back), (a, high, back)])
    stage.put(lid, colour * 1.2, label, z, casts=False)
    stage.put(upright(a, z, b, z, low, high), colour, label, z)


def furniture(stage, rng, s, z, side):
    """Street furniture of the class Other: bins, benches, cabinets, shelters, columns, hydrants, crates."""
    colour = rgb((70, 84, 76), (96, 98, 100), (52, 74, 96), (150, 146, 136), (128, 92, 60))[rng.integers(5)]
    kind = rng.integers(7)
    if kind == 0:  # litter bin
        box(stage, s, z, 0.5, 0.5, 0, 0.95, colour)
        box(stage, s, z, 0.54, 0.54, 0.95, 1.08, DARK)
    elif kind == 1:  # bench
        for y, h in ((0.38, 0.48), (0.62, 0.74), (0.8, 0.9)):
            box(stage, s, z, 0.4 if y < 0.5 else 0.06, 1.8, y, h, rgb(126, 90, 58))
        box(stage, s, z, 0.35, 0.08, 0, 0.4, DARK)
        box(stage, s, z + 1.7, 0.35, 0.08, 0, 0.4, DARK)
    elif kind == 2:  # switch cabinet
        box(stage, s + side * 0.4, z, 0.6, 1.3, 0, 1.35, rgb(140, 144, 140))
    elif kind == 3 and z > 9:  # shelter
        glass = rgb(150, 170, 176)
        stage.put(upright(s + side * 0.8, z, s + side * 0.8, z + 3.6, 0.2, 2.3), glass, Label.OTHER, z + 3.6)
        stage.put(upright(s - side * 0.5, z + 3.5, s + side * 0.8, z + 3.5, 0.2, 2.3), SIGN_BLUE, Label.OTHER, z + 3.5)
        box(stage, s + side * 0.1, z, 1.7, 3.7, 2.3, 2.5, colour * 0.6)
    elif kind == 4:  # advertising column
        box(stage, s, z, 1.1, 1.1, 0, 2.6, rgb(196, 186, 166))
        poster = CLOTHES[rng.integers(len(CLOTHES))]
        stage.put(upright(s - 0.45, z, s + 0.45, z, 1.0, 2.2), poster, Label.OTHER, z, casts=False)
        box(stage, s, z, 1.25, 1.25, 2.6, 2.85, DARK * 2)
    elif kind == 5:  # hydrant and bollards
        for k in range(4):
            stage.put(upright(s - 0.09, z + 1.6 * k, s + 0.09, z + 1.6 * k, 0, 0.95), colour, Label.OTHER, z + 1.6 * k)
    else:  # crates or refuse sacks
        for k in range(3):
            high, tint = rng.uniform(0.4, 0.9), colour * rng.uniform(0.6, 1.3)
            box(stage, s + rng.uniform(-0.3, 0.3), z + 0.7 * k, 0.6, 0.5, 0, high, tint)
