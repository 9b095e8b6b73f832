"""What is read of one run: numbers of its training, counts per test image, stored studies.

A reader takes a run and returns a number, or counts whose first axis is the images that were
counted. `NotMeasured` says in words what a record lacks. Studies are stored under the names that
`lib.studies` gives them.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lib.metrics import nan_mean
from lib.models import DEPTH
from lib.records import Run
from lib.structure import ratio
from lib.studies.probes import probed_parts
from report.evidence.scores import final_value

RARE = 0.01  # a class with less than this share of the training pixels
FINE, COARSE = (0, 1), (2, 3)  # levels of the skips
# How the names of classes of thin or small things begin.
THIN = ("pole", "sign", "pedestrian", "person", "bicycl", "rider", "light")


class NotMeasured(Exception):
    """Says what is missing, for the reader of the report."""


def lacks(run: Run, what: str) -> NotMeasured:
    """Return the exception that says what the record of that run lacks."""
    return NotMeasured(f"no {what} for seed {run.seed} of {run.title}")


def _entry(run: Run, store: dict[str, np.ndarray], name: str, what: str) -> np.ndarray:
    """Return an array of a run's store; raise NotMeasured where it is absent."""
    if name not in store:
        raise lacks(run, what)
    return store[name]


def studied(run: Run, name: str) -> np.ndarray:
    """Return an array of the run's studies; raise NotMeasured where it is absent."""
    return _entry(run, run.studies, name, f"study of {name}")


# Numbers of a training


def image_losses(run: Run) -> np.ndarray:
    """Return the loss of each test image and whether it has labels, (N, 2)."""
    losses = run.image_losses
    if losses is None:
        raise lacks(run, "loss of each test image")
    return np.stack([np.nan_to_num(losses), ~np.isnan(losses)], -1)


def gap(run: Run) -> float:
    """Return the test loss minus the training loss after the last epoch."""
    return float(ratio(image_losses(run).sum(0))) - final_value(run.history, "train_loss")


def norms(run: Run) -> dict[str, np.ndarray]:
    """Return the arrays of gradients.npz; raise NotMeasured without them."""
    if not run.gradients:
        raise lacks(run, "norms of gradients")
    return run.gradients


def gradient_at(run: Run, block: str) -> float:
    """Return |gradient| · |weight| of one block, the mean over the recorded steps.

    Rescaling a normalised filter leaves this product unchanged, but not the ratio of the two.
    """
    arrays = norms(run)
    products = arrays["gradient"] * arrays["weight"]
    return float(products[:, arrays["blocks"].tolist().index(block)].mean())


def _end_columns(arrays: dict[str, np.ndarray]) -> list[int]:
    """Return the columns of the first and of the last block."""
    names = arrays["blocks"].tolist()
    return [names.index("encoder 0"), names.index("decoder 0")]


