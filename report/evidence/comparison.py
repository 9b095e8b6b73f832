"""One measurement that bears on a statement: which networks are compared, and what is expected.

How a verdict follows from it is said in `report.evidence.claims`, of whose rules `Comparison.judge`
is the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from lib.datasets import family
from lib.models import TITLES
from lib.records import Run
from report.evidence.measure import Change, Measure
from report.evidence.readings import NotMeasured
from report.evidence.statistics import (
    EQUIVALENCE_LEVEL, LEVEL, Estimate, probability_higher, standard_error,
)  # fmt: skip
from report.evidence.wording import Unit, capitalised, interval_text, listed

SUPPORTED, RULED_OUT, UNDECIDED = "supported", "ruled out", "undecided"
ONE_SEED, NOT_MEASURED = "undecided (one seed)", "not measured"
ALPHA = 0.05  # level of significance
MOST_SEEDS = 50  # more are not asked for
CHANCE = 0.8  # of a decision, for which seeds are counted
SAME, HIGHER, LOWER = "same", "higher", "lower"
SCENES = "scenes"


@dataclass(frozen=True)
class Comparison:
    """A weighted sum of networks by one measure, and what a statement expects of it."""

    measure: Measure
    weights: dict[str, float]
    expect: str = ""  # nothing of a secondary measurement
    margin: float = np.nan
    subject: str = ""
    against: str = ""
    data: str = ""  # the data set that alone decides; any otherwise

    @property
    def names(self) -> str:
        """Return what is compared in words: "U-Net trained against untrained"."""
        return f"{self.subject} against {self.against}{self.where}"

    @property
    def where(self) -> str:
        return " on drawn scenes" if self.data == SCENES else ""

    @property
    def criterion(self) -> str:
        """Return "lower by ≥ 1.0 points" or "within ±5.0 %"."""
        margin = self.measure.unit(self.margin)
        return f"within ±{margin}" if self.expect == SAME else f"{self.expect} by ≥ {margin}"

    @property
    def is_pair(self) -> bool:
        """Whether one network is compared with another."""
        return [*self.weights.values()] == [1, -1]

    @property
    def sign(self) -> int:
        """Return the sign of the difference that a statement of "higher" or "lower" expects."""
        return 1 if self.expect == HIGHER else -1

    def judge(self, estimate: Estimate, adjusted: float) -> str:
        """Return the verdict on what is expected, p being `adjusted`."""
        if estimate.one_seed:
            return ONE_SEED
        significant, (low, high) = adjusted < ALPHA, (estimate.low, estimate.high)
        if self.expect == SAME:
            supported = max(-estimate.inner[0], estimate.inner[1]) <= self.margin
            ruled_out = significant and max(low, -high) > self.margin
        else:
            supported = significant and self.sign * estimate.value >= self.margin
            ruled_out = max(self.sign * low, self.sign * high) < self.margin
        if supported:
            return SUPPORTED
        return RULED_OUT if ruled_out else UNDECIDED

    def seeds_needed(self, estimate: Estimate, level: float) -> int | None:
        """Return how many seeds per network decide it four times in five, all else as observed.

        Significant means p < `level`. None where `MOST_SEEDS` do not decide it: the images are then
        the limit, or the effect is too close to its margin.
        """
        for seeds in range(2, MOST_SEEDS + 1):
            error, freedom = standard_error(estimate.variances, [seeds] * len(estimate.variances))
            both = float(np.hypot(error, estimate.image_error))
            if both == 0:
                return 2
            if error > 0:
                freedom *= (both / error) ** 4  # the images' error counts as known
            if self._power(estimate.value, both, freedom, level) >= CHANCE:
                return seeds
        return None

    def _power(self, effect: float, error: float, freedom: float, level: float) -> float:
        """Return the chance that an effect with this standard error is supported or ruled out."""
        beyond = error * student.ppf((1 + LEVEL) / 2, freedom)
        if self.expect == SAME:
            within = self.margin - error * student.ppf((1 + EQUIVALENCE_LEVEL) / 2, freedom)
            outside = self.margin + beyond
            ends = np.array([within, -within, outside, -outside])
            high, low, above, below = student.cdf((ends - effect) / error, freedom)
            return max(0.0, high - low) + 1 - above + below
        needed = max(self.margin, error * student.ppf(1 - level / 2, freedom))
        detected = student.sf((needed - self.sign * effect) / error, freedom)
        excluded = student.cdf((self.margin - beyond - self.sign * effect) / error, freedom)
        return detected + excluded


@dataclass(frozen=True)
class Finding:
    """What the runs say about one comparison; without an estimate, what is missing."""

    comparison: Comparison
    estimate: Estimate | None = None
    values: tuple[np.ndarray, ...] = ()  # of each network, by run
    sides: tuple[float, ...] = ()  # both levels of a pair or of a change
    missing: str = ""

    @property
    def higher(self) -> tuple[float, float, float] | None:
        """Return P(A > B) with its interval, of two networks."""
        if self.estimate is None or not self.comparison.is_pair:
            return None
        return probability_higher(*self.values)

    @property
    def _unit(self) -> Unit:
        """Return the unit of the levels."""
        measure = self.comparison.measure
        of_changes = isinstance(measure, Change) and len(self.values) == 2
        return measure.unit if of_changes else measure.level

    @property
    def both(self) -> tuple[str, ...]:
        """Return the levels that are compared, "44.7 %" and "51.4 %"; none of more than two."""
        return tuple(map(self._unit, self.sides))

    @property
    def levels(self) -> str:
        """Return "44.7 against 51.4 %", or nothing where there are more than two levels."""
        if not self.sides:
            return ""
        return f"{self._unit.number(self.sides[0])} against {self.both[1]}"

    @property
    def difference(self) -> str:
        """Return "a difference of −6.7 points (95 % interval ...; 5 seeds, 233 images)"."""
        unit = self.comparison.measure.unit
        interval = interval_text(self.estimate, unit)
        return f"a difference of {unit.signed(self.estimate.value)} ({interval})"

    @property
    def text(self) -> str:
        """Return in words what was compared, levels and difference, or what is missing."""
        comparison = self.comparison
        measure = capitalised(comparison.measure.name)
        if self.estimate is None:
            return f"{measure}: {comparison.names}, {NOT_MEASURED} ({self.missing})"
        if not self.sides:
            return f"{measure}: {comparison.names}, {self.difference}"
        first, second = self.both
        levels = f"{comparison.subject} {first}, {comparison.against} {second}{comparison.where}"
        return f"{measure}: {levels}; {self.difference}"


def find(comparison: Comparison, runs: Sequence[Run]) -> Finding:
    """Return what the runs say; those of another data set than the comparison's are not read."""
    data = comparison.data or (data_of(runs[0]) if runs else "")
    groups = {key: [] for key in comparison.weights}
    for run in runs:
        if run.variant in groups and data_of(run) == data:
            groups[run.variant].append(run)
    lacking = [TITLES[key] for key, group in groups.items() if not group]
    if lacking:
        on = f" on {comparison.data}" if comparison.data else ""
        what = listed(lacking) if len(lacking) < 4 else f"{len(lacking)} networks of the design"
        return Finding(comparison, missing=f"no run of {what}{on}")
    measure, networks = comparison.measure, [*groups.values()]
    try:
        estimate, values = measure.contrast(networks, [*comparison.weights.values()])
        sides = tuple(float(np.mean(sample)) for sample in values)
        if len(networks) == 1:
            counts = measure.contributions(networks[0])
            sides = tuple(measure.sides(counts.sum(1)).mean(1).tolist())
    except NotMeasured as missing:
        return Finding(comparison, missing=str(missing))
    return Finding(comparison, estimate, tuple(values), sides if len(sides) == 2 else ())


def data_of(run: Run) -> str:
    """Return the data set of a run; scenes are one whatever their doses."""
    name = run.record["dataset"]["name"]
    return SCENES if family(name) == SCENES else name
