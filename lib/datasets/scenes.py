"""The embedded data set: scenes that `lib.scenes` draws, with doses of clutter and sensor noise."""

from functools import partial
from itertools import product

from lib.datasets.pairs import Pair, Root, Size, Source
from lib.scenes import CLASSES, draw_scene

SCENE_COUNTS = {"train": 2000, "val": 250, "test": 2000}  # the original study tested on 500
DOSES = range(5)  # of clutter and of noise


def source(
    root: Root, split: str, size: Size | None, clutter: float = 0, noise: float = 0
) -> Source:
    """Scenes with these doses of clutter and noise; 256 x 256 pixels without a size."""
    size = size or (256, 256)
    items = [f"{split}-{index:05d}" for index in range(SCENE_COUNTS[split])]

    def read(index: int) -> Pair:
        return draw_scene(split, index, size, clutter=clutter, noise=noise)

    return Source(CLASSES, items, read, independent=True, drawn_size=size)


def scene_name(clutter: int, noise: int) -> str:
    """Return the data set's name: "scenes", "scenes-noise-3", "scenes-clutter-1-noise-1"."""
    doses = {"clutter": clutter, "noise": noise}
    return "-".join(["scenes", *(f"{what}-{dose}" for what, dose in doses.items() if dose)])


SCENE_DOSES = {scene_name(clutter, noise): {"clutter": clutter, "noise": noise}
               for clutter, noise in product(DOSES, DOSES)}
SOURCES = {name: partial(source, **doses) for name, doses in SCENE_DOSES.items()}
