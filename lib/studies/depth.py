"""Where vanishing gradients could be seen: the same network deeper, with and without batch normalisation.

For each depth a small network is trained for a few steps on drawn scenes while `lib.gradients` watches. Without
normalisation it gets biases and the initial weights of He et al. (2015), which keep the signal's scale through
rectified layers: PyTorch's default would shrink it at every layer and prove nothing but that.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lib.classes import SCENES
from lib.data import as_image, load_dataset
from lib.gradients import GradientLog
from lib.models import build_model

DEPTHS = (4, 5, 6)
NORMALISED = {True: "batch normalisation", False: "no normalisation"}
SIZE, CHANNELS, BATCH, RATE = (64, 128), 4, 8, 3e-3


def without_normalisation(model: nn.Module) -> nn.Module:
    """The network with every batch normalisation replaced by a bias, and He's initial weights."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, Bias(child.num_features))
            elif isinstance(child, nn.Conv2d):
                nn.init.kaiming_normal_(child.weight, nonlinearity="relu")
            elif isinstance(child, nn.ConvTranspose2d):  # no two kernel positions overlap, no rectification follows
                nn.init.normal_(child.weight, std=child.in_channels**-0.5)
    return model


class Bias(nn.Module):
    """Adds a number to each channel: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias


def depth_study(variant: str, steps: int, seed: int) -> dict[str, np.ndarray]:
    """For each depth and kind: loss (steps,), and the arrays of `GradientLog`; keys "4, batch normalisation: loss"."""
    data = load_dataset("scenes", split="train", image_size=SIZE, limit=4 * BATCH)
    found = {}
    for depth in DEPTHS:
        for normalised, name in NORMALISED.items():
            torch.manual_seed(seed)
            model = build_model(variant, num_classes=len(SCENES), base_channels=CHANNELS, depth=depth)
            model = model if normalised else without_normalisation(model)
            optimiser, log, losses = torch.optim.AdamW(model.parameters(), RATE), GradientLog(model, steps), []
            for step in range(steps):
                chosen = torch.arange(step * BATCH, (step + 1) * BATCH) % len(data)
                loss = F.cross_entropy(model(as_image(data.images[chosen])), data.targets[chosen].long())
                optimiser.zero_grad()
                loss.backward()
                with log.step(step):
                    optimiser.step()
                losses.append(loss.item())
            arrays = {"loss": np.array(losses, np.float32)} | log.arrays()
            found |= {f"{depth}, {name}: {key}": array for key, array in arrays.items()}
    return found
