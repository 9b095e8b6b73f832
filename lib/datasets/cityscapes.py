"""Cityscapes (Cordts et al. 2016), as its archives unpack, with the classes that are scored."""

from pathlib import Path

from lib.datasets.pairs import (
    Known, Root, Size, Source, absent, data_folder, from_files, index_decoder,
)
from lib.files import IGNORE, ClassTable

VAL_CITIES = ("ulm", "weimar", "zurich")  # of Cityscapes' training cities
ENDING = "_gtFine_labelIds.png"
ABOUT = (
    "*Cityscapes* ([Cordts et al., 2016](https://doi.org/10.1109/CVPR.2016.350)) was recorded in "
    "fifty cities and labelled by hand. Its "
    "nineteen classes are those that its authors score; everything else is void. The labels of the "
    "official test split are withheld: what we test on is its validation split, and we validate on "
    "three of the training cities."
)


def cityscapes_source(root: Root, split: str, size: Size | None) -> Source:
    """Return a split with the 19 training ids of the fine labels, through torchvision's loader.

    The labels of the official test split are withheld: its validation split is our test split, and
    three of the training cities are our validation split.
    """
    from torchvision.datasets import Cityscapes  # takes nearly as long as torch

    base = data_folder(root)
    if not (base / "leftImg8bit").is_dir() or not (base / "gtFine").is_dir():
        archives = "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip"
        raise absent(base, "Cityscapes", f"leftImg8bit and gtFine, unpacked from {archives}")
    official = "val" if split == "test" else "train"
    places = f"leftImg8bit/{official} and gtFine/{official}"
    try:
        listed = Cityscapes(base, official, target_type="semantic")
    except (RuntimeError, OSError) as error:
        expected = f"{places} with a folder for each city and nothing else"
        raise absent(base, f"{official} of Cityscapes", expected) from error
    images = {Path(label): Path(image) for image, (label,) in zip(listed.images, listed.targets)}
    labels = images.keys() | {*(base / "gtFine" / official).glob(f"*/*{ENDING}")}
    if split != "test":
        val = {label for label in labels if label.parent.name in VAL_CITIES}
        labels = val if split == "val" else labels - val
    if not labels:
        among = f", {', '.join(VAL_CITIES)} among their cities" if split == "val" else ""
        raise absent(base, f"{split} split of Cityscapes", f"pairs in {places}{among}")
    pairs, unpaired = [], []
    for label in sorted(labels):
        if label not in images:
            unpaired.append(f"{label}: no image of this name in leftImg8bit/{official}")
        elif not label.is_file():
            unpaired.append(f"{images[label]}: no label {label}")
        else:
            pairs.append((label.name.removesuffix(ENDING), images[label], label))
    scored = [entry for entry in Cityscapes.classes if not entry.ignore_in_eval]
    scored.sort(key=lambda entry: entry.train_id)
    classes = ClassTable.of(*((entry.name.capitalize(), *entry.color) for entry in scored))
    meaning = {c.id: c.train_id for c in Cityscapes.classes if c.id >= 0} | {IGNORE: IGNORE}
    return from_files(classes, (pairs, unpaired), size, index_decoder(meaning))


SOURCES = {"cityscapes": Known(cityscapes_source, "Cityscapes", ABOUT)}
