"""What the commands that measure recorded runs share: which runs, which data, what failed."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from lib.config import TrainConfig
from lib.data import Dataset, load_split
from lib.records import RECORD, Run


def parser(program: str, text: str) -> argparse.ArgumentParser:
    """Return the options that these commands have in common; `text` is the module's docstring."""
    options = argparse.ArgumentParser(f"python -m {program}", description=text.splitlines()[0])
    options.add_argument(
        "out", type=Path, nargs="+", metavar="OUT", help="a run's folder, or one above runs")
    options.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help="these alone (default: all)")
    options.add_argument("--data-root", metavar="DIR", help="the folder that holds the data set")
    return options


def run_folders(folders: Sequence[Path], seeds: Sequence[int] | None) -> list[Path]:
    """Return the folders of finished runs in and below these, with one of the seeds if given."""
    records = [path for folder in folders for path in sorted(folder.resolve().rglob(RECORD))]
    names = None if seeds is None else {f"seed-{seed}" for seed in seeds}
    found = [path.parent for path in records if names is None or path.parent.name in names]
    return list(dict.fromkeys(found))


def for_each_run(options: argparse.Namespace, work: Callable[[Run], object], done: str) -> int:
    """Do the work on every chosen run; return 0, or 1 when one failed or there is none.

    A ValueError or OSError of the work is printed and the next run taken up.
    """
    folders, failed = run_folders(options.out, options.seeds), 0
    if not folders:
        places = ", ".join(map(str, options.out))
        expected = f"<variant>/seed-<k>/{RECORD} below it"
        print(f"error: {places}: no finished runs; expected {expected}", file=sys.stderr)
        return 1
    for folder in folders:
        try:
            work(Run.read(folder))
            print(f"{folder}: {done}", flush=True)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            failed += 1
    print(f"{len(folders) - failed} of {len(folders)} runs: {done}")
    return 1 if failed else 0


def split_of(run: Run, split: str, data_root: str | Path | None) -> Dataset:
    """Return a split of the data set that the run was trained on; it is loaded once a process."""
    # Without network and seed the settings are alike for all runs on the same images.
    return _load(TrainConfig(**run.config | {"variant": "unet", "seed": 0}), split, data_root)


@lru_cache(maxsize=4)
def _load(config: TrainConfig, split: str, data_root: str | Path | None) -> Dataset:
    return load_split(config, split, data_root)
