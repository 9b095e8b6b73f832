"""The state of an interrupted training on disk: the last finished epoch, and the one before in case the last is damaged.

A checkpoint is read as tensors and plain values (`weights_only`), so that nobody's file runs code, and its checksums
are compared, since PyTorch's reader does not notice a byte that has changed.
"""

import io
import zipfile
from pathlib import Path

import torch

from lib.files import write_atomically

LAST, BEFORE = "last.pt", "before-last.pt"


def write_state(path: Path, state: dict, keep: Path | None = None) -> None:
    """Atomically; `keep` is where the file goes that was there."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue(), keep)


def read_state(path: Path, device: torch.device | str = "cpu") -> dict:
    """Raises FileNotFoundError where there is no file, ValueError for one that is damaged or holds more than data."""
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} has another checksum")
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # readers raise whatever a broken file leads them into
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: not a readable checkpoint ({reason[0]})") from error


def save(folder: Path, state: dict) -> None:
    """The state after one more epoch."""
    write_state(folder / LAST, state, folder / BEFORE)


def restore(folder: Path, device: torch.device) -> dict | None:
    """The last state that can be read, None where there is none; says which cannot."""
    for name in (LAST, BEFORE):
        try:
            return read_state(folder / name, device)
        except FileNotFoundError:
            continue
        except ValueError as error:
            print(f"{error}; going back to {'the epoch before' if name == LAST else 'the beginning'}", flush=True)
    return None


def remove(folder: Path) -> None:
    """The run is on record and its states are of no more use."""
    for name in (LAST, BEFORE):
        (folder / name).unlink(missing_ok=True)
