"""The training split as batches on the device: everything an epoch needs is drawn and sent there before it begins.

An epoch's order and augmentation follow from (seed, epoch) alone and are the same for all networks, devices and numbers
of processes. The split stays on the device as bytes where it fits (`Machine.keeps`); otherwise batches of bytes follow
the computation from pinned memory. Neither way makes a step wait for the host.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lib.data import Augment, Dataset
from lib.distributed import World
from lib.machine import Machine

Batch = tuple[Tensor, Tensor, Tensor]  # images uint8 (B, 3, H, W), targets uint8 (B, H, W), drawn numbers (B, 8)


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
