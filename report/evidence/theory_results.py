"""The theory chapter's measured parts: each figure with its caption, each statement with its verdict in words.

What the records do not hold is said to be missing, in the figure's place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from lib.metrics import iou_per_class, nan_mean
from lib.models import TITLES, VARIANTS
from lib.records import Run
from lib.studies.depth import CHANNELS, SIZE
from report.evidence.claims import GATED, NONE, RESIDUAL, Verdict
from report.evidence.design import SKIP_BY_SKIP, effects_table
from report.evidence.findings import RARE, change, pixels
from report.evidence.ledger import primary_text, verdict_text
from report.evidence.readings import NotMeasured, probed, rare, studied
from report.evidence.scores import explained
from report.evidence.wording import capitalised, listed, named, percent
from report.figures import studies as study_figures, style as figures
from report.figures.style import by_variant

SKIPPED = ("unet", RESIDUAL, GATED)


@dataclass(frozen=True)
class Shown:
    """A figure of `report.figures.studies`: for which networks, and what its caption says beside the number of runs."""

    draw: Callable[[dict[str, list[Run]]], Figure]
    networks: tuple[str, ...]
    caption: str
    alt: str


SHOWN = {
    "lesions": Shown(
        study_figures.lesions, SKIPPED,
        "What a network loses when one skip is cut. Left and middle: mIoU and boundary IoU, for features of another image "
        "(filled) and for zeros (hollow). Right: recall of the U-Net by the size of the thing, features of another image. A skip "
        "that serves small things hurts at the left end of its line.",
        "Three charts of what is lost by level of the lesion and by size of the thing."),
    "information": Shown(
        study_figures.information, ("unet", NONE),
        "What a linear map reads off the features of each level: the encoder's (solid), what comes up from below before the skip "
        "joins (dotted), and the two joined (dashed). Left: outlines of the labels. Right: the classes.",
        "Two line charts of linear probes by level for the U-Net with and without skip connections."),
    "training": Shown(
        study_figures.training_gradients, tuple(VARIANTS),
        "Gradient (left) and update (middle) of every block relative to its weights, geometric means over the whole training. E: "
        "encoder, B: bottleneck, D: decoder, in the order of the forward pass; the loss sits at the right end. Right: the first "
        "block's gradient by the last one's in the course of the training.",
        "Line charts of relative gradients and updates by block, and of their ratio over the training, for the four networks."),
    "depths": Shown(
        study_figures.depths, tuple(VARIANTS),
        f"Relative gradients in small networks of four, five and six levels ({CHANNELS} base channels, drawn scenes of {pixels(SIZE)}), "
        "means over their first steps, with batch normalisation and without. Where gradients vanish the line falls from right to left.",
        "Six line charts of relative gradients by block, for three depths, with and without batch normalisation."),
    "disturbances": Shown(
        study_figures.disturbances, tuple(VARIANTS),
        "What disturbances cost, by strength: noise added to the encoder's features where the skips take them, another image's "
        "features mixed into them, and noise on the image itself.",
        "Three line charts of the change of mIoU under noise and clutter."),
    "coefficients": Shown(
        study_figures.coefficients, (GATED,),
        "Mean of the coefficients α at each level: by class, from frequent to rare; by distance to the nearest outline of the labels; "
        "on pixels that the network labels wrong and right.",
        "Three charts of mean attention coefficients by class, by distance to an outline, and by correctness."),
    "energy": Shown(
        study_figures.energy, SKIPPED,
        "Where the gradient comes from that returns to the encoder across the skips: energy that falls on the pixels of each class, "
        "relative to the class's area (1: as much as its area), geometric means over levels. Classes from frequent to rare.",
        "Line chart of gradient energy relative to area by class."),
    "slices": Shown(
        study_figures.slices, tuple(VARIANTS),
        "Loss on one fixed batch over two random filter-normalised directions around the trained network (cross), first seed; colours "
        "are logarithmic and end at 10 nats. Below each, the largest curvature in the same coordinates, the mean over seeds.",
        "Four maps of the loss around the trained networks."),
}


def show(runs: Sequence[Run], *names: str) -> None:
    """Displays these figures, each of the runs that hold what it needs, or says what is missing."""
    for name in names:
        shown = SHOWN[name]
        useful = [run for run in runs if run.gradients] if name == "training" else runs
        groups = {key: group for key, group in by_variant(useful).items() if key in shown.networks}
        try:
            if not groups:
                lacking = "with norms of gradients " if name == "training" else ""
                raise NotMeasured(f"no run {lacking}of {listed([TITLES[key] for key in shown.networks])}")
            drawn = shown.draw(groups)
        except NotMeasured as missing:
            figures.say(f"*Not measured: {missing}.*")
            continue
        figures.show(drawn, f"fig-study-{name}", f"{shown.caption} {_extent(groups)}", shown.alt)


def _extent(groups: dict[str, list[Run]]) -> str:
    seeds = sorted({len(group) for group in groups.values()})
    runs = f"{' to '.join(map(str, seeds))} seed{'s' * (seeds != [1])} a network"
    first = next(iter(groups.values()))[0]
    images = len(first.studies.get("names", ()))
    return f"{runs}, {images} test images where images are counted." if images else f"{runs}."


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
