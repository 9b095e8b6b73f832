"""The charts of training, of test scores and of classes, each with its caption.

Networks with a subset of the skips are left out of these: they belong to a design of their own.
Classes go from frequent to rare in the training pixels, each with its colour in the pictures; each
row is marked, so that the page can light up one class in every chart at once.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lib.data import Dataset
from lib.files import ClassTable
from lib.metrics import nan_mean
from lib.models import TITLES, VARIANTS
from lib.records import Run, by_variant
from lib.structure import BANDS, SIZE_NAMES, ratio
from report.evidence.measure import frames_of
from report.evidence.readings import by_frequency
from report.evidence.measures import MIOU
from report.evidence.scores import trimap_iou
from report.evidence.statistics import contrast_counts
from report.evidence.wording import (
    interval_text, literal, nats, percent, points, seeds_of, whole_percent,
)  # fmt: skip
from report.figures.show import Exhibit
from report.figures.style import (
    INK, LOOKS, PAGE, displayed, dots, interval, label_ends, legible, line, mark_classes,
    of_the_study, plain_rows,
)  # fmt: skip

SPLIT_MARKS = (("o", INK), ("|", "#0072B2"), ("x", "#D55E00"))  # marker and colour
ACROSS = 4  # panels in a row


def loss(runs: Sequence[Run]) -> Exhibit:
    """Training and validation loss by epoch, side by side on one scale."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.8), sharey=True)
    finals = _by_epoch(left, runs, "train_loss")
    _by_epoch(right, runs, "val_loss")
    left.set(title="training", ylabel="loss (nats per pixel)")
    right.set(title="validation")
    low, high = min(finals, key=finals.get), max(finals, key=finals.get)
    found = f"The {TITLES[low]} ends with a training loss of {nats(finals[low])}."
    if low != high:
        found = (
            f"The training loss ends lowest for the {TITLES[low]} ({nats(finals[low])}) and "
            f"highest for the {TITLES[high]} ({nats(finals[high])})."
        )
    return Exhibit(
        figure,
        "fig-loss",
        f"{found} Training loss (left) and validation loss (right) by epoch: means over seeds, "
        "bands from the lowest to the highest seed.",
        "Line charts of the loss of the networks.",
        file="loss_curves.png",
    )


