"""The embedded data set: a street world drawn by our own code, with the classes and palette of CARLA's first tags.

A scene is laid out in metres from a seed, whatever the image size. Its polygons are drawn, far to near, into a buffer
of polygon numbers at twice the resolution; ground, façades, leaves, shadows, weather and fog are then computed per
sample of that buffer. Image and label come from the same samples, so they cannot disagree: a pixel on an edge is the
mean of four samples and is labelled with the class that most of them have. The layout follows no paper; the classes
are those of CARLA (Dosovitskiy et al. 2017).
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lib import scene_objects as paint
from lib.scene_objects import Label, Material, rgb

SPLITS = ("train", "val", "test")
FAR, KERB, GRAIN = 260.0, 0.14, 512  # metres, metres, texels along one side of a noise texture


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
# Ground: asphalt, paving, kerb, grass, paint.
SURFACES = rgb((104, 104, 108), (158, 152, 144), (176, 172, 166), (98, 118, 62), (226, 224, 214))
SURFACE_LABEL = np.array([Label.ROAD, Label.SIDEWALK, Label.SIDEWALK, Label.VEGETATION, Label.ROADLINE], np.uint8)
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


def _street(rng) -> tuple[Street, Camera]:
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


def _layout(rng, street) -> paint.Stage:
    stage = paint.Stage()
    _backdrop(stage, rng, street)
    for side in (-1, 1):
        _parcels(stage, rng, street, side)
        _kerbside(stage, rng, street, side)
    _traffic(stage, rng, street)
    _people(stage, rng, street)
    return stage


def _backdrop(stage, rng, street):
    """What closes the view: far houses and trees behind the gaps and at the end of the street."""
    fronts = street.district["fronts"]
    for _ in range(18):
        z, wide = rng.uniform(70, 250), rng.uniform(12, 40)
        s = rng.choice((-1, 1)) * (street.front + rng.uniform(22, 50) + wide) if z < 200 else rng.uniform(-130, 130)
        if rng.random() < 0.6:
            tall = rng.uniform(0.6, 1.3) * street.district["tall"][1]
            texture = (rng.uniform(2.4, 4), 3.2, tall, 0, 0, rng.random() * 500, 0.5, 0.5)
            stage.put(paint.upright(s - wide / 2, z, s + wide / 2, z, 0, tall), fronts[rng.integers(len(fronts))],
                      Label.BUILDING, 200 + z, None, Material.FACADE, False, False, texture)  # fmt: skip
        else:
            paint.foliage(stage, rng, s, 3, z, wide / 2, rng.uniform(4, 8), 16, street.leaves[0], 200 + z)


def _parcels(stage, rng, street, side):
    """Houses, gardens, fences and walls along one side, from behind the camera to where the haze begins."""
    z = -50.0
    while z < 160:
        if street.junction[0] - 0.5 <= z < street.junction[1]:
            z = street.junction[1]
        end = z + rng.uniform(8, 19)
        if z < street.junction[0]:
            end = min(end, street.junction[0])
        if end - z > 3:
            _parcel(stage, rng, street, side, z, end)
        z = end + (rng.uniform(1, 3) if rng.random() < 0.2 else 0)


def _parcel(stage, rng, street, side, z0, z1):
    district, s = street.district, side * street.front
    house = rng.random() < district["houses"]
    setback = rng.uniform(3, 6) if house and rng.random() < (0.75 if district["tall"][0] < 8 else 0.2) else 0.0
    near = max(z0, 1.5)
    if house:
        height = rng.uniform(*district["tall"])
        street.skyline[(side + 1) // 2, int(z0 + 60) : int(z1 + 60)] = height
    if z1 < 3:
        return
    if house:
        colour = district["fronts"][rng.integers(len(district["fronts"]))] * rng.uniform(0.85, 1.1)
        paint.building(stage, rng, side, z0, z1, s + side * setback, height, colour, district)
    if (not house or setback) and z0 < 90:
        for _ in range(rng.integers(1, 3) if setback else rng.integers(2, 6)):
            place, out = rng.uniform(near, z1), rng.uniform(1, setback) if setback else rng.uniform(1.5, 14)
            if setback or rng.random() < 0.3:
                paint.foliage(stage, rng, s + side * out, 0.6, place, 1.1, 0.9, 9, street.leaves[1], z1)
            else:
                leaves = street.leaves[rng.integers(2)]
                paint.tree(stage, rng, s + side * out, max(place, 5), rng.uniform(5, 11), leaves)
        kind = rng.choice(4, p=(0.42, 0.4, 0.12, 0.06))
        if kind == 0:
            paint.fence(stage, rng, s, near, s, z1)
        elif kind == 1:
            paint.wall(stage, rng, s, near, s, z1, rng.uniform(0.7, 1.2) if setback else rng.uniform(1.5, 2.8))
        elif kind == 2:
            middle, half, leaves = (near + z1) / 2, (z1 - near) / 2, street.leaves[1] * 0.8
            paint.foliage(stage, rng, s, 0.7, middle, 0.5, 0.75, 34, leaves, z1, depth=half)


def _kerbside(stage, rng, street, side):
    """Lamps, trees, signs, signals, fences and furniture along the kerb."""
    kerb, district, lit = side * (street.half + 0.5), street.district, street.weather.lamps > 0
    first, last = street.junction

    def free(z):
        return 4.5 < z < first - 2 or last + 2 < z < 130

    for z in np.arange(street.lamp + 3 * side, 120, 24.0):
        if free(z):
            paint.lamp(stage, kerb, z, side, rng.uniform(5.8, 6.2), lit)
    if district["trees"]:
        for z in np.arange(rng.uniform(5, 12), 90, district["trees"]):
            if free(z) and rng.random() < 0.85:
                paint.tree(stage, rng, kerb + 0.4 * side, z, rng.uniform(5.5, 9), street.leaves[0])
    z = rng.uniform(5, 12)
    while z < 75:
        kind = rng.random()
        if free(z) and kind < 0.42:
            paint.clutter(stage, rng, kerb + side * 0.3, z, side)
        elif free(z) and kind < 0.75:
            paint.sign(stage, rng, kerb, z)
        elif free(z) and free(z + 6) and kind < 0.85:
            paint.fence(stage, rng, kerb - side * 0.3, z, kerb - side * 0.3, z + 6)
        elif free(z):
            paint.post(stage, kerb + side * 0.2, z, rng.uniform(6, 8), 0.09, paint.BARK * 1.2)
        z += rng.uniform(4, 11)
    if first < 200 and rng.random() < 0.8:
        for z in (first - 1.2, last + 0.8):
            paint.traffic_light(stage, rng, kerb, z, side, rng.choice((0, street.half * 0.9)))


def _traffic(stage, rng, street):
    """Parked and driving cars; those that drive on the far half come towards the camera."""
    lit, (first, last) = bool(street.weather.lamps > 0 or street.weather.sight < 100), street.junction
    busy = rng.uniform(0.25, 0.9)
    for side in (-1, 1):
        for z in np.arange(rng.uniform(5, 11), 85, 6.2) if street.parking else ():
            if rng.random() < busy and not first - 10 < z < last + 8:
                place = side * (street.half - 1.05 + rng.normal(0, 0.08))
                paint.car(stage, rng, place, z, (0 if side == street.drive else np.pi) + rng.normal(0, 0.02))
    for lane in range(street.lanes):
        s = -street.carriageway + (lane + 0.5) * street.lane
        away = s * street.drive > 0.1
        z = rng.uniform(9, 45)
        while z < 100:
            kind = "bus" if rng.random() < 0.06 else None
            if not first - 3 < z < last + 3:
                paint.car(stage, rng, s + rng.normal(0, 0.15), z, 0.0 if away else np.pi, kind, lit)
            z += rng.uniform(9, 60)
    if first < 200 and rng.random() < 0.6:
        turn = rng.choice((-1, 1))
        s, z = rng.uniform(-1.2, 1.2) * street.front, (first + last) / 2 + 2 * turn
        paint.car(stage, rng, s, z, turn * np.pi / 2, None, lit)


def _people(stage, rng, street):
    rain = street.weather.wet > 0.9
    for _ in range(rng.poisson(6)):
        side, z = rng.choice((-1, 1)), 5 + 60 * rng.random() ** 1.6
        if street.junction[0] < z < street.junction[1]:
            continue
        s = side * (street.half + rng.uniform(0.9, max(1.2, street.walk - 0.5)))
        for k in range(rng.choice((1, 1, 2, 3))):
            paint.person(stage, rng, s + 0.55 * side * k, z + rng.uniform(0, 0.8), rng.random() < 0.8, rain)
    for crossing in street.crossings:
        for _ in range(rng.poisson(1.6)):
            s, z = rng.uniform(-street.half, street.half), crossing + rng.uniform(0.4, 2.6)
            paint.person(stage, rng, s, z, True, rain)


def _table(stage, street, camera, size) -> dict:
    """What the pixels look up by polygon number, on the stage's polygons: corners on the screen, light, planes."""
    points, rows = np.concatenate(stage.points).astype(np.float32), np.concatenate(stage.rows)
    sizes = np.array(stage.sizes)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts
    corners = camera.project(points, size)
    u, v = corners.T
    area = np.add.reduceat(u * v[following] - v * u[following], starts)
    first, second, third = points[starts], points[starts + 1], points[starts + 2]
    normal = np.cross(second - first, third - first)
    towards = np.array([*camera.eye, 0], np.float32) - first
    normal *= np.where((normal * towards).sum(1) < 0, -1, 1)[:, None] / np.sqrt((normal**2).sum(1) + 1e-9)[:, None]
    ahead = np.maximum.reduceat(points[:, 2], starts) > 0.8
    inside = (np.maximum.reduceat(u, starts) > 0) & (np.minimum.reduceat(u, starts) < size[1])
    return dict(
        points=points, starts=starts, ends=ends, corners=corners, order=rows[:, 5], casts=rows[:, 7] > 0,
        seen=ahead & inside & ((area < 0) | (rows[:, 6] == 0)), colour=rows[:, :3], label=rows[:, 3].astype(np.uint8),
        material=rows[:, 4].astype(np.uint8), texture=rows[:, 8:], sky=0.72 + 0.28 * normal[:, 1],
        depth=np.add.reduceat(points[:, 2], starts) / sizes, lit=np.maximum(normal @ street.sun, 0),
        plane=np.stack([first[:, 0] + camera.shift(first[:, 2]), first[:, 2],
                        second[:, 0] + camera.shift(second[:, 2]), second[:, 2]], 1))  # fmt: skip


