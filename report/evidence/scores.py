"""Scores of counts that were summed over images, of one sum or of many resamples at once.

Every function takes counts (..., *) and returns fractions (...). More are in `lib.metrics` and
`lib.structure`.
"""

import numpy as np

from lib.metrics import mean_iou, nan_mean
from lib.structure import boundary_f1, ratio

SMALL, LARGE = slice(0, 2), slice(3, None)  # sizes: under 64 px, from 256 px
NEAR, FAR = slice(0, 3), slice(5, None)  # distances to an outline: under 4 px, from 16 px
TOLERANCE = 3  # px between contours
RECALL = 0.5  # at which precision is compared


def class_mean(counts: np.ndarray) -> np.ndarray:
    """Return the mean over classes of one count by the other: (..., K, 2) -> (...)."""
    return nan_mean(ratio(counts))


def contour_f1(contours: np.ndarray) -> np.ndarray:
    """Return the mean over classes of boundary F1 within `TOLERANCE`: (..., K, 2, 22) -> (...)."""
    return nan_mean(boundary_f1(contours, TOLERANCE))


def size_preference(components: np.ndarray) -> np.ndarray:
    """Return the recall of small less that of large things: (..., sizes, 4) -> (...)."""
    small = ratio(components[..., SMALL, :].sum(-2), 3, 2)
    large = ratio(components[..., LARGE, :].sum(-2), 3, 2)
    return small - large


def level_preference(components: np.ndarray) -> np.ndarray:
    """Return the mean over levels of `size_preference`: (..., levels, sizes, 4) -> (...)."""
    return size_preference(components).mean(-1)


def level_share(counts: np.ndarray) -> np.ndarray:
    """Return the mean over levels of one count by the other: (..., levels, 2) -> (...)."""
    return ratio(counts).mean(-1)


def precision_at_recall(counts: np.ndarray) -> np.ndarray:
    """Return the precision of components where recall is `RECALL`: (..., classes, T, 7) -> (...).

    The mean over classes. Recall falls as the threshold rises; between neighbouring thresholds both
    are taken as straight. NaN for a class that no threshold brings so high or so low.
    """
    precision, recall = ratio(counts, 1, 0), ratio(counts, 3, 2)
    thresholds = recall.shape[-1]
    reach = (recall >= RECALL).sum(-1)
    above = np.clip(reach, 1, thresholds - 1)[..., None] - 1
    p, r = (np.take_along_axis(values, above, -1)[..., 0] for values in (precision, recall))
    next_p, next_r = (
        np.take_along_axis(values, above + 1, -1)[..., 0] for values in (precision, recall)
    )
    next_p = np.where(np.isnan(next_p), p, next_p)  # nothing is predicted any more
    share = np.divide(r - RECALL, r - next_r, out=np.zeros_like(r), where=r > next_r)
    inside = (reach > 0) & (reach < thresholds)
    return nan_mean(np.where(inside, p + share * (next_p - p), np.nan))


def slope(confusions: np.ndarray) -> np.ndarray:
    """Return the change of mIoU along a fitted line from lowest to highest dose: (..., D, K, K)."""
    steps = np.linspace(-0.5, 0.5, confusions.shape[-3])  # doses are evenly spaced
    return mean_iou(confusions) @ steps / (steps @ steps)


def explained(errors: np.ndarray) -> np.ndarray:
    """Return the share of the outlines' variance that a probe explains: (..., 2) -> (...)."""
    return 1 - ratio(errors)


def near_less_far(sums: np.ndarray) -> np.ndarray:
    """Return the mean α near outlines less that far from them: (..., levels, bins, 2) -> (...)."""
    near = ratio(sums[..., NEAR, :].sum(-2))
    far = ratio(sums[..., FAR, :].sum(-2))
    return (near - far).mean(-1)


def spread(sums: np.ndarray) -> np.ndarray:
    """Return the standard deviation of α between classes: (..., levels, K, 2) -> (...)."""
    means, pixels = ratio(sums), sums[..., 1]
    share = pixels / pixels.sum(-1, keepdims=True)
    overall = np.nansum(means * share, -1, keepdims=True)
    variance = np.nansum(share * (means - overall) ** 2, -1)
    return np.sqrt(variance).mean(-1)
