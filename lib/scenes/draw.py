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
# what a scene's further random streams are for
CLUTTER, NOISE = 0, 1  # what a scene's further random streams are for


def _table(stage, street, camera, size) -> dict:
    """Return what pixels look up by the number of a polygon: corners, light, plane, texture."""
    points = np.concatenate(stage.points).astype(np.float32)
    rows = np.concatenate(stage.rows)
    sizes = np.array(stage.sizes)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts
    corners = camera.project(points, size)
    u, v = corners.T
    area = np.add.reduceat(u * v[following] - v * u[following], starts)
    first = points[starts]
    second = points[starts + 1]
    third = points[starts + 2]
    normal = np.cross(second - first, third - first)
    towards = np.array([*camera.eye, 0], np.float32) - first
    sign = np.where((normal * towards).sum(1) < 0, -1, 1)
    length = np.sqrt((normal**2).sum(1) + 1e-9)
    normal *= sign[:, None] / length[:, None]
    ahead = np.maximum.reduceat(points[:, 2], starts) > 0.8
    inside = (np.maximum.reduceat(u, starts) > 0) & (np.minimum.reduceat(u, starts) < size[1])
    plane = []
    for across, _, away in (first.T, second.T):
        plane += [across + camera.shift(away), away]
    return {
        "points": points, "starts": starts, "ends": ends, "corners": corners, "colour": rows[:, :3],
        "label": rows[:, 3].astype(np.uint8), "material": rows[:, 4].astype(np.uint8),
        "order": rows[:, 5], "seen": ahead & inside & ((area < 0) | (rows[:, 6] == 0)),
        "casts": rows[:, 7] > 0, "texture": rows[:, 8:], "sky": 0.72 + 0.28 * normal[:, 1],
        "depth": np.add.reduceat(points[:, 2], starts) / sizes,
        "lit": np.maximum(normal @ street.sun, 0), "plane": np.stack(plane, 1)}


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
    ids = draw(Image.new("I", size[::-1], -1), order[table["seen"][order]], table["corners"], None)
    shadow = Image.new("L", size[::-1])
    if street.weather.sun.max() > 0.3:
        cast = points - points[:, 1:2] * (street.sun / street.sun[1])
        ahead = np.minimum.reduceat(cast[:, 2], starts) > 1
        falls = table["casts"] & ahead & (table["order"] < 60)
        draw(shadow, np.flatnonzero(falls), camera.project(cast, size), 1)
    patches = [patch for patch in stage.contact if patch[:, 2].min() > 1]
    if patches:
        ends = np.cumsum([len(patch) for patch in patches])
        starts = np.concatenate([[0], ends[:-1]])
        draw(shadow, np.arange(len(patches)), camera.project(np.concatenate(patches), size), 2)
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
        quarters = [(i, j) for i in (0, 1) for j in (0, 1)]
        key = ids * 4 + shadow
        a, b, c, d = (key[i::2, j::2].ravel() for i, j in quarters)
        mixed = (a != b) | (a != c) | (a != d)
        whole = np.flatnonzero(~mixed)
        edge = np.flatnonzero(mixed)
        row = [whole // size[1] * 4 + 1] + [edge // size[1] * 4 + 2 * i for i, _ in quarters]
        column = [whole % size[1] * 4 + 1] + [edge % size[1] * 4 + 2 * j for _, j in quarters]
        row = np.concatenate(row)
        column = np.concatenate(column)
        return cls(
            size, whole, edge, row, column, ids[row // 2, column // 2],
            shadow[row // 2, column // 2])

    def mean(self, values):
        """Return the mean of each pixel, (n, k) per sample -> (H, W, k)."""
        image = np.empty((self.size[0] * self.size[1], values.shape[1]), np.float32)
        count = len(self.whole)
        image[self.whole] = values[:count]
        image[self.edge] = values[count:].reshape(4, -1, values.shape[1]).mean(0)
        return image.reshape(*self.size, -1)

    def majority(self, label):
        """Return the most frequent class of each pixel, (n,) -> (H, W).

        Of two equally frequent ones it is that of the upper left sample.
        """
        target = np.empty(self.size[0] * self.size[1], np.uint8)
        count = len(self.whole)
        target[self.whole] = label[:count]
        a, b, c, d = label[count:].reshape(4, -1)
        rest = np.where((b == c) | (b == d), b, np.where(c == d, c, a))
        target[self.edge] = np.where((a == b) | (a == c) | (a == d), a, rest)
        return target.reshape(self.size)


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
