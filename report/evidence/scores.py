"""Scores: what a measure makes of counts that were summed over images, for one sum or for many resamples at once.

Every function takes counts (..., *) and returns fractions (...). Scores that are not of this report's making are in
`lib.metrics` and `lib.structure`.
"""

from collections.abc import Callable

import numpy as np

from lib.metrics import nan_mean
from lib.structure import ratio

SMALL, LARGE = slice(0, 2), slice(3, None)  # bins of `lib.structure.SIZES`: under 64 px, from 256 px
NEAR, FAR = slice(0, 3), slice(5, None)  # bins of distance to an outline: under 4 px, from 16 px
RECALL = 0.5  # at which precision is compared


def class_mean(counts: np.ndarray) -> np.ndarray:
    """Return the mean over classes of one count by the other: (..., K, 2) -> (...)."""
    return nan_mean(ratio(counts))


def size_preference(components: np.ndarray) -> np.ndarray:
    """Return the recall of small less that of large things: components (..., sizes, 4) -> (...)."""
    small, large = (ratio(components[..., bins, :].sum(-2), 3, 2) for bins in (SMALL, LARGE))
    return small - large


def precision_at_recall(counts: np.ndarray) -> np.ndarray:
    """Return the precision of components where recall is `RECALL`, the mean over classes: (..., classes, T, 7) -> (...).

    Recall falls as the threshold rises; between neighbouring thresholds both are taken as straight. NaN for a class
    that no threshold brings so high or so low.
    """
    precision, recall = ratio(counts, 1, 0), ratio(counts, 3, 2)
    reach = (recall >= RECALL).sum(-1)
    inside = (reach > 0) & (reach < recall.shape[-1])
    above = np.clip(reach, 1, recall.shape[-1] - 1)[..., None] - 1
    (p, next_p), (r, next_r) = ([np.take_along_axis(of, above + step, -1)[..., 0] for step in (0, 1)]
                                for of in (precision, recall))
    share = np.divide(r - RECALL, r - next_r, out=np.zeros_like(r), where=r > next_r)
    next_p = np.where(np.isnan(next_p), p, next_p)  # nothing is predicted any more
    return nan_mean(np.where(inside, p + share * (next_p - p), np.nan))


def slope(confusions: np.ndarray, score: Callable) -> np.ndarray:
    """Return the change of the score along the fitted line, from the lowest dose to the highest: (..., D, K, K) -> (...)."""
    steps = np.linspace(-0.5, 0.5, confusions.shape[-3])  # doses are evenly spaced
    return score(confusions) @ steps / (steps @ steps)


def explained(errors: np.ndarray) -> np.ndarray:
    """Return the share of the outlines' variance that a probe explains: (..., 2) -> (...)."""
    return 1 - ratio(errors)


def near_less_far(sums: np.ndarray) -> np.ndarray:
    """Return the mean α near outlines less that far from them, the mean over levels: (..., levels, bins, 2) -> (...)."""
    near, far = (ratio(sums[..., bins, :].sum(-2)) for bins in (NEAR, FAR))
    return (near - far).mean(-1)


def spread(sums: np.ndarray) -> np.ndarray:
    """Return the standard deviation of α between classes, the mean over levels: (..., levels, K, 2) -> (...)."""
    means, pixels = ratio(sums), sums[..., 1]
    share = pixels / pixels.sum(-1, keepdims=True)
    overall = np.nansum(means * share, -1, keepdims=True)
    return np.sqrt(np.nansum(share * (means - overall) ** 2, -1)).mean(-1)
