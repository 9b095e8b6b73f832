"""Confusion matrices and the scores made from them.

mIoU means one thing here: the mean over classes of intersection over union (Everingham et al.
2010), from *one* confusion matrix of the whole test set, void left out. Intersection over union
is not additive over images: the mean of per-image or per-batch scores is another number, and what
an absent class counts as (0, 1 or nothing) moves it by many points. `miou_definitions` computes
the variants met in the literature, for comparison only.

Counts, not scores, are what a run keeps; every function below `confusion_matrix` takes counts of
shape (..., K, K), so that a bootstrap scores all its resamples in one call. The last functions
measure the curves that a run's history holds.
"""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from lib.files import IGNORE

Counts = np.ndarray | torch.Tensor


def confusion_matrix(
    prediction: torch.Tensor, target: torch.Tensor, num_classes: int, ignore_index: int = IGNORE
) -> torch.Tensor:
    """Pixels of each target class (row) by predicted class (column), int64 (K, K), on the
    tensors' device.

    Both tensors hold class indices and have the same shape, any shape. Pixels whose target is
    `ignore_index` are left out, whatever is predicted there. Raises ValueError for scores instead
    of indices, for unequal shapes and for labels outside 0 to K - 1.
    """
    prediction, target = torch.as_tensor(prediction), torch.as_tensor(target)
    if prediction.is_floating_point() or target.is_floating_point():
        raise ValueError(
            "prediction and target must be class indices, not floats: take argmax(1) first")
    if prediction.shape != target.shape:
        shapes = f"prediction is {tuple(prediction.shape)} and target {tuple(target.shape)}"
        raise ValueError(f"{shapes}: they must have the same size")
    prediction, target = prediction.long(), target.long()
    counted = target != ignore_index
    stray = (prediction < 0) | (prediction >= num_classes) | (target < 0) | (target >= num_classes)
    # Two more bins, for ignored and for stray pixels, check the range without a second pass.
    cells = torch.where(counted, target * num_classes + prediction, num_classes**2)
    cells = torch.where(counted & stray, num_classes**2 + 1, cells)
    counts = torch.bincount(cells.flatten(), minlength=num_classes**2 + 2)
    if counts[-1]:
        labels = {"target": target[counted], "prediction": prediction[counted]}
        raise ValueError(_stray_labels(labels, num_classes, ignore_index))
    return counts[: num_classes**2].view(num_classes, num_classes)


def _stray_labels(maps: dict[str, torch.Tensor], num_classes: int, ignore_index: int) -> str:
    """Return the sentence about the first label outside of 0 to K - 1."""
    for name, labels in maps.items():
        stray = labels[(labels < 0) | (labels >= num_classes)]
        if len(stray):
            value = int(stray[0])
            count = int((stray == value).sum())
            return (
                f"{name} has label {value} in {count} pixels, expected 0 to {num_classes - 1} "
                f"(ignored: {ignore_index}): check the class table and the label images"
            )
    raise AssertionError("no stray label")


def iou_per_class(confusion: Counts) -> Counts:
    """Intersection over union, fractions (..., K) float64, of counts (..., K, K).

    NaN for a class in neither target nor prediction. A tensor gives a tensor, an array an array.
    """
    if isinstance(confusion, torch.Tensor):
        return torch.from_numpy(iou_per_class(confusion.cpu().numpy()))
    intersection = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(-1) + confusion.sum(-2) - intersection
    return np.divide(intersection, union, out=np.full_like(intersection, np.nan), where=union > 0)


def mean_iou(confusion: Counts) -> float | np.ndarray:
    """Return the mean IoU over the classes that occur, (...) of counts (..., K, K)."""
    return nan_mean(np.asarray(iou_per_class(confusion)))


def nan_mean(values: np.ndarray, axis: int = -1) -> float | np.ndarray:
    """Mean over `axis` of what is not NaN; NaN, without a warning, where everything is."""
    present = ~np.isnan(values)
    number = present.sum(axis)
    total = np.where(present, values, 0.0).sum(axis)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)[()]


