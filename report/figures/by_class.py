"""The charts with a row for each class, with captions: shares of pixels, test IoU, differences.

Classes go from frequent to rare in the training pixels. Each row is marked, so that the page can
light up one class in every chart at once.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.data import Dataset
from lib.models import TITLES
from lib.records import Run, by_variant
from report.evidence.analysis import class_differences
from report.figures.show import Exhibit
from report.figures.style import INK, LOOKS, PAGE, mark_classes, plain_rows

SPLIT_MARKS = (("o", INK), ("|", "#0072B2"), ("x", "#D55E00"))  # marker and colour


def balance(splits: dict[str, Dataset]) -> Exhibit:
    """Share of the pixels of every class in each split, on a logarithmic scale."""
    pixels = {name: np.asarray(split.pixels_per_class()) for name, split in splits.items()}
    order = np.argsort(-pixels["train"])
    names = [splits["train"].classes.names[k] for k in order]
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + 0.2 * len(order)))
    for (name, counts), (marker, color) in zip(pixels.items(), SPLIT_MARKS):
        share = 100 * counts[order] / counts.sum()
        rows = np.flatnonzero(counts[order])  # a logarithmic scale has no 0
        axes.plot(share[rows], rows, marker, color=color, ms=5, label=name)
    _class_rows(axes, names, names)
    axes.set(xscale="log", xlabel="share of labelled pixels (%)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(loc="lower right")
    return Exhibit(
        figure,
        "fig-balance",
        "Share of every class in the labelled pixels of the three splits, on a logarithmic scale. "
        "Where the marks lie apart, a split is not a fair sample of another.",
        "Dot chart of class shares in three splits.",
    )


def scores_of_run(run: Run) -> Exhibit:
    """Test IoU of every class in one run."""
    return Exhibit(
        _scores([run]),
        f"fig-classes-{run.variant}",
        f"{run.title}: test IoU by class, from the most to the least frequent; in brackets the "
        "share of the training pixels.",
        f"Dot chart of the test IoU of each class for the {run.title}.",
    )


def scores(runs: Sequence[Run]) -> Exhibit:
    """Test IoU of every class under each network, the mean over seeds."""
    return Exhibit(
        _scores(runs),
        "fig-classes",
        "Test IoU of every class, from the most to the least frequent: means over seeds, bars from "
        "the lowest to the highest. In brackets the share of the training pixels.",
        "Dot chart of the test IoU of each class under each network.",
    )


def _scores(runs: Sequence[Run]) -> Figure:
    groups, some = by_variant(runs), runs[0]
    pixels = np.array(some.record["dataset"]["pixels"]["train"])
    order = np.argsort(-pixels)
    row_height = 0.24 if len(groups) > 1 else 0.18
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + row_height * len(order)))
    for offset, (key, group) in zip(_offsets(len(groups), 0.24), groups.items()):
        values = 100 * np.stack([run.iou for run in group])[:, order]
        rows, look = np.arange(len(order)) + offset, LOOKS[key]
        axes.hlines(rows, values.min(0), values.max(0), color=look.color, lw=3, alpha=0.25)
        axes.plot(values.mean(0), rows, look.marker, color=look.color, ms=4, mew=0,
                  label=TITLES[key])  # fmt: skip
    names = [some.classes.names[k] for k in order]
    shares = 100 * pixels[order] / pixels.sum()
    _class_rows(axes, [f"{n}  ({_share(share)} %)" for n, share in zip(names, shares)], names)
    axes.set(xlabel="test IoU (%)", xlim=(-1, 100))
    if len(groups) > 1:
        _legend(figure, columns=4 if len(groups) < 5 else 3)
    return figure


def _share(percent: float) -> str:
    return f"{percent:.0f}" if percent >= 9.5 else f"{percent:.2g}"


def differences(runs: Sequence[Run]) -> Exhibit | None:
    """Difference from U-Net in the test IoU of every class; None without runs to compare."""
    table = class_differences(runs)
    if table.empty:
        return None
    return Exhibit(
        _differences(table),
        "fig-class-differences",
        "Difference from U-Net in the test IoU of every class, with its 95 % interval over seeds "
        "and images (with one seed, over images alone), not adjusted for their number.",
        "Dot chart of differences in class IoU with intervals.",
    )


def _differences(table: pd.DataFrame) -> Figure:
    names = list(dict.fromkeys(table["class"]))
    variants = [key for key in TITLES if key in set(table.variant)]
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + 0.24 * len(names)))
    for offset, key in zip(_offsets(len(variants), 0.22), variants):
        own = table[table.variant == key].set_index("class").loc[names]
        rows, look = np.arange(len(names)) + offset, LOOKS[key]
        axes.hlines(rows, 100 * own.low, 100 * own.high, color=look.color, lw=1.5, alpha=0.6)
        axes.plot(100 * own.value, rows, look.marker, color=look.color, ms=4, mew=0,
                  label=TITLES[key])  # fmt: skip
    axes.axvline(0, color=INK, lw=0.8, zorder=0)
    _class_rows(axes, names, names)
    axes.set(xlabel="difference from U-Net in test IoU (points)")
    _legend(figure, columns=3)
    return figure


def _offsets(number: int, reach: float) -> np.ndarray:
    """Places of several marks within a row, around its middle."""
    return np.linspace(-reach, reach, number) if number > 1 else np.zeros(1)


def _class_rows(axes: Axes, labels: Sequence[str], names: Sequence[str]) -> None:
    plain_rows(axes, labels)
    mark_classes(axes, names)
    axes.grid(axis="y")


def _legend(figure: Figure, columns: int) -> None:
    figure.legend(loc="outside upper left", ncols=columns, columnspacing=1.2, handletextpad=0.2)
