"""What the chapters say about one network or one data set: sentences and tables, from records.

Statements that compare networks, with intervals and verdicts, are in `report.evidence.claims`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.data import Dataset
from lib.datasets import SOURCES
from lib.records import Run
from report.evidence import closed_forms as theory
from report.evidence.readings import RARE
from report.evidence.wording import change, listed, literal, named, nats, percent, points, versus


def title(dataset: dict) -> str:
    """Return the data set's name, of what a record says of it: "CamVid without 0001TP"."""
    return dataset.get("title") or SOURCES[dataset["name"]].title


def about(data: Dataset) -> str:
    """Return the paragraph that introduces a data set; its owner's words are shown as they are."""
    return literal(data.source.about) if data.source.about else data.about


def pixels(size: Sequence[int]) -> str:
    """Return "144 × 192 pixels"."""
    return f"{size[0]} × {size[1]} pixels"


def width(run: Run) -> str:
    """Return "16 base channels", as this network has them."""
    return f"{run.config['base_channels']} base channels"


def conditions(run: Run) -> str:
    """Return data, size, width, epochs and device, in one phrase."""
    config, dataset = run.config, run.record["dataset"]
    return (
        f"{literal(title(dataset))} at {pixels(dataset['size'])}, {width(run)}, "
        f"{config['epochs']} epochs, seed {run.seed}, {run.record['device']} in "
        f"{run.record['precision']}"
    )


def recipe(config: dict) -> str:
    """Return the settings of a training, in one phrase."""
    balance, crop = config["class_balance"], config["crop_size"]
    settings = [
        f"batches of {config['batch_size']}",
        f"learning rates up to {config['learning_rate']:g}",
        f"a weight decay of {config['weight_decay']:g}",
        f"$b = {balance:g}$" if balance else "equal class weights",
        f"crops of {pixels(crop)}" if crop else "crops of the size of the image",
        "a zoom from {:g} to {:g}".format(*config["scale"]),
    ]
    dice = f", with soft Dice at weight {config['dice']:g}" if config["dice"] else " alone"
    return f"{listed(settings)}; its loss is the cross-entropy{dice}"


def by_frequency(run: Run) -> pd.DataFrame:
    """Return name, share of the training pixels and test IoU of every class, frequent first."""
    counts = np.array(run.record["dataset"]["pixels"]["train"])
    table = {"name": run.classes.names, "share": counts / counts.sum(), "iou": run.iou}
    by_share = {"by": "share", "ascending": False, "kind": "stable", "ignore_index": True}
    return pd.DataFrame(table).sort_values(**by_share)


def test_sentence(run: Run) -> str:
    """Return the test result, its frequent and rare classes, and the validation score."""
    table = by_frequency(run).dropna()
    best, worst = table.loc[table.iou.idxmax()], table.loc[table.iou.idxmin()]
    rare, frequent = table[table.share < RARE], table[table.share >= RARE]
    parts = [
        f"On the {run.record['dataset']['counts']['test']} test images the {run.title} scores "
        f"**{percent(run.miou)}** mIoU (seed {run.seed}). Its best class is "
        f"{literal(best['name'])} with an IoU of {percent(best.iou)}, its worst "
        f"{literal(worst['name'])} with {percent(worst.iou)}."
    ]
    lost = [name for name, iou in zip(run.classes.names, run.iou) if np.isnan(iou)]
    if lost:
        are = "is" if len(lost) == 1 else "are"
        parts.append(
            f"{named(lost)} {are} neither in the test labels nor predicted, and left out of the "
            "mean."
        )
    if len(rare) and len(frequent):
        parts.append(
            f"The classes with less than {percent(RARE)} of the training pixels each "
            f"({named(rare.name)}) average {percent(rare.iou.mean())}, the others "
            f"{percent(frequent.iou.mean())}."
        )
    validation = run.history.val_miou.dropna().iloc[-1]
    higher = versus(validation - run.miou, "this")
    parts.append(f"Validation mIoU after the last epoch was {percent(validation)}, {higher}.")
    return " ".join(parts)


def cost_sentence(run: Run) -> str:
    """Return parameters, arithmetic and measured time, also against the U-Net of that width."""
    config, size = run.config, tuple(run.record["dataset"]["size"])
    count, work = run.record["parameters"], run.record["multiply_adds"]
    text = (
        f"The {run.title} has {count / 1e6:.2f} million parameters and spends {work / 1e9:.2f} "
        f"billion multiply-adds on an image. Training took {run.record['seconds']:,.0f} seconds on "
        f"{run.record['device']}."
    )
    if run.variant == "unet":
        return text
    base = config["base_channels"], len(run.classes)
    parameters = count / theory.parameters("unet", *base) - 1
    arithmetic = work / theory.cost("unet", *base, size) - 1
    return (
        f"{text} Compared with the U-Net at {config['base_channels']} base channels these are "
        f"{change(parameters, 'fewer')} parameters and {change(arithmetic)} arithmetic."
    )


def chapter(run: Run) -> str:
    """Return the chapter's result in a few sentences."""
    table = by_frequency(run).dropna()
    lost = table[table.iou < 0.01].name
    gap = run.history.val_loss.dropna().iloc[-1] - run.history.train_loss.iloc[-1]
    if len(lost):
        rest = f"It almost never finds {named(lost)} (IoU under {percent(0.01)})."
    else:
        rest = f"No class is lost; the lowest IoU is {percent(table.iou.min())}."
    return (
        f"Trained on {conditions(run)}, the {run.title} scores {percent(run.miou)} mIoU on the "
        "test set. At the end of the training the validation loss is "
        f"{versus(gap, 'the training loss', nats)}. {rest} [Results](5_analysis.ipynb) "
        "compares all runs."
    )


def count_of(used: int, available: int | None) -> str:
    """Return "367", or "300 of 1,174" where not all images are used."""
    return f"{used:,} of {available:,}" if available and used < available else f"{used:,}"


def splits_table(splits: dict[str, Dataset]) -> pd.DataFrame:
    """Return a row for each split: images, size, share of void, first digits of the checksum."""
    return pd.DataFrame(
        {
            "Split": split,
            "Images": count_of(len(data), data.available),
            "Height × width": " × ".join(map(str, data.targets.shape[1:])),
            "Void": percent(1 - data.pixels_per_class().sum() / data.targets.numel()),
            "Checksum": data.checksum[:12],
        }
        for split, data in splits.items()
    )


def balance_sentence(data: Dataset) -> str:
    """Return how unevenly the pixels are shared out among the classes."""
    counts, names = data.pixels_per_class(), data.classes.names
    share = counts / counts.sum()
    order = np.argsort(-share)
    most = int(np.searchsorted(np.cumsum(share[order]), 0.75)) + 1
    top, present = order[:most], order[share[order] > 0]
    rarest = present[-1]
    text = (
        f"{named(names[k] for k in top)} make up {percent(share[top].sum())} of the labelled "
        f"training pixels. The rarest class, {literal(names[rarest])}, has "
        f"{percent(share[rarest])}. An otherwise perfect network that never predicted it would "
        f"lose {percent(share[rarest])} of pixel accuracy, and {points(1 / len(present))} of mIoU."
    )
    absent = [names[k] for k in order if not share[k]]
    return text + (f" No training pixel belongs to {named(absent)}." if absent else "")


def richest(data: Dataset) -> int:
    """Return the index of the image that shows most classes, the brightest of several."""
    classes = [len(np.unique(target)) for target in data.targets.numpy()]
    brightness = data.images.float().mean(dim=(1, 2, 3)).numpy()
    return int(np.lexsort((brightness, classes))[-1])
