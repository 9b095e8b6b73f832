"""What the wiring alone does to signals and gradients, measured on untrained networks in seconds.

What training makes of it is for the other studies. `influence` follows Luo et al. (2016), who call
what it measures the effective receptive field.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.files import IGNORE
from lib.models import attention_maps, build_model


def gradient_flow(
    variant: str, images: Tensor, targets: Tensor, num_classes: int, base_channels: int, seed: int
) -> pd.DataFrame:
    """Return how the gradient of the loss reaches each encoder level of the untrained network.

    images float32 (B, 3, H, W), targets int64 (B, H, W); one row a level. `relative` is the norm of
    the gradient of the convolutions' weights by the norm of the weights. `across` is the share of
    the gradient g of the features that arrives through the skip of that level, <s, g> / <g, g> for
    g = s + (what arrives through the levels below); NaN at the bottleneck.
    """
    torch.manual_seed(seed)
    model = build_model(variant, num_classes=num_classes, base_channels=base_channels)
    features, crossing = [], []

    def keep(block: nn.Module, inputs: tuple, output: Tensor) -> None:
        output.retain_grad()
        features.append(output)

    def keep_crossing(skip: nn.Module, inputs: tuple) -> tuple:
        branch = inputs[0].clone()  # so that its gradient is that of the skip alone
        branch.retain_grad()
        crossing.append(branch)
        return branch, *inputs[1:]

    for block in model.encoder:
        block.register_forward_hook(keep)
    for skip in model.skips:
        skip.register_forward_pre_hook(keep_crossing)
    F.cross_entropy(model(images), targets, ignore_index=IGNORE).backward()
    rows = []
    for level, (block, feature) in enumerate(zip(model.encoder, features)):
        weights = [w for w in block.parameters() if w.ndim == 4]
        relative = _norm(w.grad for w in weights) / _norm(weights)
        across = np.nan
        if level < len(crossing):
            branch = crossing[-1 - level]  # the decoder asks for the coarsest skip first
            across = _share(branch.grad, feature.grad)
        rows.append({
            "variant": variant, "seed": seed, "level": level, "relative": relative, "across": across
        })  # fmt: skip
    return pd.DataFrame(rows)


def _norm(tensors: Iterable[Tensor]) -> float:
    return float(torch.cat([tensor.detach().flatten() for tensor in tensors]).norm())


def _share(part: Tensor | None, whole: Tensor) -> float:
    if part is None:  # nothing crosses, so that nothing comes back
        return 0.0
    return float((part * whole).sum() / whole.square().sum())


def influence(variant: str, image: Tensor, base_channels: int, seed: int) -> np.ndarray:
    """Return each pixel's share of the squared gradient of the untrained central logits.

    image float32 (3, H, W) -> float64 (H, W). Normalisation uses this image's statistics.
    """
    torch.manual_seed(seed)
    model = build_model(variant, base_channels=base_channels)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the running statistics become those of the next pass
    batch = image[None]
    with torch.no_grad():
        model.train()(batch)
    batch = batch.clone().requires_grad_()
    model.eval()(batch)[..., image.shape[1] // 2, image.shape[2] // 2].sum().backward()
    energy = batch.grad[0].double().square().sum(0).numpy()
    return energy / max(energy.sum(), np.finfo(float).tiny)  # 0 with every ReLU shut


@torch.no_grad()
def untrained_gates(images: Tensor, base_channels: int, draws: int) -> Tensor:
    """Return all gates' coefficients at initialisation, (n,); images float32 (B, 3, H, W)."""
    rows = []
    for seed in range(draws):
        torch.manual_seed(seed)
        model = build_model("unet-gated-attention", base_channels=base_channels)
        rows += [alpha.flatten() for alpha in attention_maps(model, images)]
    return torch.cat(rows)


def half_side(influence: np.ndarray, share: float = 0.5) -> int:
    """Return the side of the smallest central square that holds this share of the influence."""
    rows, columns = (np.abs(np.arange(side) - side // 2) for side in influence.shape)
    distance = np.maximum(rows[:, None], columns)
    within = np.bincount(distance.ravel(), influence.ravel()).cumsum()
    return 2 * int(np.searchsorted(within, share)) + 1
