"""What the chapters say about one network or one data set: sentences and tables, computed from records.

Statements that compare networks, with intervals and verdicts, are in `report.evidence.claims`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.data import Dataset
from lib.datasets import SOURCES
from lib.models import NETWORKS
from lib.records import Run
from report.evidence import closed_forms as theory
from report.evidence.wording import listed, literal, named, nats, percent, points, versus

RARE = 0.01  # a class with less than this share of the training pixels


def title(dataset: dict) -> str:
    """Return the data set's name in prose, of what a record says of it: "CamVid without 0001TP"."""
    return dataset.get("title") or SOURCES[dataset["name"]].title


def about(data: Dataset) -> str:
    """Return the paragraph that introduces a data set; the words of its owner are shown as they are."""
    return literal(data.source.about) if data.source.about else data.about


def pixels(size: Sequence[int]) -> str:
    return f"{size[0]} × {size[1]} pixels"


def width(run: Run) -> str:
    """ "16 base channels", as this network has them."""
    return f"{run.finest_channels} base channels"


def conditions(run: Run) -> str:
    """Data, size, width, epochs and device, in one phrase."""
    config, dataset = run.config, run.record["dataset"]
    return (f"{literal(title(dataset))} at {pixels(dataset['size'])}, {width(run)}, "
            f"{config['epochs']} epochs, seed {run.seed}, {run.record['device']} in {run.record['precision']}")


def recipe(config: dict) -> str:
    """The settings of a training, and which of the ingredients it has."""
    balance, crop = config["class_balance"], config["crop_size"]
    settings = [f"batches of {config['batch_size']}", f"learning rates up to {config['learning_rate']:g}",
                f"a weight decay of {config['weight_decay']:g}", f"$b = {balance:g}$" if balance else "all classes weighed alike",
                f"crops of {pixels(crop)}" if crop else "crops of the size of the image",
                "a zoom from {:g} to {:g}".format(*config["scale"])]
    dice = f"soft Dice with weight {config['dice']:g} beside it" if config["dice"] else "no soft Dice beside it"
    return f"{listed(settings)}; its loss is the cross-entropy with {dice}"


def by_frequency(run: Run) -> pd.DataFrame:
    """Name, share of the training pixels and test IoU of every class, from frequent to rare; fractions."""
    counts = np.array(run.record["dataset"]["pixels"]["train"])
    table = pd.DataFrame({"name": run.classes.names, "share": counts / counts.sum(), "iou": run.iou})
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)




def test_sentence(run: Run) -> str:
    """The test result, its frequent and rare classes, and how far validation stood above it."""
    table = by_frequency(run).dropna()
    rare = table[table.share < RARE]
    parts = [f"On the {run.record['dataset']['counts']['test']} test images the {run.title} reaches a mIoU of "
             f"**{percent(run.miou)}** (seed {run.seed})."]
    best, worst = table.loc[table.iou.idxmax()], table.loc[table.iou.idxmin()]
    parts.append(f"Its best class is {literal(best['name'])} with {percent(best.iou)}, its worst {literal(worst['name'])} "
                 f"with {percent(worst.iou)}.")
    if lost := [name for name, iou in zip(run.classes.names, run.iou) if np.isnan(iou)]:
        parts.append(f"{named(lost)} {'is' if len(lost) == 1 else 'are'} neither in the test labels nor predicted: without an "
                     "IoU, and left out of the mean.")
    if len(rare) and len(rare) < len(table):
        parts.append(f"Over the {len(rare)} classes with less than {percent(RARE)} of the training pixels each "
                     f"({named(rare.name)}) the mean is {percent(rare.iou.mean())}, over the others "
                     f"{percent(table[table.share >= RARE].iou.mean())}.")
    validation = run.history.val_miou.max()
    parts.append(f"On validation it had reached {percent(validation)}: the test result is "
                 f"{versus(run.miou - validation, 'that')}.")
    return " ".join(parts)


def cost_sentence(run: Run) -> str:
    """Parameters, arithmetic and measured time, and the first two against the U-Net at the same width."""
    config, size = run.config, tuple(run.record["dataset"]["size"])
    count, work = run.record["parameters"], run.record["multiply_adds"]
    text = (f"The {run.title} has {count / 1e6:.2f} million parameters and spends {work / 1e9:.2f} billion multiply-adds on an "
            f"image. Training took {run.record['seconds']:,.0f} seconds on {run.record['device']}.")
    if run.variant != "unet":
        base = config["base_channels"], len(run.classes)
        plain, plain_work = theory.parameters("unet", *base), theory.cost("unet", *base, size)
        text += (f" Against the U-Net with {config['base_channels']} base channels that is "
                 f"{change(count / plain - 1, 'fewer')} parameters and {change(work / plain_work - 1)} arithmetic.")
    return text


def change(fraction: float, less: str = "less") -> str:
    """ "10.1 % less" """
    return f"{percent(abs(fraction))} {'more' if fraction >= 0 else less}"


def chapter(run: Run) -> str:
    """The chapter's result in three sentences."""
    table = by_frequency(run).dropna()
    zero = list(table[table.iou < 0.01].name)
    history = run.history
    gap = history.val_loss.dropna().iloc[-1] - history.train_loss.iloc[-1]
    text = (f"Trained on {conditions(run)}, the {run.title} labels the test images with a mIoU of {percent(run.miou)}. "
            f"At the end the validation loss is {versus(gap, 'the training loss', nats)}. ")
    text += (f"It practically never finds {named(zero)} (IoU under {percent(0.01)}). " if zero
             else f"No class is lost altogether; the lowest IoU is {percent(table.iou.min())}. ")
    return text + "One run of one network decides nothing about architectures: @sec-analysis sets all runs side by side."


def count_of(used: int, available: int | None) -> str:
    """Return "367", or "300 of 1,174" where not all images are used."""
    return f"{used:,} of {available:,}" if available and used < available else f"{used:,}"


def splits_table(splits: dict[str, Dataset]) -> pd.DataFrame:
    """One row a split: images, size, share of void, first digits of the checksum."""
    return pd.DataFrame({
        "Split": split, "Images": count_of(len(data), data.available), "Height × width": " × ".join(map(str, data.targets.shape[1:])),
        "Void": percent(1 - data.pixels_per_class().sum() / data.targets.numel()), "Checksum": data.checksum[:12],
    } for split, data in splits.items())


def balance_sentence(data: Dataset) -> str:
    """How unevenly the pixels are shared out."""
    counts = data.pixels_per_class()
    share = counts / counts.sum()
    order = np.argsort(-share)
    top = order[: int(np.searchsorted(np.cumsum(share[order]), 0.75)) + 1]
    present = order[share[order] > 0]
    rarest = present[-1]
    text = (f"{named(data.classes.names[k] for k in top)} make up {percent(share[top].sum())} of the labelled training "
            f"pixels. The rarest class, {literal(data.classes.names[rarest])}, has {percent(share[rarest])}: a network that never "
            f"predicted it would lose next to no pixel accuracy, but {points(1 / len(present))} of mIoU.")
    if absent := [data.classes.names[k] for k in order if not share[k]]:
        text += f" No training pixel belongs to {named(absent)}."
    return text


def richest(data: Dataset) -> int:
    """Index of the image that shows most classes, the brightest of several."""
    classes = [len(np.unique(target)) for target in data.targets.numpy()]
    return int(np.lexsort((data.images.float().mean(dim=(1, 2, 3)).numpy(), classes))[-1])
