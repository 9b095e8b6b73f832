"""What the networks make of the same test images, and of the objects that the text points at."""

from collections.abc import Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import ndimage

from lib.files import IGNORE, ClassTable
from lib.records import Run, by_variant
from report.evidence.readings import by_frequency
from report.evidence.wording import capitalised, listed, literal, percent
from report.figures.observations import Segment, made_of
from report.figures.pictures import (
    MOST, class_legend, draw, grid, image_miou, large_photograph, paint,
)  # fmt: skip
from report.figures.show import Exhibit
from report.figures.style import LOOKS, PAGE, dots, of_the_study, plain, plain_rows

NOTE = {"fc": "white", "ec": "none", "alpha": 0.82, "boxstyle": "round,pad=0.15"}
WHITE = "#fefefe"  # which no theme turns into the colour of its paper
CONTEXT = 2.4  # times the object: the side of its close-up
NARROWEST = 0.22  # of the image: the side of the smallest close-up


def compared(runs: Sequence[Run]) -> list[Run]:
    """Return the first runs of the two networks that pictures compare: with skips and without."""
    first = {key: group[0] for key, group in by_variant(runs).items()}
    wanted = [first[key] for key in ("unet", "unet-noskip") if key in first]
    others = [run for run in first.values() if run not in wanted]
    return [*wanted, *others][:2]


def images(
    runs: Sequence[Run], reasons: dict[str, str], segments: Sequence[Segment]
) -> list[Exhibit]:
    """Two test images, each with its ground truth and the U-Net's labels with and without skips.

    `reasons` maps the names of test images to why they are shown; the segments are the objects
    that the text points at. The pictures of the first image are saved in one row as well.
    """
    names = list(reasons)[:MOST]
    exhibits = []
    for number, name in enumerate(names, 1):
        numbered = [segment for segment in segments if segment.image == name]
        exhibits.append(_comparison(runs, name, reasons[name], numbered, number))
    first = replace(exhibits[0], file="comparison.webp", saved=_in_a_row(runs, names[0]))
    return [first, *exhibits[1:]]


def _views(runs: Sequence[Run], name: str) -> dict[str, np.ndarray]:
    """Return the photograph, the ground truth and two predictions of a test image, by title."""
    pair = compared(runs)
    some = pair[0]
    labels = {"ground truth": some.target(name)}
    labels |= {LOOKS[run.variant].short: run.prediction(name) for run in pair}
    painted = {title: paint(each, some.classes) for title, each in labels.items()}
    return {"photograph": large_photograph(some, name)} | painted


def _comparison(
    runs: Sequence[Run], name: str, reason: str, segments: Sequence[Segment], number: int
) -> Exhibit:
    pair, views = compared(runs), _views(runs, name)
    some, target = pair[0], pair[0].target(name)
    height, width = target.shape
    tall = 2 * (PAGE / 2 * height / width + 0.25) + 0.45
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, tall))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    for panel, (title, picture) in zip(axes.flat, views.items()):
        draw(panel, picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5))  # the map's pixels
        panel.set_title(title)
        _number_segments(panel, segments)
    _name_regions(axes[0, 1], target, some.classes)
    for panel in axes.flat[len(views) :]:
        panel.set_axis_off()
    class_legend(figure, some.classes, by_frequency(some))
    found = []
    for run in pair:
        score = image_miou(run.prediction(name), target, some.classes)
        found.append(f"{percent(score)} under the {run.title}")
    boxes = ""
    if segments:
        boxes = " The numbered boxes hold the objects of [the close-ups](#fig-objects)."
    return Exhibit(
        figure,
        f"fig-comparison-{number}",
        f"On this image the mIoU is {listed(found)} (first seeds). {capitalised(reason)}: "
        f"{literal(name)}.{boxes} Void is black.",
        "A test image, its ground truth and the predictions of two networks.",
        stack=True,
    )


def _in_a_row(runs: Sequence[Run], name: str) -> Figure:
    """Return the photograph, the ground truth and the two predictions side by side."""
    views = _views(runs, name)
    figure = grid(list(views.values()), len(views))
    for panel, title in zip(figure.axes, views):
        panel.annotate(title, (0, 1), (4, -4), xycoords="axes fraction", va="top", bbox=NOTE,
                       textcoords="offset points")  # fmt: skip
    return figure


def _number_segments(axes: Axes, segments: Sequence[Segment]) -> None:
    """Frame each of these objects, its number at a corner of the frame."""
    for segment in segments:
        top, left, bottom, right = segment.box
        corner, width, height = (left - 0.5, top - 0.5), right - left, bottom - top
        for color, line in (("black", 2.2), (WHITE, 1.1)):
            axes.add_patch(Rectangle(corner, width, height, fill=False, ec=color, lw=line))
        axes.annotate(str(segment.number), corner, (1, 1), textcoords="offset points", fontsize=7,
                      fontweight="semibold", va="bottom", bbox=NOTE)  # fmt: skip


