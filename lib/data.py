"""Data sets as pairs of image and label, read once, checked, and kept in memory as bytes.

`load_dataset` gives the same object for every data set: its class table, its item names and pairs. Training does not
go through items: it takes the whole split as two uint8 tensors and augments batches of them on the device, where
`Augment` draws one affine map a sample and reads image and label through the same map, the label by nearest neighbour.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from lib.config import TrainConfig, as_size
from lib.datasets import MODULES, SOURCES
from lib.datasets.pairs import PAIRING, SIZES, SPLITS, VALUES, Pair, Size, Wrong
from lib.files import IGNORE, ClassTable, drive_and_frame
from lib.machine import Machine, World, in_processes
from lib.scenes.stored import drawn_once

Batch = tuple[Tensor, Tensor, Tensor]  # images uint8 (B, 3, H, W), targets uint8 (B, H, W), numbers (B, 8)


@dataclass(frozen=True)
class Dataset(torch.utils.data.Dataset):
    """One split: `dataset[i]` is image float32 (3, H, W) in [0, 1] and target int64 (H, W), 255 = ignored."""

    name: str
    split: str
    classes: ClassTable
    items: tuple[str, ...]  # a name for each pair, unique within the split
    read: Callable[[int], Pair]
    drawn: dict | None = None  # how chance chose the items, where it did: seed, of, indices
    independent: bool = False  # no two images are frames of one film
    drawn_size: Size | None = None  # of pairs that our own code draws; None: they are files

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of the {len(self)} in {self.name}/{self.split}")
        return as_image(self.images[index]), self.targets[index].long()

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        if self.drawn_size:
            title = f"{self.name}/{self.split}"
            images, targets = drawn_once(title, self.items, self.drawn_size, self._draw)
        else:
            images, targets = self._read_files()
        targets = torch.from_numpy(targets)
        if (targets == IGNORE).all():
            raise Wrong(VALUES, f"{self.name}/{self.split}: every pixel is void; expected labelled ones in each split")
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), targets

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (N, H, W, 3) and targets uint8 (N, H, W), drawn on all processors."""
        images, targets = zip(*in_processes(self.read, range(len(self))))
        return np.stack(images), np.stack(targets)

    def _read_files(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of files. Raises Wrong unless all have one size."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter's lock
            pairs = list(pool.map(self.read, range(len(self))))
        sizes = Counter(target.shape for _, target in pairs)
        if len(sizes) > 1:
            (usual, _), *rare = sizes.most_common()
            odd = next(name for name, (_, target) in zip(self.items, pairs) if target.shape == rare[0][0])
            raise Wrong(SIZES, (
                f"{self.name}/{self.split}: {odd} has {rare[0][0][0]} x {rare[0][0][1]} pixels where most images "
                f"have {usual[0]} x {usual[1]}; set image_size to bring all to one size"
            ))
        images, targets = zip(*pairs)
        return np.stack(images), np.stack(targets)

    @property
    def images(self) -> Tensor:
        """uint8 (N, 3, H, W)"""
        return self._pairs[0]

    @property
    def targets(self) -> Tensor:
        """uint8 (N, H, W), 255 = ignored"""
        return self._pairs[1]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over names, pixels and labels, as hexadecimal digits."""
        digest = hashlib.sha256("\n".join(self.items).encode())
        for part in self._pairs:
            digest.update(part.numpy().tobytes())
        return digest.hexdigest()

    @property
    def frames(self) -> list[tuple[str, int]]:
        """The drive and the frame number of each item; an independent image is a drive of its own."""
        return [(item, 0) if self.independent else drive_and_frame(item) for item in self.items]

    def pixels_per_class(self) -> np.ndarray:
        """int64 (K,): how many pixels of the split belong to each class."""
        return np.bincount(self.targets.numpy().ravel(), minlength=256)[: len(self.classes)]


def as_image(images: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 in [0, 1]"""
    return images.float() / 255


def load_dataset(
    name: str, root: str | Path | None = None, split: str = "train", image_size: Size | None = None,
    limit: int | None = None,
) -> Dataset:
    """A split of the data set `name`, a key of `lib.datasets.SOURCES`, at `image_size` (H, W) or the files' own size.

    `root` is the folder that holds the data set, else the environment variable SEGMENTATION_DATA, else `data/`
    in the project, where CamVid is downloaded when it is absent. `limit` keeps that many items, evenly spaced.
    Raises ValueError for an unknown name or split, a class table or file that is wrong and files without a partner,
    FileNotFoundError for a root that does not hold the data set.
    """
    if name not in SOURCES:
        forms = "or a form of one, such as camvid-without-0001TP or scenes-noise-2"
        raise ValueError(f"unknown data set {name!r}: choose one of {', '.join(MODULES)}, {forms}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and not (type(limit) is int and limit > 0):
        raise ValueError(f"limit of {limit} items: expected at least 1, or None for all of {name}/{split}")
    source = SOURCES[name](root, split, as_size(image_size))
    if source.unpaired:
        more = f", and {len(source.unpaired) - 1} files more" if len(source.unpaired) > 1 else ""
        raise Wrong(PAIRING, f"{source.unpaired[0]}{more}; expected one image and one label for every name; "
                    f"`python -m report check --dataset {name}` lists all that is wrong")
    if not source.items:
        raise Wrong(PAIRING, f"{name}/{split}: no pairs are left for this split; expected more images")
    kept = range(len(source.items))
    if limit is not None and limit < len(kept):
        kept = np.linspace(0, len(kept) - 1, limit).round().astype(int).tolist()
    items = tuple(source.items[index] for index in kept)
    return Dataset(name, split, source.classes, items, lambda index: source.read(kept[index]), source.drawn,
                   source.independent, source.drawn_size)


def load_split(config: TrainConfig, split: str, data_root: str | Path | None = None) -> Dataset:
    """Return that split of the configured data set."""
    limit = getattr(config, f"{split}_images")
    return load_dataset(config.dataset, data_root, split, config.image_size, limit)


@dataclass(frozen=True)
class Augment:
    """Scale and crop, flip, and a change of light, alike for image and label and drawn anew for every sample.

    `crop` (h, w) is the size of the result; `scale` bounds the zoom (2 shows objects twice as large), `flip` is a
    probability, `colour` the largest relative change of each channel's gain and of the contrast.
    Where the window leaves the image the result is black and the label void.
    """

    crop: Size
    scale: tuple[float, float] = (0.8, 1.5)
    flip: float = 0.5
    colour: float = 0.2

    def __call__(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """images uint8 (B, 3, H, W), targets uint8 (B, H, W) -> float32 (B, 3, h, w), int64 (B, h, w)."""
        return self.apply(images, targets, self.draw(len(images), generator).to(images.device))

    @staticmethod
    def draw(samples: int, generator: torch.Generator) -> Tensor:
        """The random numbers of that many samples, from a CPU generator: the same for every device, (samples, 8)."""
        return torch.rand(samples, 8, generator=generator)

    def apply(self, images: Tensor, targets: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The samples that these numbers, (B, 8) in [0, 1) on the images' device, make of the images and targets."""
        maps = self._maps(uniform, images.shape[-2:])
        grid = F.affine_grid(maps, [len(images), 1, *self.crop], align_corners=False)
        image = F.grid_sample(as_image(images), grid, mode="bilinear", align_corners=False)
        # grid_sample fills the outside with 0: shifted by void, 0 is void.
        shifted = targets[:, None].float() - IGNORE
        target = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0] + IGNORE
        gain = (1 + self.colour * (2 * uniform[:, 4:] - 1))[..., None, None]  # (B, 4, 1, 1)
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        return ((image - mean) * gain[:, 3:] + mean * gain[:, :3]).clamp(0, 1), target.round().long()

    def _maps(self, uniform: Tensor, size: Size) -> Tensor:
        """uniform (B, 8) in [0, 1) -> affine maps (B, 2, 3) from the crop's coordinates to the image's, in [-1, 1]."""
        low, high = self.scale
        zoom = low * (high / low) ** uniform[:, 0]
        half_height, half_width = (c / s / zoom for c, s in zip(self.crop, size))
        centre_y = (2 * uniform[:, 1] - 1) * (1 - half_height).clamp(min=0)
        centre_x = (2 * uniform[:, 2] - 1) * (1 - half_width).clamp(min=0)
        mirror = torch.where(uniform[:, 3] < self.flip, -1.0, 1.0)
        zero = torch.zeros_like(zoom)
        rows = (half_width * mirror, zero, centre_x, zero, half_height, centre_y)
        return torch.stack(rows, dim=1).view(-1, 2, 3)


class Feed:
    """`for images, targets, drawn in feed.epoch(seed, n)`: `steps` full batches, the last, partial one dropped."""

    def __init__(self, dataset: Dataset, batch_size: int, machine: Machine, world: World = World()):
        self.images, self.targets, self.machine = dataset.images, dataset.targets, machine
        self.steps, self.batch = max(1, len(dataset) // batch_size), min(batch_size, len(dataset))
        self.share = world.share(self.batch)
        self.resident = machine.keeps(self.images.nbytes + self.targets.nbytes)
        if self.resident:
            self.images, self.targets = self.images.to(machine.device), self.targets.to(machine.device)

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """That epoch's batches, for this process."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        order = torch.randperm(len(self.images), generator=generator)[: self.steps * self.batch]
        drawn = Augment.draw(len(order), generator).view(self.steps, self.batch, -1)[:, self.share]
        chosen = order.view(self.steps, self.batch)[:, self.share].contiguous()
        drawn = drawn.contiguous().to(self.machine.device)
        for (images, targets), numbers in zip(self._gathered(chosen), drawn):
            yield images, targets, numbers

    def _gathered(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        device = self.machine.device
        if self.resident:
            return ((self.images[batch], self.targets[batch]) for batch in chosen.to(device))
        loader = DataLoader(_Rows(self.images, self.targets), batch_size=None, sampler=list(chosen),
                            pin_memory=device.type == "cuda")  # gathered while the device is busy with the step before
        return ((images.to(device, non_blocking=True), targets.to(device, non_blocking=True))
                for images, targets in loader)


class _Rows(torch.utils.data.Dataset):
    """Rows of tensors by a tensor of indices."""

    def __init__(self, *tensors: Tensor):
        self.tensors = tensors

    def __getitem__(self, chosen: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor[chosen] for tensor in self.tensors)
