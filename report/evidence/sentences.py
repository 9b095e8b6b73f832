"""The sentences that say what was found, for one network, one data set or the whole comparison.

Statements that compare networks, with intervals and verdicts, are in `report.evidence.claims`.
"""

import re
from collections.abc import Sequence

import numpy as np

from lib.data import Dataset
from lib.datasets import SOURCES
from lib.models import TITLES
from lib.records import Run, by_variant
from report.evidence.claims import GATED, NONE, RESIDUAL, UNET, Verdict
from report.evidence.comparison import UNDECIDED
from report.evidence.ledger import tally
from report.evidence.measures import MIOU
from report.evidence.readings import RARE, pixel_shares
from report.evidence.statistics import Estimate
from report.evidence.wording import (
    are, count_of, listed, literal, named, percent, pixels, points, seeds_of, versus,
)  # fmt: skip

WIDE = "unet-noskip-wide"
CHANGES = {RESIDUAL: "residual shortcuts", GATED: "attention gates"}
CPU = re.compile(r"CPU, (\d+ threads?) \((.+)\)")  # as a record names it
HARDLY = 0.01  # IoU below which a network hardly detects a class


# The data


def title(dataset: dict) -> str:
    """Return the data set's name from its entry in a record: "CamVid without 0001TP"."""
    return dataset.get("title") or SOURCES[dataset["name"]].title


def name_of(runs: Sequence[Run]) -> str:
    """Return the name of the runs' data set as Markdown."""
    return literal(title(runs[0].record["dataset"]))


def about(data: Dataset) -> str:
    """Return the paragraph that introduces a data set; its owner's words are shown as they are."""
    return literal(data.source.about) if data.source.about else data.about


def balance_sentence(data: Dataset) -> str:
    """Return what the rarest class weighs in pixel accuracy and in mIoU."""
    names, counts = np.array(data.classes.names), np.asarray(data.pixels_per_class())
    present = np.flatnonzero(counts)
    rarest = present[counts[present].argmin()]
    text = (
        f"An otherwise perfect network that never predicted the rarest class, "
        f"{literal(names[rarest])}, would lose {points(counts[rarest] / counts.sum())} of pixel "
        f"accuracy on the training images, but {points(1 / len(present))} of mIoU."
    )
    absent = names[counts == 0]
    return text + (f" No training pixel belongs to {named(absent)}." if len(absent) else "")


# One network


def setting_of(run: Run) -> str:
    """Return data, size, width and epochs in one phrase."""
    size, config = pixels(run.record["dataset"]["size"]), run.config
    width, number = f"{config['base_channels']} base channels", config["epochs"]
    epochs = f"{number} epoch{'' if number == 1 else 's'}"
    return f"{name_of([run])} at {size}, {width}, {epochs}"


def recipe(config: dict) -> str:
    """Return the settings of a training in one phrase."""
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


def test_sentence(run: Run) -> str:
    """Return the test result, also of rare and frequent classes, beside the validation score."""
    names, iou, shares = np.array(run.classes.names), run.iou, pixel_shares(run)
    scored = ~np.isnan(iou)
    rare, frequent = scored & (shares < RARE), scored & (shares >= RARE)
    validation = run.history.val_miou.dropna().iloc[-1]
    against = versus(run.miou - validation, "its validation mIoU after the last epoch")
    text = (
        f"On the {run.record['dataset']['counts']['test']} test images the {run.title} (seed "
        f"{run.seed}) scores **{percent(run.miou)}** mIoU, {against}. "
        "[Test mIoU](5_analysis.ipynb#Test-mIoU) has the means over seeds."
    )
    if not scored.all():
        text += (
            f" {named(names[~scored])} {are((~scored).sum())} neither in the test labels nor "
            "predicted, and left out of the mean."
        )
    if rare.any() and frequent.any():
        text += (
            f" Classes with less than {percent(RARE)} of the training pixels each "
            f"({named(names[rare])}) average {percent(iou[rare].mean())}, the others "
            f"{percent(iou[frequent].mean())}."
        )
    return text


def chapter(run: Run) -> str:
    """Return the chapter's result in a few sentences."""
    missed = [name for name, iou in zip(run.classes.names, run.iou) if iou < HARDLY]
    if missed:
        rest = f"It hardly detects {named(missed)} (IoU under {percent(HARDLY)})."
    else:
        rest = f"Its lowest IoU of any class is {percent(np.nanmin(run.iou))}."
    device = f"{run.record['device']} in {run.record['precision']}"
    return (
        f"Trained on {setting_of(run)}, seed {run.seed}, {device}, the {run.title} scores "
        f"{percent(run.miou)} mIoU on the test set. {rest} [Results](5_analysis.ipynb) compares "
        "all runs."
    )


# All networks


def setting(runs: Sequence[Run]) -> str:
    """Return data, size and effort of the comparison in one sentence."""
    dataset, config = runs[0].record["dataset"], runs[0].config
    available = dataset.get("available", {})
    train, test = (
        count_of(dataset["counts"][part], available.get(part)) for part in ("train", "test")
    )
    return (
        f"{name_of(runs)} at {pixels(dataset['size'])}: {train} training and {test} test images; "
        f"{config['base_channels']} base channels, {config['epochs']} epochs, "
        f"{seeds_of(by_variant(runs))} per network, trained on {_devices(runs)}."
    )


def _devices(runs: Sequence[Run]) -> str:
    """Return "1 thread of a CPU (AVX2 in float32 and AVX512 in bfloat16)", or devices' names."""
    found = sorted({(run.record["device"], run.record["precision"]) for run in runs})
    processors = [CPU.fullmatch(device) for device, _ in found]
    if not all(processors) or len({match[1] for match in processors}) > 1:
        return listed(list(dict.fromkeys(device for device, _ in found)))
    units = [f"{match[2]} in {precision}" for match, (_, precision) in zip(processors, found)]
    return f"{processors[0][1]} of a CPU ({listed(units)})"


