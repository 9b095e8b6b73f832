"""The statements of the original study, and what our runs say about each.

A claim is data: a statement and the comparisons that decide it; its verdict and its sentence are computed.

- "same": supported when the whole 95 % interval lies within the margin (equivalence, Schuirmann 1987), contradicted
  when the difference is significant and larger than the margin.
- "higher", "lower": supported when the difference is significant in that direction and reaches the margin, contradicted
  when the interval holds no difference that large; "not higher" is "higher" the other way round.

Everything else is inconclusive. Significant means p < 0.05 after Holm's adjustment over the comparisons that decide one
claim: a verdict does not depend on which other questions are asked. A claim is supported when all its comparisons
support it and contradicted when one contradicts it. One seed decides nothing about architectures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd

from lib.metrics import area_under_curve, epochs_to_reach, final_value, mean_iou, nan_mean, seconds_to_reach
from lib.models import TITLES
from lib.runs import Run
from lib.structure import SIZES, boundary_f1, ratio

from lib.statistics import (  # isort: skip  # noqa: F401
    Estimate, Incomplete, Measure, NotMeasured, Unit, epochs, holm, interval_text, nats, p_text, percent,
    points, seconds, versus,
)

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
ONE_SEED, NOT_MEASURED = "inconclusive (one seed)", "not measured"
ALPHA, BAND, TOLERANCE, SMALL = 0.05, 5, 3, 2  # level, px around an outline, px between contours, bins of `SIZES`
SCORE, LOSS, MUCH, SHARE = 0.01, 0.05, 0.2, 0.05  # margins: a score, a loss, "much" faster, a share missed


def title(variant: str) -> str:
    return TITLES.get(variant, variant)


@dataclass(frozen=True)
class Comparison:
    """A variant against a reference, and what the claim expects: "same", "lower", "higher" or "not higher"."""

    measure: Measure
    variant: str
    expect: str
    margin: float
    decides: bool = True  # otherwise printed beside the claim, without a say in its verdict
    required: bool = True  # otherwise the claim can be decided without it
    reference: str = "unet"

    @property
    def criterion(self) -> str:
        margin = self.measure.unit(self.margin)
        return f"within ±{margin}" if self.expect == "same" else f"{self.expect} by at least {margin}"

    def judge(self, estimate: Estimate, p: float) -> str:
        if estimate.one_seed:
            return ONE_SEED
        if self.expect == "same":
            holds = -self.margin <= estimate.low and estimate.high <= self.margin
            fails = p < ALPHA and abs(estimate.value) > self.margin
        else:
            sign, best = (-1, -estimate.low) if self.expect == "lower" else (1, estimate.high)
            holds, fails = p < ALPHA and sign * estimate.value >= self.margin, best < self.margin
        if self.expect == "not higher":
            holds, fails = fails, holds
        return SUPPORTED if holds else CONTRADICTED if fails else INCONCLUSIVE


@dataclass(frozen=True)
class Finding:
    """What the runs say about one comparison."""

    comparison: Comparison
    estimate: Estimate | None = None
    levels: tuple[float, float] = (np.nan, np.nan)
    missing: str = ""
    adjusted: float = np.nan
    verdict: str = NOT_MEASURED

    def judged(self, adjusted: float) -> "Finding":
        """With its verdict, p being `adjusted`, or as it is when a comparison has no say in the claim."""
        if self.estimate is None:
            return self
        p = adjusted if self.comparison.decides else self.estimate.p
        return replace(self, adjusted=adjusted, verdict=self.comparison.judge(self.estimate, p))

    @property
    def text(self) -> str:
        """Both levels, the difference with its interval, and p, raw and adjusted; or what is missing."""
        measure, estimate = self.comparison.measure, self.estimate
        if estimate is None:
            return f"{measure.name} {NOT_MEASURED} ({self.missing})"
        own, other = self.levels
        text = f"{measure.name} {measure.level.number(own)} against {measure.level(other)}, "
        text += versus(estimate.value, title(self.comparison.reference), measure.unit)
        p = f"; {p_text(estimate.p)}, after Holm {p_text(self.adjusted)}" if self.adjusted >= 0 else ""
        return f"{text} ({interval_text(estimate, measure.unit)}{'' if estimate.one_seed else p})"


@dataclass(frozen=True)
class Claim:
    id: str
    statement: str
    comparisons: tuple[Comparison, ...]
    source: str = "the original study"


@dataclass(frozen=True)
class Verdict:
    """A claim, what was found for each of its comparisons, and what follows."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        found = {f.verdict for f in self.findings if f.comparison.decides
                 and (f.comparison.required or f.verdict not in (NOT_MEASURED, ONE_SEED))}
        for verdict in (NOT_MEASURED, ONE_SEED, CONTRADICTED, INCONCLUSIVE):
            if verdict in found:
                return verdict
        return SUPPORTED

    @property
    def sentence(self) -> str:
        """One sentence for each variant that the claim is about."""
        deciding = [f for f in self.findings if f.comparison.decides]
        groups = groupby(deciding, lambda finding: finding.comparison.variant)
        return " ".join(f"{title(key)}: {'; '.join(f.text for f in group)}." for key, group in groups)


