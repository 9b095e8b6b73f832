"""Every table of the report that is no ledger, with its caption and the format of its numbers."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from lib.data import Dataset
from lib.models import VARIANTS
from lib.records import Run
from report.evidence import analysis, closed_forms, cost as evidence, design
from report.evidence.findings import pixels, splits_table, width
from report.evidence.wording import literal
from report.figures.diagrams import difference, of_run
from report.figures.show import Exhibit
from report.figures.style import LOOKS, without_subsets

TWO_DIGITS, THOUSANDS, TENTHS = "{:,.2f}", "{:,}", "{:,.1f}"


def splits(data: dict[str, Dataset]) -> Exhibit:
    """The splits of a data set."""
    return Exhibit(
        splits_table(data),
        "tbl-splits",
        f"The splits of {literal(data['train'].title)} as the networks see them. The checksum is "
        "over names, pixels and labels: equal digits, equal data.",
    )


def parts(run: Run) -> Exhibit:
    """A network part by part."""
    size = tuple(run.record["dataset"]["size"])
    base_channels, num_classes = run.config["base_channels"], len(run.classes)
    table = closed_forms.level_table(run.variant, base_channels, num_classes, size)
    return Exhibit(
        table[table["Parameters"] > 0],  # a plain skip has none, and computes nothing
        f"tbl-levels-{run.variant}",
        f"{run.title}, part by part, for one image of {pixels(size)} and {width(run)}.",
        formats={"Parameters": THOUSANDS, "Multiply-adds (millions)": TENTHS},
    )


def of_runs(
    make: Callable[[Sequence[Run]], pd.DataFrame],
    name: str,
    caption: str,
    runs: Sequence[Run],
    formats: dict[str, str] | None = None,
) -> Exhibit:
    """Return a table that is made of runs, but for networks with a subset of the skips.

    A column without any value is left out.
    """
    chosen = [run for group in without_subsets(runs).values() for run in group]
    table = make(chosen).dropna(axis="columns", how="all")
    there = {column: form for column, form in (formats or {}).items() if column in table}
    return Exhibit(table, f"tbl-{name}", caption, formats=there)


loss = partial(
    of_runs, analysis.loss_table, "loss",
    "Loss after the last epoch, in nats per pixel, means over seeds; gap: test less training.",
    formats=dict.fromkeys(("Training loss", "Test loss", "Gap"), "{:.3f}"),
)  # fmt: skip
scores = partial(
    of_runs, analysis.scores_table, "scores",
    "Test mIoU, and the difference from U-Net, in points of mIoU.",
)  # fmt: skip
definitions = partial(
    of_runs, analysis.definitions_table, "definitions",
    "The same predictions (first seed) under five definitions of mIoU, batches of eight.",
)  # fmt: skip
classes = partial(
    of_runs, analysis.class_table, "classes",
    "Test IoU by class, means over seeds, classes from frequent to rare.",
)  # fmt: skip
structure = partial(
    of_runs, analysis.structure_table, "structure",
    "Fine structures on the test set, means over seeds.",
)  # fmt: skip
convergence = partial(
    of_runs, analysis.convergence_table, "convergence",
    "Training until validation mIoU reaches a share of U-Net's final value, means over seeds; in "
    "brackets the 95 % interval of the change against U-Net.",
)  # fmt: skip
cost = partial(
    of_runs, analysis.cost_table, "cost",
    "What each network costs: parameters, multiply-adds of one forward pass on one image, measured "
    "seconds and memory of one training run.",
    formats=dict.fromkeys(("Parameters (millions)", "Multiply-adds (billions)"), TWO_DIGITS)
    | dict.fromkeys(("Training (s)", "Peak memory (MiB)"), "{:,.0f}"),
)  # fmt: skip


def networks(runs: Sequence[Run]) -> Exhibit:
    """What sets each network of the study apart, and what it has and costs, from closed forms."""
    run = runs[0]
    size, base = tuple(run.record["dataset"]["size"]), run.config["base_channels"]
    costs = closed_forms.summary(base, len(run.classes), size)
    table = pd.DataFrame({
        "Network": costs.Network,
        "It has": [difference(of_run(run, key)) for key in costs.variant],
        "Parameters (millions)": costs.parameters / 1e6,
        "Multiply-adds (billions)": costs.multiply_adds / 1e9,
        "Saved activations (MiB)": costs.kept / 2**20,
    })
    return Exhibit(
        table,
        "tbl-networks",
        f"One thing differs between the networks: for one image of {pixels(size)}, {base} base "
        "channels. A multiply-add is one multiplication with its addition; saved activations are "
        "the feature maps that the forward pass stores for the backward pass.",
        formats=dict.fromkeys(table.columns[2:4], TWO_DIGITS) | {table.columns[4]: TENTHS},
    )


def siblings() -> Exhibit:
    """The same study by others."""
    return Exhibit(
        analysis.SIBLINGS,
        "tbl-siblings",
        "The same study by others, as their repositories print it: 13 classes, 256 × 256 pixels, "
        "one seed, each under its own definition.",
        formats=dict.fromkeys(analysis.SIBLINGS.columns[1:], "{:.3f}"),
    )


def camvid_others(runs: Sequence[Run]) -> Exhibit | None:
    """Other networks on CamVid; None for runs on another data set."""
    if runs[0].record["dataset"]["name"] != "camvid":
        return None
    return Exhibit(
        analysis.CAMVID_OTHERS,
        "tbl-camvid",
        "Other networks on CamVid's test set at 360 × 480 pixels, trained from scratch: ENet "
        "([Paszke et al., 2016](https://arxiv.org/abs/1606.02147)), SegNet and ESPNet as listed by "
        "the authors of the latter "
        "([Mehta et al., 2018](https://doi.org/10.1007/978-3-030-01249-6_34)), FC-DenseNet103 "
        "([Jégou et al., 2017](https://doi.org/10.1109/CVPRW.2017.156)). Runs at another size are "
        "not comparable with these.",
        formats={"Test mIoU (%)": "{:.1f}"},
    )


def effects(runs: Sequence[Run]) -> Exhibit | None:
    """Main effects and interactions; None where the runs allow none."""
    table = design.effects_table(runs)
    if table.empty:
        return None
    return Exhibit(
        table,
        "tbl-effects",
        "Main effects and interactions of blocks and skips; p also after Holm over this table.",
    )


def theory_levels(base_channels: int) -> Exhibit:
    """Width, receptive field and paths of the encoder's levels."""
    levels = range(5)
    columns = {
        "Level": levels,
        "Numbers / pixel of the image": [base_channels / 2**level for level in levels],
        "Receptive field (pixels)": closed_forms.receptive_field("unet").largest[: len(levels)],
    }
    for key in VARIANTS:
        paths = [closed_forms.shortest_paths(key)[level] for level in levels]
        columns[f"Path: {LOOKS[key].short}"] = paths
    return Exhibit(
        pd.DataFrame(columns),
        "tbl-theory-levels",
        "The encoder by level: how many numbers it keeps, the side of the square of the image that "
        f"one of them depends on, both at {base_channels} base channels, and "
        "the fewest convolutions between its output and the logits "
        "([Why skip connections matter](6_theory.ipynb#Why-skip-connections-matter)).",
        formats={"Numbers / pixel of the image": "{:g}"},
    )


