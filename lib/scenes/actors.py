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

    points: tuple[tuple[float, float], ...]  # (along, up)
    windows: tuple[int, int]  # where the rear window and the windscreen begin in the profile
    half: float  # of the width
    radius: float  # of the wheels
    axle: float  # how far from the middle the wheels are

    @property
    def profile(self) -> np.ndarray:
        return np.array(self.points)


CARS = {
    "saloon": Model(
        (
            (-2.2, 0.3),
            (-2.25, 0.8),
            (-2.1, 0.98),
            (-1.55, 1.02),
            (-1.0, 1.42),
            (0.3, 1.44),
            (1.05, 0.98),
            (2.05, 0.84),
            (2.25, 0.62),
            (2.2, 0.3),
        ),
        windows=(3, 5),
        half=0.89,
        radius=0.33,
        axle=1.38,
    ),
    "hatch": Model(
        (
            (-1.9, 0.3),
            (-1.95, 0.75),
            (-1.88, 0.98),
            (-1.5, 1.5),
            (0.2, 1.52),
            (0.95, 1.02),
            (1.75, 0.9),
            (1.95, 0.65),
            (1.9, 0.3),
        ),
        windows=(2, 4),
        half=0.87,
        radius=0.32,
        axle=1.22,
    ),
    "suv": Model(
        (
            (-2.2, 0.38),
            (-2.28, 0.85),
            (-2.2, 1.12),
            (-1.9, 1.68),
            (0.2, 1.72),
            (0.95, 1.15),
            (2.0, 1.05),
            (2.25, 0.8),
            (2.2, 0.38),
        ),
        windows=(2, 4),
        half=0.95,
        radius=0.38,
        axle=1.36,
    ),
    "van": Model(
        (
            (-2.6, 0.35),
            (-2.62, 1.0),
            (-2.6, 1.2),
            (-2.5, 2.1),
            (1.3, 2.15),
            (2.0, 1.25),
            (2.5, 1.05),
            (2.6, 0.7),
            (2.55, 0.35),
        ),
        windows=(2, 4),
        half=0.98,
        radius=0.36,
        axle=1.6,
    ),
    "bus": Model(
        (
            (-5.4, 0.35),
            (-5.5, 1.2),
            (-5.5, 1.4),
            (-5.4, 3.0),
            (5.3, 3.0),
            (5.5, 1.3),
            (5.5, 0.9),
            (5.5, 0.35),
        ),
        windows=(2, 4),
        half=1.24,
        radius=0.48,
        axle=3.3,
    ),
}
KINDS = ("saloon", "hatch", "suv", "van")  # of the traffic, but for buses
PAINT_WEIGHTS = np.array((5, 5, 4, 4, 4, 1.5, 1, 0.8, 0.6, 0.5, 1))
# The parts of a car, as rows of a table of colours.
BODY, TYRE, GLASS, RIM, TAIL_LAMP, HEADLAMP, PLATE, UNDERSIDE = range(8)


@cache
def _car_parts(kind: str) -> tuple:
    """Return the polygons of a car in its own axes (across, up, along): points, sizes and parts."""
    car = CARS[kind]
    parts = [*_underside(car), *_shell(car), *_sides(car), *_ends(car)]
    points, kinds = zip(*parts)
    sizes = [len(polygon) for polygon in points]
    return np.concatenate(points), sizes, np.array(kinds)


def _underside(car):
    """Yield what is dark between the wheels, and its part."""
    reach = car.axle + car.radius * 0.6
    for end in (-1.0, 1.0):
        for x in (0.68, -0.68):
            strip = upright(x - 0.12, end, x + 0.12, end, 0, 0.5)
            yield strip * (1, 1, reach), UNDERSIDE


def _shell(car):
    """Yield the body from bumper to bumper with both screens, then its two sides."""
    along, up = car.profile.T
    rear, front = car.windows
    roof = up > up[rear] + 0.1
    width = np.where(roof, car.half * 0.82, car.half)
    left = np.column_stack([-width, up, along])
    right = np.column_stack([width, up, along])
    for i in range(len(along) - 1):
        strip = np.stack([right[i], right[i + 1], left[i + 1], left[i]])
        yield strip, BODY
        if i in (rear, front):
            middle = strip.mean(0)
            yield middle + (strip - middle) * 0.86, GLASS
    yield left, BODY
    yield right[::-1], BODY


