"""What the machine at hand is, and the form in which a network runs on it.

A form (precision, memory format, compiler, fused optimiser, where the data are kept) changes speed and rounding, never
what is computed: it is no part of a run's settings, `Machine.detect` chooses it, and `lib.studies.cost` measures it piece by piece.
bfloat16 is used where there are units for it (tensor cores; AMX), float32 elsewhere; the loss is always float32.
"""

import ctypes
import math
import multiprocessing
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lib import ROOT

DETERMINISTIC = "SEGMENTATION_DETERMINISTIC"  # "1": the same bits every time, on a GPU too
PRECISION = "SEGMENTATION_PRECISION"  # "float32": that, where bfloat16 would be faster
COMPILE_FROM = 1e16  # multiply-adds of a training above which the compiler's minute is well spent on a GPU


@dataclass(frozen=True)
class Machine:
    """Where a network runs and in which form.

    `resident` keeps the training split on the device (None: where it takes at most a quarter of the free memory).
    `deterministic` matters on a GPU only; a CPU repeats its bits anyway.
    """

    device: torch.device
    bfloat16: bool
    channels_last: bool = True
    compiled: bool = False
    fused: bool = True
    resident: bool | None = None
    deterministic: bool = False

    @classmethod
    def detect(cls) -> "Machine":
        """Return the GPU of this process where there is one, else the CPU with the threads it may really use."""
        short = os.environ.get(PRECISION) != "float32"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
            return cls(torch.device("cuda"), short and torch.cuda.is_bf16_supported(including_emulation=False),
                       compiled=True, deterministic=os.environ.get(DETERMINISTIC) == "1")
        torch.set_num_threads(min(torch.get_num_threads(), processors()))
        return cls(torch.device("cpu"), short and torch.cpu._is_amx_tile_supported())

    def switch_on(self) -> None:
        """Sets what PyTorch keeps for the whole process: whether fast or repeatable kernels are chosen."""
        if self.device.type == "cuda":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(self.deterministic, warn_only=True)
            torch.backends.cudnn.benchmark = not self.deterministic

    def compiling(self, multiply_adds: float) -> "Machine":
        """This machine, without its compiler for a training too short to win back the time that compiling takes."""
        return replace(self, compiled=self.compiled and multiply_adds >= COMPILE_FROM)

    def compile(self, function: Callable) -> Callable:
        """The function as the compiler makes it, for one shape of its arguments; as it is where that is off or fails."""
        return _Compiled(function, self.device.type) if self.compiled else function

    @property
    def name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name()
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'s' * (threads > 1)} ({torch.backends.cpu.get_cpu_capability()})"

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bfloat16 else "float32"

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device, its weights in the memory format of the images."""
        return model.to(self.device, memory_format=self.memory_format)

    def logits(self, model: nn.Module, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> float32 logits (B, K, H, W)"""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return model(image.contiguous(memory_format=self.memory_format)).float()

    def keeps(self, nbytes: int) -> bool:
        """Whether that many bytes of training data stay on the device; on a CPU they are there already."""
        if self.resident is None and self.device.type == "cuda":
            return nbytes <= torch.cuda.mem_get_info()[0] / 4
        return self.resident is not False

    def synchronise(self) -> None:
        """Waits until the device has done everything that it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def memory(self) -> int:
        """Bytes of the device's memory."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def forget_peak_memory(self) -> None:
        """Begin to measure the peak anew, where that can be done: on a GPU."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def peak_memory_mib(self) -> float:
        """Of the device on a GPU, of the whole process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        unit = 1 if platform.system() == "Darwin" else 2**10  # bytes there, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@dataclass(frozen=True)
class World:
    """The processes that train one network together, and which of them this is; by itself it is alone.

    The first one prints and writes; all read the same data and the same output folder.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def detect(cls) -> "World":
        """Return the world that `torchrun` describes in the environment; join the others on the first call."""
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
        """Return the sum of this tensor over the processes."""
        if not self.alone:
            dist.all_reduce(part)
        return part

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
        """Return the model as it takes part, with averaged gradients (Li et al. 2020).

        On GPUs the statistics of batch normalisation are those of all processes' parts together; on CPUs,
        where PyTorch has no such layer, each process normalises by its own part of the batch.
        """
        if self.alone:
            return model
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return DistributedDataParallel(model)

    @staticmethod
    def leave() -> None:
        """Leave the other processes, where there are any."""
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Raises MemoryError with this advice where the device or the machine runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(advice) from error


class _Compiled:
    """A function that is compiled when it is first called, and stays as it was where the compiler cannot."""

    def __init__(self, function: Callable, device: str):
        missing = [tool for tool, found in (("a C compiler", any(map(shutil.which, ("cc", "gcc", "clang")))),
                                            ("Triton", device != "cuda" or find_spec("triton"))) if not found]
        self.plain, self.call = function, function if missing else torch.compile(function, dynamic=False)
        if missing:
            print(f"not compiled, slower but equal: {' and '.join(missing)} not found")

    def __call__(self, *tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        try:
            return self.call(*tensors)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            print(f"not compiled, slower but equal: {str(error).strip().splitlines()[0]}")
            self.call = self.plain
            return self.call(*tensors)


def processors() -> int:
    """Processors that this process may use, by its affinity and by its container's share of time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = Path("/sys/fs/cgroup/cpu.max")  # "quota period" in microseconds, or "max period"
    quota, period = limit.read_text().split() if limit.exists() else ("max", "1")
    return allowed if quota == "max" else max(1, min(allowed, math.ceil(int(quota) / int(period))))


def in_processes(function: Callable, *arguments: Sequence) -> Iterable:
    """map(function, *arguments) on all processors, for work that holds the interpreter's lock; in order.

    The processes are forks and find the function where they come from, so that it may be any; what it is given and
    returns is sent.
    """
    global _inherited
    count = min(processors(), len(arguments[0]))
    if count < 2 or not sys.platform.startswith("linux"):  # elsewhere a forked process is not safe
        return map(function, *arguments)
    _inherited = function
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(count, fork, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        return list(pool.map(_call, *arguments, chunksize=math.ceil(len(arguments[0]) / count / 4)))


def _end_with(parent: int) -> None:
    """A fork that is left behind by a process that was killed would wait for ever, and hold what that one held.

    The threads of the parent's OpenMP regions do not live on in a fork: a region of more than one thread would wait for
    them for ever, so that a fork computes with its own thread alone.
    """
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    torch.set_num_threads(1)


def _call(*arguments: object) -> object:
    return _inherited(*arguments)


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
