"""Where each data set lies, how it is laid out and split, and what its labels mean.

A source takes (root, split, size) and gives a `lib.datasets.pairs.Source`. `root` is the folder that holds the data set, or
nothing: then the environment variable SEGMENTATION_DATA counts, else `data/` in the project.
"""

import os
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from torchvision.datasets import Cityscapes

from lib import ROOT
from lib.classes import CAMVID, CARLA, CITYSCAPES, IGNORE, SCENES
from lib.datasets.camvid import DATA_ROOT, DRIVES, find_camvid
from lib.datasets.folder import CLASSES, folder
from lib.datasets.pairs import (
    Found,
    Pair,
    Size,
    Source,
    drive_and_frame,
    first_channel,
    from_files,
    indexed,
    matched,
)  # fmt: skip
from lib.scenes import draw_scene

SCENE_COUNTS = {"train": 2000, "val": 250, "test": 2000}  # the original study tested on 500
DOSES = range(5)  # of clutter and of noise
LYFT_SETS = {"train": ("dataA", "dataB", "dataC"), "val": ("dataD",), "test": ("dataE",)}  # frames follow one another
VAL_SHARE, VAL_SEED = 0.1, 0  # of the training images, where a data set brings no validation split
VAL_CITIES = ("ulm", "weimar", "zurich")  # of Cityscapes' training cities
Root = str | Path | None


def scenes(
    root: Root, split: str, size: Size | None, clutter: float = 0, noise: float = 0
) -> Source:
    """Scenes with these doses of clutter and noise; 256 x 256 pixels without a size."""
    size = size or (256, 256)
    items = [f"{split}-{index:05d}" for index in range(SCENE_COUNTS[split])]

    def read(index: int) -> Pair:
        return draw_scene(split, index, size, clutter=clutter, noise=noise)

    return Source(SCENES, items, read, independent=True, drawn_size=size)


def scene_name(clutter: int, noise: int) -> str:
    """Return the data set's name: "scenes", "scenes-noise-3", "scenes-clutter-1-noise-1"."""
    doses = {"clutter": clutter, "noise": noise}
    return "-".join(["scenes", *(f"{what}-{dose}" for what, dose in doses.items() if dose)])


def camvid(root: Root, split: str, size: Size | None) -> Source:
    """The SegNet tutorial's layout; the value after the last class is void."""
    base = find_camvid(root)
    return _camvid(_official(base, split), size)


def _camvid(found: Found, size: Size | None) -> Source:
    meaning = {k: k for k in range(len(CAMVID))} | {len(CAMVID): IGNORE}
    return from_files(CAMVID, found, size, indexed(CAMVID, meaning))


def _official(base: Path, split: str) -> Found:
    """The pairs of one of the splits that CamVid comes in."""
    return matched(base / split, base / f"{split}annot")


def camvid_without(root: Root, split: str, size: Size | None, drive: str) -> Source:
    """CamVid split by drive: nothing of the drive that is tested is seen in training or validation.

    The images of all official splits are pooled. The test split is `drive`. Of every other drive,
    in the order of its frames, the last tenth (at least one image) is the validation split and
    what precedes it belongs to the training split: cut in one place, a drive has a single pair of
    neighbouring frames that lie in different splits.

    Raises ValueError for a drive that CamVid does not have and for an image that belongs to none
    of its drives, FileNotFoundError for a drive without images.
    """
    if drive not in DRIVES:
        raise ValueError(f"no drive {drive!r} in CamVid: choose one of {', '.join(DRIVES)}")
    base = find_camvid(root)
    drives, unpaired = _by_drive(base)
    if split == "test":
        pairs = drives[drive]
    else:
        pairs = []
        for other in DRIVES:
            if other != drive:
                training, validation = _last_tenth(drives[other])
                pairs += training if split == "train" else validation
    return _camvid((pairs, unpaired), size)


def _by_drive(base: Path) -> tuple[dict[str, list], list[str]]:
    """The pairs of every drive in the order of its frames, and a line for each file that is in no pair.

    Raises ValueError for an image of an unknown drive, FileNotFoundError for a drive without one.
    """
    drives, seen, unpaired = {drive: [] for drive in DRIVES}, {}, []
    for part in ("train", "val", "test"):
        pairs, lines = _official(base, part)
        unpaired += lines
        for name, image, label in pairs:
            drive, _ = drive_and_frame(name)
            if drive not in drives:
                raise ValueError(
                    f"{image}: of no drive of CamVid; expected a name that begins with one of "
                    f"{', '.join(DRIVES)}, as in 0001TP_006690. Remove the file, or correct "
                    f"data_root (or {DATA_ROOT})"
                )
            if name in seen:
                unpaired.append(f"{image}: the same name as {seen[name]}; remove one of the two")
            else:
                seen[name] = image
                drives[drive].append((name, image, label))
    absent = [drive for drive, pairs in drives.items() if not pairs]
    if absent:
        expected = f"images of all four drives in train, val and test ({', '.join(DRIVES)})"
        raise _absent(base, f"image of the drive {absent[0]}", expected)
    for pairs in drives.values():
        pairs.sort(key=lambda pair: drive_and_frame(pair[0]))
    return drives, unpaired


