"""What one sees in the test images that are shown, object by object, and the numbers behind it.

Which objects are pointed at is decided by a rule. An object is a connected component of the ground
truth of at least `SMALLEST` pixels that covers at most a `LARGEST` part of its image and that the
image's frame does not cut. Of each class the one is taken for which the U-Net's IoU exceeds most
that of the network without skips, means over all seeds; of these the `MOST` with the largest
advantage of the U-Net, and then the one object of all with the largest advantage of the network
without skips, as the other side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from lib.files import IGNORE
from lib.models import SHORT, VARIANTS
from lib.records import Run, by_variant
from lib.structure import EIGHT
from report.evidence.wording import in_pixels, listed, literal, points, whole_percent

SMALLEST, LARGEST, MOST = 12, 0.2, 4
LOST, HALF, WHOLE = 0.05, 0.5, 0.8  # recall of its pixels
GROWN, LARGE = 1.5, 256  # times its size; pixels
WITH, WITHOUT = "unet", "unet-noskip"


@dataclass(frozen=True)
class Segment:
    """An object of the ground truth of one test image, and its IoU under every run."""

    image: str
    index: int  # of its class
    mask: np.ndarray  # bool (H, W)
    ious: dict[str, np.ndarray]  # by network, one for each seed
    number: int = 0  # in figures and sentences

    @property
    def advantage(self) -> float:
        """How much higher its IoU is with skips than without, means over seeds."""
        return float(self.ious[WITH].mean() - self.ious[WITHOUT].mean())

    @property
    def size(self) -> int:
        """Its number of pixels."""
        return int(self.mask.sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Its top, left, bottom and right, each a pixel beyond it."""
        height, width = self.mask.shape
        rows, columns = (np.flatnonzero(self.mask.any(axis)) for axis in (1, 0))
        low = max(0, rows[0] - 1), max(0, columns[0] - 1)
        return *low, min(height, rows[-1] + 2), min(width, columns[-1] + 2)


def region(prediction: np.ndarray, target: np.ndarray, index: int, mask: np.ndarray) -> np.ndarray:
    """Return, bool (H, W), what a prediction makes of an object.

    That is the predicted components of its class which touch it, without void and without the
    pixels of other objects of the class.
    """
    labels, _ = ndimage.label(prediction == index, EIGHT)
    touching = np.unique(labels[mask & (labels > 0)])
    foreign = (target == IGNORE) | ((target == index) & ~mask)
    return np.isin(labels, touching) & ~foreign


def made_of(run: Run, segment: Segment) -> np.ndarray:
    """Return, bool (H, W), what a run makes of an object."""
    target, prediction = run.target(segment.image), run.prediction(segment.image)
    return region(prediction, target, segment.index, segment.mask)


def object_iou(
    prediction: np.ndarray, target: np.ndarray, index: int, mask: np.ndarray
) -> float:
    """Return intersection over union of an object with what a prediction makes of it."""
    predicted = region(prediction, target, index, mask)
    return float((predicted & mask).sum() / (predicted | mask).sum())


def choose_objects(runs: Sequence[Run], names: Sequence[str]) -> list[Segment]:
    """Return the objects that the rule points at in these images, numbered.

    There are none without runs of both networks.
    """
    groups = by_variant(runs)
    if not {WITH, WITHOUT} <= groups.keys():
        return []
    ranked = [segment for name in names for segment in _segments(groups, name)]
    ranked.sort(key=lambda segment: segment.advantage)
    best = {segment.index: segment for segment in ranked if segment.advantage > 0}  # the last
    picked = sorted(best.values(), key=lambda segment: -segment.advantage)[:MOST]
    picked += [segment for segment in ranked[:1] if segment.advantage < 0]  # the other side
    picked.sort(key=lambda segment: (names.index(segment.image), segment.box[1]))
    return [replace(segment, number=number) for number, segment in enumerate(picked, 1)]


