"""The pictures of a data set, with captions: samples, one label taken apart, augmentation."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch

from lib.data import Augment, Dataset
from lib.files import IGNORE
from report.evidence.findings import title
from report.evidence.wording import literal
from report.figures.pictures import grid, paint, rgb
from report.figures.show import Exhibit
from report.figures.style import PAGE, plain


def samples(train: Dataset, dataset: str) -> Exhibit:
    """Eight images of the training split at most, four to a row, each above its label."""
    chosen = torch.linspace(0, len(train) - 1, min(8, len(train))).round().long()
    images, labels = rgb(train.images[chosen]), paint(train.targets[chosen].numpy(), train.classes)
    rows = []
    for start in range(0, len(images), 4):
        rows += [images[start : start + 4], labels[start : start + 4]]
    return Exhibit(
        grid(rows, classes=train.classes),
        "fig-samples",
        f"Images of the training split of {title(dataset)}, evenly spaced, each above its label. "
        "Void is black.",
        "Training images, each with its map of class colours.",
        photograph=True,
    )


def class_masks(train: Dataset, index: int) -> Exhibit:
    """The label of one image, taken apart: one binary mask for each class that occurs."""
    target, classes = train.targets[index].numpy(), train.classes
    pictures = {"image": rgb(train.images[index]), "label": paint(target, classes)}
    for k in np.unique(target[target != IGNORE]):
        mask = np.full((*target.shape, 3), 235, np.uint8)
        mask[target == k] = np.minimum(classes.colors[k], 200)
        pictures[classes.names[k]] = mask
    columns, (height, width) = 5, target.shape
    lines = -(-len(pictures) // columns)
    size = (PAGE, lines * (PAGE / columns * height / width + 0.2))
    figure, panels = plt.subplots(lines, columns, figsize=size)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, (name, picture) in zip(panels.flat, pictures.items()):
        axes.imshow(picture)
        axes.set_title(plain(name), fontsize=7.5, pad=2, loc="center")
    return Exhibit(
        figure,
        "fig-masks",
        f"The label of one training image ({literal(train.items[index])}) as one binary mask for "
        "each class in it.",
        "A training image, its label and one mask for each class.",
        photograph=True,
    )


def augmentation(train: Dataset, index: int, crop_size: Sequence[int] | None) -> Exhibit:
    """Five training samples made of one image, each above its label."""
    again = torch.full((5,), index)
    augment = Augment(tuple(crop_size or train.targets.shape[1:]))
    generator = torch.Generator().manual_seed(0)
    images, targets = augment(train.images[again], train.targets[again], generator)
    rows = [rgb((255 * images).byte()), paint(targets.numpy(), train.classes)]
    return Exhibit(
        grid(rows),
        "fig-augmentation",
        "Five training samples made of the image of @fig-masks, each above its label.",
        "Five zoomed, cropped and mirrored versions of an image with their labels.",
        photograph=True,
    )
