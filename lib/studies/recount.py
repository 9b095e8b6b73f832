"""Count the fine structure anew from stored predictions, for a measure that has changed.

    python -m lib.studies.recount build/camvid --data-root DIR

Nothing is trained. Every run below the folder that still has its predictions.npz gets a new
structure.npz. First the predictions and the labels at hand must give the confusion matrices on
record, image by image: otherwise these are other predictions or other data, and the run stays as
it was. No record.json is touched. Exit status: 0 when every run was recounted, 1 when one was
refused or has no predictions, or when there is no run.
"""

import sys

import numpy as np
import torch

from lib.data import Dataset
from lib.evaluation import evaluate, load_model, write_structure
from lib.files import read_arrays, write_arrays
from lib.machine import Machine
from lib.metrics import confusion_matrix
from lib.records import WEIGHTS, Run
from lib.studies.command import for_each_run, parser, split_of

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


def write_predictions(run: Run, test: Dataset) -> None:
    """Write the predictions of a recorded run from its weights, checked against the record."""
    machine, classes = Machine.detect(), len(test.classes)
    model = load_model(run.folder, run.variant, run.config["base_channels"], classes)
    weights = torch.ones(classes, device=machine.device)
    confusions, _, predictions = evaluate(machine.place(model), test, weights, machine)
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
    options = parser("lib.studies.recount", __doc__).parse_args(arguments)

    def work(run: Run) -> None:
        recount(run, split_of(run, "test", options.data_root))

    return for_each_run(options, work, "recounted")


if __name__ == "__main__":
    sys.exit(main())