def finding(runs: Sequence[Run]) -> str:
    """Return the main result in three sentences that need nothing before them."""
    groups = by_variant(runs)
    scores = {key: percent(np.mean([run.miou for run in group])) for key, group in groups.items()}
    if not {UNET, NONE} <= groups.keys():
        named_scores = [f"{TITLES[key]} {score}" for key, score in scores.items()]
        return f"Test mIoU: {listed(named_scores)}."
    lost = MIOU.compare(groups[NONE], groups[UNET])
    interval = ""
    if not lost.one_seed:
        interval = (
            f" (a difference of {points(lost.value)}, 95 % interval "
            f"{points.range(lost.low, lost.high)})"
        )
    matters = not lost.one_seed and lost.high < 0
    text = (
        f"{'Skip connections matter: on' if matters else 'On'} {name_of(runs)} a U-Net reaches a "
        "mean intersection over union (mIoU) of "
        f"{scores[UNET]}; without its skip connections it reaches "
        f"{scores[NONE]}{interval}.{_hardest(groups)}"
    )
    if WIDE in groups:
        text += (
            " Widened to the U-Net's number of parameters, the network without skips reaches "
            f"{scores[WIDE]}."
        )
    estimates = _changes(groups)
    if not estimates:
        return text
    changes = [
        f"by {points.signed(estimate.value)} with {CHANGES[key]}"
        for key, estimate in estimates.items()
    ]
    text += f" The U-Net's mIoU changes {listed(changes)}"
    if all(estimate.low < 0 < estimate.high for estimate in estimates.values()):
        text += ", no more than chance would explain"
    return f"{text}."


def _changes(groups: dict[str, list[Run]]) -> dict[str, Estimate]:
    """Return what residual shortcuts and attention gates change."""
    keys = [key for key in CHANGES if {key, UNET} <= groups.keys()]
    return {key: MIOU.compare(groups[key], groups[UNET]) for key in keys}


def _hardest(groups: dict[str, list[Run]]) -> str:
    """Return which class loses most without skips, by its IoU."""
    intact, without = (np.mean([run.iou for run in groups[key]], axis=0) for key in (UNET, NONE))
    loss = np.nan_to_num(intact - without)
    worst = int(loss.argmax())
    if loss[worst] <= 0:
        return ""
    name = literal(groups[UNET][0].classes.names[worst])
    return (
        f" The class that loses most is *{name}*, whose IoU falls from {percent(intact[worst])} "
        f"to {percent(without[worst])}."
    )


def undecided(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """Return what stays open, and why."""
    groups, text = by_variant(runs), ""
    estimates = _changes(groups).values()
    if min(len(group) for group in groups.values()) < 2:
        text = "With one seed per network no difference between networks is called significant. "
    elif estimates and all(each.low < 0 < each.high for each in estimates):
        reach = max(max(-each.low, each.high) for each in estimates)
        text = (
            "Whether shortcuts or gates change the mIoU a little: the intervals reach up to "
            f"{points(reach)} from zero, because scores vary from seed to seed and from image to "
            "image. "
        )
    return text + tally(verdicts)


def certainty(runs: Sequence[Run]) -> str:
    """Return on what data and with how many seeds and images the result was obtained."""
    images = runs[0].record["dataset"]["counts"]["test"]
    return (
        f"{setting_of(runs[0])}; {seeds_of(by_variant(runs))} per network and {images} test "
        f"images; trained on {_devices(runs)}. Another data set, a larger network or a longer "
        "training can give another answer."
    )


def caveats(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """Return what this comparison cannot show, as a list in Markdown."""
    groups, config = by_variant(runs), runs[0].config
    items = [f"One setting: {setting_of(runs[0])}. Other sizes may give other results."]
    drives = {drive for drive, _ in runs[0].frames}
    if 1 < len(drives) < len(runs[0].frames):
        items.append(f"The test images are frames of {len(drives)} drives. Intervals say what "
                     "other frames of such drives would change, not what another street "
                     "would.")  # fmt: skip
    if min(len(group) for group in groups.values()) == 1:
        items.append("One seed per network cannot separate architectures from initial weights; "
                     "intervals cover the test images alone.")  # fmt: skip
    if undecided := [verdict.claim.id for verdict in verdicts if verdict.verdict == UNDECIDED]:
        items.append(f"{listed(undecided)} {are(len(undecided))} undecided: the effect is near its "
                     "margin, or these runs and images leave it too uncertain. How many seeds "
                     "would decide stands beside the verdict.")  # fmt: skip
    control = "no network without skips was widened to the U-Net's parameters"
    if WIDE in groups:
        control = f"only the {TITLES[WIDE]} is matched to the U-Net's parameters"
    items.append(f"The networks differ in parameters and arithmetic as well as in kind; {control}.")
    rate = f"{config['learning_rate']:g}"
    items.append(f"One recipe serves all ({config['epochs']} epochs, learning rate {rate}); none "
                 "was tuned for a particular network.")  # fmt: skip
    if len({run.record["precision"] for run in runs}) > 1:
        items.append("Some seeds were trained in float32 and others in bfloat16, each with all "
                     "networks alike; whether an effect depends on it was not tested.")  # fmt: skip
    if any(run.record["device"].startswith("CPU") for run in runs):
        items.append("Seconds were measured on a shared CPU: compare epochs rather than seconds.")
    return "\n".join(f"- {item}" for item in items)
