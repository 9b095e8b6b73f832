"""The charts of training and of test scores, each with its caption.

Networks with a subset of the skips are left out of these: they belong to a design of their own.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.metrics import nan_mean
from lib.models import TITLES, VARIANTS
from lib.records import Run, by_variant
from lib.structure import BANDS, SIZE_NAMES, ratio
from report.evidence.design import BLOCKS, CELLS, SKIPS
from report.evidence.findings import conditions
from report.evidence.measures import MIOU
from report.evidence.scores import trimap_iou
from report.evidence.wording import interval_text, listed, nats, percent, points, whole_percent
from report.figures.show import Exhibit
from report.figures.style import (
    COLUMN, DASHED, FAINT, GREY, INK, LOOKS, PAGE, label_ends, legible, plain_rows,
    without_subsets,
)  # fmt: skip


def training(run: Run) -> Exhibit:
    """One run: both losses at the left, validation mIoU and the tested epoch at the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
    look, tested = LOOKS[run.variant], run.tested_epoch
    history = run.history.set_index("epoch")
    validated = history.dropna()
    curves = {"training": history.train_loss, "validation": validated.val_loss}
    for (name, curve), line in zip(curves.items(), ("-", DASHED)):
        left.plot(curve.index, curve, color=look.color, ls=line, label=name)
    ends = {name: (curve.index[-1], curve.iloc[-1], look.color) for name, curve in curves.items()}
    label_ends(left, ends)
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
    which = "the last" if tested == epochs else "the best on validation"
    training, validation = (nats.number(curve.iloc[-1]) for curve in curves.values())
    return Exhibit(
        figure,
        f"fig-curves-{run.variant}",
        f"The {run.title} ends with a training loss of {training} and a validation loss of "
        f"{validation} nats per pixel, and a validation mIoU of "
        f"{percent(validated.val_miou.iloc[-1])}. The weights of epoch {tested}, {which}, are "
        f"tested. {conditions(run)}.",
        f"Line charts of loss and validation mIoU of the {run.title} over {epochs} epochs.",
    )


def loss(runs: Sequence[Run]) -> Exhibit:
    """Training and validation loss by epoch, side by side on one scale."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.8), sharey=True)
    finals = _by_epoch(left, runs, "train_loss")
    _by_epoch(right, runs, "val_loss")
    left.set(title="training", ylabel="loss (nats per pixel)")
    right.set(title="validation")
    return Exhibit(
        figure,
        "fig-loss",
        f"{_ends(finals, 'training loss', nats)} Training loss (left) and validation loss (right) "
        "by epoch: means over seeds, bands from the lowest to the highest seed.",
        "Line charts of the loss of the networks.",
        file="loss_curves.png",
    )


def convergence(runs: Sequence[Run]) -> Exhibit:
    """Validation mIoU by epoch (means over seeds) and by seconds of training (every run)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.8), sharey=True)
    finals = _by_epoch(left, runs, "val_miou", scale=100)
    left.set(ylabel="validation mIoU (%)")
    for key, group in without_subsets(runs).items():
        look = LOOKS[key]
        for run in group:
            history = run.history.assign(clock=run.history.seconds.cumsum())
            history = history.dropna(subset=["val_miou"])
            right.plot(history.clock, 100 * history.val_miou, color=look.color, ls=look.line,
                       lw=1, alpha=0.8)  # fmt: skip
    right.set(xlabel="seconds of training")
    shares = {key: value / 100 for key, value in finals.items()}
    return Exhibit(
        figure,
        "fig-convergence",
        f"{_ends(shares, 'validation mIoU', percent)} Left: by epoch, means over seeds, bands from "
        "the lowest to the highest. Right: by seconds of training, every run, colours as at the "
        "left.",
        "Line charts of validation mIoU by epoch and by time.",
    )


def _ends(finals: dict[str, float], what: str, unit: callable) -> str:
    """Who ends lowest and who highest, in a sentence."""
    low, high = min(finals, key=finals.get), max(finals, key=finals.get)
    if low == high:
        return f"The {TITLES[low]} ends with a {what} of {unit(finals[low])}."
    return (
        f"The {what} ends lowest for the {TITLES[low]} ({unit(finals[low])}) and highest for the "
        f"{TITLES[high]} ({unit(finals[high])})."
    )