def fading(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the relative gradient of the first block by the last's at every step, NaN where 0."""
    first, last = (arrays["gradient"] / arrays["weight"])[:, _end_columns(arrays)].T
    positive = (first > 0) & (last > 0)
    return np.divide(first, last, out=np.full_like(first, np.nan), where=positive)


def update_ratio(run: Run) -> float:
    """Return the relative update of the first block by that of the last, means over the steps."""
    arrays = norms(run)
    first, last = (arrays["update"] / arrays["weight"]).mean(0)[_end_columns(arrays)]
    return float(first / last)


def fading_at_depth(run: Run, depth: int, kind: str) -> float:
    """Return the mean of `fading` over the first steps of a small network of that depth."""
    names = ("gradient", "weight", "blocks")
    arrays = {name: studied(run, f"depth.{depth}, {kind}: {name}") for name in names}
    return float(nan_mean(fading(arrays)))


def largest_curvature(run: Run) -> float:
    """Return the largest curvature of the loss in filter-normalised coordinates."""
    return float(np.abs(studied(run, "landscape.curvature")[1, -1]))


def non_convexity(run: Run) -> float:
    """Return |smallest / largest| eigenvalue of the Hessian (Li et al. 2018), 0 at a minimum."""
    smallest, largest = studied(run, "landscape.eigenvalues")[0, -1]
    return float(max(-smallest, 0) / largest)


# Classes


def pixel_shares(run: Run) -> np.ndarray:
    """Return each class's share of the labelled training pixels, (K,)."""
    pixels = np.array(run.record["dataset"]["pixels"]["train"])
    return pixels / pixels.sum()


def by_frequency(run: Run) -> np.ndarray:
    """Return the indices of the classes from the most to the least frequent in training pixels."""
    return np.argsort(-pixel_shares(run), kind="stable")


def rare(run: Run) -> np.ndarray:
    """Return which classes have under `RARE` of the training pixels, or the rarest; bool (K,)."""
    share = pixel_shares(run)
    share[share == 0] = np.inf
    return share < max(RARE, share.min() * 1.0001)


def classes_called(run: Run, beginnings: Sequence[str]) -> list[int]:
    """Return the classes that have a word in their name with one of these beginnings."""
    words = [name.lower().replace("_", " ").split() for name in run.classes.names]
    starts = tuple(beginnings)
    return [k for k, name in enumerate(words) if any(word.startswith(starts) for word in name)]


def thin(run: Run) -> list[int]:
    """Return the classes of thin or small things by name; the rare ones where no name says so."""
    return classes_called(run, THIN) or np.flatnonzero(rare(run)).tolist()


# Counts on the test images


def structure(run: Run, name: str) -> np.ndarray:
    """Return counts of `lib.structure`, (N, ...)."""
    return _entry(run, run.structure, name, f"counts of {name}").astype(np.int64)


def missed(run: Run, choose: Callable[[Run], Sequence[int]], sizes: slice) -> np.ndarray:
    """Return target components of some classes that no predicted pixel touches, and all, (N, 2)."""
    classes = list(choose(run))
    if not classes:
        raise NotMeasured("the data set has no such class")
    components = structure(run, "components")[:, classes, sizes]
    return components[..., [1, 0]].sum((1, 2))


def of_drive(run: Run, drive: str) -> list[int]:
    """Return the indices of the drive's images among the test images."""
    indices = [index for index, (name, _) in enumerate(run.frames) if name == drive]
    if not indices:
        raise NotMeasured(f"no test image belongs to the drive {drive}")
    return indices


def false_components(run: Run) -> np.ndarray:
    """Return false components of the rare classes and their true components, (N, 2)."""
    counts = []
    for name in ("false_components", "components"):
        numbers = structure(run, name)[..., 0]
        counts.append(numbers[:, rare(run)].sum((1, 2)))
    return np.stack(counts, -1)


def rare_pixels(run: Run, part: str) -> np.ndarray:
    """Return pixels of the rare classes that are "right" or "false", and all of theirs, (N, 2)."""
    counts, chosen = run.per_image, rare(run)
    own = counts.sum(2)[:, chosen].sum(-1)
    right = counts[:, chosen, chosen].sum(-1)
    if part == "right":
        return np.stack([right, own], -1)
    predicted = counts.sum(1)[:, chosen].sum(-1)
    return np.stack([predicted - right, own], -1)


def by_threshold(run: Run) -> np.ndarray:
    """Return counts of `lib.studies.matched`, (groups, classes, thresholds, 7)."""
    return _matched(run, "counts").astype(np.int64)


def matched_images(run: Run) -> list[str]:
    """Return the first test image of each group of `by_threshold`."""
    _, first = np.unique(_matched(run, "groups"), return_index=True)
    return [run.image_names[index] for index in first]


def matched_classes(run: Run) -> list[str]:
    """Return the names of the classes of `by_threshold`."""
    return [run.classes.names[index] for index in _matched(run, "classes")]


def _matched(run: Run, name: str) -> np.ndarray:
    """Return an array of `lib.studies.matched`, which is stored with the studies or the doses."""
    return _entry(run, run.doses | run.studies, f"matched.{name}", f"study of matched.{name}")


def by_dose(run: Run, kind: str) -> np.ndarray:
    """Return confusion matrices on scenes with doses of "clutter" or "noise", (N, D, K, K)."""
    confusions = _entry(run, run.doses, f"{kind}_confusions", f"doses of {kind}")
    return np.moveaxis(confusions.astype(np.int64), 0, 1)


def dose_images(run: Run) -> list[str]:
    """Return the first test scene of each group of `by_dose`."""
    return run.image_names[:: int(_entry(run, run.doses, "group", "doses"))]


# Counts of one trained network under several conditions: (N, conditions, ...)


def condition(run: Run, name: str, array: str = "conditions.confusions") -> np.ndarray:
    """Return counts (N, ...) of one condition of `lib.studies.interventions`, or of "intact"."""
    names = studied(run, "conditions.names").tolist()
    if name not in names:
        raise NotMeasured(f"no condition {name!r} for {run.title}")
    return studied(run, array)[names.index(name)]


def against_intact(run: Run, name: str, array: str = "conditions.confusions") -> np.ndarray:
    """Return counts of a condition and of the intact network, (N, 2, ...)."""
    return np.stack([condition(run, name, array), condition(run, "intact", array)], 1)


def lesions_by_size(run: Run) -> np.ndarray:
    """Return components with a finer and a coarser skip shuffled, (N, 2, 2 levels, sizes, 4)."""

    def shuffled(levels: Sequence[int]) -> np.ndarray:
        names = [f"shuffle {level}" for level in levels]
        return np.stack([condition(run, name, "structure.components") for name in names], 1)

    return np.stack([shuffled(FINE), shuffled(COARSE)], 1)


def probed(run: Run, array: str, name: str) -> np.ndarray:
    """Return counts (N, ...) of the probe of that part, see `lib.studies.probes`."""
    names = [part for part, _ in probed_parts(DEPTH)]
    return studied(run, f"probes.{array}")[names.index(name)]


def probed_pair(run: Run, first: tuple[str, str], second: tuple[str, str]) -> np.ndarray:
    """Return counts (N, 2, ...) of two probes, each an array and a part."""
    return np.stack([probed(run, *first), probed(run, *second)], 1)


def alphas(run: Run, groups: str) -> np.ndarray:
    """Return sums of α and pixels by "classes" or "distances", and permuted, (N, 1 + P, ...)."""
    own = studied(run, f"gates.{groups}")
    permuted = studied(run, f"gates.permuted_{groups}")
    others = [np.stack([sums, own[..., 1]], -1) for sums in np.moveaxis(permuted, -1, 0)]
    return np.stack([own, *others], 1)


def frequent_energy(run: Run, other: str) -> np.ndarray:
    """Return gradient energy across the skips on frequent classes and on all, (N, 2, levels, 2).

    With the gates as trained, and under the other condition; levels, whose energies differ by
    orders of magnitude, are weighted equally.
    """
    sides = []
    for name in ("gates.energy", f"gates.{other}"):
        energy = studied(run, name)
        if energy.ndim == 4:  # across the skip, and altogether
            energy = energy[..., 0]
        energy = energy / energy.sum((0, 2), keepdims=True)
        sides.append(np.stack([energy[..., ~rare(run)].sum(-1), energy.sum(-1)], -1))
    return np.stack(sides, 1)
