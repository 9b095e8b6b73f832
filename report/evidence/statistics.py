"""Intervals and tests for differences between networks, from several seeds and one set of test images.

Two things vary at once: the seed that a network was trained with, and the images it was tested on.
`contrast_counts` is a hierarchical bootstrap over both, for any weighted sum of the networks' scores;
`compare_counts` weighs two of them 1 and -1. The images are resampled with replacement, the same resample
for all networks, so that an image's difficulty cancels. The seeds are not paired: the same seed
gives two architectures the images in the same order but other initial weights, so little cancels, and pairing
would halve the degrees of freedom.

Three seeds resampled with replacement would mislead twice: their variance comes out too small by the factor
(S - 1) / S, and a resample cannot reach beyond the best and the worst seed. The seed level is therefore
drawn from what three numbers do tell about their mean, Student's t with Welch's degrees of freedom (Welch
1947), and added to the resampled images. The seed variance includes the part of it that is particular to
the test images, which the resampled images show again: the sum errs towards wider intervals, as with any
bootstrap of crossed factors (Owen 2007). With one seed the interval speaks about the images alone.

Fractions in, fractions out; `Unit` and the functions after it write them, and a `Measure` says which of these
comparisons suits a number of a run. The generator is seeded: same inputs, same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import numpy as np
from scipy.stats import t as student

from lib.records import Run

Score = Callable[[np.ndarray], np.ndarray]

LEVEL = 0.95
DRAWS = 10_000
CHUNK = 1_000  # resamples scored at once: bounds the memory, changes no number


@dataclass(frozen=True)
class Estimate:
    """A weighted sum, as A - B, with its 95 % interval and two-sided p; NaN where there is no interval."""

    value: float
    low: float
    high: float
    p: float
    seeds: tuple[int, ...]  # of each network, in the order of the sum
    images: int | None = None  # None for a quantity of the training, which no test image enters

    @property
    def one_seed(self) -> bool:
        """Whether of some network nothing is known about how it varies from seed to seed."""
        return min(self.seeds) < 2


def contrast_counts(
    groups: Sequence[np.ndarray], weights: Sequence[float], score: Score, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """Weighted sum of the networks' mean scores over seeds, by a hierarchical bootstrap over seeds and images.

    Each group (S, N, ...) holds one network's counts per seed and image, the images in the same order; S may differ.
    score: summed counts (M, ...) -> M scores. The interval is the central 95 % of the draws, p twice the
    smaller share of draws on one side of zero. Raises ValueError when the images differ in number.
    """
    groups = [np.asarray(group, np.float64) for group in groups]
    shapes, seeds = list(dict.fromkeys(group.shape[1:] for group in groups)), tuple(map(len, groups))
    if len(shapes) > 1 or shapes[0][0] == 0:
        raise ValueError(f"paired images need counts of one shape: got {' and '.join(map(str, shapes))}")
    images, scores = shapes[0][0], [score(counts.sum(1)) for counts in groups]
    value = float(sum(w * np.mean(sample) for w, sample in zip(weights, scores)))
    resamples = _image_weights(images, draws, seed)
    drawn = sum(w * _mean_scores(counts, resamples, score) for w, counts in zip(weights, groups))
    error, freedom = _seed_error(scores, weights)
    if error > 0:
        # Evenly spaced quantiles in random order: Student's t without the noise of drawing from it.
        quantiles = student.ppf((np.arange(draws) + 0.5) / draws, freedom)
        drawn = drawn + error * np.random.default_rng(seed + 1).permutation(quantiles)
    drawn = drawn[np.isfinite(drawn)]  # a resample may hold nothing to score
    if not len(drawn):
        return Estimate(value, np.nan, np.nan, np.nan, seeds, images)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (1 + tail) / (1 + len(drawn)))
    return Estimate(value, float(low), float(high), float(p), seeds, images)


def compare_counts(
    a: np.ndarray, b: np.ndarray, score: Score, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """Difference of the mean scores of two networks, A - B: see `contrast_counts`."""
    return contrast_counts([a, b], [1, -1], score, draws, seed)


@lru_cache(maxsize=4)
def _image_weights(images: int, draws: int, seed: int) -> np.ndarray:
    """How often each resample holds each image, (draws, images); every row sums to the number of images."""
    even = np.full(images, 1 / images)
    return np.random.default_rng(seed).multinomial(images, even, draws).astype(np.float64)


def _mean_scores(counts: np.ndarray, weights: np.ndarray, score: Score) -> np.ndarray:
    """Score of each resample, averaged over the seeds, (draws,)."""
    flat, shape = counts.reshape(*counts.shape[:2], -1), counts.shape[2:]
    chunks = [weights[start : start + CHUNK] for start in range(0, len(weights), CHUNK)]
    by_seed = [np.concatenate([score((chunk @ one).reshape(-1, *shape)) for chunk in chunks]) for one in flat]
    return np.mean(by_seed, 0)


def _seed_error(samples: Sequence[np.ndarray], weights: Sequence[float] = (1, -1)) -> tuple[float, float]:
    """Standard error of the weighted sum of means and its degrees of freedom (Welch); (0, inf) with a single seed."""
    sizes = np.array([len(sample) for sample in samples])
    if sizes.min() < 2:
        return 0.0, np.inf
    parts = np.square(weights) * [np.var(sample, ddof=1) for sample in samples] / sizes
    if not parts.sum() > 0:
        return 0.0, np.inf
    freedom = parts.sum() ** 2 / (parts**2 / (sizes - 1)).sum()
    return float(np.sqrt(parts.sum())), float(freedom)


def compare_seeds(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Difference of means, A - B, of one number per seed: Welch's t; no interval with a single seed."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    value = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Estimate(value, np.nan, np.nan, np.nan, (len(a), len(b)))
    error, freedom = _seed_error((a, b))
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * student.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    return Estimate(value, value - reach, value + reach, p, (len(a), len(b)))


def compare_ratios(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Ratio of geometric means less one (-0.1: A is 10 % lower) of one positive number per seed.

    Welch's t on the logarithms; no interval with a single seed.
    """
    difference = compare_seeds(np.log(a), np.log(b))
    value, low, high = (float(np.expm1(x)) for x in (difference.value, difference.low, difference.high))
    return Estimate(value, low, high, difference.p, difference.seeds)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment (Holm 1979) of a family of p-values; NaN stays NaN and is not counted."""
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


@dataclass(frozen=True)
class Unit:
    """Writes numbers: `points(-0.013)` is "−1.3 points", with a minus sign and a space that does not break."""

    name: str
    scale: float = 1.0
    digits: int = 1

    def number(self, x: float) -> str:
        return f"{round(self.scale * x, self.digits) + 0.0:,.{self.digits}f}".replace("-", "−")

    def __call__(self, x: float) -> str:
        return f"{self.number(x)}\N{NO-BREAK SPACE}{self.name}" if self.name else self.number(x)


points, percent = Unit("points", 100), Unit("%", 100)
nats, epochs, seconds = Unit("nats per pixel", digits=3), Unit("epochs"), Unit("s")


def versus(value: float, other: str, unit: Unit = points) -> str:
    """ "1.3 points higher than U-Net", by the sign of the difference as it is written."""
    if unit.number(value) == unit.number(0):
        return f"no different, to {unit(10 ** -unit.digits / unit.scale)}, from {other}"
    return f"{unit(abs(value))} {'higher' if value > 0 else 'lower'} than {other}"


def interval_text(estimate: Estimate, unit: Unit = points) -> str:
    """ "95 % interval −6.9 to −3.4 points, 3 seeds, 233 images"."""
    size = f"{' and '.join(map(str, dict.fromkeys(estimate.seeds)))} seed{'s' * (max(estimate.seeds) > 1)}"
    size += f", {estimate.images} images" if estimate.images else ""
    if np.isnan(estimate.low):
        return f"no interval, {size}"
    over = " over the images alone" if estimate.one_seed else ""
    interval = f"{Unit('%', 100, 0)(LEVEL)} interval{over}"
    return f"{interval} {unit.number(estimate.low)} to {unit(estimate.high)}, {size}"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


class NotMeasured(Exception):
    """What is missing, in words for the reader of the ledger."""


class Incomplete(NotMeasured):
    """Some runs have the number and others do not, a threshold never reached for instance."""


@dataclass(frozen=True)
class Measure:
    """One number of a network, from what each of its runs contributes, given the reference's runs."""

    name: str
    read: Callable[[Run, Sequence[Run]], np.ndarray | float]
    level: Unit = percent
    score: Callable | None = None  # counts (..., *) summed over images -> fractions (...); None: a number per run
    relative: bool = True  # a number per run: compared in per cent of the reference, otherwise in its own unit
    against: str = ""  # what it is compared with where both sides are the same network
    images: Callable[[Run], list[str]] = attrgetter("image_names")  # those that were counted

    @property
    def unit(self) -> Unit:
        return points if self.score else percent if self.relative else self.level

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Counts (S, N, ...) -> the score of each run over all images (S,)."""
        return self.score(counts.sum(1))

    def counts(self, groups: Sequence[Sequence[Run]]) -> list[np.ndarray]:
        """What each network's runs counted, (S, N, ...), the last network being the reference; NotMeasured if empty."""
        reference = groups[-1]
        for run in (run for group in groups for run in group):
            if self.images(run) != self.images(reference[0]):
                raise ValueError(f"{reference[0].folder} and {run.folder} were tested on different images: "
                                 "do not mix them")
        counts = [np.stack([self.read(run, reference) for run in group]) for group in groups]
        if any(np.isnan(self.total(c)).any() for c in counts):
            raise NotMeasured("the test images hold nothing to measure it by")
        return counts

    def compare(self, a: Sequence[Run], b: Sequence[Run]) -> tuple[Estimate, float, float]:
        """Estimate of A - B and the levels of A and of B; NotMeasured when a run lacks what is needed."""
        if self.score:
            counts = self.counts((a, b))
            return compare_counts(*counts, self.score), *(np.mean(self.total(c)) for c in counts)
        values = [np.array([self.read(run, b) for run in runs], float) for runs in (a, b)]
        if lacking := int(np.isnan(np.concatenate(values)).sum()):
            total = len(a) + len(b)
            raise (Incomplete if lacking < total else NotMeasured)(f"without a value in {lacking} of {total} runs")
        if self.relative:
            return compare_ratios(*values), *(np.exp(np.log(v).mean()) for v in values)
        return compare_seeds(*values), *(v.mean() for v in values)