def _rasterise(stage, table, street, camera, size):
    """Per sample: the number of the polygon seen (-1: ground or sky), and the shadow (1 sun's, 2 under things)."""

    def draw(image, chosen, corners, value):
        pen, flat = ImageDraw.Draw(image), corners.ravel().tolist()
        for i, start, end in zip(chosen.tolist(), (2 * starts[chosen]).tolist(), (2 * ends[chosen]).tolist()):
            pen.polygon(flat[start:end], fill=i if value is None else value)
        return np.asarray(image)

    points, starts, ends = table["points"], table["starts"], table["ends"]
    order = np.argsort(-table["order"], kind="stable")
    ids = draw(Image.new("I", size[::-1], -1), order[table["seen"][order]], table["corners"], None)
    shadow = Image.new("L", size[::-1])
    if street.weather.sun.max() > 0.3:
        cast = points - points[:, 1:2] * (street.sun / street.sun[1])
        falls = table["casts"] & (np.minimum.reduceat(cast[:, 2], starts) > 1) & (table["order"] < 60)
        draw(shadow, np.flatnonzero(falls), camera.project(cast, size), 1)
    patches = [patch for patch in stage.contact if patch[:, 2].min() > 1]
    if patches:
        ends = np.cumsum([len(patch) for patch in patches])
        starts = np.concatenate([[0], ends[:-1]])
        draw(shadow, np.arange(len(patches)), camera.project(np.concatenate(patches), size), 2)
    return ids, np.asarray(shadow)


