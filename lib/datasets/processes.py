"""One function of every image of a split, computed in forked processes on all processors."""

import ctypes
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

import torch

from lib.machine import processors


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
