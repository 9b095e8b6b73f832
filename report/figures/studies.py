"""The figures of what was measured on trained networks for the theory chapter, with captions.

They are drawn from records alone. Means are over seeds; where a chart compares networks, bands and
bars reach from the lowest to the highest seed. Where the records lack something, a sentence that
says so stands in the figure's place.
"""

from collections.abc import Callable, Sequence
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.metrics import mean_iou, nan_mean
from lib.models import DEPTH, TITLES, VARIANTS
from lib.records import Run, by_variant
from lib.structure import SIZE_NAMES, ratio
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from lib.studies.landscape import GRID
from report.evidence.readings import NotMeasured, condition, probed, studied
from report.evidence.scores import explained
from report.evidence.wording import listed
from report.figures.show import Exhibit
from report.figures.style import FAINT, LOOKS, PAGE

LEVELS = ("#08306b", "#2171b5", "#6baed6", "#a6bddb")  # colours, finest to coarsest
NO_SKIPS, GATED = "unet-noskip", "unet-gated-attention"
WITH_SKIPS = ("unet", "unet-residual", GATED)
PARTS = (("encoder", "-"), ("from below", ":"), ("joined", "--"))  # what the probes read
HIGHEST = 10.0  # nats per pixel: where the colours of the slices end
Groups = dict[str, list[Run]]


def of_networks(*networks: str) -> Callable:
    """Make a figure of groups of runs into one of any runs, of which it takes those networks."""

    def decorate(figure: Callable[[Groups], Exhibit]) -> Callable[[Sequence[Run]], Exhibit | str]:
        @wraps(figure)
        def measured(runs: Sequence[Run]) -> Exhibit | str:
            groups = {key: group for key, group in by_variant(runs).items() if key in networks}
            try:
                if not groups:
                    titles = listed([TITLES[key] for key in networks])
                    raise NotMeasured(f"no run of {titles}")
                return figure(groups)
            except NotMeasured as missing:
                return f"*Not measured: {missing}.*"

        return measured

    return decorate


def seeds_of(groups: Groups) -> str:
    """Return how many seeds the networks have, in words."""
    seeds = sorted({len(group) for group in groups.values()})
    number = " to ".join(map(str, seeds))
    return f"{number} seed{'' if seeds == [1] else 's'} per network"


def extent(groups: Groups) -> str:
    """Return how many seeds and test images a figure rests on, in a sentence."""
    first = next(iter(groups.values()))[0]
    images = len(first.studies.get("names", ()))
    return f"{seeds_of(groups)}, {images} test images." if images else f"{seeds_of(groups)}."


def line(axes: Axes, x: Sequence[float], values: np.ndarray, variant: str, **style: object) -> None:
    """Draw the mean of values (seeds, X) with a band, as the variant looks."""
    look = LOOKS[variant]
    default = {"marker": look.marker, "ls": look.line, "ms": 3.5, "label": look.short}
    axes.plot(x, values.mean(0), color=look.color, **default | style)
    axes.fill_between(x, values.min(0), values.max(0), color=look.color, alpha=0.15, lw=0)


def _zero(axes: Axes) -> None:
    axes.axhline(0, color=FAINT, lw=0.8, zorder=0)


@of_networks(*WITH_SKIPS)
def lesions(groups: Groups) -> Exhibit:
    """mIoU and boundary IoU lost by level of the lesion, and for one network recall by size."""
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    _lost_by_level(first, groups, _score)
    _lost_by_level(second, groups, _outlines)
    _lost_by_size(third, groups.get("unet") or next(iter(groups.values())))
    first.set(ylabel="change of mIoU (points)")
    second.set(ylabel="change of boundary IoU (points)")
    for axes in (first, second, third):
        _zero(axes)
    by_network, by_level = first.get_legend_handles_labels(), third.get_legend_handles_labels()
    figure.legend(*by_network, loc="outside upper left", ncols=4, handletextpad=0.1)
    figure.legend(*by_level, loc="outside upper right", ncols=4, handlelength=1.2)
    return Exhibit(
        figure,
        "fig-study-lesions",
        "What a network loses when one skip is cut. Left and middle: mIoU and boundary IoU, for "
        "features of another image (filled) and for zeros (hollow). Right: recall of the U-Net by "
        "the size of the thing, features of another image. A skip that serves small things hurts "
        f"at the left end of its line. {extent(groups)}",
        "Three charts of what is lost by level of the lesion and by size of the thing.",
    )


def _lost_by_level(axes: Axes, groups: Groups, score: Callable[[Run, str], float]) -> None:
    levels = np.arange(DEPTH)
    for offset, (key, group) in zip(np.linspace(-0.12, 0.12, len(groups)), groups.items()):
        look = LOOKS[key]
        for kind, fill, label in (("shuffle", look.color, look.short), ("zero", "none", None)):
            lost = [
                [score(run, f"{kind} {level}") - score(run, "intact") for level in levels]
                for run in group
            ]
            mean = 100 * np.array(lost).mean(0)
            axes.plot(levels + offset, mean, look.marker, color=look.color, mfc=fill, ms=4.5,
                      label=label)  # fmt: skip
    axes.set(xlabel="level of the skip", xticks=levels)


