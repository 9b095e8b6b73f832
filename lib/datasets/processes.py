"""Processes that share the images of a split: those that train a network together, and forks."""

import ctypes
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lib.machine import processors


@dataclass(frozen=True)
class World:
    """The processes that train a network together under torchrun; rank 0 prints and writes."""

    rank: int = 0
    size: int = 1

    @classmethod
    def detect(cls) -> "World":
        """Return the world that `torchrun` describes; join the others on the first call."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    def total(self, part: Tensor) -> Tensor:
        """Return the sum of this tensor over the processes."""
        if self.size > 1:
            dist.all_reduce(part)
        return part

    def share(self, batch: int) -> slice:
        """Return this process's part of a batch; raise ValueError where parts would be unequal."""
        if batch % self.size:
            raise ValueError(
                f"a batch of {batch} images on {self.size} processes: expected equal parts; "
                f"choose batch_size as a multiple of {self.size}")
        return slice(self.rank, batch, self.size)

    def join(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return the model as it takes part, with averaged gradients (Li et al. 2020).

        On GPUs batch normalisation sees the whole batch, on CPUs each process's own part.
        """
        if self.size == 1:
            return model
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return DistributedDataParallel(model)


def in_processes(function: Callable, *arguments: Sequence) -> Iterable:
    """Return map(function, *arguments), computed in forks on all processors, in order."""
    tasks = len(arguments[0])
    count = min(processors(), tasks)
    if count < 2 or sys.platform != "linux":  # elsewhere a forked process is not safe
        return map(function, *arguments)
    fork, start = multiprocessing.get_context("fork"), (function, os.getpid())
    with ProcessPoolExecutor(count, fork, initializer=_begin, initargs=start) as pool:
        return list(pool.map(_call, *arguments, chunksize=math.ceil(tasks / count / 4)))


def _begin(function: Callable, parent: int) -> None:
    """Begin a fork, which inherits the function, so that it may be any."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it would wait for ever
    if os.getppid() != parent:
        os._exit(1)
    torch.set_num_threads(1)  # those of the parent's OpenMP regions do not live on in a fork
    _call.function = function


def _call(*arguments: object) -> object:
    return _call.function(*arguments)