def _sides(car):
    """Yield the side windows and the wheels on the left, then on the right."""
    rear, front = car.windows
    inset = ((0.3, 0.04), (0.12, -0.08), (-0.06, -0.08), (-0.3, 0.04))
    glass = car.profile[[rear, rear + 1, front, front + 1]] + inset
    tyre = RING * car.radius + (0, car.radius)
    flat = [(glass[::-1], GLASS, 1.005)]  # (along, up), part, how far out
    for place in (-car.axle, car.axle):
        rim = tyre * 0.55 + (place, 0.45 * car.radius)
        flat.append((tyre + (place, 0), TYRE, 1.01))
        flat.append((rim, RIM, 1.01))
    for sign in (-1, 1):
        for shape, part, out in flat:
            along, up = shape.T
            across = np.full(len(shape), sign * car.half * out)
            points = np.column_stack([across, up, along])
            yield points[::sign], part


def _ends(car):
    """Yield the lamps, then the number plate behind and the grille ahead."""
    back, low = car.profile[1]
    ahead = car.profile[-2, 0]
    for x in (-0.72, 0.72):
        middle = x * car.half
        lamp = upright(middle - 0.16, 0, middle + 0.16, 0, low - 0.12, low + 0.08)
        yield lamp + (0, 0, back - 0.03), TAIL_LAMP
        yield lamp[::-1] + (0, -0.05, ahead + 0.03), HEADLAMP
    plate = upright(-0.26, 0, 0.26, 0, 0.5, 0.62)
    yield plate + (0, 0, back - 0.04), PLATE
    yield plate[::-1] + (0, 0, ahead + 0.04), RIM


def car(stage, rng, s, z, heading=0.0, kind=None, lit=False):
    """Put a car at (s, z); heading in radians, 0 driving away from the camera, pi towards it."""
    kind = kind or KINDS[rng.choice(4, p=(0.34, 0.32, 0.24, 0.1))]
    points, sizes, parts = _car_parts(kind)
    paint = CAR_PAINT[rng.choice(len(CAR_PAINT), p=PAINT_WEIGHTS / PAINT_WEIGHTS.sum())]
    lamps = linear("#ff3424 #fff4d6") if lit else linear("#961818 #d6d8d6")
    glass = linear("#2c363e")
    colours = [paint, DARK * 0.5, glass, METAL * 0.8, *lamps, WHITE * 0.8, DARK * 0.5]
    colours = np.stack(colours)
    cos = np.cos(heading)
    sin = np.sin(heading)
    across, up, along = points.T
    right = s + across * cos + along * sin
    ahead = z - across * sin + along * cos
    placed = np.column_stack([right, up, ahead])
    glows = lit & np.isin(parts, (TAIL_LAMP, HEADLAMP))
    stage.put(
        placed,
        colours[parts],
        Label.CAR,
        order=ahead.min(),
        sizes=sizes,
        material=np.where(glows, Material.GLOW, Material.FLAT),
        solid=parts != UNDERSIDE,
    )
    length = np.ptp(along) / 2 + 0.1
    half = np.ptp(across) / 2
    corners = np.array([(-half, -length), (half, -length), (half, length), (-half, length)])
    right = s + corners @ (cos, sin)
    ahead = z + corners @ (-sin, cos)
    stage.contact.append(np.column_stack([right, np.zeros(4), ahead]))


