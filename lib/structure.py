"""Fine structure: how well a prediction draws outlines and keeps small things, as counts per image.

Boundary IoU follows Cheng et al. (2021): masks are compared within `boundary_width` of their own
outlines, of which the image's frame is one. The trimap IoU follows Kohli et al. (2009): pixels
within a band around the target's outlines. Boundary F1 follows Csurka et al. (2013), but counts are
summed over images before the ratio is taken, and distances are rounded up to whole pixels.
Connected components have 8 neighbours.

For outlines, every void pixel takes the labels of the nearest pixel that is not void, in target and
prediction alike, so that an outline which void hides runs through the middle of it. No void pixel
is ever counted.
"""

from collections.abc import Collection

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lib.files import IGNORE
from lib.metrics import confusion_matrix

BANDS = 20  # trimap bands, and the longest contour distance told apart, in pixels
SIZES = (16, 64, 256, 1024)  # pixels: a component is in the first bin whose bound exceeds its size
SIZE_NAMES = ("under 16", "16 to 63", "64 to 255", "256 to 1023", "1024 and more")
EIGHT = np.ones((3, 3), bool)
APART = 4 * BANDS  # what separates two classes among contour points
IMAGES_LAST = ", images last"  # behind the name of a packed array
Map = np.ndarray  # (H, W): class indices, or bool


def boundary_width(shape: tuple[int, int]) -> int:
    """Return the boundary band's width in px: 2 % of an image's diagonal."""
    return max(1, round(0.02 * np.hypot(*shape)))


