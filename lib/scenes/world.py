"""What a street is and how it is seen: weather, districts, cross-section, camera; all in metres."""

from dataclasses import dataclass, field

import numpy as np

from lib.scenes.stage import linear, pick

FAR = 260.0  # metres: where the ground ends
KERB = 0.14  # how much higher the pavement is
SKYLINE_START = 60  # metres behind the camera where the skyline of the houses begins
SKYLINE_LENGTH = 400  # metres


@dataclass(frozen=True)
class Weather:
    """Light and sight; colours are linear, lights may be brighter than 1."""

    sun: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    sight: float  # metres
    wet: float = 0.0
    lamps: float = 0.0  # how bright street lamps are
    height: tuple[float, float] = (0.5, 1.3)  # tangent of the sun's elevation
    clouds: float = 0.5


BLACK = linear("#000000")
# How often each weather comes, and what it is.
WEATHER = (
    (5, Weather(
        2.7 * linear("#fff3e0"), linear("#b8c6e0"), linear("#3470be"), linear("#bcd4e8"),
        sight=900)),
    (3, Weather(
        3.0 * linear("#ffce8e"), 0.9 * linear("#b0b4ce"), linear("#608abe"), linear("#fad6a8"),
        sight=420, height=(0.22, 0.45), clouds=0.42)),
    (3, Weather(
        0.35 * linear("#fffaf0"), 1.75 * linear("#d6dce4"), linear("#a0a8b2"), linear("#d2d6d8"),
        sight=420, height=(1.2, 2.0), clouds=0.8)),
    (2.5, Weather(
        BLACK, 1.25 * linear("#c4cedc"), linear("#707a86"), linear("#a6aeb4"),
        sight=170, wet=1.0, lamps=0.25, clouds=0.9)),
    (1.5, Weather(
        0.1 * linear("#fffaf0"), 1.6 * linear("#d2d8dc"), linear("#bac0c4"), linear("#c8cdce"),
        sight=42, clouds=0)),
    (2, Weather(
        0.25 * linear("#ff966e"), 0.75 * linear("#9e96c4"), linear("#364276"), linear("#f09e78"),
        sight=420, wet=0.25, lamps=0.7, height=(0.1, 0.2))),
    (1.5, Weather(
        BLACK, 0.33 * linear("#8090c8"), linear("#0c1228"), linear("#3a3a54"),
        sight=330, wet=0.5, lamps=1.3)),
)  # fmt: skip


@dataclass(frozen=True)
class District:
    """What lines a street."""

    houses: float  # chance of a house on a parcel
    tall: tuple[float, float]  # metres
    shops: float  # chances of shops, bricks and gables
    brick: float
    gables: float
    trees: float  # metres between the trees along the kerb; 0: none
    fronts: np.ndarray  # colours


DISTRICTS = (
    District(
        0.8, (9, 17), 0.6, 0.2, 0.5, 0, linear("#d6c4a0 #c8a276 #be8c74 #ded4c0 #b0a08c #ceb2a0")),
    District(0.8, (13, 34), 0.7, 0.45, 0.1, 14, linear("#965c46 #a89884 #807a76 #704a3c #bcb2a2")),
    District(
        0.5, (5.5, 8.5), 0.08, 0.5, 0.95, 18, linear("#e2dcce #a86a52 #c6beaa #965c48 #b4bcbe")),
    District(0.72, (16, 52), 0.5, 0.0, 0.0, 20, linear("#c4c8ca #78828a #a6acb0 #5c6874 #d2cec6")),
    District(0.55, (6, 11), 0.1, 0.6, 0.3, 0, linear("#8c5c4a #969692 #788082 #aca08c")),
    District(0.42, (7, 15), 0.2, 0.3, 0.6, 9, linear("#deceb0 #ccbea8 #b08068 #d6d6ce")),
)
LEAVES = linear("#567a36 #68863c #466c3e #7a8a3e #968436 #a46e32")
LEAF_CHANCES = (0.28, 0.26, 0.22, 0.14, 0.06, 0.04)


