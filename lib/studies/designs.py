"""The designs: which trainings decide the report's statements, and in which order they are made.

A design is every variant in every part with every seed, seed by seed: all cells of one seed before
the next, so that a design that stops early is balanced. Records go to
OUT/<part>/runs/<variant>/seed-<k>/; a training that two designs share is made once. The name of any
profile is a design, too: its networks and its seeds, in the part profile-<name>.
`lib.studies.queue` makes the trainings.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib.config import SETTINGS, read_profile
from lib.datasets.camvid import DRIVES
from lib.models import EXTRA, SUBSETS, VARIANTS, subset_name
from lib.records import RECORD, Run, run_folder

# What notebooks have beside the settings of a training where a profile says nothing.
DEFAULTS = SETTINGS | {
    "study_images": 40, "study_steps": 12, "measure_seconds": 0.1, "measure_repeats": 3,
    "seeds": [0], "extra": [],
}
NOT_COLLECTED = ("*.pt", "predictions.npz", ".*")
BLOCK_BY_SKIP = [*VARIANTS, *(name for name in EXTRA if name.startswith("unet-residual"))]
FACTORIAL = [subset_name(levels) for levels in reversed(SUBSETS)]


@dataclass(frozen=True)
class Part:
    """Trainings with the same settings: those of a profile, and what differs from them."""

    name: str
    profile: str
    settings: dict[str, str] = field(default_factory=dict, hash=False)

    def values(self) -> dict:
        """Return the parameters of the profile, with the notebooks' own where it says nothing."""
        return DEFAULTS | read_profile(self.profile)


CAMVID = Part("camvid", "designs")
CROSS_ENTROPY = Part("cross-entropy", "designs", {"dice": "0"})
LEFT_OUT = [
    Part(f"without-{drive}", "designs", {"dataset": f"camvid-without-{drive}"}) for drive in DRIVES]
SCENES = Part("scenes", "designs-scenes")


@dataclass(frozen=True)
class Design:
    """Every variant in every part with every seed."""

    parts: Sequence[Part]
    variants: Sequence[str]
    seeds: Sequence[int]
    studied: Sequence[int] = ()  # seeds whose networks get the theory chapter's studies

    def trainings(self) -> Iterator["Training"]:
        """Yield the trainings seed by seed."""
        for seed in self.seeds:
            for part in self.parts:
                for variant in self.variants:
                    yield Training(part, variant, seed)


DESIGNS = {
    "D1": Design([CAMVID], BLOCK_BY_SKIP, range(10, 18), studied=range(10, 13)),
    "D2": Design([CAMVID], FACTORIAL, range(10, 12)),
    "D3": Design([CROSS_ENTROPY], ["unet", "unet-noskip"], range(10, 15)),
    "D5": Design([SCENES], list(VARIANTS), range(10, 15)),
    "D4": Design(LEFT_OUT, list(VARIANTS), range(10, 12)),
}


@dataclass(frozen=True)
class Training:
    """One network with one seed in one part."""

    part: Part
    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.part.name}, {self.variant}, seed {self.seed}"

    def folder(self, out: Path) -> Path:
        """Return the folder of its record."""
        return run_folder(out / self.part.name, self.variant, self.seed)

    def recorded(self, out: Path) -> bool:
        """Return whether its record is there."""
        return (self.folder(out) / RECORD).exists()

    def precision(self, out: Path) -> str | None:
        """Return the precision of this part's recorded trainings with this seed, or None."""
        for path in (out / self.part.name / "runs").glob(f"*/seed-{self.seed}/{RECORD}"):
            return Run.read(path.parent).record["precision"]
        return None


def design(name: str) -> Design:
    """Return the design or profile of that name; raise UsageError where there is neither."""
    if name in DESIGNS:
        return DESIGNS[name]
    part = Part(f"profile-{name}", name)
    values = part.values()
    seeds = values["seeds"]
    return Design([part], [*VARIANTS, *values["extra"]], seeds, studied=seeds)


def trainings(names: Sequence[str]) -> list[Training]:
    """Return the trainings of these designs in their order, each once."""
    return list(dict.fromkeys(one for name in names for one in design(name).trainings()))


def to_be_studied(names: Sequence[str]) -> set[Training]:
    """Return the trainings whose networks get the theory chapter's studies."""
    designs = [design(name) for name in names]
    return {one for each in designs for one in each.trainings() if one.seed in each.studied}


def train_command(group: Sequence[Training], out: Path, data_root: str | None) -> list[str]:
    """Return the command that trains one network of one part with each of the seeds."""
    part, seeds = group[0].part, [one.seed for one in group]
    settings = part.settings | {"variant": group[0].variant, "seeds": str(seeds)}
    if data_root:
        settings["data_root"] = data_root
    options = [word for name, value in settings.items() for word in ("-p", name, value)]
    place = ["--profile", part.profile, "--out", str(out / part.name)]
    return [sys.executable, "-m", "lib.train", *place, *options]


def collect(made: Sequence[Training], out: Path, into: Path) -> int:
    """Copy the records there are, with the test images that they show, and return their number."""
    recorded = [training for training in made if training.recorded(out)]
    ignored = shutil.ignore_patterns(*NOT_COLLECTED)
    for training in recorded:
        source, target = training.folder(out), training.folder(into)
        shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
        examples = Path("..") / ".." / "examples"
        shutil.copytree(source / examples, target / examples, dirs_exist_ok=True)
    return len(recorded)
