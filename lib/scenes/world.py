"""What a street is and how it is seen: weather, districts, cross-section, camera; all drawn at random, in metres."""

from dataclasses import dataclass, field

import numpy as np

from lib.scenes.objects import rgb

FAR, KERB = 260.0, 0.14  # metres: where the ground ends; how much higher the pavement is


@dataclass(frozen=True)
class Weather:
    """Light: linear colours of sun, ambient, zenith and horizon; metres one sees; wetness; lamps on; sun's height."""

    sun: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    sight: float
    wet: float = 0.0
    lamps: float = 0.0
    height: tuple[float, float] = (0.5, 1.3)  # tangent of the sun's elevation
    clouds: float = 0.5

WEATHER = (
    (5, Weather(2.7 * rgb(255, 243, 224), 1.0 * rgb(184, 198, 224), rgb(52, 112, 190), rgb(188, 212, 232), 900)),
    (3, Weather(3.0 * rgb(255, 206, 142), 0.9 * rgb(176, 180, 206), rgb(96, 138, 190), rgb(250, 214, 168), 420,
                height=(0.22, 0.45), clouds=0.42)),
    (3, Weather(0.35 * rgb(255, 250, 240), 1.75 * rgb(214, 220, 228), rgb(160, 168, 178), rgb(210, 214, 216), 420,
                height=(1.2, 2.0), clouds=0.8)),
    (2.5, Weather(0.0 * rgb(255, 255, 255), 1.25 * rgb(196, 206, 220), rgb(112, 122, 134), rgb(166, 174, 180), 170, 1.0,
                  0.25, clouds=0.9)),
    (1.5, Weather(0.1 * rgb(255, 250, 240), 1.6 * rgb(210, 216, 220), rgb(186, 192, 196), rgb(200, 205, 206), 42,
                  clouds=0)),
    (2, Weather(0.25 * rgb(255, 150, 110), 0.75 * rgb(158, 150, 196), rgb(54, 66, 118), rgb(240, 158, 120), 420,
                0.25, 0.7, height=(0.1, 0.2))),
    (1.5, Weather(0.0 * rgb(255, 255, 255), 0.33 * rgb(128, 144, 200), rgb(12, 18, 40), rgb(58, 58, 84), 330,
                  0.5, 1.3)),
)  # fmt: skip

# What lines a street: chance of a house per parcel, heights in metres, chances of shops, bricks and gables, metres
# between the trees along the kerb (0: none), and the colours of the fronts.
DISTRICTS = (
    dict(houses=0.8, tall=(9, 17), shops=0.6, brick=0.2, gables=0.5, trees=0,
         fronts=rgb((214, 196, 160), (200, 162, 118), (190, 140, 116), (222, 212, 192), (176, 160, 140),
                    (206, 178, 160))),
    dict(houses=0.8, tall=(13, 34), shops=0.7, brick=0.45, gables=0.1, trees=14,
         fronts=rgb((150, 92, 70), (168, 152, 132), (128, 122, 118), (112, 74, 60), (188, 178, 162))),
    dict(houses=0.5, tall=(5.5, 8.5), shops=0.08, brick=0.5, gables=0.95, trees=18,
         fronts=rgb((226, 220, 206), (168, 106, 82), (198, 190, 170), (150, 92, 72), (180, 188, 190))),
    dict(houses=0.72, tall=(16, 52), shops=0.5, brick=0.0, gables=0.0, trees=20,
         fronts=rgb((196, 200, 202), (120, 130, 138), (166, 172, 176), (92, 104, 116), (210, 206, 198))),
    dict(houses=0.55, tall=(6, 11), shops=0.1, brick=0.6, gables=0.3, trees=0,
         fronts=rgb((140, 92, 74), (150, 150, 146), (120, 128, 130), (172, 160, 140))),
    dict(houses=0.42, tall=(7, 15), shops=0.2, brick=0.3, gables=0.6, trees=9,
         fronts=rgb((222, 206, 176), (204, 190, 168), (176, 128, 104), (214, 214, 206))),
)  # fmt: skip
LEAVES = rgb((86, 122, 54), (104, 134, 60), (70, 108, 62), (122, 138, 62), (150, 132, 54), (164, 110, 50))


