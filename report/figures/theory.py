"""The theory chapter's figures of closed forms and untrained networks, and their sentences."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.models import DEPTH, TITLES, VARIANTS
from lib.records import Run
from lib.studies.untrained import half_side
from report.evidence import closed_forms as theory
from report.evidence.findings import pixels
from report.evidence.wording import percent
from report.figures.show import Exhibit
from report.figures.style import LOOKS, PAGE

ROOM = 60  # pixels of a square's side, from which on its label fits


def costs(base_channels: int, num_classes: int, size: tuple[int, int]) -> Exhibit:
    """`closed_forms.level_costs` of each variant, by level on scales of powers of two."""
    tables = {
        key: theory.level_costs(key, base_channels, num_classes, size).set_index("level")
        for key in VARIANTS
    }
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 2.5))
    quantities = (
        ("parameters", "parameters (thousands)", 1e3),
        ("multiply_adds", "multiply-adds (millions)", 1e6),
        ("kept", "kept for training (MiB)", 2**20),
    )
    for axes, (column, title, unit) in zip(panels, quantities):
        axes.set_yscale("log", base=2)
        by_level(axes, {key: table[[column]] / unit for key, table in tables.items()})
        axes.set(title=title)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    network_legend(figure, panels[0])
    return Exhibit(
        figure,
        "fig-theory-costs",
        f"Where the costs are, at {base_channels} base channels and {pixels(size)}: parameters, "
        "multiply-adds and kept maps by level (encoder, skip and decoder together), on logarithmic "
        "scales.",
        "Three line charts by level: parameters rise fourfold a level, multiply-adds are flat down "
        "to level 3, kept memory halves.",
    )


def by_level(axes: Axes, tables: dict[str, pd.DataFrame]) -> None:
    """Draw each variant's table, a row a level: the mean of its columns, a bar over all."""
    for offset, (key, table) in zip(np.linspace(-0.12, 0.12, len(tables)), tables.items()):
        look, x = LOOKS[key], table.index + offset
        axes.plot(x, table.mean(axis=1), color=look.color, marker=look.marker, ms=3.5, lw=1,
                  label=TITLES[key])  # fmt: skip
        axes.vlines(x, table.min(axis=1), table.max(axis=1), color=look.color, lw=3, alpha=0.25)
    axes.set(xlabel="level", xticks=range(max(map(len, tables.values()))))
    axes.grid(axis="y")


