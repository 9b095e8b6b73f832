"""The figures made of pictures, each with its caption: a data set's images, test images, errors.

Label maps are shown without interpolation in the colours of `report.figures.style`, photographs
at their own resolution where that is stored.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lib.data import Augment, Dataset
from lib.files import IGNORE, ClassTable, read_pixels
from lib.metrics import confusion_matrix, mean_iou
from lib.records import Run
from report.evidence.readings import by_frequency
from report.evidence.wording import listed, literal, named, percent
from report.figures.show import Exhibit
from report.figures.style import PAGE, displayed, plain

RIGHT, WRONG, VOID = "#8080801c", "#d55e00", "#8c8c8c"  # paper shows through what is right
ERRORS = (255 * np.array([to_rgba(name) for name in (RIGHT, WRONG, VOID)])).round().astype(np.uint8)
FULL = "full.webp"  # the suffix of a photograph at the size of its file
MOST = 2  # images in a figure of predictions
ACROSS = 7  # classes in a row of the legend
SAMPLES, VERSIONS = 4, 6  # of the training images


def paint(target: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Return labels, uint8 (H, W), in the colours of figures, uint8 (H, W, 3); void is black."""
    return displayed(classes).palette[target]


def large_photograph(run: Run, name: str) -> np.ndarray:
    """Return a test image, uint8 (h, w, 3), at its own size where that is stored."""
    path = run.shared(name, FULL)
    return read_pixels(path, "RGB") if path.exists() else run.image(name)


