"""How many seeds would decide a statement, at the variance that was observed."""

from collections.abc import Callable

import numpy as np
from scipy.stats import t as student

from report.evidence.statistics import EQUIVALENCE_LEVEL, LEVEL, Estimate, standard_error

MOST_SEEDS = 50  # more are not asked for
Power = Callable[[float, float, float], float]  # effect, standard error, degrees of freedom


def decides_difference(margin: float, level: float) -> Power:
    """Return the chance of an effect that is significant and of the margin, or of excluding it."""

    def power(effect: float, error: float, freedom: float) -> float:
        needed = max(margin, error * student.ppf(1 - level / 2, freedom))
        excluded = margin - error * student.ppf((1 + LEVEL) / 2, freedom)
        detected = student.sf((needed - effect) / error, freedom)
        return detected + student.cdf((excluded - effect) / error, freedom)

    return power


def decides_equivalence(margin: float) -> Power:
    """Return the chance that the 90 % interval is within the margin, or the 95 % one outside."""

    def power(effect: float, error: float, freedom: float) -> float:
        within = margin - error * student.ppf((1 + EQUIVALENCE_LEVEL) / 2, freedom)
        outside = margin + error * student.ppf((1 + LEVEL) / 2, freedom)
        ends = np.array([within, -within, outside, -outside])
        high, low, above, below = student.cdf((ends - effect) / error, freedom)
        return max(0.0, high - low) + 1 - above + below

    return power


def seeds_needed(estimate: Estimate, power: Power, chance: float = 0.8) -> int | None:
    """Return how many seeds per network give that chance of a decision, all else as observed.

    None where `MOST_SEEDS` do not: the images are then the limit, or the effect is too close to its
    margin.
    """
    for seeds in range(2, MOST_SEEDS + 1):
        error, freedom = standard_error(estimate.variances, [seeds] * len(estimate.variances))
        both = np.hypot(error, estimate.image_error)
        if both == 0:
            return 2
        if error > 0:
            freedom *= (both / error) ** 4  # the images' error counts as known
        if power(estimate.value, float(both), freedom) >= chance:
            return seeds
    return None
