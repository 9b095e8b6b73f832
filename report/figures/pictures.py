"""The figures made of pictures, each with its caption: test images, label maps, errors.

Label maps are drawn without interpolation in the data set's own palette, with its legend below.
"""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy import ndimage

from lib.files import IGNORE, ClassTable
from lib.metrics import confusion_matrix, mean_iou
from lib.records import Run, first_seeds
from lib.structure import EIGHT, SIZES
from report.evidence.wording import named, percent
from report.figures.show import Exhibit
from report.figures.style import LOOKS, PAGE, plain

TALLEST = 8.4  # inches: a figure and its caption share a page
SMALL = SIZES[1]  # pixels: below, a component is small, as in `report.evidence.claims`
WINDOW = 4  # a close-up has a quarter of each side
WRONG, RIGHT, VOID = "#D55E00", "#f2f2f2", "#8c8c8c"  # an error map's colours
ERRORS = (np.array([to_rgb(name) for name in (RIGHT, WRONG, VOID)]) * 255).astype(np.uint8)


def paint(target: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Return labels, uint8 (H, W), in the palette, uint8 (H, W, 3); void is black."""
    return classes.palette[target]


def rgb(images: torch.Tensor) -> np.ndarray:
    """Return images, uint8 (..., 3, H, W), as an array (..., H, W, 3)."""
    return np.moveaxis(images.numpy(), -3, -1)


def errors(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return, uint8 (H, W), 0 where the prediction is right, 1 where it is wrong, 2 on void."""
    return np.where(target == IGNORE, 2, prediction != target).astype(np.uint8)


def error_map(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (H, W, 3), of where prediction and target differ; void is grey."""
    return ERRORS[errors(prediction, target)]


def error_rate(prediction: np.ndarray, target: np.ndarray) -> float:
    """Return the share of the labelled pixels that the prediction gets wrong."""
    return (prediction != target)[target != IGNORE].mean()


def score_note(prediction: np.ndarray, target: np.ndarray, classes: ClassTable) -> str:
    """Return the mIoU of one image, over classes that occur in it or are predicted, in words."""
    return f"mIoU {percent(mean_iou(confusion_matrix(prediction, target, len(classes))))}"


def capital(text: str) -> str:
    """Return the text with a capital at its start, and otherwise as it is."""
    return text[:1].upper() + text[1:]


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str] = (),
    classes: ClassTable | None = None,
    notes: dict[tuple[int, int], str] | None = None,
    headings: dict[int, str] | None = None,
) -> Figure:
    """Return pictures of one size in rows and columns, as wide as the page unless that is too tall.

    `notes` puts a short text below the picture (row, column), `headings` a line above a row.
    """
    notes, headings = notes or {}, headings or {}
    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    below = 0.16 if notes else 0.03  # inches under each row
    beside = 0.2 + 0.22 * len(headings)  # inches of titles, headings and legend in all
    if classes:
        beside += 0.2 * -(-len(classes) // 6) + 0.1
    cell = min(PAGE / columns * height / width, (TALLEST - beside) / len(rows) - below)
    size = (columns * cell * width / height, len(rows) * (cell + below) + beside)
    figure, axes = plt.subplots(len(rows), columns, squeeze=False, figsize=size)
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            draw(axes[row, column], picture)
    for (row, column), note in notes.items():
        axes[row, column].set_xlabel(plain(note), fontsize=7, labelpad=2)
    room = "\n" if 0 in headings else ""  # the first heading stands below the titles
    for axis, text in zip(axes[0], titles):
        axis.set_title(room + text, loc="center", fontsize=min(8, 56 / len(titles)), pad=3)
    for row, text in headings.items():
        _heading(axes[row, 0], text, first=row == 0, titled=bool(titles))
    if classes:
        class_legend(figure, classes)
    return figure


def _heading(axes: Axes, text: str, first: bool, titled: bool) -> None:
    """Write a line above a row of pictures."""
    lift = 15 if first and titled else 4  # points
    place = axes.annotate(plain(text), (0, 1), (0, lift), xycoords="axes fraction", fontsize=7.5,
                          textcoords="offset points", fontweight="semibold")  # fmt: skip
    place.set_in_layout(False)  # it runs over the columns at its right
    if not first:
        axes.set_title(" ", fontsize=8, pad=3)  # room


def draw(axes: Axes, picture: np.ndarray, **options: object) -> None:
    """Draw one picture without ticks or frame."""
    axes.imshow(picture, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def class_legend(figure: Figure, classes: ClassTable) -> None:
    """Set the palette below the figure."""
    handles = [
        Patch(color=np.array(color) / 255, label=plain(name))
        for name, color in zip(classes.names, classes.colors)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, handlelength=1,
                  handleheight=0.9, columnspacing=1.2, fontsize=7)  # fmt: skip


def predictions(run: Run) -> Exhibit:
    """Image, ground truth, prediction and error of every other fixed test image, with its mIoU."""
    rows, notes = [], {}
    for row, name in enumerate(run.examples[1::2] or run.examples):
        target, prediction = run.target(name), run.prediction(name)
        maps = [paint(labels, run.classes) for labels in (target, prediction)]
        rows.append([run.image(name), *maps, error_map(prediction, target)])
        notes[row, 0] = name
        notes[row, 2] = score_note(prediction, target, run.classes)
        notes[row, 3] = f"{percent(error_rate(prediction, target))} of the pixels wrong"
    titles = ("image", "ground truth", "prediction", "errors")
    return Exhibit(
        grid(rows, titles, run.classes, notes),
        f"fig-predictions-{run.variant}",
        f"{run.title}: the test images, fixed and evenly spaced over the test set. Errors are "
        "orange, void is grey. The mIoU of one image is the mean over the classes in it and is not "
        "comparable with that of the whole set.",
        f"Test images with ground truth, prediction of the {run.title} and error map.",
        photograph=True,
        file=f"predictions/{run.variant}.png",
    )


def comparisons(runs: Sequence[Run], reasons: dict[str, str], size: int = 2) -> list[Exhibit]:
    """The same test images under every network, so many to a figure.

    `reasons` maps their names to why they are shown.
    """
    items = list(reasons.items())
    pages = [dict(items[start : start + size]) for start in range(0, len(items), size)]
    return [_comparison(runs, page, number) for number, page in enumerate(pages, 1)]


def _comparison(runs: Sequence[Run], reasons: dict[str, str], number: int) -> Exhibit:
    """Test images under each network's first seed, errors below; a frame marks the close-up."""
    first = first_seeds(runs)
    some = next(iter(first.values()))
    rows, notes, headings = [], {}, {}
    for name, reason in reasons.items():
        row, target = len(rows), some.target(name)
        maps = [run.prediction(name) for run in first.values()]
        headings[row] = f"{capital(reason)} ({name})"
        for column, labels in enumerate(maps, 1):
            notes[row, column] = score_note(labels, target, some.classes)
            notes[row + 1, column] = f"{percent(error_rate(labels, target))} wrong"
        rows.append([some.image(name), *(paint(labels, some.classes) for labels in maps)])
        rows.append([paint(target, some.classes), *(error_map(labels, target) for labels in maps)])
    titles = ["image, truth", *(LOOKS[key].short for key in first)]
    figure = grid(rows, titles, some.classes, notes, headings)
    for row, name in zip(headings, reasons):
        _frame(figure.axes[row * len(titles)], fine_window(some.target(name)))
    how = "To be read as @fig-comparison-1."
    if number == 1:
        how = (
            "Below each prediction its errors in orange, void in grey; below each image its ground "
            "truth. The white frame is what @fig-close-ups enlarges."
        )
    return Exhibit(
        figure,
        f"fig-comparison-{number}",
        f"{named(reasons)} under every network (first seed), with the mIoU of each. {how}",
        f"Test images with the predictions and error maps of {len(first)} networks.",
        photograph=True,
        file="comparison.png" if number == 1 else "",
    )


def _frame(axes: Axes, window: tuple[slice, slice] | None) -> None:
    if window:
        rows, columns = window
        width, height = columns.stop - columns.start, rows.stop - rows.start
        corner = (columns.start, rows.start)
        axes.add_patch(Rectangle(corner, width, height, fill=False, ec="white", lw=1))


def small_parts(target: np.ndarray) -> np.ndarray:
    """Return, bool (H, W), the pixels of the small connected components of a ground truth."""
    small = np.zeros(target.shape, bool)
    for index in np.unique(target[target != IGNORE]):
        labels, _ = ndimage.label(target == index, EIGHT)
        sizes = np.bincount(labels.ravel())
        small |= (labels > 0) & (sizes < SMALL)[labels]
    return small


def fine_window(target: np.ndarray) -> tuple[slice, slice] | None:
    """Return the window that holds most pixels of small components, or None without any."""
    height, width = (max(1, side // WINDOW) for side in target.shape)
    table = np.pad(small_parts(target), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    inside = table[height:, width:] - table[:-height, width:]
    inside = inside - table[height:, :-width] + table[:-height, :-width]
    if not inside.max():
        return None
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return slice(row, row + height), slice(column, column + width)


def close_ups(runs: Sequence[Run], names: Iterable[str]) -> Exhibit:
    """Of each test image the window with most pixels of small parts, under every network."""
    first = first_seeds(runs)
    some = next(iter(first.values()))
    rows, notes = [], {}
    for name in names:
        window = fine_window(some.target(name))
        if window is None:
            continue
        target = some.target(name)[window]
        small = small_parts(some.target(name))[window]
        maps = [run.prediction(name)[window] for run in first.values()]
        notes[len(rows), 0] = name
        for column, labels in enumerate(maps, 2):
            notes[len(rows), column] = percent((labels == target)[small].mean())
        pictures = [paint(labels, some.classes) for labels in (target, *maps)]
        rows.append([some.image(name)[window], *pictures])
    titles = ["image", "ground truth", *(LOOKS[key].short for key in first)]
    return Exhibit(
        grid(rows, titles, some.classes, notes),
        "fig-close-ups",
        "Close-ups of the same images: the window of a quarter of each side that holds most pixels "
        f"of small parts, connected components of the ground truth under {SMALL} pixels. Below "
        "each prediction the share of these pixels that it labels as they are. Void is black.",
        "Enlarged windows of test images, their ground truth and the predictions of all networks.",
        photograph=True,
    )
