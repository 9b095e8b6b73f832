"""What is measured of a network, and how that is put on record.

While it is trained, at a few fixed steps: how the gradient reaches every level. For each block the
convolutions' weights are taken as one vector w, and recorded are the norm of its gradient, of w itself,
and of the update that the optimiser makes of the gradient. Observing changes no bit of the training.

When it is tested: one pass over whole images, with one confusion matrix and one loss for each, which
serves validation and test alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from lib.data import Dataset, as_image
from lib.files import IGNORE, read_state, write_arrays, write_image, write_json
from lib.machine import Machine, commit, enough_memory, in_processes, versions
from lib.models import UNet, attention_maps, build_model, multiply_adds
from lib.records import EDITION, RECORD, STRUCTURE, Run
from lib.structure import pack, structure_counts

WEIGHTS = "weights.pt"
BATCH = 8  # images in one evaluation pass
ROUNDED = 0.001  # share of the pixels that another machine's rounding may label otherwise
SAMPLES = 24  # steps of a training at which norms are taken, evenly spaced, the first and the last among them
NORMS = ("gradient", "weight", "update")
EXAMPLES = 6  # fixed test images, evenly spaced over the test set


@enough_memory(f"no memory left to label {BATCH} whole images at a time; set a smaller image_size")
@torch.inference_mode()
def evaluate(model: UNet, dataset: Dataset, weights: Tensor, machine: Machine,
             share: slice = slice(None)) -> tuple[Tensor, Tensor, np.ndarray]:
    """Confusion matrix of each image, int64 (N, K, K); its loss, float64 (N, 2); predictions, uint8 (N, H, W).

    The loss is the weighted sum of nats over an image's pixels and the sum of their weights: one over the other is the
    image's loss in nats per pixel, the sums over all images give the split's. Counted on the device, which is waited
    for once, at the end. `share` is the part of the split that is evaluated.
    """
    model.eval()
    images, targets, classes = dataset.images[share], dataset.targets[share], len(dataset.classes)
    if machine.keeps(images.nbytes + targets.nbytes):
        images, targets = images.to(machine.device), targets.to(machine.device)
    predictions = torch.empty_like(targets, device=machine.device)
    cells = torch.zeros(len(targets), classes**2 + 1, dtype=torch.int64, device=machine.device)  # the last one: void
    nats = torch.zeros(len(targets), dtype=torch.float64, device=machine.device)
    for start in range(0, len(targets), BATCH):
        batch = slice(start, start + BATCH)
        image, target = as_image(images[batch].to(machine.device)), targets[batch].to(machine.device).long()
        logits = machine.logits(model, image)
        nats[batch] = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum((1, 2)).double()
        predictions[batch] = labels = logits.argmax(1)
        cell = torch.where(target == IGNORE, classes**2, target * classes + labels).flatten(1)
        cells[batch].scatter_add_(1, cell, torch.ones_like(cell))
    confusions = cells[:, :-1].view(-1, classes, classes)
    weight = (confusions.sum(2) * weights.double()).sum(1)
    return confusions.cpu(), torch.stack([nats, weight], 1).cpu(), predictions.cpu().numpy()


def mean_loss(losses: Tensor) -> float:
    """Nats per pixel over all images, of the sums (N, 2) that `evaluate` gives; NaN where there is nothing but void."""
    nats, weight = losses.sum(0)
    return (nats / weight).item()


@torch.inference_mode()
def write_record(config, folder: Path, machine: Machine, history: list[dict], weights: Tensor,
                 splits: dict[str, Dataset]) -> None:
    """Tests the network of a finished training and writes its record, the record itself last."""
    test = splits["test"]
    model = machine.place(load_model(folder, config.variant, config.base_channels, len(test.classes)))
    confusions, losses, predictions = evaluate(model, test, weights, machine)
    write_arrays(folder / "predictions.npz", labels=predictions, names=np.array(test.items))
    drives, frames = zip(*test.frames)
    write_arrays(folder / "confusions.npz", per_image=confusions.numpy().astype(np.int32), loss=losses.numpy(),
                 names=np.array(test.items), drives=np.array(drives), frames=np.array(frames))
    write_structure(folder, predictions, test)
    examples = np.unique(np.linspace(0, len(test) - 1, EXAMPLES).round().astype(int))
    for index in examples:
        name, shared = test.items[index], folder.parent.parent / "examples"
        write_image(folder / "predictions" / f"{name}.png", predictions[index], test.classes)
        write_image(shared / f"{name}.png", test.targets[index].numpy(), test.classes)
        write_image(shared / f"{name}.webp", test.images[index].permute(1, 2, 0).numpy())
    maps = attention_maps(model, as_image(test.images[examples].to(machine.device)))  # [] without gates
    if maps:
        levels = {f"level{level}": (255 * alpha[:, 0]).round().byte().cpu().numpy() for level, alpha in enumerate(maps)}
        write_arrays(folder / "attention.npz", **levels)
    write_json(folder / RECORD, {
        "edition": EDITION, "variant": config.variant, "seed": config.seed, "config": asdict(config),
        "dataset": _describe(config.dataset, splits),
        "history": history,
        "test_loss": mean_loss(losses),
        "test_confusion": confusions.sum(0).tolist(),
        "examples": [test.items[index] for index in examples],
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": multiply_adds(model, test.targets.shape[1:]),
        "seconds": sum(row["seconds"] for row in history),
        "peak_memory_mib": machine.peak_memory_mib(),
        "device": machine.name, "precision": machine.precision,
        "versions": versions(), "commit": commit(),
    })


def write_structure(folder: Path, predictions: np.ndarray, test: Dataset) -> None:
    """Write the counts of `lib.structure` for predictions uint8 (N, H, W) of all test images."""
    classes = [len(test.classes)] * len(test)
    images = list(in_processes(structure_counts, predictions, test.targets.numpy(), classes))
    counts = {name: np.stack([image[name] for image in images]) for name in images[0]}
    write_arrays(folder / STRUCTURE, **pack(counts))


def write_predictions(run: Run, test: Dataset) -> None:
    """predictions.npz of a recorded run from its checkpoint; ValueError when they are not those on record."""
    machine = Machine.detect()
    model = machine.place(load_model(run.folder, run.variant, run.config["base_channels"], len(test.classes)))
    weights = torch.ones(len(test.classes), device=machine.device)
    confusions, _, predictions = evaluate(model, test, weights, machine)
    if (moved := np.abs(confusions.sum(0).numpy() - run.confusion).sum() / 2) > ROUNDED * run.confusion.sum():
        raise ValueError(f"{run.folder / WEIGHTS}: {moved:.0f} pixels are labelled otherwise than on record; "
                         "expected the same weights and the same test images")
    write_arrays(run.folder / "predictions.npz", labels=predictions, names=np.array(test.items))


def _describe(name: str, splits: dict[str, Dataset]) -> dict:
    classes = splits["test"].classes
    return {
        "name": name,
        "size": list(splits["test"].targets.shape[1:]),
        "classes": [{"name": n, "color": list(c)} for n, c in zip(classes.names, classes.colors)],
        "checksums": {split: dataset.checksum for split, dataset in splits.items()},
        "counts": {split: len(dataset) for split, dataset in splits.items()},
        "pixels": {split: dataset.pixels_per_class().tolist() for split, dataset in splits.items()},
        "drawn": {split: data.source.sampled for split, data in splits.items() if data.source.sampled},
        "available": {split: dataset.available for split, dataset in splits.items()},
        "original_size": list(splits["train"].original_size),
        "title": splits["test"].title,
        "about": splits["test"].about,
    }


def load_model(folder: Path, variant: str, base_channels: int, num_classes: int) -> UNet:
    """The network with the weights that its training ended with, in evaluation mode, on the CPU.

    Raises ValueError for a file that is damaged or holds more than weights.
    """
    model = build_model(variant, num_classes=num_classes, base_channels=base_channels)
    model.load_state_dict(read_state(folder / WEIGHTS))
    return model.eval()


def blocks(model: nn.Module) -> dict[str, list[Tensor]]:
    """The convolution weights of every block, in the order of the forward pass: "encoder 0", ..., "decoder 0"."""
    named = [(f"encoder {level}", block) for level, block in enumerate(model.encoder)]
    named += [(f"decoder {level}", block) for level, block in reversed(list(enumerate(model.decoder)))]
    return {name: [w for w in block.parameters() if w.ndim == 4] for name, block in named}


class GradientLog:
    """The norms of one training: `with log.step(n): optimiser.step()`, n counting from 0."""

    def __init__(self, model: nn.Module, total_steps: int):
        self.weights = blocks(model)
        self.chosen = set(np.linspace(0, total_steps - 1, min(SAMPLES, total_steps)).round().astype(int).tolist())
        self.taken: dict[int, Tensor] = {}  # step -> (3, blocks)

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around the optimiser's step, after the backward pass."""
        if number not in self.chosen:
            yield
            return
        before = [[w.detach().clone() for w in weights] for weights in self.weights.values()]
        gradient = [get_total_norm([w.grad for w in weights]) for weights in self.weights.values()]
        yield
        update = [get_total_norm([w.detach() - old for w, old in zip(weights, olds)])
                  for weights, olds in zip(self.weights.values(), before)]
        self.taken[number] = torch.stack([torch.stack(norms) for norms in (gradient, [*map(get_total_norm, before)], update)])

    def state_dict(self) -> dict:
        return {"taken": {number: norms.cpu() for number, norms in self.taken.items()}}

    def load_state_dict(self, state: dict) -> None:
        self.taken = dict(state["taken"])

    def arrays(self) -> dict[str, np.ndarray]:
        """steps (S,), blocks (L,) by name, and each of `NORMS` as float32 (S, L)."""
        steps = sorted(self.taken)
        norms = np.array([self.taken[step].cpu().numpy() for step in steps]).reshape(-1, len(NORMS), len(self.weights))
        columns = {name: norms[:, index] for index, name in enumerate(NORMS)}
        return {"steps": np.array(steps), "blocks": np.array(list(self.weights)), **columns}
