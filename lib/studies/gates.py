"""What the gates of a trained network let through, forward and backward, pixel by pixel.

The coefficients are summed by class, by distance to the nearest outline of the labels, and by whether the pixel is
labelled right; by class and by distance also after the coefficients of each image were permuted over its pixels, which
keeps how they are distributed and takes away where they are.

The energy of the gradient (its square, summed over channels) is taken at the encoder's features, once for what comes
back across the skip of that level and once for all that comes back, and at the skip's end, which is what arrives there
from the decoder; a cell that covers several classes shares its energy out by area. It is defined for every network,
gated or not. A gate acts on the gradient twice: it multiplies it by α, and it adds what flows through α itself. With α
detached only the first is left; with α replaced by its mean over the image neither is, but the loss is another one,
since the forward pass changes too. What arrives at the gate and what leaves it belong to one and the same loss.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from lib.data import as_image
from lib.files import IGNORE
from lib.machine import Machine
from lib.models import UNet, attention_maps, pad_to_multiple
from lib.structure import outline
from lib.studies import interventions

DISTANCES = (1, 2, 4, 8, 16)  # px from the nearest outline: a pixel belongs to the first bin whose bound exceeds it
PERMUTATIONS = 4  # of every map of coefficients
ENERGIES = ("across the skip", "altogether", "arriving from the decoder")
DISTANCE_NAMES = ("on an outline", "1 px", "2 to 3 px", "4 to 7 px", "8 to 15 px", "16 px and more")


@torch.inference_mode()
def coefficient_sums(model: UNet, images: Tensor, targets: Tensor, machine: Machine, seed: int = 0) -> dict[str, np.ndarray]:
    """Return sums of α over groups of pixels and the pixels' numbers; {} for a network without gates.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W). Groups are the 256 label values (`classes`; the caller cuts),
    the bins of `DISTANCES`, and wrong and right (`correct`). Void pixels are left out of the last two.

    classes, distances, correct            float64 (B, levels, groups, 2)  sum of α, number of pixels
    permuted_classes, permuted_distances   float32 (B, levels, groups, `PERMUTATIONS`)  sums of α, each after another
                                           random permutation of the level's cells; the numbers of pixels are the same
    """
    image = as_image(images.to(machine.device))
    maps = attention_maps(model, image)
    if not maps:
        return {}
    truth = targets.numpy()
    right = model(image).argmax(1).cpu().numpy() == truth
    groups = {
        "classes": (truth, 256),
        "distances": (np.stack([_distance_bins(t) for t in truth]), len(DISTANCES) + 1),
        "correct": (right.astype(np.uint8), 2),
    }
    padded, window = pad_to_multiple(image, 2**model.depth)

    def at_pixels(change: interventions.Change) -> list[np.ndarray]:
        """Every pixel has the coefficient of its cell: one map (B, H, W) a level."""
        cells = [change(alpha.float()) for alpha in maps]
        return [F.interpolate(alpha, padded.shape[-2:])[window][:, 0].cpu().numpy() for alpha in cells]

    found = {name: _sums(at_pixels(torch.clone), truth, *group, name == "classes") for name, group in groups.items()}
    for name in ("classes", "distances"):
        found[f"permuted_{name}"] = []
    for number in range(PERMUTATIONS):
        alphas = at_pixels(partial(interventions.permuted, seed=seed + number))
        for name in ("classes", "distances"):
            sums = _sums(alphas, truth, *groups[name], name == "classes")
            found[f"permuted_{name}"].append(sums[..., 0].astype(np.float32))
    return {name: np.stack(sums, -1) if isinstance(sums, list) else sums for name, sums in found.items()}


def _distance_bins(target: np.ndarray) -> np.ndarray:
    edges = outline(target)
    if not edges.any():
        return np.full(target.shape, len(DISTANCES), np.uint8)
    return np.digitize(ndimage.distance_transform_edt(~edges), DISTANCES).astype(np.uint8)


def _sums(alphas: list[np.ndarray], truth: np.ndarray, labels: np.ndarray, number: int, void: bool) -> np.ndarray:
    """Return sums of α and numbers of pixels of every group, float64 (B, levels, groups, 2).

    alphas holds one map (B, H, W) a level, labels uint8 (B, H, W) the group of each pixel; `void` tells whether pixels
    without a label in truth count.
    """
    found = np.zeros((len(truth), len(alphas), number, 2))
    for image, target in enumerate(truth):
        where = (target != IGNORE) | void
        group = labels[image][where]
        for level, alpha in enumerate(alphas):
            found[image, level, :, 0] = np.bincount(group, alpha[image][where], number)
            found[image, level, :, 1] = np.bincount(group, minlength=number)
    return found


def gradient_energy(model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine) -> np.ndarray:
    """Return the energy of each image's loss gradient by class, float64 (B, levels, K, 3), the last axis as `ENERGIES`.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W), weights float32 (K,) of the loss. In float32. Made within
    `detached` or `constant` it is that of the network with such gates.
    """
    across, altogether, arriving = {}, {}, {}

    def at_the_start(level: int) -> Callable:
        def hook(skip, inputs):
            altogether[level], across[level] = inputs[0], inputs[0].clone()
            altogether[level].retain_grad()
            across[level].retain_grad()  # its gradient is that of the skip alone
            return across[level], *inputs[1:]
        return hook

    def at_the_end(level: int) -> Callable:
        def hook(skip, inputs, output):
            arriving[level] = output.clone()  # a skip may return its input itself
            arriving[level].retain_grad()
            return arriving[level]
        return hook

    handles = [skip.register_forward_pre_hook(at_the_start(level)) for level, skip in enumerate(model.skips)]
    handles += [skip.register_forward_hook(at_the_end(level)) for level, skip in enumerate(model.skips)]
    target = targets.to(machine.device).long()
    with torch.enable_grad():
        logits = model(as_image(images.to(machine.device)).contiguous(memory_format=machine.memory_format))
        losses = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum((1, 2))
        losses = losses / (target != IGNORE).sum((1, 2)).clamp(min=1)
        losses.sum().backward()
    for handle in handles:
        handle.remove()
    model.zero_grad(set_to_none=True)
    cells = F.one_hot(torch.where(target == IGNORE, len(weights), target), len(weights) + 1)[..., :-1]  # void: nowhere
    cells, _ = pad_to_multiple(cells.permute(0, 3, 1, 2).float(), 2**model.depth)
    found = np.zeros((len(target), model.depth, len(weights), len(ENERGIES)))
    for level in range(model.depth):
        for column, features in enumerate((across, altogether, arriving)):
            found[:, level, :, column] = _energy(features[level], cells, level)
    return found


def _energy(features: Tensor, cells: Tensor, level: int) -> np.ndarray:
    """Return the level's energy by class: features with gradient (B, C, h, w), classes (B, K, H, W) -> (B, K)."""
    gradient = torch.zeros_like(features) if features.grad is None else features.grad
    shares = F.avg_pool2d(cells, 2**level)
    return torch.einsum("bhw,bkhw->bk", gradient.square().sum(1), shares).double().cpu().numpy()


def detached(model: UNet) -> AbstractContextManager:
    """Let every gate multiply as it does while no gradient flows through its coefficients."""
    return interventions.gating(model, torch.detach)


def constant(model: UNet) -> AbstractContextManager:
    """Replace the coefficients of every gate by their mean over the image, through which no gradient flows."""
    return interventions.gating(model, lambda alpha: interventions.image_mean(alpha).detach())
