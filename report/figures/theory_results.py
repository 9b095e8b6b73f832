"""The theory chapter's measured parts: each statement with its verdict in words."""

from collections.abc import Sequence

import numpy as np

from lib.metrics import iou_per_class, nan_mean
from lib.records import Run, by_variant
from report.evidence.claims import NONE, Verdict
from report.evidence.design import SKIP_BY_SKIP, effects_table
from report.evidence.findings import RARE, change
from report.evidence.ledger import primary_text, verdict_text
from report.evidence.readings import probed, rare, studied
from report.evidence.scores import explained
from report.evidence.wording import capitalised, named, percent
from report.figures import show as figures


def say_verdicts(verdicts: Sequence[Verdict], *keys: str) -> None:
    """Displays the verdict on each of these statements, with what decided it."""
    for verdict in verdicts:
        if verdict.claim.id in keys:
            figures.say(f"**{verdict.claim.id}. {verdict.claim.statement}** *{capitalised(verdict_text(verdict))}.* "
                        f"{primary_text(verdict)}.")


def show_skips(runs: Sequence[Run]) -> None:
    """Displays what each skip adds over every subset of the others, where all subsets have runs."""
    effects = effects_table(runs, SKIP_BY_SKIP)
    if len(effects):
        figures.show_table(effects, "tbl-theory-skips", "What the skip of each level adds to a network that is trained with it, and "
                           "how much more it adds where another one is there, over every subset of the four skips; p also after "
                           "Holm over this table.")


def say_effort(runs: Sequence[Run]) -> None:
    """How large the studies are and what they took, against the training."""
    measured = [run for run in runs if "seconds" in run.studies]
    if not measured:
        figures.say("The records hold no studies of trained networks: the measured sections are empty.")
        return
    seconds = sum(float(run.studies["seconds"]) for run in measured)
    share = seconds / sum(run.record["seconds"] for run in measured)
    rares = named([name for name, is_rare in zip(measured[0].classes.names, rare(measured[0])) if is_rare])
    figures.say(
        f"The sections below that measure trained networks rest on {len(measured)} of the report's {len(runs)} runs and on "
        f"{len(studied(measured[0], 'names'))} test images, evenly spaced over the test set. They took {seconds:,.0f} seconds, "
        f"{percent(share)} of what training took. *Rare* classes here are {rares}: those with less than {percent(RARE)} of the "
        "training pixels, or the rarest one.")


def say_reading(runs: Sequence[Run]) -> None:
    """What the probes and the deep networks show beside the verdicts, in sentences that follow the numbers."""
    groups = by_variant(runs)
    with_skips, without = groups.get("unet"), groups.get(NONE)
    if not with_skips or not without or any("probes.edges" not in run.studies for run in (*with_skips, *without)):
        return
    own, alone = (np.mean([explained(probed(run, "edges", "bottleneck").sum(0)) for run in group])
                  for group in (with_skips, without))
    figures.say(f"At the bottleneck a linear map explains {percent(own)} of the outlines' variance in the U-Net and {percent(alone)} "
                f"in the network without skips, {change(alone / own - 1)} where everything has to pass through it. On the rare "
                f"classes a probe of the U-Net's bottleneck reaches a mean IoU of {percent(_rare_iou(with_skips, 'bottleneck'))}, one of "
                f"the features where the finest skip has joined {percent(_rare_iou(with_skips, 'joined 0'))}.")


def _rare_iou(runs: Sequence[Run], part: str) -> float:
    scores = [iou_per_class(probed(run, "confusions", part).sum(0))[rare(run)] for run in runs]
    return float(nan_mean(np.concatenate(scores)))
