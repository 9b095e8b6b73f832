"""Linear probes: what can be read off the features of each level by a linear map (Alain and Bengio 2017).

A probe sees one cell of a feature map and predicts every pixel under it, 2**l x 2**l at level l: were the place of a
pole within its cell coded in the channels, a linear decoder would find it. It predicts the classes (one-hot) and the
outlines of the labels (1 on both sides of a change), by ridge regression in closed form from training images, and is
scored on others. Read are the encoder's levels, the bottleneck, and at each level of the decoder what comes up from
below before the skip adds anything, and the two joined.

What a map of random features already tells is no merit of the training: `untrained` gives the network to compare with.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.data import as_image
from lib.files import IGNORE
from lib.machine import Machine
from lib.metrics import confusion_matrix
from lib.models import UNet, build_model, pad_to_multiple
from lib.structure import outline

RIDGE = 1e-3  # of the features' mean square


def parts(depth: int) -> list[tuple[str, int]]:
    """Names and levels of what is probed: "encoder 0", ..., "bottleneck", "from below 3", "joined 3", ..., "joined 0"."""
    return [*((f"encoder {level}", level) for level in range(depth)), ("bottleneck", depth),
            *((f"{what} {level}", level) for level in reversed(range(depth)) for what in ("from below", "joined"))]


@torch.inference_mode()
def probe(model: UNet, train: list[tuple[Tensor, Tensor]], test: list[tuple[Tensor, Tensor]], weights: Tensor,
          machine: Machine) -> dict[str, np.ndarray]:
    """Batches of images uint8 (B, 3, H, W) and targets uint8 (B, H, W), weights (K,) -> what the probes get right.

    confusions  int32 (parts, N, K, K)   of the test images; scores are weighed as classes are in the loss
    edges       float64 (parts, N, 2)    squared error of the outlines, and that of their mean frequency
    """
    number, depth = len(weights), model.depth
    sums: list = [[0, 0] for _ in parts(depth)]
    for features, wanted in _read(model, train, number, machine):
        for entry, x, (_, level) in zip(sums, features, parts(depth)):
            cells = _cells(x)
            entry[0] = entry[0] + cells.T @ cells
            entry[1] = entry[1] + cells.T @ _rows(F.pixel_unshuffle(wanted, 2**level))
    maps = [_ridge(*entry) for entry in sums]
    mean = float(np.mean([edge_map(target).mean() for _, targets in train for target in targets]))
    confusions, errors = [[] for _ in maps], [[] for _ in maps]
    for (features, _), (images, targets) in zip(_read(model, test, number, machine), test):
        window = pad_to_multiple(images.float(), 2**depth)[1]
        for index, (x, linear, (_, level)) in enumerate(zip(features, maps, parts(depth))):
            cells = (_cells(x) @ linear).view(len(x), *x.shape[-2:], -1).permute(0, 3, 1, 2)
            found = F.pixel_shuffle(cells, 2**level)[window].cpu()  # (B, K + 1, H, W)
            labels = (found[:, :-1].float() * weights.cpu()[:, None, None]).argmax(1)
            confusions[index] += [confusion_matrix(p, t, number).numpy() for p, t in zip(labels, targets)]
            errors[index] += [_errors(e, t, mean) for e, t in zip(found[:, -1].numpy(), targets.numpy())]
    return {"confusions": np.array(confusions, np.int32), "edges": np.array(errors)}


@torch.no_grad()
def untrained(variant: str, base_channels: int, number: int, seed: int, train: list[tuple[Tensor, Tensor]],
              machine: Machine) -> UNet:
    """Return the network of that variant as a training with that seed starts, in evaluation mode.

    Its normalisations have the statistics of the images of `train`, uint8 (B, 3, H, W) each: without any, the features
    of deep levels would be so small that the probes' penalty would hide what they hold. number is that of the classes.
    """
    torch.manual_seed(seed)
    model = machine.place(build_model(variant, num_classes=number, base_channels=base_channels))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    model.train()
    for images, _ in train:
        machine.logits(model, as_image(images.to(machine.device)))
    return model.eval()


def edge_map(target: Tensor) -> np.ndarray:
    """Outlines of the labels, without those that void makes, bool (H, W)."""
    labels = np.asarray(target)
    return outline(labels) & (labels != IGNORE)


def _errors(found: np.ndarray, target: np.ndarray, mean: float) -> np.ndarray:
    wanted, known = edge_map(target), target != IGNORE
    return np.array([np.square(found - wanted)[known].sum(), np.square(mean - wanted)[known].sum()])


def _read(model: UNet, batches: list[tuple[Tensor, Tensor]], number: int,
          machine: Machine) -> Iterator[tuple[list[Tensor], Tensor]]:
    """The features of every part, and the K + 1 maps to be predicted at the padded size, batch by batch."""
    kept: dict[str, Tensor] = {}
    named = {**{(f"encoder {n}" if n < model.depth else "bottleneck"): m for n, m in enumerate(model.encoder)},
             **{f"from below {n}": m for n, m in enumerate(model.ups)}}
    handles = [m.register_forward_hook(lambda m, i, output, name=name: kept.update({name: output}))
               for name, m in named.items()]
    handles += [m.register_forward_pre_hook(lambda m, inputs, name=f"joined {n}": kept.update({name: inputs[0]}))
                for n, m in enumerate(model.decoder)]
    try:
        for images, targets in batches:
            machine.logits(model, as_image(images.to(machine.device)))
            labels = torch.where(targets == IGNORE, number, targets.long())  # void: no class, in no map
            wanted = F.one_hot(labels, number + 1).permute(0, 3, 1, 2)[:, :-1]
            edges = torch.from_numpy(np.stack([edge_map(target) for target in targets]))[:, None]
            wanted = pad_to_multiple(torch.cat([wanted, edges], 1).float(), 2**model.depth)[0]
            yield [kept[name] for name, _ in parts(model.depth)], wanted.to(machine.device)
    finally:
        for handle in handles:
            handle.remove()


def _rows(x: Tensor) -> Tensor:
    """(B, C, h, w) -> float64 (B h w, C)"""
    return x.permute(0, 2, 3, 1).flatten(0, 2).double()


def _cells(x: Tensor) -> Tensor:
    """The features of every cell and a constant: (B, C, h, w) -> float64 (B h w, C + 1)"""
    return F.pad(_rows(x), (0, 1), value=1.0)


def _ridge(gram: Tensor, product: Tensor) -> Tensor:
    """The linear map (C + 1, outputs) that minimises the squared error plus a small multiple of its squared norm."""
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    penalty[-1, -1] = 0  # the constant is free
    return torch.linalg.solve(gram + penalty, product)
