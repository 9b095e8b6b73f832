"""The statements that the report tests, what decides each of them, and how a verdict follows.

A `Comparison` says by which measure which networks are compared, and what a statement expects. A `Claim` has one primary
measurement, which alone decides; what bears on it beside that is secondary, printed and without a say. A statement that
needs two measurements at once has two primary ones, and both must hold.

- "higher", "lower": *supported* when the effect is significant in that direction and at least as large as the margin,
  *ruled out* when the 95 % interval excludes an effect of the margin's size in that direction.
- "same": *supported* when the 90 % interval lies within the margin, which is two one-sided tests at 5 % (Schuirmann 1987),
  *ruled out* when the difference is significant and the whole 95 % interval lies outside the margin.

Everything else is *undecided*. Significant means p < 0.05 after Holm's adjustment over the primary measurements of all
claims. One seed decides nothing. Which networks beside its own have been run changes a verdict through Holm's family only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.files import family
from lib.models import TITLES
from lib.records import Run
from report.evidence import measures as of
from report.evidence.design import BLOCK_EFFECT, Effect, finer_against_coarser, skip_effect
from report.evidence.measures import Change, Measure
from report.evidence.readings import COARSE, FINE, NotMeasured
from report.evidence.statistics import (
    Estimate, decides_difference, decides_equivalence, holm, probability_higher, seeds_needed,
)
from report.evidence.wording import interval_text, listed, versus

SUPPORTED, RULED_OUT, UNDECIDED = "supported", "ruled out", "undecided"
ONE_SEED, NOT_MEASURED = "undecided (one seed)", "not measured"
ALPHA = 0.05  # level of significance
SAME, HIGHER, LOWER = "same", "higher", "lower"
# Margins: a loss as a share of U-Net's, a score, a share, a ratio of gradients or curvatures.
LOSS, SCORE, SHARE, GRADIENT = 0.05, 0.01, 0.05, 0.2
UNET, NONE, RESIDUAL, GATED = "unet", "unet-noskip", "unet-residual", "unet-gated-attention"
STUDY, THEORY = "the original study", "the theory"
SCENES = "scenes"


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of networks by one measure, and what a statement expects of it, if it decides one."""

    measure: Measure
    weights: dict[str, float]
    expect: str = ""
    margin: float = np.nan
    subject: str = ""
    against: str = ""
    data: str = ""  # the data set that alone decides; any otherwise

    @property
    def criterion(self) -> str:
        """Return "lower by at least 1.0 points"."""
        margin = self.measure.unit(self.margin)
        return f"within ±{margin}" if self.expect == SAME else f"{self.expect} by at least {margin}"

    def power(self, level: float) -> Callable:
        """Return the chance of a decision as a function of effect, standard error and degrees of freedom."""
        if self.expect == SAME:
            return decides_equivalence(self.margin)
        sign = 1 if self.expect == HIGHER else -1
        chance = decides_difference(self.margin, level)
        return lambda effect, error, freedom: chance(sign * effect, error, freedom)

    def judge(self, estimate: Estimate, adjusted: float) -> str:
        """Return the verdict on what is expected, p being `adjusted`."""
        if estimate.one_seed:
            return ONE_SEED
        significant = adjusted < ALPHA
        if self.expect == SAME:
            within = -self.margin <= estimate.inner[0] and estimate.inner[1] <= self.margin
            outside = estimate.low > self.margin or estimate.high < -self.margin
            if within:
                return SUPPORTED
            return RULED_OUT if significant and outside else UNDECIDED
        if self.expect == HIGHER:
            effect, largest = estimate.value, estimate.high
        else:
            effect, largest = -estimate.value, -estimate.low
        if significant and effect >= self.margin:
            return SUPPORTED
        return RULED_OUT if largest < self.margin else UNDECIDED


@dataclass(frozen=True)
class Finding:
    """What the runs say about one comparison; without an estimate, what is missing."""

    comparison: Comparison
    estimate: Estimate | None = None
    values: tuple[np.ndarray, ...] = ()  # of each network, by run
    sides: tuple[float, float] | None = None  # of a change within one network
    missing: str = ""

    @property
    def higher(self) -> tuple[float, float, float] | None:
        """Return P(A > B) with its interval, of two networks."""
        if self.estimate is None or [*self.comparison.weights.values()] != [1, -1]:
            return None
        return probability_higher(*self.values)

    @property
    def text(self) -> str:
        """Return the subject, both levels, the difference and its interval in words; or what is missing."""
        comparison, measure, estimate = self.comparison, self.comparison.measure, self.estimate
        if estimate is None:
            return f"{comparison.subject}: {measure.name} {NOT_MEASURED} ({self.missing})"
        levels = self.sides
        unit = measure.level
        if len(self.values) == 2:
            levels = tuple(float(np.mean(sample)) for sample in self.values)
            unit = measure.unit if isinstance(measure, Change) else measure.level
        between = f" {unit.number(levels[0])} against {unit(levels[1])}," if levels else ""
        difference = versus(estimate.value, comparison.against, measure.unit)
        return f"{comparison.subject}: {measure.name}{between} {difference} ({interval_text(estimate, measure.unit)})"