def _curve(run: Run, reference: Sequence[Run], of: Callable, column: str) -> float:
    return of(run.history, column)


def _until(run: Run, reference: Sequence[Run], clock: Callable, share: float) -> float:
    return clock(run.history, share * np.mean([other.history["val_miou"].max() for other in reference]))


def _structure(run: Run, reference: Sequence[Run], name: str) -> np.ndarray:
    if name not in run.structure:
        raise NotMeasured(f"no counts of {name} for seed {run.seed} of {run.title}")
    return run.structure[name].astype(np.int64)


def _near_outline(run: Run, reference: Sequence[Run]) -> np.ndarray:
    return _structure(run, reference, "trimap")[:, :BAND].sum(1)


def _missed(run: Run, reference: Sequence[Run], signs: bool) -> np.ndarray:
    """Target components missed altogether, and all, (N, 2): those of signs, or the small ones of every class."""
    classes = run.classes.signs if signs else list(range(len(run.classes)))
    if not classes:
        raise NotMeasured("the data set has no class of signs")
    sizes = slice(None if signs else SMALL)
    return _structure(run, reference, "components")[:, classes, sizes][..., [1, 0]].sum((1, 2))


CURVES = tuple(
    Measure(f"{when} {what}", partial(_curve, of=of, column=column), nats)
    for when, of in (("final", final_value), ("mean over epochs of the", area_under_curve))
    for what, column in (("training loss", "train_loss"), ("validation loss", "val_loss"))
)
GAP = Measure("final validation loss less training loss", level=nats, relative=False, read=lambda run, _: (
    final_value(run.history, "val_loss") - final_value(run.history, "train_loss")))
MIOU = Measure("test mIoU", lambda run, _: run.per_image, score=mean_iou)
EPOCHS, SECONDS = (
    [Measure(f"{what} to {Unit('%', 100, 0)(share)} of U-Net's best validation mIoU",
             partial(_until, clock=clock, share=share), unit) for share in (0.9, 0.95)]
    for what, clock, unit in (("epochs", epochs_to_reach, epochs), ("seconds", seconds_to_reach, seconds))
)
GEOMETRY = BOUNDARY, *_ = (
    Measure("boundary IoU", partial(_structure, name="boundary"), score=lambda counts: nan_mean(ratio(counts))),
    Measure(f"mIoU less than {BAND} px from an outline", _near_outline, score=lambda counts: nan_mean(ratio(counts))),
    Measure(f"boundary F1 within {TOLERANCE} px", partial(_structure, name="contours"),
            score=lambda counts: nan_mean(boundary_f1(counts, TOLERANCE))),
)
MISSED = (
    Measure(f"share missed altogether under {SIZES[SMALL - 1]} px in size", partial(_missed, signs=False), score=ratio),
    Measure("share missed altogether of signs", partial(_missed, signs=True), score=ratio),
)


