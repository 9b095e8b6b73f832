"""The theory chapter's measurements on one trained network, from its checkpoint into its record.

    names                                        of the N test images, evenly spaced over the test set
    conditions.names, conditions.confusions      `lib.studies.interventions`: int32 (C, N, K, K), the first is the intact network
    structure.boundary, structure.components     of the intact network and the lesions: int32 (L, N, K, 2), (L, N, 5, 4)
    probes.confusions, probes.edges              `lib.studies.probes`
    gates.classes, gates.distances, gates.correct, gates.energy      `lib.studies.gates`
    landscape.slice, landscape.curvature         `lib.studies.landscape`: nats, and (raw, filter-normalised) x iterations
    depth.*                                      `lib.studies.depth`
    images, steps, seconds                       how large a study, and what it took

Counts on each image where images vary, so that the chapter's intervals can resample them.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.config import TrainConfig
from lib.data import Dataset, as_image
from lib.evaluation import WEIGHTS, load_model
from lib.files import write_arrays
from lib.machine import Machine, in_processes
from lib.metrics import confusion_matrix
from lib.models import UNet
from lib.recipe import class_weights
from lib.runs import Run
from lib.structure import structure_counts
from lib.studies import gates, interventions, landscape, probes
from lib.studies.depth import depth_study

BATCH = 8
SLICE_IMAGES = 8  # of the training split, without augmentation: the one batch of the loss slices
CURVATURE_IMAGES = 2  # of those: second derivatives keep many times the memory
Batches = list[tuple[Tensor, Tensor]]


def study(run: Run, images: int, steps: int, data_root: str | Path | None = None) -> None:
    """Makes every study on that many test images, the deeper networks trained for that many steps; 0 images: none.

    What is on record already, at that size, is left as it is; without the checkpoint nothing is measured. Raises
    ValueError for a single image, since lesions exchange features between images.
    """
    if images == 0 or [run.studies.get("images"), run.studies.get("steps")] == [images, steps]:
        return
    if not (run.folder / WEIGHTS).exists():
        print(f"{run.folder}: no checkpoint, so the studies of the theory chapter stay as they are")
        return
    config, start = TrainConfig(**run.config), time.perf_counter()
    train, test = config.load("train", data_root), config.load("test", data_root)
    if min(images, len(test)) < 2:
        raise ValueError(f"study_images = {images} of {len(test)} test images: expected 0 or at least 2")
    machine = Machine.here()
    model = machine.place(load_model(run.folder, run.variant, config.base_channels, len(test.classes)))
    model.requires_grad_(True)
    weights = class_weights(train, config.class_balance).to(machine.device)
    shown, seen = chosen(test, images), chosen(train, 2 * images)
    batch = next(iter(chosen(train, SLICE_IMAGES)))
    few = tuple(part[:CURVATURE_IMAGES] for part in batch)
    curvature = [landscape.top_curvature(model, *few, weights, machine, run.seed, kind) for kind in (False, True)]
    found = {
        "names": np.array([test.items[index] for index in spread(len(test), images)]),
        **_prefixed("", _conditions(model, shown, machine, len(test.classes))),
        **_prefixed("probes.", probes.probe(model, seen, shown, weights, machine)),
        **_prefixed("gates.", _gates(model, shown, weights, machine)),
        "landscape.slice": landscape.loss_slice(model, *batch, weights, machine, run.seed),
        "landscape.curvature": np.array(curvature),
        **_prefixed("depth.", depth_study(run.variant, steps, run.seed)),
    }
    size = {"images": np.array(images), "steps": np.array(steps), "seconds": np.array(time.perf_counter() - start)}
    write_arrays(run.folder / "studies.npz", **found, **size)
    run.__dict__.pop("studies", None)  # read anew


def _prefixed(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def spread(length: int, number: int) -> np.ndarray:
    """That many indices, or all, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(number, length)).round().astype(int))


def chosen(data: Dataset, number: int) -> Batches:
    """That many images, evenly spaced, in batches of nearly equal size, none of one image if it can be helped."""
    index = torch.from_numpy(spread(len(data), number))
    parts = index.chunk(-(-len(index) // BATCH))
    return [(data.images[part], data.targets[part]) for part in parts]


@torch.inference_mode()
def _conditions(model: UNet, batches: Batches, machine: Machine, number: int) -> dict[str, np.ndarray]:
    """Confusion matrices of every condition; outlines and components of the lesions."""
    lesions = {"intact": interventions.intact, **interventions.lesions(model)}
    confusions, structure = [], {"boundary": [], "components": []}
    targets = torch.cat([target for _, target in batches])
    for name, condition in (lesions | interventions.disturbances(model)).items():
        with condition(model):
            labels = torch.cat([machine.logits(model, as_image(image.to(machine.device))).argmax(1).byte().cpu()
                                for image, _ in batches])
        confusions.append([confusion_matrix(p, t, number).numpy() for p, t in zip(labels, targets)])
        if name in lesions:
            count = partial(structure_counts, num_classes=number, names=("boundary", "components"))
            counts = list(in_processes(count, labels.numpy(), targets.numpy()))
            structure["boundary"].append([c["boundary"] for c in counts])
            structure["components"].append([c["components"].sum(0) for c in counts])
    names = [*lesions, *interventions.disturbances(model)]
    return {"conditions.names": np.array(names), "conditions.confusions": np.array(confusions, np.int32),
            **{f"structure.{name}": np.array(counts, np.int32) for name, counts in structure.items()}}


def _gates(model: UNet, batches: Batches, weights: Tensor, machine: Machine) -> dict[str, np.ndarray]:
    sums = [gates.coefficient_sums(model, *batch, machine) for batch in batches]
    found = {name: np.concatenate([part[name] for part in sums]) for name in sums[0]}
    if found:
        found["classes"] = found["classes"][:, :, : len(weights)]
    if interventions.has_skips(model):
        energy = [gates.gradient_energy(model, *batch, weights, machine) for batch in batches]
        found["energy"] = np.concatenate(energy)
    return found
