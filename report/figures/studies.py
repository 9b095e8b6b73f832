"""The figures of what was measured on trained networks for the theory chapter, from records alone.

Means over seeds; where a chart compares networks, bands and bars reach from the lowest to the highest seed.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.metrics import mean_iou, nan_mean
from lib.models import DEPTH
from lib.records import Run
from lib.structure import SIZE_NAMES, ratio
from lib.studies.depth import DEPTHS, NORMALISED
from lib.studies.gates import DISTANCE_NAMES
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from lib.studies.landscape import GRID
from report.evidence.readings import condition, fading, probed, studied
from report.evidence.scores import explained
from report.figures.style import COLORS, FAINT, LINES, MARKERS, PAGE, SHORT, plain

LEVELS = ("#08306b", "#2171b5", "#6baed6", "#a6bddb")  # finest to coarsest
Groups = dict[str, list[Run]]


def _line(axes: Axes, x: Sequence[float], values: np.ndarray, variant: str, **style: object) -> None:
    """values (S, X): the mean with a band, in the variant's colour."""
    look = {"color": COLORS[variant], "marker": MARKERS[variant], "ls": LINES[variant], "ms": 3.5, "label": SHORT[variant]}
    axes.plot(x, values.mean(0), **look | style)
    axes.fill_between(x, values.min(0), values.max(0), color=(look | style)["color"], alpha=0.15, lw=0)


def _zero(axes: Axes) -> None:
    axes.axhline(0, color=FAINT, lw=0.8, zorder=0)


def lesions(groups: Groups) -> Figure:
    """mIoU and boundary IoU lost by level of the lesion, and for U-Net the recall lost by size of the thing."""
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    levels, shift = np.arange(DEPTH), np.linspace(-0.12, 0.12, len(groups))
    for offset, (key, group) in zip(shift, groups.items()):
        for kind, fill in (("shuffle", COLORS[key]), ("zero", "none")):
            lost = np.array([[_score(run, f"{kind} {level}") - _score(run, "intact") for level in levels] for run in group])
            first.plot(levels + offset, 100 * lost.mean(0), MARKERS[key], color=COLORS[key], mfc=fill, ms=4.5,
                       label=SHORT[key] if kind == "shuffle" else None)
            lost = np.array([[_outlines(run, f"{kind} {level}") - _outlines(run, "intact") for level in levels] for run in group])
            second.plot(levels + offset, 100 * lost.mean(0), MARKERS[key], color=COLORS[key], mfc=fill, ms=4.5)
    runs = groups.get("unet") or next(iter(groups.values()))
    for level in levels:
        lost = np.array([_recall(run, f"shuffle {level}") - _recall(run, "intact") for run in runs])
        third.plot(range(len(SIZE_NAMES)), 100 * lost.mean(0), "o-", ms=3.5, color=LEVELS[level], label=f"skip {level}")
    for axes, what in ((first, "mIoU"), (second, "boundary IoU")):
        axes.set(xlabel="level of the skip", ylabel=f"change of {what} (points)", xticks=levels)
    third.set(xlabel="size of the thing (px)", ylabel="change of recall (points)")
    third.set_xticks(range(len(SIZE_NAMES)), [name.replace(" and more", "+").replace("under ", "< ").replace(" to ", "–")
                                             for name in SIZE_NAMES], rotation=30, ha="right")
    for axes in (first, second, third):
        _zero(axes)
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=4, handletextpad=0.1)
    figure.legend(*third.get_legend_handles_labels(), loc="outside upper right", ncols=4, handlelength=1.2)
    return figure


def _score(run: Run, name: str) -> float:
    return float(mean_iou(condition(run, name).sum(0)))


def _outlines(run: Run, name: str) -> float:
    return float(nan_mean(ratio(condition(run, name, "structure.boundary").sum(0))))


def _recall(run: Run, name: str) -> np.ndarray:
    return ratio(condition(run, name, "structure.components").sum(0), 3, 2)


