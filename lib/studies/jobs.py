"""The processes that designs and profiles need, in order of worth: `lib.studies.queue` runs them.

Each is a command with the files that it needs and those that tell that it is done, so that a queue
can be taken up at any time.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from lib.files import locked
from lib.records import RECORD, WEIGHTS
from lib.studies.cost import COST
from lib.studies.designs import (
    SCENES, Part, Training, to_be_studied, train_command, trainings,
)  # fmt: skip

WIDE = 32  # base channels from which a network keeps a GPU busy
EXPECTED = {"train": 60.0, "study": 90.0, "doses": 60.0, "cost": 120.0}  # seconds on a GPU
TRAIN, STUDY, DOSES, MEASURE = EXPECTED


@dataclass(eq=False)
class Job:
    """One process: what it runs, what it needs first, and the files that tell that it is done."""

    kind: str
    part: Part
    trainings: Sequence[Training]
    command: list[str]
    results: list[Path]
    wide: bool = False  # it keeps a GPU busy alone
    needs: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        first, seeds = self.trainings[0], sorted({one.seed for one in self.trainings})
        if self.kind == MEASURE:
            return f"{self.part.name}, {self.kind}"
        name = f"{self.part.name}, {first.variant}, seed{'s' if len(seeds) > 1 else ''} "
        return name + ", ".join(map(str, seeds)) + ("" if self.kind == TRAIN else f", {self.kind}")

    @property
    def timed_as(self) -> str:
        return f"{self.kind} {self.part.name}"

    def done(self) -> bool:
        return all(path.exists() for path in self.results)

    def ready(self) -> bool:
        return all(path.exists() for path in self.needs)

    def busy(self) -> bool:
        """Return whether another process has locked a folder that this one would write to."""
        return self.kind == TRAIN and any(_is_locked(path.parent) for path in self.results)


def _is_locked(folder: Path) -> bool:
    if not (folder / ".lock").exists():
        return False
    try:
        with locked(folder, "is trained"):
            return False
    except BlockingIOError:
        return True


def jobs(names: Sequence[str], out: Path, data_root: str | None, on_gpu: bool) -> list[Job]:
    """Return the processes that these designs and profiles need, in order of worth."""
    studied, found = to_be_studied(names), []
    for part, whole in groupby(trainings(names), lambda training: training.part):
        whole, values = list(whole), part.values()
        wide = values["base_channels"] >= WIDE
        for group in _groups(whole, on_gpu and wide):
            records = [training.folder(out) / RECORD for training in group]
            command = train_command(group, out, data_root)
            found.append(Job(TRAIN, part, group, command, records, wide))
            for training, record in zip(group, records):
                found += _after(training, record, values, data_root, training in studied)
        if part.name.startswith("profile-"):
            command = [sys.executable, "-m", "lib.studies.cost", "--profile", part.profile]
            command += ["--out", str(out / part.name)]
            records = [training.folder(out) / RECORD for training in whole]
            result = out / part.name / COST
            found.append(Job(MEASURE, part, whole, command, [result], needs=records))
    return found


def _groups(whole: list[Training], together: bool) -> list[list[Training]]:
    """Return one training each, or all seeds of each network together."""
    if not together:
        return [[training] for training in whole]
    variants = dict.fromkeys(training.variant for training in whole)
    return [[one for one in whole if one.variant == variant] for variant in variants]


def _after(
    training: Training, record: Path, values: dict, data_root: str | None, studied: bool
) -> list[Job]:
    """Return what is measured of a trained network, while its weights are there."""
    folder, found = record.parent, []
    if record.exists() and not (folder / WEIGHTS).exists():
        return []
    options = ["--data-root", data_root] if data_root else []
    def job(kind: str, module: str, result: str, *extent: str) -> Job:
        command = [sys.executable, "-m", module, str(folder), *extent, *options]
        return Job(kind, training.part, [training], command, [folder / result], needs=[record])

    if studied and values["study_images"]:
        extent = ["--images", str(values["study_images"]), "--steps", str(values["study_steps"])]
        found.append(job(STUDY, "lib.studies", "studies.npz", *extent))
    if training.part == SCENES:
        found.append(job(DOSES, "lib.studies.doses", "doses.npz"))
    return found
