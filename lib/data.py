"""Data sets as pairs of image and label, read once, checked, and kept as bytes.

`load_dataset` gives the same object for every data set: its class table, its item names and pairs.
Training does not go through items: it takes the whole split as two uint8 tensors and augments
batches of them on the device, where `Augment` draws one affine map a sample and reads image and
label through the same map, the label by nearest neighbour.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence
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
from lib.datasets.folder import remedy
from lib.datasets.pairs import EMPTY, PAIRING, SPLITS, VALUES, Size, Source, Wrong
from lib.datasets.storage import CHUNK, Pixels
from lib.files import IGNORE, ClassTable, drive_and_frame
from lib.machine import Machine, World

# Images uint8 (B, 3, H, W), targets uint8 (B, H, W), numbers for their augmentation (B, 8).
Batch = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Dataset(torch.utils.data.Dataset):
    """One split: `dataset[i]` is image float32 (3, H, W) in [0, 1] and target int64 (H, W).

    Void is 255. `available` counts the items that `source` was chosen of, and `original` opens the
    split at the files' own size.
    """

    name: str
    split: str
    source: Source
    available: int | None = None
    original: Callable[[], Source] | None = None

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
        source = self.source if self.source.drawn else self.original()
        return source.read(0)[1].shape

    @cached_property
    def _content(self) -> tuple[Tensor, Tensor, np.ndarray]:
        """Images, targets, and how often each value occurs in these, int64 (256,)."""
        title = f"{self.name}/{self.split}"
        images, targets = Pixels(title, self.source).tensors()
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
    name: str, root: str | Path | None = None, split: str = "train",
    image_size: Size | None = None, limit: int | None = None,
) -> Dataset:
    """Return a split of the data set `name` at `image_size` (H, W) or the files' own size.

    `name` is a key of `lib.datasets.SOURCES`. `root` is the folder that holds the data set, else
    the environment variable SEGMENTATION_DATA, else `data/` in the project, where CamVid is
    downloaded when it is absent. `limit` keeps that many items, evenly spaced.
    Raises ValueError for an unknown name or split, a class table or file that is wrong and files
    without a partner, FileNotFoundError for a root that does not hold the data set.
    """
    if name not in SOURCES:
        forms = "or a form of one, such as camvid-without-0001TP or scenes-noise-2"
        names = ", ".join(MODULES)
        raise ValueError(f"unknown data set {name!r}: choose one of {names}, {forms}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and not (type(limit) is int and limit > 0):
        where = f"{name}/{split}"
        raise ValueError(f"limit of {limit} items: expected at least 1, or None for all of {where}")
    source = SOURCES[name].open(root, split, as_size(image_size))
    if source.unpaired:
        others = len(source.unpaired) - 1
        more = f", and {others} files more" if others else ""
        command = f"python -m report check --dataset {name}"
        command += f" --data-root {shlex.quote(str(root))}" if root else ""
        expected = "expected one image and one label for every name"
        advice = f"`{command}` lists all that is wrong"
        raise Wrong(PAIRING, f"{source.unpaired[0]}{more}; {expected}; {advice}")
    if not source.items:
        text = "no pairs are left for this split; expected more images"
        raise Wrong(PAIRING, f"{name}/{split}: {text}")
    chosen = range(len(source.items))
    if limit is not None and limit < len(chosen):
        chosen = np.linspace(0, len(chosen) - 1, limit).round().astype(int).tolist()
    available = len(source.items)
    return Dataset(name, split, source.choose(chosen), available,
                   lambda: SOURCES[name].open(root, split, None))


def load_split(config: TrainConfig, split: str, data_root: str | Path | None = None) -> Dataset:
    """Return that split of the configured data set."""
    limit = getattr(config, f"{split}_images")
    return load_dataset(config.dataset, data_root, split, config.image_size, limit)


@dataclass(frozen=True)
class Augment:
    """Scale and crop, flip, and a change of light, alike for image and label, for every sample.

    `crop` (h, w) is the size of the result; `scale` bounds the zoom (2 shows objects twice as
    large), `flip` is a probability, `colour` the largest relative change of each channel's gain and
    of the contrast. Where the window leaves the image the result is black and the label void.
    """

    crop: Size
    scale: tuple[float, float] = (0.8, 1.5)
    flip: float = 0.5
    colour: float = 0.2

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return `apply` with numbers that are drawn from the generator."""
        return self.apply(images, targets, self.draw(len(images), generator).to(images.device))

    @staticmethod
    def draw(samples: int, generator: torch.Generator) -> Tensor:
        """Return random numbers (samples, 8) from a CPU generator: the same for every device."""
        return torch.rand(samples, 8, generator=generator)

    def apply(self, images: Tensor, targets: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples that numbers (B, 8) in [0, 1) make of the images and targets.

        images uint8 (B, 3, H, W), targets uint8 (B, H, W) -> float32 (B, 3, h, w), int64 (B, h, w)
        """
        maps = self._maps(uniform, images.shape[-2:])
        grid = F.affine_grid(maps, [len(images), 1, *self.crop], align_corners=False)
        image = F.grid_sample(as_image(images), grid, mode="bilinear", align_corners=False)
        # grid_sample fills the outside with 0: shifted by void, 0 is void.
        shifted = targets[:, None].float() - IGNORE
        target = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0] + IGNORE
        gain = (1 + self.colour * (2 * uniform[:, 4:] - 1))[..., None, None]  # (B, 4, 1, 1)
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        image = (image - mean) * gain[:, 3:] + mean * gain[:, :3]
        return image.clamp(0, 1), target.round().long()

    def _maps(self, uniform: Tensor, size: Size) -> Tensor:
        """Return affine maps (B, 2, 3) from the crop's coordinates to the image's, in [-1, 1]."""
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
    """`for images, targets, numbers in feed.epoch(seed, n)`: `steps` full batches.

    The last, partial batch is dropped.
    """

    def __init__(
        self, dataset: Dataset, batch_size: int, machine: Machine, world: World = World()
    ):
        self.images, self.targets, self.machine = dataset.images, dataset.targets, machine
        self.steps = max(1, len(dataset) // batch_size)
        self.batch = min(batch_size, len(dataset))
        self.share = world.share(self.batch)
        self.resident = machine.keeps(self.images.nbytes + self.targets.nbytes)
        if self.resident:
            self.images = self.images.to(machine.device)
            self.targets = self.targets.to(machine.device)

    def epoch(self, seed: int, number: int) -> Iterator[Batch]:
        """Return that epoch's batches, for this process."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        order = torch.randperm(len(self.images), generator=generator)[: self.steps * self.batch]
        numbers = Augment.draw(len(order), generator).view(self.steps, self.batch, -1)
        numbers = numbers[:, self.share].contiguous().to(self.machine.device)
        chosen = order.view(self.steps, self.batch)[:, self.share].contiguous()
        for (images, targets), uniform in zip(self._gathered(chosen), numbers):
            yield images, targets, uniform

    def _gathered(self, chosen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        device = self.machine.device
        if self.resident:
            for batch in chosen.to(device):
                yield self.images[batch], self.targets[batch]
            return
        rows = _Rows(self.images, self.targets)
        pinned = device.type == "cuda"  # gathered while the device is busy with the step before
        for parts in DataLoader(rows, batch_size=None, sampler=list(chosen), pin_memory=pinned):
            images, targets = (part.to(device, non_blocking=True) for part in parts)
            yield images, targets


class _Rows(torch.utils.data.Dataset):
    """Rows of tensors by a tensor of indices."""

    def __init__(self, *tensors: Tensor):
        self.tensors = tensors

    def __getitem__(self, chosen: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor[chosen] for tensor in self.tensors)
