"""Data sets as pairs of image and label, read once, checked, and kept in memory as bytes.

`load_dataset` gives the same object for every data set: its class table, its item names and pairs. Training does not
go through items: it takes the whole split as two uint8 tensors and augments batches of them on the device, where
`Augment` draws one affine map a sample and reads image and label through the same map, the label by nearest neighbour.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from lib.camvid import find_camvid
from lib.classes import CAMVID, IGNORE, SCENES, ClassTable
from lib.machine import in_processes
from lib.scenes import draw_scene

SPLITS = ("train", "val", "test")
SCENE_COUNTS = {"train": 2000, "val": 250, "test": 500}  # the size of the original study's splits
Size = tuple[int, int]  # height, width in pixels
Pair = tuple[np.ndarray, np.ndarray]  # image uint8 (H, W, 3), target uint8 (H, W)


@dataclass(frozen=True)
class Dataset(torch.utils.data.Dataset):
    """One split: `dataset[i]` is image float32 (3, H, W) in [0, 1] and target int64 (H, W), 255 = ignored."""

    name: str
    split: str
    classes: ClassTable
    items: tuple[str, ...]  # a name for each pair, unique within the split
    read: Callable[[int], Pair]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of the {len(self)} in {self.name}/{self.split}")
        return as_image(self.images[index]), self.targets[index].long()

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        if self.name == "scenes":
            pairs = list(in_processes(self._checked, range(len(self))))
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the interpreter's lock
                pairs = list(pool.map(self._checked, range(len(self))))
        sizes = Counter(target.shape for _, target in pairs)
        if len(sizes) > 1:
            (usual, _), *rare = sizes.most_common()
            odd = next(name for name, (_, target) in zip(self.items, pairs) if target.shape == rare[0][0])
            raise ValueError(
                f"{self.name}/{self.split}: {odd} has {rare[0][0][0]} x {rare[0][0][1]} pixels where most images "
                f"have {usual[0]} x {usual[1]}; set image_size to bring all to one size"
            )
        images, targets = (torch.from_numpy(np.stack(part)) for part in zip(*pairs))
        return images.permute(0, 3, 1, 2).contiguous(), targets

    def _checked(self, index: int) -> Pair:
        image, target = self.read(index)
        where = f"{self.name}/{self.split}/{self.items[index]}"
        if image.shape[:2] != target.shape:
            raise ValueError(
                f"{where}: the image has {image.shape[0]} x {image.shape[1]} pixels, its label "
                f"{target.shape[0]} x {target.shape[1]}; they must be equal"
            )
        wrong = target[(target >= len(self.classes)) & (target != IGNORE)]
        if wrong.size:
            raise ValueError(
                f"{where}: label value {wrong[0]} in {np.count_nonzero(wrong == wrong[0])} pixels; "
                f"expected 0 to {len(self.classes) - 1}, or {IGNORE} for void"
            )
        return image, target

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
    """A split of the data set `name` ("scenes" or "camvid"), at `image_size` (H, W) or the files' own size.

    `root` is the folder that holds the data set, else the environment variable SEGMENTATION_DATA, else `data/`
    in the project, where CamVid is downloaded when it is absent. `limit` keeps that many items, evenly spaced.
    Raises ValueError for an unknown name or split, FileNotFoundError for a root without complete pairs.
    """
    if name not in LOADERS:
        raise ValueError(f"unknown data set {name!r}: choose one of {', '.join(LOADERS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit of {limit} items: expected at least 1, or None for all of {name}/{split}")
    classes, items, read = LOADERS[name](root, split, tuple(image_size) if image_size else None)
    if limit is not None and limit < len(items):
        kept = np.linspace(0, len(items) - 1, limit).round().astype(int)
        return Dataset(name, split, classes, tuple(items[i] for i in kept), lambda i: read(int(kept[i])))
    return Dataset(name, split, classes, tuple(items), read)


def _scenes(root: None, split: str, size: Size | None):
    items = [f"{split}-{index:05d}" for index in range(SCENE_COUNTS[split])]
    return SCENES, items, lambda index: draw_scene(split, index, size or (256, 256))


def _camvid(root: str | Path | None, split: str, size: Size | None):
    folder = find_camvid(root)
    images = _by_stem(folder / split)
    labels = _by_stem(folder / f"{split}annot")
    for one, other, where in ((images, labels, f"{split}annot"), (labels, images, split)):
        if missing := sorted(one.keys() - other.keys()):
            raise FileNotFoundError(
                f"{folder}: {len(missing)} files have no partner of the same name in {where}/, the first is "
                f"{one[missing[0]].name}; expected one image and one label for every name"
            )
    stems = sorted(images)

    def read(index: int) -> Pair:
        image, target = _pair(images[stems[index]], labels[stems[index]], size)
        return image, np.where(target == len(CAMVID), IGNORE, target).astype(np.uint8)  # 11 is CamVid's void

    return CAMVID, stems, read


def _by_stem(folder: Path) -> dict[str, Path]:
    suffixes = Image.registered_extensions()
    files = {path.stem: path for path in folder.glob("*") if path.suffix.lower() in suffixes}
    if not files:
        raise FileNotFoundError(f"{folder}: no images; expected one file for each pair, in a format Pillow reads")
    return files


def _pair(image_path: Path, label_path: Path, size: Size | None) -> Pair:
    image = _open(image_path).convert("RGB")
    label = _open(label_path)
    if size:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)  # Pillow's averages over what it shrinks
        label = label.resize(size[::-1], Image.Resampling.NEAREST)
    target = np.array(label)
    if target.ndim != 2:
        raise ValueError(f"{label_path}: a label of {target.shape[2]} channels; expected one channel of class indices")
    return np.array(image), target


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path}: not a readable image ({error}); replace the file") from error
    return image


LOADERS = {"scenes": _scenes, "camvid": _camvid}


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
