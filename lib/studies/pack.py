"""Finished records as tar files of a bounded size, to be carried from one machine to another.

    for file in packed/*.tar; do tar xf $file -C build/queue; done
    cat weights.pt.part-* > weights.pt                              (in the folder of that one run)

A pack holds whole files under their paths from OUT, but for one that is larger than a tar file may
be, which comes in numbered parts. What was packed is listed in OUT/packed.json and left out the
next time unless it has changed; delete that list to pack everything again.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from lib.files import write_json
from lib.records import RECORD, WEIGHTS
from lib.studies.cost import COST

LIST = "packed.json"  # path from OUT -> size and time of what was packed
TAR, TARS = 15 * 2**20, 4  # bytes of a tar file, and their number in one call
HEADERS = 4096  # bytes around a member, at most
END = 10240  # bytes behind the last one


def finished_files(out: Path) -> Iterator[Path]:
    """Yield the files of finished runs by their worth: all but weights, then one U-Net's."""
    folders = [record.parent for record in sorted(out.glob(f"*/runs/*/seed-*/{RECORD}"))]
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file() and _carried(path))
    yield from sorted(out.glob("*/runs/examples/*"))
    yield from sorted(out.glob(f"*/{COST}"))
    weights = [folder / WEIGHTS for folder in folders if folder.parent.name == "unet"]
    yield from [path for path in weights if path.exists()][:1]


def _carried(path: Path) -> bool:
    return path.suffix != ".pt" and not path.name.startswith(".")


def _pieces(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the file's name and content, or its parts where it is too large for one tar file."""
    content, most = path.read_bytes(), TAR - HEADERS - END
    if len(content) <= most:
        yield name, content
        return
    for number, start in enumerate(range(0, len(content), most)):
        yield f"{name}.part-{number:03d}", content[start : start + most]


def pack(out: Path, into: Path, tars: int = TARS) -> tuple[int, int]:
    """Write at most that many tar files of what is finished and not yet packed.

    Return the number of files packed now, and of those that are left for the next time.
    """
    path = out / LIST
    packed = json.loads(path.read_text()) if path.exists() else {"tars": 0, "files": {}}
    states = {file.relative_to(out).as_posix(): _state(file) for file in finished_files(out)}
    waiting = [name for name, state in states.items() if packed["files"].get(name) != state]
    done, writer = 0, _Writer(into, packed["tars"], tars)
    for name in waiting:
        pieces = list(_pieces(out / name, name))
        if not writer.add(pieces):
            break
        packed["files"][name] = states[name]
        done += 1
    writer.close()
    packed["tars"] = writer.number
    if done:
        write_json(path, packed)
    return done, len(waiting) - done


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


class _Writer:
    """Tar files, a new one whenever the next piece would make the last too large."""

    def __init__(self, folder: Path, number: int, tars: int):
        self.folder, self.number, self.last = folder, number, number + tars
        self.archive: tarfile.TarFile | None = None
        self.room = 0

    def add(self, pieces: list[tuple[str, bytes]]) -> bool:
        """Write a file's pieces, or return False where the allowed tar files would not do."""
        sizes = [len(content) + HEADERS for _, content in pieces]
        more = len(sizes) if sizes[0] > self.room or len(sizes) > 1 else 0
        if self.number + more > self.last:
            return False
        for (name, content), size in zip(pieces, sizes):
            if size > self.room:
                self._next()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            self.archive.addfile(member, io.BytesIO(content))
            self.room -= size
        return True

    def _next(self) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.archive = tarfile.open(self.folder / f"records-{self.number:03d}.tar", "w")
        self.number += 1
        self.room = TAR - END

    def close(self) -> None:
        if self.archive:
            self.archive.close()
