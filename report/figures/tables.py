"""Every table of the report that is no ledger, with its caption."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from lib.data import Dataset
from lib.models import VARIANTS
from lib.records import Run, by_variant
from report.evidence import closed_forms, cost as evidence, design, tables as made
from report.evidence.sentences import width
from report.evidence.wording import literal, pixels, seeds_text, size_text
from report.figures.diagrams import difference, levels_of
from report.figures.show import Exhibit
from report.figures.style import LOOKS, of_the_study


def splits(data: dict[str, Dataset]) -> Exhibit:
    """The splits of a data set."""
    return Exhibit(
        made.splits_table(data),
        "tbl-splits",
        f"The splits of {literal(data['train'].title)} as the networks see them; equal checksums "
        "mean equal data.",
    )


def part_by_part(run: Run) -> Exhibit:
    """A network part by part."""
    size = tuple(run.record["dataset"]["size"])
    base_channels, num_classes = run.config["base_channels"], len(run.classes)
    table = closed_forms.level_table(run.variant, base_channels, num_classes, size)
    return Exhibit(
        table[table["Parameters"] > 0],  # a plain skip has none, and computes nothing
        f"tbl-levels-{run.variant}",
        f"{run.title}, part by part, for one image of {pixels(size)} and {width(run)}.",
    )


def of_runs(
    make: Callable[[Sequence[Run]], pd.DataFrame], name: str, caption: str, runs: Sequence[Run]
) -> Exhibit:
    """Return a table that is made of runs; a column without any value is left out."""
    return Exhibit(make(runs).dropna(axis="columns", how="all"), f"tbl-{name}", caption)


loss = partial(
    of_runs, made.loss_table, "loss",
    "Loss after the last epoch, in nats per pixel, means over seeds; gap: test less training.",
)  # fmt: skip
classes = partial(
    of_runs, made.class_table, "classes",
    "Test IoU by class, means over seeds, classes from frequent to rare.",
)  # fmt: skip
cost = partial(
    of_runs, made.cost_table, "cost",
    "What each network costs: parameters, multiply-adds of one forward pass on one image, measured "
    "seconds and memory of one training run, and the epochs until validation mIoU reaches a share "
    "of the U-Net's final one (–: a seed never does).",
)  # fmt: skip


def scores(runs: Sequence[Run], scenes: Sequence[Run] = ()) -> Exhibit:
    """Test mIoU of each network against the U-Net, also of those trained on drawn scenes."""
    where = ""
    if scenes:
        number = seeds_text({len(group) for group in by_variant(scenes).values()})
        tested = scenes[0].record["dataset"]["counts"]["test"]
        where = f" Scenes: trained and tested on drawn scenes ({number}, {tested:,} test images)."
    return Exhibit(
        made.scores_table(runs, scenes),
        "tbl-scores",
        "Test mIoU, its standard deviation (SD) over seeds, and the difference from U-Net in "
        f"points of mIoU.{where}",
    )


def definitions(runs: Sequence[Run]) -> Exhibit:
    """The scores of the networks of the study under each definition of mIoU."""
    chosen = [run for group in of_the_study(runs).values() for run in group]
    return Exhibit(
        made.definitions_table(chosen),
        "tbl-definitions",
        "The same predictions (first seed) under five definitions of mIoU, batches of eight.",
    )


def networks(runs: Sequence[Run]) -> Exhibit:
    """What sets each network of the study apart, and what it has and costs, from closed forms."""
    run = runs[0]
    size, base = tuple(run.record["dataset"]["size"]), run.config["base_channels"]
    costs = closed_forms.summary(base, len(run.classes), size)
    table = pd.DataFrame({
        "Network": costs.Network,
        "It has": [difference(levels_of(run, key)) for key in costs.variant],
        "Parameters (millions)": costs.parameters / 1e6,
        "Multiply-adds (billions)": costs.multiply_adds / 1e9,
        "Saved activations (MiB)": costs.saved / 2**20,
    })
    return Exhibit(
        table,
        "tbl-networks",
        f"One thing differs between the networks: for one image of {pixels(size)}, {base} base "
        "channels. A multiply-add is one multiplication with its addition; saved activations are "
        "the feature maps that the forward pass stores for the backward pass.",
    )


def siblings(runs: Sequence[Run]) -> Exhibit:
    """The same study by others, and this one."""
    return Exhibit(
        made.siblings_table(runs),
        "tbl-siblings",
        "The same study by others, as their repositories print it (13 classes, 256 × 256 pixels, "
        "one seed, each by its own definition), and the means of this report. Sources: "
        "[Arpit000007](https://github.com/Arpit000007/Semantic-Segmentation-with-U-Net-Variants), "
        "[Aditya-S-Kul](https://github.com/Aditya-S-Kul/Computer-Vision), "
        "[ss-369](https://github.com/ss-369/Semantic-Segmentation-with-FCN-and-U-Net-Variants), "
        "[sudokara](https://github.com/sudokara/semantic-segmentation).",
    )


def camvid_others(runs: Sequence[Run]) -> Exhibit | None:
    """Other networks on CamVid; None for runs on another data set."""
    if runs[0].record["dataset"]["name"] != "camvid":
        return None
    return Exhibit(
        made.CAMVID_OTHERS,
        "tbl-camvid",
        "Other networks on CamVid's test set at 360 × 480 pixels, trained from scratch: ENet "
        "([Paszke et al., 2016](https://arxiv.org/abs/1606.02147)), SegNet and ESPNet "
        "([Mehta et al., 2018](https://doi.org/10.1007/978-3-030-01249-6_34)), FC-DenseNet103 "
        "([Jégou et al., 2017](https://doi.org/10.1109/CVPRW.2017.156)), and LETNet, trained on "
        "the validation images too ([Xu et al., 2023](https://arxiv.org/abs/2302.10484)). Runs at "
        "another size are not comparable with these.",
    )


def _effects_table(
    of: Sequence[design.Effect], name: str, caption: str, runs: Sequence[Run]
) -> Exhibit | None:
    """Return a table of a design's effects; None where the runs allow none."""
    contrasts = design.estimates(runs, of)
    if not contrasts:
        return None
    return Exhibit(
        design.effects_table(of, contrasts),
        f"tbl-{name}",
        f"{caption}; p also after Holm over this table ({size_text(contrasts[0])}).",
    )


