"""Pairs of an image and its label on disk: paired by name, read, checked, and brought to one size.

Only formats that Pillow decodes by itself are opened, whatever a file's name says. What is wrong
with one is said in a line that names it and the remedy; pixels in it are those of the file.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lib import ROOT
from lib.files import IGNORE, ClassTable

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")  # others may start other programs
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
SPLITS = ("train", "val", "test")
VALUES_END = 2**16  # label values lie below
DATA_ROOT = "SEGMENTATION_DATA"  # the environment variable that names the folder of data sets
# What can be wrong.
PAIRING, READING, VALUES = "files missing", "unreadable files", "wrong labels"
SIZES, EMPTY = "differing sizes", "classes without pixels"
# What people have instead of images, by suffix, and how images are made of it.
CONVERTERS = {
    ".json": "annotations in JSON: labelme2voc.py makes label images of Labelme's, annToMask of "
             "pycocotools of COCO's",
    ".npy": "arrays of NumPy: Image.fromarray(array).save(name) of Pillow makes PNG of them",
    ".heic": "photographs in HEIC: heif-convert of libheif makes PNG of them",
    ".nii": "volumes in NIfTI: nibabel reads their slices, to be saved as 8-bit PNG",
    ".dcm": "pictures in DICOM: pydicom reads them, to be saved as 8-bit PNG",
    ".mp4": "films: `ffmpeg -i FILM %06d.png` makes an image of every frame",
}
CONVERTERS[".gz"] = CONVERTERS[".nii"]

Root = str | Path | None
Size = tuple[int, int]  # height, width in pixels
Pair = tuple[np.ndarray, np.ndarray]  # image uint8 (H, W, 3), target uint8 (H, W)
Decode = Callable[[Image.Image, Path], np.ndarray]  # a label's file -> uint8 (H, W), 255 = void
# (name, image, label) by name, and a line for each file without a partner
Matched = tuple[list[tuple[str, Path, Path]], list[str]]


class Wrong(ValueError):
    """Something is wrong with a file of the data set; `kind` says what."""

    def __init__(self, kind: str, text: str):
        super().__init__(text)
        self.kind = kind


@dataclass
class Inspected:
    """What could be read of a pair, None for what could not, and all that is wrong with it."""

    image: np.ndarray | None = None  # uint8 (H, W, 3)
    target: np.ndarray | None = None  # uint8 (H, W)
    problems: list[Wrong] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """One split of a data set where it lies; `inspect(i)` reads pair i and says what is wrong."""

    classes: ClassTable
    items: Sequence[str]  # a name for each pair, unique within the split
    inspect: Callable[[int], Inspected]
    unpaired: Sequence[str] = ()  # a line for each file without a partner
    files: Sequence[Path] = ()  # that are read
    drawn: bool = False  # by our own code, which holds the interpreter's lock
    size: Size | None = None  # that all pairs are brought to
    sampled: dict | None = None  # how the split was sampled, where chance did it: seed, of, indices
    independent: bool = False  # no two images are frames of one film
    required: Collection[int] = ()  # classes without which nothing is trained
    title: str = ""  # the data set's name in prose, where it brings its own
    about: str = ""  # the paragraph that introduces it, where it brings its own

    def read(self, index: int) -> Pair:
        """Return image and target of a pair. Raises Wrong for the first problem with it."""
        pair = self.inspect(index)
        if pair.problems:
            raise pair.problems[0]
        return pair.image, pair.target

    def choose(self, indices: Sequence[int]) -> "Source":
        """Return these pairs alone."""
        items = tuple(self.items[index] for index in indices)
        return replace(self, items=items, inspect=lambda index: self.inspect(indices[index]))


@dataclass(frozen=True)
class Known:
    """A data set by name: what opens a split of it, its name in prose, its introduction.

    `open(root, split, size)` gives the pairs at `size`, or at the files' own without one.
    """

    open: Callable[[Root, str, Size | None], Source]
    title: str
    about: str


# Finding the files.


def data_folder(root: Root) -> Path:
    """Return the folder of data sets: `root`, else that of SEGMENTATION_DATA, else data/."""
    return ROOT / Path(root or os.environ.get(DATA_ROOT) or "data").expanduser()


def absent(base: Path, what: str, expected: str) -> FileNotFoundError:
    """Return the error for a folder that does not hold what it should."""
    remedy = f"Correct data_root (or {DATA_ROOT})"
    return FileNotFoundError(f"{base}: no {what} here; expected {expected}. {remedy}")


def by_stem(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the image files of a folder by stem, and a line for each that has to be renamed.

    Hidden files do not count. Raises FileNotFoundError where there is no folder or no image.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected one with a file for each pair")
    paths = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    files, lines = {}, []
    for path in [path for path in paths if path.suffix.lower() in SUFFIXES]:
        first = files.setdefault(path.stem, path)
        if not path.stem.isprintable():
            shown = repr(str(files.pop(path.stem)))
            lines.append(f"{shown}: a name with characters that cannot be shown; rename the file")
        elif first is not path:
            same = f"the same stem as {first.name}"
            lines.append(f"{path}: {same}; remove or rename one of the two")
    if not files:
        hints = {CONVERTERS.get(path.suffix.lower()) for path in paths} - {None}
        expected = f"expected one file for each pair, as {', '.join(FORMATS)}"
        raise FileNotFoundError("; ".join([f"{folder}: no images", expected, *sorted(hints)]))
    return files, lines


def match_files(images: Path, labels: Path) -> Matched:
    """Return the pairs of two folders: files of the same stem.

    Where no stem is the same, what all stems of a folder end with is left out, such as "_mask" or
    "_gtFine_labelIds". Raises FileNotFoundError for a folder that is absent or holds no images.
    """
    (photos, strange), (maps, stranger) = by_stem(images), by_stem(labels)
    if not photos.keys() & maps.keys():
        ways = product(_without_endings(photos), _without_endings(maps))
        photos, maps = max(ways, key=lambda way: len(way[0].keys() & way[1].keys()))
    pairs = [(stem, photos[stem], maps[stem]) for stem in sorted(photos.keys() & maps.keys())]
    lines = strange + stranger
    for stem in sorted(photos.keys() - maps.keys()):
        lines.append(f"{photos[stem]}: no label of this name in {labels}")
    for stem in sorted(maps.keys() - photos.keys()):
        lines.append(f"{maps[stem]}: no image of this name in {images}")
    return pairs, lines


def _without_endings(files: dict[str, Path]) -> list[dict[str, Path]]:
    """Return the files as they are, and by stems without what all of them end with.

    Such an ending begins at any of its separators.
    """
    common = os.path.commonprefix([stem[::-1] for stem in files])[::-1]
    endings = ["", *(common[place.start() :] for place in re.finditer(r"[-_. ]", common))]
    return [{stem.removesuffix(end) or stem: files[stem] for stem in files} for end in endings]


def drive_and_frame(name: str) -> tuple[str, int]:
    """Return the drive that a frame belongs to and its number: "Seq05VD_f02310" -> "Seq05VD", 2310.

    The number is the last group of digits of the name, and what precedes it names the drive, less
    the separators at its end. A name without digits is a drive of one frame.
    """
    before, digits = re.fullmatch(r"(.*?)(\d*)\D*", name).groups()
    drive = re.sub(r"[\W_]+f?$", "", before)
    return (drive, int(digits)) if digits else (name, 0)


# Reading a pair.


def from_files(
    classes: ClassTable, pairs: Matched, size: Size | None, decode: Decode,
    others: Sequence[Path] = (), **more,
) -> Source:
    """Return the split whose pairs are these files, at `size` or the files' own.

    `others` are files that decide what the labels mean, `more` further fields of `Source`.
    """
    paired, unpaired = pairs
    items = [name for name, *_ in paired]
    files = [*others, *(path for _, *both in paired for path in both)]

    def inspect(index: int) -> Inspected:
        _, image, label = paired[index]
        return inspect_pair(image, label, size, decode)

    return Source(classes, items, inspect, unpaired, files, size=size, **more)


def inspect_pair(image: Path, label: Path, size: Size | None, decode: Decode) -> Inspected:
    """Return image and target at `size`, or the files' own, and everything that is wrong."""
    pair, photo, map_ = Inspected(), None, None
    try:
        photo = read_photograph(image)
        pair.image = np.array(photo)
    except Wrong as wrong:
        pair.problems.append(wrong)
    try:
        map_ = open_image(label)
        if map_.format in ("JPEG", "MPO"):
            text = "a label in JPEG, which changes the values of pixels; expected PNG"
            raise Wrong(VALUES, f"{label}: {text}")
        pair.target = decode(map_, label)
    except Wrong as wrong:
        pair.problems.append(wrong)
    if photo and map_ and photo.size != map_.size:
        own, other = (f"{one.height} x {one.width} pixels" for one in (photo, map_))
        remedy = "give the label the image's size, without interpolation (Resampling.NEAREST)"
        text = f"the image has {own}, its label {label.name} {other}"
        pair.problems.append(Wrong(SIZES, f"{image}: {text}; they must be equal: {remedy}"))
    if size and not pair.problems:
        # Pillow's bilinear filter averages over what it shrinks.
        pair.image = np.array(photo.resize(size[::-1], Image.Resampling.BILINEAR))
        target = Image.fromarray(pair.target)
        pair.target = np.array(target.resize(size[::-1], Image.Resampling.NEAREST))
    return pair