def _by_epoch(
    axes: Axes, runs: Sequence[Run], column: str, scale: float = 1.0
) -> dict[str, float]:
    """Draw one column of the history, and return the final mean of each network."""
    ends, finals = {}, {}
    for key, group in without_subsets(runs).items():
        look = LOOKS[key]
        histories = [run.history.set_index("epoch")[column].dropna() for run in group]
        table = scale * pd.concat(histories, axis=1)
        mean = table.mean(axis=1)
        axes.plot(mean.index, mean, color=look.color, ls=look.line, marker=look.marker, ms=2.8,
                  markevery=max(1, len(mean) // 8), label=look.short)  # fmt: skip
        axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=look.color,
                          alpha=0.15, lw=0)  # fmt: skip
        finals[key] = mean.iloc[-1]
        ends[look.short] = (mean.index[-1], finals[key], look.color)
    label_ends(axes, ends)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return finals


def test_miou(runs: Sequence[Run]) -> Exhibit:
    """Test mIoU of every run, means, and the differences from U-Net with intervals."""
    groups = without_subsets(runs)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(PAGE, 0.55 + 0.36 * len(groups)), width_ratios=(3, 2), sharey=True
    )
    found = []
    for row, (key, group) in enumerate(groups.items()):
        look = LOOKS[key]
        scores = np.array([100 * run.miou for run in group])
        left.plot(scores, np.full(len(scores), row), look.marker, color=look.color, ms=4.5,
                  alpha=0.55, mew=0)  # fmt: skip
        left.plot(scores.mean(), row, "|", color=look.color, ms=15, mew=1.8)
        left.annotate(f"{scores.mean():.1f}", (scores.mean(), row), (0, 9), ha="center",
                      textcoords="offset points", color=legible(look.color))  # fmt: skip
        if key != "unet" and "unet" in groups:
            estimate = MIOU.compare(group, groups["unet"])[0]
            right.hlines(row, 100 * estimate.low, 100 * estimate.high, color=look.color, lw=2,
                         alpha=0.6)  # fmt: skip
            right.plot(100 * estimate.value, row, look.marker, color=look.color, ms=4.5)
            found.append((key in VARIANTS, abs(estimate.value), TITLES[key], estimate))
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
    for key, group in without_subsets(runs).items():
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
        _against(upper, np.arange(1, BANDS + 1), near, key, reference)
        _against(lower, np.arange(len(SIZE_NAMES)), missed, key, reference)
        upper.set_title(LOOKS[key].short, color=legible(LOOKS[key].color))
        lower.set_xticks(range(len(SIZE_NAMES)), SIZE_NAMES, rotation=40, ha="right", fontsize=6.5)
    above[0].set_ylabel("mIoU near outlines (%)")
    below[0].set_ylabel("objects missed (%)")
    _label_below(figure, above, "half width of the band (px)")
    _label_below(figure, below, "size of the object (px)")
    smallest = {key: (near[key].mean(0)[0], missed[key].mean(0)[0]) for key in near}
    found = [
        f"{LOOKS[key].short} {percent(near_outline / 100)} ({whole_percent(lost / 100)})"
        for key, (near_outline, lost) in smallest.items()
    ]
    return Exhibit(
        figure,
        "fig-fine",
        "mIoU within a pixel of the outlines, and in brackets the share missed of objects under "
        f"{SIZE_NAMES[0].split()[-1]} px: {'; '.join(found)}. Each panel sets one network "
        f"beside the {TITLES[reference]}. Above: mIoU of the pixels near an outline of the ground "
        "truth, by "
        "the width of the band. Below: share of the connected components of the ground truth that "
        "no predicted pixel of their class touches, by size. Means over seeds, bands from the "
        "lowest to the highest.",
        "Small line charts of mIoU against band width and of missed components by size.",
    )


def _label_below(figure: Figure, row: np.ndarray, text: str) -> None:
    """Name the x axis of a row of panels once, below its middle."""
    row[len(row) // 2].set_xlabel(text)


def _against(
    axes: Axes, places: np.ndarray, scores: dict[str, np.ndarray], key: str, reference: str
) -> None:
    """Draw a network and the reference: means over seeds of scores (S, P) at places (P,)."""
    for name in dict.fromkeys((reference, key)):
        look, values = LOOKS[name], scores[name]
        axes.plot(places, values.mean(0), color=look.color, ls=look.line, marker=look.marker,
                  ms=2.5, lw=1.1, label=look.short)  # fmt: skip
        axes.fill_between(places, values.min(0), values.max(0), color=look.color, alpha=0.18, lw=0)


def interaction(runs: Sequence[Run]) -> Exhibit:
    """Test mIoU by kind of skip, a line for each kind of block; parallel lines add up."""
    groups = by_variant(runs)
    figure, axes = plt.subplots(figsize=(COLUMN, 2.6))
    ends, gains = {}, {}
    for (block, name), variant in zip(BLOCKS.items(), ("unet", "unet-residual")):
        look = LOOKS[variant]
        means = {}
        for place, skip in enumerate(SKIPS):
            group = groups.get(CELLS[block, skip], [])
            if group:
                scores = [100 * run.miou for run in group]
                axes.plot([place] * len(group), scores, look.marker, color=look.color, ms=4,
                          alpha=0.5, mew=0)  # fmt: skip
                means[place] = np.mean(scores)
        axes.plot(list(means), list(means.values()), color=look.color, label=f"{name} blocks")
        place, score = list(means.items())[-1]
        ends[f"{name} blocks"] = (place, score, look.color)
        if {0, 1} <= means.keys():
            gains[name] = (means[1] - means[0]) / 100
    label_ends(axes, ends)
    axes.set_xticks(range(len(SKIPS)), [f"{name} skips" for name in SKIPS.values()])
    axes.set(ylabel="test mIoU (%)")
    found = [f"{points(gain)} with {name} blocks" for name, gain in gains.items()]
    finding = f"Skips add {listed(found)}. " if found else ""
    return Exhibit(
        figure,
        "fig-interaction",
        f"{finding}Test mIoU by kind of skip: lines join means, dots are runs; parallel lines mean "
        "that blocks and skips add up.",
        "Line chart of test mIoU by kind of skip.",
    )