def _name_regions(axes: Axes, target: np.ndarray, classes: ClassTable) -> None:
    """Write the name of each class into its roomiest region, where the name has room."""
    letter = 0.018 * target.shape[1]  # pixels across
    for index in np.unique(target[target != IGNORE]):
        inside = np.pad(target == index, 1)
        distance = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        y, x = np.unravel_index(distance.argmax(), distance.shape)
        name = classes.names[index]
        if distance[y, x] > letter * max(1.1, 0.22 * len(name)):
            axes.text(x, y, plain(capitalised(name)), fontsize=7, ha="center", va="center",
                      bbox=NOTE)  # fmt: skip


def objects(runs: Sequence[Run], segments: Sequence[Segment]) -> Exhibit | None:
    """A row for each object: its outlines over the photograph, and its IoU in every run.

    None where there is no object to point at.
    """
    if not segments:
        return None
    pair, networks = compared(runs), list(of_the_study(runs))
    figure, rows = plt.subplots(
        len(segments), 4, squeeze=False, figsize=(PAGE, 0.4 + 1.12 * len(segments)),
        width_ratios=(1, 1, 1, 1.5),
    )  # fmt: skip
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.02)
    for (*close, strip), segment in zip(rows, segments):
        _close_ups(close, pair, segment)
        name = plain(capitalised(pair[0].classes.names[segment.index]))
        close[0].set_ylabel(f"{segment.number}  {name}", fontweight="semibold")
        for row, key in enumerate(networks):
            dots(strip, row, 100 * segment.ious[key], key, 3)
        plain_rows(strip, [LOOKS[key].short for key in networks])
        strip.set(xlim=(-4, 104), xticks=(0, 50, 100))
        strip.yaxis.tick_right()
        strip.tick_params(axis="y", length=0, labelsize=6.5)
    titles = ["truth", *(f"{LOOKS[run.variant].short} (seed {run.seed})" for run in pair)]
    for panel, title in zip(rows[0], [*titles, "IoU of the object (%)"]):
        panel.set_title(title)
    for strip in rows[:-1, -1]:
        strip.tick_params(labelbottom=False)
    ahead = sum(segment.advantage > 0 for segment in segments)
    return Exhibit(
        figure,
        "fig-objects",
        f"With skips the mean IoU is higher for {ahead} of these {len(segments)} objects. Outlines "
        "over the photograph: the ground truth in white, what the prediction makes of the object "
        "in its network's colour; without an outline the object is lost. Right: IoU of the object "
        "in every run (dots) and means over seeds (bars). Numbers as in the boxes of "
        "[the comparison](#fig-comparison-1).",
        "Close-ups of numbered objects with outlines, and dot charts of their IoU.",
    )


def _close_ups(panels: Sequence[Axes], pair: Sequence[Run], segment: Segment) -> None:
    """The truth, and what each of two runs makes of it, over the same part of the photograph."""
    image, (height, width) = large_photograph(pair[0], segment.image), segment.mask.shape
    left, right, low, high = _window(segment)
    down, across = image.shape[0] / height, image.shape[1] / width
    rows = slice(round(low * down), round(high * down))
    columns = slice(round(left * across), round(right * across))
    outlines = [(segment.mask, WHITE, "black")]
    outlines += [(made_of(run, segment), LOOKS[run.variant].color, WHITE) for run in pair]
    for panel, (mask, color, around) in zip(panels, outlines):
        extent = left - 0.5, right - 0.5, high - 0.5, low - 0.5
        draw(panel, image[rows, columns], extent=extent)
        if mask.any():
            panel.contour(mask, levels=[0.5], colors=[around], linewidths=2.6)
            panel.contour(mask, levels=[0.5], colors=[color], linewidths=1.5)
        panel.set(xlim=extent[:2], ylim=extent[2:])


def _window(segment: Segment) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom of an object's close-up, in the image's proportions."""
    height, width = segment.mask.shape
    top, start, bottom, end = segment.box
    share = max(CONTEXT * (bottom - top) / height, CONTEXT * (end - start) / width, NARROWEST)
    rows, columns = (round(min(1, share) * side) for side in (height, width))
    low = np.clip((top + bottom - rows) // 2, 0, height - rows)
    left = np.clip((start + end - columns) // 2, 0, width - columns)
    return left, left + columns, low, low + rows
