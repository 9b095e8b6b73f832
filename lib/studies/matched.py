"""Precision at matched recall: how often reported things are real, at equal shares detected.

Networks that differ in how readily they report a rare class differ in precision and in recall, and
one of the two alone says little: a threshold on the class's probability is swept instead.
Components are those of 8 neighbours. One is right where it touches the class in the target at all,
and one of the target is detected where the mask touches it: loose rules, which suit things of a few
pixels. Void never counts: a predicted component that lies on void alone is none.
"""

from itertools import groupby

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from lib.data import Dataset, as_image
from lib.files import IGNORE
from lib.machine import Machine
from lib.structure import EIGHT
from lib.studies import BATCH, Arrays

THRESHOLDS = np.linspace(0.05, 0.95, 19)  # of a class's probability
SMALL_SHARE = 0.015  # of the labelled training pixels: classes with less are counted
COUNTS = (
    "predicted components", "those that touch the class", "target components",
    "those that are touched", "true positive pixels", "false positive pixels",
    "false negative pixels")
MOST_GROUPS = 120  # of images whose counts are summed: under 100 kB of record with five classes


@torch.inference_mode()
def counts_by_threshold(
    model: nn.Module, pixels: np.ndarray, test: Dataset, machine: Machine
) -> Arrays:
    """Return the counts on all images of `test`, summed over groups of consecutive ones.

    pixels (K,) are the training pixels of each class, of which the small ones are counted. The
    arrays are classes (C,), thresholds (T,), groups (N,) and counts, int32 (groups, C, T, 7).
    """
    classes = small_classes(pixels)
    index, counts = torch.from_numpy(classes).to(machine.device), []
    for images, targets in zip(test.images.split(BATCH), test.targets.split(BATCH)):
        logits = machine.logits(model, as_image(images.to(machine.device)))
        passed = steps_passed(logits.softmax(1)[:, index].cpu().numpy())
        for reached, target in zip(passed, targets.numpy()):
            counts.append(matched_counts(reached, target, classes))
    groups = grouped(["" if test.independent else drive for drive, _ in test.frames])
    summed = np.zeros((groups[-1] + 1, *counts[0].shape), np.int32)
    np.add.at(summed, groups, np.array(counts))
    return {"classes": classes, "thresholds": THRESHOLDS, "groups": groups, "counts": summed}


def small_classes(pixels: np.ndarray) -> np.ndarray:
    """Return the indices of the classes with less than `SMALL_SHARE` of these pixels (K,).

    Without any it is the rarest. A class without a pixel is none: it cannot have been learnt.
    """
    share = np.where(pixels > 0, pixels / pixels.sum(), np.inf)
    small = np.flatnonzero(share < SMALL_SHARE)
    return small if len(small) else np.array([share.argmin()])


def steps_passed(probabilities: np.ndarray) -> np.ndarray:
    """Return how many of `THRESHOLDS` each probability reaches, uint8 of the same shape."""
    return np.digitize(probabilities, THRESHOLDS).astype(np.uint8)


def matched_counts(passed: np.ndarray, target: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the `COUNTS` of one image at every threshold, int32 (classes, thresholds, 7).

    passed uint8 (classes, H, W) is `steps_passed` of the probabilities of these classes; the mask
    at a threshold is where the probability reaches it. target (H, W): class indices, 255 is void.
    """
    table = np.zeros((len(classes), len(THRESHOLDS), len(COUNTS)), np.int32)
    known = target != IGNORE
    for row, label, reached in zip(table, classes, passed):
        truth = target == label
        true_components, row[:, 2] = ndimage.label(truth, EIGHT)
        row[:, 6] = truth.sum()  # all are missed by an empty mask
        for column, counts in enumerate(row):
            mask = reached > column
            if not mask.any():
                break  # higher thresholds have empty masks too
            components, _ = ndimage.label(mask, EIGHT)
            right = mask & truth
            counts[0] = len(np.unique(components[mask & known]))
            counts[1] = len(np.unique(components[right]))
            counts[3] = len(np.unique(true_components[right]))
            counts[4] = right.sum()
            counts[5] = (mask & known).sum() - counts[4]
            counts[6] -= counts[4]
    return table


def grouped(drives: list[str]) -> np.ndarray:
    """Return the group of each image, int32 (N,): consecutive images of one drive.

    Groups have the size that makes `MOST_GROUPS`, one image where there are no more than so many.
    The last group of a drive may be smaller.
    """
    size, groups = -(-len(drives) // MOST_GROUPS), []
    for _, images in groupby(drives):
        first = groups[-1] + 1 if groups else 0
        groups += [first + index // size for index, _ in enumerate(images)]
    return np.array(groups, np.int32)
