"""One training on several processes, started by `torchrun`: data parallel, with batch statistics over all of them.

Every process takes an equal part of every batch; gradients are averaged (Li et al. 2020), and whatever is a sum over
the batch (the loss and its weights, Dice's overlaps, the moments of batch normalisation) is summed over the processes
before it is used. Two processes therefore compute what one computes with the same batch, up to rounding.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """The processes that train one network together, and which of them this is; by itself it is alone.

    The first one prints and writes; all read the same data and the same output folder.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> "World":
        """As `torchrun` describes it in the environment; joins the others on the first call."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def alone(self) -> bool:
        return self.size == 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, part: Tensor) -> Tensor:
        """The sum of this tensor over the processes; differentiable."""
        return part if self.alone else _Sum.apply(part)

    def wait(self) -> None:
        """Until every process is here."""
        if not self.alone:
            dist.barrier()

    def share(self, batch: int) -> slice:
        """This process's part of a batch; ValueError where the parts would be unequal."""
        if batch % self.size:
            raise ValueError(f"a batch of {batch} images on {self.size} processes: expected equal parts; "
                             f"choose batch_size as a multiple of {self.size}")
        return slice(self.rank, batch, self.size)

    def join(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model as it takes part: with synchronised normalisation (in place) and averaged gradients."""
        if self.alone:
            return model
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:
            for module in model.modules():
                if type(module) is nn.BatchNorm2d:
                    module.__class__ = _SharedBatchNorm
        return DistributedDataParallel(model)


class _Sum(torch.autograd.Function):
    """The sum over the processes; every process's use of it counts in the gradient, which is a sum too."""

    @staticmethod
    def forward(ctx, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    backward = forward


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the moments of all processes' equal parts; PyTorch's own does that on GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)"""
        if not self.training:
            return super().forward(x)
        size, axes = dist.get_world_size(), (0, 2, 3)
        mean = _Sum.apply(x.float().mean(axes)) / size
        centred = x.float() - mean[:, None, None]
        variance = _Sum.apply(centred.square().mean(axes)) / size
        with torch.no_grad():
            count = size * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
