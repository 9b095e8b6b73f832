"""Linear probes: what a linear map reads off the features of each level (Alain and Bengio 2017).

A probe sees one cell of a feature map and predicts every pixel under it, 2**l x 2**l at level l:
the classes (one-hot) and the outlines of the labels (1 on both sides of a change). It is made by
ridge regression in closed form from training images and scored on others. Read are the encoder's
levels, the bottleneck, and at each level of the decoder what comes up from below before the skip
adds anything, and the two joined. What random features already tell is no merit of the training:
`untrained_network` is the one to compare with.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

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
from lib.studies import Arrays, Batches, at_inputs, at_outputs

RIDGE = 1e-3  # of the features' mean square


def probed_parts(depth: int) -> list[tuple[str, int]]:
    """Return names and levels: "encoder 0", ..., "bottleneck", "from below 3", "joined 3", ..."""
    names = [(f"encoder {level}", level) for level in range(depth)] + [("bottleneck", depth)]
    for level in reversed(range(depth)):
        names += [(f"from below {level}", level), (f"joined {level}", level)]
    return names


@torch.inference_mode()
def probe(
    model: UNet, train: Batches, test: Batches, weights: Tensor, machine: Machine
) -> Arrays:
    """Return what the probes, made on the training batches, get right on the test batches.

    confusions  int32 (parts, N, K, K)   scores are weighed by `weights` (K,), as in the loss
    edges       float64 (parts, N, 2)    squared error of the outlines, and of their mean frequency
    """
    classes = len(weights)
    maps = _linear_maps(model, train, classes, machine)
    mean = float(np.mean([edge_map(target).mean() for _, targets in train for target in targets]))
    confusions, errors = [[] for _ in maps], [[] for _ in maps]
    read = _features_and_maps(model, test, classes, machine)
    for (features, _), (images, targets) in zip(read, test):
        window = pad_to_multiple(images.float(), 2**model.depth)[1]
        for index, (x, linear) in enumerate(zip(features, maps)):
            level = probed_parts(model.depth)[index][1]
            cells = (_with_constant(x) @ linear).view(len(x), *x.shape[-2:], -1).permute(0, 3, 1, 2)
            predicted = F.pixel_shuffle(cells, 2**level)[window]  # (B, K + 1, H, W)
            labels = (predicted[:, :-1].float() * weights[:, None, None]).argmax(1).cpu()
            edges = predicted[:, -1].cpu().numpy()
            for p, e, t in zip(labels, edges, targets):
                confusions[index].append(confusion_matrix(p, t, classes).numpy())
                errors[index].append(_squared_errors(e, t.numpy(), mean))
    return {"confusions": np.array(confusions, np.int32), "edges": np.array(errors)}


def _linear_maps(model: UNet, train: Batches, number: int, machine: Machine) -> list[Tensor]:
    """Return the linear map of every part, (C + 1, outputs): ridge regression."""
    sums = [[0, 0] for _ in probed_parts(model.depth)]
    for features, wanted in _features_and_maps(model, train, number, machine):
        for entry, x, (_, level) in zip(sums, features, probed_parts(model.depth)):
            cells = _with_constant(x)
            entry[0] = entry[0] + cells.T @ cells
            entry[1] = entry[1] + cells.T @ _rows(F.pixel_unshuffle(wanted, 2**level))
    maps = []
    for gram, product in sums:
        identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        penalty = RIDGE * gram.diagonal().mean() * identity
        penalty[-1, -1] = 0  # the constant is free
        maps.append(torch.linalg.solve(gram + penalty, product))
    return maps


@torch.no_grad()
def untrained_network(
    variant: str, base_channels: int, number: int, seed: int, train: Batches, machine: Machine
) -> UNet:
    """Return the network for that number of classes as a training with that seed starts.

    It is in evaluation mode, with the statistics of the images of `train`: without any, the
    features of deep levels would be so small that the probes' penalty would hide what they hold.
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


def edge_map(target: Tensor | np.ndarray) -> np.ndarray:
    """Return the outlines of the labels, without those that void makes, bool (H, W)."""
    labels = np.asarray(target)
    return outline(labels) & (labels != IGNORE)


def _squared_errors(predicted: np.ndarray, target: np.ndarray, mean: float) -> np.ndarray:
    """Return the squared errors of predicted outlines and of their mean frequency, (2,)."""
    wanted, known = edge_map(target), target != IGNORE
    return np.array([np.square(guess - wanted)[known].sum() for guess in (predicted, mean)])


def _features_and_maps(
    model: UNet, batches: Batches, number: int, machine: Machine
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Yield each batch's features of every part, and the K + 1 maps to be predicted, padded."""
    features: dict[str, Tensor] = {}
    names, save = [name for name, _ in probed_parts(model.depth)], features.__setitem__
    with ExitStack() as stack:
        for name, block in zip(names, model.encoder):
            stack.enter_context(at_outputs([block], partial(save, name)))
        for level, (up, block) in enumerate(zip(model.ups, model.decoder)):
            stack.enter_context(at_outputs([up], partial(save, f"from below {level}")))
            stack.enter_context(at_inputs([block], partial(save, f"joined {level}")))
        for images, targets in batches:
            machine.logits(model, as_image(images.to(machine.device)))
            wanted = _maps_to_predict(targets, number, 2**model.depth)
            yield [features[name] for name in names], wanted.to(machine.device)


def _maps_to_predict(targets: Tensor, number: int, multiple: int) -> Tensor:
    """Return the classes and the outlines, float32 (B, K + 1, H, W) with padded sides."""
    classes = targets[:, None] == torch.arange(number)[:, None, None]  # void: in no map
    edges = torch.from_numpy(np.stack([edge_map(target) for target in targets]))[:, None]
    return pad_to_multiple(torch.cat([classes, edges], 1).float(), multiple)[0]


def _rows(x: Tensor) -> Tensor:
    """Return the cells of maps as rows: (B, C, h, w) -> float64 (B h w, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2).double()


def _with_constant(x: Tensor) -> Tensor:
    """Return the features of every cell and a constant: (B, C, h, w) -> float64 (B h w, C + 1)."""
    return F.pad(_rows(x), (0, 1), value=1.0)