@cache
def _textures() -> dict:
    """Periodic noise in [0, 1], flattened: `smooth` for clouds and stains, `fine` for grain, `white` for lots."""
    white = np.random.default_rng(2015).random((GRAIN, GRAIN))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(GRAIN), np.fft.fftfreq(GRAIN)))
    result = {"white": white.astype(np.float32).ravel()}
    for name, power, cut in (("smooth", 1.7, 4), ("fine", 0.7, 12)):
        texture = np.fft.ifft2(np.fft.fft2(white - 0.5) / np.maximum(frequency, cut / GRAIN) ** power).real
        result[name] = np.clip(0.5 + 0.21 * texture / texture.std(), 0, 1).astype(np.float32).ravel()
    return result


def _noise(kind, a, b):
    """The texture `kind` at columns a and rows b, in texels."""
    index = (b + 65536.0).astype(np.int32) & (GRAIN - 1)
    index *= GRAIN
    index += (a + 65536.0).astype(np.int32) & (GRAIN - 1)
    return _textures()[kind].take(index)


def _cover(inside, width):
    """How much of a pixel `width` metres wide an edge covers that lies `inside` metres further out."""
    return np.clip(inside / width + 0.5, 0, 1)


def _paint(street, s, z, pixel):
    """Share of painted road at (s, z): dashes, edge lines, parking bays, crossings and stop lines."""
    (first, last), across, long = street.junction, np.abs(s), z * pixel / 1.6
    half = np.maximum(0.07, 0.25 * pixel)
    dash = _cover(1.75 - np.abs((z + street.seed) % 9 - 4.5), long)
    middle = across if street.lanes % 2 == 0 else np.abs(across - street.lane / 2)
    if street.lines[1] and street.lanes == 2:
        line = _cover(half - np.abs(middle - 0.17), pixel)
    else:
        line = np.minimum(_cover(half - middle, pixel), dash)
    if street.lanes == 4:
        line = np.maximum(line, np.minimum(_cover(half - np.abs(across - street.lane), pixel), dash))
    if street.lines[0] or street.parking:
        edge = _cover(half - np.abs(across - street.carriageway + 0.3 * (not street.parking)), pixel)
        bays = 1 if street.lines[0] else _cover(0.6 - np.abs(z % 2.4 - 1.2), long)
        line = np.maximum(line, np.minimum(edge, bays))
    line *= (z < first - 6) | (z > last + 6)
    for crossing in street.crossings:
        bars = np.minimum(_cover(0.28 - np.abs(s % 1.1 - 0.55), pixel), _cover(1.5 - np.abs(z - crossing - 1.5), long))
        stop = _cover(0.22 - np.abs(z - crossing + 1.2), long) * (s * street.drive > 0.1)
        stop, bars = stop * (across < street.carriageway), bars * (across < street.half - 0.2)
        line = np.maximum(line, np.maximum(bars, stop))
    return line


