"""The figures of gradients: over a whole training, and in deeper networks."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lib.models import DEPTH, VARIANTS
from lib.studies.depth import CHANNELS, DEPTHS, NORMALISED, SIZE
from report.evidence.findings import pixels
from report.evidence.readings import norms, studied
from report.figures.show import Exhibit
from report.figures.studies import Groups, extent, line, of_networks
from report.figures.style import LOOKS, PAGE


@of_networks(*VARIANTS)
def over_training(groups: Groups) -> Exhibit:
    """|gradient| times |weights| and the relative update of every block, means over training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    for key, group in groups.items():
        taken = [norms(run) for run in group]
        products = [(each["gradient"] * each["weight"]).mean(0) for each in taken]
        updates = [(each["update"] / each["weight"]).mean(0) for each in taken]
        line(left, range(2 * DEPTH + 1), np.array(products), key)
        line(right, range(2 * DEPTH + 1), np.array(updates), key)
    for axes, name in ((left, "|gradient| · |weights|"), (right, "|update| / |weights|")):
        axes.set(yscale="log", ylabel=name, xlabel="block")
        axes.set_xticks(range(2 * DEPTH + 1), _blocks(DEPTH))
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return Exhibit(
        figure,
        "fig-study-training",
        "Gradients (left, in the form that rescaling a normalised filter does not change) and "
        "AdamW's updates (right) of every block, means over the whole training. E: encoder, B: "
        "bottleneck, D: decoder, in the order of the forward pass; the loss is at the right end. "
        f"{extent(groups, images=False)}",
        "Two line charts by block for the four networks: gradients and updates.",
    )


@of_networks(*VARIANTS)
def in_deeper_networks(groups: Groups) -> Exhibit:
    """Relative gradients of deeper networks with and without normalisation."""
    figure, rows = plt.subplots(len(NORMALISED), len(DEPTHS), figsize=(PAGE, 3.8), sharey="row")
    for row, kind in zip(rows, NORMALISED.values()):
        for axes, depth in zip(row, DEPTHS):
            _in_depth(axes, groups, depth, kind)
        row[0].set(ylabel="|gradient| / |weights|")
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4)
    return Exhibit(
        figure,
        "fig-study-depths",
        f"Relative gradients in small networks of four, five and six levels ({CHANNELS} base "
        f"channels, drawn scenes of {pixels(SIZE)}), geometric means over their first steps, with "
        "batch normalisation and without. The loss is at the right end: a gradient that vanished on "
        f"its way back would fall towards the left. {extent(groups, images=False)}",
        "Six line charts of relative gradients by block, for three depths, with and without batch "
        "normalisation.",
    )


def _in_depth(axes: Axes, groups: Groups, depth: int, kind: str) -> None:
    for key, group in groups.items():
        values = []
        for run in group:
            gradient = studied(run, f"depth.{depth}, {kind}: gradient")
            weight = studied(run, f"depth.{depth}, {kind}: weight")
            values.append(np.exp(np.log(np.maximum(gradient / weight, 1e-12)).mean(0)))
        line(axes, range(2 * depth + 1), np.array(values), key, label=LOOKS[key].short)
    axes.set(yscale="log", title=f"{depth} levels, {kind}")
    axes.set_xticks(range(0, 2 * depth + 1, 2), _blocks(depth)[::2])


def _blocks(depth: int) -> list[str]:
    """Return the names of encoder levels, bottleneck and decoder levels: E0, ..., B, ..., D0."""
    encoder = [f"E{level}" for level in range(depth)]
    decoder = [f"D{level}" for level in reversed(range(depth))]
    return [*encoder, "B", *decoder]