def find(comparison: Comparison, runs: Sequence[Run]) -> Finding:
    """Return what the runs say; those of another data set than the comparison's, or than the first run's, are not read."""
    data = comparison.data or (_data(runs[0]) if runs else "")
    groups = {key: [run for run in runs if run.variant == key and _data(run) == data] for key in comparison.weights}
    lacking = [TITLES[key] for key, group in groups.items() if not group]
    if lacking:
        on = f" on {comparison.data}" if comparison.data else ""
        what = listed(lacking) if len(lacking) < 4 else f"{len(lacking)} networks of the design"
        return Finding(comparison, missing=f"no run of {what}{on}")
    try:
        estimate, values = comparison.measure.contrast([*groups.values()], [*comparison.weights.values()])
        sides = None
        if len(groups) == 1:
            (counts,) = comparison.measure.contributions([*groups.values()])
            sides = tuple(comparison.measure.sides(counts.sum(1)).mean(1).tolist())
    except NotMeasured as missing:
        return Finding(comparison, missing=str(missing))
    return Finding(comparison, estimate, tuple(values), sides)


def _data(run: Run) -> str:
    """Return the data set of a run, drawn scenes being one whatever their doses."""
    name = run.record["dataset"]["name"]
    return SCENES if family(name) == SCENES else name


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
    """A claim, what was found, p raw and after Holm over all claims; NaN without a test."""

    claim: Claim
    primary: tuple[Finding, ...]
    secondary: tuple[Finding, ...]
    p: float
    adjusted: float
    family: int  # of tests that were adjusted together

    @property
    def verdict(self) -> str:
        """Return what all primary measurements support or one rules out."""
        if any(finding.estimate is None for finding in self.primary):
            return NOT_MEASURED
        judged = {finding.comparison.judge(finding.estimate, self.adjusted) for finding in self.primary}
        for verdict in (ONE_SEED, RULED_OUT, UNDECIDED):
            if verdict in judged:
                return verdict
        return SUPPORTED

    @property
    def seeds_needed(self) -> int | None:
        """Return how many seeds a network would decide each primary measurement, None for more than are asked for.

        At the level of Holm's first and strictest step.
        """
        needed = [seeds_needed(f.estimate, f.comparison.power(ALPHA / self.family)) for f in self.primary]
        return None if None in needed else max(needed)


def judge(runs: Sequence[Run], claims: Sequence[Claim] | None = None) -> list[Verdict]:
    """Return what the runs say about each claim, all 18 unless told otherwise.

    Of a claim with two primary measurements the larger p counts: it holds only if both do.
    """
    claims = CLAIMS if claims is None else claims
    primary = [tuple(find(comparison, runs) for comparison in claim.primary) for claim in claims]
    raw = np.array([_p(findings) for findings in primary])
    family = int((~np.isnan(raw)).sum())
    return [Verdict(claim, findings, tuple(find(comparison, runs) for comparison in claim.secondary), p, adjusted, family)
            for claim, findings, p, adjusted in zip(claims, primary, raw.tolist(), holm(raw).tolist())]


def _p(findings: Sequence[Finding]) -> float:
    if any(finding.estimate is None or finding.estimate.one_seed for finding in findings):
        return np.nan
    return max(finding.estimate.p for finding in findings)


def _against(variant: str, *measures: Measure, expect: str = "", margin: float = np.nan, data: str = "",
             reference: str = UNET) -> tuple[Comparison, ...]:
    """Return one network against another by each measure."""
    return tuple(Comparison(measure, {variant: 1, reference: -1}, expect, margin, TITLES[variant], TITLES[reference], data)
                 for measure in measures)


def _within(variant: str, *changes: Change, expect: str = "", margin: float = np.nan) -> tuple[Comparison, ...]:
    """Return changes of one and the same network."""
    return tuple(Comparison(change, {variant: 1}, expect, margin, TITLES[variant], change.against) for change in changes)


def _effect(effect: Effect, measure: Measure, subject: str, against: str, expect: str = "",
            margin: float = np.nan) -> tuple[Comparison, ...]:
    return (Comparison(measure, effect.weights, expect, margin, subject, against),)


_BLOCKS = _effect(BLOCK_EFFECT, of.RISE, "Residual blocks", "with plain blocks, averaged over the three kinds of skip",
                  HIGHER, SCORE)
_LEVELS = _effect(finer_against_coarser(FINE, COARSE), of.PREFERENCE, "Gain from a finer skip",
                  "the gain from a coarser one", HIGHER, SHARE)
