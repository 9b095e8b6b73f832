"""Cityscapes (Cordts et al. 2016), as its archives unpack; its nineteen classes are those that are scored."""

from pathlib import Path

from torchvision.datasets import Cityscapes

from lib.datasets.pairs import Root, Size, Source, absent, data_folder, from_files, indexed
from lib.files import class_table

VAL_CITIES = ("ulm", "weimar", "zurich")  # of Cityscapes' training cities

# The nineteen classes of Cityscapes that are scored (Cordts et al. 2016), in the order of their training ids.
CLASSES = class_table(*((c.name.capitalize(), *c.color) for c in sorted(Cityscapes.classes, key=lambda c: c.train_id)
                      if not c.ignore_in_eval))


def source(root: Root, split: str, size: Size | None) -> Source:
    """The 19 training ids of the fine labels, through torchvision's loader.

    The labels of the official test split are withheld: its validation split is our test split, and three of the
    training cities are our validation split.
    """
    base = data_folder(root)
    if not (base / "leftImg8bit").is_dir() or not (base / "gtFine").is_dir():
        raise absent(base, "Cityscapes", "leftImg8bit and gtFine, unpacked from leftImg8bit_trainvaltest.zip and "
                      "gtFine_trainvaltest.zip")
    official = "val" if split == "test" else "train"
    try:
        listed = Cityscapes(base, official, target_type="semantic")
    except (RuntimeError, OSError) as error:
        raise absent(base, f"{official} of Cityscapes", f"leftImg8bit/{official} and gtFine/{official} with a folder "
                      "for each city and nothing else") from error
    images = {Path(label): Path(image) for image, (label,) in zip(listed.images, listed.targets)}
    found = sorted(label for label in images.keys() | {*(base / "gtFine" / official).glob("*/*_labelIds.png")}
                   if split == "test" or (label.parent.name in VAL_CITIES) == (split == "val"))
    if not found:
        raise absent(base, f"{split} split of Cityscapes", f"pairs in leftImg8bit/{official} and gtFine/{official}"
                      + (f", {', '.join(VAL_CITIES)} among their cities" if split == "val" else ""))
    unpaired = [f"{label}: no image of this name in leftImg8bit/{official}" for label in found if label not in images]
    unpaired += [f"{images[label]}: no label {label}" for label in found if label in images and not label.is_file()]
    pairs = [(label.name.removesuffix("_gtFine_labelIds.png"), images[label], label)
             for label in found if label in images and label.is_file()]
    meaning = {c.id: c.train_id for c in Cityscapes.classes if c.id >= 0}
    return from_files(CLASSES, (pairs, unpaired), size, indexed(CLASSES, meaning))


SOURCES = {"cityscapes": source}
