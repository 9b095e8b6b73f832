"""What the gates of a trained network let through, forward and backward, pixel by pixel.

The coefficients are summed by class, by distance to the nearest outline of the labels, and by
whether the pixel is labelled right; by class and by distance also after the coefficients of each
image were permuted over its pixels, which keeps how they are distributed and takes away where.

The energy of the gradient (its square, summed over channels) is taken at the encoder's features,
once for what comes back across the skip of that level and once for all that comes back, and at the
skip's end, which is what arrives there from the decoder; a cell that covers several classes shares
its energy out by area. It is defined for every network, gated or not. A gate acts on the gradient
twice: it multiplies it by α, and it adds what flows through α itself. With α detached only the
first is left; with α replaced by its mean over the image neither is, but the loss is another one,
since the forward pass changes too. What arrives at the gate and what leaves it belong to one loss.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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

DISTANCES = (1, 2, 4, 8, 16)  # px from the nearest outline: bounds above which the next bin begins
PERMUTATIONS = 4  # of every map of coefficients
ENERGIES = ("across the skip", "altogether", "arriving from the decoder")
DISTANCE_NAMES = (
    "on an outline", "1 px", "2 to 3 px", "4 to 7 px", "8 to 15 px", "16 px and more")
Sums = dict[str, np.ndarray]


@torch.inference_mode()
def coefficient_sums(
    model: UNet, images: Tensor, targets: Tensor, machine: Machine, seed: int = 0
) -> Sums:
    """Return sums of α over groups of pixels and the pixels' numbers; {} without gates.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W). Groups are the 256 label values (`classes`;
    the caller cuts), the bins of `DISTANCES`, and wrong and right (`correct`). Void pixels are left
    out of the last two.

    classes, distances, correct           float64 (B, levels, groups, 2): sum of α, number of pixels
    permuted_classes, permuted_distances  float32 (B, levels, groups, `PERMUTATIONS`): sums of α
                                          after random permutations of the level's cells
    """
    image = as_image(images.to(machine.device))
    image = image.contiguous(memory_format=machine.memory_format)
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
        """Return one map (B, H, W) a level, where every pixel has the coefficient of its cell."""
        cells = [change(alpha.float()) for alpha in maps]
        return [F.interpolate(a, padded.shape[-2:])[window][:, 0].cpu().numpy() for a in cells]

    own = at_pixels(torch.clone)
    sums = {name: _sums(own, truth, *group, name == "classes") for name, group in groups.items()}
    permuted = {"classes": [], "distances": []}
    for number in range(PERMUTATIONS):
        alphas = at_pixels(partial(interventions.permuted, seed=seed + number))
        for name, found in permuted.items():
            found.append(_sums(alphas, truth, *groups[name], name == "classes")[..., 0])
    for name, found in permuted.items():
        sums[f"permuted_{name}"] = np.stack(found, -1).astype(np.float32)
    return sums


def _distance_bins(target: np.ndarray) -> np.ndarray:
    edges = outline(target)
    if not edges.any():
        return np.full(target.shape, len(DISTANCES), np.uint8)
    return np.digitize(ndimage.distance_transform_edt(~edges), DISTANCES).astype(np.uint8)


def _sums(
    alphas: list[np.ndarray], truth: np.ndarray, labels: np.ndarray, number: int, void: bool
) -> np.ndarray:
    """Return sums of α and numbers of pixels of every group, float64 (B, levels, groups, 2).

    alphas holds one map (B, H, W) a level, labels uint8 (B, H, W) the group of each pixel; `void`
    tells whether pixels without a label in truth count.
    """
    sums = np.zeros((len(truth), len(alphas), number, 2))
    for image, target in enumerate(truth):
        where = (target != IGNORE) | void
        group = labels[image][where]
        for level, alpha in enumerate(alphas):
            sums[image, level, :, 0] = np.bincount(group, alpha[image][where], number)
            sums[image, level, :, 1] = np.bincount(group, minlength=number)
    return sums


def gradient_energy(
    model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine
) -> np.ndarray:
    """Return the energy of each image's loss gradient by class, float64 (B, levels, K, 3).

    images uint8 (B, 3, H, W), targets uint8 (B, H, W), weights float32 (K,) of the loss; the last
    axis is `ENERGIES`. In float32. Made within `detached` or `constant` it is that of the network
    with such gates.
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

    handles = []
    for level, skip in enumerate(model.skips):
        handles.append(skip.register_forward_pre_hook(at_the_start(level)))
        handles.append(skip.register_forward_hook(at_the_end(level)))
    target = targets.to(machine.device).long()
    image = as_image(images.to(machine.device))
    image = image.contiguous(memory_format=machine.memory_format).requires_grad_()
    with torch.enable_grad(), _weights_without_gradient(model):
        losses = F.cross_entropy(
            model(image), target, weights, ignore_index=IGNORE, reduction="none").sum((1, 2))
        losses = losses / (target != IGNORE).sum((1, 2)).clamp(min=1)
        losses.sum().backward()
    for handle in handles:
        handle.remove()
    known = torch.where(target == IGNORE, len(weights), target)
    cells = F.one_hot(known, len(weights) + 1)[..., :-1]  # void: nowhere
    cells, _ = pad_to_multiple(cells.permute(0, 3, 1, 2).float(), 2**model.depth)
    energies = np.zeros((len(target), model.depth, len(weights), len(ENERGIES)))
    for level in range(model.depth):
        for column, features in enumerate((across, altogether, arriving)):
            energies[:, level, :, column] = _energy(features[level], cells, level)
    return energies


@contextmanager
def _weights_without_gradient(model: UNet) -> Iterator[None]:
    """Let only features have gradients: those of the weights would cost a third of the pass."""
    needed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in needed:
            parameter.requires_grad_(True)


def _energy(features: Tensor, cells: Tensor, level: int) -> np.ndarray:
    """Return the level's energy by class: features (B, C, h, w), classes (B, K, H, W) -> (B, K)."""
    gradient = torch.zeros_like(features) if features.grad is None else features.grad
    shares = F.avg_pool2d(cells, 2**level)
    energy = torch.einsum("bhw,bkhw->bk", gradient.square().sum(1), shares)
    return energy.double().cpu().numpy()


def detached(model: UNet) -> AbstractContextManager:
    """Let every gate multiply as it does while no gradient flows through its coefficients."""
    return interventions.gating(model, torch.detach)


def constant(model: UNet) -> AbstractContextManager:
    """Replace each gate's coefficients by their mean over the image, without a gradient."""
    return interventions.gating(model, lambda alpha: interventions.image_mean(alpha).detach())
