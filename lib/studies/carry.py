"""Finished records on their way: copied into a repository, or packed to leave a machine.

    cat packed/records-*.tar.* | tar --extract --ignore-zeros --directory build/queue

unpacks what `pack_records` wrote. What was packed is listed in OUT/packed.json and left out the
next time unless it has changed.
"""

import io
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lib.files import read_arrays, write_atomically, write_json
from lib.records import RECORD, STRUCTURE, WEIGHTS
from lib.structure import pack_counts, unpack_counts
from lib.studies import Arrays
from lib.studies.designs import BLOCK_BY_SKIP, CAMVID, COST, part_names

LIST = "packed.json"  # path from OUT -> size and time of what was packed
PIECE, PIECES = 15 * 2**20, 4  # bytes of a piece, and about how many one call writes
NOT_COLLECTED = ("*.pt", "predictions.npz", ".*")
GROUP, MANY = 20, 1000  # test images: that are summed, and from how many on
OUTLINES = re.compile("trimap|contours|index_maps")  # of the counts of `lib.structure`


def collect(records: Sequence[Path], out: Path, into: Path) -> None:
    """Copy the folders of these records in a light form, with the test images that they show.

    What is there already, of the same record, stays as it is. Arrays are packed harder (LZMA);
    test images that are independent and many are summed in groups, and only the runs whose charts
    of outlines the report shows keep the counts behind them.
    """
    for record in records:
        folder = record.parent
        there = into / record.relative_to(out)
        if there.exists() and there.read_bytes() != record.read_bytes():
            shutil.rmtree(there.parent)  # trained anew
        group = _group_of(folder)
        part, variant = folder.parents[2].name, folder.parent.name
        outlined = part not in part_names() or (part == CAMVID.name and variant in BLOCK_BY_SKIP)
        for source in _light_files(folder):
            target = into / source.relative_to(out)
            if target.exists():
                continue
            if source.suffix == ".npz":
                arrays = _summed(read_arrays(source), source.name, group)
                if not outlined:
                    arrays = {name: arrays[name] for name in arrays if not OUTLINES.match(name)}
                write_atomically(target, _packed_hard(arrays))
            else:
                write_atomically(target, source.read_bytes())


def _light_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a record and of the images that it shows; the record itself last."""
    shown = folder.parents[1] / "examples"
    for path in [*sorted(shown.rglob("*")), *sorted(folder.rglob("*")), folder / RECORD]:
        if path.is_file() and not any(path.match(pattern) for pattern in NOT_COLLECTED):
            if path.name != RECORD or path == folder / RECORD:
                yield path


def _group_of(folder: Path) -> int:
    """Return how many consecutive test images are summed: 1 for frames of films, and for few."""
    drives = read_arrays(folder / "confusions.npz")["drives"]
    return GROUP if len(set(drives.tolist())) == len(drives) > MANY else 1


def _summed(arrays: Arrays, name: str, group: int) -> Arrays:
    """Return the arrays of a file of the record with counts summed over groups of test images."""
    if group == 1 or "group" in arrays:
        return arrays
    if name == "confusions.npz":
        sums = {each: _sums(arrays[each], group) for each in ("per_image", "loss")}
        return arrays | sums | {"group": np.array(group)}
    if name == STRUCTURE:
        counts = unpack_counts(arrays)
        return pack_counts({each: _sums(counts[each], group) for each in counts})
    return arrays


def _sums(counts: np.ndarray, group: int) -> np.ndarray:
    return np.add.reduceat(counts, np.arange(0, len(counts), group))


def _packed_hard(arrays: Arrays) -> bytes:
    """Return an .npz in LZMA, which numpy reads like any other."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue(), zipfile.ZIP_LZMA)
    return stream.getvalue()


def finished_files(out: Path) -> Iterator[Path]:
    """Yield the files of finished runs by their worth: all but weights, then one U-Net's."""
    folders = [record.parent for record in sorted(out.glob(f"*/runs/*/seed-*/{RECORD}"))]
    for folder in folders:
        for path in sorted(folder.rglob("[!.]*")):
            if path.is_file() and path.suffix != ".pt":
                yield path
    yield from sorted(out.glob("*/runs/examples/*"))
    yield from sorted(out.glob(f"*/{COST}"))
    weights = [folder / WEIGHTS for folder in folders if folder.parent.name == "unet"]
    yield from [path for path in weights if path.exists()][:1]


def pack_records(out: Path, into: Path, pieces: int = PIECES) -> tuple[int, int]:
    """Write a tar file, in pieces, of what is finished and not yet packed, at least one file.

    Return the number of files packed now, and of those that are left for the next time.
    """
    listed = out / LIST
    packed = json.loads(listed.read_text()) if listed.exists() else {"tars": 0, "files": {}}
    states = {}
    for path in finished_files(out):
        status = path.stat()
        states[path.relative_to(out).as_posix()] = [status.st_size, status.st_mtime_ns]
    waiting = [name for name, state in states.items() if packed["files"].get(name) != state]
    done, stream = 0, io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in waiting:
            if done and stream.tell() + states[name][0] > pieces * PIECE:
                break
            archive.add(out / name, name)
            packed["files"][name] = states[name]
            done += 1
    if done:
        into.mkdir(parents=True, exist_ok=True)
        content = stream.getvalue()
        for number, start in enumerate(range(0, len(content), PIECE)):
            piece = into / f"records-{packed['tars']:03d}.tar.{number:02d}"
            piece.write_bytes(content[start : start + PIECE])
        packed["tars"] += 1
        write_json(listed, packed)
    return done, len(waiting) - done
