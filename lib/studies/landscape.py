"""The loss around a trained network: filter-normalised slices (Li et al. 2018) and the largest curvature.

A slice plots the loss on a fixed batch over two random directions. Each filter of a direction is scaled to the norm of
the network's own filter; biases and normalisations stay. Such a picture shows two directions of millions, so the
largest eigenvalue of the Hessian stands beside it, found by power iteration on Hessian-vector products (Pearlmutter
1994): in the network's own coordinates, which rescaled filters would change without changing the network, and in
filter-normalised ones, in which a step of 1 along a filter's direction is as long as the filter (the slice's own).

The loss is the weighted cross-entropy, whatever else a training adds to it, and the network is evaluated as at test
time, with the running statistics of its normalisations.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lib.data import as_image
from lib.machine import Machine
from lib.models import UNet
from lib.recipe import cross_entropy

GRID = np.linspace(-1, 1, 9)  # of both directions; 0 is the network itself
ITERATIONS = 10


def filters(model: nn.Module) -> list[tuple[nn.Parameter, tuple[int, ...]]]:
    """Every convolution weight, with the dimensions over which one filter (of one output channel) extends."""
    return [(layer.weight, (0, 2, 3) if isinstance(layer, nn.ConvTranspose2d) else (1, 2, 3))
            for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]


def _norms(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    return tensor.detach().square().sum(dims, keepdim=True).sqrt()


def _direction(model: nn.Module, generator: torch.Generator) -> list[Tensor]:
    """A random direction with filters as long as the network's own."""
    drawn = [torch.randn(weight.shape, generator=generator).to(weight.device) for weight, _ in filters(model)]
    return [d * _norms(weight, dims) / _norms(d, dims) for d, (weight, dims) in zip(drawn, filters(model))]


@torch.no_grad()
def loss_slice(model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine, seed: int) -> np.ndarray:
    """Loss in nats per pixel over `GRID` x `GRID`, float32; images uint8 (B, 3, H, W), targets uint8 (B, H, W)."""
    image, target = as_image(images.to(machine.device)), targets.to(machine.device).long()
    generator = torch.Generator().manual_seed(seed)
    first, second = _direction(model, generator), _direction(model, generator)
    own = [weight.clone() for weight, _ in filters(model)]
    losses = []
    for x in GRID:
        for y in GRID:
            for (weight, _), w, a, b in zip(filters(model), own, first, second):
                weight.copy_(w + x * a + y * b)
            losses.append(cross_entropy(machine.logits(model, image), target, weights))
    for (weight, _), w in zip(filters(model), own):
        weight.copy_(w)
    return torch.stack(losses).view(len(GRID), len(GRID)).cpu().numpy()


def top_curvature(model: UNet, images: Tensor, targets: Tensor, weights: Tensor, machine: Machine, seed: int,
                  normalised: bool) -> np.ndarray:
    """Rayleigh quotients of the Hessian of the loss over `ITERATIONS` steps of power iteration, float64.

    The last is the eigenvalue of the largest magnitude once they have settled. In float32.
    """
    parameters = [weight for weight, _ in filters(model)]
    scale = [_norms(weight, dims) if normalised else torch.ones_like(weight) for weight, dims in filters(model)]
    with torch.enable_grad():
        loss = cross_entropy(model(as_image(images.to(machine.device))), targets.to(machine.device).long(), weights)
        gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    generator = torch.Generator().manual_seed(seed)
    vector = _unit([torch.randn(p.shape, generator=generator).to(p.device) for p in parameters])
    quotients = []
    for _ in range(ITERATIONS):
        scaled = [v * s for v, s in zip(vector, scale)]
        product = torch.autograd.grad(gradient, parameters, scaled, retain_graph=True)
        product = [p * s for p, s in zip(product, scale)]
        quotients.append(sum((v * p).double().sum() for v, p in zip(vector, product)).item())
        vector = _unit(product)
    return np.array(quotients)


def _unit(vector: list[Tensor]) -> list[Tensor]:
    length = torch.nn.utils.get_total_norm(vector).clamp(min=torch.finfo(torch.float32).tiny)
    return [part / length for part in vector]
