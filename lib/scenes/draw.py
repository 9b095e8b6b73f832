"""A scene: laid out, rasterised, shaded and developed.

A scene is laid out in metres from a seed, whatever the image size. Its polygons are drawn, far to
near, into a buffer of polygon numbers at twice the resolution; ground, façades, leaves, shadows,
weather and fog are then computed per sample of that buffer. Image and label come from the same
samples, so they cannot disagree: a pixel on an edge is the mean of four samples and is labelled
with the class that most of them have. The layout follows no paper; the classes are those of CARLA
(Dosovitskiy et al. 2017).

A scene may have clutter and noise, in doses; at dose 0 of both it is the plain scene, bit for bit.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lib.scenes.clutter import MOST, add_clutter
from lib.scenes.layout import lay_out
from lib.scenes.light import develop, sensor_noise, shade
from lib.scenes.world import draw_street

SPLITS = ("train", "val", "test")
CLUTTER, NOISE = 0, 1  # what a scene's further random streams are for
QUARTERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # rows and columns of a pixel's four samples


def _table(stage, street, camera, size) -> dict:
    """Return what pixels look up by the number of a polygon: corners, light, plane, texture."""
    points = np.concatenate(stage.points).astype(np.float32)
    rows = np.concatenate(stage.rows)
    sizes = np.array(stage.sizes)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    corners = camera.project(points, size)
    first = points[starts]
    second = points[starts + 1]
    third = points[starts + 2]
    normal = np.cross(second - first, third - first)
    towards = np.array([*camera.eye, 0], np.float32) - first
    turned = (normal * towards).sum(1) < 0
    sign = np.where(turned, -1, 1)
    length = np.sqrt((normal**2).sum(1) + 1e-9)
    normal *= sign[:, None] / length[:, None]
    depth = points[:, 2]
    ahead = np.maximum.reduceat(depth, starts) > 0.8
    column = corners[:, 0]
    right_of_left = np.maximum.reduceat(column, starts) > 0
    left_of_right = np.minimum.reduceat(column, starts) < size[1]
    solid = rows[:, 6] != 0
    outside = _area(corners, starts, ends) < 0  # faces the camera
    plane = []
    for across, _, away in (first.T, second.T):
        plane += [across + camera.shift(away), away]
    return {
        "points": points,
        "starts": starts,
        "ends": ends,
        "corners": corners,
        "colour": rows[:, :3],
        "label": rows[:, 3].astype(np.uint8),
        "material": rows[:, 4].astype(np.uint8),
        "order": rows[:, 5],
        "casts": rows[:, 7] > 0,
        "texture": rows[:, 8:],
        "seen": ahead & right_of_left & left_of_right & (outside | ~solid),
        "sky": 0.72 + 0.28 * normal[:, 1],
        "lit": np.maximum(normal @ street.sun, 0),
        "depth": np.add.reduceat(depth, starts) / sizes,
        "plane": np.stack(plane, 1),
    }


def _area(corners, starts, ends):
    """Return twice the signed area of each polygon in pixels, by the shoelace formula."""
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = starts
    u, v = corners.T
    return np.add.reduceat(u * v[following] - v * u[following], starts)


def _rasterise(stage, table, street, camera, size):
    """Return the number of the polygon that each sample sees, and its shadow.

    The number is -1 for ground and sky, the shadow 1 in that of the sun and 2 under things.
    """

    def draw(image, chosen, corners, value):
        pen = ImageDraw.Draw(image)
        flat = corners.ravel().tolist()
        first = (2 * starts[chosen]).tolist()
        behind = (2 * ends[chosen]).tolist()
        for i, start, end in zip(chosen.tolist(), first, behind):
            pen.polygon(flat[start:end], fill=i if value is None else value)
        return np.asarray(image)

    points = table["points"]
    starts = table["starts"]
    ends = table["ends"]
    order = np.argsort(-table["order"], kind="stable")
    seen = order[table["seen"][order]]
    ids = draw(Image.new("I", size[::-1], -1), seen, table["corners"], None)
    shadow = Image.new("L", size[::-1])
    if street.weather.sun.max() > 0.3:
        slope = street.sun / street.sun[1]
        cast = points - points[:, 1:2] * slope
        ahead = np.minimum.reduceat(cast[:, 2], starts) > 1
        near = table["order"] < 60
        falls = np.flatnonzero(table["casts"] & ahead & near)
        draw(shadow, falls, camera.project(cast, size), 1)
    patches = [patch for patch in stage.contact if patch[:, 2].min() > 1]
    if patches:
        ends = np.cumsum([len(patch) for patch in patches])
        starts = np.concatenate([[0], ends[:-1]])
        corners = camera.project(np.concatenate(patches), size)
        draw(shadow, np.arange(len(patches)), corners, 2)
    return ids, np.asarray(shadow)


@dataclass
class Samples:
    """Where the image is computed: once in pixels of one thing, four times in those on an edge."""

    size: tuple[int, int]
    whole: np.ndarray  # flat numbers of the pixels computed once
    edge: np.ndarray  # and of the others, whose samples follow in four runs
    row: np.ndarray  # in quarters of a pixel
    column: np.ndarray
    ids: np.ndarray
    shadow: np.ndarray

    @classmethod
    def choose(cls, ids, shadow, size):
        """Return the samples of a buffer (2H, 2W) of polygon numbers and one of shadows."""
        key = ids * 4 + shadow
        first = key[::2, ::2]
        mixed = np.zeros(size, bool)
        for i, j in QUARTERS[1:]:
            mixed |= key[i::2, j::2] != first
        whole = np.flatnonzero(~mixed)
        edge = np.flatnonzero(mixed)
        row, column = np.divmod(whole, size[1])
        rows = [row * 4 + 1]
        columns = [column * 4 + 1]
        row, column = np.divmod(edge, size[1])
        for i, j in QUARTERS:
            rows.append(row * 4 + 2 * i)
            columns.append(column * 4 + 2 * j)
        row = np.concatenate(rows)
        column = np.concatenate(columns)
        place = row // 2, column // 2
        return cls(size, whole, edge, row, column, ids[place], shadow[place])

    def mean(self, values):
        """Return the mean of each pixel, (n, k) per sample -> (H, W, k)."""
        channels = values.shape[1]
        height, width = self.size
        image = np.empty((height * width, channels), np.float32)
        count = len(self.whole)
        image[self.whole] = values[:count]
        quarters = values[count:].reshape(4, -1, channels)
        image[self.edge] = quarters.mean(0)
        return image.reshape(height, width, channels)

    def majority(self, label):
        """Return the most frequent class of each pixel, (n,) -> (H, W).

        Of two equally frequent ones it is that of the upper left sample.
        """
        target = np.empty(self.size, np.uint8)
        count = len(self.whole)
        target.flat[self.whole] = label[:count]
        a, b, c, d = label[count:].reshape(4, -1)
        rest = np.where(c == d, c, a)
        rest = np.where((b == c) | (b == d), b, rest)
        target.flat[self.edge] = np.where((a == b) | (a == c) | (a == d), a, rest)
        return target


def draw_scene(
    split: str, index: int, size: tuple[int, int], seed: int = 0, clutter: float = 0.0,
    noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw scene `index` of a split.

    Returns the image, uint8 (H, W, 3), and the target, uint8 (H, W) of class indices. The three
    splits draw from different random streams, so they share no scene; the size, (H, W), changes
    the sampling and not the street.

    `clutter` is a dose in [0, 4] of things that look like another class (`lib.scenes.clutter`),
    `noise` a dose from 0 on of sensor noise (`lib.scenes.light.sensor_noise`). Both draw from
    random streams of their own, so that they change nothing else of a scene: clutter covers what
    stands behind it, and noise leaves the target as it is.

    Raises ValueError for an unknown split, a negative index, an empty size or another dose.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    if index < 0 or min(size) < 1:
        raise ValueError(
            f"scene {index} at size {size}: expected an index from 0 on, and sides from 1 on")
    if not 0 <= clutter <= MOST:
        raise ValueError(f"clutter = {clutter}: expected a dose from 0 to {MOST:g}")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise = {noise}: expected a dose from 0 on")

    def stream(*purpose: int) -> np.random.Generator:
        key = (SPLITS.index(split), index, *purpose)
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))

    rng = stream()
    street, camera = draw_street(rng)
    stage = lay_out(rng, street)
    if clutter:
        add_clutter(stage, stream(CLUTTER), street, clutter)
    samples = 2 * size[0], 2 * size[1]
    table = _table(stage, street, camera, samples)
    at = Samples.choose(*_rasterise(stage, table, street, camera, samples), size)
    label, colour = shade(street, camera, at, table)
    image = develop(at.mean(colour), street.weather, camera.horizon, rng)
    if noise:
        image = sensor_noise(image, stream(NOISE), noise)
    return image, at.majority(label)
