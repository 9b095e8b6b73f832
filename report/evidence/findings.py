"""What the chapters say about one network or one data set: sentences and tables, computed from records.

Statements that compare networks, with intervals and verdicts, are in `report.evidence.claims`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.data import Dataset
from lib.datasets.scenes import SCENE_DOSES
from lib.files import family
from lib.models import NETWORKS
from lib.records import Run
from lib.scenes.light import READ_NOISE, SHOT_NOISE
from report.evidence import closed_forms as theory
from report.evidence.wording import listed, literal, named, nats, percent, points, versus

RARE = 0.01  # a class with less than this share of the training pixels
CAMVID = (
    "*CamVid* [@brostow2009camvid] consists of frames from a camera behind the windscreen of a car in Cambridge, "
    "labelled by hand in the eleven classes that SegNet [@badrinarayanan2017segnet] made of its thirty-two, void left out."
)
ABOUT = {
    "scenes": (
        "*Scenes* are drawn by this project: streets laid out in metres from a seed and painted in perspective, in sun, "
        "rain, fog and at night. The classes are the first thirteen tags of the CARLA simulator "
        "[@dosovitskiy2017carla], the sky being *Unlabeled*. Nothing is downloaded, every pixel has a label, and no two "
        "splits share a scene. What a network learns here says how the four compare, not how any of them would do on a "
        "real street."
    ),
    "camvid": (
        f"{CAMVID} The frames come from few drives. Those of the validation split belong to a drive that is also in the training "
        "split; most of the test split comes from a drive that the networks never saw. Validation scores can therefore lie "
        "well above test scores: we choose the epoch on the first and report the second."
    ),
    "carla": (
        "*CARLA* [@dosovitskiy2017carla] is a simulator of driving in a town; its pictures come with the class of every pixel. "
        "The frames of one drive follow one another and look alike. Pictures of the Lyft and Udacity challenge are therefore "
        "split by the set that they come in. Pictures that come as training and test images have a tenth of the former "
        "drawn for validation, and validation scores can lie well above test scores."
    ),
    "cityscapes": (
        "*Cityscapes* [@cordts2016cityscapes] was recorded in fifty cities and labelled by hand. Its nineteen classes are those "
        "that its authors score; everything else is void. The labels of the official test split are withheld: what we test on "
        "is its validation split, and we validate on three of the training cities."
    ),
    "folder": (
        "These are images of the user's own, with the classes and the splits that they came with. Whether the three splits are "
        "independent of each other, nobody but their owner can say: `python -m report check` finds an image that is in two "
        "of them, but not two frames of one film."
    ),
}


WITHOUT = (
    "Here all 701 of its images are pooled and split by drive: the drive {drive} is tested and seen in no other split. "
    "The last tenth of each of the other drives is for validation, what precedes it for training."
)
TITLES = {"camvid": "CamVid", "carla": "CARLA", "folder": "Own images"}


def title(dataset: str) -> str:
    """The data set's name in prose: "CamVid without 0001TP" for "camvid-without-0001TP"."""
    kind = family(dataset)
    words = dataset.removeprefix(kind).replace("-", " ")
    if kind == "scenes" and words:
        doses = SCENE_DOSES[dataset].items()
        words = " with " + listed([f"{what} {dose}" for what, dose in doses if dose])
    return TITLES.get(kind, kind.capitalize()) + words


def about(dataset: str) -> str:
    """The paragraph that introduces the data set."""
    kind = family(dataset)
    if dataset == kind:
        return ABOUT[kind]
    if kind == "scenes":
        return f"{ABOUT[kind]} {doses_sentence(**SCENE_DOSES[dataset])}"
    return f"{CAMVID} {WITHOUT.format(drive=dataset.removeprefix('camvid-without-'))}"


def doses_sentence(clutter: int, noise: int) -> str:
    """What the scenes of these doses have beside what all scenes have."""
    parts = []
    if clutter:
        parts.append(f"clutter of dose {clutter} (pictures of people and cars on houses, shop signs in the shapes of road "
                     "signs, pipes like poles, each of the class of what it is part of)")
    if noise:
        read, shot = noise * READ_NOISE, noise * SHOT_NOISE
        parts.append(f"the noise of a sensor at dose {noise} (a standard deviation of {read:.0%} of the range in the dark, "
                     f"and of {np.hypot(read, shot):.0%} in full light)")
    return f"These have {listed(parts)}."


def pixels(size: Sequence[int]) -> str:
    return f"{size[0]} × {size[1]} pixels"


def width(run: Run) -> str:
    """ "16 base channels", as this network has them."""
    return f"{NETWORKS[run.variant].channels(run.config['base_channels'])} base channels"


def conditions(run: Run) -> str:
    """Data, size, width, epochs and device, in one phrase."""
    config, dataset = run.config, run.record["dataset"]
    return (f"{title(dataset['name'])} at {pixels(dataset['size'])}, {width(run)}, "
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


def splits_table(splits: dict[str, Dataset]) -> pd.DataFrame:
    """One row a split: images, size, share of void, first digits of the checksum."""
    return pd.DataFrame({
        "Split": split, "Images": len(data), "Height × width": " × ".join(map(str, data.targets.shape[1:])),
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
