"""The designs: which trainings decide the report's statements, and one command that makes them.

    python -m lib.studies.designs D1 D2 D3 --out build/designs --workers 2
    python -m lib.studies.designs D1 D2 D3 --out build/designs --collect report/records

trains what is missing, design by design and seed by seed: all cells of one seed before the next, so that a design that
stops early is balanced. What is recorded is skipped and what was interrupted continues, so that the same command takes
the work up again at any time; several may share an output folder. Each training is a process of its own at low priority,
with one thread, and with the precision in which its seed was begun, wherever that was. When trainings fail one after the
other nothing more is started.

Records go to OUT/<part>/runs/<variant>/seed-<k>/. Trainings that two designs share are made once. `--collect` copies what
is on record, but for the weights and the predictions of all images, to another folder.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lib import ROOT
from lib.datasets.camvid import DRIVES
from lib.machine import PRECISION
from lib.models import EXTRA, SUBSETS, VARIANTS, subset_name
from lib.records import RECORD, Run, run_folder

LOWEST_PRIORITY = 19
ENOUGH = 3  # failures one after the other
NOT_COLLECTED = shutil.ignore_patterns("*.pt", "predictions.npz", ".*")
BLOCK_BY_SKIP = [*VARIANTS, *(name for name in EXTRA if name.startswith("unet-residual"))]
FACTORIAL = [subset_name(levels) for levels in reversed(SUBSETS)]


@dataclass(frozen=True)
class Part:
    """Trainings with the same settings: those of a profile, and what differs from them."""

    name: str
    profile: str
    settings: dict[str, str] = field(default_factory=dict, hash=False)


CAMVID = Part("camvid", "designs")
CROSS_ENTROPY = Part("cross-entropy", "designs", {"dice": "0"})
LEFT_OUT = [Part(f"without-{drive}", "designs", {"dataset": f"camvid-without-{drive}"}) for drive in DRIVES]
SCENES = Part("scenes", "designs-scenes")


@dataclass(frozen=True)
class Design:
    """Every variant in every part with every seed."""

    parts: Sequence[Part]
    variants: Sequence[str]
    seeds: Sequence[int]

    def trainings(self) -> Iterator["Training"]:
        """Seed by seed."""
        for seed in self.seeds:
            for part in self.parts:
                for variant in self.variants:
                    yield Training(part, variant, seed)


DESIGNS = {
    "D1": Design([CAMVID], BLOCK_BY_SKIP, range(10, 18)),
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
        return run_folder(out / self.part.name, self.variant, self.seed)

    def recorded(self, out: Path) -> bool:
        return (self.folder(out) / RECORD).exists()

    def command(self, out: Path, data_root: str | None) -> list[str]:
        settings = self.part.settings | {"variant": self.variant, "seed": str(self.seed)}
        if data_root:
            settings["data_root"] = data_root
        options = [word for name, value in settings.items() for word in ("-p", name, value)]
        return [sys.executable, "-m", "lib.train", "--profile", self.part.profile, "--out", str(out / self.part.name),
                *options]

    def precision(self, out: Path) -> str | None:
        """The precision of the trainings of this part and seed that are on record; None without one."""
        for path in (out / self.part.name / "runs").glob(f"*/seed-{self.seed}/{RECORD}"):
            return Run.read(path.parent).record["precision"]
        return None


def queue(names: Sequence[str]) -> list[Training]:
    """The trainings of these designs in their order, each once."""
    return list(dict.fromkeys(training for name in names for training in DESIGNS[name].trainings()))


def train(training: Training, out: Path, data_root: str | None, threads: int) -> bool:
    """Makes the training in a process of its own; says how it ended, and returns whether it is on record."""
    if training.recorded(out):
        return True
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"}
    if (precision := training.precision(out)) == "float32":
        environment[PRECISION] = precision
    log = out / "logs" / f"{training.part.name}-{training.variant}-seed-{training.seed}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(log, "a") as output:
        process = subprocess.Popen(
            training.command(out, data_root), env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        if hasattr(os, "setpriority"):  # not on Windows
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
        status = process.wait()
    if status == 0 and training.recorded(out):
        run = Run.read(training.folder(out))
        print(f"{training}: test mIoU {run.miou:.1%}, {time.monotonic() - start:.0f} s", flush=True)
        return True
    last = (log.read_text().splitlines() or ["no output"])[-1]
    print(f"{training}: failed with status {status} after {time.monotonic() - start:.0f} s ({last}); see {log}",
          file=sys.stderr, flush=True)
    return False


class Failures:
    """How many trainings have failed since the last one that did not."""

    def __init__(self):
        self.number = 0

    def train(self, training: Training, out: Path, data_root: str | None, threads: int) -> bool:
        """Make the training, unless so many have failed one after the other that the next would fail as well."""
        if self.number >= ENOUGH:
            return False
        done = train(training, out, data_root, threads)
        self.number = 0 if done else self.number + 1
        if self.number == ENOUGH:
            print(f"{ENOUGH} trainings failed one after the other: nothing more is started", file=sys.stderr)
        return done


def collect(trainings: Sequence[Training], out: Path, into: Path) -> int:
    """Copy the records there are, with the test images that they show, and return their number."""
    recorded = [training for training in trainings if training.recorded(out)]
    for training in recorded:
        source = training.folder(out)
        target = training.folder(into)
        shutil.copytree(source, target, ignore=NOT_COLLECTED, dirs_exist_ok=True)
        examples = Path("..") / ".." / "examples"
        shutil.copytree(source / examples, target / examples, dirs_exist_ok=True)
    return len(recorded)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 0 when everything is on record, 1 when something failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m lib.studies.designs", description=__doc__.splitlines()[0])
    parser.add_argument("designs", nargs="+", choices=[*DESIGNS], metavar="DESIGN", help=f"of {', '.join(DESIGNS)}")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where records go")
    parser.add_argument("--data-root", metavar="DIR", help="the folder that holds CamVid")
    parser.add_argument("--workers", type=int, default=2, help="trainings side by side (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default: 1)")
    parser.add_argument("--collect", type=Path, metavar="DIR", help="copy the records to DIR, train nothing")
    parser.add_argument("--list", action="store_true", help="list the trainings, train nothing")
    options = parser.parse_args(arguments)
    out, trainings = options.out.resolve(), queue(options.designs)
    if options.list:
        for training in trainings:
            print(f"{training}: {'recorded' if training.recorded(out) else 'missing'}")
        return 0
    if options.collect:
        number = collect(trainings, out, options.collect.resolve())
        print(f"{number} of {len(trainings)} trainings are on record; copied to {options.collect}")
        return 0
    failures = Failures()
    try:
        with ThreadPoolExecutor(options.workers) as pool:
            done = list(pool.map(
                lambda training: failures.train(training, out, options.data_root, options.threads), trainings))
    except KeyboardInterrupt:
        print("stopped: the same command goes on from the last checkpoints", file=sys.stderr)
        return 130
    print(f"{sum(done)} of {len(done)} trainings are on record")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
