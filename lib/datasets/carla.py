"""Pictures of the CARLA simulator (Dosovitskiy et al. 2017), in either layout in which they circulate."""

from pathlib import Path

import numpy as np

from lib.datasets.pairs import (
    Found, Root, Size, Source, absent, data_folder, first_channel, from_files, indexed, matched,
)
from lib.scenes import CLASSES  # the drawn scenes have CARLA's classes

LYFT_SETS = {"train": ("dataA", "dataB", "dataC"), "val": ("dataD",), "test": ("dataE",)}  # frames follow one another
VAL_SHARE, VAL_SEED = 0.1, 0  # of the training images, where a data set brings no validation split


def source(root: Root, split: str, size: Size | None) -> Source:
    """Either of the layouts in which pictures of the CARLA simulator circulate; the class is the red channel's value.

    dataA to dataE (the Lyft and Udacity challenge): split by set. train and test with images and labels: without a
    val beside them, a tenth of train, drawn once and for all, is the validation split.
    """
    base, drawn = data_folder(root), None
    sets = {name: _camera(base, name) for names in LYFT_SETS.values() for name in names}
    whole = next((place for place in (base, base / "dataset_256") if (place / "train" / "images").is_dir()), None)
    if any(sets.values()):
        found = _together({name: _set(base, name, sets[name]) for name in LYFT_SETS[split]})
    elif whole:
        draws = split != "test" and not (whole / "val" / "images").is_dir()
        part = whole / ("train" if draws else split)
        pairs, unpaired = matched(part / "images", part / "labels")
        if draws:
            drawn = _draw(len(pairs))
            chosen = set(drawn["indices"])
            pairs = [pair for index, pair in enumerate(pairs) if (index in chosen) == (split == "val")]
        found = pairs, unpaired
    else:
        raise absent(base, "CARLA", "dataA to dataE with CameraRGB and CameraSeg in each, or train and test with "
                      "images and labels in each")
    return from_files(CLASSES, found, size, indexed(CLASSES, channel=first_channel), drawn if split == "val" else None)


def _camera(base: Path, name: str) -> Path | None:
    return next((place for place in (base / name, base / name / name) if (place / "CameraRGB").is_dir()), None)


def _set(base: Path, name: str, place: Path | None) -> Found:
    if not place:
        raise absent(base / name, f"{name} of CARLA", "CameraRGB and CameraSeg")
    return matched(place / "CameraRGB", place / "CameraSeg")


def _together(parts: dict[str, Found]) -> Found:
    """Several folders as one, the folder's name before each name, since names repeat from one to the next."""
    pairs = [(f"{part}-{name}", *paths) for part, (found, _) in parts.items() for name, *paths in found]
    return pairs, [line for _, lines in parts.values() for line in lines]


def _draw(number: int) -> dict:
    """Which of so many training images are for validation: the same on every machine."""
    order = np.random.RandomState(VAL_SEED).permutation(number)  # this generator's numbers are fixed for good
    return {"seed": VAL_SEED, "of": number, "indices": sorted(order[: max(1, round(VAL_SHARE * number))].tolist())}


SOURCES = {"carla": source}
