"""What a training descends: weighted cross-entropy, and soft Dice beside it (Milletari et al. 2016), a mean over classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.classes import IGNORE
from lib.data import Dataset
from lib.distributed import World


def class_weights(dataset: Dataset, balance: float) -> Tensor:
    """float32 (K,): see `lib.config.TrainConfig`; scaled so that a pixel of the split weighs 1 on average."""
    share = torch.from_numpy(dataset.pixels_per_class() / dataset.pixels_per_class().sum())
    weight = 1 / torch.log(1 + balance + share) if balance else torch.ones_like(share)
    return (weight / (weight * share).sum()).float()


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor, world: World = World()) -> Tensor:
    """Weighted cross-entropy in nats per pixel, over the batch of all processes.

    logits float32 (B, K, H, W), target int64 (B, H, W), weights (K,) -> (); void counts nowhere, and a batch of void alone
    has nothing to be wrong about: 0.
    """
    nats = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum()
    weight = F.pad(weights, (0, IGNORE + 1 - len(weights)))[target].sum()
    nats, weight = world.total(torch.stack([nats, weight]))
    return nats / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def soft_dice(logits: Tensor, target: Tensor, world: World = World()) -> Tensor:
    """2 |prediction and target| / (|prediction| + |target|), probabilities as partial members; mean over classes."""
    classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = target[:, None] == classes  # (B, K, H, W)
    probability = logits.softmax(1) * (target != IGNORE)[:, None]
    sums = torch.stack([(probability * truth).sum((0, 2, 3)), probability.sum((0, 2, 3)),
                        truth.sum((0, 2, 3)).float()])
    both, predicted, true = world.total(sums)  # (K,) each
    present = true > 0
    return (present * 2 * both / (predicted + true).clamp(min=1)).sum() / present.sum().clamp(min=1)
