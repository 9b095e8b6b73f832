"""The figures of gradients: over a whole training, and in deeper networks."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator

from lib.models import DEPTH, VARIANTS
from lib.records import Run
from lib.studies.depth import CHANNELS, DEPTHS, NORMALISED, SIZE
from report.evidence.readings import norms, studied
from report.evidence.wording import pixels
from report.figures.show import Exhibit
from report.figures.studies import Groups, extent, of_networks
from report.figures.style import PAGE, line


@of_networks(*VARIANTS, studied=False)
def over_training(groups: Groups) -> Exhibit:
    """|gradient| times |weights| and the relative update of every block, means over training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    blocks = _block_names(DEPTH)
    for key, group in groups.items():
        taken = [norms(run) for run in group]
        products = [(each["gradient"] * each["weight"]).mean(0) for each in taken]
        updates = [(each["update"] / each["weight"]).mean(0) for each in taken]
        line(left, range(len(blocks)), np.array(products), key)
        line(right, range(len(blocks)), np.array(updates), key)
    for axes, name in ((left, "|gradient| · |weights|"), (right, "|update| / |weights|")):
        axes.set(yscale="log", ylabel=name, xlabel="block")
        axes.yaxis.set(  # less than a power of ten to label
            minor_locator=LogLocator(subs=(2, 3, 5)), major_formatter="{x:g}",
            minor_formatter="{x:g}")
        axes.set_xticks(range(len(blocks)), blocks)
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
            blocks = _block_names(depth)
            for key, group in groups.items():
                values = np.array([_in_depth(run, f"{depth}, {kind}") for run in group])
                line(axes, range(len(blocks)), values, key)
            axes.set(yscale="log", title=f"{depth} levels, {kind}")
            axes.set_xticks(range(0, len(blocks), 2), blocks[::2])
        row[0].set(ylabel="|gradient| / |weights|")
    figure.legend(*rows[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return Exhibit(
        figure,
        "fig-study-depths",
        f"Relative gradients in small networks of four, five and six levels ({CHANNELS} base "
        f"channels, drawn scenes of {pixels(SIZE)}), geometric means over their first steps, with "
        "batch normalisation and without. The loss is at the right end: a gradient that vanished "
        f"on its way back would fall towards the left. {extent(groups, images=False)}",
        "Six line charts of relative gradients by block, for three depths, with and without batch "
        "normalisation.",
    )


def _in_depth(run: Run, network: str) -> np.ndarray:
    """Return the relative gradient of each block, geometric means over steps."""
    gradient, weight = (studied(run, f"depth.{network}: {part}") for part in ("gradient", "weight"))
    return np.exp(np.log(np.maximum(gradient / weight, 1e-12)).mean(0))


def _block_names(depth: int) -> list[str]:
    """Return the names of encoder levels, bottleneck and decoder levels: E0, ..., B, ..., D0."""
    encoder = [f"E{level}" for level in range(depth)]
    decoder = [f"D{level}" for level in reversed(range(depth))]
    return [*encoder, "B", *decoder]
