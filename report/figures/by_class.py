"""The charts with a row for each class, with captions: shares of pixels, test IoU, differences.

Classes go from frequent to rare in the training pixels, each with its colour in the pictures. Each
row is marked, so that the page can light up one class in every chart at once.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lib.data import Dataset
from lib.files import ClassTable
from lib.models import TITLES
from lib.records import Run, by_variant
from report.evidence.analysis import class_differences
from report.evidence.wording import listed, literal, percent, points
from report.figures.palette import by_frequency, displayed
from report.figures.show import Exhibit
from report.figures.style import (
    INK, LOOKS, PAGE, legible, mark_classes, plain_rows, without_subsets,
)  # fmt: skip

SPLIT_MARKS = (("o", INK), ("|", "#0072B2"), ("x", "#D55E00"))  # marker and colour
ACROSS = 4  # panels in a row


def balance(splits: dict[str, Dataset]) -> Exhibit:
    """Share of the pixels of every class in each split, on a logarithmic scale."""
    pixels = {name: np.asarray(split.pixels_per_class()) for name, split in splits.items()}
    classes, order = splits["train"].classes, np.argsort(-pixels["train"], kind="stable")
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + 0.2 * len(order)))
    for (name, counts), (marker, color) in zip(pixels.items(), SPLIT_MARKS):
        share = 100 * counts[order] / counts.sum()
        rows = np.flatnonzero(counts[order])  # a logarithmic scale has no 0
        axes.plot(share[rows], rows, marker, color=color, ms=5, label=name)
    _class_rows(axes, classes, order)
    axes.set(xscale="log", xlabel="share of labelled pixels (%)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(loc="lower right")
    shares = pixels["train"] / pixels["train"].sum()
    present = [index for index in order if shares[index]]
    first, last = present[0], present[-1]
    return Exhibit(
        figure,
        "fig-balance",
        f"{literal(classes.names[first])} has {percent(shares[first])} of the labelled training "
        f"pixels, {literal(classes.names[last])} {percent(shares[last])}. Shares in the three "
        "splits, on a logarithmic scale; where the marks lie apart, a split is not a fair sample "
        "of another.",
        "Dot chart of class shares in three splits.",
    )


def scores_of_run(run: Run) -> Exhibit:
    """Test IoU of every class in one run."""
    order = by_frequency(run)
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + 0.18 * len(order)))
    look = LOOKS[run.variant]
    axes.plot(100 * run.iou[order], np.arange(len(order)), look.marker, color=look.color, ms=4.5,
              label=run.title)  # fmt: skip
    _class_rows(axes, run.classes, order)
    axes.set(xlabel="test IoU (%)", xlim=(-1, 101))
    scored = [index for index in order if np.isfinite(run.iou[index])]
    worst = sorted(scored, key=lambda index: run.iou[index])[:3]
    lowest = [f"{literal(run.classes.names[k])} ({percent(run.iou[k])})" for k in worst]
    return Exhibit(
        figure,
        f"fig-classes-{run.variant}",
        f"Lowest for {listed(lowest)}: test IoU of the {run.title} (seed {run.seed}) by class, "
        "from the most to the least frequent.",
        f"Dot chart of the test IoU of each class for the {run.title}.",
    )


def scores(runs: Sequence[Run]) -> Exhibit:
    """Test IoU of every class for U-Net, and how far each other network is from it."""
    groups, some = without_subsets(runs), runs[0]
    reference = "unet" if "unet" in groups else next(iter(groups))
    table = class_differences(runs)
    others = [key for key in groups if key != reference and key in set(table.variant)]
    order = by_frequency(some)
    columns = min(ACROSS, 1 + len(others))
    lines = -(-(1 + len(others)) // columns)
    figure, panels = plt.subplots(
        lines, columns, squeeze=False, sharey=True,
        figsize=(PAGE, lines * (0.55 + 0.2 * len(order))),
    )  # fmt: skip
    first, *rest = panels.flat
    _levels(first, groups[reference], order)
    widest = 105 * max(0.01, table[["low", "high"]].abs().max(axis=None))
    for axes, key in zip(rest, others):
        own = table[table.variant == key].set_index("class")
        own = own.loc[[some.classes.names[index] for index in order]]
        look, rows = LOOKS[key], np.arange(len(order))
        axes.hlines(rows, 100 * own.low, 100 * own.high, color=look.color, lw=2, alpha=0.45)
        axes.plot(100 * own.value, rows, look.marker, color=look.color, ms=3.5, mew=0,
                  label=TITLES[key])  # fmt: skip
        axes.axvline(0, color=INK, lw=0.8, zorder=0)
        axes.set(xlim=(-widest, widest))
        axes.set_title(f"{look.short} − {LOOKS[reference].short}", color=legible(look.color))
    for index, axes in enumerate(panels.flat):
        if index > len(others):
            axes.set_axis_off()
            continue
        _class_rows(axes, some.classes, order, colored=index % columns == 0)
        axes.set_xlabel("difference (points)" if index else "test IoU (%)")
        axes.tick_params(labelleft=index % columns == 0)
    return Exhibit(
        figure,
        "fig-classes",
        f"{_largest(runs)}First panel: test IoU of the {TITLES[reference]}, mean and range over "
        "seeds; the others: differences from it with 95 % intervals over seeds and images (with "
        "one seed, over images alone), not adjusted for their number. Classes from frequent to "
        "rare.",
        "Dot charts of class IoU, and of differences from the U-Net with intervals.",
    )


def _levels(axes: Axes, group: Sequence[Run], order: np.ndarray) -> None:
    """The test IoU of every class of one network, mean and range over its seeds."""
    values = 100 * np.stack([run.iou for run in group])[:, order]
    look, rows = LOOKS[group[0].variant], np.arange(len(order))
    axes.hlines(rows, values.min(0), values.max(0), color=look.color, lw=2, alpha=0.45)
    axes.plot(values.mean(0), rows, look.marker, color=look.color, ms=3.5, mew=0,
              label=group[0].title)  # fmt: skip
    axes.set(xlim=(-2, 102))
    axes.set_title(look.short, color=legible(look.color))


def _largest(runs: Sequence[Run]) -> str:
    """The class that loses most without skips, in a sentence."""
    groups = by_variant(runs)
    if not {"unet", "unet-noskip"} <= groups.keys():
        return ""
    means = [np.mean([run.iou for run in groups[key]], axis=0) for key in ("unet", "unet-noskip")]
    difference = means[1] - means[0]
    if np.isnan(difference).all():
        return ""
    worst = int(np.nanargmin(difference))
    return (
        f"Without skips {literal(runs[0].classes.names[worst])} changes most, by "
        f"{points(difference[worst])}. "
    )


def _class_rows(
    axes: Axes, classes: ClassTable, order: np.ndarray, colored: bool = True
) -> None:
    """A row for each class, marked for the page, with its colour at the left if that is wanted."""
    names = [classes.names[index] for index in order]
    colors = np.array(displayed(classes).colors)[order] / 255
    plain_rows(axes, names)
    mark_classes(axes, names)
    axes.grid(axis="y")
    if colored:
        place = axes.get_yaxis_transform()
        axes.scatter(np.zeros(len(order)), np.arange(len(order)), 12, colors, "s", ec="#999999",
                     lw=0.3, transform=place, clip_on=False, zorder=3)  # fmt: skip
