"""What a measure reads of one run: numbers of the training, counts per test image, and what the studies stored.

Every reader takes a run and the runs of the reference, and returns a number, or counts whose first axis is the images
that were counted. What a record does not hold is `NotMeasured`, and says so in words. The names under which studies and
doses are stored stand in `STORED` and nowhere else.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lib.files import read_arrays
from lib.metrics import final_value, nan_mean
from lib.models import DEPTH
from lib.records import Run
from lib.structure import ratio
from lib.studies.probes import parts
from report.evidence.findings import RARE
from report.evidence.scores import SMALL

BAND = 5  # px around an outline
FINE, COARSE = (0, 1), (2, 3)  # levels of the skips
THIN = ("pole", "sign", "pedestrian", "person", "bicycl", "rider", "light")  # how names of thin or small classes begin
STORED = {  # what is read: its key in studies.npz, or in doses.npz
    "eigenvalues": "landscape.eigenvalues",  # (raw, filter-normalised) x steps x (smallest, largest)
    "curvature": "landscape.curvature",  # the same, of the larger magnitude
    "alpha by class": "gates.classes",  # (N, levels, K, 2): sum of α, pixels
    "alpha by class, permuted": "gates.permuted_classes",  # (N, levels, K, permutations): sums of α
    "alpha by distance": "gates.distances",
    "alpha by distance, permuted": "gates.permuted_distances",
    "energy": "gates.energy",  # (N, levels, K, 2): across the skip, altogether
    "energy, alpha constant": "gates.energy_constant",
    "energy, alpha detached": "gates.energy_detached",
    "energy arriving": "gates.energy_arriving",  # (N, levels, K): before the gate, on the way back
    "matched": "matched.counts",  # (groups, classes, thresholds, 7), see `lib.studies.matched`
    "groups": "matched.groups",  # (N,): the group of each test image
    "doses": "{}",  # (D,), of "clutter" and of "noise", in doses.npz
    "by dose": "{}_confusions",  # (D, N, K, K), in doses.npz
}


class NotMeasured(Exception):
    """What is missing, in words for the reader of the ledger."""


def studied(run: Run, name: str) -> np.ndarray:
    """Return an array of the run's studies; NotMeasured where it is absent."""
    if name not in run.studies:
        raise NotMeasured(f"no study of {name} for seed {run.seed} of {run.title}")
    return run.studies[name]


def stored(run: Run, name: str) -> np.ndarray:
    """Return the array of the studies that `STORED` names so."""
    return studied(run, STORED[name])


def study_images(run: Run) -> list[str]:
    """Return the names of the test images that the studies counted."""
    return studied(run, "names").tolist()


# Numbers of a training

def curve(run: Run, _: Sequence[Run], of: Callable, column: str) -> float:
    """Return what `of` makes of one column of the history."""
    return of(run.history, column)


def until(run: Run, reference: Sequence[Run], clock: Callable, share: float) -> float:
    """Return the clock when validation mIoU reaches that share of the reference's final mean; NaN if it never does."""
    return clock(run.history, share * np.mean([final_value(other.history, "val_miou") for other in reference]))


