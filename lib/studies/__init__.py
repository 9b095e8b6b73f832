"""The theory chapter's measurements on one trained network, from its checkpoint into its record.

    edition                                      of this file's measurements: a study of an older one is made anew
    names                                        of the N test images, evenly spaced over the test set
    conditions.names, conditions.confusions      `lib.studies.interventions`: int32 (C, N, K, K), the first is the intact network
    structure.boundary, structure.components     of the intact network and the lesions: int32 (L, N, K, 2), (L, N, 5, 4)
    probes.confusions, probes.edges              `lib.studies.probes`
    probes.untrained_confusions, .untrained_edges      the same of the network as its training began
    gates.classes, gates.distances, gates.correct      `lib.studies.gates`: sums of α and numbers of pixels
    gates.permuted_classes, gates.permuted_distances   the sums with α permuted over the pixels of each image
    gates.energy, gates.energy_arriving          energy of the gradient at the skips' start (..., K, 2) and end
    gates.energy_detached, gates.energy_constant       gates.energy with α detached, and with its mean over the image
    landscape.slice                              `lib.studies.landscape`: nats
    landscape.eigenvalues, landscape.residuals   (raw, filter-normalised) x steps x (smallest, largest), and of the last
    landscape.curvature                          of those, that of the larger magnitude: kinds x steps
    matched.classes, .thresholds, .groups, .counts     `lib.studies.matched`, of all test images: int32 (groups, classes, T, 7)
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
from lib.data import Dataset, as_image, load_split
from lib.evaluation import WEIGHTS, load_model
from lib.files import write_arrays
from lib.machine import Machine, in_processes
from lib.metrics import class_weights, confusion_matrix
from lib.models import UNet
from lib.records import Run
from lib.structure import structure_counts
from lib.studies import gates, interventions, landscape, matched, probes
from lib.studies.depth import depth_study

EDITION = 2  # 2: eigenvalues by Lanczos, permuted and detached gates, untrained probes, matched recall
BATCH = 8
SLICE_IMAGES = 8  # of the training split, without augmentation: the one batch of the loss slices
CURVATURE_IMAGES = 16  # of the training split, evenly spaced and so over all of its drives
CURVATURE_BATCH = 4
Batches = list[tuple[Tensor, Tensor]]


def study(run: Run, images: int, steps: int, data_root: str | Path | None = None) -> None:
    """Make every study on that many test images, the deeper networks trained for that many steps; 0 images: none.

    What is on record already, at that size and of this edition, is left as it is; without the checkpoint nothing is
    measured. Raises ValueError for a single image, since lesions exchange features between images.
    """
    same_size = [run.studies.get("images"), run.studies.get("steps")] == [images, steps]
    if images == 0 or (same_size and run.studies.get("edition", 1) >= EDITION):
        return
    if not (run.folder / WEIGHTS).exists():
        if not same_size:
            print(f"{run.folder}: no checkpoint, so the studies of the theory chapter stay as they are")
        return
    config, start = TrainConfig(**run.config), time.perf_counter()
    train, test = load_split(config, "train", data_root), load_split(config, "test", data_root)
    if min(images, len(test)) < 2:
        raise ValueError(f"study_images = {images} of {len(test)} test images: expected 0 or at least 2")
    machine, number = Machine.detect(), len(test.classes)
    model = machine.place(load_model(run.folder, run.variant, config.base_channels, number))
    model.requires_grad_(True)
    weights = class_weights(train.pixels_per_class(), config.class_balance).to(machine.device)
    shown, seen = chosen(test, images), chosen(train, 2 * images)
    start_of_training = probes.untrained(run.variant, config.base_channels, number, run.seed, seen, machine)
    found = {
        "names": np.array([test.items[index] for index in spread(len(test), images)]),
        **_conditions(model, shown, machine, number),
        **_prefixed("probes.", probes.probe(model, seen, shown, weights, machine)),
        **_prefixed("probes.untrained_", probes.probe(start_of_training, seen, shown, weights, machine)),
        **_prefixed("gates.", _gates(model, shown, weights, machine)),
        **_prefixed("landscape.", _landscape(model, train, weights, machine, run.seed)),
        **_prefixed("matched.", _matched(model, train, test, machine)),
        **_prefixed("depth.", depth_study(run.variant, steps, run.seed)),
    }
    extent = {"images": images, "steps": steps, "edition": EDITION, "seconds": time.perf_counter() - start}
    write_arrays(run.folder / "studies.npz", **found, **{name: np.array(value) for name, value in extent.items()})
    run.__dict__.pop("studies", None)  # read anew


def _prefixed(prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: array for name, array in arrays.items()}


def spread(length: int, number: int) -> np.ndarray:
    """That many indices, or all, evenly spaced from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(number, length)).round().astype(int))


