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

from lib.metrics import mean_iou
from lib.models import DEPTH
from lib.records import Run
from lib.structure import SIZES, ratio
from lib.studies.depth import NORMALISED
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from report.evidence import readings, scores
from report.evidence.readings import NotMeasured, structure, studied, with_studies
from report.evidence.scores import area_under_curve, final_value
from report.evidence.statistics import (
    BLOCK, Estimate, Frames, compare_ratios, contrast_counts, contrast_numbers,
)  # fmt: skip
from report.evidence.wording import (
    Unit, nats, percent, plain, points, precise, whole_percent,
)  # fmt: skip


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
    studied: bool = False  # it is read from studies, which only some seeds have

    def among(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Return the runs that count: those with studies, where the measure needs them."""
        return with_studies(runs) if self.studied else runs

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores (...) of counts (..., *) that were summed over images."""
        return self.score(counts)

    def values(self, contributed: np.ndarray) -> np.ndarray:
        """Return the number of each run, (S,), of numbers (S,) or of counts (S, N, ...)."""
        if self.score is None:
            return contributed.astype(float)
        return self.total(contributed.sum(1))

    def contributions(self, runs: Sequence[Run]) -> np.ndarray:
        """Return what each run contributes; raise NotMeasured where one lacks it."""
        contributed = np.stack([np.asarray(self.read(run)) for run in self.among(runs)])
        if not np.isfinite(self.values(contributed)).all():
            raise NotMeasured("nothing in the data to measure it by")
        return contributed

    def of(self, runs: Sequence[Run]) -> np.ndarray:
        """Return the number of each run; raise NotMeasured where one has none."""
        return self.values(self.contributions(runs))

    def contrast(
        self, groups: Sequence[Sequence[Run]], weights: Sequence[float]
    ) -> tuple[Estimate, list[np.ndarray]]:
        """Return the weighted sum of the networks' means, and each network's values by run.

        Raise NotMeasured where a run lacks something, and ValueError when runs were tested on
        different images.
        """
        contributed = [self.contributions(group) for group in groups]
        values = [self.values(part) for part in contributed]
        if self.score:
            frames = self._common_frames([run for group in groups for run in self.among(group)])
            # As long a piece of the film, where not every frame was counted.
            block = max(1, round(BLOCK * len(frames) / len(groups[0][0].image_names)))
            return contrast_counts(contributed, weights, self.total, frames, block), values
        if self.relative:
            return compare_ratios(*values), values
        return contrast_numbers(values, weights), values

    def compare(self, a: Sequence[Run], b: Sequence[Run]) -> Estimate:
        """Return the estimate of A - B."""
        return self.contrast((a, b), (1, -1))[0]

    def _common_frames(self, runs: Sequence[Run]) -> Frames:
        first = runs[0]
        for run in runs:
            if self.images(run) != self.images(first):
                message = "were tested on different images: do not mix them"
                raise ValueError(f"{first.folder} and {run.folder} {message}")
        return readings.frames_of(first, self.images(first))


@dataclass(frozen=True)
class Change(Measure):
    """The first condition minus the mean of the others; counts are (N, conditions, ...)."""

    images: Callable[[Run], list[str]] = lambda run: studied(run, "names").tolist()
    studied: bool = True
    first: str = ""  # the first condition, in words
    others: str = "intact"

    def sides(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores of the first condition and the mean of the others, (2, ...)."""
        first, *others = (self.score(each) for each in np.moveaxis(counts, 1, 0))
        return np.stack([first, np.mean(others, 0)])

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores' differences."""
        first, others = self.sides(counts)
        return first - others


# The training: losses and gradients are compared as ratios


_as_loss = {"level": nats, "unit": percent, "relative": True}
_as_gradient = {"level": plain, "unit": percent, "relative": True}


def _of_curve(name: str, of: Callable, column: str, **options: object) -> Measure:
    return Measure(name, lambda run: of(run.history, column), **options)


def _gradient_at(place: str, block: str) -> Measure:
    read = partial(readings.gradient_at, block=block)
    return Measure(f"|gradient| · |weight| at the {place}", read, **_as_gradient)


def _in_deep_networks(depth: int, kind: str) -> Measure:
    name = f"gradient of the first block relative to the last, {depth} levels, {kind}"
    read = partial(readings.fading_at_depth, depth=depth, kind=kind)
    return Measure(name, read, studied=True, **_as_gradient)


LOSS = _of_curve("training loss", final_value, "train_loss", **_as_loss)
LOSS_AREA = _of_curve(
    "mean training loss over all epochs", area_under_curve, "train_loss", **_as_loss
)
TEST_LOSS = Measure("test loss", readings.image_losses, nats, nats, score=ratio)
GAP = Measure("test loss minus training loss", readings.gap, nats, nats)
RISE = _of_curve("mean validation mIoU over all epochs", area_under_curve, "val_miou")
LOWEST = _gradient_at("bottleneck", f"encoder {DEPTH}")
FINEST = _gradient_at("finest block", "encoder 0")
UPDATES = Measure(
    "update of the first block relative to the last", readings.update_ratio, **_as_gradient
)
DEEP = [_in_deep_networks(6, kind) for kind in NORMALISED.values()]
NON_CONVEX = Measure(
    "non-convexity |λmin / λmax| of the loss", readings.non_convexity, precise, percent,
    relative=True, studied=True,
)  # fmt: skip
CURVATURE = Measure(
    "largest filter-normalised curvature of the loss", readings.largest_curvature, Unit(""),
    percent, relative=True, studied=True,
)  # fmt: skip


# The test images


BAND = 5  # px around an outline
ANY_SIZE = slice(None)


def _missed(what: str, choose: Callable, sizes: slice) -> Measure:
    read = partial(readings.missed, choose=choose, sizes=sizes)
    return Measure(f"share of {what} missed entirely", read, score=ratio)


def _on_drive(drive: str) -> Measure:
    def read(run: Run) -> np.ndarray:
        return run.per_image[readings.of_drive(run, drive)]

    def images(run: Run) -> list[str]:
        return [run.image_names[index] for index in readings.of_drive(run, drive)]

    return Measure(f"test mIoU on the drive {drive}", read, score=mean_iou, images=images)


def _slope(kind: str) -> Measure:
    name = f"change in mIoU from the lowest to the highest dose of {kind}"
    return Measure(name, partial(readings.by_dose, kind=kind), points, score=scores.slope)


MIOU = Measure("test mIoU", attrgetter("per_image"), score=mean_iou)
BY_DRIVE = [_on_drive(drive) for drive in ("0001TP", "Seq05VD")]
BOUNDARY = Measure("boundary IoU", partial(structure, name="boundary"), score=scores.class_mean)
GEOMETRY = [
    Measure(f"boundary F1 within {scores.TOLERANCE} px", partial(structure, name="contours"),
            score=scores.contour_f1),
    Measure(f"mIoU within {BAND} px of an outline",
            lambda run: structure(run, "trimap")[:, :BAND].sum(1), score=scores.class_mean),
]  # fmt: skip
MISSED = _missed(f"thin and small things under {SIZES[1]} px", readings.thin, readings.SMALL)
MISSED_ANY = _missed(f"all things under {SIZES[1]} px", lambda run: range(len(run.classes)),
                     readings.SMALL)  # fmt: skip
MISSED_SIGNS = _missed("signs", lambda run: run.classes.signs, ANY_SIZE)
MISSED_POLES = _missed("poles", partial(readings.classes_called, beginnings=("pole",)), ANY_SIZE)
PREFERENCE = Measure(
    "recall of small minus recall of large things",
    lambda run: structure(run, "components").sum(1), score=scores.size_preference,
)  # fmt: skip
PRECISION = Measure(
    f"precision on small classes at {whole_percent(scores.RECALL)} recall",
    readings.by_threshold, score=scores.precision_at_recall, images=readings.matched_images,
)  # fmt: skip
FALSE = [
    Measure("false components per true one, rare classes", readings.false_components, plain, plain,
            ratio),
    Measure("false pixels per true one, rare classes", partial(readings.rare_pixels, part="false"),
            plain, plain, ratio),
    Measure("pixel recall of the rare classes", partial(readings.rare_pixels, part="right"),
            score=ratio),
]  # fmt: skip
DOSES = [_slope(kind) for kind in ("clutter", "noise")]


# One trained network under two conditions


MIDDLE = 1  # of the three strengths of noise and clutter
OUTLINES = "variance of outlines that a linear probe explains"


def _condition(name: str, key: str, first: str) -> Change:
    read = partial(readings.against_intact, name=key)
    return Change(name, read, score=mean_iou, first=first)


def _under(what: str, key: str) -> Change:
    return _condition(f"change in mIoU under {what}", key, "disturbed")


def _probe(place: str, one: tuple[str, str], other: tuple[str, str], **words: str) -> Change:
    read = partial(readings.probed_pair, first=one, second=other)
    return Change(f"{OUTLINES} at {place}", read, score=scores.explained, **words)


def _alpha(name: str, groups: str, score: Callable) -> Change:
    read = partial(readings.alphas, groups=groups)
    return Change(name, read, plain, plain, score, first="as trained", others="α permuted")


def _energy_with(key: str, others: str) -> Change:
    read = partial(readings.frequent_energy, other=key)
    name = "share of gradient energy on frequent classes"
    return Change(name, read, score=scores.level_share, first="with its gates", others=others)


CUT = [
    _condition("mIoU", "shuffle all", "with all skips shuffled"),
    _condition("mIoU", "zero all", "with all skips zeroed"),
    Change("boundary IoU",
           partial(readings.against_intact, name="shuffle 0", array="structure.boundary"),
           score=scores.class_mean, first="with its finest skip shuffled"),
]  # fmt: skip
PROBES = [
    _probe("level 0", ("edges", "joined 0"), ("edges", "from below 0"),
           first="with the skip joined", others="before it joins"),
    _probe("the bottleneck", ("edges", "bottleneck"), ("untrained_edges", "bottleneck"),
           first="trained", others="untrained"),
]  # fmt: skip
BY_SIZE = Change(
    "recall of small minus recall of large things", readings.lesions_by_size,
    score=scores.level_preference, first="with a fine skip shuffled", others="a coarse one",
)  # fmt: skip
DISTURBED = [
    _under(f"noise of {SKIP_NOISE[MIDDLE]:g} standard deviations on the skips",
           f"skip noise {SKIP_NOISE[MIDDLE]}"),
    _under(f"{whole_percent(CLUTTER[MIDDLE])} of another image in the skips",
           f"clutter {CLUTTER[MIDDLE]}"),
    _under(f"noise of {whole_percent(INPUT_NOISE[MIDDLE])} of the range on the image",
           f"input noise {INPUT_NOISE[MIDDLE]}"),
]  # fmt: skip
REPLACED = [
    _condition("mIoU", "alpha one", "with α = 1"),
    _condition("mIoU", "alpha mean", "with α its mean"),
    _condition("mIoU", "alpha other", "with α of another image"),
]
ALPHA_OUTLINES = _alpha(
    "mean α near outlines minus mean α far from them", "distances", scores.near_less_far
)
ALPHA_CLASSES = _alpha("standard deviation of α between classes", "classes", scores.class_spread)
ENERGY = _energy_with("energy_constant", "α its mean")
ENERGY_DETACHED = _energy_with("energy_detached", "α detached")
