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
from lib.studies.probes import parts
from report.evidence.scores import final_value

RARE = 0.01  # a class with less than this share of the training pixels
BAND = 5  # px around an outline
SMALL = slice(0, 2)  # bins of `lib.structure.SIZES`: under 64 px
ANY_SIZE = slice(None)
FINE, COARSE = (0, 1), (2, 3)  # levels of the skips
# How the names of classes of thin or small things begin.
THIN = ("pole", "sign", "pedestrian", "person", "bicycl", "rider", "light")


class NotMeasured(Exception):
    """Says what is missing, for the reader of the report."""


def lacks(run: Run, what: str) -> NotMeasured:
    """Return the exception that says what the record of that run lacks."""
    return NotMeasured(f"no {what} for seed {run.seed} of {run.title}")


def studied(run: Run, name: str) -> np.ndarray:
    """Return an array of the run's studies; raise NotMeasured where it is absent."""
    if name not in run.studies:
        raise lacks(run, f"study of {name}")
    return run.studies[name]


def study_images(run: Run) -> list[str]:
    """Return the names of the test images that the studies counted."""
    return studied(run, "names").tolist()


# Numbers of a training


def image_losses(run: Run) -> np.ndarray:
    """Return the loss of each test image and whether it has labels, (N, 2)."""
    if run.image_losses is None:
        raise lacks(run, "loss of each test image")
    known = ~np.isnan(run.image_losses)
    return np.stack([np.nan_to_num(run.image_losses), known], -1)


def gap(run: Run) -> float:
    """Return the test loss less the training loss after the last epoch."""
    return float(ratio(image_losses(run).sum(0))) - final_value(run.history, "train_loss")


def norms(run: Run) -> dict[str, np.ndarray]:
    """Return the arrays of gradients.npz; raise NotMeasured without them."""
    if not run.gradients:
        raise lacks(run, "norms of gradients")
    return run.gradients


def gradient_at(run: Run, block: str) -> float:
    """Return |gradient| · |weight| of one block, the mean over the recorded steps.

    The product stays what it is when a normalised filter is rescaled; the ratio of the two does
    not.
    """
    taken = norms(run)
    column = taken["blocks"].tolist().index(block)
    products = taken["gradient"] * taken["weight"]
    return float(products[:, column].mean())


def fading(taken: dict[str, np.ndarray]) -> np.ndarray:
    """Return the relative gradient of the first block by the last's at every step, NaN where 0."""
    names = taken["blocks"].tolist()
    relative = taken["gradient"] / taken["weight"]
    first = relative[:, names.index("encoder 0")]
    last = relative[:, names.index("decoder 0")]
    positive = (first > 0) & (last > 0)
    return np.divide(first, last, out=np.full_like(first, np.nan), where=positive)


def update_ratio(run: Run) -> float:
    """Return the relative update of the first block by that of the last, means over the steps."""
    taken = norms(run)
    names = taken["blocks"].tolist()
    relative = (taken["update"] / taken["weight"]).mean(0)
    return float(relative[names.index("encoder 0")] / relative[names.index("decoder 0")])


def deep(run: Run, depth: int, kind: str) -> float:
    """Return the mean of `fading` over the first steps of a small network of that depth."""
    names = ("gradient", "weight", "blocks")
    arrays = {name: studied(run, f"depth.{depth}, {kind}: {name}") for name in names}
    return float(nan_mean(fading(arrays)))


def curvature(run: Run) -> float:
    """Return the largest curvature of the loss in filter-normalised coordinates."""
    return float(np.abs(studied(run, "landscape.curvature")[1, -1]))


def non_convexity(run: Run) -> float:
    """Return |smallest / largest| eigenvalue of the Hessian (Li et al. 2018), 0 at a minimum."""
    smallest, largest = studied(run, "landscape.eigenvalues")[0, -1]
    return float(max(-smallest, 0) / largest)


# Counts on the test images


def structure(run: Run, name: str) -> np.ndarray:
    """Return counts of `lib.structure`, (N, ...)."""
    if name not in run.structure:
        raise lacks(run, f"counts of {name}")
    return run.structure[name].astype(np.int64)


def near_outline(run: Run) -> np.ndarray:
    """Return intersection and union less than `BAND` px from an outline, (N, K, 2)."""
    return structure(run, "trimap")[:, :BAND].sum(1)


def classes_called(run: Run, words: Sequence[str]) -> list[int]:
    """Return the classes in whose name a word begins so."""
    found = []
    for index, name in enumerate(run.classes.names):
        spoken = name.lower().replace("_", " ").split()
        if any(word.startswith(tuple(words)) for word in spoken):
            found.append(index)
    return found


def rare(run: Run) -> np.ndarray:
    """Return which classes have under `RARE` of the training pixels, or the rarest; bool (K,)."""
    pixels = np.array(run.record["dataset"]["pixels"]["train"])
    share = np.where(pixels, pixels / pixels.sum(), np.inf)
    return share < max(RARE, share.min() * 1.0001)


def thin(run: Run) -> list[int]:
    """Return the classes of thin or small things by name; the rare ones where no name says so."""
    return classes_called(run, THIN) or np.flatnonzero(rare(run)).tolist()


