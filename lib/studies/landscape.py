"""The loss around a trained network: filter-normalised slices (Li et al. 2018), and its spectrum.

A slice plots the loss on a fixed batch over two random directions. Each filter of a direction is
scaled to the norm of the network's own filter; biases and normalisations stay. The smallest and the
largest eigenvalue of the Hessian stand beside it, by Lanczos's method on Hessian-vector products
(Pearlmutter 1994): in the network's own coordinates, and in filter-normalised ones, in which a step
of 1 along a filter's direction is as long as the filter. The loss is the weighted cross-entropy,
and the network is evaluated as at test time.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import eigh_tridiagonal
from torch import Tensor, nn

from lib.data import as_image
from lib.files import IGNORE
from lib.machine import Machine
from lib.metrics import cross_entropy
from lib.models import UNet
from lib.studies import Arrays, Batches, on_device, without_gradients

GRID = np.linspace(-1, 1, 9)  # of both directions; 0 is the network itself
STEPS = 40  # of Lanczos at most
TOLERANCE = 0.05  # of an eigenvalue: the residual from which on it is precise enough


def filters(model: nn.Module) -> list[tuple[nn.Parameter, tuple[int, ...]]]:
    """Return every convolution weight, with the dimensions of what makes one output channel."""
    weights = []
    for layer in model.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            weights.append((layer.weight, (0, 2, 3)))
        elif isinstance(layer, nn.Conv2d):
            weights.append((layer.weight, (1, 2, 3)))
    return weights


def _norms(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    return tensor.detach().square().sum(dims, keepdim=True).sqrt()


def _direction(model: nn.Module, generator: torch.Generator) -> list[Tensor]:
    """Return a random direction with filters as long as the network's own."""
    direction = []
    for weight, dims in filters(model):
        random = torch.randn(weight.shape, generator=generator).to(weight.device)
        direction.append(random * _norms(weight, dims) / _norms(random, dims))
    return direction


@torch.no_grad()
def loss_slice(
    model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine, seed: int
) -> np.ndarray:
    """Return the loss in nats per pixel over `GRID` x `GRID`, float32.

    images uint8 (B, 3, H, W), targets uint8 (B, H, W), weights (K,).
    """
    image, target = as_image(images.to(machine.device)), targets.to(machine.device).long()
    generator = torch.Generator().manual_seed(seed)
    first, second = _direction(model, generator), _direction(model, generator)
    own = [weight.clone() for weight, _ in filters(model)]
    losses = []
    for x, y in product(GRID, GRID):
        for (weight, _), w, a, b in zip(filters(model), own, first, second):
            weight.copy_(w + x * a + y * b)
        losses.append(cross_entropy(machine.logits(model, image), target, weights))
    for (weight, _), w in zip(filters(model), own):
        weight.copy_(w)
    return torch.stack(losses).view(len(GRID), len(GRID)).cpu().numpy()


def spectra(
    model: UNet, batches: Batches, weights: Tensor, machine: Machine, seed: int
) -> tuple[Arrays, Arrays]:
    """Return both ends of the Hessian's spectrum, in raw and in normalised coordinates.

    Of the latter, of which the largest curvature is read, only the largest end is waited for.
    weights (K,) are those of the loss. The Hessian is that of the mean loss over all batches and
    all convolution weights, in nats per pixel by squared weight, and by squared multiple of each
    filter's own norm. Each batch keeps the graph of its gradient in memory.
    """
    parameters = [weight for weight, _ in filters(model)]
    sizes = [weight.numel() for weight in parameters]
    with without_gradients(set(model.parameters()) - set(parameters)):
        gradients = _gradients(model, parameters, batches, weights, machine)

        def hessian(vector: Tensor) -> Tensor:
            parts = vector.split(sizes)
            direction = [part.view(p.shape) for part, p in zip(parts, parameters)]
            total = torch.zeros_like(vector)
            for gradient in gradients:
                second = torch.autograd.grad(gradient, parameters, direction, retain_graph=True)
                total += torch.cat([part.flatten() for part in second])
            return total

        norms = [_norms(weight, dims).expand_as(weight) for weight, dims in filters(model)]
        norms = torch.cat([part.flatten() for part in norms])
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(len(norms), generator=generator).to(norms)
        raw = lanczos(hessian, start)
        return raw, lanczos(lambda vector: norms * hessian(norms * vector), start, ends=[-1])


def _gradients(
    model: UNet, parameters: list[nn.Parameter], batches: Batches, weights: Tensor, machine: Machine
) -> list[tuple[Tensor, ...]]:
    """Return every batch's share of the gradient of the mean loss, each with its graph."""
    by_label = F.pad(weights, (0, IGNORE + 1 - len(weights))).cpu()
    known = [by_label[target.long()].sum().item() for _, target in batches]
    gradients = []
    for (images, targets), weight in zip(batches, known):
        logits = model(on_device(images, machine))
        loss = cross_entropy(logits, targets.to(machine.device).long(), weights)
        share = loss * (weight / sum(known))
        gradients.append(torch.autograd.grad(share, parameters, create_graph=True))
    return gradients


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, ends: Sequence[int] = (0, -1)
) -> Arrays:
    """Return both ends of the spectrum of a symmetric matrix, known by its products with (n,).

    values     float64 (STEPS, 2)  the smallest and the largest Ritz value after each step, those of
                                   the last step also for the steps that were not needed
    residuals  float64 (2,)        the norm of A y - theta y for the final two: an eigenvalue is as
                                   near at least

    The method of Lanczos (1950), every new vector orthogonalised twice against all before it, since
    rounding brings converged vectors back as copies (Paige 1972). It ends when the
    residuals of the ends that are wanted, the smallest (0) and the largest (-1) eigenvalue, are
    below `TOLERANCE` of their values, or after `STEPS`.
    """
    basis = [start / start.norm()]
    diagonal, beside = [], []
    values = np.zeros((STEPS, 2))
    for step in range(STEPS):
        vector = product(basis[-1])
        diagonal.append(torch.dot(vector, basis[-1]).item())
        for earlier in basis * 2:
            vector -= torch.dot(vector, earlier) * earlier
        length = vector.norm().item()
        ritz, vectors = eigh_tridiagonal(diagonal, beside)
        values[step:] = ritz[0], ritz[-1]
        residuals = length * np.abs(vectors[-1, [0, -1]])
        precise = residuals <= TOLERANCE * np.abs(values[step])
        if step > 0 and precise[list(ends)].all():
            break
        basis.append(vector / length)
        beside.append(length)
    return {"values": values, "residuals": residuals}