def _last_tenth(pairs: list) -> tuple[list, list]:
    """Cut a list in two: what precedes its last tenth, and the last tenth, at least one entry."""
    start = len(pairs) - max(1, len(pairs) // 10)
    return pairs[:start], pairs[start:]


def carla(root: Root, split: str, size: Size | None) -> Source:
    """Either of the layouts in which pictures of the CARLA simulator circulate; the class is the red channel's value.

    dataA to dataE (the Lyft and Udacity challenge): split by set. train and test with images and labels: without a
    val beside them, a tenth of train, drawn once and for all, is the validation split.
    """
    base, drawn = _base(root), None
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
        raise _absent(base, "CARLA", "dataA to dataE with CameraRGB and CameraSeg in each, or train and test with "
                      "images and labels in each")
    return from_files(CARLA, found, size, indexed(CARLA, channel=first_channel), drawn if split == "val" else None)


def _camera(base: Path, name: str) -> Path | None:
    return next((place for place in (base / name, base / name / name) if (place / "CameraRGB").is_dir()), None)


def _set(base: Path, name: str, place: Path | None) -> Found:
    if not place:
        raise _absent(base / name, f"{name} of CARLA", "CameraRGB and CameraSeg")
    return matched(place / "CameraRGB", place / "CameraSeg")


def _together(parts: dict[str, Found]) -> Found:
    """Several folders as one, the folder's name before each name, since names repeat from one to the next."""
    pairs = [(f"{part}-{name}", *paths) for part, (found, _) in parts.items() for name, *paths in found]
    return pairs, [line for _, lines in parts.values() for line in lines]


def _draw(number: int) -> dict:
    """Which of so many training images are for validation: the same on every machine."""
    order = np.random.RandomState(VAL_SEED).permutation(number)  # this generator's numbers are fixed for good
    return {"seed": VAL_SEED, "of": number, "indices": sorted(order[: max(1, round(VAL_SHARE * number))].tolist())}


def cityscapes(root: Root, split: str, size: Size | None) -> Source:
    """The 19 training ids of the fine labels, through torchvision's loader.

    The labels of the official test split are withheld: its validation split is our test split, and three of the
    training cities are our validation split.
    """
    base = _base(root)
    if not (base / "leftImg8bit").is_dir() or not (base / "gtFine").is_dir():
        raise _absent(base, "Cityscapes", "leftImg8bit and gtFine, unpacked from leftImg8bit_trainvaltest.zip and "
                      "gtFine_trainvaltest.zip")
    official = "val" if split == "test" else "train"
    try:
        listed = Cityscapes(base, official, target_type="semantic")
    except (RuntimeError, OSError) as error:
        raise _absent(base, f"{official} of Cityscapes", f"leftImg8bit/{official} and gtFine/{official} with a folder "
                      "for each city and nothing else") from error
    images = {Path(label): Path(image) for image, (label,) in zip(listed.images, listed.targets)}
    found = sorted(label for label in images.keys() | {*(base / "gtFine" / official).glob("*/*_labelIds.png")}
                   if split == "test" or (label.parent.name in VAL_CITIES) == (split == "val"))
    if not found:
        raise _absent(base, f"{split} split of Cityscapes", f"pairs in leftImg8bit/{official} and gtFine/{official}"
                      + (f", {', '.join(VAL_CITIES)} among their cities" if split == "val" else ""))
    unpaired = [f"{label}: no image of this name in leftImg8bit/{official}" for label in found if label not in images]
    unpaired += [f"{images[label]}: no label {label}" for label in found if label in images and not label.is_file()]
    pairs = [(label.name.removesuffix("_gtFine_labelIds.png"), images[label], label)
             for label in found if label in images and label.is_file()]
    meaning = {c.id: c.train_id for c in Cityscapes.classes if c.id >= 0}
    return from_files(CITYSCAPES, (pairs, unpaired), size, indexed(CITYSCAPES, meaning))


def own(root: Root, split: str, size: Size | None, understood: bool = True) -> Source:
    """`lib.datasets.folder`"""
    if not (base := _base(root)).is_dir():
        raise _absent(base, "folder", f"it to hold {CLASSES}, and train, val and test with images and labels in each")
    return folder(base, split, size, understood)


def _base(root: Root) -> Path:
    return ROOT / Path(root or os.environ.get(DATA_ROOT) or "data").expanduser()


def _absent(base: Path, what: str, expected: str) -> FileNotFoundError:
    return FileNotFoundError(f"{base}: no {what} here; expected {expected}. Correct data_root (or {DATA_ROOT})")


SOURCES = {"scenes": scenes, "camvid": camvid, "carla": carla, "cityscapes": cityscapes, "folder": own}
SOURCES |= {f"camvid-without-{drive}": partial(camvid_without, drive=drive) for drive in DRIVES}
SCENE_DOSES = {scene_name(clutter, noise): {"clutter": clutter, "noise": noise}
               for clutter, noise in product(DOSES, DOSES)}
SOURCES |= {name: partial(scenes, **doses) for name, doses in SCENE_DOSES.items()}
