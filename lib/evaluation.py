"""What is measured of a network, and how that is put on record.

While it is trained, at a few fixed steps: the norms of every block's convolution weights as one
vector, of its gradient, and of the optimiser's update. Observing changes no bit of the training.
In validation and test: one confusion matrix and one loss for each whole image.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from lib.config import TrainConfig
from lib.data import Dataset, as_image, evenly_spaced
from lib.datasets.dataset import described
from lib.datasets.processes import in_processes
from lib.files import IGNORE, write_arrays, write_image, write_json
from lib.machine import Machine, enough_memory, provenance
from lib.models import UNet, attention_maps, multiply_adds
from lib.records import RECORD, STRUCTURE, edition_of
from lib.structure import pack_counts, structure_counts

BATCH = 8  # images in one evaluation pass
SAMPLES = 24  # steps at which norms are taken, evenly spaced, the first and the last among them
NORMS = ("gradient", "weight", "update")
EXAMPLES = 6  # fixed test images, evenly spaced over the test set


def blocks(model: nn.Module) -> dict[str, list[Tensor]]:
    """Return the convolution weights of every block, in the order of the forward pass, by name."""
    named = [(f"encoder {level}", block) for level, block in enumerate(model.encoder)]
    named += [(f"decoder {level}", block) for level, block in enumerate(model.decoder)][::-1]
    return {name: [w for w in block.parameters() if w.ndim == 4] for name, block in named}


class GradientLog:
    """The norms of one training: `with log.step(n): optimiser.step()`, n counting from 0."""

    def __init__(self, model: nn.Module, total_steps: int):
        self.weights = blocks(model)
        self.chosen = set(evenly_spaced(total_steps, SAMPLES).tolist())
        self.taken: dict[int, Tensor] = {}  # step -> (3, blocks)

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Take the norms around the optimiser's step, after the backward pass."""
        if number not in self.chosen:
            yield
            return
        before = {w: w.detach().clone() for weights in self.weights.values() for w in weights}
        gradients = self._norms(lambda w: w.grad)
        weights = self._norms(before.get)
        yield
        updates = self._norms(lambda w: w.detach() - before[w])
        self.taken[number] = torch.tensor([gradients, weights, updates])

    def _norms(self, read: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Return for every block the norm of what is read of its weights, as one vector."""
        return [get_total_norm([read(w) for w in weights]) for weights in self.weights.values()]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return steps (S,), blocks (L,) by name, and each of `NORMS` as float32 (S, L)."""
        norms = np.array([norms.tolist() for norms in self.taken.values()], np.float32)
        norms = norms.reshape(len(self.taken), len(NORMS), len(self.weights))
        columns = dict(zip(NORMS, norms.swapaxes(0, 1)))
        return {"steps": np.array([*self.taken]), "blocks": np.array([*self.weights]), **columns}


@enough_memory(f"no memory left to label {BATCH} whole images at a time; set a smaller image_size")
@torch.inference_mode()
def evaluate(
    model: UNet, dataset: Dataset, weights: Tensor, machine: Machine, share: slice = slice(None)
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Return confusion matrices int64 (N, K, K), losses float64 (N, 2), labels uint8 (N, H, W).

    An image's loss is the weighted sum of nats over its pixels and the sum of their weights.
    `share` is the part evaluated. The device is waited for once, at the end.
    """
    model.eval()
    device, classes = machine.device, len(dataset.classes)
    images, targets = machine.hold(dataset.images[share], dataset.targets[share])
    count, void = len(targets), classes**2
    predictions = torch.empty_like(targets, device=device)
    cells = torch.zeros(count, void + 1, dtype=torch.int64, device=device)  # the last: void
    nats = torch.zeros(count, dtype=torch.float64, device=device)
    for start in range(0, count, BATCH):
        # The last batch is filled up with its last image: another shape would cost another tuning.
        batch = torch.arange(start, start + min(BATCH, count)).clamp(max=count - 1)
        image = as_image(machine.rows(images, batch))
        target = machine.rows(targets, batch).long()
        logits, batch = machine.logits(model, image), batch.to(device)
        loss = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none")
        nats[batch] = loss.sum((1, 2)).double()
        labels = logits.argmax(1)
        predictions[batch] = labels.byte()
        cell = torch.where(target == IGNORE, void, target * classes + labels).flatten(1)
        cells[batch] = torch.zeros_like(cells[batch]).scatter_add_(1, cell, torch.ones_like(cell))
    confusions = cells[:, :-1].view(-1, classes, classes)
    weight = (confusions.sum(2) * weights.double()).sum(1)
    return confusions.cpu(), torch.stack([nats, weight], 1).cpu(), predictions.cpu().numpy()


@torch.inference_mode()
def write_record(
    config: TrainConfig, folder: Path, machine: Machine, model: UNet, history: list[dict],
    weights: Tensor, splits: dict[str, Dataset],
) -> None:
    """Test the network of a finished training and write its record, the record itself last."""
    test = splits["test"]
    confusions, losses, predictions = evaluate(model, test, weights, machine)
    nats, weight = losses.sum(0).tolist()
    names, (drives, frames) = np.array(test.items), zip(*test.frames)
    write_arrays(folder / "predictions.npz", labels=predictions, names=names)
    write_arrays(
        folder / "confusions.npz", per_image=confusions.numpy().astype(np.int32),
        loss=losses.numpy(), names=names, drives=np.array(drives), frames=np.array(frames))
    write_structure(folder, predictions, test)
    examples, shared = evenly_spaced(len(test), EXAMPLES), folder.parents[1] / "examples"
    for index in examples:
        name, pixels = test.items[index], test.images[index].permute(1, 2, 0)
        write_image(folder / "predictions" / f"{name}.png", predictions[index], test.classes)
        write_image(shared / f"{name}.png", test.targets[index].numpy(), test.classes)
        write_image(shared / f"{name}.webp", pixels.numpy())
    maps = attention_maps(model, as_image(test.images[examples].to(machine.device)))
    if maps:  # of a network with gates
        levels = {
            f"level{level}": (255 * alpha[:, 0]).round().byte().cpu().numpy()
            for level, alpha in enumerate(maps)}
        write_arrays(folder / "attention.npz", **levels)
    record = {
        "edition": edition_of(config.variant), "variant": config.variant, "seed": config.seed,
        "config": asdict(config),
        "dataset": described(splits),
        "history": history,
        "test_loss": nats / weight,
        "test_confusion": confusions.sum(0).tolist(),
        "examples": [test.items[index] for index in examples],
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": multiply_adds(model, test.targets.shape[1:]),
        "seconds": sum(row["seconds"] for row in history),
        "peak_memory_mib": machine.peak_memory_mib(),
        "device": machine.name, "precision": machine.precision,
    }
    write_json(folder / RECORD, record | provenance())


def write_structure(folder: Path, predictions: np.ndarray, test: Dataset) -> None:
    """Write the counts of `lib.structure` for predictions uint8 (N, H, W) of all test images."""
    classes = [len(test.classes)] * len(test)
    images = list(in_processes(structure_counts, predictions, test.targets.numpy(), classes))
    counts = {name: np.stack([image[name] for image in images]) for name in images[0]}
    write_arrays(folder / STRUCTURE, **pack_counts(counts))
