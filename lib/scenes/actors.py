"""The painters of cars, people and street furniture: each puts polygons on a stage."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from lib.scenes.stage import (
    CAR_PAINT, CLOTHES, DARK, HAIR, METAL, RING, SIGN_BLUE, SKIN, WHITE, Label, Material, disc,
    linear, upright)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A kind of car: its profile from the rear bumper over the roof to the front, in metres."""

    along: tuple[float, ...]
    up: tuple[float, ...]
    windows: tuple[int, int]  # where the rear window and the windscreen begin in the profile
    half: float  # of the width
    radius: float  # of the wheels
    axle: float  # how far from the middle the wheels are

    @property
    def profile(self) -> np.ndarray:
        return np.column_stack([self.along, self.up])


CARS = {
    "saloon": Model(
        (-2.2, -2.25, -2.1, -1.55, -1.0, 0.3, 1.05, 2.05, 2.25, 2.2),
        (0.3, 0.8, 0.98, 1.02, 1.42, 1.44, 0.98, 0.84, 0.62, 0.3),
        windows=(3, 5), half=0.89, radius=0.33, axle=1.38),
    "hatch": Model(
        (-1.9, -1.95, -1.88, -1.5, 0.2, 0.95, 1.75, 1.95, 1.9),
        (0.3, 0.75, 0.98, 1.5, 1.52, 1.02, 0.9, 0.65, 0.3),
        windows=(2, 4), half=0.87, radius=0.32, axle=1.22),
    "suv": Model(
        (-2.2, -2.28, -2.2, -1.9, 0.2, 0.95, 2.0, 2.25, 2.2),
        (0.38, 0.85, 1.12, 1.68, 1.72, 1.15, 1.05, 0.8, 0.38),
        windows=(2, 4), half=0.95, radius=0.38, axle=1.36),
    "van": Model(
        (-2.6, -2.62, -2.6, -2.5, 1.3, 2.0, 2.5, 2.6, 2.55),
        (0.35, 1.0, 1.2, 2.1, 2.15, 1.25, 1.05, 0.7, 0.35),
        windows=(2, 4), half=0.98, radius=0.36, axle=1.6),
    "bus": Model(
        (-5.4, -5.5, -5.5, -5.4, 5.3, 5.5, 5.5, 5.5),
        (0.35, 1.2, 1.4, 3.0, 3.0, 1.3, 0.9, 0.35),
        windows=(2, 4), half=1.24, radius=0.48, axle=3.3),
}  # fmt: skip
PAINT_WEIGHTS = np.array((5, 5, 4, 4, 4, 1.5, 1, 0.8, 0.6, 0.5, 1))
# The parts of a car, as rows of a table of colours.
BODY, TYRE, GLASS, RIM, TAIL_LAMP, HEADLAMP, PLATE, UNDERSIDE = range(8)


@cache
def _car_parts(kind: str) -> tuple:
    """Return the polygons of a car in its own axes (across, up, along): points, sizes and parts."""
    car = CARS[kind]
    profile, half, radius = car.profile, car.half, car.radius
    rear, front = car.windows
    roof = profile[:, 1] > profile[rear, 1] + 0.1
    width = np.where(roof, half * 0.82, half)
    left = np.column_stack([-width, profile[:, 1], profile[:, 0]])
    right = np.column_stack([width, profile[:, 1], profile[:, 0]])
    parts = []
    for end in (-1.0, 1.0):
        for x in (0.68, -0.68):
            shade = upright(x - 0.12, end, x + 0.12, end, 0, 0.5)
            parts.append((shade * (1, 1, car.axle + radius * 0.6), UNDERSIDE))
    for i in range(len(profile) - 1):
        strip = np.stack([right[i], right[i + 1], left[i + 1], left[i]])
        parts.append((strip, BODY))
        if i in (rear, front):
            middle = strip.mean(0)
            parts.append((middle + (strip - middle) * 0.86, GLASS))
    parts += [(left, BODY), (right[::-1], BODY)]
    inset = ((0.3, 0.04), (0.12, -0.08), (-0.06, -0.08), (-0.3, 0.04))
    glass = profile[[rear, rear + 1, front, front + 1]] + inset
    wheel = RING * radius + (0, radius)
    flat = [(glass[::-1], GLASS, 1.005)]
    for place in (-car.axle, car.axle):
        flat.append((wheel + (place, 0), TYRE, 1.01))
        flat.append((wheel * 0.55 + (place, 0.45 * radius), RIM, 1.01))
    for sign in (-1, 1):
        for shape, part, out in flat:
            across = np.full(len(shape), sign * half * out)
            points = np.column_stack([across, shape[:, 1], shape[:, 0]])
            parts.append((points[::sign], part))
    low, back, ahead = profile[1, 1], profile[1, 0], profile[-2, 0]
    for x in (-0.72, 0.72):
        lights = upright(x * half - 0.16, 0, x * half + 0.16, 0, low - 0.12, low + 0.08)
        parts.append((lights + (0, 0, back - 0.03), TAIL_LAMP))
        parts.append((lights[::-1] + (0, -0.05, ahead + 0.03), HEADLAMP))
    plate = upright(-0.26, 0, 0.26, 0, 0.5, 0.62)
    parts.append((plate + (0, 0, back - 0.04), PLATE))
    parts.append((plate[::-1] + (0, 0, ahead + 0.04), RIM))
    points, kinds = zip(*parts)
    return np.concatenate(points), [len(polygon) for polygon in points], np.array(kinds)


