"""Every table of the report that is no ledger, each with its caption."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd

from lib.data import Dataset
from lib.models import SHORT, TITLES, VARIANTS
from lib.records import Run, by_variant
from report.evidence import closed_forms, design, measures as of
from report.evidence.comparison import Comparison
from report.evidence.readings import NotMeasured, by_frequency, pixel_shares
from report.evidence.scores import epochs_to_reach, final_value, miou_definitions
from report.evidence.sentences import title
from report.evidence.statistics import holm
from report.evidence.wording import (
    count_of, effect_text, literal, p_cell, percent, pixels, points, seeds_of, size_text,
    whole_percent,
)  # fmt: skip
from report.figures.diagrams import difference, levels_of
from report.figures.show import Exhibit
from report.figures.style import of_the_study

SHARES = (0.85, 0.9, 0.95)  # of the U-Net's final validation mIoU
COSTS = {  # entries of a record, and their units
    "Parameters (millions)": ("parameters", 1e6),
    "Multiply-adds (billions)": ("multiply_adds", 1e9),
    "Training (s)": ("seconds", 1),
    "Peak memory (MiB)": ("peak_memory_mib", 1),
}
BATCH = 8  # images in a batch, where mIoU is a mean over batches
# The same assignment by others (IIIT Hyderabad, Computer Vision, Spring 2025, assignment 4): 13
# classes, 256 x 256 pixels, one seed, each under its own definition of mIoU.
SIBLINGS = pd.DataFrame(
    [("Arpit000007/Semantic-Segmentation-with-U-Net-Variants", 0.8556, 0.7852, 0.8635, 0.8670),
     ("Aditya-S-Kul/Computer-Vision, Assignment4/Q2", 0.8335, 0.6930, 0.8553, 0.8383),
     ("ss-369/Semantic-Segmentation-with-FCN-and-U-Net-Variants", 0.7606, 0.7161, 0.8361, 0.8352),
     ("sudokara/semantic-segmentation (metric fed index maps)", 0.974, 0.811, 0.974, 0.970)],
    columns=["Source", "U-Net", "no skips", "residual", "gated"],
)  # fmt: skip
# CamVid at 360 x 480, eleven classes, trained from scratch on the 367 images: per cent.
CAMVID_OTHERS = pd.DataFrame(
    [("Test mIoU (%)", 51.3, 55.6, 55.6, 66.9, 70.5)],
    columns=["", "ENet", "SegNet", "ESPNet", "FC-DenseNet103", "LETNet"],
)


def splits(data: dict[str, Dataset]) -> Exhibit:
    """The splits of a data set: images, size, share of void, first digits of the checksum."""
    table = pd.DataFrame(
        {
            "Split": split,
            "Images": count_of(len(part), part.available),
            "Height × width": " × ".join(map(str, part.targets.shape[1:])),
            "Void": percent(1 - part.pixels_per_class().sum() / part.targets.numel()),
            "Checksum": part.checksum[:12],
        }
        for split, part in data.items()
    )
    return Exhibit(
        table,
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
        f"{run.title}, part by part, for one image of {pixels(size)} and {base_channels} base "
        "channels.",
    )


def loss(runs: Sequence[Run]) -> Exhibit:
    """Training and test loss after the last epoch and their gap, nats per pixel."""
    rows = []
    for key, group in by_variant(runs).items():
        training = np.mean([final_value(run.history, "train_loss") for run in group])
        row = {"Network": TITLES[key], "Training loss": training}
        with suppress(NotMeasured):  # an older record lacks the loss of each test image
            row |= {"Test loss": of.TEST_LOSS.of(group).mean(), "Gap": of.GAP.of(group).mean()}
        rows.append(row)
    return Exhibit(
        pd.DataFrame(rows),
        "tbl-loss",
        "Loss after the last epoch, in nats per pixel, means over seeds; gap: test less training.",
    )


def cost(runs: Sequence[Run]) -> Exhibit:
    """Sizes, seconds, memory and speed of learning of each network, means over seeds."""
    groups, rows = by_variant(runs), []
    finals = [final_value(run.history, "val_miou") for run in groups.get("unet", [])]
    goal = float(np.mean(finals or [np.nan]))
    for key, group in groups.items():
        row = {"Network": TITLES[key]}
        for column, (name, unit) in COSTS.items():
            row[column] = np.mean([run.record[name] for run in group]) / unit
        for share in SHARES:
            epochs = [epochs_to_reach(run.history, share * goal) for run in group]
            row[f"Epochs to {whole_percent(share)}"] = np.mean(epochs)
        rows.append(row)
    return Exhibit(
        pd.DataFrame(rows).dropna(axis="columns", how="all"),
        "tbl-cost",
        "What each network costs: parameters, multiply-adds of one forward pass on one image, "
        "measured seconds and memory of one training run, and the epochs until validation mIoU "
        "reaches a share of the U-Net's final one (–: a seed never does).",
    )


def classes(runs: Sequence[Run]) -> Exhibit:
    """Test IoU of every class under every network, means over seeds."""
    order = by_frequency(runs[0])
    columns = {
        "Class": [runs[0].classes.names[k] for k in order],
        "Share of training pixels": [percent(share) for share in pixel_shares(runs[0])[order]],
    }
    for key, group in by_variant(runs).items():
        means = np.mean([run.iou for run in group], axis=0)[order]
        columns[SHORT[key]] = ["–" if np.isnan(mean) else percent(mean) for mean in means]
    return Exhibit(
        pd.DataFrame(columns),
        "tbl-classes",
        "Test IoU by class, means over seeds, classes from frequent to rare.",
    )


def scores(runs: Sequence[Run], scenes: Sequence[Run] = ()) -> Exhibit:
    """Test mIoU of each network, and its difference from U-Net with its 95 % interval and p.

    Networks that were trained on drawn scenes, too, have their score and difference there.
    """
    groups, rows, drawn = by_variant(runs), [], by_variant(scenes)
    for key, group in groups.items():
        mious = np.array([run.miou for run in group])
        row = {
            "Network": TITLES[key],
            "Seeds": len(group),
            "Test mIoU": percent(mious.mean()),
            "SD": points(mious.std(ddof=1)) if len(mious) > 1 else "–",
        }
        if key != "unet" and "unet" in groups:
            estimate = of.MIOU.compare(group, groups["unet"])
            row["Against U-Net"] = effect_text(estimate, points)
            row["p"] = p_cell(estimate.tested_p)
        if key in drawn:
            row["Scenes"] = percent(np.mean([run.miou for run in drawn[key]]))
        if key in drawn and key != "unet" and "unet" in drawn:
            there = of.MIOU.compare(drawn[key], drawn["unet"])
            row["Scenes: against U-Net"] = effect_text(there, points)
        rows.append(row)
    over = "" if max(map(len, groups.values())) > 1 else " over images alone"
    where = ""
    if scenes:
        tested = scenes[0].record["dataset"]["counts"]["test"]
        where = (
            f" Scenes: trained and tested on drawn scenes ({seeds_of(drawn)}, {tested:,} test "
            "images)."
        )
    return Exhibit(
        pd.DataFrame(rows).fillna("–"),
        "tbl-scores",
        "Test mIoU, its standard deviation (SD) over seeds, and the difference from U-Net with its "
        f"95 % interval{over}.{where}",
    )


def definitions(runs: Sequence[Run]) -> Exhibit:
    """The first seed's score of each network of the study under each definition of mIoU."""
    columns = {}
    for key, (run, *_) in of_the_study(runs).items():
        index_maps = run.structure.get("index_maps")
        columns[SHORT[key]] = miou_definitions(run.per_image, BATCH, index_maps)
    return Exhibit(
        pd.DataFrame(columns).map(percent).rename_axis("Definition").reset_index(),
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
    """The same study by others, and below them this one where all four networks have runs."""
    groups, table = by_variant(runs), SIBLINGS
    if VARIANTS.keys() <= groups.keys():
        dataset = runs[0].record["dataset"]
        name = f"this report ({title(dataset)}, {' × '.join(map(str, dataset['size']))})"
        means = [np.mean([run.miou for run in groups[key]]) for key in VARIANTS]
        own = pd.DataFrame([[name, *means]], columns=table.columns)
        table = pd.concat([table, own], ignore_index=True)
    return Exhibit(
        table,
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
        CAMVID_OTHERS,
        "tbl-camvid",
        "Other networks on CamVid's test set at 360 × 480 pixels, trained from scratch: ENet "
        "([Paszke et al., 2016](https://arxiv.org/abs/1606.02147)), SegNet and ESPNet "
        "([Mehta et al., 2018](https://doi.org/10.1007/978-3-030-01249-6_34)), FC-DenseNet103 "
        "([Jégou et al., 2017](https://doi.org/10.1109/CVPRW.2017.156)), and LETNet, trained on "
        "the validation images too ([Xu et al., 2023](https://arxiv.org/abs/2302.10484)). Runs at "
        "another size are not comparable with these.",
    )


def _effects(
    runs: Sequence[Run], effects: Sequence[Comparison], name: str, caption: str
) -> Exhibit | None:
    """Return a row for each effect on mIoU; None where the design is not whole."""
    estimates = design.estimates(runs, effects)
    if not estimates:
        return None
    adjusted = holm([each.tested_p for each in estimates])
    table = pd.DataFrame(
        {
            "Effect": f"{effect.subject} − {effect.against}",
            "On test mIoU": points.signed(each.value),
            "95 % interval": points.range(each.low, each.high),
            "p": p_cell(each.tested_p),
            "After Holm": p_cell(p),
        }
        for effect, each, p in zip(effects, estimates, adjusted)
    )
    number = size_text(estimates[0])
    return Exhibit(table, name, f"{caption}; p also after Holm over this table ({number}).")


def effects(runs: Sequence[Run]) -> Exhibit | None:
    """What blocks and skips do, and whether they work on each other."""
    caption = "Main effects and interactions of blocks and skips"
    return _effects(runs, design.BLOCK_BY_SKIP, "tbl-effects", caption)


def effects_of_skips(runs: Sequence[Run]) -> Exhibit | None:
    """What each skip adds, and whether skips work on each other."""
    caption = (
        "What training with each skip adds, and how much more it adds where another one is "
        "present, over all subsets of the four skips"
    )
    return _effects(runs, design.SKIP_BY_SKIP, "tbl-theory-skips", caption)
