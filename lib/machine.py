"""What the machine at hand is, and the form in which a network runs on it."""

import platform
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor, nn

from lib import ROOT


@dataclass(frozen=True)
class Machine:
    """Where a network runs and in which form."""

    device: torch.device
    bfloat16: bool

    @classmethod
    def here(cls) -> "Machine":
        if torch.cuda.is_available():
            return cls(torch.device("cuda"), torch.cuda.is_bf16_supported(including_emulation=False))
        return cls(torch.device("cpu"), torch.cpu._is_amx_tile_supported())

    @property
    def name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name()
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)} ({torch.backends.cpu.get_cpu_capability()})"

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bfloat16 else "float32"

    def logits(self, model: nn.Module, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> float32 logits (B, K, H, W)"""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return model(image.contiguous(memory_format=torch.channels_last)).float()

    def peak_memory_mib(self) -> float:
        """Of the device on a GPU, of the whole process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        unit = 1 if platform.system() == "Darwin" else 2**10  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Raises MemoryError with this advice where the device or the machine runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(advice) from error


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in ("torch", "torchvision", "numpy")}


def commit() -> str:
    """The project's git commit, "+" behind it when files differ from it; "" outside a repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
