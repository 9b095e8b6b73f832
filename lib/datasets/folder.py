"""Anybody's images: `root/{train,val,test}/{images,labels}` and `root/classes.json`.

classes.json is a list of {"name": "Road", "color": [128, 64, 128]} in the order of the class index. A label is an image
of one channel or with a palette, whose values are class indices and 255 for void, or an image in RGB in the colours of
classes.json, where black is void unless a class has it. An image and its label have the same stem and any extension.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from lib.datasets.pairs import (
    VALUES, Decode, Root, Size, Source, Wrong, absent, counted, data_folder, from_files, indexed, matched,
)
from lib.files import IGNORE, ClassTable

CLASSES_FILE = "classes.json"
EXAMPLE = '[{"name": "Road", "color": [128, 64, 128]}, {"name": "Car", "color": [0, 0, 142]}]'
COLORED = ("RGB", "RGBA")
BLACK = 0
UNKNOWN = ClassTable(("one", "another"), ((0, 0, 0), (255, 255, 255)))


def source(root: Root, split: str, size: Size | None, understood: bool = True) -> Source:
    """That split, or its files alone where classes.json is of no use: labels are then opened and not `understood`.

    Raises FileNotFoundError for an absent folder or classes.json, ValueError for a wrong one.
    """
    base = data_folder(root)
    if not base.is_dir():
        expected = f"it to hold {CLASSES_FILE}, and train, val and test with images and labels in each"
        raise absent(base, "folder", expected)
    classes = read_classes(base / CLASSES_FILE) if understood else UNKNOWN
    decode = decoder(classes) if understood else lambda label, path: np.zeros(label.size[::-1], np.uint8)
    return from_files(classes, matched(base / split / "images", base / split / "labels"), size, decode)


def read_classes(path: Path) -> ClassTable:
    """The class table of a classes.json, after everything that is wrong with it in one error."""
    try:
        entries = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; expected a list in the order of the class index, such as "
                                f"{EXAMPLE}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON in UTF-8 ({error}); expected {EXAMPLE}") from error
    if not isinstance(entries, list) or not 1 < len(entries) <= IGNORE:
        found = f"a list of {len(entries)}" if isinstance(entries, list) else type(entries).__name__
        raise ValueError(f"{path}: {found}; expected a list of 2 to {IGNORE} classes, such as {EXAMPLE}")
    lines = [f"class {index}: {line}" for index, entry in enumerate(entries) for line in _wrong_with(entry)]
    if not lines:
        lines = _doubles([entry["name"] for entry in entries], "name")
        lines += _doubles([tuple(entry["color"]) for entry in entries], "color")
    if lines:
        raise ValueError(f"{path}: {'; '.join(lines)}")
    return ClassTable(tuple(entry["name"] for entry in entries), tuple(tuple(entry["color"]) for entry in entries))


def _wrong_with(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return [f'{entry!r}, expected {{"name": ..., "color": [...]}}']
    name, color, lines = entry.get("name"), entry.get("color"), []
    if not isinstance(name, str) or not name.strip() or name != name.strip() or not name.isprintable():
        lines.append(f"name {name!r}, expected one line of text")
    if not (isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color)):
        lines.append(f"color {color!r}, expected three whole numbers from 0 to 255")
    return lines


def _doubles(values: list, what: str) -> list[str]:
    return [f"class {index} has the {what} of class {values.index(value)}, {value!r}"
            for index, value in enumerate(values) if values.index(value) < index]


def decoder(classes: ClassTable) -> Decode:
    """Decodes labels of indices and labels in colours."""
    by_index, codes = indexed(classes), _codes(np.array(classes.colors))
    meaning = {BLACK: IGNORE} | {int(code): index for index, code in enumerate(codes)}
    known, targets = np.array(sorted(meaning)), np.array([meaning[code] for code in sorted(meaning)], np.uint8)

    def decode(label: Image.Image, path: Path) -> np.ndarray:
        if label.mode not in COLORED:
            return by_index(label, path)
        pixels = np.asarray(label)
        if label.mode == "RGBA" and (pixels[..., 3] < 255).any():
            raise Wrong(VALUES, f"{path}: a label with transparent pixels; expected opaque colours, black for void")
        found = _codes(pixels)
        place = np.searchsorted(known, found).clip(max=len(known) - 1)
        if (strange := known[place] != found).any():
            wrong = zip(*np.unique(found[strange], return_counts=True))
            wrong = counted((_color(code), count) for code, count in wrong)
            raise Wrong(VALUES, f"{path}: colour {wrong}; expected the colours of {CLASSES_FILE}, or black for void")
        return targets[place]

    return decode


def _codes(colors: np.ndarray) -> np.ndarray:
    """uint8 (..., 3 or more) -> one whole number a colour (...)"""
    red, green, blue = np.moveaxis(colors[..., :3].astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _color(code: int) -> tuple[int, int, int]:
    return int(code) >> 16, int(code) >> 8 & 255, int(code) & 255


SOURCES = {"folder": source}
