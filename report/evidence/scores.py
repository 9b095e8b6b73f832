"""Scores of counts that were summed over images, of one sum or of many resamples at once.

Functions of counts (..., *) return fractions (...). Others measure the curves of a run's history,
and `miou_definitions` compares what different authors call mIoU.
"""

import numpy as np
import pandas as pd

from lib.metrics import iou_per_class, mean_iou, nan_mean
from lib.structure import ratio

SMALL, LARGE = slice(0, 2), slice(3, None)  # sizes: under 64 px, from 256 px
NEAR, FAR = slice(0, 3), slice(5, None)  # distances to an outline: under 4 px, from 16 px
TOLERANCE = 3  # px between contours
RECALL = 0.5  # at which precision is compared


def class_mean(counts: np.ndarray) -> np.ndarray:
    """Return the mean over classes of one count by the other: (..., K, 2) -> (...)."""
    return nan_mean(ratio(counts))


def trimap_iou(trimap: np.ndarray) -> np.ndarray:
    """Return the IoU by band and class, (..., 20, K); row w - 1: less than w px from an outline."""
    return ratio(np.cumsum(trimap, -3))


def boundary_f1(contours: np.ndarray, tolerance: int) -> np.ndarray:
    """Return F1 of contour pixels matched within `tolerance` px, (..., K), of (..., K, 2, 22)."""
    total = contours.sum(-1)
    matched = contours[..., : tolerance + 1].sum(-1)
    precision, recall = np.moveaxis(matched / np.maximum(total, 1), -1, 0)
    score = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return np.where(total.sum(-1) > 0, score, np.nan)


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
    """Return the mean over classes of `precisions_at_recall`: (..., classes, T, 7) -> (...)."""
    return nan_mean(precisions_at_recall(counts))


def precisions_at_recall(counts: np.ndarray) -> np.ndarray:
    """Return each class's precision of components where recall is `RECALL`: (..., T, 7) -> (...).

    Recall falls as the threshold rises; between neighbouring thresholds both are taken as straight.
    NaN for a class that no threshold brings so high or so low.
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
    return np.where(inside, p + share * (next_p - p), np.nan)


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


def class_spread(sums: np.ndarray) -> np.ndarray:
    """Return the standard deviation of α between classes: (..., levels, K, 2) -> (...)."""
    means, pixels = ratio(sums), sums[..., 1]
    share = pixels / pixels.sum(-1, keepdims=True)
    overall = np.nansum(means * share, -1, keepdims=True)
    variance = np.nansum(share * (means - overall) ** 2, -1)
    return np.sqrt(variance).mean(-1)


# Curves of a run's history.


def final_value(history: pd.DataFrame, column: str) -> float:
    """Return the curve's last measured value, NaN without one."""
    return float(history[column].dropna().iloc[-1:].mean())


def area_under_curve(history: pd.DataFrame, column: str) -> float:
    """Return the mean height of the curve over the epochs where it was measured (trapezoids)."""
    curve = history[["epoch", column]].dropna()
    if len(curve) < 2:
        return final_value(history, column)
    epochs = curve["epoch"].to_numpy(float)
    return float(np.trapezoid(curve[column], epochs) / (epochs[-1] - epochs[0]))


def epochs_to_reach(history: pd.DataFrame, score: float) -> float:
    """Return the epochs until validation mIoU first reaches the score, NaN for never.

    Between validations the curve is a straight line.
    """
    curve = history[["epoch", "val_miou"]].dropna().to_numpy(float)
    reached = np.flatnonzero(curve[:, 1] >= score)
    if not len(reached):
        return np.nan
    around = curve[max(reached[0] - 1, 0) : reached[0] + 1]
    return float(np.interp(score, around[:, 1], around[:, 0]))


def miou_definitions(
    per_image: np.ndarray, batch_size: int, index_maps: np.ndarray | None = None
) -> dict[str, float]:
    """Return what different authors call mIoU, fractions by name.

    `per_image` (N, K, K) are confusion matrices in test order; batches are what a loader without
    shuffling yields, the last one short. `index_maps` (N, 2): see `lib.structure`.
    """
    by_image = iou_per_class(per_image)
    by_batch = iou_per_class(np.add.reduceat(per_image, np.arange(0, len(per_image), batch_size)))
    definitions = {
        "one matrix of the whole test set (ours)": mean_iou(per_image.sum(0)),
        "mean over images, absent class as 0": np.nan_to_num(by_image, nan=0.0).mean(),
        "mean over batches, absent class as 1": np.nan_to_num(by_batch, nan=1.0).mean(),
        "mean over batches, absent class left out": nan_mean(nan_mean(by_batch)),
    }
    if index_maps is not None:
        definitions["index maps read as one-hot masks"] = ratio(index_maps.sum(0))
    return {name: float(value) for name, value in definitions.items()}