_FINEST = _effect(skip_effect(0), of.BOUNDARY, "Networks trained with the finest skip", "without it, averaged over all "
                  "subsets of the other skips")
CLAIMS = (
    Claim("Q1", "Removing the skip connections has no significant impact on the loss curve.", STUDY,
          _against(NONE, of.LOSS, expect=SAME, margin=LOSS), _against(NONE, of.LOSS_AREA, of.TEST_LOSS)),
    Claim("Q2", "Gated attention has no significant impact on the loss curve.", STUDY,
          _against(GATED, of.LOSS, expect=SAME, margin=LOSS), _against(GATED, of.LOSS_AREA, of.TEST_LOSS)),
    Claim("Q3", "Removing the skip connections visibly lowers mIoU (in that study by about 5 points).", STUDY,
          _against(NONE, of.MIOU, expect=LOWER, margin=SCORE),
          _against(NONE, *of.BY_DRIVE) + _against("unet-noskip-wide", of.MIOU)),
    Claim("Q4", "The residual network converges much faster.", STUDY, _BLOCKS,
          _against(RESIDUAL, of.RISE, *of.EPOCHS, *of.SECONDS)),
    Claim("Q5a", "The residual network reaches a significantly lower loss.", STUDY,
          _against(RESIDUAL, of.LOSS, expect=LOWER, margin=LOSS), _against(RESIDUAL, of.LOSS_AREA, of.TEST_LOSS, of.GAP)),
    Claim("Q5b", "The residual network's lower loss does not bring much mIoU.", STUDY,
          _against(RESIDUAL, of.MIOU, expect=SAME, margin=SCORE), _against(RESIDUAL, *of.BY_DRIVE)),
    Claim("Q6", "Without skip connections the finer details (a traffic signal) are missed altogether.", STUDY,
          _against(NONE, of.MISSED, expect=HIGHER, margin=SHARE), _against(NONE, *of.MISSED_OTHERS)),
    Claim("Q7a", "Residual blocks preserve geometry better than U-Net.", STUDY,
          _against(RESIDUAL, of.BOUNDARY, expect=HIGHER, margin=SCORE), _against(RESIDUAL, *of.GEOMETRY)),
    Claim("Q7b", "Gated attention preserves geometry better than U-Net.", STUDY,
          _against(GATED, of.BOUNDARY, expect=HIGHER, margin=SCORE), _against(GATED, *of.GEOMETRY)),
    Claim("T1", "Skip connections carry high-resolution information that the bottleneck loses.", THEORY,
          _against(NONE, of.BOUNDARY, expect=LOWER, margin=SCORE),
          _against("unet-noskip-finest", of.BOUNDARY) + _FINEST + _within(UNET, *of.CUT, *of.PROBES)),
    Claim("T2", "Skip connections at several scales fuse features learnt at several scales.", THEORY, _LEVELS,
          _within(UNET, *of.BY_LEVEL, of.BY_SIZE)),
    Claim("T3a", "Skip connections help against vanishing gradients.", THEORY,
          _against(NONE, of.LOWEST, of.FINEST, expect=LOWER, margin=GRADIENT), _against(NONE, of.UPDATES, *of.DEEP)),
    Claim("T3b", "Residual shortcuts help against vanishing gradients.", THEORY,
          _against(RESIDUAL, of.LOWEST, of.FINEST, expect=HIGHER, margin=GRADIENT),
          _against(RESIDUAL, of.UPDATES, *of.DEEP)),
    Claim("A1", "Gates disambiguate irrelevant and noisy responses in the skips.", THEORY,
          _against(GATED, *of.DOSES, expect=HIGHER, margin=SCORE, data=SCENES),
          _against(GATED, *of.DISTURBED) + _within(GATED, *of.REPLACED)),
    Claim("A2", "Gates reduce false positives for small objects that vary in shape.", THEORY,
          _against(GATED, of.PRECISION, expect=HIGHER, margin=SHARE, data=SCENES),
          _against(GATED, *of.FALSE)),
    Claim("A3a", "Gates filter the activations forward.", THEORY,
          _within(GATED, of.ALPHA_OUTLINES, of.ALPHA_CLASSES, expect=HIGHER, margin=SHARE)),
    Claim("A3b", "Gates filter the gradients backward.", THEORY,
          _within(GATED, of.ENERGY, expect=LOWER, margin=SHARE), _within(GATED, of.ENERGY_DETACHED, of.ENERGY_ARRIVING)),
    Claim("R1", "Residual shortcuts smooth the loss surface.", THEORY,
          _against(RESIDUAL, of.NON_CONVEX, expect=LOWER, margin=GRADIENT),
          _against(RESIDUAL, of.NON_CONVEX_NORMALISED, of.CURVATURE)),
)
