"""Fine structure: how well a prediction draws outlines and keeps small things, as counts per image.

Boundary IoU follows Cheng et al. (2021): masks are compared within `boundary_width` of their own outlines,
the frame of the image being an outline as in the authors' code. The trimap IoU follows Kohli et al. (2009):
pixels within a band around the target's outlines. Boundary F1 follows Csurka et al. (2013), with two
departures: its counts are summed over images before the ratio is taken, as for mIoU, and distances are
rounded up to whole pixels. Connected components (8 neighbours) tell whether a thing was found at all.

Void needs one rule, because it lies along many of CamVid's outlines. For outlines, every void pixel takes
the labels of the nearest pixel that is not void, in target and prediction alike: void then makes no outline
of its own, and an outline that void hides runs through the middle of it. No void pixel is ever counted.
"""

from collections.abc import Collection

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lib.files import IGNORE
from lib.metrics import confusion_matrix, misread_index_maps

BANDS = 20  # trimap bands, and the longest contour distance told apart, in pixels
SIZES = (16, 64, 256, 1024)  # pixels: a component belongs to the first bin whose bound exceeds its size
SIZE_NAMES = ("under 16", "16 to 63", "64 to 255", "256 to 1023", "1024 and more")
EIGHT = np.ones((3, 3), bool)
NAMES = ("boundary", "trimap", "contours", "components", "false_components", "index_maps")
IMAGES_LAST = ", images last"  # behind the name of a packed array
WITH_VOID = ("components", "false_components")


def boundary_width(shape: tuple[int, int]) -> int:
    """Width of the boundary band in pixels: 2 % of the diagonal of an image (H, W) (Cheng et al. 2021)."""
    return max(1, round(0.02 * np.hypot(*shape)))


def structure_counts(
    prediction: np.ndarray, target: np.ndarray, num_classes: int, names: Collection[str] = NAMES
) -> dict[str, np.ndarray]:
    """Counts of one image, to be summed over images, from maps (H, W) of K class indices; target 255 is void.

    boundary         (K, 2)      intersection and union of the two boundary bands
    trimap           (20, K, 2)  intersection and union at 0 to 1, 1 to 2, ... px from the target's outlines
    contours         (K, 2, 22)  predicted contour pixels, then the target's, by distance to the contour of
                                 that class in the other map, rounded up: 0, 1, ..., 20, more or none
    components       (K, 5, 4)   target components by size: number, missed altogether (no predicted pixel of
                                 the class lies on it), pixels, pixels predicted as the class
    false_components (K, 5, 2)   predicted components that cover labelled pixels, none of them of the class,
                                 by size: number, pixels (void not counted)
    index_maps       (2,)        float64, see `metrics.misread_index_maps`

    All others are int32; `names` chooses among them. Raises ValueError as `metrics.confusion_matrix` does.
    """
    confusion_matrix(prediction, target, num_classes)
    prediction, target = np.asarray(prediction), np.asarray(target)
    known = target != IGNORE
    drawn, truth = _without_void(prediction, target, known)
    counts = {name: COUNTS[name](*((prediction, target) if name in WITH_VOID else (drawn, truth)), known, num_classes)
              for name in names if name in COUNTS}
    counts = {name: count.astype(np.int32) for name, count in counts.items()}
    return counts | ({"index_maps": misread_index_maps(prediction, target)} if "index_maps" in names else {})