def _ground(street, s, z, kerb, paved, scale):
    """Labels, colours (n, 3) and stains of ground points at (s, z)."""
    across, worn, near = np.abs(s), _noise("smooth", s * 40 + street.seed, z * 40), np.clip(14 / z, 0, 1)
    surface = np.where(paved, np.where((across > street.front) & street.green, 3, 1), np.where(kerb, 2, 0))
    road, slab = surface == 0, surface == 1
    tone = 0.86 + 0.28 * worn + near * (_noise("fine", s * 34, z * 34) - 0.5) * np.where(surface == 3, 1.1, 0.42)
    track = np.abs(np.abs(s % street.lane / street.lane - 0.5) - 0.25)
    dark = 0.16 * np.clip(1 - track * 8, 0, 1) + 0.2 * (across > street.half - 0.3) + 0.3 * (np.abs(worn - 0.5) < 0.008)
    lot = _noise("white", np.floor(s / 1.9) * 7 + street.seed, np.floor(z / 5) * 3)
    manhole = (s - street.lane * 0.5) ** 2 + ((z + street.seed) % 26 - 13) ** 2 < 0.14
    tone *= 1 - road * (dark + 0.26 * (lot > 0.93) + 0.45 * manhole)
    joint = (s % 0.9 < 0.05) | (z % 0.9 < 0.05)
    tone *= 1 + slab * near * (0.22 * _noise("white", np.floor(s / 0.9), np.floor(z / 0.9)) - 0.11 - 0.3 * joint)
    paint = np.where(road & (worn > 0.22), _paint(street, s, z, z / scale), 0)
    colour = SURFACES[surface]
    colour += paint[:, None] * (SURFACES[4] - colour)
    return SURFACE_LABEL[np.where(paint > 0.5, 4, surface)], colour * tone[:, None], worn


