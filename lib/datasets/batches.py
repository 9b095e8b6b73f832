"""Batches of a split for a training: their order, their augmentation, this process's part of them.

A training has the whole split as two uint8 tensors and augments batches of them on the device:
`Augment` reads image and label through the same affine map, the label by nearest neighbour.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.datasets.dataset import Dataset, as_image
from lib.datasets.pairs import Size
from lib.datasets.processes import World
from lib.files import IGNORE
from lib.machine import Machine


@dataclass(frozen=True)
class Augment:
    """Scale and crop, flip, and a change of light, alike for image and label, for every sample.

    Where the window leaves the image the result is black and the label void.
    """

    crop: Size  # of the result
    scale: tuple[float, float] = (0.8, 1.5)  # bounds of the zoom; 2 shows objects twice as large
    flip: float = 0.5  # its probability
    colour: float = 0.2  # largest relative change of each channel's gain and of the contrast

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
    """`for images, targets, numbers in feed.epoch(seed, n)`: `steps` batches, all of them full."""

    def __init__(
        self, dataset: Dataset, batch_size: int, machine: Machine, world: World = World()
    ):
        self.machine = machine
        self.images, self.targets = machine.hold(dataset.images, dataset.targets)
        self.steps = max(1, len(dataset) // batch_size)
        self.batch = min(batch_size, len(dataset))
        self.share = world.share(self.batch)

    def epoch(self, seed: int, number: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield this process's part of the epoch's batches.

        Images uint8 (B, 3, H, W), targets uint8 (B, H, W), numbers for their augmentation (B, 8).
        """
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        order = torch.randperm(len(self.images), generator=generator)[: self.steps * self.batch]
        numbers = Augment.draw(len(order), generator).view(self.steps, self.batch, -1)
        numbers = numbers[:, self.share].contiguous().to(self.machine.device)
        chosen = order.view(self.steps, self.batch)[:, self.share].to(self.images.device)
        for index, uniform in zip(chosen, numbers):
            images = self.machine.rows(self.images, index)
            yield images, self.machine.rows(self.targets, index), uniform
