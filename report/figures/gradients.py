"""The figures of gradients: at initialisation, over a whole training, and in deeper networks."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lib.models import DEPTH, TITLES, VARIANTS
from lib.records import by_variant
from lib.studies.depth import CHANNELS, DEPTHS, NORMALISED, SIZE
from report.evidence.findings import pixels
from report.evidence.readings import NotMeasured, fading, studied
from report.evidence.wording import listed
from report.figures.show import Exhibit
from report.figures.studies import Groups, line, of_networks, seeds_of
from report.figures.style import PAGE
from report.figures.theory import by_level, network_legend


def at_initialisation(flow: pd.DataFrame, scenes: int, width: int) -> Exhibit:
    """`lib.studies.untrained.gradient_flow` of several variants and seeds, by level."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    left.set_yscale("log")
    for axes, column, scale in ((left, "relative", 1), (right, "across", 100)):
        tables = {}
        for key, group in flow.groupby("variant", sort=False):
            table = group.pivot(index="level", columns="seed", values=column)
            tables[key] = scale * table.dropna()
        by_level(axes, tables)
    left.set(title="gradient of the weights, relative to their norm")
    right.set(title="features' gradient: share across the skip (%)")
    network_legend(figure, left)
    return Exhibit(
        figure,
        "fig-theory-gradients",
        f"At initialisation, {scenes} drawn scenes of 96 × 128 pixels, {width} base channels, "
        f"{flow.seed.nunique()} draws of the weights (mark: mean; bar: lowest to highest). Left: "
        "norm of the gradient of an encoder block's convolutions by the norm of their weights. "
        "Right: share of the gradient of the encoder's features that arrives across the skip of "
        "that level.",
        "Two line charts by encoder level for the four networks: relative gradient of the weights, "
        "and share of the features' gradient across the skip.",
    )


@of_networks(*VARIANTS)
def over_training(groups: Groups) -> Exhibit:
    """Relative gradient and update of every block, and the first block's by the last's."""
    recorded = by_variant(run for group in groups.values() for run in group if run.gradients)
    if not recorded:
        networks = listed([TITLES[key] for key in VARIANTS])
        raise NotMeasured(f"no run with norms of gradients of {networks}")
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    for key, group in recorded.items():
        for axes, name in ((first, "gradient"), (second, "update")):
            values = np.array([_relative(run.gradients, name) for run in group])
            line(axes, range(2 * DEPTH + 1), values, key)
        steps = group[0].gradients["steps"]
        course = np.array([fading(run.gradients) for run in group])
        line(third, steps / max(steps.max(), 1), course, key, marker="")
    for axes, name in ((first, "gradient"), (second, "update")):
        axes.set(yscale="log", ylabel=f"|{name}| / |weights|", xlabel="block")
        axes.set_xticks(range(2 * DEPTH + 1), _blocks(DEPTH))
    third.set(yscale="log", xlabel="share of the training",
              ylabel="gradient of E0 / gradient of D0")  # fmt: skip
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return Exhibit(
        figure,
        "fig-study-training",
        "Gradient (left) and update (middle) of every block relative to its weights, geometric "
        "means over the whole training. E: encoder, B: bottleneck, D: decoder, in the order of the "
        "forward pass; the loss sits at the right end. Right: the first block's gradient by the "
        f"last one's in the course of the training. {seeds_of(recorded)}.",
        "Line charts of relative gradients and updates by block, and of their ratio over the "
        "training, for the four networks.",
    )


@of_networks(*VARIANTS)
def in_deeper_networks(groups: Groups) -> Exhibit:
    """Relative gradients of deeper networks with and without normalisation."""
    figure, rows = plt.subplots(len(NORMALISED), len(DEPTHS), figsize=(PAGE, 3.8), sharey="row")
    for row, kind in zip(rows, NORMALISED.values()):
        for axes, depth in zip(row, DEPTHS):
            _in_depth(axes, groups, depth, kind)
        row[0].set(ylabel="|gradient| / |weights|")
    rows[0, 0].legend(loc="best", fontsize=6.5)
    return Exhibit(
        figure,
        "fig-study-depths",
        f"Relative gradients in small networks of four, five and six levels ({CHANNELS} base "
        f"channels, drawn scenes of {pixels(SIZE)}), means over their first steps, with batch "
        "normalisation and without. A gradient that vanishes on its way back from the loss, at "
        f"the right end, falls from right to left. {seeds_of(groups)}.",
        "Six line charts of relative gradients by block, for three depths, with and without batch "
        "normalisation.",
    )


def _in_depth(axes: Axes, groups: Groups, depth: int, kind: str) -> None:
    for key, group in groups.items():
        values = []
        for run in group:
            norms = {n: studied(run, f"depth.{depth}, {kind}: {n}") for n in ("gradient", "weight")}
            values.append(_relative(norms, "gradient"))
        line(axes, range(2 * depth + 1), np.array(values), key)
    axes.set(yscale="log", title=f"{depth} levels, {kind}")
    axes.set_xticks(range(0, 2 * depth + 1, 2), _blocks(depth)[::2])


def _relative(norms: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Geometric mean over the steps of a norm by that of the weights, (blocks,)."""
    values = norms[name] / norms["weight"]
    return np.exp(np.log(np.maximum(values, 1e-12)).mean(0))


def _blocks(depth: int) -> list[str]:
    """Names of encoder levels, bottleneck and decoder levels: E0, ..., B, ..., D0."""
    encoder = [f"E{level}" for level in range(depth)]
    decoder = [f"D{level}" for level in reversed(range(depth))]
    return [*encoder, "B", *decoder]