def _facade(light, texture, u, y, z, colour, pixel):
    """Windows, doors, shop fronts and bricks: colour (n, 3) changed in place; returns glow (n,)."""
    bay, storey, height, shop, brick, seed, wide, high = texture.T
    i, j, row = np.floor(u / bay), np.floor(y / storey), np.floor(y / 0.16)
    fu, fv = np.abs(u / bay - i - 0.5), y / storey - j
    lot = _noise("white", i * 3 + seed, j * 7 + seed * 3)
    bricks = _noise("white", np.floor(u / 0.34 + row * 0.5) + seed, row) - 0.5
    bricks *= np.clip(16 / z, 0, 1) * (0.12 + 0.38 * brick)
    tone = 0.9 + 0.3 * (_noise("smooth", u * 14 + seed, y * 9) - 0.5) + bricks
    tone *= 1 - 0.22 * ((fv < 0.05) | (y > height - 0.35)) - 0.15 * (y < 0.6)
    store, door = (j < 1) & (shop > 0), (j < 1) & (shop == 0) & (lot < 0.3)
    wide = np.where(store, 0.43, np.where(door, 0.2, wide / 2))
    low = np.where(store, 0.12, np.where(door, 0, 0.5 - high / 2))
    top = np.where(store | door, 0.71, 0.5 + high / 2)
    inside = np.minimum((wide - fu) * bay, np.minimum(fv - low, top - fv) * storey)
    inside = np.where(y < height - 0.6, inside, -1)
    pane, frame = _cover(inside, pixel), _cover(inside + 0.12, pixel) * ~store
    colour *= (tone * (1 + 0.35 * frame))[:, None]
    own = (seed * 7).astype(int) % len(paint.CLOTHES)
    board = store & (fv > 0.76)
    colour[board] = paint.CLOTHES[own[board]]
    glass = (light.horizon * 0.16 + 0.012) * (0.35 + 1.1 * lot)[:, None]
    goods = store & (fv < 0.5) & (_noise("white", np.floor(u * 1.7) + seed, np.floor(y * 1.6) + seed) > 0.45)
    shelf = _noise("white", np.floor(u[goods] * 1.7) * 5 + seed[goods], np.floor(y[goods] * 1.6)) * len(paint.CAR_PAINT)
    glass[goods] = paint.CAR_PAINT[shelf.astype(int)] * 0.7
    glass[door] = paint.CLOTHES[own[door]] * 0.5
    lamp = ((lot > 1 - 0.42 * light.lamps) | store) & ~door & ~goods & (light.lamps > 0)
    glass[lamp] = rgb(255, 206, 132) * (0.4 + 0.5 * lot[lamp, None])
    colour += pane[:, None] * (glass - colour)
    return 0.55 * pane * (lamp | (goods & (light.lamps > 0)))


