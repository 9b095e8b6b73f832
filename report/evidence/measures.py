"""What the report measures, of results and of the theory alike, and how networks are compared.

A `Measure` is one number of a network: what `report.evidence.readings` reads of each run, and the
score that is made of it. A `Change` is the difference between two conditions of the same network,
such as with a lesion and without; between two networks their changes are compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from lib.files import family
from lib.metrics import mean_iou
from lib.models import DEPTH
from lib.records import Run
from lib.structure import SIZES, ratio
from lib.studies.depth import NORMALISED
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from report.evidence import readings, scores
from report.evidence.readings import ANY_SIZE, BAND, NotMeasured, study_images
from report.evidence.scores import (
    RECALL, TOLERANCE, area_under_curve, class_mean, final_value,
)  # fmt: skip
from report.evidence.statistics import (
    BLOCK, Estimate, Frames, compare_ratios, contrast_counts, contrast_numbers,
)  # fmt: skip
from report.evidence.wording import (
    Unit, nats, percent, plain, points, precise, whole_percent,
)  # fmt: skip

MIDDLE = 1  # of the three strengths of noise and clutter


@dataclass(frozen=True)
class Measure:
    """One number of a network, from what each of its runs contributes."""

    name: str
    read: Callable[[Run], np.ndarray | float]
    level: Unit = percent
    unit: Unit = points  # of differences
    score: Callable | None = None  # counts (..., *) -> (...); None where a run gives a number
    relative: bool = False  # numbers are compared as a ratio of means
    images: Callable[[Run], list[str]] = attrgetter("image_names")  # those that were counted

    def values(self, contributed: np.ndarray) -> np.ndarray:
        """Return the number of each run, (S,), of numbers (S,) or of counts (S, N, ...)."""
        if self.score is None:
            return contributed.astype(float)
        return self.total(contributed.sum(1))

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores (...) of counts (..., *) that were summed over images."""
        return self.score(counts)

    def of(self, runs: Sequence[Run]) -> np.ndarray:
        """Return the number of each run; raise NotMeasured where one has none."""
        return self.values(self.contributions([runs])[0])

    def contributions(self, groups: Sequence[Sequence[Run]]) -> list[np.ndarray]:
        """Return what each network's runs contribute.

        Raise NotMeasured when a run lacks it, and ValueError when runs were tested on different
        images.
        """
        contributed = [np.stack([np.asarray(self.read(run)) for run in group]) for group in groups]
        first = groups[-1][0]
        for run in (run for group in groups for run in group):
            if self.score and self.images(run) != self.images(first):
                message = "were tested on different images: do not mix them"
                raise ValueError(f"{first.folder} and {run.folder} {message}")
        values = np.concatenate([self.values(part) for part in contributed])
        if not np.isfinite(values).all():
            raise NotMeasured("nothing in the data to measure it by")
        return contributed

    def contrast(
        self, groups: Sequence[Sequence[Run]], weights: Sequence[float]
    ) -> tuple[Estimate, list[np.ndarray]]:
        """Return the weighted sum of the networks' means, and each network's values by run."""
        contributed = self.contributions(groups)
        values = [self.values(part) for part in contributed]
        if self.score:
            first = groups[-1][0]
            frames = self.frames(first)
            # As long a piece of the film, where not every frame was counted.
            block = max(1, round(BLOCK * len(frames) / len(first.image_names)))
            return contrast_counts(contributed, weights, self.total, frames, block), values
        if self.relative:
            return compare_ratios(*values), values
        return contrast_numbers(values, weights), values

    def compare(self, a: Sequence[Run], b: Sequence[Run]) -> tuple[Estimate, float, float]:
        """Return the estimate of A - B and the means of A and of B."""
        estimate, values = self.contrast((a, b), (1, -1))
        return estimate, *(float(np.mean(sample)) for sample in values)

    def frames(self, run: Run) -> Frames:
        """Return drive and frame of each image; a drawn scene is a drive of its own."""
        names = self.images(run)
        if family(run.record["dataset"]["name"]) == "scenes":
            return [(name, 0) for name in names]
        places = dict(zip(run.image_names, run.frames))
        return [places[name] for name in names]


