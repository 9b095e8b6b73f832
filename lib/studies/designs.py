"""The designs: which trainings decide the report's statements, and the processes that they need.

A design is every variant in every part with every seed, seed by seed: all cells of one seed before
the next, so that a design that stops early is balanced. Records go to
OUT/<part>/runs/<variant>/seed-<k>/; a training that two designs share is made once. The name of any
profile is a design, too: its networks and its seeds, in the part profile-<name>.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from lib.config import SETTINGS, read_profile
from lib.datasets.camvid import DRIVES
from lib.models import EXTRA, SUBSETS, VARIANTS, subset_name
from lib.records import RECORD, WEIGHTS, Run, run_folder

# What notebooks have beside the settings of a training where a profile says nothing.
DEFAULTS = SETTINGS | {
    "study_images": 20, "study_steps": 12, "measure_seconds": 0.1, "measure_repeats": 3,
    "seeds": [0], "extra": [],
}
BLOCK_BY_SKIP = [*VARIANTS, *(name for name in EXTRA if name.startswith("unet-residual"))]
FACTORIAL = [subset_name(levels) for levels in reversed(SUBSETS)]
WIDE = 32  # base channels from which a network keeps a GPU busy
COST = Path("cost") / "cost.json"  # the record of `lib.studies.cost`, in the folder of the others
TRAIN, STUDY, DOSES, MEASURE = "train", "study", "doses", "cost"  # kinds of processes


@dataclass(frozen=True)
class DesignPart:
    """Trainings with the same settings: those of a profile, and what differs from them."""

    name: str
    profile: str
    settings: dict[str, str] = field(default_factory=dict, hash=False)

    def values(self) -> dict:
        """Return the parameters of the profile, with the notebooks' own where it says nothing."""
        return DEFAULTS | read_profile(self.profile)

    def holds(self, run: Run) -> bool:
        """Return whether a run has the data set, the size and the width of the part."""
        values = self.values() | self.settings
        size = tuple(run.config["image_size"]) == tuple(values["image_size"])
        same = [run.config[name] == values[name] for name in ("dataset", "base_channels")]
        return size and all(same)


@dataclass(frozen=True)
class Training:
    """One network with one seed in one part."""

    part: DesignPart
    variant: str
    seed: int

    def record(self, out: Path) -> Path:
        """Return the path of its record."""
        return run_folder(out / self.part.name, self.variant, self.seed) / RECORD


@dataclass(frozen=True)
class Design:
    """Every variant in every part with every seed."""

    parts: Sequence[DesignPart]
    variants: Sequence[str]
    seeds: Sequence[int]
    studied: Sequence[int] = ()  # seeds whose networks get the theory chapter's studies

    def trainings(self) -> Iterator[Training]:
        """Yield the trainings seed by seed."""
        for seed in self.seeds:
            for part in self.parts:
                for variant in self.variants:
                    yield Training(part, variant, seed)


CAMVID = DesignPart("camvid", "designs")
CROSS_ENTROPY = DesignPart("cross-entropy", "designs", {"dice": "0"})
LEFT_OUT = [
    DesignPart(f"without-{drive}", "designs", {"dataset": f"camvid-without-{drive}"})
    for drive in DRIVES]
SCENES = DesignPart("scenes", "designs-scenes")
# The seeds of D2 and of D6, the control with as many parameters as the U-Net but no skips, are
# seeds of D1 that were trained in bfloat16 like their own networks.
DESIGNS = {
    "D1": Design([CAMVID], BLOCK_BY_SKIP, range(10, 18), studied=range(10, 13)),
    "D2": Design([CAMVID], FACTORIAL, range(12, 14)),
    "D3": Design([CROSS_ENTROPY], ["unet", "unet-noskip"], range(10, 15)),
    "D5": Design([SCENES], list(VARIANTS), range(10, 15)),
    "D4": Design(LEFT_OUT, list(VARIANTS), range(10, 12)),
    "D6": Design([CAMVID], ["unet-noskip-wide"], range(12, 15)),
}


