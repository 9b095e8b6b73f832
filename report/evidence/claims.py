"""The statements that the report tests, what decides each of them, and how a verdict follows.

A `Claim` has one primary measurement, which alone decides; secondary ones are printed beside it and
have no say. A claim with two primary measurements is a conjunction: it is supported when both are,
and ruled out as soon as one is, since the other cannot make up for it.

- "higher", "lower": *supported* when the effect is significant in that direction and at least as
  large as the margin, *ruled out* when the 95 % interval excludes an effect of that size.
- "same": *supported* when the 90 % interval lies within the margin (two one-sided tests at 5 %,
  Schuirmann 1987), *ruled out* when the difference is significant and the whole 95 % interval lies
  outside the margin.

Everything else is *undecided*. Significant means p < 0.05 after Holm's adjustment over the primary
measurements of all claims; of a conjunction the larger p counts. One seed decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.models import TITLES
from lib.records import Run
from report.evidence import measures as of
from report.evidence.comparison import (
    ALPHA, HIGHER, LOWER, NOT_MEASURED, ONE_SEED, RULED_OUT, SAME, SCENES, SUPPORTED, UNDECIDED,
    Comparison, Finding, find,
)  # fmt: skip
from report.evidence.design import BLOCK_EFFECT, FINER_BY_COARSER, skip_effect
from report.evidence.measure import Change, Measure
from report.evidence.statistics import holm

# Margins: a loss as a share of U-Net's, a score, a share, a ratio of gradients or curvatures.
LOSS, SCORE, SHARE, GRADIENT = 0.05, 0.01, 0.05, 0.2
UNET, NONE, RESIDUAL, GATED = "unet", "unet-noskip", "unet-residual", "unet-gated-attention"
STUDY, THEORY = "the original study", "the theory"


@dataclass(frozen=True)
class Claim:
    """A statement, the measurement that decides it, and what is shown beside that."""

    id: str
    statement: str
    source: str
    primary: tuple[Comparison, ...]
    secondary: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A claim, what was measured, p raw and after Holm over all claims; NaN without a test."""

    claim: Claim
    primary: tuple[Finding, ...]
    secondary: tuple[Finding, ...]
    p: float
    adjusted: float
    multiplier: int  # by which Holm's method multiplies this p
    family: int  # of tests that were adjusted together

    @property
    def parts(self) -> list[str]:
        """Return the verdict of each primary measurement."""
        return [self._part(finding) for finding in self.primary]

    def _part(self, finding: Finding) -> str:
        if not finding.estimate:
            return NOT_MEASURED
        return finding.comparison.judge(finding.estimate, self.adjusted_p(finding))

    def adjusted_p(self, finding: Finding) -> float:
        """Return the p of a primary measurement, adjusted like the claim's; NaN without a test."""
        p = finding.estimate.tested_p
        return self.adjusted if p == self.p else float(np.minimum(1.0, p * self.multiplier))

    @property
    def verdict(self) -> str:
        """Return what all primary measurements support or one rules out."""
        decisive = (NOT_MEASURED, ONE_SEED, RULED_OUT, UNDECIDED)
        return next((verdict for verdict in decisive if verdict in self.parts), SUPPORTED)

    @property
    def seeds_needed(self) -> int | None:
        """Return how many seeds per network would decide it, None for more than are asked for.

        At the level of Holm's first and strictest step.
        """
        level = ALPHA / self.family
        needed = [each.comparison.seeds_needed(each.estimate, level) for each in self.primary]
        return None if None in needed else max(needed)


def judge(runs: Sequence[Run], claims: Sequence[Claim] | None = None) -> list[Verdict]:
    """Return what the runs say about each claim, all of `CLAIMS` unless told otherwise."""
    claims = CLAIMS if claims is None else claims
    primary = [_findings(claim.primary, runs) for claim in claims]
    raw = np.array([_largest_p(findings) for findings in primary])
    tests = int((~np.isnan(raw)).sum())
    smaller = [int((raw < p).sum()) for p in raw]
    return [
        Verdict(claim, found, _findings(claim.secondary, runs), p, adjusted, tests - rank, tests)
        for claim, found, p, adjusted, rank in zip(
            claims, primary, raw.tolist(), holm(raw).tolist(), smaller
        )
    ]


def _findings(comparisons: Sequence[Comparison], runs: Sequence[Run]) -> tuple[Finding, ...]:
    return tuple(find(comparison, runs) for comparison in comparisons)


def _largest_p(findings: Sequence[Finding]) -> float:
    estimates = [finding.estimate for finding in findings]
    return np.nan if None in estimates else np.max([each.tested_p for each in estimates])


def _to_unet(variant: str, *measures: Measure, **expected: object) -> tuple[Comparison, ...]:
    """Return a network against U-Net by each measure."""
    names = {"subject": TITLES[variant], "against": TITLES[UNET]}
    weights = {variant: 1, UNET: -1}
    return tuple(Comparison(measure, weights, **names, **expected) for measure in measures)


def _within(variant: str, *changes: Change, **expected: object) -> tuple[Comparison, ...]:
    """Return changes of one and the same network."""
    return tuple(
        Comparison(change, {variant: 1}, subject=f"{TITLES[variant]} {change.first}",
                   against=change.others, **expected)
        for change in changes
    )  # fmt: skip


