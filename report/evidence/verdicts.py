"""From a claim, which is data, to a verdict, which is computed.

A claim is a statement and the comparisons that decide it. A comparison sets a network against another one or, for a
measure that changes one and the same network, against itself before the change.

- "same": supported when the whole 95 % interval lies within the margin (equivalence, Schuirmann 1987), contradicted
  when the difference is significant and larger than the margin.
- "higher", "lower": supported when the difference is significant in that direction and reaches the margin, contradicted
  when the interval holds no difference that large; "not higher" is "higher" the other way round.

Everything else is inconclusive. Significant means p < 0.05 after Holm's adjustment over the comparisons that decide one
claim: a verdict does not depend on which other questions are asked. A claim is supported when all its comparisons
support it and contradicted when one contradicts it. One seed decides nothing about architectures.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pandas as pd

from lib.models import TITLES
from lib.records import Run
from report.evidence.statistics import (
    Estimate, Incomplete, Measure, NotMeasured, holm, interval_text, p_text, versus,
)

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
ONE_SEED, NOT_MEASURED = "inconclusive (one seed)", "not measured"
ALPHA = 0.05  # level of significance


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
    def against(self) -> str:
        """What the network is compared with, in words."""
        variant, reference = self.comparison.variant, self.comparison.reference
        return self.comparison.measure.against if reference == variant else title(reference)

    @property
    def text(self) -> str:
        """Both levels, the difference with its interval, and p, raw and adjusted; or what is missing."""
        measure, estimate = self.comparison.measure, self.estimate
        if estimate is None:
            return f"{measure.name} {NOT_MEASURED} ({self.missing})"
        own, other = self.levels
        changes = measure.against and self.against != measure.against  # not of one network, but the changes of two
        level = measure.unit if changes else measure.level
        text = f"{measure.name} {level.number(own)} against {level(other)}, "
        text += versus(estimate.value, self.against, measure.unit)
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


def verdicts(runs: Sequence[Run], claims: Sequence[Claim]) -> list[Verdict]:
    """What the runs of one data set say about each claim; variants that no claim is about are not read."""
    results = []
    for claim in claims:
        found = [_find(comparison, runs) for comparison in claim.comparisons]
        adjusted = holm([f.estimate.p if f.estimate and f.comparison.decides else np.nan for f in found])
        results.append(Verdict(claim, tuple(finding.judged(p) for finding, p in zip(found, adjusted))))
    return results


def ledger(runs: Sequence[Run], claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a claim: its statement, our measurement in words, and the verdict."""
    rows = [(v.claim.id, v.claim.statement, v.sentence, v.verdict) for v in verdicts(runs, claims)]
    return pd.DataFrame(rows, columns=["Claim", "Statement", "Our measurement", "Verdict"])


def comparisons(runs: Sequence[Run], claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a comparison, those beside the claims too: what was expected and what was found."""
    rows = [(v.claim.id, title(f.comparison.variant), f.comparison.criterion, f.text,
             f.verdict if f.comparison.decides else "beside the claim") for v in verdicts(runs, claims) for f in v.findings]
    return pd.DataFrame(rows, columns=["Claim", "Network", "Supported when", "Our measurement", "Verdict"])