def image_losses(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return the loss of each test image, and a one, (N, 2); images without a label are left out."""
    if run.image_losses is None:
        raise NotMeasured(f"no loss of each test image for seed {run.seed} of {run.title}")
    known = ~np.isnan(run.image_losses)
    return np.stack([np.nan_to_num(run.image_losses), known], -1)


def gap(run: Run, _: Sequence[Run]) -> float:
    """Return the test loss less the training loss after the last epoch."""
    return float(ratio(image_losses(run, _).sum(0))) - final_value(run.history, "train_loss")


def norms(run: Run) -> dict[str, np.ndarray]:
    """Return the arrays of gradients.npz; NotMeasured without them."""
    if not run.gradients:
        raise NotMeasured(f"no norms of gradients for seed {run.seed} of {run.title}")
    return run.gradients


def gradient_at(run: Run, _: Sequence[Run], block: str) -> float:
    """Return |gradient| · |weight| of one block, the mean over the recorded steps.

    The product stays what it is when a normalised filter is rescaled, which the ratio of the two does not.
    """
    taken = norms(run)
    column = taken["blocks"].tolist().index(block)
    return float((taken["gradient"] * taken["weight"])[:, column].mean())


def update_ratio(run: Run, _: Sequence[Run]) -> float:
    """Return the relative update of the first block by that of the last, the mean over the recorded steps."""
    taken = norms(run)
    names = taken["blocks"].tolist()
    relative = (taken["update"] / taken["weight"]).mean(0)
    return float(relative[names.index("encoder 0")] / relative[names.index("decoder 0")])


def fading(taken: dict[str, np.ndarray]) -> np.ndarray:
    """Return the relative gradient of the first block by that of the last at every step; NaN where one is zero."""
    names = taken["blocks"].tolist()
    relative = taken["gradient"] / taken["weight"]
    first, last = (relative[:, names.index(name)] for name in ("encoder 0", "decoder 0"))
    return np.divide(first, last, out=np.full_like(first, np.nan), where=(first > 0) & (last > 0))


def deep(run: Run, _: Sequence[Run], depth: int, kind: str) -> float:
    """Return the mean of `fading` over the first steps of a small network of that depth."""
    arrays = {name: studied(run, f"depth.{depth}, {kind}: {name}") for name in ("gradient", "weight", "blocks")}
    return float(nan_mean(fading(arrays)))


def curvature(run: Run, _: Sequence[Run], kind: int) -> float:
    """Return the largest curvature of the loss, 0 in the weights' own coordinates, 1 in filter-normalised ones."""
    return float(np.abs(stored(run, "curvature")[kind, -1]))


def non_convexity(run: Run, _: Sequence[Run], kind: int) -> float:
    """Return |smallest / largest| eigenvalue of the Hessian (Li et al. 2018); a minimum without descent has 0."""
    smallest, largest = stored(run, "eigenvalues")[kind, -1]
    return float(max(-smallest, 0) / largest)


# Counts on the test images

def structure(run: Run, _: Sequence[Run], name: str) -> np.ndarray:
    """Return counts of `lib.structure`, (N, ...)."""
    if name not in run.structure:
        raise NotMeasured(f"no counts of {name} for seed {run.seed} of {run.title}")
    return run.structure[name].astype(np.int64)


def near_outline(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return intersection and union less than `BAND` px from an outline, (N, K, 2)."""
    return structure(run, _, "trimap")[:, :BAND].sum(1)


def classes_called(run: Run, words: Sequence[str]) -> list[int]:
    """Return the classes in whose name a word begins so."""
    names = [name.lower().replace("_", " ").split() for name in run.classes.names]
    return [k for k, spoken in enumerate(names) if any(word.startswith(tuple(words)) for word in spoken)]


def rare(run: Run) -> np.ndarray:
    """Return which classes have less than `RARE` of the training pixels, or the rarest one; bool (K,)."""
    pixels = np.array(run.record["dataset"]["pixels"]["train"])
    share = np.where(pixels, pixels / pixels.sum(), np.inf)
    return np.isfinite(share) & (share < max(RARE, share.min() * 1.0001))


def thin(run: Run) -> list[int]:
    """Return the classes of thin or small things by their names; the rare ones where no name says so."""
    return classes_called(run, THIN) or np.flatnonzero(rare(run)).tolist()


def missed(run: Run, _: Sequence[Run], choose: Callable[[Run], list[int]], sizes: slice = SMALL) -> np.ndarray:
    """Return target components missed altogether, and all, (N, 2), of the chosen classes and sizes."""
    classes = choose(run)
    if not classes:
        raise NotMeasured("the data set has no such class")
    return structure(run, _, "components")[:, classes, sizes][..., [1, 0]].sum((1, 2))


def structure_by_size(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return the components of all classes together, (N, sizes, 4)."""
    return structure(run, _, "components").sum(1)


def of_drive(run: Run, drive: str) -> list[int]:
    """Return the places of the drive's images among the test images."""
    found = [index for index, (name, _) in enumerate(run.frames) if name == drive]
    if not found:
        raise NotMeasured(f"no test image belongs to the drive {drive}")
    return found


def drive_names(run: Run, drive: str) -> list[str]:
    """Return the names of the drive's test images."""
    return [run.image_names[index] for index in of_drive(run, drive)]


def drive_confusions(run: Run, _: Sequence[Run], drive: str) -> np.ndarray:
    """Return the confusion matrices of the drive's test images, (N, K, K)."""
    return run.per_image[of_drive(run, drive)]


def false_components(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return false components of the rare classes and their true components, (N, 2)."""
    counts = [structure(run, _, name)[..., 0][:, rare(run)].sum((1, 2)) for name in ("false_components", "components")]
    return np.stack(counts, -1)


def false_pixels(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return pixels wrongly labelled as a rare class, and pixels of the rare classes, (N, 2)."""
    own, chosen = run.per_image, rare(run)
    false = own.sum(1)[:, chosen].sum(-1) - own[:, chosen, chosen].sum(-1)
    return np.stack([false, own.sum(2)[:, chosen].sum(-1)], -1)


def rare_recall(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return pixels of the rare classes that are labelled right, and all of them, (N, 2)."""
    own, chosen = run.per_image, rare(run)
    return np.stack([own[:, chosen, chosen].sum(-1), own.sum(2)[:, chosen].sum(-1)], -1)


def matched(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return counts by threshold of a class's probability, (groups, classes, thresholds, 7)."""
    return stored(run, "matched").astype(np.int64)


def matched_images(run: Run) -> list[str]:
    """Return the first test image of each group of `matched`."""
    _, first = np.unique(stored(run, "groups"), return_index=True)
    return [run.image_names[index] for index in first]


def by_dose(run: Run, _: Sequence[Run], kind: str) -> np.ndarray:
    """Return confusion matrices on scenes with doses of "clutter" or "noise", (N, D, K, K)."""
    path, key = run.folder / "doses.npz", STORED["by dose"].format(kind)
    arrays = read_arrays(path) if path.exists() else {}
    if key not in arrays:
        raise NotMeasured(f"no doses of {kind} for seed {run.seed} of {run.title}")
    return np.moveaxis(arrays[key].astype(np.int64), 0, 1)


# Counts of the studies of one trained network, under several conditions: (N, conditions, ...)

def condition(run: Run, name: str, array: str = "conditions.confusions") -> np.ndarray:
    """Return counts (N, ...) of one condition of `lib.studies.interventions`, or of the intact network."""
    names = studied(run, "conditions.names").tolist()
    if name not in names:
        raise NotMeasured(f"no condition {name!r} for {run.title}")
    return studied(run, array)[names.index(name)]


def conditions(run: Run, _: Sequence[Run], first: str, second: str = "intact",
               array: str = "conditions.confusions") -> np.ndarray:
    return np.stack([condition(run, first, array), condition(run, second, array)], 1)


def lesions(run: Run, _: Sequence[Run], levels: Sequence[int]) -> np.ndarray:
    """Return confusions of the single lesions of these levels, and of the intact network, (N, 2, L, K, K)."""
    return np.stack([conditions(run, _, f"shuffle {level}") for level in levels], 2)


def lesions_by_size(run: Run, _: Sequence[Run]) -> np.ndarray:
    """Return components of the lesions of finer and of coarser skips, (N, 2, 2 levels, sizes, 4)."""
    sides = [[condition(run, f"shuffle {level}", "structure.components") for level in levels] for levels in (FINE, COARSE)]
    return np.moveaxis(np.array(sides), 2, 0)


def probed(run: Run, array: str, name: str) -> np.ndarray:
    """Return counts (N, ...) of the probe of that part."""
    return studied(run, f"probes.{array}")[[part for part, _ in parts(DEPTH)].index(name)]


def probes(run: Run, _: Sequence[Run], array: str, first: str, second: str) -> np.ndarray:
    return np.stack([probed(run, array, first), probed(run, array, second)], 1)


def untrained(run: Run, _: Sequence[Run], part: str) -> np.ndarray:
    """Return errors of the outlines read off that part, and off the same part as the training began, (N, 2, 2)."""
    return np.stack([probed(run, "edges", part), probed(run, "untrained_edges", part)], 1)


def alphas(run: Run, _: Sequence[Run], groups: str) -> np.ndarray:
    """Return sums of α and pixels by "class" or "distance", as they are and after each permutation of the pixels."""
    own, permuted = stored(run, f"alpha by {groups}"), stored(run, f"alpha by {groups}, permuted")
    others = [np.stack([sums, own[..., 1]], -1) for sums in np.moveaxis(permuted, -1, 0)]
    return np.stack([own, *others], 1)


def frequent_energy(run: Run, _: Sequence[Run], others: Sequence[str]) -> np.ndarray:
    """Return gradient energy across the skips on frequent classes and on all, with the gates and otherwise: (N, C, levels, 2)."""
    found = []
    for name in ("energy", *others):
        energy = stored(run, name)
        energy = energy[..., 0] if energy.ndim == 4 else energy
        energy = energy / energy.sum((0, 2), keepdims=True)  # levels differ by orders of magnitude
        found.append(np.stack([energy[..., ~rare(run)].sum(-1), energy.sum(-1)], -1))
    return np.stack(found, 1)