def errors(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return, uint8 (H, W), 0 where the prediction is right, 1 where it is wrong, 2 on void."""
    return np.where(target == IGNORE, 2, prediction != target).astype(np.uint8)


def image_miou(prediction: np.ndarray, target: np.ndarray, classes: ClassTable) -> float:
    """Return the mIoU of one image, over classes that occur in it or are predicted."""
    return float(mean_iou(confusion_matrix(prediction, target, len(classes))))


def grid(
    pictures: Sequence[np.ndarray], columns: int, titles: Sequence[str] = (), foot: float = 0
) -> Figure:
    """Return pictures in rows, as wide as the page, with room for a foot (inches).

    There is a title for each column, or for each picture.
    """
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    tall = rows * (PAGE / columns * height / width + 0.16) + 0.1 + foot
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=(PAGE, tall))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for panel, picture in zip(axes.flat, pictures):
        draw(panel, picture)
    for panel in axes.flat[len(pictures) :]:
        panel.set_axis_off()
    for panel, title in zip(axes.flat, titles):
        panel.set_title(plain(title))
    return figure


def draw(axes: Axes, picture: np.ndarray, **options: object) -> None:
    """Draw one picture without ticks or frame."""
    axes.imshow(picture, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def class_legend(figure: Figure, classes: ClassTable, order: Sequence[int]) -> None:
    """Set the colours of the classes, in this order, below the figure."""
    shown = displayed(classes)
    handles = [
        Patch(fc=np.array(shown.colors[index]) / 255, ec="#999999", lw=0.4,
              label=plain(shown.names[index]))
        for column in range(ACROSS) for index in order[column::ACROSS]  # legends fill columns
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=ACROSS, handlelength=1,
                  handleheight=0.9, columnspacing=1.1, handletextpad=0.5)  # fmt: skip


def richest(data: Dataset) -> int:
    """Return the index of the image that shows most classes, the brightest of several."""
    classes = [len(np.unique(target)) for target in data.targets.numpy()]
    brightness = [float(image.float().mean()) for image in data.images]  # one at a time in memory
    return int(np.lexsort((brightness, classes))[-1])


def samples(train: Dataset) -> Exhibit:
    """Four images of the training split, each above its label."""
    number = min(SAMPLES, len(train))
    chosen = torch.linspace(0, len(train) - 1, number).round().long()
    images = channels_last(train.images[chosen])
    labels = paint(train.targets[chosen].numpy(), train.classes)
    figure = grid([*images, *labels], number, foot=0.4)
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
    tiles = {"image": channels_last(train.images[index]), "label": paint(target, train.classes)}
    present = np.unique(target[target != IGNORE])
    for k in present:
        mask = np.full((*target.shape, 4), (128, 128, 128, 28), np.uint8)
        mask[target == k] = (*classes.colors[k], 255)
        tiles[classes.names[k]] = mask
    return Exhibit(
        grid(list(tiles.values()), 7, list(tiles)),
        "fig-masks",
        f"One label is {len(present)} binary masks that do not overlap, one for each class in it: "
        f"a training image ({literal(train.items[index])}).",
        "A training image, its label and one mask for each class.",
    )


def augmentation(train: Dataset, index: int, crop_size: Sequence[int] | None) -> Exhibit:
    """Training samples made of one image, each above its label."""
    again = torch.full((VERSIONS,), index)
    augment = Augment(tuple(crop_size or train.targets.shape[1:]))
    generator = torch.Generator().manual_seed(0)
    images, targets = augment(train.images[again], train.targets[again], generator)
    labels = paint(targets.numpy(), train.classes)
    return Exhibit(
        grid([*channels_last((255 * images).byte()), *labels], VERSIONS),
        "fig-augmentation",
        "No two samples of an image are alike: six that were made of the image in "
        "[the figure of masks](#fig-masks), each above its label.",
        "Six zoomed, cropped and mirrored versions of an image with their labels.",
    )


def channels_last(images: torch.Tensor) -> np.ndarray:
    """Return images, uint8 (..., 3, H, W), as an array (..., H, W, 3)."""
    return np.moveaxis(images.numpy(), -3, -1)


def predictions(run: Run) -> Exhibit:
    """Image, ground truth, prediction and errors of two of the fixed test images."""
    names = (run.examples[1::2] or run.examples)[:MOST]
    tiles, wrong = [], []
    for name in names:
        target, prediction = run.target(name), run.prediction(name)
        missed = errors(prediction, target)
        maps = paint(target, run.classes), paint(prediction, run.classes), ERRORS[missed]
        tiles += [large_photograph(run, name), *maps]
        wrong.append(percent((missed == 1).sum() / (missed < 2).sum()))
    figure = grid(tiles, 4, ("image", "ground truth", "prediction", "errors"), foot=0.4)
    class_legend(figure, run.classes, by_frequency(run))
    which = f"the test image{'s' if len(names) > 1 else ''} {named(names)}"
    return Exhibit(
        figure,
        f"fig-predictions-{run.variant}",
        f"The {run.title} mislabels {listed(wrong)} of the pixels of {which} (seed {run.seed}). "
        "Errors are orange; void is grey among the errors and black elsewhere.",
        f"Test images with ground truth, prediction of the {run.title} and error map.",
        file=f"predictions/{run.variant}.png",
    )


def attention(run: Run) -> Exhibit:
    """The coefficients of the four gates over the first fixed test image, finest level first."""
    name = run.examples[0]
    maps = run.attention(name)
    size = (PAGE, PAGE / (len(maps) + 1) * 0.75 + 0.35)
    figure, (first, *others) = plt.subplots(1, len(maps) + 1, figsize=size)
    draw(first, run.image(name))
    first.set_title("image", fontsize=8, loc="center")
    for level, (axes, alpha) in enumerate(zip(others, maps)):
        draw(axes, alpha, cmap="viridis", vmin=0, vmax=1)
        axes.set_title(f"level {level}, mean {alpha.mean():.2f}", fontsize=8, loc="center")
    bar = figure.colorbar(axes.images[0], ax=axes, fraction=0.05, ticks=[0, 0.5, 1], label="α")
    bar.outline.set_visible(False)
    return Exhibit(
        figure,
        "fig-attention",
        "Attention coefficients α of the four gates over one test image, from the finest skip "
        "(level 0) to the coarsest (level 3): yellow passes, blue is suppressed.",
        "A test image and four maps of attention coefficients.",
    )
