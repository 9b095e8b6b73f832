"""The pictures of a data set, with captions: samples, one label taken apart, augmentation."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch

from lib.data import Augment, Dataset
from lib.files import IGNORE
from report.evidence.wording import listed, literal, percent
from report.figures.palette import displayed
from report.figures.pictures import class_legend, draw, grid, paint
from report.figures.show import Exhibit
from report.figures.style import PAGE, plain

SAMPLES, COLUMNS, VERSIONS = 6, 3, 4


def samples(train: Dataset) -> Exhibit:
    """Six images of the training split at most, three to a row, each above its label."""
    chosen = torch.linspace(0, len(train) - 1, min(SAMPLES, len(train))).round().long()
    images, labels = rgb(train.images[chosen]), paint(train.targets[chosen].numpy(), train.classes)
    rows = []
    for start in range(0, len(images), COLUMNS):
        for pictures in (images, labels):
            blank = np.full_like(pictures[0], 255)
            row = list(pictures[start : start + COLUMNS])
            rows.append(row + [blank] * (min(COLUMNS, len(images)) - len(row)))
    figure = grid(rows, foot=0.4)
    counts = train.pixels_per_class()
    order = np.argsort(-counts, kind="stable")
    class_legend(figure, train.classes, order)
    most = listed([literal(train.classes.names[index]) for index in order[:2]])
    share = percent(counts[order[:2]].sum() / counts.sum())
    return Exhibit(
        figure,
        "fig-samples",
        f"{most} fill {share} of the labelled pixels. Images of the training split of "
        f"{literal(train.title)}, evenly spaced, each above its label. Void is black.",
        "Training images, each with its map of class colours.",
    )


def class_masks(train: Dataset, index: int) -> Exhibit:
    """The label of one image, taken apart: one binary mask for each class that occurs."""
    target, classes = train.targets[index].numpy(), displayed(train.classes)
    pictures = {"image": rgb(train.images[index]), "label": paint(target, train.classes)}
    present = np.unique(target[target != IGNORE])
    for k in present:
        mask = np.full((*target.shape, 4), (128, 128, 128, 28), np.uint8)
        mask[target == k] = (*classes.colors[k], 255)
        pictures[classes.names[k]] = mask
    columns, (height, width) = 5, target.shape
    lines = -(-len(pictures) // columns)
    size = (PAGE, lines * (PAGE / columns * height / width + 0.2))
    figure, panels = plt.subplots(lines, columns, figsize=size)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, (name, picture) in zip(panels.flat, pictures.items()):
        draw(axes, picture)
        axes.set_title(plain(name))
    return Exhibit(
        figure,
        "fig-masks",
        f"One label is {len(present)} binary masks that do not overlap, one for each class in it: "
        f"a training image ({literal(train.items[index])}).",
        "A training image, its label and one mask for each class.",
    )


def augmentation(train: Dataset, index: int, crop_size: Sequence[int] | None) -> Exhibit:
    """Four training samples made of one image, each above its label."""
    again = torch.full((VERSIONS,), index)
    augment = Augment(tuple(crop_size or train.targets.shape[1:]))
    generator = torch.Generator().manual_seed(0)
    images, targets = augment(train.images[again], train.targets[again], generator)
    rows = [rgb((255 * images).byte()), paint(targets.numpy(), train.classes)]
    return Exhibit(
        grid(rows),
        "fig-augmentation",
        "No two samples of an image are alike: four that were made of the image in "
        "[the figure of masks](#fig-masks), each above its label.",
        "Four zoomed, cropped and mirrored versions of an image with their labels.",
    )


def rgb(images: torch.Tensor) -> np.ndarray:
    """Return images, uint8 (..., 3, H, W), as an array (..., H, W, 3)."""
    return np.moveaxis(images.numpy(), -3, -1)
