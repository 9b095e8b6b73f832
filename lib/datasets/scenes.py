"""The embedded data set: scenes that `lib.scenes` draws, with doses of clutter and sensor noise."""

from functools import partial
from itertools import product

import numpy as np

from lib.datasets.pairs import Inspected, Known, Root, Size, Source
from lib.scenes.draw import draw_scene
from lib.scenes.stage import CLASSES
from lib.scenes.light import READ_NOISE, SHOT_NOISE

SCENE_COUNTS = {"train": 2000, "val": 250, "test": 2000}  # the original study tested on 500
DOSES = range(5)  # of clutter and of noise
ABOUT = (
    "*Scenes* are drawn by this project: streets laid out in metres from a seed and painted in "
    "perspective, in sun, rain, fog and at night. The classes are the first thirteen tags of the "
    "CARLA simulator ([Dosovitskiy et al., 2017](https://arxiv.org/abs/1711.03938)), the sky being "
    "*Unlabeled*. Nothing is downloaded, "
    "every pixel has a label, and no two splits share a scene. What a network learns here says how "
    "the four compare, not how any of them would do on a real street."
)


def scenes_source(
    root: Root, split: str, size: Size | None, clutter: float = 0, noise: float = 0
) -> Source:
    """Return scenes with these doses of clutter and noise; 256 x 256 pixels without a size."""
    size = size or (256, 256)
    items = [f"{split}-{index:05d}" for index in range(SCENE_COUNTS[split])]

    def inspect(index: int) -> Inspected:
        return Inspected(*draw_scene(split, index, size, clutter=clutter, noise=noise))

    return Source(CLASSES, items, inspect, size=size, drawn=True, independent=True)


def scene_name(clutter: int, noise: int) -> str:
    """Return the data set's name: "scenes", "scenes-noise-3", "scenes-clutter-1-noise-1"."""
    doses = {"clutter": clutter, "noise": noise}
    return "-".join(["scenes", *(f"{what}-{dose}" for what, dose in doses.items() if dose)])


def _introduced(clutter: int, noise: int) -> Known:
    title, parts = [], []
    if clutter:
        title.append(f"clutter {clutter}")
        parts.append(
            f"clutter of dose {clutter} (pictures of people and cars on houses, shop signs in the "
            "shapes of road signs, pipes like poles, each of the class of what it is part of)"
        )
    if noise:
        title.append(f"noise {noise}")
        dark = noise * READ_NOISE
        light = np.hypot(dark, noise * SHOT_NOISE)
        parts.append(
            f"the noise of a sensor at dose {noise} (a standard deviation of {dark:.0%} of the "
            f"range in the dark, and of {light:.0%} in full light)"
        )
    opened = partial(scenes_source, clutter=clutter, noise=noise)
    if not parts:
        return Known(opened, "Scenes", ABOUT)
    about = f"{ABOUT} These have {' and '.join(parts)}."
    return Known(opened, f"Scenes with {' and '.join(title)}", about)


SCENE_DOSES = {
    scene_name(clutter, noise): {"clutter": clutter, "noise": noise}
    for clutter, noise in product(DOSES, DOSES)
}
SOURCES = {name: _introduced(**doses) for name, doses in SCENE_DOSES.items()}
