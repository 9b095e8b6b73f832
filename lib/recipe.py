"""The losses, and what a training may add to the plain recipe: an overlap loss, averaged weights, a mirrored second look.

Soft Dice follows Milletari et al. (2016) as a mean over the classes in the batch; the average of the weights is
exponential over the steps (Polyak and Juditsky 1992), and faster at the beginning, where there is little to remember.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def look_twice(logits: Tensor, mirrored: Tensor) -> Tensor:
    """Logarithm of the mean probability of an image's and its mirror image's logits, (B, K, H, W) both."""
    pair = torch.stack([logits.log_softmax(1), mirrored.flip(-1).log_softmax(1)])
    return pair.logsumexp(0) - math.log(2)


class Average:
    """The exponential mean of a model's weights over its steps, in a model of its own: `average.model`."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay, self.steps = copy.deepcopy(model).requires_grad_(False), decay, 0
        pairs = zip(self.model.state_dict().values(), model.state_dict().values())
        self.mine, self.theirs = zip(*((mine, theirs) for mine, theirs in pairs if mine.is_floating_point()))

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights and running statistics as they are now."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        torch._foreach_lerp_(list(self.mine), list(self.theirs), 1 - decay)

    def state_dict(self) -> dict:
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.steps = state["steps"]
