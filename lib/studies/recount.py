"""Count the fine structure anew from stored predictions, for a measure that has changed.

    python -m lib.studies.recount build/camvid --data-root DIR

Nothing is trained. Every run below the folder that still has its predictions.npz gets a new
structure.npz, unless the predictions and the labels at hand give other confusion matrices than
those on record. Exit status: 0 when every run was recounted, 1 when one was refused or has no
predictions, or when there is no run.
"""

import sys

import numpy as np
import torch

from lib.data import Dataset
from lib.evaluation import evaluate, write_structure
from lib.files import read_arrays, write_arrays
from lib.machine import Machine
from lib.metrics import confusion_matrix
from lib.records import WEIGHTS, Run
from lib.studies import for_each_run, runs_parser, split_of, trained_network

PREDICTIONS = "predictions.npz"
ROUNDED = 0.001  # share of the pixels that another machine's rounding may label otherwise


def recount(run: Run, test: Dataset) -> None:
    """Write the run's structure.npz from its predictions.

    Raises FileNotFoundError without predictions, and ValueError that names the run unless
    predictions and test images give the counts on record.
    """
    path = run.folder / PREDICTIONS
    if not path.exists():
        raise FileNotFoundError(f"{run.folder}: it has no {PREDICTIONS}, so nothing can be counted")
    stored = read_arrays(path)
    predictions, names, classes = stored["labels"], stored["names"].tolist(), len(test.classes)
    different = ""
    if not names == list(test.items) == run.image_names:
        different = "the names of the images"
    elif predictions.shape != tuple(test.targets.shape) or classes != run.per_image.shape[-1]:
        different = "the sizes of the images or the classes"
    else:
        pairs = zip(predictions, test.targets.numpy())
        counts = [confusion_matrix(*pair, classes).numpy() for pair in pairs]
        moved = np.abs(np.array(counts) - run.per_image).sum((1, 2))
        if moved.any():
            different = f"the counts of {names[moved.argmax()]}, by {moved.max()} pixels,"
    if different:
        expected = "the predictions of this run and the data it was tested on (see --data-root)"
        raise ValueError(
            f"{run.folder}: {different} differ from those on record; expected {expected}")
    write_structure(run.folder, predictions, test)


def write_predictions(run: Run, test: Dataset) -> None:
    """Write the predictions of a recorded run from its weights, checked against the record."""
    machine = Machine.detect()
    weights = torch.ones(len(test.classes), device=machine.device)
    confusions, _, predictions = evaluate(trained_network(run, machine), test, weights, machine)
    require_recorded(run, confusions.sum(0).numpy())
    write_arrays(run.folder / PREDICTIONS, labels=predictions, names=np.array(test.items))


def require_recorded(run: Run, confusion: np.ndarray) -> None:
    """Raise ValueError unless these counts (K, K) are, but for rounding, those on record."""
    moved = np.abs(confusion - run.confusion).sum() / 2
    if moved > ROUNDED * run.confusion.sum():
        raise ValueError(
            f"{run.folder / WEIGHTS}: {moved:.0f} pixels are labelled otherwise than on record; "
            "expected the same weights and the same test images")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = runs_parser("lib.studies.recount", __doc__).parse_args(arguments)

    def work(run: Run) -> None:
        recount(run, split_of(run, "test", options.data_root))

    return for_each_run(options, work, "recounted")


if __name__ == "__main__":
    sys.exit(main())
