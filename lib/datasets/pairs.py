"""Pairs of an image and its label on disk: found by their stem, read, checked, and brought to one size.

Files come from anybody. Only formats that Pillow decodes by itself are opened, whatever a file's name says, and
everything that is wrong with one is said in a line that names it. A label is decoded before it is resized, so that
the pixels counted in an error are those of the file.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lib import ROOT
from lib.files import IGNORE, ClassTable

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")  # of more than these, some start other programs
SUFFIXES = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
LOSSY = ("JPEG", "MPO")
SPLITS = ("train", "val", "test")
PAIRING, READING, VALUES, SIZES = "files missing", "unreadable files", "wrong labels", "differing sizes"  # kinds
SHOWN = 5  # wrong values of one label that are listed
DATA_ROOT = "SEGMENTATION_DATA"  # the environment variable that names the folder of data sets
Root = str | Path | None
Size = tuple[int, int]  # height, width in pixels
Pair = tuple[np.ndarray, np.ndarray]  # image uint8 (H, W, 3), target uint8 (H, W)
Decode = Callable[[Image.Image, Path], np.ndarray]  # a label's file -> uint8 (H, W), 255 = void


def data_folder(root: Root) -> Path:
    """Return the folder of data sets: `root`, else that of SEGMENTATION_DATA, else data/ in the project."""
    return ROOT / Path(root or os.environ.get(DATA_ROOT) or "data").expanduser()


def absent(base: Path, what: str, expected: str) -> FileNotFoundError:
    """Return the error for a folder that does not hold what it should."""
    return FileNotFoundError(f"{base}: no {what} here; expected {expected}. Correct data_root (or {DATA_ROOT})")


class Wrong(ValueError):
    """Something is wrong with a file of the data set; `kind` says what.

    `others` is what else is wrong with its pair, `readable` its image and its target, None for what cannot be read.
    """

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind, self.others, self.readable = kind, [], (None, None)


@dataclass(frozen=True)
class Source:
    """One split of a data set where it lies: how its pairs are read, and a line for each file without a partner."""

    classes: ClassTable
    items: Sequence[str]  # a name for each pair, unique within the split
    read: Callable[[int], Pair]
    unpaired: Sequence[str] = ()
    drawn: dict | None = None  # how the split was drawn, where chance did it: seed, of, indices
    independent: bool = False  # no two images are frames of one film
    drawn_size: Size | None = None  # of pairs that our own code draws; None: they are files


Found = tuple[list[tuple[str, Path, Path]], list[str]]  # (name, image, label) by name, and what has no partner


def by_stem(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The image files of a folder by stem, and a line for each that has to be renamed; hidden files do not count."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected it to hold one file for each pair")
    files, lines = {}, []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        if not path.stem.isprintable():
            lines.append(f"{str(path)!r}: a name with characters that cannot be shown; rename the file")
        elif path.stem in files:
            lines.append(f"{path}: the same stem as {files[path.stem].name}; remove or rename one of the two")
        else:
            files[path.stem] = path
    if not files:
        raise FileNotFoundError(f"{folder}: no images; expected one file for each pair, as {', '.join(FORMATS)}")
    return files, lines


def matched(images: Path, labels: Path) -> Found:
    """The pairs of two folders. Raises FileNotFoundError for a folder that is absent or holds no images."""
    (photos, strange), (maps, stranger) = by_stem(images), by_stem(labels)
    lines = strange + stranger
    lines += [f"{photos[stem]}: no label of this name in {labels}" for stem in sorted(photos.keys() - maps.keys())]
    lines += [f"{maps[stem]}: no image of this name in {images}" for stem in sorted(maps.keys() - photos.keys())]
    return [(stem, photos[stem], maps[stem]) for stem in sorted(photos.keys() & maps.keys())], lines


def from_files(classes: ClassTable, found: Found, size: Size | None, decode: Decode,
               drawn: dict | None = None) -> Source:
    """The split whose pairs are these files, at `size` or the files' own."""
    pairs, unpaired = found
    return Source(classes, [name for name, *_ in pairs], lambda index: read_pair(*pairs[index][1:], size, decode),
                  unpaired, drawn)