def information(groups: Groups) -> Figure:
    """What linear probes read from each part: outlines at the left, classes at the right."""
    figure, panels = plt.subplots(1, 2, figsize=(PAGE, 2.7))
    scores = (("edges", explained, "variance of outlines explained (%)"), ("confusions", mean_iou, "mIoU of the probe (%)"))
    for axes, (array, score, label) in zip(panels, scores):
        for key, group in groups.items():
            for name, line in (("encoder", "-"), ("from below", ":"), ("joined", "--"))[: 3 - (key == "unet-noskip")]:
                read = [*(f"{name} {level}" for level in range(DEPTH)), "bottleneck"][: DEPTH + (name != "joined")]
                values = np.array([[score(probed(run, array, part).sum(0)) for part in read] for run in group])
                _line(axes, range(len(read)), 100 * values, key, ls=line, label=f"{SHORT[key]}, {name}")
        axes.set(xlabel="level (4: bottleneck)", ylabel=label, xticks=range(DEPTH + 1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=5, handlelength=2.8, markerscale=0,
                  columnspacing=1.2)
    return figure


def _relative(gradients: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Geometric mean over the steps of a norm by that of the weights, (blocks,)."""
    values = gradients[name] / gradients["weight"]
    return np.exp(np.log(np.maximum(values, 1e-12)).mean(0))


def training_gradients(groups: Groups) -> Figure:
    """Relative gradient and relative update of every block, means over the training; first against last by its course."""
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    for key, group in groups.items():
        for axes, name in zip(panels, ("gradient", "update")):
            _line(axes, range(2 * DEPTH + 1), np.array([_relative(run.gradients, name) for run in group]), key)
        steps = group[0].gradients["steps"]
        _line(panels[2], steps / max(steps.max(), 1), np.array([fading(run.gradients) for run in group]), key, marker="")
    for axes, name in zip(panels, ("gradient", "update")):
        axes.set(yscale="log", ylabel=f"|{name}| / |weights|", xlabel="block")
        axes.set_xticks(range(2 * DEPTH + 1), _blocks(DEPTH))
    panels[2].set(yscale="log", xlabel="share of the training", ylabel="gradient of E0 / gradient of D0")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


def _blocks(depth: int) -> list[str]:
    """Encoder levels, bottleneck, decoder levels: "E0", "B", "D0"."""
    return [*(f"E{level}" for level in range(depth)), "B", *(f"D{level}" for level in reversed(range(depth)))]


def depths(groups: Groups) -> Figure:
    """Relative gradients of deeper networks with and without normalisation."""
    figure, rows = plt.subplots(len(NORMALISED), len(DEPTHS), figsize=(PAGE, 3.8), sharey="row")
    for row, kind in zip(rows, NORMALISED.values()):
        for axes, depth in zip(row, DEPTHS):
            for key, group in groups.items():
                of = [{name: studied(run, f"depth.{depth}, {kind}: {name}") for name in ("gradient", "weight")} for run in group]
                _line(axes, range(2 * depth + 1), np.array([_relative(gradients, "gradient") for gradients in of]), key)
            names = _blocks(depth)
            axes.set(yscale="log", title=f"{depth} levels, {kind}")
            axes.set_xticks(range(0, 2 * depth + 1, 2), names[::2])
        row[0].set(ylabel="|gradient| / |weights|")
    rows[0, 0].legend(loc="best", fontsize=6.5)
    return figure


def disturbances(groups: Groups) -> Figure:
    """Change of mIoU under noise on the skips, clutter in the skips, and noise on the image, by strength."""
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 2.4), sharey=True)
    kinds = (("skip noise", SKIP_NOISE, "noise on the skips (standard deviations)"),
             ("clutter", CLUTTER, "share of another image in the skips"),
             ("input noise", INPUT_NOISE, "noise on the image (of its range)"))
    for axes, (kind, strengths, label) in zip(panels, kinds):
        for key, group in groups.items():
            if f"{kind} {strengths[0]}" not in studied(group[0], "conditions.names"):
                continue
            values = [[_score(run, name) - _score(run, "intact") for name in ("intact", *(f"{kind} {s}" for s in strengths))]
                      for run in group]
            _line(axes, (0, *strengths), 100 * np.array(values), key)
        axes.set(xlabel=label)
        _zero(axes)
    panels[0].set(ylabel="change of mIoU (points)")
    panels[0].legend(loc="best")
    return figure


def coefficients(groups: Groups) -> Figure:
    """α by class, by distance to an outline, and on wrong and right pixels, one line a level."""
    runs = groups["unet-gated-attention"]
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 3.0), width_ratios=(2.2, 1.3, 0.6), sharey=True)
    pixels = np.array(runs[0].record["dataset"]["pixels"]["train"])
    order = np.argsort(-pixels, kind="stable")
    names = {"classes": [plain(runs[0].classes.names[k]) for k in order], "distances": list(DISTANCE_NAMES), "correct": ["wrong", "right"]}
    for axes, (group, labels) in zip(panels, names.items()):
        sums = np.array([studied(run, f"gates.{group}").sum(0) for run in runs])
        means = ratio(sums)[:, :, order] if group == "classes" else ratio(sums)  # (S, levels, groups)
        for level in range(DEPTH):
            axes.plot(range(len(labels)), means[:, level].mean(0), "o" if group == "classes" else "o-", ms=4,
                      color=LEVELS[level], label=f"level {level}")
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        axes.grid(axis="y")
    panels[0].set(ylabel="mean of α", ylim=(0, 1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, handletextpad=0.1)
    return figure


def energy(groups: Groups) -> Figure:
    """Gradient energy across the skips on each class, relative to its share of the pixels, means over levels."""
    runs = next(iter(groups.values()))
    pixels = np.array(runs[0].record["dataset"]["pixels"]["train"])
    order = np.argsort(-pixels, kind="stable")
    figure, axes = plt.subplots(figsize=(PAGE, 2.5))
    shift = dict(zip(groups, np.linspace(-0.2, 0.2, len(groups))))
    for key, group in groups.items():
        sums = np.array([studied(run, "gates.energy")[..., 0].sum(0) for run in group])  # (S, levels, K)
        area = np.array([condition(run, "intact").sum((0, 2)) for run in group])
        density = sums / sums.sum(-1, keepdims=True) / np.maximum(area / area.sum(-1, keepdims=True), 1e-12)[:, None]
        density[:, :, area[0] == 0] = np.nan
        values = np.exp(np.log(density).mean(1))[:, order]
        places = np.arange(len(order)) + shift[key]
        axes.vlines(places, values.min(0), values.max(0), color=COLORS[key], lw=3, alpha=0.25)
        axes.plot(places, values.mean(0), MARKERS[key], color=COLORS[key], ms=4.5, label=SHORT[key])
    axes.axhline(1, color=FAINT, zorder=0)
    axes.set(yscale="log", ylabel="energy share / pixel share")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xticks(range(len(order)), [plain(runs[0].classes.names[k]) for k in order], rotation=30, ha="right")
    axes.legend(loc="best")
    axes.grid(axis="y")
    return figure


def slices(groups: Groups) -> Figure:
    """The loss around the first run of each network, with the largest curvature of all its runs."""
    figure, panels = plt.subplots(1, len(groups), figsize=(PAGE, 2.2), sharey=True, squeeze=False)
    shown = {key: np.log10(studied(group[0], "landscape.slice")) for key, group in groups.items()}
    low, high = min(s.min() for s in shown.values()), np.log10(10)
    for axes, (key, group) in zip(panels[0], groups.items()):
        filled = axes.contourf(GRID, GRID, np.minimum(shown[key], high), levels=np.linspace(low, high, 13), cmap="viridis")
        curvature = np.mean([abs(studied(run, "landscape.curvature")[1, -1]) for run in group])
        axes.plot(0, 0, "+", color="white", ms=6)
        axes.set(title=SHORT[key], xlabel=f"curvature {curvature:,.0f}", xticks=(-1, 0, 1), yticks=(-1, 0, 1), aspect="equal")
    bar = figure.colorbar(filled, ax=panels[0], label="loss (nats per pixel)", ticks=np.linspace(low, high, 4), shrink=0.8)
    bar.ax.set_yticklabels([f"{10**t:.2g}" for t in np.linspace(low, high, 4)])
    return figure
