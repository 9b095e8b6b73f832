"""What the report executes: each notebook once, and a network's notebook once per seed.

An executed copy carries a fingerprint of what it was made from: the source's cells, its parameters,
the project's files that decide what it shows (`deciding_files`), the list of the user's own images
and, for the notebooks that come after the networks, all records that they may read. An equal
fingerprint is up to date. Whether a record is still good is another question, which the edition of
the training answers (`lib.records.EDITION`).
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat

from lib import ROOT
from lib.config import SETTINGS
from lib.records import COUNTED, RECORD
from lib.studies.designs import part_names
from report.parameters import checked_values, declared_by

# What decides what a notebook shows, but for what makes the page: folders and a module.
DECIDING = ("lib", "report/evidence", "report/figures", "report/fonts", "report/template")
CHECKING = "report/parameters.py"
PAGE = "report/template/page"
IGNORED = ("", ".md", ".pyc")  # kinds of files


class ReportError(RuntimeError):
    """The report could not be made: exit status 1."""


@dataclass(frozen=True)
class Execution:
    """One execution of one notebook.

    `record` is what a network's notebook writes; an analysis reads all that lies in `reads`. What
    measures time is executed `alone`.
    """

    source: Path
    target: Path
    parameters: dict
    record: Path | None = None
    reads: tuple[Path, ...] = ()
    alone: bool = False

    @property
    def partial(self) -> Path:
        return self.target.with_suffix(".partial.ipynb")

    def fingerprint(self) -> str:
        """Return a sha256 in hexadecimal of what decides the copy, but for its folder."""
        cells = [
            (cell.cell_type, cell.source, cell.metadata.get("tags", []))
            for cell in nbformat.read(self.source, 4).cells
        ]
        settings = {name: value for name, value in self.parameters.items() if name != "out"}
        digest = hashlib.sha256(json.dumps([cells, settings], sort_keys=True).encode())
        for path in deciding_files():
            digest.update(f"\n{path.relative_to(ROOT).as_posix()}\n".encode())
            digest.update(path.read_bytes())
        for path in recorded(self.reads):
            digest.update(path.read_bytes())
        if settings.get("dataset") == "folder":  # its images are still being worked on
            digest.update(_listing(settings.get("data_root")).encode())
        return digest.hexdigest()

    def up_to_date(self) -> bool:
        """Return whether the record is there, and a copy that carries today's fingerprint."""
        if self.record and not self.record.exists():
            return False
        try:
            signature = json.loads(self.target.read_text())["metadata"]["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):  # no copy that can be read
            return False
        return signature == self.fingerprint()


def deciding_files() -> list[Path]:
    """Return every file of the project that decides what a notebook shows, in order."""
    paths = [path for folder in DECIDING for path in sorted((ROOT / folder).rglob("*"))]
    files = [path for path in paths if path.is_file() and path.suffix not in IGNORED]
    return [path for path in files if ROOT / PAGE not in path.parents] + [ROOT / CHECKING]


def recorded(folders: Iterable[Path]) -> list[Path]:
    """Return the files of the run records in these folders from which analyses read counts."""
    patterns = [f"runs/*/seed-*/{name}" for name in (RECORD, *COUNTED)]
    return sorted(path for folder in folders for each in patterns for path in folder.glob(each))


def _listing(root: str | None) -> str:
    """Return names, sizes and times of the files of a data set, "[]" where there are none."""
    files = sorted(path for path in (ROOT / root).rglob("*") if path.is_file()) if root else []
    return repr([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])


def chapters(notebooks: Path) -> list[Path]:
    """Return the notebooks named by a number and an underscore, in the order of the numbers.

    Every other notebook is named on standard error, since it is no part of the report.
    """
    numbers = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        number = path.name.split("_")[0]
        if number.isdecimal():
            numbers[path] = int(number)
        else:
            reason = "its name does not begin with a number and an underscore"
            print(f"{path}: left out, {reason}", file=sys.stderr)
    return sorted(numbers, key=numbers.get)


def plan(
    notebooks: Path, out: Path, profile: str, values: dict, overrides: dict
) -> list[Execution]:
    """Return what to execute, in order: each notebook once, and a network's once per seed.

    A network beyond the four (`extra`) runs in the first network's notebook, in copies of its own
    that are no chapter.
    """
    sources = chapters(notebooks)
    if not sources:
        raise ReportError(f"{notebooks}: no notebooks; expected 0_data.ipynb, 1_unet.ipynb, ...")
    parameters = {source: declared_by(source) for source in sources}
    values = checked_values(parameters.values(), profile, values, overrides)
    values["out"] = str(out.relative_to(ROOT) if out.is_relative_to(ROOT) else out)
    networks = [source for source in sources if {"variant", "seed"} <= parameters[source].keys()]

    def execution(source: Path, name: str, *evidence: object, **own: object) -> Execution:
        known = parameters[source]
        given = {name: value for name, value in values.items() if name in known}
        if "settings" in known:  # of a training, without a parameter of their own
            others = values.keys() & SETTINGS.keys() - known.keys()
            given["settings"] = {name: values[name] for name in SETTINGS if name in others}
        return Execution(source, out / "notebooks" / f"{name}.ipynb", given | own, *evidence)

    trainings = []
    variants = [(source, parameters[source]["variant"].default) for source in networks]
    variants += [(networks[0], variant) for variant in values["extra"]]
    for source, variant in variants:
        extra = variant in values["extra"]
        for seed in values["seeds"]:
            name = f"extra-{variant}" if extra else source.stem
            if extra or seed != values["seeds"][0]:
                name = f"{name}-seed-{seed}"
            record = out / "runs" / variant / f"seed-{seed}" / "record.json"
            trainings.append(execution(source, name, record, variant=variant, seed=seed))
    folders = (out, *(out.parent / name for name in part_names() if name != out.name))
    first = sources.index(networks[0]) if networks else 0
    before = [execution(source, source.stem) for source in sources[:first]]
    after = [source for source in sources[first:] if source not in networks]
    return before + trainings + [
        execution(each, each.stem, None, folders, "measure_seconds" in parameters[each])
        for each in after
    ]
