"""Intervals and tests for differences between networks, from several seeds and one test set.

Two things vary at once: the seed that a network was trained with, and the images that it was tested
on. Every question is a contrast, a weighted sum of the networks' mean scores: A minus B has the
weights 1 and -1, and a main effect of a factorial design spreads them over its cells.

*Seeds* enter by Student's t with the degrees of freedom of Welch (1947) and Satterthwaite (1946).
Three seeds resampled with replacement would mislead: their variance is too small by (S - 1) / S,
and no resample goes beyond the best and the worst. They are not paired: one seed gives two
architectures the same order of images but different initial weights.

*Images* are resampled, the same for all networks, so that an image's difficulty cancels.
Neighbouring frames of a film are not independent: blocks of consecutive frames are resampled
(Künsch 1989) within each drive, on a circle (Politis and Romano 1992).

`contrast_counts` adds the two; the seeds' variance includes what is particular to the test images,
so that the sum errs towards wider intervals (Owen 2007). With one seed the interval speaks about
the images alone. Fractions in, fractions out; the generator is seeded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, t as student

Score = Callable[[np.ndarray], np.ndarray]
Frames = Sequence[tuple[str, int]]  # drive and frame number of each image

LEVEL = 0.95
EQUIVALENCE_LEVEL = 0.90  # two one-sided tests at 5 % are one interval at 90 % (Schuirmann 1987)
DRAWS = 10_000
CHUNK = 1_000  # resamples scored at once: bounds the memory, changes no number
BLOCK = 20  # consecutive frames
FEWEST_BLOCKS = 3  # of a drive: one block as long as the drive would leave nothing to vary


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of means, its intervals and two-sided p; NaN where there is no interval."""

    value: float
    low: float  # of the 95 % interval
    high: float
    p: float
    seeds: tuple[int, ...]  # of each network, in the order of the sum
    images: int | None = None  # None for a quantity of the training, which no test image enters
    inner: tuple[float, float] = (np.nan, np.nan)  # the 90 % interval
    variances: tuple[float, ...] = ()  # what one seed of each network adds to the sum's variance
    image_error: float = 0.0  # the standard error that no number of seeds takes away
    counted: str = "images"  # what `images` counts

    @property
    def one_seed(self) -> bool:
        """Whether of some network nothing is known about how it varies from seed to seed."""
        return min(self.seeds) < 2

    @property
    def tested_p(self) -> float:
        """Return p; NaN where one seed says nothing about architectures."""
        return np.nan if self.one_seed else self.p


def contrast_counts(
    groups: Sequence[np.ndarray], weights: Sequence[float], score: Score,
    frames: Frames | None = None, block: int = BLOCK, draws: int = DRAWS, seed: int = 0,
) -> Estimate:  # fmt: skip
    """Return the weighted sum of the networks' mean scores, with intervals over seeds and images.

    Each group (S, N, ...) holds one network's counts per seed and image, the images in the same
    order; S may differ. score maps summed counts (M, ...) to M scores. Images without `frames` are
    independent of each other. Intervals are central shares of the draws, and p is twice the smaller
    share of draws on one side of zero. Raises ValueError when the images differ in number.
    """
    groups = [np.asarray(group, np.float64) for group in groups]
    images, seeds = _common_images(groups), tuple(map(len, groups))
    if not frames:
        frames = [(str(index), 0) for index in range(images)]
    scores = [score(counts.sum(1)) for counts in groups]
    value = float(_weighted([sample.mean() for sample in scores], weights))
    resamples, shrinkage, pieces = _resamples(tuple(frames), block, draws, seed)
    resampled = _weighted([_mean_scores(counts, resamples, score) for counts in groups], weights)
    sums = value + (resampled - value) / shrinkage
    image_error = float(np.nanstd(sums)) if np.isfinite(sums).any() else np.nan
    # A few blocks know their variance no better than a few seeds know theirs.
    upper = _tails(LEVEL)[1]
    sums = value + (sums - value) * student.ppf(upper, pieces) / norm.ppf(upper)
    variances = _variances(scores, weights)
    error, freedom = standard_error(variances, seeds)
    if error > 0:
        # Evenly spaced quantiles in random order: Student's t without the noise of drawing from it.
        places = (np.arange(draws) + 0.5) / draws
        order = np.random.default_rng(seed + 1).permutation(draws)
        sums = sums + error * student.ppf(places, freedom)[order]
    sums = sums[np.isfinite(sums)]  # a resample may contain nothing to score
    if not len(sums):
        return Estimate(value, np.nan, np.nan, np.nan, seeds, images)
    low, high = np.quantile(sums, _tails(LEVEL)).tolist()
    inner = np.quantile(sums, _tails(EQUIVALENCE_LEVEL)).tolist()
    tail = min((sums <= 0).sum(), (sums >= 0).sum())
    p = min(1.0, 2 * (1 + tail) / (1 + len(sums)))
    return Estimate(
        value, low, high, float(p), seeds, images, tuple(inner), variances, image_error
    )