def person(stage, rng, s, z, walking=True, rain=False):
    """Put a person with head, hair, torso, arms and legs, in some clothes and some pose."""
    size = rng.uniform(0.92, 1.12)
    if rng.random() < 0.12:  # a child
        size = size * 0.66
    stride = rng.uniform(-0.26, 0.26) if walking else 0.05
    top, legs = CLOTHES[rng.permutation(len(CLOTHES))[:2]]
    skin = SKIN[rng.integers(len(SKIN))]
    hair = HAIR[rng.integers(len(HAIR))]
    broad = rng.uniform(0.19, 0.25)
    skirt = rng.random() < 0.22

    shapes = []
    colours = []

    def add(shape, colour):
        shapes.append(np.array(shape))
        colours.append(colour)

    def limb(x0, y0, x1, y1, thick):
        return [(x0 - thick, y0), (x0 + thick, y0), (x1 + thick, y1), (x1 - thick, y1)]

    add(limb(-0.08, 0.85, -0.09 - stride, 0, 0.075), legs * 0.8)
    add(limb(0.08, 0.85, 0.09 + stride, 0, 0.08), legs)
    if skirt:
        add([(-0.15, 0.95), (0.15, 0.95), (0.25, 0.42), (-0.25, 0.42)], legs)
    swing = broad + stride * 0.6
    add(limb(-broad, 1.4, -swing, 0.82, 0.05), top * 0.75)
    neck = [(-0.08, 1.5), (0.08, 1.5)]
    waist = [(0.16, 0.8), (-0.16, 0.8)]
    add([(-broad, 1.42), *neck, (broad, 1.42), *waist], top)
    add(limb(broad, 1.4, swing, 0.82, 0.05), top * 0.8)
    turn = rng.choice((-0.03, 0, 0.03))
    add(RING * 0.12 + (0, 1.63), hair)
    add(RING * (0.095, 0.11) + (turn, 1.6), skin)
    if rng.random() < 0.3:
        bag = limb(broad + 0.05, 1.05, broad + 0.06, 0.72, 0.11)
        add(bag, CLOTHES[rng.integers(len(CLOTHES))])
    if rain and rng.random() < 0.6:
        umbrella = [(-0.6, 1.85), (-0.35, 2.1), (0, 2.2), (0.35, 2.1), (0.6, 1.85)]
        add(umbrella, CLOTHES[rng.integers(len(CLOTHES))])
    across, up = size * np.concatenate(shapes).T
    across = across * max(1, z / 40)
    points = np.column_stack([s + across, up, np.full(len(up), z)])
    sizes = [len(shape) for shape in shapes]
    stage.put(points, np.stack(colours), Label.PEDESTRIAN, z, sizes)
    on_the_ground = np.array([(1, 0, 0), (0, 0, 0.6)])
    shadow = disc(s, 0, 0, 0.32)[:, :2] @ on_the_ground
    stage.contact.append(shadow + (0, 0, z))


def box(stage, s, z, wide, deep, low, high, colour, label=Label.OTHER):
    """Put a box whose front is at z, with the side that the camera sees and a lighter top."""
    a = s - wide / 2
    b = s + wide / 2
    back = z + deep
    left = upright(a, back, a, z, low, high)
    right = upright(b, z, b, back, low, high)
    for side in (left, right):
        stage.put(side, colour * 0.8, label, z, solid=True)
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
        wood = linear("#7e5a3a")
        box(stage, s, z, 0.4, 1.8, 0.38, 0.48, wood)
        box(stage, s, z, 0.06, 1.8, 0.62, 0.74, wood)
        box(stage, s, z, 0.06, 1.8, 0.8, 0.9, wood)
        box(stage, s, z, 0.35, 0.08, 0, 0.4, DARK)
        box(stage, s, z + 1.7, 0.35, 0.08, 0, 0.4, DARK)
    elif kind == 2:  # switch cabinet
        box(stage, s + side * 0.4, z, 0.6, 1.3, 0, 1.35, linear("#8c908c"))
    elif kind == 3 and z > 9:  # shelter
        _shelter(stage, s, z, side, colour * 0.6)
    elif kind == 4:  # advertising column
        box(stage, s, z, 1.1, 1.1, 0, 2.6, linear("#c4baa6"))
        tint = CLOTHES[rng.integers(len(CLOTHES))]
        poster = upright(s - 0.45, z, s + 0.45, z, 1.0, 2.2)
        stage.put(poster, tint, Label.OTHER, z, casts=False)
        box(stage, s, z, 1.25, 1.25, 2.6, 2.85, DARK * 2)
    elif kind == 5:  # hydrant and bollards
        for k in range(4):
            place = z + 1.6 * k
            bollard = upright(s - 0.09, place, s + 0.09, place, 0, 0.95)
            stage.put(bollard, colour, Label.OTHER, place)
    else:  # crates or refuse sacks
        for k in range(3):
            high = rng.uniform(0.4, 0.9)
            tint = colour * rng.uniform(0.6, 1.3)
            across = s + rng.uniform(-0.3, 0.3)
            box(stage, across, z + 0.7 * k, 0.6, 0.5, 0, high, tint)


def _shelter(stage, s, z, side, colour):
    """Put a bus shelter: a glass wall along the street, one across it behind, and a roof."""
    wall = s + side * 0.8
    end = z + 3.6
    glass = upright(wall, z, wall, end, 0.2, 2.3)
    stage.put(glass, linear("#96aab0"), Label.OTHER, end)
    behind = z + 3.5
    panel = upright(s - side * 0.5, behind, wall, behind, 0.2, 2.3)
    stage.put(panel, SIGN_BLUE, Label.OTHER, behind)
    box(stage, s + side * 0.1, z, 1.7, 3.7, 2.3, 2.5, colour)
