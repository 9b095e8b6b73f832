"""Networks that were trained on drawn scenes, tested at other doses of clutter and of noise.

    python -m lib.studies.doses build/designs/scenes

measures every run below the folder that has its weights, once, and writes doses.npz beside its
record:

    trained              int64 (2,): the doses of clutter and of noise of the training
    clutter, noise       int64 (D,): the doses of the tests
    clutter_confusions   int32 (D, G, K, K): by dose of clutter, with the noise of the training
    noise_confusions     int32 (D, G, K, K): by dose of noise, with the clutter of the training
    group                how many consecutive test scenes a confusion matrix is summed over
    matched.*            `lib.studies.matched` on the test scenes with the doses of the training

Every dose shows the same streets in the same order: groups can be resampled alike at all doses, and
the slope of a score against the dose be taken within each resample.
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np

from lib.datasets.scenes import DOSES, SCENE_DOSES, scene_name
from lib.files import read_arrays, write_arrays
from lib.machine import Machine
from lib.records import Run
from lib.studies import Arrays, for_each_run, runs_parser, split_of, test_again, trained_network
from lib.studies.matched import counts_by_threshold
from lib.studies.recount import require_recorded

FILE = "doses.npz"
GROUP = 20


def dose_counts(run: Run, data_root: str | Path | None = None) -> Arrays:
    """Test a trained network at every dose, unless that is on record; return and write the counts.

    Raises ValueError for a network that was not trained on drawn scenes, and for weights that label
    the test scenes of the training otherwise than on record; FileNotFoundError without weights.
    """
    path, name = run.folder / FILE, run.config["dataset"]
    if path.exists():
        return read_arrays(path)
    if name not in SCENE_DOSES:
        raise ValueError(f"{run.folder}: trained on {name}, which has no doses; expected one of "
                         "the data sets of drawn scenes, such as scenes-clutter-1-noise-1")
    machine, trained = Machine.detect(), SCENE_DOSES[name]
    model = trained_network(run, machine)

    @cache
    def groups(clutter: int, noise: int) -> np.ndarray:
        """Confusion matrices at these doses, int32 (G, K, K); the last group may be smaller."""
        test = split_of(run, "test", data_root, dataset=scene_name(clutter, noise))
        confusions, _ = test_again(model, test, machine)
        starts = np.arange(0, len(confusions), GROUP)
        return np.add.reduceat(confusions, starts).astype(np.int32)

    require_recorded(run, groups(**trained).sum(0, dtype=np.int64))
    clutter = [groups(dose, trained["noise"]) for dose in DOSES]
    noise = [groups(trained["clutter"], dose) for dose in DOSES]
    pixels = np.array(run.record["dataset"]["pixels"]["train"])
    matched = counts_by_threshold(model, pixels, split_of(run, "test", data_root), machine)
    counts = {
        "trained": np.array([trained["clutter"], trained["noise"]]),
        "clutter": np.array(DOSES),
        "noise": np.array(DOSES),
        "clutter_confusions": np.stack(clutter),
        "noise_confusions": np.stack(noise),
        "group": np.array(GROUP),
    } | {f"matched.{name}": array for name, array in matched.items()}
    write_arrays(path, **counts)
    return counts


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 when every run is measured, 1 when one cannot be."""
    options = runs_parser("lib.studies.doses", __doc__).parse_args(arguments)
    return for_each_run(options, lambda run: dose_counts(run, options.data_root), f"has its {FILE}")


if __name__ == "__main__":
    sys.exit(main())
