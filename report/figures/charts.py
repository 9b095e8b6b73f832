"""The charts of training and of test mIoU, each with its caption."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lib.metrics import nan_mean
from lib.models import TITLES
from lib.records import Run, by_variant
from lib.structure import BANDS, SIZE_NAMES, ratio, trimap_iou
from report.evidence.design import BLOCKS, CELLS, SKIPS
from report.evidence.findings import conditions
from report.evidence.measures import MIOU
from report.evidence.statistics import Estimate
from report.figures.show import Exhibit
from report.figures.style import (
    COLUMN, FAINT, GREY, INK, LOOKS, PAGE, label_ends, legible, plain_rows,
)  # fmt: skip


def training(run: Run) -> Exhibit:
    """One run: both losses at the left, validation mIoU and the tested epoch at the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
    look, tested = LOOKS[run.variant], run.tested_epoch
    history = run.history.set_index("epoch")
    validated = history.dropna()
    left.plot(history.index, history.train_loss, color=look.color, label="training")
    left.plot(validated.index, validated.val_loss, color=look.color, ls=(0, (4, 2)),
              label="validation")  # fmt: skip
    label_ends(left, {
        "training": (history.index[-1], history.train_loss.iloc[-1], look.color),
        "validation": (validated.index[-1], validated.val_loss.iloc[-1], look.color),
    })  # fmt: skip
    right.plot(validated.index, 100 * validated.val_miou, color=look.color, marker=look.marker,
               ms=3, label=run.title)  # fmt: skip
    right.axvline(tested, color=FAINT, zorder=0)
    right.annotate("tested", (tested, right.get_ylim()[0]), (-3, 3), textcoords="offset points",
                   ha="right", color=GREY, fontsize=7)  # fmt: skip
    left.set(xlabel="epoch", ylabel="loss (nats per pixel)")
    right.set(xlabel="epoch", ylabel="validation mIoU (%)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    epochs = run.config["epochs"]
    which = "the last one" if tested == epochs else "the best on validation"
    return Exhibit(
        figure,
        f"fig-curves-{run.variant}",
        f"{run.title}: training and validation loss (left) and validation mIoU (right). The line "
        f"marks epoch {tested}, {which}, whose weights are tested. {conditions(run)}.",
        f"Line charts of loss and validation mIoU of the {run.title} over {epochs} epochs.",
    )


def loss(runs: Sequence[Run]) -> Exhibit:
    """Training and validation loss by epoch, side by side on one scale."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6), sharey=True)
    _by_epoch(left, runs, "train_loss")
    _by_epoch(right, runs, "val_loss")
    left.set(title="training", ylabel="loss (nats per pixel)")
    right.set(title="validation")
    return Exhibit(
        figure,
        "fig-loss",
        "Training loss (left) and validation loss (right) by epoch: means over seeds, bands from "
        "the lowest to the highest seed.",
        "Line charts of the loss of the networks.",
        file="loss_curves.png",
    )


def convergence(runs: Sequence[Run]) -> Exhibit:
    """Validation mIoU by epoch (means over seeds) and by seconds of training (every run)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6), sharey=True)
    _by_epoch(left, runs, "val_miou", scale=100)
    left.set(ylabel="validation mIoU (%)")
    for run in runs:
        look = LOOKS[run.variant]
        history = run.history.assign(clock=run.history.seconds.cumsum())
        history = history.dropna(subset=["val_miou"])
        right.plot(history.clock, 100 * history.val_miou, color=look.color, ls=look.line, lw=1,
                   alpha=0.8)  # fmt: skip
    right.set(xlabel="seconds of training")
    return Exhibit(
        figure,
        "fig-convergence",
        "Validation mIoU by epoch (left, means over seeds) and by seconds of training (right, "
        "every run). Colours as in @fig-loss.",
        "Line charts of validation mIoU by epoch and by time.",
    )


def _by_epoch(axes: Axes, runs: Sequence[Run], column: str, scale: float = 1.0) -> None:
    """Draw one column of the history: means over seeds, bands from lowest to highest."""
    ends = {}
    for key, group in by_variant(runs).items():
        look = LOOKS[key]
        histories = [run.history.set_index("epoch")[column].dropna() for run in group]
        table = scale * pd.concat(histories, axis=1)
        mean = table.mean(axis=1)
        axes.plot(mean.index, mean, color=look.color, ls=look.line, marker=look.marker, ms=2.8,
                  markevery=max(1, len(mean) // 8), label=look.short)  # fmt: skip
        axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=look.color,
                          alpha=0.15, lw=0)  # fmt: skip
        ends[look.short] = (mean.index[-1], mean.iloc[-1], look.color)
    label_ends(axes, ends)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def test_miou(runs: Sequence[Run]) -> Exhibit:
    """Test mIoU of every run, means, and the differences from U-Net with intervals."""
    groups = by_variant(runs)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(PAGE, 0.55 + 0.4 * len(groups)), width_ratios=(3, 2), sharey=True
    )
    for row, (key, group) in enumerate(groups.items()):
        look = LOOKS[key]
        scores = np.array([100 * run.miou for run in group])
        left.plot(scores, np.full(len(scores), row), look.marker, color=look.color, ms=4.5,
                  alpha=0.55, mew=0)  # fmt: skip
        left.plot(scores.mean(), row, "|", color=look.color, ms=15, mew=1.8)
        left.annotate(f"{scores.mean():.1f}", (scores.mean(), row), (0, 9), ha="center",
                      textcoords="offset points", color=legible(look.color))  # fmt: skip
        if key != "unet" and "unet" in groups:
            _interval(right, row, MIOU.compare(group, groups["unet"])[0], look.color)
    right.axvline(0, color=INK, lw=0.8, zorder=0)
    left.set(title="test mIoU (%)")
    right.set(title="difference from U-Net (points)")
    plain_rows(left, [TITLES[key] for key in groups])
    plain_rows(right)
    return Exhibit(
        figure,
        "fig-miou",
        "Test mIoU of every run (faint) and the mean of each network (bar) at the left; the "
        "difference from U-Net with its 95 % interval at the right.",
        "Dot chart of test mIoU and of differences from U-Net.",
        file="test_metric.png",
    )