def theory_costs(summary: pd.DataFrame) -> Exhibit:
    """`closed_forms.summary` in one or several settings, each named in the column Setting."""
    columns = {
        "Setting": "Setting",
        "Network": "Network",
        "parameters": "Parameters",
        "counted_parameters": "built model",
        "multiply_adds": "Multiply-adds",
        "counted_multiply_adds": "torch's counter",
        "kept": "Kept (MiB)",
    }
    table = summary.assign(kept=summary.kept / 2**20)[[*columns]].rename(columns=columns)
    return Exhibit(
        table,
        "tbl-theory-costs",
        "Closed forms for one image, each beside what is counted in the built model, in the "
        "setting of this report and in that of the original study.",
        formats=dict.fromkeys(table.columns[2:6], THOUSANDS) | {"Kept (MiB)": TENTHS},
    )


def step_of_networks(record: dict) -> Exhibit:
    """A training step of each network beside the least time that it could take."""
    return Exhibit(
        evidence.networks_table(record),
        "tbl-cost-networks",
        "A training step of each network on a batch that lies ready. The limit is the time of its "
        "multiply-adds at the matrix product's rate and of the bytes that all else moves at the "
        "copy's rate.",
        formats={
            "Parameters (M)": TWO_DIGITS,
            "Multiply-adds a step (G)": TENTHS,
            "Moved a step (GB)": TWO_DIGITS,
            "Step (ms)": TENTHS,
            "Limit (ms)": TENTHS,
            "Share of the limit (%)": TENTHS,
        },
    )


def loops(record: dict) -> Exhibit:
    """This project's loop against the textbook's and other libraries' networks."""
    return Exhibit(
        evidence.loops_table(record),
        "tbl-cost-loops",
        "Whole epochs in this project's loop and in the textbook's. The last column is the ratio "
        "of multiply-adds a second: median of the repeats (lowest to highest).",
        formats={"Multiply-adds / image (G)": TWO_DIGITS, "Images / s": TENTHS},
    )