def _effect(effect: Comparison, measure: Measure, **expected: object) -> tuple[Comparison, ...]:
    """Return an effect of a design, on this measure."""
    return (replace(effect, measure=measure, **expected),)


_SAME_LOSS = {"expect": SAME, "margin": LOSS}
_BETTER = {"expect": HIGHER, "margin": SCORE}
_WORSE = {"expect": LOWER, "margin": SCORE}
_LESS_GRADIENT = {"expect": LOWER, "margin": GRADIENT}
_MORE_GRADIENT = {"expect": HIGHER, "margin": GRADIENT}
CLAIMS = (
    Claim("Q1", "Removing the skip connections has no significant impact on the loss curve.", STUDY,
          _to_unet(NONE, of.LOSS, **_SAME_LOSS),
          _to_unet(NONE, of.LOSS_AREA, of.TEST_LOSS)),
    Claim("Q2", "Gated attention has no significant impact on the loss curve.", STUDY,
          _to_unet(GATED, of.LOSS, **_SAME_LOSS),
          _to_unet(GATED, of.LOSS_AREA, of.TEST_LOSS)),
    Claim("Q3", "Removing the skip connections visibly lowers mIoU.", STUDY,
          _to_unet(NONE, of.MIOU, **_WORSE),
          _to_unet(NONE, *of.BY_DRIVE) + _to_unet("unet-noskip-wide", of.MIOU)),
    Claim("Q4", "The residual network converges much faster.", STUDY,
          _effect(BLOCK_EFFECT, of.RISE, **_BETTER),
          _to_unet(RESIDUAL, of.RISE)),
    Claim("Q5a", "The residual network reaches a significantly lower loss.", STUDY,
          _to_unet(RESIDUAL, of.LOSS, expect=LOWER, margin=LOSS),
          _to_unet(RESIDUAL, of.LOSS_AREA, of.TEST_LOSS, of.GAP)),
    Claim("Q5b", "The residual network's lower loss brings little mIoU.", STUDY,
          _to_unet(RESIDUAL, of.MIOU, expect=SAME, margin=SCORE),
          _to_unet(RESIDUAL, *of.BY_DRIVE)),
    Claim("Q6", "Without skip connections finer details are missed entirely.", STUDY,
          _to_unet(NONE, of.MISSED, expect=HIGHER, margin=SHARE),
          _to_unet(NONE, of.MISSED_ANY, of.MISSED_SIGNS, of.MISSED_POLES)),
    Claim("Q7a", "Residual blocks preserve geometry better than U-Net.", STUDY,
          _to_unet(RESIDUAL, of.BOUNDARY, **_BETTER),
          _to_unet(RESIDUAL, *of.GEOMETRY)),
    Claim("Q7b", "Gated attention preserves geometry better than U-Net.", STUDY,
          _to_unet(GATED, of.BOUNDARY, **_BETTER),
          _to_unet(GATED, *of.GEOMETRY)),
    Claim("T1", "Skip connections carry high-resolution information that the bottleneck loses.",
          THEORY, _to_unet(NONE, of.BOUNDARY, **_WORSE),
          _effect(skip_effect(0), of.BOUNDARY) + _within(UNET, *of.CUT, *of.PROBES)),
    Claim("T2", "Skip connections at several scales fuse features learnt at several scales.",
          THEORY, _effect(FINER_BY_COARSER, of.PREFERENCE, expect=HIGHER, margin=SHARE),
          _within(UNET, of.BY_SIZE)),
    Claim("T3a", "Skip connections help against vanishing gradients.", THEORY,
          _to_unet(NONE, of.LOWEST, of.FINEST, **_LESS_GRADIENT),
          _to_unet(NONE, of.UPDATES, *of.DEEP)),
    Claim("T3b", "Residual shortcuts help against vanishing gradients.", THEORY,
          _to_unet(RESIDUAL, of.LOWEST, of.FINEST, **_MORE_GRADIENT),
          _to_unet(RESIDUAL, of.UPDATES, *of.DEEP)),
    Claim("A1", "Gates disambiguate irrelevant and noisy responses in the skips.", THEORY,
          _to_unet(GATED, *of.DOSES, data=SCENES, **_BETTER),
          _to_unet(GATED, *of.DISTURBED) + _within(GATED, *of.REPLACED)),
    Claim("A2", "Gates reduce false positives for small objects that vary in shape.", THEORY,
          _to_unet(GATED, of.PRECISION, data=SCENES, expect=HIGHER, margin=SHARE),
          _to_unet(GATED, *of.FALSE, data=SCENES)),
    Claim("A3a", "Gates filter the activations forward.", THEORY,
          _within(GATED, of.ALPHA_OUTLINES, of.ALPHA_CLASSES, expect=HIGHER, margin=SHARE)),
    Claim("A3b", "Gates filter the gradients backward.", THEORY,
          _within(GATED, of.ENERGY, expect=LOWER, margin=SHARE),
          _within(GATED, of.ENERGY_DETACHED)),
    Claim("R1", "Residual shortcuts smooth the loss surface.", THEORY,
          _to_unet(RESIDUAL, of.NON_CONVEX, **_LESS_GRADIENT),
          _to_unet(RESIDUAL, of.CURVATURE)),
)  # fmt: skip