@dataclass(frozen=True)
class Change(Measure):
    """The first condition less the mean of the others; counts are (N, conditions, ...)."""

    images: Callable[[Run], list[str]] = study_images
    first: str = ""  # the first condition, in words
    others: str = "intact"

    def sides(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores of the first condition and the mean of the others, (2, ...)."""
        number = counts.shape[1]
        by_condition = np.stack([self.score(counts[:, index]) for index in range(number)])
        return np.stack([by_condition[0], by_condition[1:].mean(0)])

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores' differences."""
        first, others = self.sides(counts)
        return first - others


# The training


def _of_curve(name: str, of: Callable, column: str, **options: object) -> Measure:
    return Measure(name, lambda run: of(run.history, column), **options)


def _deep(depth: int, kind: str) -> Measure:
    name = f"gradient of the first block by the last's, {depth} levels, {kind}"
    read = partial(readings.deep, depth=depth, kind=kind)
    return Measure(name, read, plain, percent, relative=True)


_LOSS = {"level": nats, "unit": percent, "relative": True}
_GRADIENT = {"level": plain, "unit": percent, "relative": True}
LOSS = _of_curve("training loss", final_value, "train_loss", **_LOSS)
LOSS_AREA = _of_curve("mean training loss over all epochs", area_under_curve, "train_loss", **_LOSS)
TEST_LOSS = Measure("test loss", readings.image_losses, nats, nats, score=ratio)
GAP = Measure("test loss less training loss", readings.gap, nats, nats)
RISE = _of_curve("mean validation mIoU over all epochs", area_under_curve, "val_miou")
LOWEST = Measure(
    "|gradient| · |weight| at the bottleneck",
    partial(readings.gradient_at, block=f"encoder {DEPTH}"),
    **_GRADIENT,
)
FINEST = Measure(
    "|gradient| · |weight| at the finest block",
    partial(readings.gradient_at, block="encoder 0"),
    **_GRADIENT,
)
UPDATES = Measure("update of the first block by the last's", readings.update_ratio, **_GRADIENT)
DEEP = [_deep(6, kind) for kind in NORMALISED.values()]


# The test images


def _missed(what: str, choose: Callable, sizes: slice = readings.SMALL) -> Measure:
    read = partial(readings.missed, choose=choose, sizes=sizes)
    return Measure(f"share of {what} missed entirely", read, score=ratio)


def _on_drive(drive: str) -> Measure:
    read = partial(readings.drive_confusions, drive=drive)
    names = partial(readings.drive_names, drive=drive)
    return Measure(f"test mIoU on the drive {drive}", read, score=mean_iou, images=names)


def _slope(kind: str) -> Measure:
    read = partial(readings.by_dose, kind=kind)
    return Measure(f"change of mIoU over the doses of {kind}", read, points, score=scores.slope)


MIOU = Measure("test mIoU", attrgetter("per_image"), score=mean_iou)
BY_DRIVE = [_on_drive(drive) for drive in ("0001TP", "Seq05VD")]
BOUNDARY = Measure(
    "boundary IoU", partial(readings.structure, name="boundary"), score=class_mean
)
_CONTOURS = partial(readings.structure, name="contours")
GEOMETRY = [
    Measure(f"boundary F1 within {TOLERANCE} px", _CONTOURS, score=scores.contour_f1),
    Measure(f"mIoU less than {BAND} px from an outline", readings.near_outline, score=class_mean),
]
MISSED = _missed(f"thin and small things under {SIZES[1]} px", readings.thin)
MISSED_ANY = _missed(f"all things under {SIZES[1]} px", readings.every_class)
MISSED_SIGNS = _missed("signs", readings.signs, ANY_SIZE)
MISSED_POLES = _missed("poles", readings.poles, ANY_SIZE)
PREFERENCE = Measure(
    "recall of small less that of large things",
    readings.components_by_size,
    score=scores.size_preference,
)
PRECISION = Measure(
    f"precision on small classes at {whole_percent(RECALL)} recall",
    readings.matched,
    score=scores.precision_at_recall,
    images=readings.matched_images,
)
FALSE = [
    Measure("false components per true one, rare classes", readings.false_components, plain, plain,
            ratio),
    Measure("false pixels per true one, rare classes", partial(readings.rare_pixels, part="false"),
            plain, plain, ratio),
    Measure("recall of the pixels of rare classes", partial(readings.rare_pixels, part="right"),
            score=ratio),
]  # fmt: skip
DOSES = [_slope(kind) for kind in ("clutter", "noise")]


# One trained network under two conditions


def _condition(name: str, key: str, first: str) -> Change:
    read = partial(readings.against_intact, name=key)
    return Change(name, read, score=mean_iou, first=first)


def _probe(name: str, read: Callable, first: str, others: str) -> Change:
    return Change(name, read, score=scores.explained, first=first, others=others)


def _disturbed(what: str, key: str) -> Change:
    return _condition(f"change of mIoU under {what}", key, "disturbed")


def _energy(key: str, others: str) -> Change:
    read = partial(readings.frequent_energy, other=key)
    name = "share of gradient energy on frequent classes"
    return Change(name, read, score=scores.level_share, first="with the gates", others=others)


CUT = [
    _condition("mIoU", "shuffle all", "all skips shuffled"),
    _condition("mIoU", "zero all", "all skips zeroed"),
    Change("boundary IoU",
           partial(readings.against_intact, name="shuffle 0", array="structure.boundary"),
           score=class_mean, first="finest skip shuffled"),
]  # fmt: skip
OUTLINES = "variance of outlines that a linear probe explains"
PROBES = [
    _probe(f"{OUTLINES} at level 0", partial(readings.probes, first="joined 0",
           second="from below 0"), "with the skip", "before it joins"),
    _probe(f"{OUTLINES} at the bottleneck", partial(readings.untrained, part="bottleneck"),
           "trained", "untrained"),
]  # fmt: skip
BY_SIZE = Change(
    "recall of small less that of large things",
    readings.lesions_by_size,
    score=scores.level_preference,
    first="a fine skip shuffled",
    others="a coarse one",
)
DISTURBED = [
    _disturbed(f"noise of {SKIP_NOISE[MIDDLE]:g} standard deviations on the skips",
               f"skip noise {SKIP_NOISE[MIDDLE]}"),
    _disturbed(f"{whole_percent(CLUTTER[MIDDLE])} of another image in the skips",
               f"clutter {CLUTTER[MIDDLE]}"),
    _disturbed(f"noise of {whole_percent(INPUT_NOISE[MIDDLE])} of the range on the image",
               f"input noise {INPUT_NOISE[MIDDLE]}"),
]  # fmt: skip
REPLACED = [
    _condition("mIoU", "alpha one", "α = 1"),
    _condition("mIoU", "alpha mean", "α its mean"),
    _condition("mIoU", "alpha other", "α of another image"),
]
ALPHA_OUTLINES = Change(
    "mean α near outlines less far from them",
    partial(readings.alphas, groups="distances"),
    plain, plain, scores.near_less_far, first="as trained", others="α permuted",
)  # fmt: skip
ALPHA_CLASSES = Change(
    "standard deviation of α between classes",
    partial(readings.alphas, groups="classes"),
    plain, plain, scores.class_spread, first="as trained", others="α permuted",
)  # fmt: skip
ENERGY = _energy("energy_constant", "α its mean")
ENERGY_DETACHED = _energy("energy_detached", "α detached")
NON_CONVEX = Measure(
    "non-convexity |λmin / λmax| of the loss", readings.non_convexity, precise, percent,
    relative=True,
)  # fmt: skip
CURVATURE = Measure(
    "largest filter-normalised curvature of the loss", readings.curvature, Unit(""), percent,
    relative=True,
)  # fmt: skip