effects = partial(
    _effects_table, design.BLOCK_BY_SKIP, "effects",
    "Main effects and interactions of blocks and skips",
)  # fmt: skip
effects_of_skips = partial(
    _effects_table, design.SKIP_BY_SKIP, "theory-skips",
    "What training with each skip adds, and how much more it adds where another one is present, "
    "over all subsets of the four skips",
)  # fmt: skip


def theory_levels(base_channels: int) -> Exhibit:
    """Width, receptive field and paths of the encoder's levels."""
    levels = range(5)
    columns = {
        "Level": levels,
        "Numbers / pixel of the image": [f"{base_channels / 2**level:g}" for level in levels],
        "Receptive field (pixels)": closed_forms.receptive_fields("unet"),
    }
    for key in VARIANTS:
        paths = closed_forms.shortest_paths(key)
        columns[f"Path: {LOOKS[key].short}"] = [paths[level] for level in levels]
    return Exhibit(
        pd.DataFrame(columns),
        "tbl-theory-levels",
        "The encoder by level: how many numbers it keeps, the side of the square of the image that "
        f"one of them depends on, both at {base_channels} base channels, and "
        "the fewest convolutions between its output and the logits "
        "([Why skip connections matter](6_theory.ipynb#Why-skip-connections-matter)).",
    )


def step_of_networks(record: dict) -> Exhibit:
    """A training step of each network beside the least time that it could take."""
    return Exhibit(
        evidence.networks_table(record),
        "tbl-cost-networks",
        "A training step of each network on a batch that lies ready. The limit is the time of its "
        "multiply-adds at the matrix product's rate and of the bytes that all else moves at the "
        "copy's rate.",
    )


def loops(record: dict) -> Exhibit:
    """This project's loop against the textbook's and other libraries' networks."""
    return Exhibit(
        evidence.loops_table(record),
        "tbl-cost-loops",
        "Whole epochs in this project's loop and in the textbook's. The last column is the ratio "
        "of multiply-adds a second: median of the repeats (lowest to highest).",
    )
