"""Pictures of the CARLA simulator (Dosovitskiy et al. 2017), in the layouts that circulate."""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.datasets.pairs import (
    Known, Matched, Root, Size, Source, absent, data_folder, from_files, indexed, matched,
    single_channel,
)
from lib.files import IGNORE
from lib.scenes import CLASSES  # the drawn scenes have CARLA's classes

# The Lyft and Udacity challenge, split by set, since the frames of a set follow one another.
LYFT_SETS = {"train": ("dataA", "dataB", "dataC"), "val": ("dataD",), "test": ("dataE",)}
VAL_SHARE, VAL_SEED = 0.1, 0  # of the training images, where there is no validation split
MEANING = {index: index for index in range(len(CLASSES))} | {IGNORE: IGNORE}
LAYOUTS = (
    "dataA to dataE with CameraRGB and CameraSeg in each, or train and test with images and labels "
    "in each"
)
ABOUT = (
    "*CARLA* ([Dosovitskiy et al., 2017](https://arxiv.org/abs/1711.03938)) is a simulator of "
    "driving in a town; its pictures come with the class of every pixel. "
    "The frames of one drive follow one another and look alike. Pictures "
    "of the Lyft and Udacity challenge are therefore split by the set that they come in. Pictures "
    "that come as training and test images have a tenth of the former drawn for validation, and "
    "validation scores can lie well above test scores."
)


def source(root: Root, split: str, size: Size | None) -> Source:
    """Return a split of either layout; the class is the value of the red channel.

    dataA to dataE are split by set. Of train and test without a val beside them, a tenth of train,
    drawn once and for all, is the validation split.
    """
    base = data_folder(root)
    sets = {name: _camera(base, name) for names in LYFT_SETS.values() for name in names}
    if any(sets.values()):
        pairs, unpaired = [], []
        for name in LYFT_SETS[split]:
            own, lines = _pairs_of_set(base, name, sets[name])
            unpaired += lines
            pairs += [(f"{name}-{item}", *paths) for item, *paths in own]  # names repeat
        return from_files(CLASSES, (pairs, unpaired), size, indexed(MEANING, _red))
    for whole in (base, base / "dataset_256"):
        if (whole / "train" / "images").is_dir():
            return _course(whole, split, size)
    raise absent(base, "CARLA", LAYOUTS)


def _course(base: Path, split: str, size: Size | None) -> Source:
    """Return a split of train and test, with or without a val."""
    samples = split != "test" and not (base / "val" / "images").is_dir()
    part = base / ("train" if samples else split)
    pairs, unpaired = matched(part / "images", part / "labels")
    sampled = None
    if samples:
        order = np.random.RandomState(VAL_SEED).permutation(len(pairs))  # the same for ever
        chosen = sorted(order[: max(1, round(VAL_SHARE * len(pairs)))].tolist())
        if split == "val":
            sampled = {"seed": VAL_SEED, "of": len(pairs), "indices": chosen}
        pairs = [pair for i, pair in enumerate(pairs) if (i in chosen) == (split == "val")]
    decode = indexed(MEANING, _red)
    return from_files(CLASSES, (pairs, unpaired), size, decode, sampled=sampled)


def _red(label: Image.Image, path: Path) -> np.ndarray:
    """Return the red channel, or the only one."""
    values = np.asarray(label)
    return values[..., 0] if values.ndim == 3 else single_channel(label, path)


def _camera(base: Path, name: str) -> Path | None:
    places = [base / name, base / name / name]
    return next((place for place in places if (place / "CameraRGB").is_dir()), None)


def _pairs_of_set(base: Path, name: str, place: Path | None) -> Matched:
    if not place:
        raise absent(base / name, f"{name} of CARLA", "CameraRGB and CameraSeg")
    return matched(place / "CameraRGB", place / "CameraSeg")


SOURCES = {"carla": Known(source, "CARLA", ABOUT)}