def _masonry(light, texture, u, y, z, colour, pixel):
    """Bricks or panels, stains and posters: colour (n, 3) changed in place; nothing glows."""
    _, _, height, _, brick, seed, *_ = texture.T
    row, cell = np.floor(y / 0.2), np.floor(u / 1.7)
    bricks = (0.1 + 0.4 * brick) * (_noise("white", np.floor(u / 0.42 + row * 0.5) + seed, row) - 0.5)
    joint = (brick == 0) & (u % 2.5 < 0.06)
    stain = 0.4 * (_noise("smooth", u * 20 + seed, y * 14) - 0.5)
    colour *= (0.9 + stain + np.clip(16 / z, 0, 1) * (bricks - 0.3 * joint))[:, None]
    poster = (_noise("white", cell + seed, cell) > 0.72) & (height > 1.4)
    poster &= (np.abs(u / 1.7 - cell - 0.5) < 0.36) & (np.abs(y - 0.62 * height) < 0.3 * height)
    stripe = _noise("white", cell[poster] * 3 + seed[poster], np.floor(y[poster] * 3.2)) * len(paint.SIGNS)
    colour[poster] = paint.SIGNS[stripe.astype(int)]
    return 0


def _sky(street, across, down):
    """Linear colour (n, 3) of the sky along rays (across, down): gradient, clouds, the glow of the sun, stars."""
    light, up, (x, y, ahead) = street.weather, np.maximum(-down, 0), street.sun
    blend = np.clip(up / 0.55, 0, 1)[:, None] ** 0.65
    colour = light.horizon * (1 - blend) + light.zenith * blend
    glow = np.exp(-((across - x / ahead) ** 2 + (up - y / ahead) ** 2) * 20)[:, None] if ahead > 0.1 else 0
    if light.clouds:
        far = 1 / (up + 0.16)
        n = _noise("smooth", across * far * 90 + street.seed, far * 90 + street.seed)
        cover = (0.8 * np.clip((n - 0.62 + 0.3 * light.clouds) * 3.2, 0, 1) * np.clip(up * 9, 0, 1))[:, None]
        lit = light.horizon * 0.75 + light.sun * 0.12 + light.ambient * 0.16 + 0.6 * light.sun * glow
        colour += cover * (lit * (1.15 - 0.5 * n)[:, None] - colour)
    if light.lamps > 1:
        colour += (_noise("white", across * 420, up * 420) > 0.9975)[:, None] * 0.35
    return colour + 0.25 * light.sun * glow


