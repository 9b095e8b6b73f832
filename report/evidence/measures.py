"""What the report measures, of results and of the theory alike, and how networks are compared by it.

A `Measure` is one number of a network: what `report.evidence.readings` reads of each run, and the score that is made of
it. A `Change` is the difference between two conditions of one and the same network, with a lesion and without for
instance; between two networks it is their changes that are compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from lib.metrics import (
    area_under_curve, epochs_to_reach, final_value, mean_iou, nan_mean, seconds_to_reach,
)
from lib.models import DEPTH
from lib.records import Run
from lib.structure import SIZES, boundary_f1, contour_distance, ratio
from lib.studies.depth import NORMALISED
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from report.evidence import readings, scores
from report.evidence.readings import BAND, COARSE, FINE, NotMeasured, study_images
from report.evidence.scores import RECALL, class_mean
from report.evidence.statistics import (
    BLOCK, Estimate, Frames, compare_ratios, contrast_counts, contrast_numbers,
)
from report.evidence.wording import (
    Unit, epochs, nats, percent, in_pixels, plain, points, precise, seconds, whole_percent,
)

TOLERANCE = 3  # px between contours
MIDDLE = 1  # of the three strengths of noise and clutter
INTACT, BELOW = "the intact network", "before the skip joins"


@dataclass(frozen=True)
class Measure:
    """One number of a network, from what each of its runs contributes, given the reference's runs."""

    name: str
    read: Callable[[Run, Sequence[Run]], np.ndarray | float]
    level: Unit = percent
    unit: Unit = points  # of differences
    score: Callable | None = None  # counts (..., *) summed over images -> (...); None where a run gives a number
    relative: bool = False  # numbers are compared as a ratio of means
    images: Callable[[Run], list[str]] = attrgetter("image_names")  # those that were counted
    against: str = ""  # what it is compared with where both sides are the same network

    def values(self, contributed: np.ndarray) -> np.ndarray:
        """Return the number or the score of each run, (S,), of what they contribute, (S,) or counts (S, N, ...)."""
        if self.score is None:
            return contributed.astype(float)
        return self.total(contributed.sum(1))

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores (...) of counts (..., *) summed over images."""
        return self.score(counts)

    def contributions(self, groups: Sequence[Sequence[Run]]) -> list[np.ndarray]:
        """Return what each network's runs contribute, the last network being the reference.

        Raises NotMeasured when a run lacks it and ValueError when runs were tested on different images.
        """
        reference = groups[-1]
        found = [np.stack([np.asarray(self.read(run, reference)) for run in group]) for group in groups]
        for run in (run for group in groups for run in group):
            if self.score and self.images(run) != self.images(reference[0]):
                raise ValueError(f"{reference[0].folder} and {run.folder} were tested on different images: "
                                 "do not mix them")
        values = np.concatenate([self.values(contributed) for contributed in found])
        lacking = int(np.isnan(values).sum())
        if lacking:
            raise NotMeasured("the test images hold nothing to measure it by" if self.score else
                              f"without a value in {lacking} of {len(values)} runs")
        return found

    def contrast(self, groups: Sequence[Sequence[Run]], weights: Sequence[float]) -> tuple[Estimate, list[np.ndarray]]:
        """Return the weighted sum of the networks' means, and each network's values by run."""
        found = self.contributions(groups)
        values = [self.values(contributed) for contributed in found]
        if self.score:
            first = groups[-1][0]
            frames = self.frames(first)
            block = max(1, round(BLOCK * len(frames) / len(first.image_names)))  # as long a piece of the film
            return contrast_counts(found, weights, self.total, frames, block), values
        if self.relative:
            return compare_ratios(*values), values
        return contrast_numbers(values, weights), values

    def compare(self, a: Sequence[Run], b: Sequence[Run]) -> tuple[Estimate, float, float]:
        """Return the estimate of A - B and the means of A and of B."""
        estimate, values = self.contrast((a, b), (1, -1))
        return estimate, *(float(np.mean(sample)) for sample in values)

    def frames(self, run: Run) -> Frames:
        """Return drive and frame of each image that was counted; a drawn scene is a drive of its own."""
        names = self.images(run)
        if run.record["dataset"]["name"].startswith("scenes"):
            return [(name, 0) for name in names]
        places = dict(zip(run.image_names, run.frames))
        return [places[name] for name in names]


@dataclass(frozen=True)
class Change(Measure):
    """The first condition less the mean of the others; counts are (N, conditions, ...)."""

    images: Callable[[Run], list[str]] = study_images

    def sides(self, counts: np.ndarray) -> np.ndarray:
        """Return the score of the first condition and the mean of the others, (2, ...), of counts summed over images."""
        by_condition = np.stack([self.score(counts[:, side]) for side in range(counts.shape[1])])
        return np.stack([by_condition[0], by_condition[1:].mean(0)])

    def total(self, counts: np.ndarray) -> np.ndarray:
        first, others = self.sides(counts)
        return first - others


# The training

def _of_curve(name: str, of: Callable, column: str, **units: object) -> Measure:
    return Measure(name, partial(readings.curve, of=of, column=column), **units)


_LOSS = {"level": nats, "unit": percent, "relative": True}
LOSS = _of_curve("training loss after the last epoch", final_value, "train_loss", **_LOSS)
LOSS_AREA = _of_curve("area under the curve of training loss", area_under_curve, "train_loss", **_LOSS)
TEST_LOSS = Measure("test loss", readings.image_losses, nats, nats, score=ratio)
GAP = Measure("test loss less training loss", readings.gap, nats, nats)
RISE = _of_curve("area under the curve of validation mIoU", area_under_curve, "val_miou")
EPOCHS, SECONDS = (
    [Measure(f"{what} to {whole_percent(share)} of U-Net's final validation mIoU",
             partial(readings.until, clock=clock, share=share), unit, percent, relative=True)
     for share in (0.85, 0.9, 0.95)]
    for what, clock, unit in (("epochs", epochs_to_reach, epochs), ("seconds", seconds_to_reach, seconds))
)
FINEST, LOWEST = (
    Measure(f"|gradient| · |weight| at the {where}", partial(readings.gradient_at, block=block), plain, percent,
            relative=True)
    for where, block in (("finest encoder block", "encoder 0"), ("bottleneck", f"encoder {DEPTH}"))
)
UPDATES = Measure("relative update of the first block by that of the last", readings.update_ratio, plain, percent,
                  relative=True)
DEEP = [
    Measure(f"relative gradient of the first block by that of the last in a small network of {depth} levels with {kind}",
            partial(readings.deep, depth=depth, kind=kind), plain, percent, relative=True)
    for depth in (4, 6) for kind in NORMALISED.values()
]


# The test images

def _all_classes(run: Run) -> list[int]:
    return list(range(len(run.classes)))


def _missed(what: str, choose: Callable[[Run], list[int]], **sizes: slice) -> Measure:
    return Measure(f"share missed altogether of {what}", partial(readings.missed, choose=choose, **sizes), score=ratio)


MIOU = Measure("test mIoU", lambda run, _: run.per_image, score=mean_iou)
BY_DRIVE = [
    Measure(f"test mIoU on the drive {drive}", partial(readings.drive_confusions, drive=drive), score=mean_iou,
            images=partial(readings.drive_names, drive=drive))
    for drive in ("0001TP", "Seq05VD")
]
BOUNDARY = Measure("boundary IoU", partial(readings.structure, name="boundary"), score=class_mean)
GEOMETRY = [
    Measure(f"boundary F1 within {TOLERANCE} px", partial(readings.structure, name="contours"),
            score=lambda counts: nan_mean(boundary_f1(counts, TOLERANCE))),
    Measure(f"mIoU less than {BAND} px from an outline", readings.near_outline, score=class_mean),
    Measure("mean distance between contours", partial(readings.structure, name="contours"), in_pixels, in_pixels,
            score=lambda counts: nan_mean(contour_distance(counts))),
]
MISSED = _missed(f"thin and small things under {SIZES[1]} px", readings.thin)
MISSED_OTHERS = [
    _missed(f"things of any class under {SIZES[1]} px", _all_classes),
    _missed("signs", attrgetter("classes.signs"), sizes=slice(None)),
    _missed("poles", partial(readings.classes_called, words=["pole"]), sizes=slice(None)),
]
PREFERENCE = Measure("recall of small things less that of large ones", readings.structure_by_size,
                     score=scores.size_preference)
PRECISION = Measure(f"precision for small classes at a recall of {whole_percent(RECALL)}", readings.matched,
                    score=scores.precision_at_recall, images=readings.matched_images)
FALSE = [
    Measure("false components of rare classes, relative to true ones,", readings.false_components, score=ratio),
    Measure("pixels falsely labelled as rare classes, relative to their true pixels,", readings.false_pixels, score=ratio),
    Measure("recall of the pixels of rare classes", readings.rare_recall, score=ratio),
]
DOSES = [
    Measure(f"slope of mIoU over the doses of {kind}", partial(readings.by_dose, kind=kind), points,
            score=partial(scores.slope, score=mean_iou))
    for kind in ("clutter", "noise")
]


# One trained network under two conditions

def _condition(name: str, first: str, against: str = INTACT, score: Callable = mean_iou, **array: str) -> Change:
    return Change(name, partial(readings.conditions, first=first, **array), score=score, against=against)


CUT = [
    _condition("mIoU with the features of another image in all skips", "shuffle all"),
    _condition("mIoU with zeros in all skips", "zero all"),
    _condition("boundary IoU with another image's features in the finest skip", "shuffle 0", score=class_mean,
               array="structure.boundary"),
]
PROBES = [
    Change("variance of the outlines that a linear probe explains once the finest skip has joined",
           partial(readings.probes, array="edges", first="joined 0", second="from below 0"), score=scores.explained,
           against=BELOW),
    Change("variance of the outlines that a linear probe of the bottleneck explains",
           partial(readings.untrained, part="bottleneck"), score=scores.explained, against="before training"),
]
BY_LEVEL = [
    Change(f"mIoU with another image's features in one of the two {name} skips", partial(readings.lesions, levels=levels),
           score=lambda counts: mean_iou(counts).mean(-1), against=INTACT)
    for name, levels in (("finer", FINE), ("coarser", COARSE))
]
BY_SIZE = Change("recall of small less that of large things with a lesion of a finer skip", readings.lesions_by_size,
                 score=lambda components: scores.size_preference(components).mean(-1), against="that of a coarser skip")
DISTURBED = [
    _condition(f"change of mIoU under noise of {SKIP_NOISE[MIDDLE]:g} standard deviations on the skips",
               f"skip noise {SKIP_NOISE[MIDDLE]}"),
    _condition(f"change of mIoU under {whole_percent(CLUTTER[MIDDLE])} of another image's features in the skips",
               f"clutter {CLUTTER[MIDDLE]}"),
    _condition(f"change of mIoU under noise of {INPUT_NOISE[MIDDLE]:g} on the image", f"input noise {INPUT_NOISE[MIDDLE]}"),
]
REPLACED = [_condition(f"mIoU with α {what}", f"alpha {name}") for what, name in (
    ("replaced by 1", "one"), ("replaced by its mean", "mean"), ("of another image", "other"))]
PERMUTED = "with α permuted over the pixels"
ALPHA_OUTLINES = Change("mean α near outlines less that far from them", partial(readings.alphas, groups="distance"), plain,
                        plain, score=scores.near_less_far, against=PERMUTED)
ALPHA_CLASSES = Change("standard deviation of α between classes", partial(readings.alphas, groups="class"), plain, plain,
                       score=scores.spread, against=PERMUTED)
ENERGY, ENERGY_DETACHED, ENERGY_ARRIVING = (
    Change("share of the gradient energy across the skips on frequent classes",
           partial(readings.frequent_energy, others=[other]), score=lambda counts: ratio(counts).mean(-1), against=against)
    for other, against in (("energy, alpha constant", "that with α set to its mean"),
                           ("energy, alpha detached", "that with α detached"),
                           ("energy arriving", "that of what arrives at the gates"))
)
NON_CONVEX, NON_CONVEX_NORMALISED = (
    Measure(f"non-convexity |λmin / λmax| of the loss in {name} coordinates", partial(readings.non_convexity, kind=kind),
            precise, percent, relative=True)
    for kind, name in ((0, "the weights' own"), (1, "filter-normalised"))
)
CURVATURE = Measure("largest curvature of the loss in filter-normalised coordinates", partial(readings.curvature, kind=1),
                    Unit("", digits=1), percent, relative=True)
