"""What `lib.studies.cost` times: a reference case and its neighbours, on pixels and labels that are noise.

How long a step takes depends on the sizes and not on what the images show, so no data set is needed.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from lib.classes import ClassTable, family
from lib.config import TrainConfig
from lib.data import Dataset
from lib.datasets import MODULES
from lib.machine import Machine
from lib.models import UNet, build_model, multiply_adds
from lib.scenes import CLASSES as SCENES
from lib.train import Trainer

EPOCHS = 10**5  # more than are ever timed


@dataclass(frozen=True)
class Settings:
    """What is measured: the reference case, the factors by which each of its sizes is changed, and how long to look."""

    dataset: str
    image_size: tuple[int, int]
    base_channels: int
    batch_size: int
    factors: tuple[float, ...]
    seconds: float  # that a timed repeat lasts at least
    repeats: int

    @property
    def classes(self) -> int:
        return len(getattr(MODULES[family(self.dataset)], "CLASSES", SCENES))

    def case(self, **changes) -> "Case":
        base = Case("unet", self.base_channels, self.classes, self.image_size, self.batch_size)
        return replace(base, **changes)


@dataclass(frozen=True)
class Case:
    """One training step: the network, its sizes and its batch."""

    variant: str
    base_channels: int
    classes: int
    size: tuple[int, int]
    batch: int

    def trainer(self, machine: Machine, images: int | None = None) -> Trainer:
        """A training of this case on noise, at its beginning."""
        data = noise(images or self.batch, self.size, self.classes)
        config = TrainConfig(self.variant, 0, "scenes", self.size, None, None, None, None, self.base_channels,
                             EPOCHS, self.batch, 0.001, 0.01, 0.0, 1)
        return Trainer(config, Path("/nowhere"), machine, data, data)

    def model(self) -> UNet:
        return build_model(self.variant, num_classes=self.classes, base_channels=self.base_channels)

    @cache
    def arithmetic(self) -> int:
        """Multiply-adds of a training step on one image: three forward passes."""
        with torch.device("meta"):
            return 3 * multiply_adds(self.model().eval(), self.size)


def noise(images: int, size: tuple[int, int], classes: int) -> Dataset:
    """A split of random pixels and labels."""
    random = np.random.default_rng(0)
    table = ClassTable(tuple(map(str, range(classes))), ((0, 0, 0),) * classes)
    pixels = random.integers(0, 256, (images, *size, 3), np.uint8)
    labels = random.integers(0, classes, (images, *size), np.uint8)
    return Dataset("noise", "train", table, tuple(map(str, range(images))), lambda i: (pixels[i], labels[i]))
