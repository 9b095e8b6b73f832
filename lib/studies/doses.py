"""Networks that were trained on drawn scenes, tested at other doses of clutter and of noise.

    python -m lib.studies.doses build/designs/scenes

measures every run below the folder that has its weights, once, and writes doses.npz beside its
record:

    trained              int64 (2,): the doses of clutter and of noise of the training
    clutter, noise       int64 (D,): the doses of the tests
    clutter_confusions   int32 (D, G, K, K): by dose of clutter, with the noise of the training
    noise_confusions     int32 (D, G, K, K): by dose of noise, with the clutter of the training
    group                how many consecutive test scenes a confusion matrix is summed over

A confusion matrix has a row for each target and a column for each prediction. Scenes do not depend
on each other, and every dose shows the same streets in the same order: groups can be resampled
alike at all doses, and the slope of a score against the dose be taken within each resample.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch

from lib.config import TrainConfig
from lib.data import Dataset, load_dataset
from lib.datasets.pairs import Size
from lib.datasets.scenes import DOSES, SCENE_DOSES, scene_name
from lib.evaluation import evaluate, load_model
from lib.files import read_arrays, write_arrays
from lib.machine import Machine
from lib.records import Run
from lib.studies.command import for_each_run, parser
from lib.studies.recount import require_recorded

FILE = "doses.npz"
GROUP = 20


def dose_counts(run: Run, data_root: str | Path | None = None) -> dict[str, np.ndarray]:
    """Test a trained network at every dose; return and write what the module describes.

    What is on record already is read and not measured again. Raises ValueError for a network that
    was not trained on drawn scenes, and for weights that label the test scenes of the training
    otherwise than on record; FileNotFoundError without the weights.
    """
    path = run.folder / FILE
    if path.exists():
        return read_arrays(path)
    config = TrainConfig(**run.config)
    if config.dataset not in SCENE_DOSES:
        raise ValueError(f"{run.folder}: trained on {config.dataset}, which has no doses; expected "
                         "one of the data sets of drawn scenes, such as scenes-clutter-1-noise-1")
    machine, trained = Machine.detect(), SCENE_DOSES[config.dataset]
    classes = len(run.classes)
    model = load_model(run.folder, run.variant, config.base_channels, classes)
    model = machine.place(model)
    weights = torch.ones(classes, device=machine.device)  # of the loss, which is not looked at

    @cache
    def groups(clutter: int, noise: int) -> np.ndarray:
        """Confusion matrices at these doses, int32 (G, K, K)."""
        name = scene_name(clutter, noise)
        test = _test_split(name, config.image_size, config.test_images, data_root)
        confusions, _, _ = evaluate(model, test, weights, machine)
        return _by_group(confusions.numpy())

    require_recorded(run, groups(**trained).sum(0, dtype=np.int64))
    clutter = [groups(dose, trained["noise"]) for dose in DOSES]
    noise = [groups(trained["clutter"], dose) for dose in DOSES]
    found = {
        "trained": np.array([trained["clutter"], trained["noise"]]),
        "clutter": np.array(DOSES),
        "noise": np.array(DOSES),
        "clutter_confusions": np.stack(clutter),
        "noise_confusions": np.stack(noise),
        "group": np.array(GROUP),
    }
    write_arrays(path, **found)
    return found


@cache
def _test_split(name: str, size: Size | None, limit: int | None,
                data_root: str | Path | None) -> Dataset:
    """The test split at a dose; every run of a design is tested on the same ones."""
    return load_dataset(name, data_root, "test", size, limit)


def _by_group(confusions: np.ndarray) -> np.ndarray:
    """Sum (N, K, K) over groups of consecutive images: int32 (G, K, K); the last may be smaller."""
    starts = np.arange(0, len(confusions), GROUP)
    return np.add.reduceat(confusions, starts).astype(np.int32)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when every run is measured, 1 when one cannot be."""
    options = parser("lib.studies.doses", __doc__).parse_args(arguments)
    return for_each_run(options, lambda run: dose_counts(run, options.data_root), f"has its {FILE}")


if __name__ == "__main__":
    sys.exit(main())