def network_legend(figure: Figure, axes: Axes) -> None:
    """Name the networks of one of the panels above them all."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), columnspacing=1.2,
                  handletextpad=0.4)  # fmt: skip


def receptive_fields(image: np.ndarray, influences: dict[str, np.ndarray], draws: int) -> Exhibit:
    """Receptive fields of the U-Net on the image, uint8 (H, W, 3), and each variant's influence."""
    height, width = image.shape[:2]
    panel = PAGE / (1 + len(influences))  # inches
    figure, (first, *others) = plt.subplots(
        1, 1 + len(influences), figsize=(PAGE, panel * height / width + 0.2)
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    _title(first, "receptive fields")
    first.imshow(image)
    sides = theory.receptive_field("unet").largest
    for level in range(DEPTH + 1):
        _square(first, sides.iloc[level], str(level))
    _square(first, sides.iloc[-1], "output")
    top = max(map(np.max, influences.values()))
    for axes, (key, share) in zip(others, influences.items()):
        _title(axes, LOOKS[key].short)
        axes.imshow(share, norm=LogNorm(top / 1e5, top, clip=True), cmap="magma")
        _square(axes, theory.receptive_field(key).largest.iloc[-1], "")
    return Exhibit(
        figure,
        "fig-theory-fields",
        "Left: receptive fields of the U-Net's encoder levels and of its output, on a drawn scene "
        f"of {pixels(image.shape)}. Right: how strongly the central logits of the untrained "
        "networks depend on each pixel (squared gradient, logarithmic colours, mean over "
        f"{draws} draws of the weights); the frame is the theoretical limit.",
        "A street scene with nested squares, and four maps of influence around the central pixel.",
    )


def _title(axes: Axes, text: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_title(text, loc="center", fontsize=8, pad=3)
    axes.spines[:].set_visible(False)


def _square(axes: Axes, side: int, label: str) -> None:
    corner = [(sum(bounds) - side) / 2 for bounds in (axes.get_xlim(), axes.get_ylim())]
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", lw=0.8))
    if side > ROOM:
        axes.annotate(label, corner, (1.5, -1.5), textcoords="offset points", color="white",
                      fontsize=6, va="top")  # fmt: skip


def agreement(summary: pd.DataFrame, runs: Sequence[Run]) -> str:
    """Say whether closed forms equal what is counted in built models and stands in run records."""
    same = (summary.parameters == summary.counted_parameters) & (
        summary.multiply_adds == summary.counted_multiply_adds
    )
    text = (
        f"Parameters and multiply-adds agree to the last digit in {same.sum()} of the "
        f"{len(summary)} rows of @tbl-theory-costs"
    )
    if not runs:
        return f"{text}."
    equal = sum(_agrees(run) for run in runs)
    return f"{text}, and in {equal} of the {len(runs)} run records of this report."


def _agrees(run: Run) -> bool:
    base_channels, size = run.config["base_channels"], run.record["dataset"]["size"]
    form = theory.total(run.variant, base_channels, len(run.classes), size)
    recorded = run.record["parameters"], run.record["multiply_adds"]
    return (form.parameters, form.multiply_adds) == recorded


def ablation(base_channels: int, num_classes: int, size: tuple[int, int]) -> str:
    """Say what leaves with the skips, and at which widths networks without skips make up for it."""

    def parameters(variant: str, width: int) -> int:
        return theory.parameters(variant, width, num_classes)

    def arithmetic(variant: str, width: int) -> int:
        return theory.cost(variant, width, num_classes, size)

    text = [f"At {base_channels} base channels and {pixels(size)}, removing the skips removes"]
    widths = []
    for measure in (parameters, arithmetic):
        whole = measure("unet", base_channels)
        text.append(percent(1 - measure("unet-noskip", base_channels) / whole))
        width = base_channels
        while measure("unet-noskip", width) < whole:
            width += 1
        widths.append(width)
    opening, weights, work = text
    as_many, as_much = widths
    ending = "." if as_many == as_much else "; no single width restores both."
    return (
        f"{opening} {weights} of the parameters and {work} of the multiply-adds. Without skips it "
        f"takes {as_many} base channels to have at least the parameters of the U-Net, and "
        f"{as_much} to have its arithmetic{ending}"
    )


def reach(influences: dict[str, np.ndarray]) -> str:
    """Say how large the theoretical and the effective receptive field of the output are."""
    parts = []
    for key, share in influences.items():
        sides = theory.receptive_field(key).iloc[-1][["smallest", "largest"]].unique()
        parts.append(
            f"{' or '.join(map(str, sides))} pixels in the {TITLES[key]}, of which the central "
            f"{half_side(share)} have half of the influence"
        )
    return f"An output may depend on a square with a side of {'; '.join(parts)}."


def starting_gradients(flow: pd.DataFrame) -> str:
    """Say what `gradient_flow` is at the two ends of the encoder."""
    mean = flow.groupby(["variant", "level"])[["relative", "across"]].mean()
    relative, across = mean.relative.unstack(), mean.across.unstack()
    plain, gated = across.loc["unet"], across.loc["unet-gated-attention"]
    ends = "; ".join(
        f"{relative[0][key]:.2g} and {relative[DEPTH][key]:.2g} ({TITLES[key]})" for key in VARIANTS
    )
    left = relative.loc["unet-noskip"] / relative.loc["unet"]
    if left[0] > 0.1:
        verdict = (
            "At this depth, with normalisation, the long way alone does not make the gradient "
            "vanish."
        )
    else:
        verdict = "The long way alone costs level 0 most of its gradient."
    return (
        f"The relative gradient is, at level 0 and at the bottleneck, {ends}. Without skips level "
        f"0 receives {left[0]:.2f} times what it receives in the U-Net, the bottleneck "
        f"{left[DEPTH]:.2g} times. {verdict} Across the finest skip comes {percent(plain[0])} of "
        f"the features' gradient in the U-Net and {percent(gated[0])} in the gated network, across "
        f"the coarsest {percent(plain[DEPTH - 1])} and {percent(gated[DEPTH - 1])}."
    )
