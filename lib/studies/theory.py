"""The theory chapter's measurements on one trained network, from its weights into its record.

    python -m lib.studies.theory build/designs/camvid --seeds 10 11 12 --data-root DIR

Every run in or below the folders gets its studies.npz, unless it has it of the same size and
edition. Exit status: 0 when every run has its studies, 1 when one failed or has no weights.

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

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib.data import Dataset, as_image, evenly_spaced
from lib.datasets.processes import in_processes
from lib.files import write_arrays
from lib.machine import Machine
from lib.metrics import class_weights, confusion_matrix
from lib.models import UNet
from lib.records import WEIGHTS, Run
from lib.structure import structure_counts
from lib.studies import (
    Arrays, Batches, chosen, for_each_run, runs_parser, split_of, trained_network)
from lib.studies.depth import depth_study
from lib.studies.gates import coefficient_sums, constant, detached, gradient_energy
from lib.studies.interventions import (
    Condition, changes_the_image, perturbations, has_skips, intact, lesions, reading_features,
    saved_features)
from lib.studies.landscape import loss_slice, spectra
from lib.studies.matched import counts_by_threshold
from lib.studies.probes import probe, untrained_network

EDITION = 2  # 2: eigenvalues by Lanczos, permuted and detached gates, untrained probes, recall
SLICE_IMAGES = 8  # of the training split, without augmentation: the one batch of the loss slices
CURVATURE_SHARE = 0.4  # of the number of test images, in training images spread over all drives
CURVATURE_BATCH = 4


def study(run: Run, images: int, steps: int, data_root: str | Path | None = None) -> None:
    """Study the network on that many test images, and deeper ones trained for that many steps.

    What is on record already, at that size and of this edition, is left as it is; without the
    weights, or with 0 images, nothing is measured. Raises ValueError for a single image, since
    lesions exchange features between images.
    """
    recorded = Run.read(run.folder).studies
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
    arrays = _all_studies(run, train, test, images, steps)
    seconds = time.perf_counter() - start
    write_arrays(run.folder / "studies.npz", names=names, **arrays, images=images, steps=steps,
                 edition=EDITION, seconds=seconds)


def _all_studies(run: Run, train: Dataset, test: Dataset, images: int, steps: int) -> Arrays:
    """Return the arrays of every study, by their names in the record."""
    machine, classes = Machine.detect(), len(test.classes)
    machine.choose_kernels(training=False)  # of hundreds of shapes, few of which occur twice
    model = trained_network(run, machine)
    weights = class_weights(train.pixels_per_class(), run.config["class_balance"])
    weights = weights.to(machine.device)
    tested, seen = chosen(test, images), chosen(train, 2 * images)
    width = run.config["base_channels"]
    beginning = untrained_network(run.variant, width, classes, run.seed, seen, machine)
    studies = {
        "": _conditions(model, tested, machine, classes),
        "probes.": probe(model, seen, tested, weights, machine),
        "probes.untrained_": probe(beginning, seen, tested, weights, machine),
        "gates.": _gates(model, tested, weights, machine),
        "landscape.": _landscape(model, train, images, weights, machine, run.seed),
        "matched.": counts_by_threshold(model, train.pixels_per_class(), test, machine),
        "depth.": depth_study(run.variant, steps, run.seed),
    }
    return {f"{study}{name}": array for study, arrays in studies.items()
            for name, array in arrays.items()}


def _conditions(model: UNet, batches: Batches, machine: Machine, classes: int) -> Arrays:
    """Return confusions under every condition, and outlines and components under the lesions."""
    structured = {"intact": intact, **lesions(model)}
    conditions = structured | perturbations(model)
    parts = [_labels(model, conditions, images, machine) for images, _ in batches]
    targets = torch.cat([target for _, target in batches])
    count = partial(structure_counts, num_classes=classes, names=("boundary", "components"))
    confusions, boundary, components = [], [], []
    for name in conditions:
        labels = torch.cat([part[name] for part in parts])
        pairs = zip(labels, targets)
        confusions.append([confusion_matrix(p, t, classes).numpy() for p, t in pairs])
        if name in structured:
            counts = list(in_processes(count, labels.numpy(), targets.numpy()))
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
    model: UNet, conditions: dict[str, Condition], images: Tensor, machine: Machine
) -> dict[str, Tensor]:
    """Return what the network labels a batch under each condition, uint8 (B, H, W)."""
    labels, image = {}, as_image(images.to(machine.device))
    with reading_features(model) as features:
        machine.logits(model, image)
    for name, condition in conditions.items():
        encoder = saved_features(model, features)
        if changes_the_image(name):
            encoder = intact(model)
        with encoder, condition(model):
            labels[name] = machine.logits(model, image).argmax(1).byte().cpu()
    return labels


def _gates(model: UNet, batches: Batches, weights: Tensor, machine: Machine) -> Arrays:
    """Return the arrays of `lib.studies.gates`: {} without skips, energies alone without gates."""
    if not has_skips(model):
        return {}

    def energies() -> np.ndarray:
        return np.concatenate([gradient_energy(model, *b, weights, machine) for b in batches])

    energy = energies()
    arrays = {"energy": energy[..., :2], "energy_arriving": energy[..., 2]}
    sums = [coefficient_sums(model, *batch, machine, seed) for seed, batch in enumerate(batches)]
    if not sums[0]:
        return arrays
    for name in sums[0]:
        arrays[name] = np.concatenate([part[name] for part in sums])
    for name in ("classes", "permuted_classes"):
        arrays[name] = arrays[name][:, :, : len(weights)]
    with detached(model):
        arrays["energy_detached"] = energies()[..., :2]
    with constant(model):
        arrays["energy_constant"] = energies()[..., :2]
    return arrays


def _landscape(
    model: UNet, train: Dataset, images: int, weights: Tensor, machine: Machine, seed: int
) -> Arrays:
    """Return the slice of the loss, and both ends of its Hessian's spectrum in both coordinates."""
    number = max(CURVATURE_BATCH, round(CURVATURE_SHARE * images))
    batches = chosen(train, number, CURVATURE_BATCH)
    both = spectra(model, batches, weights, machine, seed)
    eigenvalues = np.stack([spectrum["values"] for spectrum in both])  # (kinds, steps, 2)
    smallest, largest = np.moveaxis(eigenvalues, -1, 0)
    image, target = chosen(train, SLICE_IMAGES)[0]
    return {
        "slice": loss_slice(model, image, target, weights, machine, seed),
        "eigenvalues": eigenvalues,
        "residuals": np.stack([spectrum["residuals"] for spectrum in both]),
        "curvature": np.where(largest > -smallest, largest, smallest),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = runs_parser("lib.studies.theory", __doc__)
    parser.add_argument("--images", type=int, default=40, help="test images (default: 40)")
    parser.add_argument("--steps", type=int, default=16, help="of deeper networks (default: 16)")
    options = parser.parse_args(arguments)

    def work(run: Run) -> None:
        if not (run.folder / WEIGHTS).exists() and not run.studies:
            raise FileNotFoundError(f"{run.folder}: no {WEIGHTS}, so nothing can be measured")
        study(run, options.images, options.steps, options.data_root)

    return for_each_run(options, work, "studied")


if __name__ == "__main__":
    sys.exit(main())
