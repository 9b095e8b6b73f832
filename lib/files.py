"""Files: written whole or not at all, read with an error that names them, and the labels in them.

A label image holds a class index in each pixel; its class table gives every index a name and a
colour, and 255 is void.
"""

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_native_id

import filelock
import numpy as np
import torch
from PIL import Image

IGNORE = 255  # void: no loss, no score, shown black
RESTORE = "; restore the file, or delete the record.json of its run and run again"
SIGN = re.compile(r"(?:\b|_)(?i:sign)|(?<=[a-z])Sign")  # a road sign or a SignSymbol, no design


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours in the order of the class index."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self):
        if len(self.names) != len(self.colors) or not 1 < len(self.names) <= IGNORE:
            raise ValueError(
                f"a class table needs one colour for each of 2 to {IGNORE} names: "
                f"got {len(self.names)} names and {len(self.colors)} colours")

    @classmethod
    def of(cls, *rows: tuple) -> "ClassTable":
        """Return the table of rows (name, red, green, blue)."""
        return cls(tuple(row[0] for row in rows), tuple(row[1:] for row in rows))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def palette(self) -> np.ndarray:
        """The colour of every label value, uint8 (256, 3); values without a class are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        return palette

    @property
    def signs(self) -> list[int]:
        """The classes in whose names a word begins with "sign"."""
        return [index for index, name in enumerate(self.names) if SIGN.search(name)]


@contextmanager
def locked(folder: Path, work: str, patience: float = 0) -> Iterator[None]:
    """Lock the folder, made where it is missing, until the block or this process ends.

    Raises BlockingIOError when another process locks it for `patience` seconds on end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", timeout=patience, poll_interval=0.1)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        busy = f"{folder}: another process {work} here; wait for it or choose another `out`"
        raise BlockingIOError(busy) from error
    try:
        for left in folder.glob(".*.partial"):  # by a process that was killed
            left.unlink()
        yield
    finally:
        lock.release()


def write_atomically(path: Path, content: bytes) -> None:
    """Write the whole content under that name, or raise OSError and leave what was there before."""
    # Two processes, or two threads of one, may write the same file.
    partial = path.with_name(f".{os.getpid()}-{get_native_id()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        advice = "nothing that was finished is lost, make room or correct the folder and run again"
        raise OSError(error.errno, f"{error.strerror}; {advice}", str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict) -> None:
    """Write JSON atomically, an entry a line and lists of numbers on one line."""
    text = json.dumps(content, indent=1, allow_nan=False)
    text = re.sub(r"\[[\s\d,]*\]", lambda match: " ".join(match[0].split()), text)
    write_atomically(path, (text + "\n").encode())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write a compressed .npz atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def write_image(path: Path, pixels: np.ndarray, classes: ClassTable | None = None) -> None:
    """Write a photograph as lossy WebP or, with `classes`, a label map as indexed PNG."""
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if classes:
        image.putpalette(classes.palette.tobytes())
        image.save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=90)
    write_atomically(path, buffer.getvalue())


def write_state(path: Path, state: dict) -> None:
    """Write tensors and plain values as PyTorch does, atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


# Readers raise FileNotFoundError where there is no file, ValueError for one that is damaged or
# holds more than what is read.


@contextmanager
def _naming(path: Path, advice: str = RESTORE) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # readers raise whatever a damaged file leads them into
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: not readable ({reason[0]}){advice}") from error


def read_state(path: Path, device: torch.device | str = "cpu") -> dict:
    """Return what `write_state` wrote, on the device.

    No file runs code here, and checksums are compared: PyTorch's reader misses changed bytes.
    """
    with _naming(path, advice=""):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} has another checksum")
        return torch.load(path, map_location=device, weights_only=True)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz."""
    with _naming(path), np.load(path) as stored:
        return dict(stored)


def read_pixels(path: Path, mode: str | None = None) -> np.ndarray:
    """Return the image, uint8 (H, W) or (H, W, 3)."""
    with _naming(path), Image.open(path) as image:
        return np.array(image.convert(mode) if mode else image)
