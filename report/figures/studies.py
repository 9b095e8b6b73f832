"""The figures of what was measured on trained networks for the theory chapter, with captions.

They are made from records alone. Means are over seeds; bands reach from the lowest to the highest
seed, bars are 95 % intervals. A figure whose records are missing is left out.
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lib.metrics import mean_iou
from lib.models import DEPTH, VARIANTS
from lib.records import Run, by_variant
from lib.structure import SIZE_NAMES, ratio
from lib.studies.gates import DISTANCE_NAMES
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from lib.studies.landscape import GRID
from report.evidence.design import SKIP_EFFECTS, estimates
from report.evidence.measure import Measure, with_studies
from report.evidence.measures import BOUNDARY, MIOU, OUTLINES_BELOW
from report.evidence.readings import (
    NotMeasured, against_intact, by_frequency, largest_curvature, probed, studied,
)  # fmt: skip
from report.evidence.scores import class_mean, explained
from report.evidence.statistics import Estimate
from report.evidence.wording import interval_text, percent, points, seeds_of, size_text
from report.figures.show import Exhibit
from report.figures.style import FAINT, INK, LOOKS, PAGE, line, plain

LEVELS = ("#08306b", "#2171b5", "#6baed6", "#a6bddb")  # colours, finest to coarsest
NO_SKIPS, GATED = "unet-noskip", "unet-gated-attention"
PARTS = (("encoder", "-"), ("from below", ":"), ("joined", "--"))  # what the probes read
HIGHEST = 10.0  # nats per pixel: where the colours of the slices end
CONFUSIONS, COMPONENTS = "conditions.confusions", "structure.components"  # as studies store them
Groups = dict[str, list[Run]]


def of_networks(*networks: str, studied: bool = True) -> Callable:
    """Make a figure of groups of runs into one of any runs; None where they lack what it shows.

    Only studied runs count, if the figure is one of studies.
    """

    def decorate(figure: Callable[[Groups], Exhibit]) -> Callable[[Sequence[Run]], Exhibit | None]:
        @wraps(figure)
        def measured(runs: Sequence[Run]) -> Exhibit | None:
            groups = by_variant(with_studies(runs) if studied else runs)
            groups = {key: group for key, group in groups.items() if key in networks}
            try:
                return figure(groups) if groups else None
            except NotMeasured:
                plt.close()
                return None

        return measured

    return decorate


def extent(groups: Groups, images: bool = True) -> str:
    """Return how many seeds, and test images, a figure rests on, in a sentence."""
    seeds = seeds_of(groups)
    if not images:
        return f"{seeds} per network."
    first = next(iter(groups.values()))[0]
    return f"{seeds} per network, {len(studied(first, 'names'))} test images."


def skips(runs: Sequence[Run]) -> Exhibit | None:
    """What each skip of the U-Net is worth: cut in a trained network, and trained without."""
    group = with_studies(by_variant(runs).get("unet", []))
    if not group or not all("conditions.names" in run.studies for run in group):
        return None
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(PAGE, 2.7))
    effects = _by_level(first, runs, group, MIOU, mean_iou, CONFUSIONS)
    _by_level(second, runs, group, BOUNDARY, class_mean, "structure.boundary")
    sizes = range(len(SIZE_NAMES))
    for level in range(DEPTH):
        recall = lost(group, f"shuffle {level}", partial(ratio, part=3, whole=2), COMPONENTS)
        third.plot(sizes, 100 * recall.mean(0), "o-", ms=3.5, color=LEVELS[level],
                   label=f"skip {level}")  # fmt: skip
    names = [name.replace(" and more", " +").replace("under ", "< ") for name in SIZE_NAMES]
    third.set_xticks(sizes, names, rotation=30, ha="right")
    third.set(xlabel="size of the thing (px)", ylabel="change of recall (points)")
    first.set(ylabel="change of mIoU (points)")
    second.set(ylabel="change of boundary IoU (points)")
    for axes in (first, second, third):
        axes.axhline(0, color=FAINT, lw=0.8, zorder=0)
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    figure.legend(*third.get_legend_handles_labels(), loc="outside upper right", ncols=4)
    words = ""
    if effects:
        words = (
            " Bars: networks trained without that skip against those trained with it, the mean "
            f"over all subsets of the other skips, with 95 % intervals ({size_text(effects[0])})."
        )
    return Exhibit(
        figure,
        "fig-study-skips",
        "What one skip of the U-Net is worth. A cut shows what the trained network relies on: the "
        f"skip is fed another image's features, or zeros.{words} Right: recall by the size of "
        f"the thing, with another image's features. {extent({'unet': group})}",
        "Three charts: change of mIoU and of boundary IoU by level of the skip, and of recall by "
        "size of the thing.",
    )


def _by_level(
    axes: Axes, runs: Sequence[Run], group: Sequence[Run], measure: Measure, score: Callable,
    array: str,
) -> list[Estimate]:  # fmt: skip
    """Draw what is lost at each level; return what networks trained without each skip lose."""
    levels = np.arange(DEPTH)
    for kind, fill, name in (("shuffle", INK, "another image"), ("zero", "none", "zeros")):
        changes = [lost(group, f"{kind} {level}", score, array).mean() for level in levels]
        axes.plot(levels - 0.12, 100 * np.array(changes), "o", color=INK, mfc=fill, ms=4.5,
                  label=name)  # fmt: skip
    effects = estimates(runs, SKIP_EFFECTS, measure)
    if effects:
        low, value, high = -100 * np.array([(e.low, e.value, e.high) for e in effects]).T
        color = LOOKS[NO_SKIPS].color
        axes.vlines(levels + 0.15, low, high, color=color, lw=2)
        axes.plot(levels + 0.15, value, "s", color=color, ms=4, label="trained without")
    axes.set(xlabel="level of the skip", xticks=levels)
    return effects


def lost(runs: Sequence[Run], name: str, score: Callable, array: str = CONFUSIONS) -> np.ndarray:
    """Return how much a condition changes a score of each run's studied images, (S, ...)."""
    pairs = np.array([against_intact(run, name, array).sum(0) for run in runs])
    return score(pairs[:, 0]) - score(pairs[:, 1])