def _common_images(groups: Sequence[np.ndarray]) -> int:
    """Return the number of images; raise ValueError unless all counts have one shape."""
    shapes = list(dict.fromkeys(group.shape[1:] for group in groups))
    if len(shapes) > 1 or shapes[0][0] == 0:
        given = " and ".join(map(str, shapes))
        raise ValueError(f"paired images need counts of one shape: got {given}")
    return shapes[0][0]


def _weighted(values: Sequence, weights: Sequence[float]) -> float | np.ndarray:
    return sum(weight * value for weight, value in zip(weights, values))


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


@lru_cache(maxsize=8)
def _resamples(
    frames: tuple[tuple[str, int], ...], block: int, draws: int, seed: int
) -> tuple[np.ndarray, float, float]:
    """Return how often each resample has each image, (draws, N), a factor, degrees of freedom.

    Images that stand alone in their drive are independent and are drawn one by one. The mean of a
    drive is estimated from the frames that its blocks come from, which takes the share block /
    length off the variance, as a sample's own mean takes 1 / n off; the factor is what that leaves
    of the standard error. The degrees of freedom are the number of pieces that are independent of
    each other, minus one for every drive.
    """
    generator = np.random.default_rng(seed)
    drives: dict[str, list[int]] = {}
    for index in sorted(range(len(frames)), key=lambda i: frames[i][1]):
        drives.setdefault(frames[index][0], []).append(index)
    alone = [film[0] for film in drives.values() if len(film) == 1]
    weights = np.zeros((draws, len(frames)))
    taken, freedom = 0, 0.0
    if alone:
        chances = np.full(len(alone), 1 / len(alone))
        weights[:, alone] = generator.multinomial(len(alone), chances, draws)
        taken, freedom = 1, len(alone) - 1
    for film in drives.values():
        if len(film) > 1:
            length = min(block, max(1, len(film) // FEWEST_BLOCKS))
            weights[:, film] = _resampled_blocks(len(film), length, draws, generator)
            taken += length
            freedom += len(film) / length - 1
    shrinkage = np.sqrt(1 - taken / len(frames)) if taken < len(frames) else 1.0
    return weights, float(shrinkage), max(1.0, freedom)


def _resampled_blocks(
    frames: int, length: int, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Return how often each frame of a drive is in each resample, (draws, frames)."""
    places = np.arange(frames)
    starts = generator.integers(frames, size=(draws, -(-frames // length)))  # the last block is cut
    chosen = (starts[:, places // length] + places % length) % frames
    cells = np.arange(draws)[:, None] * frames + chosen
    return np.bincount(cells.ravel(), minlength=draws * frames).reshape(draws, frames)


def _mean_scores(counts: np.ndarray, weights: np.ndarray, score: Score) -> np.ndarray:
    """Return the score of each resample, averaged over the seeds, (draws,)."""
    seeds, images, *shape = counts.shape
    flat = counts.reshape(seeds, images, -1)
    by_seed = np.empty((seeds, len(weights)))
    for start in range(0, len(weights), CHUNK):
        part = slice(start, start + CHUNK)
        for seed, one in enumerate(flat):
            by_seed[seed, part] = score((weights[part] @ one).reshape(-1, *shape))
    return by_seed.mean(0)


def _variances(samples: Sequence[np.ndarray], weights: Sequence[float]) -> tuple[float, ...]:
    """Return each network's squared weight times its variance over seeds; () for a single seed."""
    if min(map(len, samples)) < 2:
        return ()
    pairs = zip(weights, samples)
    return tuple(float(weight**2 * np.var(sample, ddof=1)) for weight, sample in pairs)


def standard_error(variances: Sequence[float], seeds: Sequence[int]) -> tuple[float, float]:
    """Return the seeds' standard error and its degrees of freedom; (0, inf) without variance."""
    parts = [variance / number for variance, number in zip(variances, seeds)]
    total = sum(parts)
    if not total > 0:
        return 0.0, np.inf
    freedom = total**2 / sum(part**2 / (number - 1) for part, number in zip(parts, seeds))
    return float(np.sqrt(total)), freedom


def contrast_numbers(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate:
    """Return the weighted sum of means of one number per seed, with an interval by Welch's t.

    For two networks this is `scipy.stats.ttest_ind`, which has no sums of more than two.
    """
    samples = [np.asarray(sample, np.float64) for sample in samples]
    value = float(_weighted([sample.mean() for sample in samples], weights))
    return _welch(value, _variances(samples, weights), tuple(map(len, samples)))


def _welch(value: float, variances: tuple[float, ...], seeds: tuple[int, ...]) -> Estimate:
    if not variances:
        return Estimate(value, np.nan, np.nan, np.nan, seeds)
    error, freedom = standard_error(variances, seeds)
    if error == 0:
        p, inner = float(value == 0), (value, value)
        return Estimate(value, value, value, p, seeds, inner=inner, variances=variances)
    reach, inner = (
        error * float(student.ppf(_tails(level)[1], freedom))
        for level in (LEVEL, EQUIVALENCE_LEVEL)
    )
    return Estimate(
        value, value - reach, value + reach, float(2 * student.sf(abs(value) / error, freedom)),
        seeds, None, (value - inner, value + inner), variances,
    )  # fmt: skip


def compare_ratios(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Return the ratio of the arithmetic means of positive numbers, minus one (-0.1: A is lower).

    Welch's t on the logarithm of the ratio, whose variance is that of each mean relative to the
    mean (delta method).
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ratio = a.mean() / b.mean()
    variances = _variances([a / a.mean(), b / b.mean()], [1, -1])
    log = _welch(float(np.log(ratio)), variances, (len(a), len(b)))
    value, low, high, *inner = np.expm1([log.value, log.low, log.high, *log.inner]).tolist()
    variances = tuple(float(ratio**2) * variance for variance in variances)
    return Estimate(value, low, high, log.p, log.seeds, None, tuple(inner), variances)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's step-down adjustment (1979) of a family of p-values; NaN is not counted."""
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def probability_higher(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Return P(A > B), the chance that A is higher in one run of each, and its 95 % interval.

    What a reader who trains once wants to know (Bouthillier et al. 2021). The share of all pairs of
    seeds, ties counting half (Mann and Whitney 1947), with the interval of Newcombe (2006, method
    5), which unlike a resampling does not shrink to nothing where all pairs agree.
    """
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)
    share = float(np.mean(a > b) + np.mean(a == b) / 2)
    if min(len(a), len(b)) < 2:
        return share, np.nan, np.nan
    quantile = norm.ppf(_tails(LEVEL)[1])
    size = (len(a) + len(b)) / 2 - 1

    def beyond(true: float) -> float:
        spread = 1 + size * ((1 - true) / (2 - true) + true / (1 + true))
        return (share - true) ** 2 - quantile**2 * true * (1 - true) * spread / (len(a) * len(b))

    nearly = 1e-9  # the ends of the range are roots of their own
    low = brentq(beyond, 0, share - nearly) if share > 0 else 0.0
    high = brentq(beyond, share + nearly, 1) if share < 1 else 1.0
    return share, float(low), float(high)