def design(name: str) -> Design:
    """Return the design or profile of that name; raise UsageError where there is neither."""
    if name in DESIGNS:
        return DESIGNS[name]
    part = DesignPart(f"profile-{name}", name)
    values = part.values()
    return Design([part], [*VARIANTS, *values["extra"]], values["seeds"], studied=values["seeds"])


def part_names() -> list[str]:
    """Return the names of the designs' parts, which are folders beside each other."""
    return list(dict.fromkeys(part.name for each in DESIGNS.values() for part in each.parts))


def trainings(names: Sequence[str]) -> list[Training]:
    """Return the trainings of these designs in their order, each once."""
    return list(dict.fromkeys(one for name in names for one in design(name).trainings()))


@dataclass(eq=False)
class Task:
    """One process: what it runs, what it needs first, and the files that tell that it is done."""

    kind: str
    trainings: Sequence[Training]  # of one part
    command: list[str]
    results: list[Path]
    needs: Sequence[Path] = ()
    wide: bool = False  # it keeps a GPU busy alone

    @property
    def timed_as(self) -> str:
        """What takes as long as this one."""
        return f"{self.kind} {self.trainings[0].part.name}"

    def __str__(self) -> str:
        first, seeds = self.trainings[0], ", ".join(str(one.seed) for one in self.trainings)
        network = "" if self.kind == MEASURE else f", {first.variant}, seed {seeds}"
        return f"{self.kind} {first.part.name}{network}"

    def done(self) -> bool:
        return all(path.exists() for path in self.results)

    def ready(self) -> bool:
        return all(path.exists() for path in self.needs)


def jobs(names: Sequence[str], out: Path, data_root: str | None, on_gpu: bool) -> list[Task]:
    """Return the processes that these designs and profiles need, in order of worth."""
    designs, queue = [design(name) for name in names], []
    studied = {one for each in designs for one in each.trainings() if one.seed in each.studied}
    for part, group in groupby(trainings(names), lambda training: training.part):
        whole, values = list(group), part.values()
        wide, processes = values["base_channels"] >= WIDE, defaultdict(list)
        for training in whole:
            shared = wide and on_gpu  # the seeds of a network share what the compiler makes
            processes[training.variant if shared else training].append(training)
        for together in processes.values():
            command = train_command(together, out, data_root)
            records = [training.record(out) for training in together]
            queue.append(Task(TRAIN, together, command, records, wide=wide))
            for training in together:
                queue += _measurements(training, out, data_root, values, training in studied)
        if part.name.startswith("profile-"):
            place = ["--profile", part.profile, "--out", str(out / part.name)]
            command = [sys.executable, "-m", "lib.studies.cost", *place]
            records = [training.record(out) for training in whole]
            queue.append(Task(MEASURE, whole, command, [out / part.name / COST], needs=records))
    return queue


def train_command(together: Sequence[Training], out: Path, data_root: str | None) -> list[str]:
    """Return the command that trains one network of one part with each of the seeds."""
    part, seeds = together[0].part, [training.seed for training in together]
    settings = part.settings | {"variant": together[0].variant, "seeds": str(seeds)}
    if data_root:
        settings["data_root"] = data_root
    options = [word for name, value in settings.items() for word in ("-p", name, value)]
    place = ["--profile", part.profile, "--out", str(out / part.name)]
    return [sys.executable, "-m", "lib.train", *place, *options]


def _measurements(
    training: Training, out: Path, data_root: str | None, values: dict, studied: bool
) -> list[Task]:
    """Return what is measured of a trained network, while its weights are there."""
    record = training.record(out)
    folder = record.parent
    if record.exists() and not (folder / WEIGHTS).exists():
        return []

    def task(kind: str, module: str, result: str, *extent: object) -> Task:
        options = ["--data-root", data_root] if data_root else []
        command = [sys.executable, "-m", module, str(folder), *map(str, extent), *options]
        return Task(kind, [training], command, [folder / result], needs=[record])

    wanted = []
    if studied and values["study_images"]:
        extent = ("--images", values["study_images"], "--steps", values["study_steps"])
        wanted.append(task(STUDY, "lib.studies.theory", "studies.npz", *extent))
    if training.part == SCENES:
        wanted.append(task(DOSES, "lib.studies.doses", "doses.npz"))
    return wanted