def car(stage, rng, s, z, heading=0.0, kind=None, lit=False):
    """Put a car at (s, z); heading in radians, 0 driving away from the camera, pi towards it."""
    kind = kind or ("saloon", "hatch", "suv", "van")[rng.choice(4, p=(0.34, 0.32, 0.24, 0.1))]
    points, sizes, parts = _car_parts(kind)
    paint = CAR_PAINT[rng.choice(len(CAR_PAINT), p=PAINT_WEIGHTS / PAINT_WEIGHTS.sum())]
    lamps = linear("#ff3424 #fff4d6") if lit else linear("#961818 #d6d8d6")
    glass = linear("#2c363e")
    colours = [paint, DARK * 0.5, glass, METAL * 0.8, *lamps, WHITE * 0.8, DARK * 0.5]
    cos = np.cos(heading)
    sin = np.sin(heading)
    across, up, along = points.T
    placed = np.column_stack([s + across * cos + along * sin, up, z - across * sin + along * cos])
    glows = lit & np.isin(parts, (TAIL_LAMP, HEADLAMP))
    material = np.where(glows, Material.GLOW, Material.FLAT)
    solid = parts != UNDERSIDE
    order = placed[:, 2].min()
    stage.put(placed, np.stack(colours)[parts], Label.CAR, order, sizes, material, solid)
    length = np.ptp(along) / 2 + 0.1
    half = np.ptp(across) / 2
    corners = np.array([(-half, -length), (half, -length), (half, length), (-half, length)])
    under = np.column_stack([s + corners @ (cos, sin), np.zeros(4), z + corners @ (-sin, cos)])
    stage.contact.append(under)


def person(stage, rng, s, z, walking=True, rain=False):
    """A person with head, hair, torso, arms and legs, in some clothes and some pose."""
    size = rng.uniform(0.92, 1.12) * (0.66 if rng.random() < 0.12 else 1.0)
    stride = rng.uniform(-0.26, 0.26) if walking else 0.05
    top, legs = CLOTHES[rng.permutation(len(CLOTHES))[:2]]
    skin = SKIN[rng.integers(len(SKIN))]
    hair = HAIR[rng.integers(len(HAIR))]
    broad = rng.uniform(0.19, 0.25)
    skirt = rng.random() < 0.22

    def limb(x0, y0, x1, y1, thick):
        return np.array([(x0 - thick, y0), (x0 + thick, y0), (x1 + thick, y1), (x1 - thick, y1)])

    parts = [
        (limb(-0.08, 0.85, -0.09 - stride, 0, 0.075), legs * 0.8),
        (limb(0.08, 0.85, 0.09 + stride, 0, 0.08), legs)]
    if skirt:
        parts.append((np.array([(-0.15, 0.95), (0.15, 0.95), (0.25, 0.42), (-0.25, 0.42)]), legs))
    torso = [(-broad, 1.42), (-0.08, 1.5), (0.08, 1.5), (broad, 1.42), (0.16, 0.8), (-0.16, 0.8)]
    parts += [
        (limb(-broad, 1.4, -broad - stride * 0.6, 0.82, 0.05), top * 0.75), (np.array(torso), top),
        (limb(broad, 1.4, broad + stride * 0.6, 0.82, 0.05), top * 0.8),
        (RING * 0.12 + (0, 1.63), hair),
        (RING * (0.095, 0.11) + (rng.choice((-0.03, 0, 0.03)), 1.6), skin)]
    if rng.random() < 0.3:  # a bag
        parts.append(
            (
                limb(broad + 0.05, 1.05, broad + 0.06, 0.72, 0.11),
                CLOTHES[rng.integers(len(CLOTHES))])
        )
    if rain and rng.random() < 0.6:
        canopy = np.array([(-0.6, 1.85), (-0.35, 2.1), (0, 2.2), (0.35, 2.1), (0.6, 1.85)])
        parts.append((canopy, CLOTHES[rng.integers(len(CLOTHES))]))
    flat = np.concatenate([p for p, _ in parts]) * size
    points = np.column_stack([s + flat[:, 0] * max(1, z / 40), flat[:, 1], np.full(len(flat), z)])
    stage.put(
        points, np.stack([c for _, c in parts]), Label.PEDESTRIAN, z, [len(p) for p, _ in parts])
    stage.contact.append(
        disc(s, 0, 0, 0.32)[:, :2] @ np.array([(1, 0, 0), (0, 0, 0.6)]) + (0, 0, z))


