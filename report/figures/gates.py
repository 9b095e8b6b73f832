"""The figures of trained attention gates: coefficients, and the gradient that they let back."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lib.models import DEPTH
from lib.records import Run
from lib.structure import ratio
from lib.studies.gates import DISTANCE_NAMES
from report.evidence.analysis import frequent_first
from report.evidence.readings import condition, studied
from report.figures.pictures import draw
from report.figures.show import Exhibit
from report.figures.studies import GATED, LEVELS, Groups, extent, of_networks
from report.figures.style import FAINT, LOOKS, PAGE, plain


@of_networks(GATED)
def coefficients(groups: Groups) -> Exhibit:
    """α by class, by distance to an outline, and on wrong and right pixels, one line a level."""
    runs = groups[GATED]
    order = frequent_first(runs[0])
    names = [plain(runs[0].classes.names[k]) for k in order]
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 3.0), width_ratios=(2.2, 1.3, 0.6),
                                  sharey=True)  # fmt: skip
    _means(panels[0], _coefficients(runs, "classes")[..., order], names, "o")
    _means(panels[1], _coefficients(runs, "distances"), list(DISTANCE_NAMES), "o-")
    _means(panels[2], _coefficients(runs, "correct"), ["wrong", "right"], "o-")
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


def _coefficients(runs: list[Run], groups: str) -> np.ndarray:
    """Mean of α in each group of pixels, (seeds, levels, groups)."""
    return ratio(np.array([studied(run, f"gates.{groups}").sum(0) for run in runs]))


def _means(axes: Axes, means: np.ndarray, labels: list[str], style: str) -> None:
    places = range(len(labels))
    for level in range(DEPTH):
        axes.plot(places, means[:, level].mean(0), style, ms=4, color=LEVELS[level],
                  label=f"level {level}")  # fmt: skip
    axes.set_xticks(places, labels, rotation=40, ha="right")
    axes.grid(axis="y")


@of_networks("unet", "unet-residual", GATED)
def energy(groups: Groups) -> Exhibit:
    """Gradient energy across the skips on each class, relative to its share of the pixels."""
    first = next(iter(groups.values()))[0]
    order = frequent_first(first)
    names = [plain(first.classes.names[k]) for k in order]
    figure, axes = plt.subplots(figsize=(PAGE, 2.5))
    for offset, (key, group) in zip(np.linspace(-0.2, 0.2, len(groups)), groups.items()):
        look, values = LOOKS[key], _density(group)[:, order]
        places = np.arange(len(order)) + offset
        axes.vlines(places, values.min(0), values.max(0), color=look.color, lw=3, alpha=0.25)
        axes.plot(places, values.mean(0), look.marker, color=look.color, ms=4.5, label=look.short)
    axes.axhline(1, color=FAINT, zorder=0)
    axes.set(yscale="log", ylabel="energy share / pixel share")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xticks(range(len(order)), names, rotation=30, ha="right")
    axes.legend(loc="best")
    axes.grid(axis="y")
    return Exhibit(
        figure,
        "fig-study-energy",
        "Gradient energy that returns to the encoder across the skips on each class's pixels, "
        "relative to the class's area (1: proportional), geometric means over levels. Classes from "
        f"frequent to rare. {extent(groups)}",
        "Line chart of gradient energy relative to area by class.",
    )


def _density(runs: list[Run]) -> np.ndarray:
    """Share of the energy by share of the pixels, geometric mean over levels, (seeds, classes)."""
    sums = np.array([studied(run, "gates.energy")[..., 0].sum(0) for run in runs])  # (S, levels, K)
    area = np.array([condition(run, "intact").sum((0, 2)) for run in runs])  # (S, K)
    share_of_pixels = np.maximum(area / area.sum(-1, keepdims=True), 1e-12)
    density = sums / sums.sum(-1, keepdims=True) / share_of_pixels[:, None]
    density[:, :, area[0] == 0] = np.nan
    return np.exp(np.log(density).mean(1))


def over_image(run: Run) -> Exhibit:
    """The coefficients of the four gates over the first fixed test image, finest level first."""
    name = run.examples[0]
    maps = run.attention(name)
    size = (PAGE, PAGE / (len(maps) + 1) * 0.75 + 0.35)
    figure, (first, *others) = plt.subplots(1, len(maps) + 1, figsize=size)
    draw(first, run.image(name))
    first.set_title("image", fontsize=8, loc="center")
    for level, (axes, alpha) in enumerate(zip(others, maps)):
        draw(axes, alpha, cmap="viridis", vmin=0, vmax=1)
        axes.set_title(f"level {level}, mean {alpha.mean():.2f}", fontsize=8, loc="center")
    bar = figure.colorbar(axes.images[0], ax=axes, fraction=0.05, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.set_label("α")
    return Exhibit(
        figure,
        "fig-attention",
        "Attention coefficients α of the four gates over one test image, from the finest skip "
        "(level 0) to the coarsest (level 3): yellow passes, blue is suppressed.",
        "A test image and four maps of attention coefficients.",
    )