def structure_counts(
    prediction: Map, target: Map, num_classes: int, names: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Return the counts of one image, to be summed over images.

    `prediction` and `target` are maps (H, W) of K class indices; target 255 is void.

    boundary         (K, 2)      intersection and union of the two boundary bands
    trimap           (20, K, 2)  the same at 0 to 1, 1 to 2, ... px from the target's outlines
    contours         (K, 2, 22)  predicted contour pixels, then the target's, by distance to the
                                 contour of that class in the other map, rounded up: 0, 1, ..., 20,
                                 more or none
    components       (K, 5, 4)   target components by size: number, missed altogether (no predicted
                                 pixel of the class lies on it), pixels, pixels predicted as it
    false_components (K, 5, 2)   predicted components that cover labelled pixels, none of them of
                                 the class, by size: number, pixels (void not counted)
    index_maps       (2,)        float64, see `misread_index_maps`

    All others are int32; `names` chooses some. Raises ValueError as `confusion_matrix` does.
    """
    confusion_matrix(prediction, target, num_classes)
    prediction, target = np.asarray(prediction), np.asarray(target)
    known = target != IGNORE
    predicted, truth = prediction, target
    if known.any() and not known.all():
        _, (rows, columns) = ndimage.distance_transform_edt(~known, return_indices=True)
        predicted, truth = prediction[rows, columns], target[rows, columns]
    counts = {
        "boundary": lambda: _boundary(predicted, truth, known, num_classes),
        "trimap": lambda: _trimap(predicted, truth, known, num_classes),
        "contours": lambda: _contours(predicted, truth, known, num_classes),
        "components": lambda: _components(prediction, target, known, num_classes),
        "false_components": lambda: _false_components(prediction, target, known, num_classes),
        "index_maps": lambda: misread_index_maps(prediction, target),
    }
    arrays = {name: counts[name]() for name in names or counts}
    return {name: a.astype(np.int32) if a.dtype.kind == "i" else a for name, a in arrays.items()}


def _boundary(predicted: Map, truth: Map, known: Map, num_classes: int) -> np.ndarray:
    near_predicted, near_truth = _near_outline(predicted) & known, _near_outline(truth) & known
    both = near_predicted & near_truth & (predicted == truth)
    intersection = np.bincount(truth[both], minlength=num_classes)
    union = np.bincount(predicted[near_predicted], minlength=num_classes) - intersection
    union += np.bincount(truth[near_truth], minlength=num_classes)
    return np.stack([intersection, union], -1)


def _near_outline(labels: Map) -> Map:
    """Return where another class, or the frame, is at most the band's width away (chessboard)."""
    width = boundary_width(labels.shape)
    # A window holds another label than its centre's exactly when its extremes differ.
    window = 2 * width + 1
    near = ndimage.minimum_filter(labels, window) != ndimage.maximum_filter(labels, window)
    near[:width] = near[-width:] = True
    near[:, :width] = near[:, -width:] = True
    return near


def outline(labels: Map) -> Map:
    """Return the pixels on both sides of every change of class, 4 neighbours, bool (H, W)."""
    rows = np.pad(labels[1:] != labels[:-1], ((1, 1), (0, 0)))  # (H + 1, W)
    columns = np.pad(labels[:, 1:] != labels[:, :-1], ((0, 0), (1, 1)))  # (H, W + 1)
    return rows[1:] | rows[:-1] | columns[:, 1:] | columns[:, :-1]


def _trimap(predicted: Map, truth: Map, known: Map, num_classes: int) -> np.ndarray:
    edges = outline(truth)
    if not edges.any():
        return np.zeros((BANDS, num_classes, 2), int)
    # The outline itself, at distance 0, is the first ring.
    ring = ndimage.distance_transform_edt(~edges).astype(int)
    inside = known & (ring < BANDS)

    def per_ring(labels: Map, where: Map) -> np.ndarray:
        cells = ring[where] * num_classes + labels[where]
        return np.bincount(cells, minlength=BANDS * num_classes).reshape(BANDS, num_classes)

    intersection = per_ring(truth, inside & (predicted == truth))
    union = per_ring(truth, inside) + per_ring(predicted, inside) - intersection
    return np.stack([intersection, union], -1)


def _contours(predicted: Map, truth: Map, known: Map, num_classes: int) -> np.ndarray:
    points = []
    for labels in (predicted, truth):
        rows, columns = np.nonzero(outline(labels))
        # The class is a third coordinate, farther apart than any distance asked for.
        classes = labels[rows, columns].astype(int) * APART
        points.append(np.stack([rows, columns, classes], -1))
    counts = np.zeros((num_classes, 2, BANDS + 2), int)
    for side in (0, 1):
        own, other = points[side], points[1 - side]
        own = own[known[own[:, 0], own[:, 1]]]
        # Infinite where no point is that near.
        distance, _ = cKDTree(other).query(own, distance_upper_bound=BANDS + 0.5)
        steps = np.minimum(np.ceil(distance), BANDS + 1).astype(int)
        np.add.at(counts, (own[:, 2] // APART, side, steps), 1)
    return counts


def _components(prediction: Map, target: Map, known: Map, num_classes: int) -> np.ndarray:
    counts = np.zeros((num_classes, len(SIZES) + 1, 4), int)
    for index in range(num_classes):
        size, recalled = _component_sums(target == index, known, prediction == target)
        columns = np.stack([np.ones_like(size), recalled == 0, size, recalled], -1)
        np.add.at(counts[index], np.digitize(size, SIZES), columns)
    return counts


def _false_components(prediction: Map, target: Map, known: Map, num_classes: int) -> np.ndarray:
    counts = np.zeros((num_classes, len(SIZES) + 1, 2), int)
    for index in range(num_classes):
        size, right = _component_sums(prediction == index, known, prediction == target)
        size = size[(right == 0) & (size > 0)]
        columns = np.stack([np.ones_like(size), size], -1)
        np.add.at(counts[index], np.digitize(size, SIZES), columns)
    return counts


def _component_sums(mask: Map, *weights: Map) -> list[np.ndarray]:
    """Return the pixels of each connected component of `mask` in each of the boolean `weights`."""
    labels, number = ndimage.label(mask, EIGHT)
    inside = labels[mask]
    return [np.bincount(inside[weight[mask]], minlength=number + 1)[1:] for weight in weights]


def misread_index_maps(prediction: Map, target: Map) -> np.ndarray:
    """Return the sum of scores and the number of rows, (2,), that torchmetrics' `MeanIoU` sees.

    It takes the rows of an index map (H, W) for classes and the indices for masks: bitwise "and"
    for the intersection, the sum of indices for the area. The ratio means nothing.
    """
    known = target != IGNORE
    prediction, target = prediction.astype(int) * known, target.astype(int) * known
    intersection = (prediction & target).sum(1)
    union = prediction.sum(1) + target.sum(1) - intersection
    rows = union > 0
    return np.array([(intersection[rows] / union[rows]).sum(), rows.sum()], float)


def pack_counts(counts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the counts of all images (N, ...) as they compress best: small, images last."""
    packed = {}
    for name, array in counts.items():
        if array.dtype.kind == "i" and array.size:
            array = array.astype(np.min_scalar_type(array.max()))
        packed[name + IMAGES_LAST] = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    return packed


def unpack_counts(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what was given to `pack_counts`, integers as int32."""
    counts = {}
    for name, array in packed.items():
        if array.dtype.kind in "iu":
            array = array.astype(np.int32)
        counts[name.removesuffix(IMAGES_LAST)] = np.moveaxis(array, -1, 0)
    return counts


def ratio(counts: np.ndarray, part: int = 0, whole: int = 1) -> np.ndarray:
    """Return one of the counts on the last axis over another, fractions (...); NaN for 0 / 0."""
    part, whole = counts[..., part], counts[..., whole]
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