def open_image(path: Path) -> Image.Image:
    """Return the decoded file. Raises Wrong for what Pillow cannot decode to its end."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
    except Exception as error:  # decoders raise whatever a broken file leads them into
        hint = CONVERTERS.get(path.suffix.lower(), "replace the file")
        raise Wrong(READING, f"{path}: not a readable image ({error}); {hint}") from error
    return image


def read_photograph(path: Path) -> Image.Image:
    """Return the image in RGB, turned as its EXIF says; one channel becomes three equal ones."""
    image = open_image(path)
    if image.mode.startswith(("I", "F")):
        remedy = "scale the values of all images alike to 0 to 255 and save them as 8-bit PNG"
        text = f"an image of {image.mode} values; expected 8 bits a channel: {remedy}"
        raise Wrong(READING, f"{path}: {text}")
    return ImageOps.exif_transpose(image).convert("RGB")


def single_channel(label: Image.Image, path: Path) -> np.ndarray:
    """Return the values of a label with one for each pixel; those of a palette are indices."""
    values = np.asarray(label)
    if values.ndim != 2 or values.dtype.kind == "f":
        text = f"a label of the mode {label.mode}; expected one channel of class indices"
        raise Wrong(VALUES, f"{path}: {text}")
    return values


def index_decoder(
    meaning: dict[int, int],
    channel: Callable[[Image.Image, Path], np.ndarray] = single_channel,
) -> Decode:
    """Return what decodes labels by the class index, or 255 for void, that each value means."""
    table = np.full(VALUES_END, -1, np.int16)
    for value, index in meaning.items():
        table[value] = index

    def decode(label: Image.Image, path: Path) -> np.ndarray:
        values = channel(label, path).astype(np.int64)
        inside = (values >= 0) & (values < VALUES_END)
        target = np.where(inside, table[values.clip(0, VALUES_END - 1)], -1)
        if (target < 0).any():
            strange = counted(*np.unique(values[target < 0], return_counts=True))
            raise Wrong(VALUES, f"{path}: label value {strange}; expected {_expected(meaning)}")
        return target.astype(np.uint8)

    return decode


def _expected(meaning: dict[int, int]) -> str:
    """Return "0 to 11, or 255 for void" or "0, 255"."""
    void = meaning.get(IGNORE) == IGNORE
    plain = sorted(meaning.keys() - {IGNORE} if void else meaning)
    contiguous = plain == list(range(plain[0], plain[-1] + 1))
    text = f"{plain[0]} to {plain[-1]}" if contiguous else ", ".join(map(str, plain))
    return f"{text}, or {IGNORE} for void" if void else text


def counted(values: Iterable, counts: Iterable[int]) -> str:
    """Return "77 in 768 pixels, 78 in 3 pixels", the five most frequent in their order."""
    rows = sorted(zip(values, counts), key=lambda row: -row[1])
    more = f" and {len(rows) - 5} more values" if len(rows) > 5 else ""
    return ", ".join(f"{value} in {count} pixels" for value, count in rows[:5]) + more
