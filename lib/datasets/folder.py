"""Anybody's images: `root/{train,val,test}/{images,labels}` and `root/classes.json`.

classes.json is a list of classes in the order of the class index, each with a name and a color, or
an object that says more: {"name": ..., "about": ..., "void": ..., "classes": [...]}, where name and
about introduce the data set in a report. A label has one channel or a palette, or is an image in
the colours of classes.json, where black is void unless a class has it. A label value is the index
of a class, or the "value" that the class gives; "void" is the value without a class: 255 unless it
says otherwise, none where it is null or where a class has the value 255.

A training needs pixels of every class, but of those that say "optional": true.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lib.datasets.pairs import (
    VALUES, VALUES_END, Decode, Known, Root, Size, Source, Wrong, absent, counted, data_folder,
    from_files, index_decoder, match_files,
)
from lib.files import IGNORE, ClassTable

CLASSES_FILE = "classes.json"
EXAMPLE = '[{"name": "Road", "color": [128, 64, 128]}, {"name": "Car", "color": [0, 0, 142]}]'
CLASS_KEYS = {"name", "color", "value", "optional"}
TABLE_KEYS = {"name", "about", "void", "classes"}
BLACK = 0
TITLE = "Own images"
ABOUT = (
    "These are images of the user's own, with the classes and the splits that they came with. "
    "Whether the three splits are independent of each other, nobody but their owner can say: "
    "`python -m report check` finds an image that is in two of them, but not two frames of a film."
)


@dataclass(frozen=True)
class OwnClasses:
    """What a classes.json says: the classes, and the index of each label value, 255 for void."""

    table: ClassTable
    meaning: dict[int, int]
    required: tuple[int, ...] = ()  # classes that have to occur in training
    title: str = ""
    about: str = ""


UNKNOWN = OwnClasses(ClassTable(("one", "another"), ((0, 0, 0), (255, 255, 255))), {})


def folder_source(root: Root, split: str, size: Size | None, understood: bool = True) -> Source:
    """Return that split, or its files alone where classes.json is of no use (not `understood`).

    Raises FileNotFoundError for an absent folder or classes.json, ValueError for a wrong one.
    """
    base = data_folder(root)
    if not base.is_dir():
        splits = "train, val and test with images and labels in each"
        raise absent(base, "folder", f"it to hold {CLASSES_FILE}, and {splits}")
    own, decode = UNKNOWN, lambda label, path: np.zeros(label.size[::-1], np.uint8)
    if understood:
        own = read_classes(base / CLASSES_FILE)
        decode = decoder(own)
    pairs = match_files(base / split / "images", base / split / "labels")
    return from_files(
        own.table, pairs, size, decode, [base / CLASSES_FILE],
        required=own.required, title=own.title, about=own.about,
    )


def read_classes(path: Path) -> OwnClasses:
    """Return what a classes.json says. Raises ValueError with everything that is wrong with it."""
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        expected = f"expected a list in the order of the class index, such as {EXAMPLE}"
        raise FileNotFoundError(f"{path}: no such file; {expected}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON in UTF-8 ({error}); expected {EXAMPLE}") from error
    table = content if isinstance(content, dict) else {"classes": content}
    entries = table.get("classes")
    if not isinstance(entries, list) or not 1 < len(entries) <= IGNORE:
        is_list = isinstance(entries, list)
        what = f"a list of {len(entries)}" if is_list else f"no list of classes in {content!r}"
        expected = f"expected a list of 2 to {IGNORE} classes, such as {EXAMPLE}"
        raise ValueError(f"{path}: {what}; {expected}")
    lines = _wrong_with_table(table)
    for index, entry in enumerate(entries):
        lines += [f"class {index}: {line}" for line in _wrong_with_class(entry)]
    if not lines:
        lines = [line for key in ("name", "color", "value") for line in _repeated(entries, key)]
    if lines:
        raise ValueError(f"{path}: {'; '.join(lines)}")
    meaning = {entry.get("value", index): index for index, entry in enumerate(entries)}
    void = table.get("void", IGNORE)
    if void in meaning and "void" in table:
        name = entries[meaning[void]]["name"]
        raise ValueError(f"{path}: void {void} is the value of {name}; expected another, or null")
    if void is not None:
        meaning.setdefault(void, IGNORE)
    return OwnClasses(
        ClassTable(
            tuple(entry["name"] for entry in entries),
            tuple(tuple(entry["color"]) for entry in entries),
        ),
        meaning,
        tuple(index for index, entry in enumerate(entries) if not entry.get("optional")),
        table.get("name", ""),
        table.get("about", ""),
    )


def _wrong_with_table(table: dict) -> list[str]:
    lines = _unknown(table, TABLE_KEYS)
    for key in ("name", "about"):
        if not _is_line(table.get(key, "a line")):
            lines.append(f"{key} {table[key]!r}, expected one line of text")
    void = table.get("void")
    if void is not None and not _is_number(void, VALUES_END):
        lines.append(f"void {void!r}, expected a whole number below {VALUES_END}, or null")
    return lines


def _wrong_with_class(entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return [f'{entry!r}, expected {{"name": ..., "color": [...]}}']
    lines = _unknown(entry, CLASS_KEYS)
    name, color, value = entry.get("name"), entry.get("color"), entry.get("value", 0)
    if not _is_line(name):
        lines.append(f"name {name!r}, expected one line of text")
    three = isinstance(color, list) and len(color) == 3
    if not three or not all(_is_number(part, 256) for part in color):
        lines.append(f"color {color!r}, expected three whole numbers from 0 to 255")
    if not _is_number(value, VALUES_END):
        lines.append(f"value {value!r}, expected a whole number below {VALUES_END}")
    return lines


def _unknown(entry: dict, keys: set[str]) -> list[str]:
    there = ", ".join(sorted(keys))
    return [f"no such key {key!r}; there are {there}" for key in sorted(entry.keys() - keys)]


def _is_line(text: object) -> bool:
    return isinstance(text, str) and text == text.strip() != "" and text.isprintable()


def _is_number(value: object, end: int) -> bool:
    return type(value) is int and 0 <= value < end


def _repeated(entries: list[dict], key: str) -> list[str]:
    """Return a line for each class that has the same as an earlier one under this key."""
    default = range(len(entries))
    values = [entry.get(key, default[index]) for index, entry in enumerate(entries)]
    return [
        f"class {index} has the {key} of class {values.index(value)}, {value!r}"
        for index, value in enumerate(values) if values.index(value) < index
    ]


def decoder(own: OwnClasses) -> Decode:
    """Return what decodes labels of values and labels in colours."""
    by_value = index_decoder(own.meaning)
    meaning = {BLACK: IGNORE}
    for index, color in enumerate(_codes(np.array(own.table.colors))):
        meaning[int(color)] = index
    known = np.array(sorted(meaning))
    targets = np.array([meaning[code] for code in known.tolist()], np.uint8)

    def decode(label: Image.Image, path: Path) -> np.ndarray:
        if label.mode == "1" and 1 not in own.meaning:
            label = label.convert("L")  # 0 and 255
        if label.mode not in ("RGB", "RGBA"):
            return by_value(label, path)
        pixels = np.asarray(label)
        if label.mode == "RGBA" and (pixels[..., 3] < 255).any():
            text = "a label with transparent pixels; expected opaque colours, black for void"
            raise Wrong(VALUES, f"{path}: {text}")
        codes = _codes(pixels)
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        strange = known[place] != codes
        if strange.any():
            wrong, counts = np.unique(codes[strange], return_counts=True)
            colors = counted([(c >> 16, c >> 8 & 255, c & 255) for c in wrong.tolist()], counts)
            expected = f"expected the colours of {CLASSES_FILE}, or black for void"
            raise Wrong(VALUES, f"{path}: colour {colors}; {expected}")
        return targets[place]

    return decode


def _codes(colors: np.ndarray) -> np.ndarray:
    """Return one whole number for each colour: uint8 (..., 3 or more) -> int32 (...)."""
    red, green, blue = np.moveaxis(colors[..., :3].astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def remedy(name: str, void_pixels: int) -> str:
    """Return what to do about a class without pixels."""
    text = f'add images, take it out of {CLASSES_FILE}, or allow it there by "optional": true'
    if void_pixels:
        cause = f"{void_pixels:,} pixels have the value {IGNORE}, which is void"
        advice = f'if they are {name}, write "value": {IGNORE} into its line'
        return f"{cause}: {advice}; otherwise {text}"
    return text


SOURCES = {"folder": Known(folder_source, TITLE, ABOUT)}
