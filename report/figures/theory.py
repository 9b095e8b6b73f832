"""The theory chapter's computed sentences."""

from collections.abc import Sequence

from lib.models import DEPTH
from lib.records import Run
from report.evidence import closed_forms as theory
from report.evidence.claims import NONE, Verdict
from report.evidence.comparison import NOT_MEASURED
from report.evidence.ledger import verdict_text
from report.evidence.readings import RARE, rare, studied
from report.evidence.wording import capitalised, listed, named, percent, pixels
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


def open_questions(verdicts: Sequence[Verdict]) -> str:
    """Return which statements the records do not reach; "" where they reach all."""
    missing = [verdict.claim.id for verdict in verdicts if verdict.verdict == NOT_MEASURED]
    if not missing:
        return ""
    are = "is" if len(missing) == 1 else "are"
    return f"For want of trainings or studies on record, {listed(missing)} {are} left out."


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