def _compare(variant: str, expect: str, margin: float, *measures: Measure, **roles: bool) -> tuple[Comparison, ...]:
    return tuple(Comparison(measure, variant, expect, margin, **roles) for measure in measures)


CLAIMS = (
    Claim("Q1", "Removing the skip connections has no significant impact on the loss curve.",
          _compare("unet-noskip", "same", LOSS, *CURVES)),
    Claim("Q2", "Gated attention has no significant impact on the loss curve.",
          _compare("unet-gated-attention", "same", LOSS, *CURVES)),
    Claim("Q3", "Removing the skip connections visibly lowers mIoU (in that study by about 5 points).",
          _compare("unet-noskip", "lower", SCORE, MIOU)
          + _compare("unet-noskip-wide", "lower", SCORE, MIOU, required=False)),
    Claim("Q4", "The residual network converges much faster.",
          _compare("unet-residual", "lower", MUCH, *EPOCHS)
          + _compare("unet-residual", "lower", MUCH, *SECONDS, decides=False)),
    Claim("Q5", "The residual network reaches a significantly lower loss, without much gain in mIoU.",
          _compare("unet-residual", "lower", LOSS, *CURVES[:2]) + _compare("unet-residual", "not higher", SCORE, MIOU)
          + _compare("unet-residual", "higher", 0.0, GAP, decides=False)),
    Claim("Q6", "Without skip connections the finer details (a traffic signal) are missed altogether.",
          _compare("unet-noskip", "higher", SHARE, MISSED[0])
          + _compare("unet-noskip", "higher", SHARE, MISSED[1], required=False)  # not every data set has signs
          + _compare("unet-noskip", "lower", SCORE, BOUNDARY, decides=False)),
    Claim("Q7", "Residual blocks and gated attention preserve geometry better than U-Net.",
          _compare("unet-residual", "higher", SCORE, *GEOMETRY)
          + _compare("unet-gated-attention", "higher", SCORE, *GEOMETRY)),
)


def _find(comparison: Comparison, runs: Sequence[Run]) -> Finding:
    a, b = ([run for run in runs if run.variant == key] for key in (comparison.variant, comparison.reference))
    if not a or not b:
        return Finding(comparison, missing=f"no run of {title(comparison.reference if a else comparison.variant)}")
    try:
        estimate, *levels = comparison.measure.compare(a, b)
    except NotMeasured as missing:
        undecided = ONE_SEED if min(len(a), len(b)) < 2 else INCONCLUSIVE
        verdict = undecided if isinstance(missing, Incomplete) else NOT_MEASURED
        return Finding(comparison, missing=str(missing), verdict=verdict)
    return Finding(comparison, estimate, tuple(levels))


def verdicts(runs: Sequence[Run], claims: Sequence[Claim] = CLAIMS) -> list[Verdict]:
    """What the runs of one data set say about each claim; variants that no claim is about are not read."""
    results = []
    for claim in claims:
        found = [_find(comparison, runs) for comparison in claim.comparisons]
        adjusted = holm([f.estimate.p if f.estimate and f.comparison.decides else np.nan for f in found])
        results.append(Verdict(claim, tuple(finding.judged(p) for finding, p in zip(found, adjusted))))
    return results


def ledger(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a claim: its statement, our measurement in words, and the verdict."""
    rows = [(v.claim.id, v.claim.statement, v.sentence, v.verdict) for v in verdicts(runs)]
    return pd.DataFrame(rows, columns=["Claim", "Statement", "Our measurement", "Verdict"])


def comparisons(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a comparison, those beside the claims too: what was expected and what was found."""
    rows = [(v.claim.id, title(f.comparison.variant), f.comparison.criterion, f.text,
             f.verdict if f.comparison.decides else "beside the claim") for v in verdicts(runs) for f in v.findings]
    return pd.DataFrame(rows, columns=["Claim", "Network", "Supported when", "Our measurement", "Verdict"])