def _by_epoch(axes: Axes, runs: Sequence[Run], column: str) -> dict[str, float]:
    """Draw one column of the history, and return the final mean of each network."""
    ends, finals = {}, {}
    for key, group in of_the_study(runs).items():
        histories = [run.history.set_index("epoch")[column].dropna() for run in group]
        table = pd.concat(histories, axis=1)  # (epochs, seeds)
        line(axes, table.index, table.T.to_numpy(), key, markevery=max(1, len(table) // 8))
        finals[key] = table.iloc[-1].mean()
        ends[LOOKS[key].short] = (table.index[-1], finals[key], LOOKS[key].color)
    label_ends(axes, ends)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return finals


def test_miou(runs: Sequence[Run]) -> Exhibit:
    """Test mIoU of every run, means, and the differences from U-Net with intervals."""
    groups = by_variant(runs)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(PAGE, 0.55 + 0.36 * len(groups)), width_ratios=(3, 2), sharey=True
    )
    found = []
    for row, (key, group) in enumerate(groups.items()):
        scores = np.array([100 * run.miou for run in group])
        dots(left, row, scores, key, 4.5)
        left.annotate(f"{scores.mean():.1f}", (scores.mean(), row), (0, 9), ha="center",
                      textcoords="offset points", color=legible(LOOKS[key].color))  # fmt: skip
        if key != "unet" and "unet" in groups:
            estimate = MIOU.compare(group, groups["unet"])
            low, value, high = (100 * x for x in (estimate.low, estimate.value, estimate.high))
            interval(right, [row], [low], [value], [high], key)
            found.append((key in VARIANTS, abs(value), TITLES[key], estimate))
    right.axvline(0, color=INK, lw=0.8, zorder=0)
    left.set(title="test mIoU (%)")
    right.set(title="difference from U-Net (points)")
    plain_rows(left, [TITLES[key] for key in groups])
    plain_rows(right)
    finding = ""
    if found:
        *_, title, estimate = max(found)  # of the study's networks, if there are any
        finding = (
            f"The {title} differs most from the U-Net, by {points(estimate.value)} "
            f"({interval_text(estimate)}). "
        )
    return Exhibit(
        figure,
        "fig-miou",
        f"{finding}Left: test mIoU of every run (faint) and means (bars). Right: the difference "
        "from U-Net with its 95 % interval.",
        "Dot chart of test mIoU and of differences from U-Net.",
        file="test_metric.png",
    )


test_miou.__test__ = False  # a chart, and no test that pytest should collect


def fine_structures(runs: Sequence[Run]) -> Exhibit:
    """mIoU near the outlines and components missed, each network beside the U-Net."""
    near, missed = {}, {}
    for key, group in of_the_study(runs).items():
        trimaps = [run.structure["trimap"].astype(np.int64).sum(0) for run in group]
        near[key] = 100 * np.stack([nan_mean(trimap_iou(trimap)) for trimap in trimaps])
        counts = [run.structure["components"].astype(np.int64).sum((0, 1)) for run in group]
        missed[key] = 100 * ratio(np.stack(counts), 1, 0)
    reference = "unet" if "unet" in near else next(iter(near))
    others = [key for key in near if key != reference] or [reference]
    figure, (above, below) = plt.subplots(
        2, len(others), squeeze=False, figsize=(PAGE, 3.9), sharey="row", sharex="row"
    )
    for key, upper, lower in zip(others, above, below):
        for name in dict.fromkeys((reference, key)):
            line(upper, np.arange(1, BANDS + 1), near[name], name, ms=2.5, lw=1.1)
            line(lower, np.arange(len(SIZE_NAMES)), missed[name], name, ms=2.5, lw=1.1)
        upper.set_title(LOOKS[key].short, color=legible(LOOKS[key].color))
        lower.set_xticks(range(len(SIZE_NAMES)), SIZE_NAMES, rotation=40, ha="right", fontsize=6.5)
    above[0].set_ylabel("mIoU near outlines (%)")
    below[0].set_ylabel("objects missed (%)")
    above[len(others) // 2].set_xlabel("half width of the band (px)")
    below[len(others) // 2].set_xlabel("size of the object (px)")
    found = []
    for key in near:
        by_outline, lost = near[key].mean(0)[0] / 100, missed[key].mean(0)[0] / 100
        found.append(f"{LOOKS[key].short} {percent(by_outline)} ({whole_percent(lost)})")
    return Exhibit(
        figure,
        "fig-fine",
        "mIoU within a pixel of the outlines, and in brackets the share missed of objects under "
        f"{SIZE_NAMES[0].split()[-1]} px: {'; '.join(found)}. Each panel sets one network beside "
        f"the {TITLES[reference]}. Above: mIoU of the pixels near an outline of the ground truth, "
        "by the width of the band. Below: share of the connected components of the ground truth "
        "that no predicted pixel of their class touches, by size. Means over seeds, bands from the "
        "lowest to the highest.",
        "Small line charts of mIoU against band width and of missed components by size.",
    )


def balance(splits: dict[str, Dataset]) -> Exhibit:
    """Share of the pixels of every class in each split, on a logarithmic scale."""
    pixels = {name: np.asarray(split.pixels_per_class()) for name, split in splits.items()}
    classes, order = splits["train"].classes, np.argsort(-pixels["train"], kind="stable")
    figure, axes = plt.subplots(figsize=(PAGE, 0.5 + 0.14 * len(order)))
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


def class_scores(runs: Sequence[Run]) -> Exhibit:
    """Test IoU of every class for U-Net, and how far each other network is from it."""
    groups, classes, order = of_the_study(runs), runs[0].classes, by_frequency(runs[0])
    reference = "unet" if "unet" in groups else next(iter(groups))
    drawn = [run for group in groups.values() for run in group]
    table = class_differences(drawn)  # its classes are in this order
    others = [key for key in groups if key in set(table.variant)]
    columns = min(ACROSS, 1 + len(others))
    lines = -(-(1 + len(others)) // columns)
    figure, panels = plt.subplots(
        lines, columns, squeeze=False, sharey=True,
        figsize=(PAGE, lines * (0.55 + 0.2 * len(order))),
    )  # fmt: skip
    first, *rest = panels.flat
    rows, look = range(len(order)), LOOKS[reference]
    values = 100 * np.stack([run.iou for run in groups[reference]])[:, order]
    interval(first, rows, values.min(0), values.mean(0), values.max(0), reference)
    first.set(xlim=(-2, 102), xlabel="test IoU (%)")
    first.set_title(look.short, color=legible(look.color))
    widest = 105 * max(0.01, table[["low", "high"]].abs().max(axis=None))
    for axes, key in zip(rest, others):
        own = table[table.variant == key]
        interval(axes, rows, 100 * own.low, 100 * own.value, 100 * own.high, key)
        axes.axvline(0, color=INK, lw=0.8, zorder=0)
        axes.set(xlim=(-widest, widest), xlabel="difference (points)")
        axes.set_title(f"{LOOKS[key].short} − {look.short}", color=legible(LOOKS[key].color))
    for index, axes in enumerate(panels.flat[: 1 + len(others)]):
        _class_rows(axes, classes, order, colored=index % columns == 0)
        axes.tick_params(labelleft=index % columns == 0)
    for axes in panels.flat[1 + len(others) :]:
        axes.set_axis_off()
    finding, lost = "", table[table.variant == "unet-noskip"].dropna(subset="value")
    if len(lost):
        worst = lost.loc[lost.value.idxmin()]
        name, change = literal(worst["class"]), points(-worst.value)
        finding = f"Without skips {name} loses most, {change}. "
    return Exhibit(
        figure,
        "fig-classes",
        f"{finding}First panel: test IoU of the {TITLES[reference]}, mean and range over seeds; "
        "the others: differences from it with 95 % intervals over seeds and images (with one seed, "
        f"over images alone), not adjusted for their number; {seeds_of(groups)} per network. "
        "Classes from frequent to rare.",
        "Dot charts of class IoU, and of differences from the U-Net with intervals.",
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


def class_differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the difference from U-Net in each class's test IoU with its interval, fractions."""
    groups, rows = by_variant(runs), []
    reference = groups.pop("unet", [])
    for key, group in groups.items() if reference else ():
        own, base = (np.stack([_overlaps(run.per_image) for run in each])
                     for each in (group, reference))  # fmt: skip
        for k in by_frequency(runs[0]):
            frames = frames_of(group[0], group[0].image_names)
            counts = [own[:, :, k], base[:, :, k]]
            estimate = contrast_counts(counts, (1, -1), ratio, frames)
            name = runs[0].classes.names[k]
            rows.append((key, name, estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["variant", "class", "value", "low", "high"])


def _overlaps(confusions: np.ndarray) -> np.ndarray:
    """Return intersection and union of every class: (N, K, K) -> (N, K, 2)."""
    intersection = np.diagonal(confusions, axis1=1, axis2=2)
    union = confusions.sum(1) + confusions.sum(2) - intersection
    return np.stack([intersection, union], -1)