def chosen(data: Dataset, number: int, size: int = BATCH) -> Batches:
    """Return that many images, evenly spaced, in batches of nearly equal size, none of one image if it can be helped."""
    index = torch.from_numpy(spread(len(data), number))
    parts = index.chunk(-(-len(index) // size))
    return [(data.images[part], data.targets[part]) for part in parts]


def _conditions(model: UNet, batches: Batches, machine: Machine, number: int) -> dict[str, np.ndarray]:
    """Return the confusion matrices of every condition, and outlines and components of the lesions."""
    lesions = {"intact": interventions.intact, **interventions.lesions(model)}
    conditions = lesions | interventions.disturbances(model)
    parts = [_labels(model, conditions, as_image(image.to(machine.device)), machine) for image, _ in batches]
    labels = {name: torch.cat([part[name] for part in parts]) for name in conditions}
    targets = torch.cat([target for _, target in batches])
    confusions = [[confusion_matrix(p, t, number).numpy() for p, t in zip(labels[name], targets)] for name in conditions]
    count = partial(structure_counts, num_classes=number, names=("boundary", "components"))
    counts = [list(in_processes(count, labels[name].numpy(), targets.numpy())) for name in lesions]
    boundary = [[image["boundary"] for image in lesion] for lesion in counts]
    components = [[image["components"].sum(0) for image in lesion] for lesion in counts]
    return {
        "conditions.names": np.array([*conditions]),
        "conditions.confusions": np.array(confusions, np.int32),
        "structure.boundary": np.array(boundary, np.int32),
        "structure.components": np.array(components, np.int32),
    }


@torch.inference_mode()
def _labels(model: UNet, conditions: dict[str, interventions.Condition], image: Tensor,
            machine: Machine) -> dict[str, Tensor]:
    """Return what the network labels a batch (B, 3, H, W) under each condition, uint8 (B, H, W)."""
    labels = {}
    with interventions.reading_features(model) as features:
        machine.logits(model, image)
    for name, condition in conditions.items():
        if interventions.changes_the_image(name):
            encoder = interventions.intact(model)
        else:
            encoder = interventions.saved_features(model, features)
        with encoder, condition(model):
            labels[name] = machine.logits(model, image).argmax(1).byte().cpu()
    return labels


def _gates(model: UNet, batches: Batches, weights: Tensor, machine: Machine) -> dict[str, np.ndarray]:
    """Return the arrays of `lib.studies.gates`; {} for a network without skips, and only energies for one without gates."""
    sums = [gates.coefficient_sums(model, *batch, machine, seed) for seed, batch in enumerate(batches)]
    found = {name: np.concatenate([part[name] for part in sums]) for name in sums[0]}
    gated = bool(found)
    for name in ("classes", "permuted_classes") if gated else ():
        found[name] = found[name][:, :, : len(weights)]
    if interventions.has_skips(model):
        energy = _energy(model, batches, weights, machine)
        found |= {"energy": energy[..., :2], "energy_arriving": energy[..., 2]}
    if gated:
        with gates.detached(model):
            found["energy_detached"] = _energy(model, batches, weights, machine)[..., :2]
        with gates.constant(model):
            found["energy_constant"] = _energy(model, batches, weights, machine)[..., :2]
    return found


def _energy(model: UNet, batches: Batches, weights: Tensor, machine: Machine) -> np.ndarray:
    return np.concatenate([gates.gradient_energy(model, *batch, weights, machine) for batch in batches])


def _landscape(model: UNet, train: Dataset, weights: Tensor, machine: Machine, seed: int) -> dict[str, np.ndarray]:
    """Return the slice of the loss, and both ends of the spectrum of its Hessian in both coordinates."""
    batches = chosen(train, CURVATURE_IMAGES, CURVATURE_BATCH)
    raw, normalised = (landscape.curvature(model, batches, weights, machine, seed, kind) for kind in (False, True))
    eigenvalues = np.stack([raw["values"], normalised["values"]])  # (kinds, steps, 2)
    smallest, largest = np.moveaxis(eigenvalues, -1, 0)
    return {
        "slice": landscape.loss_slice(model, *chosen(train, SLICE_IMAGES)[0], weights, machine, seed),
        "eigenvalues": eigenvalues,
        "residuals": np.stack([raw["residuals"], normalised["residuals"]]),
        "curvature": np.where(largest > -smallest, largest, smallest),
    }


@torch.inference_mode()
def _matched(model: UNet, train: Dataset, test: Dataset, machine: Machine) -> dict[str, np.ndarray]:
    """Return the counts of `lib.studies.matched` on every test image, summed over groups of images."""
    classes = matched.small_classes(train.pixels_per_class())
    index, counts = torch.from_numpy(classes), []
    for start in range(0, len(test), BATCH):
        batch = slice(start, start + BATCH)
        probabilities = machine.logits(model, as_image(test.images[batch].to(machine.device))).softmax(1)
        passed = matched.steps_passed(probabilities[:, index].cpu().numpy())
        counts += [matched.matched_counts(p, t, classes) for p, t in zip(passed, test.targets[batch].numpy())]
    drives = ["" if test.independent else drive for drive, _ in test.frames]
    groups = matched.grouped(drives)
    summed = np.zeros((groups[-1] + 1, *counts[0].shape), np.int32)
    np.add.at(summed, groups, np.array(counts))
    return {"classes": classes, "thresholds": matched.THRESHOLDS, "groups": groups, "counts": summed}