def _without_void(
    prediction: np.ndarray, target: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if known.all() or not known.any():
        return prediction, target
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return prediction[rows, columns], target[rows, columns]


def _boundary(drawn: np.ndarray, truth: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    width = boundary_width(truth.shape)
    near_drawn, near_truth = (_near_outline(labels, width) & known for labels in (drawn, truth))
    both = near_drawn & near_truth & (drawn == truth)
    intersection, predicted, actual = (
        np.bincount(labels[where], minlength=num_classes)
        for labels, where in ((truth, both), (drawn, near_drawn), (truth, near_truth))
    )
    return np.stack([intersection, predicted + actual - intersection], -1)


def _near_outline(labels: np.ndarray, width: int) -> np.ndarray:
    """Where another class, or the outside of the frame, is at most `width` px away (chessboard distance)."""
    # A window holds another label than its centre's exactly when its smallest and its largest label differ.
    window = 2 * width + 1
    near = ndimage.minimum_filter(labels, window) != ndimage.maximum_filter(labels, window)
    near[:width], near[-width:], near[:, :width], near[:, -width:] = True, True, True, True
    return near


def outline(labels: np.ndarray) -> np.ndarray:
    """Pixels on both sides of every change of class, 4 neighbours."""
    found = np.zeros(labels.shape, bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= right
    found[:, :-1] |= right
    return found


def _trimap(drawn: np.ndarray, truth: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    edges = outline(truth)
    if not edges.any():
        return np.zeros((BANDS, num_classes, 2), int)
    distance = ndimage.distance_transform_edt(~edges)
    ring = distance.astype(int)  # 0 on the outline: the first ring is the outline itself
    inside = known & (ring < BANDS)

    def per_ring(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
        cells = np.bincount(ring[where] * num_classes + labels[where], minlength=BANDS * num_classes)
        return cells.reshape(BANDS, num_classes)

    intersection = per_ring(truth, inside & (drawn == truth))
    return np.stack([intersection, per_ring(truth, inside) + per_ring(drawn, inside) - intersection], -1)


def _contours(drawn: np.ndarray, truth: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    points = []
    for labels in (drawn, truth):
        rows, columns = np.nonzero(outline(labels))
        # The class is a third coordinate, farther apart than any distance asked for: one tree serves all.
        points.append(np.stack([rows, columns, labels[rows, columns].astype(int) * 4 * BANDS], -1))
    counts = np.zeros((num_classes, 2, BANDS + 2), int)
    for side, (own, other) in enumerate((points, points[::-1])):
        own = own[known[own[:, 0], own[:, 1]]]
        distance = np.full(len(own), np.inf)
        if len(own) and len(other):
            distance, _ = cKDTree(other).query(own, distance_upper_bound=BANDS + 0.5)
        steps = np.minimum(np.ceil(distance), BANDS + 1).astype(int)
        np.add.at(counts, (own[:, 2] // (4 * BANDS), side, steps), 1)
    return counts


def _components(prediction: np.ndarray, target: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    found, hit = np.zeros((num_classes, len(SIZES) + 1, 4), int), prediction == target
    for index in range(num_classes):
        size, recalled = _component_sums(target == index, known, hit)
        bins = np.digitize(size, SIZES)
        for column, values in enumerate((np.ones_like(size), recalled == 0, size, recalled)):
            np.add.at(found[index, :, column], bins, values)
    return found


def _false_components(prediction: np.ndarray, target: np.ndarray, known: np.ndarray, num_classes: int) -> np.ndarray:
    false, hit = np.zeros((num_classes, len(SIZES) + 1, 2), int), prediction == target
    for index in range(num_classes):
        size, right = _component_sums(prediction == index, known, hit)
        size = size[(right == 0) & (size > 0)]
        bins = np.digitize(size, SIZES)
        np.add.at(false[index, :, 0], bins, 1)
        np.add.at(false[index, :, 1], bins, size)
    return false


def _component_sums(mask: np.ndarray, *weights: np.ndarray) -> list[np.ndarray]:
    """For each connected component of `mask`, the number of its pixels in each of the boolean `weights`."""
    labels, number = ndimage.label(mask, EIGHT)
    inside = labels[mask]
    return [np.bincount(inside[weight[mask]], minlength=number + 1)[1:] for weight in weights]


def pack(counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the counts of all images (N, ...) in the form that compresses best: small integers, images last.

    Neighbouring frames of a film are alike, so that the same count of consecutive images is stored side by side.
    """
    packed = {}
    for name, array in counts.items():
        small = array.astype(np.min_scalar_type(array.max())) if array.dtype.kind == "i" and array.size else array
        packed[name + IMAGES_LAST] = np.ascontiguousarray(np.moveaxis(small, 0, -1))
    return packed


def unpack(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what was given to `pack`, integers as int32; arrays of the first edition were not packed."""
    counts = {}
    for name, array in packed.items():
        if name.endswith(IMAGES_LAST):
            array = np.moveaxis(array, -1, 0)
        counts[name.removesuffix(IMAGES_LAST)] = array.astype(np.int32) if array.dtype.kind in "iu" else array
    return counts


COUNTS = {"boundary": _boundary, "trimap": _trimap, "contours": _contours, "components": _components,
          "false_components": _false_components}


def ratio(counts: np.ndarray, part: int = 0, whole: int = 1) -> np.ndarray:
    """One of the counts on the last axis over another, fractions (...); NaN where there is nothing to count.

    `ratio(boundary)` is the boundary IoU per class, `ratio(components, 1, 0)` the share of components missed
    altogether, `ratio(components, 3, 2)` the recall in pixels.
    """
    part, whole = np.asarray(counts[..., part], float), np.asarray(counts[..., whole], float)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def trimap_iou(trimap: np.ndarray) -> np.ndarray:
    """IoU per band and class, fractions (..., 20, K); row w - 1: the band less than w px from an outline."""
    return ratio(np.cumsum(trimap, -3))


def boundary_f1(contours: np.ndarray, tolerance: int) -> np.ndarray:
    """F1 of contour pixels matched within `tolerance` px, fractions (..., K), of counts (..., K, 2, 22)."""
    total = contours.sum(-1)
    matched = contours[..., : tolerance + 1].sum(-1)
    precision, recall = np.moveaxis(np.nan_to_num(ratio(np.stack([matched, total], -1))), -1, 0)
    score = ratio(np.stack([2 * precision * recall, precision + recall], -1))
    return np.where(total.sum(-1) > 0, np.nan_to_num(score), np.nan)


def contour_distance(contours: np.ndarray) -> np.ndarray:
    """Mean distance in px between the two contours, both ways together, (..., K); over 20 px counts as 21."""
    by_distance = contours.sum(-2)
    return ratio(np.stack([by_distance @ np.arange(BANDS + 2), by_distance.sum(-1)], -1))
