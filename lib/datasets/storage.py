"""All pixels of a split: in memory, or in a file that is mapped where they would not fit.

A split that takes more than a quarter of the free memory is decoded once into a file, and the
system reads from there what is asked for. The tensors hold the same bytes either way.
"""

import hashlib
import os
import resource
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from lib import ROOT
from lib.datasets.pairs import SIZES, Size, Source, Wrong
from lib.machine import in_processes
from lib.scenes.stored import drawn_once, fingerprint

CHUNK = 256  # pairs that are read at a time
MEMORY_SHARE = 0.25  # of the free memory that a split may take
CACHE = "SEGMENTATION_CACHE"  # the environment variable that names another folder for such files
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max"


@dataclass(frozen=True)
class Pixels:
    """The pixels of a source, whose `title` is such as "camvid/train"."""

    title: str
    source: Source

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return images uint8 (N, 3, H, W) and targets uint8 (N, H, W), 255 = void.

        Raises Wrong for a file that is wrong and for images of several sizes.
        """
        count, size = len(self.source.items), self.source.size or self.source.read(0)[1].shape
        if count * 4 * size[0] * size[1] > MEMORY_SHARE * available_memory():
            return self._mapped(size)
        if self.source.drawn:
            draw = lambda: self._read(range(count), size)  # noqa: E731
            arrays = drawn_once(self.title, self.source.items, size, draw)
            images, targets = map(torch.from_numpy, arrays)
            return images.permute(0, 3, 1, 2).contiguous(), targets
        images = torch.empty(count, 3, *size, dtype=torch.uint8)
        targets = torch.empty(count, *size, dtype=torch.uint8)
        for chunk in self._chunks():
            image, target = map(torch.from_numpy, self._read(chunk, size))
            images[chunk.start : chunk.stop] = image.permute(0, 3, 1, 2)
            targets[chunk.start : chunk.stop] = target
        return images, targets

    def _chunks(self) -> Iterator[range]:
        for start in range(0, len(self.source.items), CHUNK):
            yield range(start, min(start + CHUNK, len(self.source.items)))

    def _read(self, indices: range, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Return images uint8 (n, H, W, 3) and targets uint8 (n, H, W), read on all processors."""
        if self.source.drawn:
            pairs = list(in_processes(self.source.read, indices))
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding releases the lock
                pairs = list(pool.map(self.source.read, indices))
        images, targets = zip(*pairs)
        if any(target.shape != size for target in targets):
            raise self._several_sizes()
        return np.stack(images), np.stack(targets)

    def _several_sizes(self) -> Wrong:
        """Return the error for images that are not of one size."""
        sizes = [self.source.read(index)[1].shape for index in range(len(self.source.items))]
        (usual, _), (rare, _) = Counter(sizes).most_common(2)[:2]
        odd = self.source.items[sizes.index(rare)]
        text = f"{rare[0]} x {rare[1]} pixels where most images have {usual[0]} x {usual[1]}"
        remedy = "set image_size to bring all to one size"
        return Wrong(SIZES, f"{self.title}: {odd} has {text}; {remedy}")

    def _mapped(self, size: Size) -> tuple[Tensor, Tensor]:
        """Return the tensors as views of a file, which is written unless it is there already."""
        path = self._file(size)
        shape = (len(self.source.items), 4, *size)  # red, green, blue, target
        total = len(self.source.items) * 4 * size[0] * size[1]
        if not path.exists():
            print(f"{self.title}: {total / 2**30:.2f} GiB, mapped from {path}", flush=True)
            self._write(path, size)
        pixels = torch.from_file(str(path), shared=True, size=total, dtype=torch.uint8).view(shape)
        return pixels[:, :3], pixels[:, 3]

    def _write(self, path: Path, size: Size) -> None:
        """Write the file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}-{os.getpid()}.partial")
        try:
            with open(partial, "wb") as file:
                for chunk in self._chunks():
                    images, targets = self._read(chunk, size)
                    pixels = np.concatenate([images, targets[..., None]], axis=-1)
                    file.write(pixels.transpose(0, 3, 1, 2).tobytes())
            os.replace(partial, path)
        except OSError as error:
            remedy = f"make room, or name another folder by {CACHE}"
            raise OSError(error.errno, f"{error.strerror}; {remedy}", str(path)) from error
        finally:
            partial.unlink(missing_ok=True)

    def _file(self, size: Size) -> Path:
        """Return the file's place, which the items, their files and the code that reads name."""
        digest = hashlib.sha256(f"{self.source.items} {fingerprint()}".encode())
        for path in sorted((ROOT / "lib" / "datasets").glob("*.py")):
            digest.update(path.read_bytes())
        for path in self.source.files:
            state = path.stat()
            digest.update(f"{path} {state.st_size} {state.st_mtime_ns}".encode())
        kind = f"{self.title.replace('/', '-')}-{len(self.source.items)}-{size[0]}x{size[1]}"
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
