"""What the tests of interruptions and damage have in common."""

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import TINY

from lib.files import read_state
from lib.records import RECORD, Run
from lib.train import CHECKPOINT

# Processes that are killed are forked from a server that has imported everything: each costs a
# fraction of a second.
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["report.__main__", "lib.train", "pytest", "nbformat.v4"])


def own_config(**changes):
    """A training on all of `conftest.make_own`, validated every epoch."""
    whole = dict.fromkeys(("train_images", "val_images", "test_images"))
    return replace(TINY, dataset="folder", **whole | {"validate_every": 1} | changes)


def epochs_on_disk(folder: Path) -> int:
    """How many epochs can be taken up; every file that is there is whole."""
    if (folder / RECORD).exists():
        run = Run.read(folder)
        assert run.per_image.sum() == run.confusion.sum() and [
            run.target(name).shape for name in run.examples
        ]
        return len(run.history) + 1
    checkpoint = folder / CHECKPOINT
    return len(read_state(checkpoint)["history"]) if checkpoint.exists() else 0


def result(folder: Path) -> dict:
    """Everything that a run leaves, but for the time it took."""
    record = json.loads((folder / RECORD).read_text())
    for row in [record, *record["history"]]:
        row.pop("seconds")
    for name in ("peak_memory_mib", "commit"):
        record.pop(name)
    files = {path.name: path.read_bytes() for path in folder.rglob("*.png")}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            files[path.name] = {name: array.tobytes() for name, array in arrays.items()}
    weights = {
        name: tensor.numpy().tobytes() for name, tensor in read_state(folder / "weights.pt").items()
    }
    return {
        "record": record,
        "weights": weights,
        "names": sorted(path.name for path in folder.iterdir()),
        **files,
    }


def cut(path: Path) -> None:
    """Half of the file is gone."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """One bit has changed."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class Evil:
    """Unpickled without care, this writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
