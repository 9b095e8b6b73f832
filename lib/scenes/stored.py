"""Drawn splits on disk: each is drawn once on a machine, and read from a file from then on.

The file is data/scenes/<split as it is named>.npz in the project, or lies in the folder that the
environment variable SEGMENTATION_DRAWN names. It is a copy of what can be drawn again at any time:
one that is absent, damaged or made by other code is drawn anew, and a folder that cannot be written
to costs time and nothing else. Two processes may draw the same split; each writes the whole file.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lib import ROOT
from lib.files import read_arrays, write_arrays

FOLDER = "SEGMENTATION_DRAWN"  # the environment variable that names another folder
WORTH_KEEPING = 2**20  # pixels of a split; fewer are drawn in a few seconds
Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, 3), targets uint8 (N, H, W)


def drawn_once(title: str, items: tuple[str, ...], size: tuple[int, int],
               draw: Callable[[], Arrays]) -> Arrays:
    """Return the images and targets that `draw` gives, from disk where they are there already.

    `title` names what is drawn, `items` are the names of its N pairs and `size` is their (H, W).
    """
    if len(items) * size[0] * size[1] < WORTH_KEEPING:
        return draw()
    path = _path(title, items, size)
    found = _read(path, (len(items), *size))
    if found:
        return found
    images, targets = draw()
    try:
        write_arrays(path, images=images, targets=targets)
    except OSError as error:
        print(f"{error}; the {len(items)} images of {title} will be drawn again next time")
    else:
        _remove_others(path)
    return images, targets


def _path(title: str, items: tuple[str, ...], size: tuple[int, int]) -> Path:
    """Return the file's place: what is drawn, in which number and size, and by which code."""
    folder = ROOT / os.environ.get(FOLDER, "data/scenes")
    names = hashlib.sha256("\n".join(items).encode()).hexdigest()[:8]
    kind = f"{title.replace('/', '-')}-{len(items)}-{names}-{size[0]}x{size[1]}"
    return folder / f"{kind}.{fingerprint()}.npz"


@cache
def fingerprint() -> str:
    """Return 16 digits that change with the code that draws and with the libraries it draws with."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "lib" / "scenes").glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    for library in ("numpy", "pillow"):
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()[:16]


def _read(path: Path, shape: tuple[int, int, int]) -> Arrays | None:
    """Return the file's arrays, or None unless it is whole and holds N images of (H, W) pixels."""
    try:
        arrays = read_arrays(path)
        images, targets = arrays["images"], arrays["targets"]
    except (OSError, ValueError, KeyError):
        return None
    if images.shape != (*shape, 3) or targets.shape != shape:
        return None
    if images.dtype != np.uint8 or targets.dtype != np.uint8:
        return None
    return images, targets


def _remove_others(path: Path) -> None:
    """Remove what earlier code drew of the same split."""
    kind, _, _ = path.name.split(".")
    for other in path.parent.glob(f"{kind}.*.npz"):
        if other != path:
            other.unlink(missing_ok=True)
