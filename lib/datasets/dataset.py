"""A split of a data set as tensors: the same object for every data set."""

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lib import UsageError
from lib.datasets import MODULES, SOURCES
from lib.datasets.folder import remedy
from lib.datasets.pairs import (
    EMPTY, PAIRING, SPLITS, VALUES, Root, Size, Source, Wrong, drive_and_frame)
from lib.datasets.storage import CHUNK, pixels_of
from lib.files import IGNORE, ClassTable


@dataclass(frozen=True)
class Dataset(torch.utils.data.Dataset):
    """One split: `dataset[i]` is image float32 (3, H, W) in [0, 1] and target int64 (H, W).

    Void is 255. `available` counts the items that `source` was chosen of.
    """

    name: str
    split: str
    source: Source
    available: int | None = None
    root: Root = None

    @property
    def classes(self) -> ClassTable:
        """The classes in the order of their index."""
        return self.source.classes

    @property
    def items(self) -> Sequence[str]:
        """A name for each pair, unique within the split."""
        return self.source.items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of the {len(self)} in {self.name}/{self.split}")
        return as_image(self.images[index]), self.targets[index].long()

    @property
    def images(self) -> Tensor:
        """uint8 (N, 3, H, W)"""
        return self._content[0]

    @property
    def targets(self) -> Tensor:
        """uint8 (N, H, W), 255 = void"""
        return self._content[1]

    def pixels_per_class(self) -> np.ndarray:
        """Return how many pixels of the split belong to each class, int64 (K,)."""
        return self._content[2][: len(self.classes)]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over names, pixels and labels, as hexadecimal digits."""
        digest = hashlib.sha256("\n".join(self.items).encode())
        for part in (self.images, self.targets):
            for chunk in part.split(CHUNK):
                digest.update(chunk.contiguous().numpy())
        return digest.hexdigest()

    @property
    def title(self) -> str:
        """The data set's name in prose."""
        return self.source.title or SOURCES[self.name].title

    @property
    def about(self) -> str:
        """The paragraph that introduces the data set."""
        return self.source.about or SOURCES[self.name].about

    @property
    def independent(self) -> bool:
        """Whether no two images are frames of one film."""
        return self.source.independent

    @property
    def frames(self) -> list[tuple[str, int]]:
        """The drive and the frame number of each item; an independent image is its own drive."""
        return [(item, 0) if self.independent else drive_and_frame(item) for item in self.items]

    @property
    def original_size(self) -> Size:
        """(H, W) of the first file before it is brought to `image_size`, or of drawn images."""
        source = self.source
        if not source.drawn:
            source = SOURCES[self.name].open(self.root, self.split, None)
        return source.read(0)[1].shape

    @cached_property
    def _content(self) -> tuple[Tensor, Tensor, np.ndarray]:
        """Images, targets, and how often each label value occurs in these, int64 (256,)."""
        title = f"{self.name}/{self.split}"
        images, targets = pixels_of(title, self.source)
        counts = sum(np.bincount(part.ravel(), minlength=256) for part in targets.split(CHUNK))
        if counts[:IGNORE].sum() == 0:
            text = "every pixel is void; expected labelled ones in each split"
            raise Wrong(VALUES, f"{title}: {text}")
        for index in self.source.required if self.split == "train" else ():
            if not counts[index]:
                name = self.classes.names[index]
                text = f"class {index}, {name}, has no pixel in the {len(self)} training images"
                raise Wrong(EMPTY, f"{title}: {text}; {remedy(name, counts[IGNORE])}")
        return images, targets, counts


def as_image(images: Tensor) -> Tensor:
    """Return uint8 (..., 3, H, W) as float32 in [0, 1]."""
    return images.float() / 255


def load_dataset(
    name: str, root: Root = None, split: str = "train", image_size: Size | None = None,
    limit: int | None = None,
) -> Dataset:
    """Return a split of the data set `name` at `image_size` (H, W) or the files' own size.

    `name` is a key of `lib.datasets.SOURCES`. `root` is the folder that holds the data set, else
    the environment variable SEGMENTATION_DATA, else `data/` in the project, where CamVid is
    downloaded when it is absent. `limit` leaves that many items, evenly spaced.
    Raises ValueError for an unknown name or split, a class table or file that is wrong and files
    without a partner, FileNotFoundError for a root that does not hold the data set.
    """
    if name not in SOURCES:
        forms = "or a form of one, such as camvid-without-0001TP or scenes-noise-2"
        names = ", ".join(MODULES)
        raise ValueError(f"unknown data set {name!r}: choose one of {names}, {forms}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    where = f"{name}/{split}"
    if limit is not None and not (type(limit) is int and limit > 0):
        raise ValueError(f"limit of {limit} items: expected at least 1, or None for all of {where}")
    source = SOURCES[name].open(root, split, as_size(image_size))
    if source.unpaired:
        others = len(source.unpaired) - 1
        more = f", and {others} files more" if others else ""
        place = f" --data-root {shlex.quote(str(root))}" if root else ""
        command = f"python -m report check --dataset {name}{place}"
        raise Wrong(PAIRING, f"{source.unpaired[0]}{more}; expected one image and one label for "
                             f"every name; `{command}` lists all that is wrong")
    available = len(source.items)
    if not available:
        text = "no pairs are left for this split; expected more images"
        raise Wrong(PAIRING, f"{where}: {text}")
    chosen = evenly_spaced(available, limit or available).tolist()
    return Dataset(name, split, source.choose(chosen), available, root)


def described(splits: dict[str, Dataset]) -> dict:
    """Return what a record says of its data set, of train, val and test by name."""
    train, test = splits["train"], splits["test"]
    table = zip(test.classes.names, test.classes.colors)

    def each(read: Callable[[Dataset], object]) -> dict:
        return {split: read(data) for split, data in splits.items()}

    sampled = each(lambda data: data.source.sampled)
    return {
        "name": test.name, "title": test.title, "about": test.about,
        "size": test.targets.shape[1:], "original_size": train.original_size,
        "classes": [{"name": name, "color": color} for name, color in table],
        "counts": each(len),
        "available": each(lambda data: data.available),
        "checksums": each(lambda data: data.checksum),
        "pixels": each(lambda data: data.pixels_per_class().tolist()),
        "drawn": {split: chance for split, chance in sampled.items() if chance},
    }


def as_size(size: object, name: str = "image_size") -> Size | None:
    """Return (H, W) of a list or tuple, None of None; raise UsageError for anything else."""
    if size is None:
        return None
    sides = size if isinstance(size, (list, tuple)) and len(size) == 2 else [None]
    if not all(type(side) is int and side > 0 for side in sides):
        raise UsageError(
            f"{name} = {size!r}: expected height and width in pixels such as [96, 128], or None")
    return tuple(size)


def as_scale(scale: object, name: str = "scale") -> tuple[float, float]:
    """Return the bounds of the zoom; raise UsageError unless they are above 0 and in order."""
    try:
        low, high = map(float, scale)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low <= high:
        raise UsageError(f"{name} = {scale!r}: expected two numbers above 0, the smaller first")
    return low, high


def evenly_spaced(length: int, number: int) -> np.ndarray:
    """Return that many indices below `length`, or all, from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(number, length)).round().astype(int))