def poles(run: Run) -> list[int]:
    """Return the classes of poles."""
    return classes_called(run, ["pole"])


def signs(run: Run) -> list[int]:
    """Return the classes of signs."""
    return list(run.classes.signs)


def every_class(run: Run) -> list[int]:
    """Return all classes."""
    return list(range(len(run.classes)))


def missed(run: Run, choose: Callable[[Run], list[int]], sizes: slice = SMALL) -> np.ndarray:
    """Return target components of some classes that no predicted pixel touches, and all, (N, 2)."""
    classes = choose(run)
    if not classes:
        raise NotMeasured("the data set has no such class")
    components = structure(run, "components")[:, classes, sizes]
    return components[..., [1, 0]].sum((1, 2))


def components_by_size(run: Run) -> np.ndarray:
    """Return the components of all classes together, (N, sizes, 4)."""
    return structure(run, "components").sum(1)


def of_drive(run: Run, drive: str) -> list[int]:
    """Return the places of the drive's images among the test images."""
    places = [index for index, (name, _) in enumerate(run.frames) if name == drive]
    if not places:
        raise NotMeasured(f"no test image belongs to the drive {drive}")
    return places


def drive_names(run: Run, drive: str) -> list[str]:
    """Return the names of the drive's test images."""
    return [run.image_names[index] for index in of_drive(run, drive)]


def drive_confusions(run: Run, drive: str) -> np.ndarray:
    """Return the confusion matrices of the drive's test images, (N, K, K)."""
    return run.per_image[of_drive(run, drive)]


def false_components(run: Run) -> np.ndarray:
    """Return false components of the rare classes and their true components, (N, 2)."""
    false = structure(run, "false_components")[..., 0][:, rare(run)]
    true = structure(run, "components")[..., 0][:, rare(run)]
    return np.stack([false.sum((1, 2)), true.sum((1, 2))], -1)


def rare_pixels(run: Run, part: str) -> np.ndarray:
    """Return pixels of the rare classes that are "right" or "false", and all of theirs, (N, 2)."""
    counts, chosen = run.per_image, rare(run)
    own = counts.sum(2)[:, chosen].sum(-1)
    right = counts[:, chosen, chosen].sum(-1)
    predicted = counts.sum(1)[:, chosen].sum(-1)
    return np.stack([right if part == "right" else predicted - right, own], -1)


def matched(run: Run) -> np.ndarray:
    """Return counts of `lib.studies.matched`, (groups, classes, thresholds, 7)."""
    return studied(run, "matched.counts").astype(np.int64)


def matched_images(run: Run) -> list[str]:
    """Return the first test image of each group of `matched`."""
    _, first = np.unique(studied(run, "matched.groups"), return_index=True)
    return [run.image_names[index] for index in first]


def by_dose(run: Run, kind: str) -> np.ndarray:
    """Return confusion matrices on scenes with doses of "clutter" or "noise", (N, D, K, K)."""
    key = f"{kind}_confusions"
    if key not in run.doses:
        raise lacks(run, f"doses of {kind}")
    return np.moveaxis(run.doses[key].astype(np.int64), 0, 1)


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
    array = "structure.components"
    finer = [condition(run, f"shuffle {level}", array) for level in FINE]
    coarser = [condition(run, f"shuffle {level}", array) for level in COARSE]
    return np.stack([np.stack(finer, 1), np.stack(coarser, 1)], 1)


def probed(run: Run, array: str, name: str) -> np.ndarray:
    """Return counts (N, ...) of the probe of that part, see `lib.studies.probes`."""
    names = [part for part, _ in parts(DEPTH)]
    return studied(run, f"probes.{array}")[names.index(name)]


def probes(run: Run, first: str, second: str) -> np.ndarray:
    """Return errors of the outlines that two parts' probes predict, (N, 2, 2)."""
    return np.stack([probed(run, "edges", first), probed(run, "edges", second)], 1)


def untrained(run: Run, part: str) -> np.ndarray:
    """Return errors of a part's outlines after and before the training, (N, 2, 2)."""
    return np.stack([probed(run, "edges", part), probed(run, "untrained_edges", part)], 1)


def alphas(run: Run, groups: str) -> np.ndarray:
    """Return sums of α and pixels by "classes" or "distances", and permuted, (N, 1 + P, ...)."""
    own = studied(run, f"gates.{groups}")
    permuted = studied(run, f"gates.permuted_{groups}")
    others = [np.stack([sums, own[..., 1]], -1) for sums in np.moveaxis(permuted, -1, 0)]
    return np.stack([own, *others], 1)


def frequent_energy(run: Run, other: str) -> np.ndarray:
    """Return gradient energy across the skips on frequent classes and on all, (N, 2, levels, 2).

    With the gates as they are and otherwise; levels, which differ by orders of magnitude, count
    alike.
    """
    return np.stack([_frequent(run, "gates.energy"), _frequent(run, f"gates.{other}")], 1)


def _frequent(run: Run, name: str) -> np.ndarray:
    energy = studied(run, name)
    if energy.ndim == 4:  # across the skip, and altogether
        energy = energy[..., 0]
    energy = energy / energy.sum((0, 2), keepdims=True)
    frequent = energy[..., ~rare(run)].sum(-1)
    return np.stack([frequent, energy.sum(-1)], -1)