@dataclass
class Camera:
    """Where one stands and looks, in metres and tangents; the street is straight, and the camera bends it."""

    eye: tuple[float, float]  # lateral place and height
    focal: float  # in units of the image's mean side
    horizon: float  # share of the image's height
    yaw: float
    bend: float  # half the curvature to the right, 1/m
    rise: float  # likewise upwards
    kerb: float  # what stands further out than this stands higher

    def ray(self, size):
        """Tangents to the right of the half columns and downwards of the half rows; pixels per unit tangent."""
        (h, w), scale = size, self.focal * float(size[0] * size[1]) ** 0.5
        columns, rows = np.arange(2 * w) / 2 + 0.5 - w / 2, np.arange(2 * h) / 2 + 0.5 - self.horizon * h
        return (columns / scale).astype(np.float32), (rows / scale).astype(np.float32), scale

    def shift(self, z):
        """What the camera adds to s at depth z."""
        return z * (self.yaw + self.bend * z) - self.eye[0]

    def height(self, down, z):
        """Height above the ground of what is seen at depth z along rays that go `down`."""
        return self.eye[1] - down * z - self.rise * z * z

    def project(self, points, size):
        """Points (P, 3) in street coordinates -> columns and rows (P, 2) in pixels."""
        (h, w), scale, (s, y, z) = size, self.focal * float(size[0] * size[1]) ** 0.5, points.T
        z = np.maximum(z, 0.6)
        lift = KERB * (np.abs(s) > self.kerb)
        column = w / 2 + scale * (s + self.shift(z)) / z
        row = self.horizon * h + scale * (self.eye[1] - y - lift - self.rise * z * z) / z
        return np.stack([np.clip(column, -4 * w, 5 * w), np.clip(row, -4 * h, 5 * h)], 1)

    def ground_depth(self, down, y=0.0):
        """Depth (rows,) at which rays meet the ground raised by y; beyond FAR where they meet the sky."""
        drop = self.eye[1] - y
        root = down**2 + 4 * self.rise * drop
        z = 2 * drop / np.maximum(down + np.sqrt(np.maximum(root, 0)), 1e-6)
        return np.where((root > 0) & (z < FAR), z, 2 * FAR).astype(np.float32)


@dataclass
class Street:
    """The cross-section in metres, and what is the same all along it."""

    lane: float
    lanes: int
    parking: float  # width of a row of parked cars, or 0
    walk: float
    drive: int  # +1: one drives on the right
    district: dict
    weather: Weather
    leaves: np.ndarray
    junction: tuple[float, float]
    crossings: tuple[float, ...]
    lines: tuple[bool, bool]  # edge lines; a double line in the middle
    green: bool  # grass beyond the pavement
    seed: float  # where the textures begin
    sun: np.ndarray  # towards the sun
    skyline: np.ndarray = field(default_factory=lambda: np.zeros((2, 400), np.float32))  # heights from 60 m behind on

    def __post_init__(self):
        self.carriageway = self.lanes * self.lane / 2
        self.half = self.carriageway + self.parking
        self.front = self.half + self.walk
        self.lamp = 6 + self.seed % 20  # depth of the first lamp, metres

    def at_junction(self, z):
        return (z >= self.junction[0]) & (z <= self.junction[1])


def draw_street(rng) -> tuple[Street, Camera]:
    chances = np.array([chance for chance, _ in WEATHER])
    weather = WEATHER[rng.choice(len(WEATHER), p=chances / chances.sum())][1]
    lane, lanes, drive = rng.uniform(2.7, 3.2), int(rng.choice((2, 2, 2, 2, 3, 4))), 1 if rng.random() < 0.8 else -1
    start = rng.uniform(20, 62) if rng.random() < 0.6 else 300.0  # beyond 200 m: no junction
    junction, middle = (start, start + rng.uniform(8, 13)), (rng.uniform(14, 40),) * (rng.random() < 0.4)
    azimuth, up = rng.uniform(0, 2 * np.pi), rng.uniform(*weather.height)
    sun = np.array([np.cos(azimuth), up, np.sin(azimuth)], np.float32) / np.hypot(1, up, dtype=np.float32)
    street = Street(
        lane, lanes, 2.1 * (rng.random() < 0.6), rng.uniform(1.9, 3.8), drive, DISTRICTS[rng.integers(len(DISTRICTS))],
        weather, LEAVES[rng.choice(len(LEAVES), 2, p=(0.28, 0.26, 0.22, 0.14, 0.06, 0.04))], junction,
        (start - 4.5, junction[1] + 1) if start < 200 else middle, (rng.random() < 0.5, rng.random() < 0.25),
        rng.random() < 0.7, rng.uniform(0, 400), sun,
    )  # fmt: skip
    bend = rng.normal(0, 0.0006) * (rng.random() < 0.6)
    place = drive * lane * rng.uniform(0.2, 0.7) if rng.random() < 0.85 else drive * (street.half + 0.6)
    camera = Camera((place, rng.uniform(1.3, 1.9)), rng.uniform(0.72, 1.05), rng.uniform(0.46, 0.6),
                    rng.normal(0, 0.09) - 20 * bend - 0.012 * (place - drive * lane / 2), bend,
                    min(max(rng.normal(0.0001, 0.0002), -0.0001), 0.0005), street.half)  # fmt: skip
    return street, camera
