"""Count the fine structure anew from stored predictions, for a measure that has changed.

    python -m lib.studies.recount build/camvid --data-root DIR

Nothing is trained. Every run below the folder that still has its predictions.npz gets a new
structure.npz. First the predictions and the labels at hand must give the confusion matrices on
record, image by image: otherwise these are other predictions or other data, and the run stays as
it was. No record.json is touched. Exit status: 0 when every run was recounted, 1 when one was
refused or has no predictions, or when there is no run.
"""

import argparse
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

from lib.config import TrainConfig
from lib.data import Dataset, load_split
from lib.evaluation import write_structure
from lib.files import read_arrays
from lib.metrics import confusion_matrix
from lib.records import RECORD, Run

PREDICTIONS = "predictions.npz"


def recount(run: Run, test: Dataset) -> None:
    """Write the run's structure.npz from its predictions.

    Raises FileNotFoundError without predictions, and ValueError that names the run unless
    predictions and test images give the counts on record.
    """
    stored = read_arrays(run.folder / PREDICTIONS)
    predictions, names = stored["labels"], [str(name) for name in stored["names"]]
    _same("names of the predictions", names, run.image_names, run)
    _same("names of the test images", list(test.items), run.image_names, run)
    _same("sizes of predictions or test images", predictions.shape, tuple(test.targets.shape), run)
    targets, expected, classes = test.targets.numpy(), run.per_image, len(test.classes)
    _same("classes", classes, expected.shape[-1], run)
    for name, prediction, target, counts in zip(names, predictions, targets, expected):
        found = confusion_matrix(prediction, target, classes).numpy()
        if moved := np.abs(found - counts).sum():
            reason = f"the counts of {name} differ from those on record by {moved} pixels"
            raise _refused(run, reason)
    write_structure(run.folder, predictions, test)


def _same(what: str, found: object, expected: object, run: Run) -> None:
    if found != expected:
        raise _refused(run, f"the {what} differ from those on record")


def _refused(run: Run, reason: str) -> ValueError:
    expected = "the predictions of this run and the data it was tested on (see --data-root)"
    return ValueError(f"{run.folder}: {reason}; expected {expected}")


@lru_cache(maxsize=2)
def _load(config: TrainConfig, split: str, data_root: str | None) -> Dataset:
    return load_split(config, split, data_root)


def tested_on(run: Run, data_root: str | None) -> Dataset:
    """Return the test split of the data set that the run was trained on."""
    # Without network and seed the settings are alike for all runs on the same images.
    config = TrainConfig(**run.config | {"variant": "unet", "seed": 0})
    return _load(config, "test", data_root)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser("python -m lib.studies.recount", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder with runs below it")
    parser.add_argument("--data-root", metavar="DIR", help="the folder that holds the data set")
    options = parser.parse_args(arguments)
    done, problems = 0, []
    records = sorted(options.out.resolve().rglob(f"runs/*/seed-*/{RECORD}"))
    if not records:
        expected = f"runs/<variant>/seed-<k>/{RECORD}"
        problems.append(f"{options.out}: no finished runs; expected {expected} below it")
    for record in records:
        try:
            run = Run.read(record.parent)
            if not (run.folder / PREDICTIONS).exists():
                problems.append(f"{run.folder}: skipped, it has no {PREDICTIONS}")
                continue
            recount(run, tested_on(run, options.data_root))
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        done += 1
        print(f"{run.folder}: recounted", flush=True)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"{done} of {len(records)} runs were recounted")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
