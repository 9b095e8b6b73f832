"""Finished records on their way: copied into a repository, or packed to leave a machine.

    cat packed/records-*.tar.* | tar --extract --ignore-zeros --directory build/queue

unpacks what `pack_records` wrote. What was packed is listed in OUT/packed.json and left out the
next time unless it has changed.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.files import write_json
from lib.records import RECORD, WEIGHTS
from lib.studies.designs import COST

LIST = "packed.json"  # path from OUT -> size and time of what was packed
PIECE, PIECES = 15 * 2**20, 4  # bytes of a piece, and about how many one call writes
NOT_COLLECTED = ("*.pt", "predictions.npz", ".*")


def collect(records: Sequence[Path], out: Path, into: Path) -> None:
    """Copy the folders of these records, with the test images that they show."""
    ignored = shutil.ignore_patterns(*NOT_COLLECTED)
    for folder in [record.parent for record in records]:
        for source in (folder, folder.parents[1] / "examples"):
            target = into / source.relative_to(out)
            shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


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
