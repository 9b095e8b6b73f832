"""The theory chapter's computed sentences, and the table of the encoder's levels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.metrics import mean_iou
from lib.models import DEPTH, SHORT, VARIANTS, subset_name
from lib.records import Run, by_variant
from report.evidence import closed_forms as theory
from report.evidence import scores
from report.evidence.claims import GATED, NONE, UNET, Verdict
from report.evidence.comparison import ALPHA, NOT_MEASURED, SCENES, data_of
from report.evidence.design import SKIP_BY_SKIP, estimates
from report.evidence.ledger import verdict_text
from report.evidence.measure import of_common_seeds, with_studies
from report.evidence.measures import MIOU
from report.evidence.readings import (
    RARE, NotMeasured, by_threshold, matched_classes, rare, studied,
)  # fmt: skip
from report.evidence.statistics import Estimate, holm
from report.evidence.wording import (
    are, capitalised, interval_text, listed, named, percent, pixels, points, versus,
    whole_percent,
)  # fmt: skip
from report.figures.show import Exhibit, say
from report.figures.studies import lost


def answer(verdicts: Sequence[Verdict], *keys: str) -> None:
    """Display the verdict on each of these statements, with what decided it."""
    for verdict in verdicts:
        if verdict.claim.id in keys and verdict.verdict != NOT_MEASURED:
            parts = [finding.text for finding in verdict.primary]
            if len(parts) > 1:
                parts = [f"{text}: {part}" for text, part in zip(parts, verdict.parts)]
            outcome = capitalised(verdict_text(verdict))
            statement = f"**{verdict.claim.id}. {verdict.claim.statement}** *{outcome}.*"
            say(f"{statement} {'. '.join(parts)}.")


def storage(base_channels: int) -> str:
    """Return what the bottleneck can hold and what pooling forgets, per pixel of the image."""
    numbers = base_channels / 2**DEPTH
    held = "fewer than" if numbers < 3 else "at least"
    return (
        f"At this report's {base_channels} base channels the bottleneck holds {numbers:g} "
        f"number{'' if numbers == 1 else 's'} per pixel of the image, {held} the image's three, "
        f"and pooling has discarded {theory.bits_lost(base_channels):g} bits per pixel about where "
        "the maxima were."
    )


def reliance(runs: Sequence[Run]) -> str:
    """Return what a lesion and retraining say of the skip about which they differ most.

    And whether skips replace each other. "" without several seeds of all subsets of the skips.
    """
    effects = estimates(runs, SKIP_BY_SKIP)
    group = with_studies(by_variant(runs).get(UNET, []))
    if not effects or effects[0].one_seed or not all(run.studies for run in group):
        return ""
    cut = [lost(group, f"shuffle {level}", mean_iou).mean() for level in range(DEPTH)]
    trained = [_retrained(runs, level) for level in range(DEPTH)]
    level = int(np.argmin([lesion - without.value for lesion, without in zip(cut, trained)]))
    adjusted = holm([each.tested_p for each in effects])
    pairs = [(each.value, p) for each, p in zip(effects[DEPTH:], adjusted[DEPTH:])]
    replacing = sum(value < 0 and p < ALPHA for value, p in pairs)
    helping = sum(value > 0 and p < ALPHA for value, p in pairs)
    return (
        f"Fed another image's features at level {level}, the trained U-Net loses "
        f"{points(-cut[level])} of mIoU; trained without that skip, it scores "
        f"{versus(trained[level].value, 'with it')} ({interval_text(trained[level])}). Of the "
        f"{len(pairs)} interactions between two skips, {replacing} {are(replacing)} significantly "
        f"negative, which means that one skip is worth less where the other is present, and "
        f"{helping} {are(helping)} significantly positive."
    )


def _retrained(runs: Sequence[Run], level: int) -> Estimate:
    """Return how a U-Net that was trained without the skip of a level differs from one with all."""
    groups = by_variant(runs)
    others = subset_name(tuple(each for each in range(DEPTH) if each != level))
    return MIOU.compare(*of_common_seeds([groups[others], groups[UNET]]))


def effort(runs: Sequence[Run]) -> str:
    """Return on how many runs and images the measured sections rest; "" without studies."""
    measured = [run for run in runs if "seconds" in run.studies]
    if not measured:
        return ""
    first = measured[0]
    names = [name for name, chosen in zip(first.classes.names, rare(first)) if chosen]
    extent = "all" if len(measured) == len(runs) else f"{len(measured)} of the"
    return (
        f"Measurements inside trained networks rest on {extent} {len(runs)} runs and "
        f"on {len(studied(first, 'names'))} test images, evenly spaced over the test set. *Rare* "
        f"classes are those with less than {percent(RARE)} of the training pixels ({named(names)})."
    )


def open_questions(verdicts: Sequence[Verdict]) -> str:
    """Return which statements the records do not reach; "" where they reach all."""
    missing = [verdict.claim.id for verdict in verdicts if verdict.verdict == NOT_MEASURED]
    if not missing:
        return ""
    words = f"{listed(missing)} {are(len(missing))}"
    return f"For want of trainings or studies on record, {words} left out."


def beyond_recall(runs: Sequence[Run]) -> str:
    """Return which rare classes A2 leaves out since no threshold matches their recall, or ""."""
    compared = [run for run in runs if data_of(run) == SCENES and run.variant in (UNET, GATED)]
    if not compared:
        return ""
    try:
        counts = np.array([by_threshold(run).sum(0) for run in compared])
    except NotMeasured:
        return ""
    unmatched = np.isnan(scores.precisions_at_recall(counts)).any(0)
    names = [name for name, left in zip(matched_classes(compared[0]), unmatched) if left]
    if not names:
        return ""
    return (
        f"A2 is the mean over {(~unmatched).sum()} of the {len(unmatched)} rare classes of the "
        f"drawn scenes; no threshold brings the recall of {named(names)} to "
        f"{whole_percent(scores.RECALL)}."
    )


def removal(base_channels: int, num_classes: int, size: tuple[int, int]) -> str:
    """Return what share of the network leaves with the skips."""
    whole = theory.total_cost("unet", base_channels, num_classes, size)
    left = theory.total_cost(NONE, base_channels, num_classes, size)
    weights = 1 - left.parameters / whole.parameters
    work = 1 - left.multiply_adds / whole.multiply_adds
    return (
        f"At {base_channels} base channels and {pixels(size)}, {percent(weights)} of the "
        f"parameters and {percent(work)} of the multiply-adds leave with the skips."
    )


def levels(base_channels: int) -> Exhibit:
    """Width, receptive field and paths of the encoder's levels."""
    places = range(DEPTH + 1)
    columns = {
        "Level": places,
        "Numbers / pixel of the image": [f"{base_channels / 2**level:g}" for level in places],
        "Receptive field (pixels)": theory.receptive_fields("unet"),
    }
    columns |= {f"Path: {SHORT[key]}": theory.shortest_paths(key) for key in VARIANTS}
    return Exhibit(
        pd.DataFrame(columns),
        "tbl-theory-levels",
        "The encoder by level: how many numbers it keeps, the side of the square of the image that "
        f"one of them depends on, both at {base_channels} base channels, and "
        "the fewest convolutions between its output and the logits "
        "([Why skip connections matter](6_theory.ipynb#Why-skip-connections-matter)).",
    )
