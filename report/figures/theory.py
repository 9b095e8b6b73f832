"""The theory chapter's computed sentences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.models import DEPTH, VARIANTS
from lib.records import Run, by_variant
from report.evidence import closed_forms as theory
from report.evidence.claims import NONE, Verdict
from report.evidence.comparison import NOT_MEASURED
from report.evidence.findings import pixels
from report.evidence.ledger import verdict_text
from report.evidence.readings import RARE, probed, rare, studied
from report.evidence.scores import explained
from report.evidence.wording import capitalised, listed, named, percent
from report.figures.show import say


def answer(verdicts: Sequence[Verdict], *keys: str) -> None:
    """Display the verdict on each of these statements, with what decided it."""
    for verdict in verdicts:
        if verdict.claim.id in keys and verdict.verdict != NOT_MEASURED:
            measured = ". ".join(finding.text for finding in verdict.primary)
            outcome = capitalised(verdict_text(verdict))
            say(f"**{verdict.claim.id}. {verdict.claim.statement}** *{outcome}.* {measured}.")


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


def effort(runs: Sequence[Run]) -> str:
    """Return on how many runs and images the measured sections rest; "" without studies."""
    measured = [run for run in runs if "seconds" in run.studies]
    if not measured:
        return ""
    first = measured[0]
    names = [name for name, chosen in zip(first.classes.names, rare(first)) if chosen]
    return (
        f"Measurements inside trained networks rest on {len(measured)} of the {len(runs)} runs and "
        f"on {len(studied(first, 'names'))} test images, evenly spaced over the test set. *Rare* "
        f"classes are those with less than {percent(RARE)} of the training pixels ({named(names)})."
    )


def probe_sentence(runs: Sequence[Run]) -> str:
    """Return what probes read of outlines at the bottleneck and at level 0; "" without probes."""
    groups = by_variant(runs)
    chosen = [groups.get("unet", []), groups.get(NONE, [])]
    if not all(group and "probes.edges" in group[0].studies for group in chosen):
        return ""
    bottleneck, level0 = (_explained(chosen[0], part) for part in ("bottleneck", "encoder 0"))
    alone = _explained(chosen[1], "bottleneck")
    return (
        f"In the U-Net a linear probe explains {percent(bottleneck)} of the variance of the "
        f"outlines from the bottleneck and {percent(level0)} from encoder level 0. In the network "
        f"without skips, where everything has to pass the bottleneck, it explains {percent(alone)} "
        "there."
    )


def _explained(runs: Sequence[Run], part: str) -> float:
    return float(np.mean([explained(probed(run, "edges", part).sum(0)) for run in runs]))


def open_questions(verdicts: Sequence[Verdict]) -> str:
    """Return which statements the records do not reach; "" where they reach all."""
    missing = [verdict.claim.id for verdict in verdicts if verdict.verdict == NOT_MEASURED]
    if not missing:
        return ""
    are = "is" if len(missing) == 1 else "are"
    return f"For want of trainings or studies on record, {listed(missing)} {are} left out."


def agreement(summary: pd.DataFrame, runs: Sequence[Run]) -> str:
    """Return whether the formulas equal what is counted in built models and stands in records."""
    same = pd.Series(True, index=summary.index)
    for name in ("parameters", "multiply_adds", "kept"):
        same &= summary[name] == summary[f"counted_{name}"]
    runs = [run for run in runs if run.variant in VARIANTS]  # controls changed between editions
    equal = sum(_agrees(run) for run in runs)
    return (
        f"Formula and count agree to the last digit in {same.sum()} of the {len(summary)} rows of "
        f"[the table of costs](#tbl-theory-costs), and the counts in {equal} of the {len(runs)} "
        "records of the four networks."
    )


def _agrees(run: Run) -> bool:
    base_channels, size = run.config["base_channels"], tuple(run.record["dataset"]["size"])
    counted = theory.total(run.variant, base_channels, len(run.classes), size)
    recorded = run.record["parameters"], run.record["multiply_adds"]
    return (counted.parameters, counted.multiply_adds) == recorded


def removal(base_channels: int, num_classes: int, size: tuple[int, int]) -> str:
    """Return what share of the network leaves with the skips."""
    whole = theory.total("unet", base_channels, num_classes, size)
    left = theory.total(NONE, base_channels, num_classes, size)
    weights = 1 - left.parameters / whole.parameters
    work = 1 - left.multiply_adds / whole.multiply_adds
    return (
        f"At {base_channels} base channels and {pixels(size)}, {percent(weights)} of the "
        f"parameters and {percent(work)} of the multiply-adds leave with the skips."
    )
