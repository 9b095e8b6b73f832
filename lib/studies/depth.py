"""Where vanishing gradients could be seen: the same network deeper, with and without normalisation.

For each depth a small network is trained for a few steps on drawn scenes while
`lib.evaluation.GradientLog` watches. Without normalisation it gets biases and the initial weights
of He et al. (2015), which keep the signal's scale through rectified layers. He's variance counts
every weight of a filter, while padding with zeros takes 7 of 9 away where a deep network's maps are
but 1 x 2 cells: without normalisation the border is repeated instead.

A residual sum adds the variances of its two terms, which are therefore multiplied by 1/sqrt(2).
Fixup (Zhang, Dauphin and Ma 2019) and SkipInit (De and Smith 2020) start the branch at zero
instead, which would make its own gradient zero at the first step by construction.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import Dataset, as_image, load_dataset
from lib.evaluation import GradientLog
from lib.models import ResidualBlock, build_model
from lib.studies import Arrays

DEPTHS = (4, 5, 6)
NORMALISED = {True: "batch normalisation", False: "no normalisation"}
KEEPING = 2**-0.5  # of both terms of a sum, so that it has their mean variance
SIZE, CHANNELS, BATCH, RATE = (64, 128), 4, 8, 3e-3


class Scale(nn.Module):
    """Multiply by a fixed number: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Bias(nn.Module):
    """Add a number to each channel: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def without_normalisation(model: nn.Module) -> nn.Module:
    """Return the network with biases for normalisations, He's weights and scaled residual sums."""
    for module in list(model.modules()):
        if isinstance(module, ResidualBlock):
            module.residual.append(Scale(KEEPING))
            module.shortcut = nn.Sequential(module.shortcut, Scale(KEEPING))
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, Bias(child.num_features))
            elif isinstance(child, nn.Conv2d):
                nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
                child.padding_mode = "replicate"
            elif isinstance(child, nn.ConvTranspose2d):  # positions do not overlap, no ReLU follows
                nn.init.normal_(child.weight, std=child.in_channels**-0.5)
    return model


@cache
def _scenes() -> Dataset:
    return load_dataset("scenes", split="train", image_size=SIZE, limit=4 * BATCH)


def depth_study(variant: str, steps: int, seed: int) -> Arrays:
    """Return arrays such as "4, batch normalisation: loss" (steps,), and those of `GradientLog`."""
    arrays, classes = {}, len(_scenes().classes)
    for depth in DEPTHS:
        for normalised, name in NORMALISED.items():
            torch.manual_seed(seed)
            model = build_model(variant, num_classes=classes, base_channels=CHANNELS, depth=depth)
            if not normalised:
                model = without_normalisation(model)
            for key, array in _trained(model, steps).items():
                arrays[f"{depth}, {name}: {key}"] = array
    return arrays


def _trained(model: nn.Module, steps: int) -> Arrays:
    """Train for that many steps; return the losses and the norms of the gradients."""
    data, losses = _scenes(), []
    optimiser, log = torch.optim.AdamW(model.parameters(), RATE), GradientLog(model, steps)
    for step in range(steps):
        batch = torch.arange(step * BATCH, (step + 1) * BATCH) % len(data)
        loss = F.cross_entropy(model(as_image(data.images[batch])), data.targets[batch].long())
        optimiser.zero_grad()
        loss.backward()
        with log.step(step):
            optimiser.step()
        losses.append(loss.item())
    return {"loss": np.array(losses, np.float32)} | log.arrays()
