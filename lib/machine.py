"""The machine at hand: its device, its processors, and what is installed on it.

A network runs channels last, in bfloat16 where the device has units for it (tensor cores; AMX),
compiled where that pays. This changes speed and rounding, never what is computed. The loss is
always float32.
"""

import math
import os
import platform
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from lib import ROOT

DETERMINISTIC = "SEGMENTATION_DETERMINISTIC"  # "1": the same bits every time, on a GPU too
PRECISION = "SEGMENTATION_PRECISION"  # "float32": that, where bfloat16 would be faster


@dataclass(frozen=True)
class Machine:
    """Where a network runs and in which form."""

    device: torch.device
    bfloat16: bool
    compiled: bool = False
    memory_format = torch.channels_last

    @classmethod
    def detect(cls) -> "Machine":
        """Return this process's GPU where there is one, else the CPU with its share of threads."""
        short = os.environ.get(PRECISION) != "float32"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
            short = short and torch.cuda.is_bf16_supported(including_emulation=False)
            return cls(torch.device("cuda"), short, compiled=True)
        torch.set_num_threads(min(torch.get_num_threads(), processors()))
        return cls(torch.device("cpu"), short and torch.cpu._is_amx_tile_supported())

    def choose_kernels(self, training: bool) -> None:
        """Choose a GPU's kernels for the process: float32 without TF32, repeatable if asked."""
        if self.device.type == "cuda":
            deterministic = os.environ.get(DETERMINISTIC) == "1"
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            torch.backends.cudnn.allow_tf32 = False
            # A training tries all kernels: its few shapes come again and again.
            torch.backends.cudnn.benchmark = training and not deterministic
            if training:
                torch.cuda.reset_peak_memory_stats()

    @property
    def name(self) -> str:
        """The device as a record names it."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name()
        number = torch.get_num_threads()
        threads = "1 thread" if number == 1 else f"{number} threads"
        return f"CPU, {threads} ({torch.backends.cpu.get_cpu_capability()})"

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bfloat16 else "float32"

    def place(self, model: nn.Module) -> nn.Module:
        """Move the model to the device, channels last, and return it."""
        return model.to(self.device, memory_format=self.memory_format)

    def logits(self, model: nn.Module, image: Tensor) -> Tensor:
        """Return float32 logits (B, K, H, W) of images (B, 3, H, W)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return model(image.contiguous(memory_format=self.memory_format)).float()

    def hold(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors on the device if they take at most a quarter of its free memory."""
        size = sum(tensor.nbytes for tensor in tensors)
        if self.device.type == "cuda" and size > torch.cuda.mem_get_info()[0] / 4:
            return tensors
        return tuple(tensor.to(self.device) for tensor in tensors)

    def rows(self, tensor: Tensor, index: Tensor) -> Tensor:
        """Return these rows on the device, copied while it is busy where they are not there."""
        rows = tensor[index.to(tensor.device)]
        if self.device.type == "cuda" and not rows.is_cuda:
            rows = rows.pin_memory()
        return rows.to(self.device, non_blocking=True)

    def peak_memory_mib(self) -> float:
        """Return the peak so far in MiB, of the device on a GPU and of the process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        unit = 1 if platform.system() == "Darwin" else 2**10  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def compiled(function: Callable, *batch: Tensor) -> Callable:
    """Return the function compiled for the shapes of this batch, or as it is where that fails."""
    # The backward pass too is made at the first call, so that its failure shows there.
    torch._functorch.config.force_non_lazy_backward_lowering = True
    torch._dynamo.config.recompile_limit = 64  # a form for each network of this process
    fast = torch.compile(function, dynamic=False)
    try:
        fast(*batch)
    except Exception as error:  # of whatever kind: without the compiler it would have worked
        reason = str(error).strip().splitlines() or [type(error).__name__]
        print(f"not compiled, slower but equal: {reason[0]}", flush=True)
        return function
    return fast


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Raise MemoryError with this advice where the device or the machine runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise MemoryError(advice) from error
        raise


def processors() -> int:
    """Return the processors this process may use, by its affinity and its container's limit."""
    affinity = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if affinity else os.cpu_count()
    limit = Path("/sys/fs/cgroup/cpu.max")  # "quota period" in microseconds, or "max period"
    quota, period = limit.read_text().split() if limit.exists() else ("max", "1")
    return allowed if quota == "max" else min(allowed, math.ceil(int(quota) / int(period)))


def provenance() -> dict:
    """Return versions of libraries and the git commit, "+" after local changes, "" without git."""
    libraries = {name: version(name) for name in ("torch", "torchvision", "numpy")}
    versions = {"python": platform.python_version()} | libraries
    command = "git describe --always --abbrev=40 --exclude=* --dirty=+".split()
    try:
        commit = subprocess.check_output(command, cwd=ROOT, stderr=subprocess.DEVNULL, text=True)
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return {"versions": versions, "commit": commit.strip()}
