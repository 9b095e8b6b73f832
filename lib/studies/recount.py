"""Count the fine structure anew from stored predictions, for a measure that has changed.

    python -m lib.studies.recount build/camvid --data-root DIR

Every run below the folder that still has its predictions.npz gets a new structure.npz, unless the
predictions and the labels at hand give other confusion matrices than those on record. Exit status:
0 when every run was recounted, else 1.
"""

import sys

import numpy as np

from lib.data import Dataset
from lib.evaluation import write_structure
from lib.files import read_arrays, write_arrays
from lib.machine import Machine
from lib.metrics import confusion_matrix
from lib.records import WEIGHTS, Run
from lib.studies import for_each_run, runs_parser, split_of, test_again, trained_network

PREDICTIONS = "predictions.npz"
ROUNDED = 0.001  # share of the pixels that another machine's rounding may label otherwise


def recount(run: Run, test: Dataset) -> None:
    """Write the run's structure.npz from its predictions.

    Raises FileNotFoundError without them, ValueError unless they give the counts on record.
    """
    path = run.folder / PREDICTIONS
    if not path.exists():
        raise FileNotFoundError(f"{run.folder}: it has no {PREDICTIONS}, so nothing can be counted")
    stored = read_arrays(path)
    different = _difference(run, test, stored["labels"], stored["names"].tolist())
    if different:
        expected = "the predictions of this run and the data it was tested on (see --data-root)"
        raise ValueError(
            f"{run.folder}: {different} differ from those on record; expected {expected}")
    write_structure(run.folder, stored["labels"], test)


def _difference(run: Run, test: Dataset, predictions: np.ndarray, names: list[str]) -> str:
    """Return what of the predictions and the test images is not as it is on record, or ""."""
    if not names == list(test.items) == run.image_names:
        return "the names of the images"
    classes = len(test.classes)
    if predictions.shape != tuple(test.targets.shape) or classes != run.per_image.shape[-1]:
        return "the sizes of the images or the classes"
    pairs = zip(predictions, test.targets.numpy())
    counts = [confusion_matrix(*pair, classes).numpy() for pair in pairs]
    moved = np.abs(np.array(counts) - run.per_image).sum((1, 2))
    if moved.any():
        return f"the counts of {names[moved.argmax()]}, by {moved.max()} pixels,"
    return ""


def write_predictions(run: Run, test: Dataset) -> None:
    """Write the predictions of a recorded run from its weights, checked against the record."""
    machine = Machine.detect()
    confusions, predictions = test_again(trained_network(run, machine), test, machine)
    require_recorded(run, confusions.sum(0))
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
    return for_each_run(
        options, lambda run: recount(run, split_of(run, "test", options.data_root)), "recounted")


if __name__ == "__main__":
    sys.exit(main())