@dataclass
class Camera:
    """Where one stands and looks, in metres and tangents; the camera bends the straight street."""

    eye: tuple[float, float]  # lateral place and height
    focal: float  # in units of the image's mean side
    horizon: float  # share of the image's height
    yaw: float
    bend: float  # half the curvature to the right, 1/m
    rise: float  # likewise upwards
    kerb: float  # what stands further out than this stands higher

    def ray(self, size):
        """Return tangents to the right of half columns, down of half rows, and pixels per unit."""
        h, w = size
        scale = self.focal * float(h * w) ** 0.5
        columns = np.arange(2 * w) / 2 + 0.5 - w / 2
        rows = np.arange(2 * h) / 2 + 0.5 - self.horizon * h
        across = (columns / scale).astype(np.float32)
        down = (rows / scale).astype(np.float32)
        return across, down, scale

    def shift(self, z):
        """What the camera adds to s at depth z."""
        return z * (self.yaw + self.bend * z) - self.eye[0]

    def height(self, down, z):
        """Height above the ground of what is seen at depth z along rays that go `down`."""
        return self.eye[1] - down * z - self.rise * z * z

    def project(self, points, size):
        """Points (P, 3) in street coordinates -> columns and rows (P, 2) in pixels."""
        h, w = size
        scale = self.focal * float(h * w) ** 0.5
        s, y, z = points.T
        z = np.maximum(z, 0.6)
        lift = KERB * (np.abs(s) > self.kerb)
        right = s + self.shift(z)
        below = self.eye[1] - y - lift - self.rise * z * z
        column = w / 2 + scale * right / z
        row = self.horizon * h + scale * below / z
        column = np.clip(column, -4 * w, 5 * w)
        row = np.clip(row, -4 * h, 5 * h)
        return np.stack([column, row], 1)

    def ground_depth(self, down, y=0.0):
        """Return the depth (rows,) at which rays meet the ground raised by y, or more than FAR."""
        drop = self.eye[1] - y
        inside = down**2 + 4 * self.rise * drop
        root = np.sqrt(np.maximum(inside, 0))
        z = 2 * drop / np.maximum(down + root, 1e-6)
        meets = (inside > 0) & (z < FAR)
        return np.where(meets, z, 2 * FAR).astype(np.float32)


@dataclass
class Street:
    """The cross-section in metres, and what is the same all along it."""

    lane: float
    lanes: int
    parking: float  # width of a row of parked cars, or 0
    walk: float
    drive: int  # +1: one drives on the right
    district: District
    weather: Weather
    leaves: np.ndarray
    junction: tuple[float, float]
    crossings: tuple[float, ...]
    lines: tuple[bool, bool]  # edge lines; a double line in the middle
    green: bool  # grass beyond the pavement
    seed: float  # where the textures begin
    sun: np.ndarray  # towards the sun
    skyline: np.ndarray = field(init=False)  # heights of the houses on either side, by the metre

    def __post_init__(self):
        self.carriageway = self.lanes * self.lane / 2
        self.half = self.carriageway + self.parking
        self.front = self.half + self.walk
        self.lamp = 6 + self.seed % 20  # depth of the first lamp, metres
        self.skyline = np.zeros((2, SKYLINE_LENGTH), np.float32)

    def at_junction(self, z):
        return (z >= self.junction[0]) & (z <= self.junction[1])


def draw_street(rng) -> tuple[Street, Camera]:
    """Return a street and how it is seen; numbers are sampled in the order of the lines."""
    chances = np.array([chance for chance, _ in WEATHER])
    weather = WEATHER[rng.choice(len(WEATHER), p=chances / chances.sum())][1]
    lane = rng.uniform(2.7, 3.2)
    lanes = int(rng.choice((2, 2, 2, 2, 3, 4)))
    drive = 1 if rng.random() < 0.8 else -1
    start = 300.0  # beyond 200 m: no junction
    if rng.random() < 0.6:
        start = rng.uniform(20, 62)
    end = start + rng.uniform(8, 13)
    crossing = rng.uniform(14, 40)
    crossings = (crossing,) if rng.random() < 0.4 else ()
    if start < 200:
        crossings = (start - 4.5, end + 1)
    azimuth = rng.uniform(0, 2 * np.pi)
    up = rng.uniform(*weather.height)
    sun = np.array([np.cos(azimuth), up, np.sin(azimuth)], np.float32)
    sun = sun / np.hypot(1, up, dtype=np.float32)
    street = Street(
        lane=lane,
        lanes=lanes,
        parking=2.1 if rng.random() < 0.6 else 0.0,
        walk=rng.uniform(1.9, 3.8),
        drive=drive,
        district=pick(rng, DISTRICTS),
        weather=weather,
        leaves=LEAVES[rng.choice(len(LEAVES), 2, p=LEAF_CHANCES)],
        junction=(start, end),
        crossings=crossings,
        lines=(rng.random() < 0.5, rng.random() < 0.25),
        green=rng.random() < 0.7,
        seed=rng.uniform(0, 400),
        sun=sun,
    )
    return street, _draw_camera(rng, street)


def _draw_camera(rng, street) -> Camera:
    """Return a camera in a car on its own lane, or on the kerb."""
    bend = rng.normal(0, 0.0006)
    if rng.random() >= 0.6:
        bend = 0.0
    if rng.random() < 0.85:
        place = street.drive * street.lane * rng.uniform(0.2, 0.7)
    else:
        place = street.drive * (street.half + 0.6)
    height = rng.uniform(1.3, 1.9)
    focal = rng.uniform(0.72, 1.05)
    horizon = rng.uniform(0.46, 0.6)
    off_centre = place - street.drive * street.lane / 2
    yaw = rng.normal(0, 0.09) - 20 * bend - 0.012 * off_centre
    rise = rng.normal(0.0001, 0.0002)
    rise = min(max(rise, -0.0001), 0.0005)
    return Camera((place, height), focal, horizon, yaw, bend, rise, street.half)