@dataclass
class Samples:
    """Where the image is computed: once in pixels all of one thing, at four points in those on an edge."""

    size: tuple[int, int]
    whole: np.ndarray  # flat numbers of the pixels computed once
    edge: np.ndarray  # and of the others, whose samples follow in four runs
    row: np.ndarray  # in quarters of a pixel
    column: np.ndarray
    ids: np.ndarray
    shadow: np.ndarray

    @classmethod
    def choose(cls, ids, shadow, size):
        quarters = [(i, j) for i in (0, 1) for j in (0, 1)]
        key = ids * 4 + shadow
        a, b, c, d = (key[i::2, j::2].ravel() for i, j in quarters)
        mixed = (a != b) | (a != c) | (a != d)
        whole, edge = np.flatnonzero(~mixed), np.flatnonzero(mixed)
        row = [whole // size[1] * 4 + 1] + [edge // size[1] * 4 + 2 * i for i, _ in quarters]
        column = [whole % size[1] * 4 + 1] + [edge % size[1] * 4 + 2 * j for _, j in quarters]
        row, column = np.concatenate(row), np.concatenate(column)
        return cls(size, whole, edge, row, column, ids[row // 2, column // 2], shadow[row // 2, column // 2])

    def mean(self, values):
        """(n, k) per sample -> (H, W, k) per pixel."""
        image, count = np.empty((self.size[0] * self.size[1], values.shape[1]), np.float32), len(self.whole)
        image[self.whole] = values[:count]
        image[self.edge] = values[count:].reshape(4, -1, values.shape[1]).mean(0)
        return image.reshape(*self.size, -1)

    def majority(self, label):
        """(n,) -> (H, W): the commonest class of a pixel; of two equally common ones that of the upper left sample."""
        target, count = np.empty(self.size[0] * self.size[1], np.uint8), len(self.whole)
        target[self.whole] = label[:count]
        a, b, c, d = label[count:].reshape(4, -1)
        rest = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
        target[self.edge] = np.where((a == b) | (a == c) | (a == d), a, rest)
        return target.reshape(self.size)


def _look_up(at, table) -> dict:
    """What each sample shows, by name: the attributes of its polygon; the ground and the sky are filled in later."""
    seen = {name: table[name].take(at.ids, 0) for name in ("label", "colour", "depth", "lit", "sky", "material")}
    seen["glow"] = 1.5 * (seen["material"] == Material.GLOW).astype(np.float32)
    seen["mirror"] = np.zeros(len(at.ids), np.float32)
    return seen


def _lay_ground(street, camera, at, seen, x, down, scale):
    """The road, its kerb and the pavement above it, where no polygon is; returns the samples of the sky."""
    road_z, walk_z = camera.ground_depth(down), camera.ground_depth(down, KERB)
    below = (road_z < FAR)[at.row]
    ground = np.flatnonzero((at.ids < 0) & below)
    zr, zw, x = road_z[at.row[ground]], walk_z[at.row[ground]], x[ground]
    sr, sw = x * zr - camera.shift(zr), x * zw - camera.shift(zw)
    paved = (np.abs(sw) > street.half) & ~street.at_junction(zw)
    kerb = (np.abs(sr) > street.half) & ~street.at_junction(zr) & ~paved
    z = np.where(paved, zw, zr)
    seen["depth"][ground] = z
    seen["label"][ground], seen["colour"][ground], worn = _ground(
        street, np.where(paved, sw, sr), z, kerb, paved, scale / 2
    )
    seen["lit"][ground] = np.where(kerb, 0.3, 1) * street.sun[1]
    seen["sky"][ground] = np.where(at.shadow[ground] == 2, 0.35, 1)
    share, puddle = np.clip(0.12 + z / 90, 0, 0.5), np.clip((worn - 0.55) * 6, 0, 1) * ~paved
    seen["mirror"][ground] = street.weather.wet * (share + (0.75 - share) * puddle)
    return np.flatnonzero((at.ids < 0) & ~below)


def _texture(light, camera, at, seen, table, x, down, scale):
    """Façades and walls by the point of their plane that a sample's ray meets; leaves by place."""
    for kind, painter in ((Material.FACADE, _facade), (Material.MASONRY, _masonry)):
        flat = np.flatnonzero(seen["material"] == kind)
        xa, za, xb, zb = table["plane"].take(at.ids[flat], 0).T
        length = np.hypot(xb - xa, zb - za)
        dx, dz = (xb - xa) / length, (zb - za) / length
        u = np.clip((xa - x[flat] * za) / (x[flat] * dz - dx + 1e-9), 0, length)
        z, colour = za + dz * u, seen["colour"][flat]
        y = camera.height(down[at.row[flat]], z) - KERB
        glow = painter(light, table["texture"].take(at.ids[flat], 0), u, y, z, colour, z * 2 / scale)
        seen["depth"][flat], seen["colour"][flat], seen["glow"][flat] = z, colour, glow
    leaf = np.flatnonzero(seen["material"] == Material.FOLIAGE)
    z = seen["depth"][leaf]
    fine = np.clip(240 / z, 4, 26)
    grain = _noise("fine", x[leaf] * z * fine + at.ids[leaf] * 31, down[at.row[leaf]] * z * fine)
    seen["colour"][leaf] *= (0.55 + 0.9 * grain)[:, None]
    seen["lit"][leaf] = 0.25 + 0.5 * seen["lit"][leaf]


def _sunlit(street, s, y, z):
    """Share of the sun, in [0, 1], that the houses on its side let through to points of the street."""
    flat = float(np.hypot(street.sun[0], street.sun[2]))
    side, steep = 1 if street.sun[0] > 0 else -1, float(street.sun[1]) / flat
    path = (street.front - side * s) / max(abs(float(street.sun[0])) / flat, 0.05)
    place = np.clip(z + path * (float(street.sun[2]) / flat) + 60, 0, 399).astype(np.int32)
    free = np.clip((y + path * steep - street.skyline[(side + 1) // 2].take(place)) * 2.5 + 1, 0, 1)
    return np.where(path < 0, 1, free)


def _shade(street, camera, at, table):
    """Labels (n,), and linear light with the share of mirroring (n, 4), of the samples."""
    light, (across, down, scale) = street.weather, camera.ray((2 * at.size[0], 2 * at.size[1]))
    x, seen = across[at.column], _look_up(at, table)
    above = _lay_ground(street, camera, at, seen, x, down, scale)
    _texture(light, camera, at, seen, table, x, down, scale)
    z, glow, colour, lit = seen["depth"], seen["glow"], seen["colour"], seen["lit"]
    s, y = x * z - camera.shift(z), camera.height(down[at.row], z)
    if light.sun.max() > 0.3:
        lit *= _sunlit(street, s, y, z) * ((at.ids >= 0) | (at.shadow == 0))
    power = seen["sky"][:, None] * light.ambient + lit[:, None] * light.sun
    if light.lamps:
        along = (z - street.lamp + 12) % 24 - 12
        for side in (-1, 1):
            away = (s - side * (street.half - 1.2)) ** 2 + (along - 3 * side) ** 2 + 0.15 * (5.5 - y) ** 2
            power += (0.55 * light.lamps / (1 + away / 6))[:, None] * rgb(255, 200, 128)
    colour *= power * np.maximum(1 - glow, 0)[:, None] + 1.6 * glow[:, None]
    air = np.exp(z * (-1 / light.sight))[:, None]
    colour = colour * air + (1 - air) * light.horizon
    colour[above], seen["label"][above] = _sky(street, x[above], down[at.row[above]]), Label.UNLABELED
    return seen["label"], np.column_stack([colour, seen["mirror"]])


def _develop(colour, light, horizon, rng):
    """Linear light and mirroring (H, W, 4) -> image uint8 (H, W, 3): reflections, bloom, tone, vignette, grain."""
    image, share, (h, w) = colour[..., :3], colour[..., 3:], colour.shape[:2]
    if light.wet:
        up = np.clip(1.95 * horizon * h - 0.95 * np.arange(h), 0, h - 1).astype(int)
        blurred = sum(image[np.clip(up + d * h // 80, 0, h - 1)] for d in (-2, -1, 0, 1, 2)) / 5
        image = image * (1 - 0.9 * share) + blurred * share
    if light.lamps:
        bright = Image.fromarray((np.clip(image - 0.75, 0, 1) * 255).astype(np.uint8))
        blur = ImageFilter.GaussianBlur(0.02 * float(h * w) ** 0.5)
        image = image + 1.2 / 255 * np.asarray(bright.filter(blur), np.float32)
    if light.wet > 0.9:
        y, x = np.indices((h, w), np.float32) * (GRAIN / float(h * w) ** 0.5)
        image = image + 0.05 * (_noise("white", x + y * 0.12, y * 0.06 + x * 17) > 0.93)[..., None]
    image = np.sqrt(1 - np.exp(-1.35 * image))
    y, x = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
    image *= (1 - 0.1 * (x * x + y * y))[..., None]
    image += (rng.standard_normal((h, w), np.float32) * 0.012)[..., None]
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def draw_scene(split: str, index: int, size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw scene `index` of a split.

    Returns the image, uint8 (H, W, 3), and the target, uint8 (H, W) of class indices. The three splits draw from
    different random streams, so they share no scene; the size, (H, W), changes the sampling and not the street.
    Raises ValueError for an unknown split, a negative index or an empty size.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    if index < 0 or min(size) < 1:
        raise ValueError(f"scene {index} at size {size}: expected an index from 0 on, and a height and width from 1 on")
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), index)))
    street, camera = _street(rng)
    stage = _layout(rng, street)
    samples = 2 * size[0], 2 * size[1]
    table = _table(stage, street, camera, samples)
    at = Samples.choose(*_rasterise(stage, table, street, camera, samples), size)
    label, colour = _shade(street, camera, at, table)
    return _develop(at.mean(colour), street.weather, camera.horizon, rng), at.majority(label)
