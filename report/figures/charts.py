"""The charts that compare networks: loss, mIoU, differences with intervals, fine structures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.metrics import nan_mean
from lib.models import TITLES
from lib.records import Run
from lib.structure import BANDS, SIZE_NAMES, ratio, trimap_iou
from report.evidence.design import BLOCKS, CELLS, SKIPS
from report.evidence.measures import MIOU
from report.evidence.statistics import Estimate
from report.figures.style import (
    COLORS, COLUMN, FAINT, INK, LINES, MARKERS, PAGE, SHORT, by_variant, label_ends, legible, mark_classes, plain_rows,
)


def curves(axes: Axes, runs: Sequence[Run], column: str, scale: float = 1.0) -> None:
    """One column of the history by epoch: the mean over seeds of each variant, a band from lowest to highest."""
    ends = {}
    for key, group in by_variant(runs).items():
        table = scale * pd.concat([run.history.set_index("epoch")[column].dropna() for run in group], axis=1)
        mean = table.mean(axis=1)
        axes.plot(mean.index, mean, color=COLORS[key], ls=LINES[key], marker=MARKERS[key], ms=2.8,
                  markevery=max(1, len(mean) // 8), label=SHORT[key])
        axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=COLORS[key], alpha=0.15, lw=0)
        ends[SHORT[key]] = (mean.index[-1], mean.iloc[-1], COLORS[key])
    label_ends(axes, ends)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def loss_curves(runs: Sequence[Run]) -> Figure:
    """Training and validation loss by epoch, side by side on one scale."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6), sharey=True)
    curves(left, runs, "train_loss")
    curves(right, runs, "val_loss")
    left.set(title="training", ylabel="loss (nats per pixel)")
    right.set(title="validation")
    return figure


def miou_curves(runs: Sequence[Run]) -> Figure:
    """Validation mIoU by epoch (means over seeds) and by seconds of training (every run)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6), sharey=True)
    curves(left, runs, "val_miou", scale=100)
    left.set(ylabel="validation mIoU (%)")
    for key, group in by_variant(runs).items():
        for run in group:
            history = run.history.assign(clock=run.history.seconds.cumsum()).dropna(subset=["val_miou"])
            right.plot(history.clock, 100 * history.val_miou, color=COLORS[key], ls=LINES[key], lw=1, alpha=0.8)
    right.set(xlabel="seconds of training")
    return figure


def test_metric(runs: Sequence[Run]) -> Figure:
    """Test mIoU of every run with the mean of its variant, and the differences from U-Net with their intervals."""
    groups = by_variant(runs)
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 0.55 + 0.4 * len(groups)), width_ratios=(3, 2), sharey=True)
    for row, (key, group) in enumerate(groups.items()):
        scores = np.array([100 * run.miou for run in group])
        left.plot(scores, np.full(len(scores), row), MARKERS[key], color=COLORS[key], ms=4.5, alpha=0.55, mew=0)
        left.plot(scores.mean(), row, "|", color=COLORS[key], ms=15, mew=1.8)
        left.annotate(f"{scores.mean():.1f}", (scores.mean(), row), (0, 9), textcoords="offset points", ha="center",
                      color=legible(COLORS[key]))
        if key != "unet" and "unet" in groups:
            _difference(right, row, MIOU.compare(group, groups["unet"])[0], COLORS[key])
    right.axvline(0, color=INK, lw=0.8, zorder=0)
    left.set(title="test mIoU (%)")
    right.set(title="difference from U-Net (points)")
    plain_rows(left, [TITLES[key] for key in groups])
    plain_rows(right)
    return figure


def _difference(axes: Axes, row: int, estimate: Estimate, color: str) -> None:
    axes.hlines(row, 100 * estimate.low, 100 * estimate.high, color=color, lw=2, alpha=0.6)
    axes.plot(100 * estimate.value, row, "o", color=color, ms=4)


def class_differences(differences: pd.DataFrame) -> Figure:
    """`analysis.class_differences`, one row a class, every network beside the others."""
    names = list(dict.fromkeys(differences["class"]))
    variants = [key for key in TITLES if key in set(differences.variant)]
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + 0.24 * len(names)))
    for offset, key in zip(np.linspace(-0.22, 0.22, len(variants)) if len(variants) > 1 else [0.0], variants):
        table = differences[differences.variant == key].set_index("class").loc[names]
        rows = np.arange(len(names)) + offset
        axes.hlines(rows, 100 * table.low, 100 * table.high, color=COLORS[key], lw=1.5, alpha=0.6)
        axes.plot(100 * table.value, rows, MARKERS[key], color=COLORS[key], ms=4, mew=0, label=TITLES[key])
    axes.axvline(0, color=INK, lw=0.8, zorder=0)
    plain_rows(axes, names)
    mark_classes(axes, names)
    axes.grid(axis="y")
    axes.set(xlabel="difference from U-Net in test IoU (points)")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2, handletextpad=0.2)
    return figure


def fine_structures(runs: Sequence[Run]) -> Figure:
    """mIoU near the outlines by the band's width, and the share of components missed altogether by their size."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    _by_size(left, np.arange(1, BANDS + 1), {key: 100 * np.stack([
        nan_mean(trimap_iou(run.structure["trimap"].astype(np.int64).sum(0))) for run in group
    ]) for key, group in by_variant(runs).items()})
    left.set(xlabel="half width of the band (pixels)", ylabel="mIoU around the outlines (%)")
    _by_size(right, np.arange(len(SIZE_NAMES)), {key: 100 * ratio(np.stack([
        run.structure["components"].astype(np.int64).sum((0, 1)) for run in group
    ]), 1, 0) for key, group in by_variant(runs).items()})
    right.set_xticks(range(len(SIZE_NAMES)), [name.replace(" and more", " +") for name in SIZE_NAMES], rotation=20)
    right.axhline(0, color=FAINT, lw=0.6, zorder=0)
    right.set(xlabel="size of the component (pixels)", ylabel="missed altogether (%)")
    return figure


