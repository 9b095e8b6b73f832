"""What the gates of a trained network let through, forward and backward, pixel by pixel.

The coefficients are summed by class, by distance to the nearest outline of the labels, and by
whether the pixel is labelled right; also after those of each image were permuted over its pixels.

The energy of the gradient (its square, summed over channels) is taken at the encoder's features,
for what comes back across the skip of that level and for all that comes back, and at the skip's
end; a cell that covers several classes shares its energy out by area. A gate multiplies the
gradient by α and adds what flows through α itself. With α detached only the first is left; with α
replaced by its mean over the image neither is, but the forward pass changes too.
"""

from contextlib import AbstractContextManager, ExitStack
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from lib.files import IGNORE
from lib.machine import Machine
from lib.models import UNet, attention_maps, pad_to_multiple
from lib.structure import outline
from lib.studies import Arrays, Change, at_inputs, at_outputs, on_device, without_gradients
from lib.studies.interventions import gating, image_mean, permuted

DISTANCES = (1, 2, 4, 8, 16)  # px from the nearest outline: bounds above which the next bin begins
PERMUTATIONS = 4  # of every map of coefficients
ENERGIES = ("across the skip", "altogether", "arriving from the decoder")
DISTANCE_NAMES = (
    "on an outline", "1 px", "2 to 3 px", "4 to 7 px", "8 to 15 px", "16 px and more")


@torch.inference_mode()
def coefficient_sums(
    model: UNet, images: Tensor, targets: Tensor, machine: Machine, seed: int = 0
) -> Arrays:
    """Return sums of α over groups of pixels and the pixels' numbers; {} without gates.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W). Groups are the 256 label values, the bins of
    `DISTANCES`, and wrong and right. Void pixels are left out of the last two.

    classes, distances, correct           float64 (B, levels, groups, 2): sums of α, and pixels
    permuted_classes, permuted_distances  float32 (B, levels, groups, `PERMUTATIONS`): sums of α
                                          after random permutations of the level's cells
    """
    image = on_device(images, machine)
    maps = attention_maps(model, image)
    if not maps:
        return {}
    truth = targets.numpy()
    right = (model(image).argmax(1).cpu().numpy() == truth).astype(int)
    bins, number = np.stack([_distance_bins(target) for target in truth]), len(DISTANCES) + 1
    groups = {  # the number of each pixel's group, and of groups
        "classes": (truth, 256),
        "distances": (np.where(truth == IGNORE, number, bins), number),
        "correct": (np.where(truth == IGNORE, 2, right), 2),
    }
    padded, window = pad_to_multiple(image, 2**model.depth)

    def at_pixels(change: Change) -> list[np.ndarray]:
        """Return one map (B, H, W) a level, where every pixel has the coefficient of its cell."""
        cells = [change(alpha.float()) for alpha in maps]
        return [F.interpolate(a, padded.shape[-2:])[window][:, 0].cpu().numpy() for a in cells]

    def summed(name: str, values: list[np.ndarray]) -> np.ndarray:
        """Return sums over the groups of maps (B, H, W), one a level: (B, levels, groups)."""
        return np.stack([_group_sums(level, *groups[name]) for level in values], 1)

    own, ones = at_pixels(torch.clone), [np.ones(truth.shape)] * len(maps)
    shuffles = [at_pixels(partial(permuted, seed=seed + n)) for n in range(PERMUTATIONS)]
    sums = {name: np.stack([summed(name, own), summed(name, ones)], -1) for name in groups}
    for name in ("classes", "distances"):
        shuffled = [summed(name, alphas) for alphas in shuffles]
        sums[f"permuted_{name}"] = np.stack(shuffled, -1).astype(np.float32)
    return sums


def _distance_bins(target: np.ndarray) -> np.ndarray:
    """Return the number of the bin of `DISTANCES` of each pixel, int64 (H, W)."""
    edges = outline(target)
    if not edges.any():
        return np.full(target.shape, len(DISTANCES))
    return np.digitize(ndimage.distance_transform_edt(~edges), DISTANCES)


def _group_sums(values: np.ndarray, groups: np.ndarray, number: int) -> np.ndarray:
    """Return each image's sums over groups 0 to number - 1: two maps (B, H, W) -> (B, groups)."""
    pairs = zip(groups, values)
    return np.stack([np.bincount(g.ravel(), v.ravel(), number)[:number] for g, v in pairs])


def gradient_energy(
    model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine
) -> np.ndarray:
    """Return the energy of each image's loss gradient by class, float64 (B, levels, K, 3).

    images uint8 (B, 3, H, W), targets uint8 (B, H, W), weights float32 (K,) of the loss; the last
    axis is `ENERGIES`. Made within `detached` or `constant` it is that of such gates.
    """
    features: dict[tuple[str, int], Tensor] = {}
    across, altogether, arriving = ENERGIES

    def at_the_start(level: int, x: Tensor) -> Tensor:
        features[altogether, level] = x
        features[across, level] = x.clone()  # whose gradient is that of the skip alone
        return features[across, level]

    def at_the_end(level: int, x: Tensor) -> Tensor:
        features[arriving, level] = x.clone()  # since a skip may return its input itself
        return features[arriving, level]

    target = targets.to(machine.device).long()
    image = on_device(images, machine).requires_grad_()
    with ExitStack() as stack:
        for level, skip in enumerate(model.skips):
            stack.enter_context(at_inputs([skip], partial(at_the_start, level)))
            stack.enter_context(at_outputs([skip], partial(at_the_end, level)))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(without_gradients(model.parameters()))
        losses = F.cross_entropy(
            model(image), target, weights, ignore_index=IGNORE, reduction="none").sum((1, 2))
        for x in features.values():
            x.retain_grad()
        losses = losses / (target != IGNORE).sum((1, 2)).clamp(min=1)
        losses.sum().backward()
    classes = torch.arange(len(weights), device=target.device)[:, None, None]
    cells, _ = pad_to_multiple((target[:, None] == classes).float(), 2**model.depth)
    energies = np.zeros((len(target), model.depth, len(weights), len(ENERGIES)))
    for (name, level), x in features.items():
        energies[:, level, :, ENERGIES.index(name)] = _energy_by_class(x, cells, level)
    return energies


def _energy_by_class(features: Tensor, cells: Tensor, level: int) -> np.ndarray:
    """Return the level's energy by class: features (B, C, h, w), classes (B, K, H, W) -> (B, K)."""
    gradient = torch.zeros_like(features) if features.grad is None else features.grad
    shares = F.avg_pool2d(cells, 2**level)
    energy = torch.einsum("bhw,bkhw->bk", gradient.square().sum(1), shares)
    return energy.double().cpu().numpy()


def detached(model: UNet) -> AbstractContextManager:
    """Let every gate multiply as it does while no gradient flows through its coefficients."""
    return gating(model, torch.detach)


def constant(model: UNet) -> AbstractContextManager:
    """Replace each gate's coefficients by their mean over the image, without a gradient."""
    return gating(model, lambda alpha: image_mean(alpha).detach())