def box(stage, s, z, wide, deep, low, high, colour, label=Label.OTHER):
    """A box whose front is at z, with the side that the camera sees and a lighter top."""
    a = s - wide / 2
    b = s + wide / 2
    back = z + deep
    for x, points in (
        (a, upright(a, back, a, z, low, high)), (b, upright(b, z, b, back, low, high))):
        stage.put(points, colour * 0.8, label, z, None, Material.FLAT, True)
    lid = np.array([(a, high, z), (b, high, z), (b, high, back), (a, high, back)])
    stage.put(lid, colour * 1.2, label, z, casts=False)
    stage.put(upright(a, z, b, z, low, high), colour, label, z)


def furniture(stage, rng, s, z, side):
    """Put street furniture of the class Other: bin, bench, cabinet, shelter, column, crates."""
    colour = linear("#46544c #606264 #344a60 #969288 #805c3c")[rng.integers(5)]
    kind = rng.integers(7)
    if kind == 0:  # litter bin
        box(stage, s, z, 0.5, 0.5, 0, 0.95, colour)
        box(stage, s, z, 0.54, 0.54, 0.95, 1.08, DARK)
    elif kind == 1:  # bench
        for y, h in ((0.38, 0.48), (0.62, 0.74), (0.8, 0.9)):
            box(stage, s, z, 0.4 if y < 0.5 else 0.06, 1.8, y, h, linear("#7e5a3a"))
        box(stage, s, z, 0.35, 0.08, 0, 0.4, DARK)
        box(stage, s, z + 1.7, 0.35, 0.08, 0, 0.4, DARK)
    elif kind == 2:  # switch cabinet
        box(stage, s + side * 0.4, z, 0.6, 1.3, 0, 1.35, linear("#8c908c"))
    elif kind == 3 and z > 9:  # shelter
        glass = linear("#96aab0")
        stage.put(
            upright(s + side * 0.8, z, s + side * 0.8, z + 3.6, 0.2, 2.3), glass, Label.OTHER,
            z + 3.6)
        stage.put(
            upright(s - side * 0.5, z + 3.5, s + side * 0.8, z + 3.5, 0.2, 2.3), SIGN_BLUE,
            Label.OTHER, z + 3.5)
        box(stage, s + side * 0.1, z, 1.7, 3.7, 2.3, 2.5, colour * 0.6)
    elif kind == 4:  # advertising column
        box(stage, s, z, 1.1, 1.1, 0, 2.6, linear("#c4baa6"))
        poster = CLOTHES[rng.integers(len(CLOTHES))]
        stage.put(upright(s - 0.45, z, s + 0.45, z, 1.0, 2.2), poster, Label.OTHER, z, casts=False)
        box(stage, s, z, 1.25, 1.25, 2.6, 2.85, DARK * 2)
    elif kind == 5:  # hydrant and bollards
        for k in range(4):
            stage.put(
                upright(s - 0.09, z + 1.6 * k, s + 0.09, z + 1.6 * k, 0, 0.95), colour, Label.OTHER,
                z + 1.6 * k)
    else:  # crates or refuse sacks
        for k in range(3):
            high = rng.uniform(0.4, 0.9)
            tint = colour * rng.uniform(0.6, 1.3)
            box(stage, s + rng.uniform(-0.3, 0.3), z + 0.7 * k, 0.6, 0.5, 0, high, tint)
