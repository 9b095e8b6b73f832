"""What the report measures, of results and of the theory alike: the table of its measures.

Each is a `Measure` or a `Change` of `report.evidence.measure`: what `report.evidence.readings`
reads of each run, and the score that is made of it.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter

import numpy as np

from lib.metrics import mean_iou
from lib.models import DEPTH
from lib.records import Run
from lib.structure import SIZES, ratio
from lib.studies.depth import NORMALISED
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from lib.studies.matched import SMALL_SHARE
from report.evidence import readings, scores
from report.evidence.measure import GROUPS, Change, Measure
from report.evidence.readings import structure
from report.evidence.scores import area_under_curve, final_value
from report.evidence.wording import (
    Unit, nats, percent, plain, points, precise, whole_percent,
)  # fmt: skip

# The training: losses and gradients are compared as ratios


DEEPEST = 6  # levels of the deepest of the small networks
_as_loss = {"level": nats, "unit": percent, "relative": True}
_as_gradient = {"level": plain, "unit": percent, "relative": True}


def _of_curve(name: str, of: Callable, column: str, **options: object) -> Measure:
    return Measure(name, lambda run: of(run.history, column), **options)


def _gradient_at(place: str, block: str) -> Measure:
    read = partial(readings.gradient_at, block=block)
    return Measure(f"|gradient| · |weight| at the {place}", read, **_as_gradient)


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
DEEP = [
    Measure(f"gradient of the first block relative to the last, {DEEPEST} levels, {kind}",
            partial(readings.fading_at_depth, depth=DEEPEST, kind=kind), studied=True,
            **_as_gradient)
    for kind in NORMALISED.values()
]  # fmt: skip
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


MIOU = Measure("test mIoU", attrgetter("per_image"), score=mean_iou)
BY_DRIVE = [_on_drive(drive) for drive in ("0001TP", "Seq05VD")]
BOUNDARY = Measure("boundary IoU", partial(structure, name="boundary"), score=scores.class_mean)
GEOMETRY = [
    Measure(f"boundary F1 within {scores.TOLERANCE} px", partial(structure, name="contours"),
            score=scores.contour_f1),
    Measure(f"mIoU within {BAND} px of an outline",
            lambda run: structure(run, "trimap")[:, :BAND].sum(1), score=scores.class_mean),
]  # fmt: skip
MISSED = _missed(f"thin and small things under {SIZES[1]} px", readings.thin, scores.SMALL)
MISSED_ANY = _missed(f"all things under {SIZES[1]} px", lambda run: range(len(run.classes)),
                     scores.SMALL)  # fmt: skip
MISSED_SIGNS = _missed("signs", lambda run: run.classes.signs, ANY_SIZE)
MISSED_POLES = _missed("poles", partial(readings.classes_called, beginnings=("pole",)), ANY_SIZE)
PREFERENCE = Measure(
    "recall of small minus recall of large things",
    lambda run: structure(run, "components").sum(1), score=scores.size_preference,
)  # fmt: skip
PRECISION = Measure(
    f"precision at {whole_percent(scores.RECALL)} recall on classes with under "
    f"{percent(SMALL_SHARE)} of the pixels",
    readings.by_threshold, score=scores.precision_at_recall, images=readings.matched_images,
    counted=GROUPS,
)  # fmt: skip
FALSE = [
    Measure("false components per true one, rare classes", readings.false_components, plain, plain,
            ratio),
    Measure("false pixels per true one, rare classes", partial(readings.rare_pixels, part="false"),
            plain, plain, ratio),
    Measure("pixel recall of the rare classes", partial(readings.rare_pixels, part="right"),
            score=ratio),
]  # fmt: skip
DOSES = [
    Measure(f"change in mIoU from the lowest to the highest dose of {kind}",
            partial(readings.by_dose, kind=kind), points, score=scores.slope,
            images=readings.dose_images, counted="groups of scenes")
    for kind in ("clutter", "noise")
]  # fmt: skip


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
OUTLINES_BELOW = _probe("the bottleneck", ("edges", "bottleneck"), ("edges", "encoder 0"))
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