test_miou.__test__ = False  # a chart, and no test that pytest should collect


def _interval(axes: Axes, row: int, estimate: Estimate, color: str) -> None:
    axes.hlines(row, 100 * estimate.low, 100 * estimate.high, color=color, lw=2, alpha=0.6)
    axes.plot(100 * estimate.value, row, "o", color=color, ms=4)


def fine_structures(runs: Sequence[Run]) -> Exhibit:
    """mIoU near the outlines by the band's width, and components missed by their size."""
    outlines, missed = {}, {}
    for key, group in by_variant(runs).items():
        trimaps = [run.structure["trimap"].astype(np.int64).sum(0) for run in group]
        outlines[key] = 100 * np.stack([nan_mean(trimap_iou(trimap)) for trimap in trimaps])
        counts = [run.structure["components"].astype(np.int64).sum((0, 1)) for run in group]
        missed[key] = 100 * ratio(np.stack(counts), 1, 0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    _by_size(left, np.arange(1, BANDS + 1), outlines)
    _by_size(right, np.arange(len(SIZE_NAMES)), missed)
    sizes = [name.replace(" and more", " +") for name in SIZE_NAMES]
    right.set_xticks(range(len(SIZE_NAMES)), sizes, rotation=20)
    right.axhline(0, color=FAINT, lw=0.6, zorder=0)
    left.set(xlabel="half width of the band (pixels)", ylabel="mIoU around the outlines (%)")
    right.set(xlabel="size of the component (pixels)", ylabel="missed altogether (%)")
    return Exhibit(
        figure,
        "fig-fine",
        "Left: mIoU of the pixels near an outline of the ground truth, by the width of the band; "
        "the narrower, the more it is about geometry. Right: share of the connected components of "
        "the ground truth that are missed altogether, by their size, all classes together. Means "
        "over seeds, bands from the lowest to the highest.",
        "Line charts of mIoU against band width and of missed components by size, for each "
        "network.",
    )


def _by_size(axes: Axes, places: np.ndarray, scores: dict[str, np.ndarray]) -> None:
    """Draw a line through the means over seeds, scores (S, P) at places (P,), in a band of all."""
    ends = {}
    for key, values in scores.items():
        look, mean = LOOKS[key], values.mean(0)
        axes.plot(places, mean, color=look.color, ls=look.line, marker=look.marker, ms=2.8,
                  label=look.short)  # fmt: skip
        axes.fill_between(places, values.min(0), values.max(0), color=look.color, alpha=0.15, lw=0)
        measured = np.flatnonzero(~np.isnan(mean))
        if len(measured):
            last = measured[-1]
            ends[look.short] = (places[last], mean[last], look.color)
    label_ends(axes, ends)


def interaction(runs: Sequence[Run]) -> Exhibit:
    """Test mIoU by kind of skip, a line for each kind of block; parallel lines add up."""
    groups = by_variant(runs)
    figure, axes = plt.subplots(figsize=(COLUMN, 2.6))
    ends = {}
    for (block, name), variant in zip(BLOCKS.items(), ("unet", "unet-residual")):
        color = LOOKS[variant].color
        means = {}
        for place, skip in enumerate(SKIPS):
            group = groups.get(CELLS[block, skip], [])
            if group:
                scores = [100 * run.miou for run in group]
                axes.plot([place] * len(group), scores, "o", color=color, ms=4, alpha=0.5, mew=0)
                means[place] = np.mean(scores)
        axes.plot(list(means), list(means.values()), color=color)
        place, score = list(means.items())[-1]
        ends[f"{name} blocks"] = (place, score, color)
    label_ends(axes, ends)
    axes.set_xticks(range(len(SKIPS)), [f"{name} skips" for name in SKIPS.values()])
    axes.set(ylabel="test mIoU (%)")
    return Exhibit(
        figure,
        "fig-interaction",
        "Test mIoU by kind of skip: lines join means, dots are runs.",
        "Line chart of test mIoU by kind of skip.",
    )
