"""The theory chapter's measurements on one trained network, from its checkpoint into its record.

    edition                          of this file's measurements: an older study is made anew
    names                            of the N test images, evenly spaced over the test set
    conditions.names, .confusions    `lib.studies.interventions`: int32 (C, N, K, K), the first is
                                     the intact network
    structure.boundary, .components  of the intact network and the lesions: int32 (L, N, K, 2) and
                                     (L, N, 5, 4)
    probes.confusions, .edges        `lib.studies.probes`
    probes.untrained_confusions, .untrained_edges    of the network as its training began
    gates.classes, .distances, .correct              `lib.studies.gates`: sums of α, and pixels
    gates.permuted_classes, .permuted_distances      sums with α permuted over each image's pixels
    gates.energy, .energy_arriving   energy of the gradient at the skips' start (..., K, 2) and end
    gates.energy_detached, .energy_constant          gates.energy with α detached, and with its
                                     mean over the image
    landscape.slice                  `lib.studies.landscape`: nats
    landscape.eigenvalues, .residuals                (raw, filter-normalised) x steps x (smallest,
                                     largest), and of the last
    landscape.curvature              of those, that of the larger magnitude: kinds x steps
    matched.classes, .thresholds, .groups, .counts   `lib.studies.matched`, of all test images:
                                     int32 (groups, classes, T, 7)
    depth.*                          `lib.studies.depth`
    images, steps, seconds           how large a study, and what it took

Counts are of each image where images vary, so that the chapter's intervals can resample them.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.data import Dataset, as_image, evenly_spaced
from lib.evaluation import load_model
from lib.files import write_arrays
from lib.machine import Machine, in_processes
from lib.metrics import class_weights, confusion_matrix
from lib.models import UNet
from lib.records import WEIGHTS, Run
from lib.structure import structure_counts
from lib.studies import gates, interventions, landscape, matched, probes
from lib.studies.command import split_of
from lib.studies.depth import depth_study

EDITION = 2  # 2: eigenvalues by Lanczos, permuted and detached gates, untrained probes, recall
BATCH = 8
SLICE_IMAGES = 8  # of the training split, without augmentation: the one batch of the loss slices
CURVATURE_IMAGES = 16  # of the training split, evenly spaced and so over all of its drives
CURVATURE_BATCH = 4
Arrays = dict[str, np.ndarray]
Batches = list[tuple[Tensor, Tensor]]


def study(run: Run, images: int, steps: int, data_root: str | Path | None = None) -> None:
    """Study the network on that many test images, and deeper ones trained for that many steps.

    With 0 images nothing is done. What is on record already, at that size and of this edition, is
    left as it is; without the checkpoint nothing is measured. Raises ValueError for a single image,
    since lesions exchange features between images.
    """
    recorded = run.studies
    same_size = [recorded.get("images"), recorded.get("steps")] == [images, steps]
    if images == 0 or (same_size and recorded.get("edition", 1) >= EDITION):
        return
    if not (run.folder / WEIGHTS).exists():
        if not same_size:
            print(f"{run.folder}: no checkpoint, so the theory chapter's studies stay as they are")
        return
    start = time.perf_counter()
    train, test = (split_of(run, split, data_root) for split in ("train", "test"))
    if min(images, len(test)) < 2:
        raise ValueError(
            f"study_images = {images} of {len(test)} test images: expected 0 or at least 2")
    names = np.array([test.items[index] for index in evenly_spaced(len(test), images)])
    arrays = {"names": names, **_all_studies(run, train, test, images, steps)}
    arrays |= {"images": np.array(images), "steps": np.array(steps), "edition": np.array(EDITION)}
    seconds = np.array(time.perf_counter() - start)
    write_arrays(run.folder / "studies.npz", **arrays, seconds=seconds)
    vars(run).pop("studies", None)  # read anew


def _all_studies(run: Run, train: Dataset, test: Dataset, images: int, steps: int) -> Arrays:
    """Return the arrays of every study, by their names in the record."""
    machine, number = Machine.detect(), len(test.classes)
    machine.choose_kernels(training=False)  # of hundreds of shapes, few of which occur twice
    width = run.config["base_channels"]
    model = machine.place(load_model(run.folder, run.variant, width, number))
    model.requires_grad_(True)
    weights = class_weights(train.pixels_per_class(), run.config["class_balance"])
    weights = weights.to(machine.device)
    shown, seen = chosen(test, images), chosen(train, 2 * images)
    beginning = probes.untrained(run.variant, width, number, run.seed, seen, machine)
    studies = {
        "": _conditions(model, shown, machine, number),
        "probes.": probes.probe(model, seen, shown, weights, machine),
        "probes.untrained_": probes.probe(beginning, seen, shown, weights, machine),
        "gates.": _gates(model, shown, weights, machine),
        "landscape.": _landscape(model, train, weights, machine, run.seed),
        "matched.": _matched(model, train, test, machine),
        "depth.": depth_study(run.variant, steps, run.seed),
    }
    named = {}
    for prefix, arrays in studies.items():
        named |= {prefix + name: array for name, array in arrays.items()}
    return named


def chosen(data: Dataset, number: int, size: int = BATCH) -> Batches:
    """Return that many images, evenly spaced, in batches of nearly equal size.

    No batch has one image if it can be helped.
    """
    index = torch.from_numpy(evenly_spaced(len(data), number))
    parts = index.chunk(-(-len(index) // size))
    return [(data.images[part], data.targets[part]) for part in parts]


def _conditions(model: UNet, batches: Batches, machine: Machine, number: int) -> Arrays:
    """Return confusions under every condition, and outlines and components under the lesions."""
    lesions = {"intact": interventions.intact, **interventions.lesions(model)}
    conditions = lesions | interventions.disturbances(model)
    parts = []
    for image, _ in batches:
        parts.append(_labels(model, conditions, as_image(image.to(machine.device)), machine))
    labels = {name: torch.cat([part[name] for part in parts]) for name in conditions}
    targets = torch.cat([target for _, target in batches])
    confusions = []
    for name in conditions:
        pairs = zip(labels[name], targets)
        confusions.append([confusion_matrix(p, t, number).numpy() for p, t in pairs])
    count = partial(structure_counts, num_classes=number, names=("boundary", "components"))
    boundary, components = [], []
    for name in lesions:
        counts = list(in_processes(count, labels[name].numpy(), targets.numpy()))
        boundary.append([image["boundary"] for image in counts])
        components.append([image["components"].sum(0) for image in counts])
    return {
        "conditions.names": np.array([*conditions]),
        "conditions.confusions": np.array(confusions, np.int32),
        "structure.boundary": np.array(boundary, np.int32),
        "structure.components": np.array(components, np.int32),
    }


@torch.inference_mode()
def _labels(
    model: UNet, conditions: dict[str, interventions.Condition], image: Tensor, machine: Machine
) -> dict[str, Tensor]:
    """Return what the network labels a batch (B, 3, H, W) under each condition, uint8 (B, H, W)."""
    labels = {}
    with interventions.reading_features(model) as features:
        machine.logits(model, image)
    for name, condition in conditions.items():
        encoder = interventions.saved_features(model, features)
        if interventions.changes_the_image(name):
            encoder = interventions.intact(model)
        with encoder, condition(model):
            labels[name] = machine.logits(model, image).argmax(1).byte().cpu()
    return labels


def _gates(model: UNet, batches: Batches, weights: Tensor, machine: Machine) -> Arrays:
    """Return the arrays of `lib.studies.gates`.

    {} for a network without skips, and energies alone for one without gates.
    """
    sums = [
        gates.coefficient_sums(model, *batch, machine, seed) for seed, batch in enumerate(batches)]
    arrays = {name: np.concatenate([part[name] for part in sums]) for name in sums[0]}
    gated = bool(arrays)
    if gated:
        for name in ("classes", "permuted_classes"):
            arrays[name] = arrays[name][:, :, : len(weights)]
    if interventions.has_skips(model):
        energy = _energies(model, batches, weights, machine)
        arrays |= {"energy": energy[..., :2], "energy_arriving": energy[..., 2]}
    if gated:
        with gates.detached(model):
            arrays["energy_detached"] = _energies(model, batches, weights, machine)[..., :2]
        with gates.constant(model):
            arrays["energy_constant"] = _energies(model, batches, weights, machine)[..., :2]
    return arrays


def _energies(model: UNet, batches: Batches, weights: Tensor, machine: Machine) -> np.ndarray:
    energies = [gates.gradient_energy(model, *batch, weights, machine) for batch in batches]
    return np.concatenate(energies)


def _landscape(
    model: UNet, train: Dataset, weights: Tensor, machine: Machine, seed: int
) -> Arrays:
    """Return the slice of the loss, and both ends of its Hessian's spectrum in both coordinates."""
    batches = chosen(train, CURVATURE_IMAGES, CURVATURE_BATCH)
    spectra = landscape.curvature(model, batches, weights, machine, seed)
    eigenvalues = np.stack([spectrum["values"] for spectrum in spectra])  # (kinds, steps, 2)
    smallest, largest = np.moveaxis(eigenvalues, -1, 0)
    images, targets = chosen(train, SLICE_IMAGES)[0]
    return {
        "slice": landscape.loss_slice(model, images, targets, weights, machine, seed),
        "eigenvalues": eigenvalues,
        "residuals": np.stack([spectrum["residuals"] for spectrum in spectra]),
        "curvature": np.where(largest > -smallest, largest, smallest),
    }


@torch.inference_mode()
def _matched(model: UNet, train: Dataset, test: Dataset, machine: Machine) -> Arrays:
    """Return the counts of `lib.studies.matched` on all test images, summed over groups of them."""
    classes = matched.small_classes(train.pixels_per_class())
    index, counts = torch.from_numpy(classes).to(machine.device), []
    for start in range(0, len(test), BATCH):
        batch = slice(start, start + BATCH)
        logits = machine.logits(model, as_image(test.images[batch].to(machine.device)))
        passed = matched.steps_passed(logits.softmax(1)[:, index].cpu().numpy())
        for reached, target in zip(passed, test.targets[batch].numpy()):
            counts.append(matched.matched_counts(reached, target, classes))
    drives = ["" if test.independent else drive for drive, _ in test.frames]
    groups = matched.grouped(drives)
    summed = np.zeros((groups[-1] + 1, *counts[0].shape), np.int32)
    np.add.at(summed, groups, np.array(counts))
    return {
        "classes": classes, "thresholds": matched.THRESHOLDS, "groups": groups, "counts": summed}