def miou_definitions(
    per_image: np.ndarray, batch_size: int, index_maps: np.ndarray | None = None
) -> dict[str, float]:
    """What different authors call mIoU, from per-image confusion matrices (N, K, K) in test
    order; fractions.

    The batches are the consecutive `batch_size` images that a loader without shuffling yields,
    the last one short. `index_maps` (N, 2) holds what `misread_index_maps` gives for each image.
    """
    per_image = np.asarray(per_image)
    by_image = iou_per_class(per_image)
    by_batch = iou_per_class(np.add.reduceat(per_image, np.arange(0, len(per_image), batch_size)))
    definitions = {
        "one matrix of the whole test set (ours)": mean_iou(per_image.sum(0)),
        "mean over images, absent class as 0": np.nan_to_num(by_image, nan=0.0).mean(),
        "mean over batches, absent class as 1": np.nan_to_num(by_batch, nan=1.0).mean(),
        "mean over batches, absent class left out": nan_mean(nan_mean(by_batch)),
    }
    if index_maps is not None:
        score, rows = np.sum(index_maps, 0)
        definitions["index maps read as one-hot masks"] = score / rows
    return {name: float(value) for name, value in definitions.items()}


def misread_index_maps(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Sum of scores and number of rows, float64 (2,), that torchmetrics' `MeanIoU` sees in index
    maps (H, W).

    In its default format it takes the rows of the image for classes and the indices for masks:
    bitwise "and" for the intersection, the sum of indices for the area. No error is raised and
    the ratio means nothing.
    """
    void = target == IGNORE
    prediction = np.where(void, 0, prediction).astype(np.int64)
    target = np.where(void, 0, target).astype(np.int64)
    intersection = (prediction & target).sum(1)
    union = prediction.sum(1) + target.sum(1) - intersection
    rows = union > 0
    return np.array([(intersection[rows] / union[rows]).sum(), rows.sum()], np.float64)


def final_value(history: pd.DataFrame, column: str) -> float:
    """The curve's last measured value; NaN without one."""
    return float(history[column].dropna().iloc[-1:].mean())


def area_under_curve(history: pd.DataFrame, column: str) -> float:
    """Return the mean height of the curve over the epochs where it was measured (trapezoids)."""
    curve = history[["epoch", column]].dropna().to_numpy(float)
    if len(curve) < 2:
        return float(curve[:, 1].mean()) if len(curve) else np.nan
    return float(np.trapezoid(curve[:, 1], curve[:, 0]) / (curve[-1, 0] - curve[0, 0]))


def epochs_to_reach(history: pd.DataFrame, threshold: float) -> float:
    """Return the epochs until validation mIoU reaches `threshold`, NaN for never.

    Between validations the curve is a straight line.
    """
    return _until(history, threshold, np.arange(1.0, len(history) + 1))


def seconds_to_reach(history: pd.DataFrame, threshold: float) -> float:
    """Seconds of training until validation mIoU reaches `threshold`; see `epochs_to_reach`."""
    return _until(history, threshold, history["seconds"].cumsum().to_numpy(float))


def _until(history: pd.DataFrame, threshold: float, clock: np.ndarray) -> float:
    score = history["val_miou"].to_numpy(float)
    clock, score = clock[~np.isnan(score)], score[~np.isnan(score)]
    if not (score >= threshold).any():
        return np.nan
    first = int(np.argmax(score >= threshold))
    around = slice(max(first - 1, 0), first + 1)
    return float(np.interp(threshold, score[around], clock[around]))


# What a training descends.


def class_weights(pixels: np.ndarray, balance: float) -> torch.Tensor:
    """Return the weight of each class in the loss, float32 (K,), of the training's pixels (K,).

    Class k with a share p_k of the pixels weighs 1 / ln(1 + balance + p_k) (Paszke et al. 2016),
    or as much as any other where `balance` is 0; a pixel weighs 1 on average.
    """
    share = torch.from_numpy(pixels / pixels.sum())
    weight = 1 / torch.log(1 + balance + share) if balance else torch.ones_like(share)
    return (weight / (weight * share).sum()).float()


def cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the weighted cross-entropy of a batch in nats per pixel, ().

    logits float32 (B, K, H, W), target int64 (B, H, W), weights float32 (K,). Void counts
    nowhere: a batch of void alone has the loss 0.
    """
    nats = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum()
    weight = F.pad(weights, (0, IGNORE + 1 - len(weights)))[target].sum()
    return nats / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return 2 |prediction and target| / (|prediction| + |target|), the mean over classes, ().

    Probabilities are partial members of the predicted set, and classes without a pixel in the batch
    are left out. The denominator is the plain sum; V-Net's (Milletari et al. 2016) has squares.
    """
    classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = target[:, None] == classes  # (B, K, H, W)
    probability = logits.softmax(1) * (target != IGNORE)[:, None]
    both = (probability * truth).sum((0, 2, 3))  # (K,)
    total = probability.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    present = truth.any(dim=3).any(dim=2).any(dim=0)
    return (present * 2 * both / total.clamp(min=1)).sum() / present.sum().clamp(min=1)
