"""Confusion matrices, the scores made from them, and what a training descends.

mIoU means the mean over classes of intersection over union (Everingham et al. 2010), from *one*
confusion matrix of the whole test set, void left out: the mean of per-image or per-batch scores is
another number. Scores take counts (..., K, K): a bootstrap scores all its resamples in one call.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.files import IGNORE

Counts = np.ndarray | Tensor


def confusion_matrix(
    prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int = IGNORE
) -> Tensor:
    """Return the pixels of each target class (row) by predicted class (column), int64 (K, K).

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
    counted, beyond = target != ignore_index, num_classes**2
    stray = (prediction < 0) | (prediction >= num_classes) | (target < 0) | (target >= num_classes)
    # Two more bins, for ignored and for stray pixels, check the range without a second pass.
    cells = torch.where(counted, target * num_classes + prediction, beyond)
    cells = torch.where(counted & stray, beyond + 1, cells)
    counts = torch.bincount(cells.flatten(), minlength=beyond + 2)
    if counts[-1]:
        _require_classes("target", target[counted], num_classes, ignore_index)
        _require_classes("prediction", prediction[counted], num_classes, ignore_index)
    return counts[:beyond].view(num_classes, num_classes)


def _require_classes(name: str, labels: Tensor, num_classes: int, ignore_index: int) -> None:
    """Raise ValueError, with the first wrong value, unless labels are 0 to K - 1."""
    stray = labels[(labels < 0) | (labels >= num_classes)]
    if len(stray):
        count = int((stray == stray[0]).sum())
        raise ValueError(
            f"{name} has label {stray[0]} in {count} pixels, expected 0 to {num_classes - 1} "
            f"(ignored: {ignore_index}): check the class table and the label images")


def iou_per_class(confusion: Counts) -> Counts:
    """Return intersection over union, fractions (..., K) float64, of counts (..., K, K).

    NaN for a class in neither target nor prediction. A tensor gives a tensor, an array an array.
    """
    if isinstance(confusion, Tensor):
        return torch.from_numpy(iou_per_class(confusion.cpu().numpy()))
    intersection = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(-1) + confusion.sum(-2) - intersection
    return np.divide(intersection, union, out=np.full_like(intersection, np.nan), where=union > 0)


def mean_iou(confusion: Counts) -> float | np.ndarray:
    """Return the mean IoU over the classes that occur, (...) of counts (..., K, K)."""
    return nan_mean(np.asarray(iou_per_class(confusion)))


def nan_mean(values: np.ndarray, axis: int = -1) -> float | np.ndarray:
    """Return the mean of what is not NaN; NaN, without a warning, where everything is."""
    number = (~np.isnan(values)).sum(axis)
    total = np.nansum(values, axis)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)[()]


# What a training descends.


def class_weights(pixels: np.ndarray, balance: float) -> Tensor:
    """Return the weight of each class in the loss, float32 (K,), of the training's pixels (K,).

    Class k with a share p_k of the pixels weighs 1 / ln(1 + balance + p_k) (Paszke et al. 2016),
    or as much as any other where `balance` is 0; a pixel weighs 1 on average.
    """
    share = torch.from_numpy(pixels / pixels.sum())
    weight = 1 / torch.log(1 + balance + share) if balance else torch.ones_like(share)
    return (weight / (weight * share).sum()).float()


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy of a batch in nats per pixel, (), 0 for void alone.

    logits float32 (B, K, H, W), target int64 (B, H, W), weights float32 (K,)
    """
    nats = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum()
    weight = F.pad(weights, (0, IGNORE + 1 - len(weights)))[target].sum()
    return nats / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
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
