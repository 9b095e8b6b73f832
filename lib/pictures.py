"""Every figure made of pictures: images, label maps, errors, attention maps.

Label maps are drawn without interpolation in the data set's own palette, with its legend beside them.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lib.classes import IGNORE, ClassTable
from lib.figures import PAGE, SHORT, by_variant
from lib.metrics import confusion_matrix, mean_iou
from lib.runs import Run
from lib.statistics import percent

WRONG, RIGHT, VOID = "#D55E00", "#f2f2f2", "#8c8c8c"  # an error map's colours


def paint(target: np.ndarray, classes: ClassTable) -> np.ndarray:
    """uint8 (H, W) -> uint8 (H, W, 3) in the palette; void is black."""
    return classes.palette[target]


def rgb(images) -> np.ndarray:
    """Tensor uint8 (..., 3, H, W) -> array uint8 (..., H, W, 3)."""
    return np.moveaxis(images.numpy(), -3, -1)


def error_map(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Where prediction and target differ, uint8 (H, W, 3); void is grey."""
    colors = (np.array([to_rgb(name) for name in (RIGHT, WRONG, VOID)]) * 255).astype(np.uint8)
    return colors[np.where(target == IGNORE, 2, prediction != target)]


def grid(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], classes: ClassTable | None = None,
         notes: dict[tuple[int, int], str] | None = None, width: float = PAGE) -> Figure:
    """Pictures of one size in rows and columns; `notes` puts a short text below the picture (row, column)."""
    height, breadth = rows[0][0].shape[:2]
    cell = width / len(rows[0]) * height / breadth
    legend = 0.2 * -(-len(classes) // 6) + 0.1 if classes else 0
    noted = 0.16 if notes else 0.03
    figure, axes = plt.subplots(len(rows), len(rows[0]), squeeze=False,
                                figsize=(width, len(rows) * (cell + noted) + 0.2 + legend))
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            draw(axes[row, column], picture)
            if notes and (note := notes.get((row, column))):
                axes[row, column].set_xlabel(note, fontsize=7, labelpad=2)
    for column, title in enumerate(titles):
        axes[0, column].set_title(title, loc="center", fontsize=min(8, 56 / len(titles)), pad=3)
    if classes:
        class_legend(figure, classes)
    return figure


def draw(axes: Axes, picture: np.ndarray, **options) -> None:
    """One picture without ticks or frame."""
    axes.imshow(picture, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def class_legend(figure: Figure, classes: ClassTable) -> None:
    """The palette, below the figure."""
    handles = [Patch(color=np.array(color) / 255, label=name) for name, color in zip(classes.names, classes.colors)]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, handlelength=1, handleheight=0.9,
                  columnspacing=1.2, fontsize=7)


def predictions(run: Run) -> Figure:
    """Image, ground truth, prediction and error of the inner four fixed test images, with the mIoU of each."""
    rows, notes = [], {}
    for row, name in enumerate(run.examples[-5:-1] or run.examples):
        image, target, prediction = run.image(name), run.target(name), run.prediction(name)
        rows.append([image, paint(target, run.classes), paint(prediction, run.classes),
                     error_map(prediction, target)])
        notes[row, 2] = score_note(prediction, target, run.classes)
        wrong = (prediction != target)[target != IGNORE]
        notes[row, 3] = f"{percent(wrong.mean())} of the pixels wrong"
        notes[row, 0] = name
    return grid(rows, ("image", "ground truth", "prediction", "errors"), run.classes, notes)


def score_note(prediction: np.ndarray, target: np.ndarray, classes: ClassTable) -> str:
    """The mIoU of one image, over the classes that occur in it or are predicted."""
    return f"mIoU {percent(mean_iou(confusion_matrix(prediction, target, len(classes))))}"


def comparison(runs: Sequence[Run], names: Sequence[str]) -> Figure:
    """The same test images under every network (its first seed): predictions, and below each its errors."""
    first = {key: group[0] for key, group in by_variant(runs).items()}
    some = next(iter(first.values()))
    rows, notes = [], {}
    for name in names:
        target = some.target(name)
        maps = [run.prediction(name) for run in first.values()]
        notes |= {(len(rows), column + 1): score_note(p, target, some.classes) for column, p in enumerate(maps)}
        rows.append([some.image(name), *(paint(p, some.classes) for p in maps)])
        rows.append([paint(target, some.classes), *(error_map(p, target) for p in maps)])
    titles = ["image, truth", *(SHORT[key] for key in first)]
    return grid(rows, titles, some.classes, notes)


def samples(images: Sequence[np.ndarray], targets: Sequence[np.ndarray], classes: ClassTable) -> Figure:
    """Images, each with its label below it, eight at most to a row of four."""
    rows = []
    for start in range(0, len(images), 4):
        rows.append(list(images[start : start + 4]))
        rows.append([paint(target, classes) for target in targets[start : start + 4]])
    return grid(rows, [], classes)


def class_masks(image: np.ndarray, target: np.ndarray, classes: ClassTable) -> Figure:
    """The label of one image, taken apart: one binary mask for each class that occurs."""
    present = [k for k in range(len(classes)) if (target == k).any()]
    pictures = [image, paint(target, classes)]
    for k in present:
        mask = np.full((*target.shape, 3), 235, np.uint8)
        mask[target == k] = np.minimum(classes.colors[k], 200)
        pictures.append(mask)
    titles = ["image", "label", *(classes.names[k] for k in present)]
    columns = 5
    height, breadth = target.shape
    lines = -(-len(pictures) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(PAGE, lines * (PAGE / columns * height / breadth + 0.2)))
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, picture, title in zip(axes.flat, pictures, titles):
        axis.imshow(picture)
        axis.set_title(title, fontsize=7.5, pad=2, loc="center")
    return figure


def attention(run: Run, name: str) -> Figure:
    """The coefficients of the four gates over one fixed test image, finest level first."""
    maps = run.attention(name)
    figure, axes = plt.subplots(1, len(maps) + 1, figsize=(PAGE, PAGE / (len(maps) + 1) * 0.75 + 0.35))
    draw(axes[0], run.image(name))
    axes[0].set_title("image", fontsize=8, loc="center")
    for level, (axis, alpha) in enumerate(zip(axes[1:], maps)):
        draw(axis, alpha, cmap="viridis", vmin=0, vmax=1)
        axis.set_title(f"level {level}, mean {alpha.mean():.2f}", fontsize=8, loc="center")
    bar = figure.colorbar(axes[-1].images[0], ax=axes[-1], fraction=0.05, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.set_label("α")
    return figure
