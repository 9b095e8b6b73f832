"""Pictures of the CARLA simulator (Dosovitskiy et al. 2017), in the layouts that circulate."""

from pathlib import Path

import numpy as np
from PIL import Image

from lib.datasets.pairs import (
    Known, Root, Size, Source, absent, data_folder, from_files, index_decoder, match_files,
    single_channel,
)
from lib.files import IGNORE
from lib.scenes.stage import CLASSES  # the drawn scenes have CARLA's classes

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


def carla_source(root: Root, split: str, size: Size | None) -> Source:
    """Return a split of either layout; the class is the value of the red channel.

    dataA to dataE are split by set. Of train and test without a val beside them, a tenth of train,
    drawn once and for all, is the validation split.
    """
    base = data_folder(root)
    cameras = sorted([*base.glob("data?/CameraRGB"), *base.glob("data?/data?/CameraRGB")])
    sets = {camera.parent.name: camera.parent for camera in cameras}
    if sets:
        pairs, unpaired = [], []
        for name in LYFT_SETS[split]:
            if name not in sets:
                raise absent(base / name, f"{name} of CARLA", "CameraRGB and CameraSeg")
            own, lines = match_files(sets[name] / "CameraRGB", sets[name] / "CameraSeg")
            unpaired += lines
            pairs += [(f"{name}-{item}", *paths) for item, *paths in own]  # names repeat
        return from_files(CLASSES, (pairs, unpaired), size, index_decoder(MEANING, _red))
    for whole in (base, base / "dataset_256"):
        if (whole / "train" / "images").is_dir():
            return _course(whole, split, size)
    raise absent(base, "CARLA", LAYOUTS)


def _course(base: Path, split: str, size: Size | None) -> Source:
    """Return a split of train and test, with or without a val."""
    samples = split != "test" and not (base / "val" / "images").is_dir()
    part = base / ("train" if samples else split)
    pairs, unpaired = match_files(part / "images", part / "labels")
    sampled = None
    if samples:
        order = np.random.RandomState(VAL_SEED).permutation(len(pairs))  # the same for ever
        chosen = sorted(order[: max(1, round(VAL_SHARE * len(pairs)))].tolist())
        if split == "val":
            sampled = {"seed": VAL_SEED, "of": len(pairs), "indices": chosen}
        pairs = [pair for i, pair in enumerate(pairs) if (i in chosen) == (split == "val")]
    decode = index_decoder(MEANING, _red)
    return from_files(CLASSES, (pairs, unpaired), size, decode, sampled=sampled)


def _red(label: Image.Image, path: Path) -> np.ndarray:
    """Return the red channel, or the only one."""
    values = np.asarray(label)
    return values[..., 0] if values.ndim == 3 else single_channel(label, path)


SOURCES = {"carla": Known(carla_source, "CARLA", ABOUT)}
