"""Every figure made of pictures: images, label maps, errors, attention maps.

Label maps are drawn without interpolation in the data set's own palette, with its legend beside them.
"""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy import ndimage

from lib.classes import IGNORE, ClassTable
from lib.metrics import confusion_matrix, mean_iou
from lib.records import Run
from lib.structure import EIGHT, SIZES
from report.evidence.wording import percent
from report.figures.style import PAGE, SHORT, first_seeds, plain

TALLEST = 8.4  # inches: a figure and its caption share a page
SMALL = SIZES[1]  # pixels of a component: below, it is small, as in `report.evidence.claims`
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
         notes: dict[tuple[int, int], str] | None = None, headings: dict[int, str] | None = None) -> Figure:
    """Pictures of one size in rows and columns, as wide as the page unless that is too tall.

    `notes` puts a short text below the picture (row, column), `headings` a line above a row.
    """
    (height, breadth), headings = rows[0][0].shape[:2], headings or {}
    legend = 0.2 * -(-len(classes) // 6) + 0.1 if classes else 0
    noted, extra = 0.16 if notes else 0.03, 0.2 + legend + 0.22 * len(headings)
    cell = min(PAGE / len(rows[0]) * height / breadth, (TALLEST - extra) / len(rows) - noted)
    figure, axes = plt.subplots(len(rows), len(rows[0]), squeeze=False, figsize=(
        cell * breadth / height * len(rows[0]), len(rows) * (cell + noted) + extra))
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            draw(axes[row, column], picture)
            if notes and (note := notes.get((row, column))):
                axes[row, column].set_xlabel(plain(note), fontsize=7, labelpad=2)
    for column, title in enumerate(titles):
        axes[0, column].set_title("\n" * (0 in headings) + title, loc="center",
                                  fontsize=min(8, 56 / len(titles)), pad=3)
    for row, text in headings.items():
        place = axes[row, 0].annotate(plain(text), (0, 1), (0, 15 if row == 0 and titles else 4), xycoords="axes fraction",
                                      textcoords="offset points", fontsize=7.5, fontweight="semibold")
        place.set_in_layout(False)  # it runs over the columns at its right
        if row:
            axes[row, 0].set_title(" ", fontsize=8, pad=3)
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
    handles = [Patch(color=np.array(color) / 255, label=plain(name)) for name, color in zip(classes.names, classes.colors)]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, handlelength=1, handleheight=0.9,
                  columnspacing=1.2, fontsize=7)


def predictions(run: Run) -> Figure:
    """Image, ground truth, prediction and error of every other fixed test image, with the mIoU of each."""
    rows, notes = [], {}
    for row, name in enumerate(run.examples[1::2] or run.examples):
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


def comparison(runs: Sequence[Run], reasons: dict[str, str]) -> Figure:
    """The same test images under every network (its first seed): predictions, and below each its errors.

    `reasons` maps their names to why they are shown; a frame marks what `close_ups` enlarges.
    """
    first = first_seeds(runs)
    some = next(iter(first.values()))
    rows, notes, windows = [], {}, {}
    for name in reasons:
        target = some.target(name)
        maps = [run.prediction(name) for run in first.values()]
        for column, p in enumerate(maps, 1):
            notes[len(rows), column] = score_note(p, target, some.classes)
            notes[len(rows) + 1, column] = f"{percent((p != target)[target != IGNORE].mean())} wrong"
        windows[len(rows)] = fine_window(target)
        rows.append([some.image(name), *(paint(p, some.classes) for p in maps)])
        rows.append([paint(target, some.classes), *(error_map(p, target) for p in maps)])
    headings = {2 * index: f"{capital(reason)} ({name})" for index, (name, reason) in enumerate(reasons.items())}
    figure = grid(rows, ["image, truth", *(SHORT[key] for key in first)], some.classes, notes, headings)
    for row, window in windows.items():
        if window:
            (top, bottom), (left, right) = ((side.start, side.stop) for side in window)
            frame = Rectangle((left, top), right - left, bottom - top, fill=False, ec="white", lw=1)
            figure.axes[row * (len(first) + 1)].add_patch(frame)
    return figure


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def small_parts(target: np.ndarray) -> np.ndarray:
    """Pixels of the small connected components of a ground truth, bool (H, W)."""
    small = np.zeros(target.shape, bool)
    for index in np.unique(target[target != IGNORE]):
        labels, _ = ndimage.label(target == index, EIGHT)
        sizes = np.bincount(labels.ravel())
        small |= (labels > 0) & (sizes < SMALL)[labels]
    return small


def fine_window(target: np.ndarray, share: int = 4) -> tuple[slice, slice] | None:
    """Where a window of a quarter of each side holds most pixels of small components; None without any."""
    height, width = (max(1, side // share) for side in target.shape)
    table = np.pad(small_parts(target), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return (slice(row, row + height), slice(column, column + width)) if inside.max() else None


def close_ups(runs: Sequence[Run], names: Iterable[str]) -> Figure:
    """Of each test image the window with most pixels of small components, under every network (first seed)."""
    first = first_seeds(runs)
    some = next(iter(first.values()))
    windows = {name: window for name in names if (window := fine_window(some.target(name)))}
    rows, notes = [], {}
    for name, window in windows.items():
        target, small = some.target(name)[window], small_parts(some.target(name))[window]
        maps = [run.prediction(name)[window] for run in first.values()]
        notes[len(rows), 0] = name
        for column, p in enumerate(maps, 2):
            notes[len(rows), column] = percent((p == target)[small].mean())
        rows.append([some.image(name)[window], *(paint(labels, some.classes) for labels in (target, *maps))])
    return grid(rows, ["image", "ground truth", *(SHORT[key] for key in first)], some.classes, notes)


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
        axis.set_title(plain(title), fontsize=7.5, pad=2, loc="center")
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
