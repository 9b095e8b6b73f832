"""Files that are whole or not there: written beside their final name, brought to the disk and renamed. Reading them ends
well or in an error that names them, and a folder can be held by one process at a time.
"""

import fcntl
import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_native_id
from typing import IO

import numpy as np
import torch
from PIL import Image

from lib.classes import ClassTable

_LOCKS: set[IO] = set()  # of the folders that this process holds; a process forked from it must not keep them held
os.register_at_fork(after_in_child=lambda: [lock.close() for lock in _LOCKS])


@contextmanager
def held(folder: Path, work: str, patience: float = 0) -> Iterator[None]:
    """The folder for this process alone. Raises BlockingIOError when another has it for so many seconds on end."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with open(folder / ".lock", "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # however this process ends, the system lets go of it
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    busy = f"{folder}: another process {work} here; wait for it or choose another `out`"
                    raise BlockingIOError(busy) from None
            time.sleep(0.1)
        for left in folder.glob(".*.partial"):  # by a process that was killed
            left.unlink()
        _LOCKS.add(lock)
        try:
            yield
        finally:
            _LOCKS.discard(lock)


def write_atomically(path: Path, content: bytes) -> None:
    """The whole content under that name, on the disk, or what was there before.

    Raises OSError that names the file, for a full disk say, and leaves nothing behind.
    """
    partial = path.with_name(f".{os.getpid()}-{get_native_id()}.partial")  # two processes may write the same file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _bring_to_disk(path.parent)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; nothing that was finished is lost, make room or correct the "
                      "folder and run again", str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def _bring_to_disk(folder: Path) -> None:
    """The names in it; their contents are there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: dict) -> None:
    """JSON with an entry a line and lists of numbers on one, written atomically."""
    text = json.dumps(content, indent=1, allow_nan=False)
    text = re.sub(r"\[[\s\d,]*\]", lambda match: " ".join(match[0].split()), text)
    write_atomically(path, (text + "\n").encode())


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """A compressed .npz, written atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def write_image(path: Path, pixels: np.ndarray, classes: ClassTable | None = None) -> None:
    """A photograph as lossy WebP, or a label map (with its `classes`) as indexed PNG, written atomically."""
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if classes is None:
        image.save(buffer, "WEBP", quality=90)
    else:
        image.putpalette(classes.palette.tobytes())
        image.save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def write_state(path: Path, state: dict) -> None:
    """Write tensors and plain values as PyTorch does, atomically."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def read_state(path: Path, device: torch.device | str = "cpu") -> dict:
    """Return what `write_state` wrote, on the device.

    Nobody's file runs code here: it is read as tensors and plain values, and checksums are compared,
    since PyTorch's reader does not notice a byte that has changed. Raises FileNotFoundError where
    there is no file, ValueError for one that is damaged or holds more than data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"{damaged} has another checksum")
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # readers raise whatever a broken file leads them into
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: not a readable checkpoint ({reason[0]})") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz. Raises ValueError for a damaged file and for one that holds more than numbers and text."""
    try:
        with np.load(path) as stored:
            return dict(stored)
    except FileNotFoundError:
        raise
    except Exception as error:  # readers raise whatever a broken file leads them into
        raise _damaged(path, error) from error


def read_pixels(path: Path, mode: str | None = None) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3). Raises ValueError for a damaged file."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert(mode) if mode else image)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: not readable ({error}); restore the file, or delete the record.json of its run and run "
                      "again")


def drive_and_frame(name: str) -> tuple[str, int]:
    """The drive that a frame belongs to and its number there: "Seq05VD_f02310" is frame 2310 of "Seq05VD".

    The number is the last group of digits of the name; what precedes it, with the separators that it ends with taken
    off, names the drive. A name without digits is a drive of one frame.
    """
    before, digits = re.fullmatch(r"(.*?)(\d*)\D*", name).groups()
    drive = re.sub(r"[\W_]+f?$", "", before)
    return (drive, int(digits)) if digits else (name, 0)