def read_pair(image_path: Path, label_path: Path, size: Size | None, decode: Decode) -> Pair:
    """Image and target of one size. Raises Wrong for the first problem, with all others."""
    problems: list[Wrong] = []

    def attempt(step: Callable, *arguments):
        try:
            return step(*arguments)
        except Wrong as wrong:
            problems.append(wrong)

    image, label = attempt(_photograph, image_path), attempt(open_image, label_path)
    target = attempt(_decoded, label, label_path, decode) if label else None
    if image and label and image.size != label.size:
        problems.append(Wrong(SIZES, f"{image_path}: the image has {_pixels(image)}, its label {label_path.name} "
                              f"{_pixels(label)}; they must be equal"))
    if problems:
        problems[0].others, problems[0].readable = problems[1:], (image and np.array(image), target)
        raise problems[0]
    if size:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)  # Pillow's averages over what it shrinks
        target = np.array(Image.fromarray(target).resize(size[::-1], Image.Resampling.NEAREST))
    return np.array(image), target


def _decoded(label: Image.Image, path: Path, decode: Decode) -> np.ndarray:
    if label.format in LOSSY:
        raise Wrong(VALUES, f"{path}: a label in JPEG, which changes the values of pixels; expected PNG")
    return decode(label, path)


def _pixels(image: Image.Image) -> str:
    return f"{image.height} x {image.width} pixels"


def open_image(path: Path) -> Image.Image:
    """The decoded file. Raises Wrong for what Pillow cannot decode to its end."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
    except Exception as error:  # decoders raise whatever a broken file leads them into
        raise Wrong(READING, f"{path}: not a readable image ({error}); replace the file") from error
    return image


def _photograph(path: Path) -> Image.Image:
    """In RGB, turned as its EXIF says."""
    image = open_image(path)
    if image.mode.startswith(("I", "F")):
        raise Wrong(READING, f"{path}: an image of {image.mode} values; expected 8 bits a channel")
    return ImageOps.exif_transpose(image).convert("RGB")


def single_channel(label: Image.Image, path: Path) -> np.ndarray:
    """The values of a label that has one for each pixel; those of a palette are its indices."""
    values = np.asarray(label)
    if values.ndim != 2 or values.dtype.kind == "f":
        raise Wrong(VALUES, f"{path}: a label of the mode {label.mode}; expected one channel of class indices")
    return values


def first_channel(label: Image.Image, path: Path) -> np.ndarray:
    """The red one, or the only one."""
    values = np.asarray(label)
    return values[..., 0] if values.ndim == 3 else single_channel(label, path)


def indexed(classes: ClassTable, meaning: dict[int, int] | None = None,
            channel: Callable[[Image.Image, Path], np.ndarray] = single_channel) -> Decode:
    """Decodes labels whose values are indices, or what `meaning` maps to indices; 255 is void."""
    table = np.full(256, -1, np.int16)
    for value, index in (meaning or {k: k for k in range(len(classes))}).items() | {(IGNORE, IGNORE)}:
        table[value] = index
    known = np.flatnonzero(table[:IGNORE] >= 0)

    def decode(label: Image.Image, path: Path) -> np.ndarray:
        values = channel(label, path).astype(np.int64)
        inside = (values >= 0) & (values < len(table))
        target = np.where(inside, table[np.where(inside, values, 0)], -1)
        if (target < 0).any():
            wrong = zip(*np.unique(values[target < 0], return_counts=True))
            raise Wrong(VALUES, f"{path}: label value {counted(wrong)}; expected {known[0]} to {known[-1]}, "
                        f"or {IGNORE} for void")
        return target.astype(np.uint8)

    return decode


def counted(values: Iterable[tuple[object, int]]) -> str:
    """ "77 in 768 pixels, 78 in 3 pixels" """
    values = sorted(values, key=lambda entry: -entry[1])
    more = f" and {len(values) - SHOWN} more values" if len(values) > SHOWN else ""
    return ", ".join(f"{value} in {count} pixels" for value, count in values[:SHOWN]) + more
