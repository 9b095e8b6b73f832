"""All pixels of a split: in memory, or mapped from a file.

A split that takes more than a quarter of the free memory is decoded once into a file, and the
system reads from there what is asked for; drawn images, which take long to draw, are stored in such
a file, too. Files lie in data/cache of the project and may be deleted at any time. The tensors hold
the same bytes either way.
"""

import hashlib
import math
import os
import resource
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import filelock
import numpy as np
import psutil
import torch
from torch import Tensor

from lib import ROOT
from lib.datasets.pairs import SIZES, Size, Source, Wrong
from lib.datasets.processes import in_processes

CHUNK = 256  # pairs that are read at a time
MEMORY_SHARE = 0.25  # of the free memory that a split may take
WORTH_STORING = 2**22  # bytes of drawn images; fewer are drawn in a few seconds
CACHE = "SEGMENTATION_CACHE"  # the environment variable that names another folder for such files
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max"


def pixels_of(title: str, source: Source) -> tuple[Tensor, Tensor]:
    """Return images uint8 (N, 3, H, W) and targets uint8 (N, H, W), 255 = void.

    `title` is such as "camvid/train". Raises Wrong for a file that is wrong and for images of
    several sizes.
    """
    size = source.size or source.read(0)[1].shape
    shape = (len(source.items), 4, *size)  # red, green, blue, target
    stored = source.drawn and math.prod(shape) >= WORTH_STORING
    if stored or math.prod(shape) > MEMORY_SHARE * available_memory():
        pixels = _mapped(title, source, shape)
    else:
        pixels, start = np.empty(shape, np.uint8), 0
        for chunk in _chunks(title, source, size):
            pixels[start : start + len(chunk)] = chunk
            start += len(chunk)
    pixels = torch.from_numpy(pixels)
    return pixels[:, :3], pixels[:, 3]


def _chunks(title: str, source: Source, size: Size) -> Iterator[np.ndarray]:
    """Yield consecutive pairs, read on all processors, uint8 (n, 4, H, W)."""
    for start in range(0, len(source.items), CHUNK):
        indices = range(start, min(start + CHUNK, len(source.items)))
        if source.drawn:
            pairs = list(in_processes(source.read, indices))
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the lock
                pairs = list(pool.map(source.read, indices))
        if any(target.shape != size for _, target in pairs):
            raise _several_sizes(title, source)
        yield np.stack([np.dstack(pair).transpose(2, 0, 1) for pair in pairs])


def _several_sizes(title: str, source: Source) -> Wrong:
    """Return the error for images that are not of one size."""
    sizes = [source.read(index)[1].shape for index in range(len(source.items))]
    (usual, _), (rare, _) = Counter(sizes).most_common(2)
    odd = source.items[sizes.index(rare)]
    text = f"{rare[0]} x {rare[1]} pixels where most images have {usual[0]} x {usual[1]}"
    return Wrong(SIZES, f"{title}: {odd} has {text}; set image_size to bring all to one size")


def _mapped(title: str, source: Source, shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels from a file, which is written, whole or not at all, unless it is there.

    A process that needs what another one is writing waits for it.
    """
    path, size = _cache_file(title, source, shape), math.prod(shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f".{path.name}.lock")):
            if not path.is_file() or path.stat().st_size != size:
                print(f"{title}: {size / 2**30:.2f} GiB, mapped from {path}", flush=True)
                _store(path, _chunks(title, source, shape[2:]))
    except OSError as error:
        remedy = f"make room, or name another folder by {CACHE}"
        raise OSError(error.errno, f"{error.strerror}; {remedy}", str(path)) from error
    return np.memmap(path, np.uint8, "r+", shape=shape)


def _store(path: Path, chunks: Iterator[np.ndarray]) -> None:
    """Write the chunks into the file, which is whole or not there."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            for chunk in chunks:
                file.write(chunk.tobytes())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _cache_file(title: str, source: Source, shape: tuple[int, ...]) -> Path:
    """Return the file's path, which the items, their files and the code that reads name."""
    digest = hashlib.sha256(f"{source.items} {version('numpy')} {version('pillow')}".encode())
    for package in ("datasets", "scenes"):
        for path in sorted((ROOT / "lib" / package).glob("*.py")):
            digest.update(path.read_bytes())
    for path in source.files:
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}".encode())
    count, _, height, width = shape
    kind = f"{title.replace('/', '-')}-{count}-{height}x{width}"
    folder = ROOT / os.environ.get(CACHE, "data/cache")
    return folder / f"{kind}-{digest.hexdigest()[:16]}.bytes"


def available_memory() -> int:
    """Return the bytes that this process may still take by the system, its container and shell."""
    used = psutil.Process().memory_info().rss
    limits = [psutil.virtual_memory().available]
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        limits.append(most - used)
    container = CONTAINER.read_text().strip() if CONTAINER.exists() else "max"
    if container != "max":
        limits.append(int(container) - used)
    return max(0, min(limits))