def _segments(groups: dict[str, list[Run]], name: str) -> Iterator[Segment]:
    """Yield every object of one image."""
    target = groups[WITH][0].target(name)
    predictions = {key: [run.prediction(name) for run in group] for key, group in groups.items()}
    largest = LARGEST * (target != IGNORE).sum()
    for index in np.unique(target[target != IGNORE]):
        labels, number = ndimage.label(target == index, EIGHT)
        for component in range(1, number + 1):
            mask = labels == component
            cut_off = mask[[0, -1]].any() or mask[:, [0, -1]].any()
            if SMALLEST <= mask.sum() <= largest and not cut_off:
                ious = {
                    key: np.array([object_iou(each, target, index, mask) for each in maps])
                    for key, maps in predictions.items()
                }
                yield Segment(name, int(index), mask, ious)


def sentences(runs: Sequence[Run], segments: Sequence[Segment]) -> str:
    """Return a numbered list, in Markdown, of what one sees of each object and what confirms it."""
    figures = list(dict.fromkeys(segment.image for segment in segments))
    return "\n".join(
        f"{segment.number}. {_sentence(runs, segment, figures.index(segment.image) + 1)}"
        for segment in segments
    )


def _sentence(runs: Sequence[Run], segment: Segment, number: int) -> str:
    groups, figure = by_variant(runs), f"[the comparison](#fig-comparison-{number})"
    name = literal(runs[0].classes.names[segment.index])
    with_skips, without = (fate(groups[key][0], segment) for key in (WITH, WITHOUT))
    seen = f"under the U-Net it {with_skips}; without skips it {without}"
    if with_skips == without:
        seen = f"with skips and without it {without}"
    others = [
        f"{whole_percent(segment.ious[key].mean())} ({SHORT[key]})"
        for key in VARIANTS
        if key in segment.ious and key not in (WITH, WITHOUT)
    ]
    more = f"; elsewhere {listed(others)}" if others else ""
    means = [np.mean([run.iou[segment.index] for run in groups[key]]) for key in (WITH, WITHOUT)]
    difference = means[1] - means[0]
    compared = f"{points(abs(difference))} {'lower' if difference < 0 else 'higher'}"
    return (
        f"*{name}*, {segment.size} pixels, in {figure}: {seen}. Its IoU is "
        f"{_range(segment.ious[WITH])} under the U-Net and {_range(segment.ious[WITHOUT])} "
        f"without{more}. {_agreement(segment)}; over all test images the IoU of {name} is "
        f"{compared} without skips than with them."
    )


def _range(ious: np.ndarray) -> str:
    low, high = (whole_percent.number(value) for value in (ious.min(), ious.max()))
    mean = whole_percent(ious.mean())
    return mean if low == high else f"{mean} ({low} to {high})"


def _agreement(segment: Segment) -> str:
    """Whether the seeds agree on which of the two networks does better by the object."""
    who, better, worse = "the U-Net", segment.ious[WITH], segment.ious[WITHOUT]
    if segment.advantage < 0:
        who, better, worse = "the network without skips", worse, better
    ahead = better[:, None] > worse
    if ahead.size == 1:
        return f"One seed per network puts {who} ahead"
    if ahead.all():
        return f"Every pair of seeds puts {who} ahead"
    return f"In {int(ahead.sum())} of {ahead.size} pairs of seeds {who} is ahead"


def fate(run: Run, segment: Segment) -> str:
    """Return what a run makes of an object, as the predicate of a sentence."""
    predicted = made_of(run, segment)
    hit = predicted & segment.mask
    recall, growth = hit.sum() / segment.size, predicted.sum() / segment.size
    share, pieces = whole_percent(recall), ndimage.label(hit, EIGHT)[1]
    if recall < LOST:
        return "is lost"
    if pieces > 1 and recall < WHOLE:
        return f"breaks into {pieces} pieces with {share} of its pixels"
    if recall < HALF:
        return f"is mostly lost, with {share} of its pixels labelled"
    if recall < WHOLE:
        return f"shrinks to {share} of its pixels"
    if growth > GROWN:
        return f"grows to {growth:.1f} times its size"
    if segment.size >= LARGE:
        off = in_pixels(edge_error(predicted, segment.mask))
        return f"keeps {share} of its pixels, its outline {off} off on average"
    return f"is found with {share} of its pixels"


def edge_error(predicted: np.ndarray, mask: np.ndarray) -> float:
    """Return how far, in pixels, the outline of an object is from that of its prediction."""
    distance = ndimage.distance_transform_edt(~rim(predicted))
    return float(distance[rim(mask)].mean())


def rim(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask, bool (H, W), that have a neighbour outside of it."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)
