"""What the gates of a trained network let through, forward and backward, pixel by pixel.

The coefficients are summed by class, by distance to the nearest outline of the labels, and by whether the pixel is
labelled right. The energy of the gradient (its square, summed over channels) is taken at the encoder's features, once
for what comes back across the skip of that level and once for all that comes back; a cell that covers several
classes shares its energy out by area. The latter is defined for every network, gated or not.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from lib.classes import IGNORE
from lib.data import as_image
from lib.machine import Machine
from lib.models import UNet, attention_maps, pad_to_multiple
from lib.structure import outline

DISTANCES = (1, 2, 4, 8, 16)  # px from the nearest outline: a pixel belongs to the first bin whose bound exceeds it
DISTANCE_NAMES = ("on an outline", "1 px", "2 to 3 px", "4 to 7 px", "8 to 15 px", "16 px and more")


@torch.inference_mode()
def coefficient_sums(model: UNet, images: Tensor, targets: Tensor, machine: Machine) -> dict[str, np.ndarray]:
    """Sums of α and numbers of pixels, float64 (B, levels, groups, 2); {} for a network without gates.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W). Groups are the 256 label values (`classes`; the caller cuts),
    the bins of `DISTANCES`, and wrong and right (`correct`). Void pixels are left out of the last two.
    """
    image = as_image(images.to(machine.device))
    maps = attention_maps(model, image)
    if not maps:
        return {}
    truth = targets.numpy()
    right = model(image).argmax(1).cpu().numpy() == truth
    groups = {"classes": (truth, 256), "distances": (np.stack([_distance_bins(t) for t in truth]), len(DISTANCES) + 1),
              "correct": (right.astype(np.uint8), 2)}
    padded, window = pad_to_multiple(image, 2**model.depth)
    # Every pixel has the coefficient of its cell.
    alphas = [F.interpolate(alpha.float(), padded.shape[-2:])[window][:, 0].cpu().numpy() for alpha in maps]
    known = truth != IGNORE
    return {name: np.array([[_sums(alpha[i], labels[i], number, known[i] | (name == "classes")) for alpha in alphas]
                            for i in range(len(truth))]) for name, (labels, number) in groups.items()}


def _distance_bins(target: np.ndarray) -> np.ndarray:
    edges = outline(target)
    if not edges.any():
        return np.full(target.shape, len(DISTANCES), np.uint8)
    return np.digitize(ndimage.distance_transform_edt(~edges), DISTANCES).astype(np.uint8)


def _sums(alpha: np.ndarray, labels: np.ndarray, number: int, where: np.ndarray) -> np.ndarray:
    labels, alpha = labels[where], alpha[where]
    return np.stack([np.bincount(labels, alpha, number), np.bincount(labels, minlength=number)], -1)


def gradient_energy(model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine) -> np.ndarray:
    """Energy of each image's loss gradient by class, float64 (B, levels, K, 2): across the skip, and altogether.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W), weights float32 (K,) of the loss. In float32.
    """
    whole, branch = {}, {}

    def keep(level: int):
        def hook(skip, inputs):
            whole[level], branch[level] = inputs[0], inputs[0].clone()
            whole[level].retain_grad()
            branch[level].retain_grad()  # its gradient is that of the skip alone
            return branch[level], *inputs[1:]
        return hook

    handles = [skip.register_forward_pre_hook(keep(level)) for level, skip in enumerate(model.skips)]
    target = targets.to(machine.device).long()
    with torch.enable_grad():
        logits = model(as_image(images.to(machine.device)))
        losses = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum((1, 2))
        losses = losses / (target != IGNORE).sum((1, 2)).clamp(min=1)
        losses.sum().backward()
    for handle in handles:
        handle.remove()
    model.zero_grad(set_to_none=True)
    cells = F.one_hot(torch.where(target == IGNORE, len(weights), target), len(weights) + 1)[..., :-1]  # void: nowhere
    cells, _ = pad_to_multiple(cells.permute(0, 3, 1, 2).float(), 2**model.depth)
    energy = [[_energy(part.get(level), cells, level) for part in (branch, whole)] for level in range(model.depth)]
    return np.moveaxis(np.array(energy), (0, 1, 2), (1, 3, 0))


def _energy(features: Tensor, cells: Tensor, level: int) -> np.ndarray:
    """(levels' features with gradient (B, C, h, w), classes (B, K, H, W)) -> (B, K)"""
    gradient = torch.zeros_like(features) if features.grad is None else features.grad
    shares = F.avg_pool2d(cells, 2**level)
    return torch.einsum("bhw,bkhw->bk", gradient.square().sum(1), shares).double().cpu().numpy()