def _by_size(axes: Axes, places: np.ndarray, scores: dict[str, np.ndarray]) -> None:
    """A line through the means over seeds, scores (S, P) at places (P,), and a band from the lowest to the highest."""
    ends = {}
    for key, values in scores.items():
        mean = values.mean(0)
        axes.plot(places, mean, color=COLORS[key], ls=LINES[key], marker=MARKERS[key], ms=2.8, label=SHORT[key])
        axes.fill_between(places, values.min(0), values.max(0), color=COLORS[key], alpha=0.15, lw=0)
        last = np.flatnonzero(~np.isnan(mean))[-1:]
        ends |= {SHORT[key]: (places[i], mean[i], COLORS[key]) for i in last}
    label_ends(axes, ends)


def interaction(runs: Sequence[Run]) -> Figure:
    """Test mIoU by kind of skip, a line for each kind of block through the means, every run a dot; parallel lines add."""
    groups, places = by_variant(runs), dict(zip(SKIPS, range(len(SKIPS))))
    figure, axes = plt.subplots(figsize=(COLUMN, 2.6))
    ends = {}
    for block, color in zip(BLOCKS, (COLORS["unet"], COLORS["unet-residual"])):
        cells = {x: groups[key] for skip, x in places.items() if (key := CELLS[block, skip]) in groups}
        for x, group in cells.items():
            axes.plot([x] * len(group), [100 * run.miou for run in group], "o", color=color, ms=4, alpha=0.5, mew=0)
        means = [np.mean([100 * run.miou for run in group]) for group in cells.values()]
        axes.plot(list(cells), means, color=color)
        ends[f"{BLOCKS[block]} blocks"] = (list(cells)[-1], means[-1], color)
    label_ends(axes, ends)
    axes.set_xticks(list(places.values()), [f"{name} skips" for name in SKIPS.values()])
    axes.set(ylabel="test mIoU (%)")
    return figure
