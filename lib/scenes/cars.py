"""The painter of cars: solids made of polygons, one profile for each kind."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from lib.scenes.stage import CAR_PAINT, DARK, METAL, RING, WHITE, Label, Material, linear, upright


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
    parts = []
    for some in (_underside, _shell, _sides, _lamps_and_plates):
        parts.extend(some(car))
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
        ends = slice(i, i + 2)
        strip = np.concatenate([right[ends], left[ends][::-1]])
        yield strip, BODY
        if i in (rear, front):
            middle = strip.mean(0)
            yield middle + (strip - middle) * 0.86, GLASS
    yield left, BODY
    yield right[::-1], BODY


def _sides(car):
    """Yield the side windows and the wheels on the left, then on the right."""
    rear, front = car.windows
    inset = (
        (0.3, 0.04),
        (0.12, -0.08),
        (-0.06, -0.08),
        (-0.3, 0.04),
    )
    corners = [rear, rear + 1, front, front + 1]
    glass = car.profile[corners] + inset
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


def _lamps_and_plates(car):
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
    dark = DARK * 0.5
    colours = np.stack([paint, dark, glass, METAL * 0.8, *lamps, WHITE * 0.8, dark])
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
    corners = np.array([
        (-half, -length),
        (half, -length),
        (half, length),
        (-half, length),
    ])
    right = s + corners @ (cos, sin)
    ahead = z + corners @ (-sin, cos)
    stage.contact.append(np.column_stack([right, np.zeros(4), ahead]))
