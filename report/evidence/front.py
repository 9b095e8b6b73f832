"""What the first page says before any chapter: what was found, what was not decided, and on what."""

from collections.abc import Sequence

import numpy as np

from lib.models import TITLES
from lib.records import Run, by_variant
from report.evidence.claims import UNDECIDED, Verdict
from report.evidence.findings import conditions, title
from report.evidence.ledger import tally
from report.evidence.measures import MIOU
from report.evidence.statistics import Estimate
from report.evidence.wording import capitalised, listed, literal, percent, points, seeds_text

UNET, WITHOUT, WIDER = "unet", "unet-noskip", "unet-noskip-wide"
CHANGES = {"unet-residual": "residual shortcuts", "unet-gated-attention": "attention gates"}
MEANING = "a mean intersection over union (mIoU)"


def found(runs: Sequence[Run]) -> str:
    """Return the result in three sentences that need nothing before them."""
    groups = by_variant(runs)
    if not {UNET, WITHOUT} <= groups.keys():
        scores = {TITLES[key]: percent(_miou(group)) for key, group in groups.items()}
        return f"Test mIoU: {listed([f'{name} {score}' for name, score in scores.items()])}."
    lost, *_ = MIOU.compare(groups[WITHOUT], groups[UNET])
    dataset = title(runs[0].record["dataset"])
    text = (
        f"**Found.** On {dataset} a U-Net reaches {MEANING} of {percent(_miou(groups[UNET]))}, and "
        f"{percent(_miou(groups[WITHOUT]))} without its skip connections{_interval(lost)}"
        f"{_hardest(groups)}."
    )
    if WIDER in groups:
        text += (
            " Widened to the U-Net's number of parameters, the network without skips reaches "
            f"{percent(_miou(groups[WIDER]))}."
        )
    return text + _others(groups)


def _others(groups: dict[str, list[Run]]) -> str:
    """Return what residual shortcuts and attention gates change."""
    estimates = {name: MIOU.compare(groups[key], groups[UNET])[0]
                 for key, name in CHANGES.items() if key in groups}  # fmt: skip
    if not estimates:
        return ""
    *most, last = estimates.values()
    changes = [*(points.number(each.value) for each in most), points(last.value)]
    return f" {capitalised(listed([*estimates]))} change it by {listed(changes)}."


def undecided(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """Return what stays open, and why."""
    groups = by_variant(runs)
    estimates = [MIOU.compare(groups[key], groups[UNET])[0]
                 for key in CHANGES if {key, UNET} <= groups.keys()]  # fmt: skip
    text = "**Not decided.** "
    if min(len(group) for group in groups.values()) < 2:
        text += "With one seed per network no difference between networks is called significant."
    elif estimates and any(verdict.verdict == UNDECIDED for verdict in verdicts):
        width = max(max(-each.low, each.high) for each in estimates)
        text += (
            "Whether shortcuts or gates help a little: the intervals of both reach as far as "
            f"{points(width)}, because scores vary from seed to seed and from image to image."
        )
    return f"{text} {tally(verdicts)}"


def certainty(runs: Sequence[Run]) -> str:
    """Return on what data, how often and with what device the result was obtained."""
    seeds = sorted({len(group) for group in by_variant(runs).values()})
    images = runs[0].record["dataset"]["counts"]["test"]
    where = conditions(runs[0]).split(", seed")[0]
    devices = listed(list(dict.fromkeys(run.record["device"] for run in runs)))
    return (
        f"**On what.** {where}; {seeds_text(seeds)} per network and {images} test images; trained "
        f"on {devices}. "
        "Another data set, a larger network or a longer training can give another answer."
    )


def _miou(group: Sequence[Run]) -> float:
    return float(np.mean([run.miou for run in group]))


def _interval(estimate: Estimate) -> str:
    if estimate.one_seed:
        return ""
    interval = points.range(estimate.low, estimate.high)
    return f" (a difference of {points(estimate.value)}, 95 % interval {interval})"


def _hardest(groups: dict[str, list[Run]]) -> str:
    """Return the class that loses most, by its IoU."""
    plain, without = (np.mean([run.iou for run in groups[key]], axis=0) for key in (UNET, WITHOUT))
    difference = without - plain
    if np.isnan(difference).all():
        return ""
    worst = int(np.nanargmin(difference))
    if difference[worst] >= 0:
        return ""
    name = literal(groups[UNET][0].classes.names[worst])
    return (
        f"; the class that loses most, *{name}*, falls from {percent(plain[worst])} "
        f"to {percent(without[worst])}"
    )