def _lost_by_size(axes: Axes, runs: Sequence[Run]) -> None:
    sizes = range(len(SIZE_NAMES))
    for level in range(DEPTH):
        lost = [_recall(run, f"shuffle {level}") - _recall(run, "intact") for run in runs]
        mean = 100 * np.array(lost).mean(0)
        axes.plot(sizes, mean, "o-", ms=3.5, color=LEVELS[level], label=f"skip {level}")
    axes.set(xlabel="size of the thing (px)", ylabel="change of recall (points)")
    axes.set_xticks(sizes, [_brief(name) for name in SIZE_NAMES], rotation=30, ha="right")


def _brief(size: str) -> str:
    return size.replace(" and more", "+").replace("under ", "< ").replace(" to ", "–")


def _score(run: Run, name: str) -> float:
    return float(mean_iou(condition(run, name).sum(0)))


def _outlines(run: Run, name: str) -> float:
    return float(nan_mean(ratio(condition(run, name, "structure.boundary").sum(0))))


def _recall(run: Run, name: str) -> np.ndarray:
    return ratio(condition(run, name, "structure.components").sum(0), 3, 2)


@of_networks("unet", NO_SKIPS)
def information(groups: Groups) -> Exhibit:
    """What linear probes read from each part: outlines at the left, classes at the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.7))
    _probes(left, groups, "edges", explained)
    _probes(right, groups, "confusions", mean_iou)
    left.set(ylabel="variance of outlines explained (%)")
    right.set(ylabel="mIoU of the probe (%)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=5,
                  handlelength=2.8, markerscale=0, columnspacing=1.2)  # fmt: skip
    return Exhibit(
        figure,
        "fig-study-information",
        "What a linear map reads off the features of each level: the encoder's (solid), what comes "
        "up from below before the skip joins (dotted), and the two joined (dashed). Left: outlines "
        f"of the labels. Right: the classes. {extent(groups)}",
        "Two line charts of linear probes by level for the U-Net with and without skip "
        "connections.",
    )


def _probes(axes: Axes, groups: Groups, array: str, score: Callable) -> None:
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
def disturbances(groups: Groups) -> Exhibit:
    """Change of mIoU under noise on the skips, clutter in them, and noise on the image."""
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 2.4), sharey=True)
    _disturbed(panels[0], groups, "skip noise", SKIP_NOISE)
    _disturbed(panels[1], groups, "clutter", CLUTTER)
    _disturbed(panels[2], groups, "input noise", INPUT_NOISE)
    panels[0].set(xlabel="noise on the skips (standard deviations)")
    panels[1].set(xlabel="share of another image in the skips")
    panels[2].set(xlabel="noise on the image (of its range)")
    panels[0].set(ylabel="change of mIoU (points)")
    panels[0].legend(loc="best")
    return Exhibit(
        figure,
        "fig-study-disturbances",
        "What disturbances cost, by strength: noise added to the encoder's features where the "
        "skips take them, another image's features mixed into them, and noise on the image "
        f"itself. {extent(groups)}",
        "Three line charts of the change of mIoU under noise and clutter.",
    )


def _disturbed(axes: Axes, groups: Groups, kind: str, strengths: Sequence[float]) -> None:
    names = ["intact", *(f"{kind} {strength}" for strength in strengths)]
    for key, group in groups.items():
        if names[1] in studied(group[0], "conditions.names"):
            scores = np.array([[_score(run, name) for name in names] for run in group])
            line(axes, (0, *strengths), 100 * (scores - scores[:, :1]), key)
    _zero(axes)


@of_networks(*VARIANTS)
def slices(groups: Groups) -> Exhibit:
    """The loss around the first run of each network, with the largest curvature of all its runs."""
    logs = {key: np.log10(studied(group[0], "landscape.slice")) for key, group in groups.items()}
    low, high = min(values.min() for values in logs.values()), np.log10(HIGHEST)
    figure, panels = plt.subplots(1, len(groups), figsize=(PAGE, 2.2), sharey=True, squeeze=False)
    for axes, (key, group) in zip(panels[0], groups.items()):
        filled = axes.contourf(GRID, GRID, np.minimum(logs[key], high), cmap="viridis",
                               levels=np.linspace(low, high, 13))  # fmt: skip
        curvature = np.mean([abs(studied(run, "landscape.curvature")[1, -1]) for run in group])
        axes.plot(0, 0, "+", color="white", ms=6)
        axes.set(title=LOOKS[key].short, xlabel=f"curvature {curvature:,.0f}", aspect="equal",
                 xticks=(-1, 0, 1), yticks=(-1, 0, 1))  # fmt: skip
    _loss_bar(figure, filled, panels[0], np.linspace(low, high, 4))
    return Exhibit(
        figure,
        "fig-study-slices",
        "Loss on one fixed batch over two random filter-normalised directions around the trained "
        "network (cross), first seed; colours are logarithmic and end at 10 nats. Below each, the "
        "largest curvature in the same coordinates, the arithmetic mean over seeds. "
        f"{seeds_of(groups)}.",
        "Four maps of the loss around the trained networks.",
    )


def _loss_bar(figure: Figure, filled: object, panels: np.ndarray, ticks: np.ndarray) -> None:
    bar = figure.colorbar(filled, ax=panels, label="loss (nats per pixel)", ticks=ticks, shrink=0.8)
    bar.ax.set_yticklabels([f"{10**tick:.2g}" for tick in ticks])