@of_networks("unet", NO_SKIPS)
def information(groups: Groups) -> Exhibit:
    """What linear probes read from each part: outlines at the left, classes at the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.7))
    _probe_scores(left, groups, "edges", explained)
    _probe_scores(right, groups, "confusions", mean_iou)
    left.set(ylabel="variance of outlines explained (%)")
    right.set(ylabel="mIoU of the probe (%)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=5,
                  handlelength=2.8, markerscale=0, columnspacing=1.2)  # fmt: skip
    finding = ""
    if len(groups) == 2:
        low, finest, alone = (
            percent(np.mean([explained(probed(run, "edges", part).sum(0)) for run in group]))
            for group, part in (
                (groups["unet"], "bottleneck"),
                (groups["unet"], "encoder 0"),
                (groups[NO_SKIPS], "bottleneck"),
            )
        )
        finding = (
            f"In the U-Net a linear probe explains {low} of the variance of the outlines from the "
            f"bottleneck and {finest} from encoder level 0; without skips, where everything has to "
            f"pass the bottleneck, {alone} there. {_lost_below(groups['unet'])} "
        )
    return Exhibit(
        figure,
        "fig-study-information",
        f"{finding}What a probe reads at each level: from the encoder (solid), from what comes up "
        "before the skip joins (dotted), and from the two joined (dashed). Left: outlines of the "
        f"labels. Right: classes. {extent(groups)}",
        "Two line charts of linear probes by level for the U-Net with and without skips.",
    )


def _lost_below(unets: Sequence[Run]) -> str:
    """Return whether the bottleneck of the U-Net holds less of the outlines than level 0."""
    change, _ = OUTLINES_BELOW.contrast([unets], [1])
    interval = f"{points.signed(change.value)}, {interval_text(change)}"
    if change.high < 0:
        return f"The bottleneck holds less of them ({interval})."
    return f"That is no evidence that the bottleneck loses them ({interval})."


def _probe_scores(axes: Axes, groups: Groups, array: str, score: Callable) -> None:
    for key, group in groups.items():
        for name, style in PARTS:
            if name == "joined" and key == NO_SKIPS:
                continue  # nothing joins
            read = [f"{name} {level}" for level in range(DEPTH)]
            if name != "joined":
                read.append("bottleneck")
            values = [[score(probed(run, array, part).sum(0)) for part in read] for run in group]
            line(axes, range(len(read)), 100 * np.array(values), key, ls=style,
                 label=f"{LOOKS[key].short}, {name}")  # fmt: skip
    axes.set(xlabel="level (4: bottleneck)", xticks=range(DEPTH + 1))


@of_networks(*VARIANTS)
def under_disturbances(groups: Groups) -> Exhibit:
    """Change of mIoU under noise on the skips, clutter in them, and noise on the image."""
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 2.4), sharey=True)
    for axes, kind, strengths, label in (
        (panels[0], "skip noise", SKIP_NOISE, "noise on the skips (standard deviations)"),
        (panels[1], "clutter", CLUTTER, "share of another image in the skips"),
        (panels[2], "input noise", INPUT_NOISE, "noise on the image (of its range)"),
    ):
        names = [f"{kind} {strength}" for strength in strengths]
        for key, group in groups.items():
            if names[0] in studied(group[0], "conditions.names"):
                changes = np.transpose([lost(group, name, mean_iou) for name in names])
                with_none = np.pad(100 * changes, ((0, 0), (1, 0)))
                line(axes, (0, *strengths), with_none, key)
        axes.axhline(0, color=FAINT, lw=0.8, zorder=0)
        axes.set(xlabel=label)
    panels[0].set(ylabel="change of mIoU (points)")
    panels[0].legend(loc="best")
    return Exhibit(
        figure,
        "fig-study-disturbances",
        "Change of mIoU under noise added to the features that the skips take, under another "
        f"image's features mixed into them, and under noise on the image. {extent(groups)}",
        "Three line charts of the change of mIoU under noise and clutter.",
    )


@of_networks(GATED)
def coefficients(groups: Groups) -> Exhibit:
    """α by class, by distance to an outline, and on wrong and right pixels, one line a level."""
    runs = groups[GATED]
    order = by_frequency(runs[0])
    names = [plain(runs[0].classes.names[k]) for k in order]
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 3.0), width_ratios=(2.2, 1.3, 0.6),
                                  sharey=True)  # fmt: skip
    for axes, kind, labels, style in (
        (panels[0], "classes", names, "o"),
        (panels[1], "distances", DISTANCE_NAMES, "o-"),
        (panels[2], "correct", ("wrong", "right"), "o-"),
    ):
        means = np.mean([ratio(studied(run, f"gates.{kind}").sum(0)) for run in runs], axis=0)
        if kind == "classes":
            means = means[:, order]
        for level in range(DEPTH):
            axes.plot(range(len(labels)), means[level], style, ms=4, color=LEVELS[level],
                      label=f"level {level}")  # fmt: skip
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        axes.grid(axis="y")
    panels[0].set(ylabel="mean of α", ylim=(0, 1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=4,
                  handletextpad=0.1)  # fmt: skip
    return Exhibit(
        figure,
        "fig-study-coefficients",
        "Mean gate coefficient α at each level: by class, from frequent to rare; by distance to "
        f"the nearest outline; on pixels labelled wrong and right. {extent(groups)}",
        "Three charts of mean attention coefficients by class, by distance to an outline, and by "
        "correctness.",
    )


@of_networks(*VARIANTS)
def slices(groups: Groups) -> Exhibit:
    """The loss around the first run of each network, with the largest curvature of all its runs."""
    logs = {key: np.log10(studied(group[0], "landscape.slice")) for key, group in groups.items()}
    low, high = min(values.min() for values in logs.values()), np.log10(HIGHEST)
    figure, panels = plt.subplots(1, len(groups), figsize=(PAGE, 2.2), sharey=True, squeeze=False)
    for axes, (key, group) in zip(panels[0], groups.items()):
        filled = axes.contourf(GRID, GRID, np.minimum(logs[key], high), cmap="viridis",
                               levels=np.linspace(low, high, 13))  # fmt: skip
        curvature = np.mean([largest_curvature(run) for run in group])
        axes.plot(0, 0, "+", color="white", ms=6)
        axes.set(title=LOOKS[key].short, xlabel=f"curvature {curvature:,.0f}", aspect="equal",
                 xticks=(-1, 0, 1), yticks=(-1, 0, 1))  # fmt: skip
    ticks = np.linspace(low, high, 4)
    bar = figure.colorbar(filled, ax=panels[0], label="loss (nats per pixel)", ticks=ticks,
                          shrink=0.8)  # fmt: skip
    bar.ax.set_yticklabels([f"{10**tick:.2g}" for tick in ticks])
    return Exhibit(
        figure,
        "fig-study-slices",
        "Loss on one fixed batch over two random filter-normalised directions around the trained "
        "network (cross), first seed; colours are logarithmic and end at 10 nats per pixel. Below "
        "each, the largest curvature in these coordinates, the mean over seeds. "
        f"{extent(groups, images=False)}",
        "Four maps of the loss around the trained networks.",
    )
