"""Intervals and tests for differences between networks, from several seeds and one set of test images.

Two things vary at once: the seed that a network was trained with, and the images that it was tested on. Every question
here is a contrast, a weighted sum of the networks' mean scores: A less B has the weights 1 and -1, and a main effect of
a factorial design spreads them over its cells.

*Seeds.* Three seeds resampled with replacement would mislead: their variance comes out too small by the factor
(S - 1) / S, and no resample reaches beyond the best and the worst. The seeds therefore enter by Student's t with the
degrees of freedom of Welch (1947) and Satterthwaite (1946). They are not paired: one seed gives two architectures the
same order of images and other initial weights, and pairing would halve the degrees of freedom.

*Images.* All networks are scored on the same resample of the test images, so that an image's difficulty cancels.
Neighbouring frames of a film are not independent: blocks of consecutive frames are resampled (Künsch 1989) within each
drive, on a circle, so that no frame is drawn less often for standing at an end (Politis and Romano 1992).

`contrast_counts` adds the two; the seeds' variance includes what is particular to the test images, which the images show
again, and the sum errs towards wider intervals, as with any bootstrap of crossed factors (Owen 2007). With one seed the
interval speaks about the images alone. Fractions in, fractions out; the generator is seeded.
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
MOST_SEEDS = 50  # more are not asked for


@dataclass(frozen=True)
class Estimate:
    """A weighted sum of means with its intervals and two-sided p; NaN where there is no interval."""

    value: float
    low: float  # of the 95 % interval
    high: float
    p: float
    seeds: tuple[int, ...]  # of each network, in the order of the sum
    images: int | None = None  # None for a quantity of the training, which no test image enters
    inner: tuple[float, float] = (np.nan, np.nan)  # the 90 % interval
    variances: tuple[float, ...] = ()  # what one seed of each network adds to the variance of the sum
    image_error: float = 0.0  # the standard error that no number of seeds takes away

    @property
    def one_seed(self) -> bool:
        """Whether of some network nothing is known about how it varies from seed to seed."""
        return min(self.seeds) < 2


def contrast_counts(groups: Sequence[np.ndarray], weights: Sequence[float], score: Score, frames: Frames | None = None,
                    block: int = BLOCK, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Return the weighted sum of the networks' mean scores over seeds, with intervals over seeds and images.

    Each group (S, N, ...) holds one network's counts per seed and image, the images in the same order; S may differ.
    score maps summed counts (M, ...) to M scores. Images without `frames` are independent of each other. Intervals are
    central shares of the draws, and p is twice the smaller share of draws on one side of zero. Raises ValueError when
    the images differ in number.
    """
    groups = [np.asarray(group, np.float64) for group in groups]
    shapes = list(dict.fromkeys(group.shape[1:] for group in groups))
    if len(shapes) > 1 or shapes[0][0] == 0:
        raise ValueError(f"paired images need counts of one shape: got {' and '.join(map(str, shapes))}")
    images = shapes[0][0]
    frames = tuple(frames) if frames else tuple((str(index), 0) for index in range(images))
    scores = [score(counts.sum(1)) for counts in groups]
    value = float(sum(weight * np.mean(sample) for weight, sample in zip(weights, scores)))
    resamples, shrinkage, pieces = _resamples(frames, block, draws, seed)
    resampled = sum(weight * _mean_scores(counts, resamples, score) for weight, counts in zip(weights, groups))
    drawn = value + (resampled - value) / shrinkage
    image_error = float(np.nanstd(drawn)) if np.isfinite(drawn).any() else np.nan
    # A few blocks know their variance no better than a few seeds know theirs.
    drawn = value + (drawn - value) * student.ppf(_tails(LEVEL)[1], pieces) / norm.ppf(_tails(LEVEL)[1])
    variances = _variances(scores, weights)
    error, freedom = _standard_error(variances, [len(sample) for sample in scores])
    if error > 0:
        # Evenly spaced quantiles in random order: Student's t without the noise of drawing from it.
        quantiles = student.ppf((np.arange(draws) + 0.5) / draws, freedom)
        drawn = drawn + error * np.random.default_rng(seed + 1).permutation(quantiles)
    drawn = drawn[np.isfinite(drawn)]  # a resample may hold nothing to score
    seeds = tuple(map(len, groups))
    if not len(drawn):
        return Estimate(value, np.nan, np.nan, np.nan, seeds, images)
    low, high = np.quantile(drawn, _tails(LEVEL))
    inner = np.quantile(drawn, _tails(EQUIVALENCE_LEVEL))
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (1 + tail) / (1 + len(drawn)))
    return Estimate(value, float(low), float(high), float(p), seeds, images, tuple(inner.tolist()), variances, image_error)


def compare_counts(a: np.ndarray, b: np.ndarray, score: Score, frames: Frames | None = None, **how: int) -> Estimate:
    """Return the difference of the mean scores of two networks, A - B: see `contrast_counts`."""
    return contrast_counts([a, b], [1, -1], score, frames, **how)


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


@lru_cache(maxsize=8)
def _resamples(frames: tuple[tuple[str, int], ...], block: int, draws: int, seed: int) -> tuple[np.ndarray, float, float]:
    """Return how often each resample holds each image, (draws, N), a factor, and degrees of freedom.

    Images that stand alone in their drive are independent and are drawn one by one. The mean of a drive is estimated
    from the frames that its blocks come from, which takes the share block / length off the variance, as a sample's own
    mean takes 1 / n off; the factor is what that leaves of the standard error. The degrees of freedom are the number of
    pieces that are independent of each other, less one for every drive.
    """
    generator = np.random.default_rng(seed)
    drives: dict[str, list[int]] = {}
    for index in sorted(range(len(frames)), key=lambda i: frames[i][1]):
        drives.setdefault(frames[index][0], []).append(index)
    alone = [film[0] for film in drives.values() if len(film) == 1]
    weights = np.zeros((draws, len(frames)))
    if alone:
        weights[:, alone] = generator.multinomial(len(alone), np.full(len(alone), 1 / len(alone)), draws)
    taken, freedom = (1, len(alone) - 1) if alone else (0, 0)
    for film in drives.values():
        if len(film) > 1:
            length = min(block, max(1, len(film) // FEWEST_BLOCKS))
            weights[:, film] = _blocks(len(film), length, draws, generator)
            taken += length
            freedom += len(film) / length - 1
    shrinkage = np.sqrt(1 - taken / len(frames)) if taken < len(frames) else 1.0
    return weights, float(shrinkage), max(1.0, freedom)


def _blocks(frames: int, length: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return how often each of the frames of one drive is in each resample, (draws, frames); the last block is cut."""
    places = np.arange(frames)
    starts = generator.integers(frames, size=(draws, -(-frames // length)))
    chosen = (starts[:, places // length] + places % length) % frames
    cells = np.arange(draws)[:, None] * frames + chosen
    return np.bincount(cells.ravel(), minlength=draws * frames).reshape(draws, frames)


def _mean_scores(counts: np.ndarray, weights: np.ndarray, score: Score) -> np.ndarray:
    """Return the score of each resample, averaged over the seeds, (draws,)."""
    flat, shape = counts.reshape(*counts.shape[:2], -1), counts.shape[2:]
    chunks = [weights[start : start + CHUNK] for start in range(0, len(weights), CHUNK)]
    by_seed = [np.concatenate([score((chunk @ one).reshape(-1, *shape)) for chunk in chunks]) for one in flat]
    return np.mean(by_seed, 0)


def _variances(samples: Sequence[np.ndarray], weights: Sequence[float]) -> tuple[float, ...]:
    """Return each network's squared weight times its variance over seeds; () where one has a single seed."""
    if min(map(len, samples)) < 2:
        return ()
    return tuple(float(weight**2 * np.var(sample, ddof=1)) for weight, sample in zip(weights, samples))


def _standard_error(variances: Sequence[float], seeds: Sequence[int]) -> tuple[float, float]:
    """Return the seeds' standard error and its degrees of freedom (Satterthwaite 1946); (0, inf) without variance."""
    parts = [variance / number for variance, number in zip(variances, seeds)]
    total = sum(parts)
    if not total > 0:
        return 0.0, np.inf
    return float(np.sqrt(total)), total**2 / sum(part**2 / (number - 1) for part, number in zip(parts, seeds))


def contrast_numbers(samples: Sequence[Sequence[float]], weights: Sequence[float]) -> Estimate:
    """Return the weighted sum of means of one number per seed, by Welch's t; no interval with a single seed.

    For two networks this is `scipy.stats.ttest_ind` with unequal variances, which knows no sums of more.
    """
    samples = [np.asarray(sample, np.float64) for sample in samples]
    value = float(sum(weight * sample.mean() for weight, sample in zip(weights, samples)))
    return _welch(value, _variances(samples, weights), tuple(map(len, samples)))


def _welch(value: float, variances: tuple[float, ...], seeds: tuple[int, ...]) -> Estimate:
    if not variances:
        return Estimate(value, np.nan, np.nan, np.nan, seeds)
    error, freedom = _standard_error(variances, seeds)
    if error == 0:
        return Estimate(value, value, value, float(value == 0), seeds, inner=(value, value), variances=variances)
    reach, inner = (error * float(student.ppf(_tails(level)[1], freedom)) for level in (LEVEL, EQUIVALENCE_LEVEL))
    p = float(2 * student.sf(abs(value) / error, freedom))
    return Estimate(value, value - reach, value + reach, p, seeds, None, (value - inner, value + inner), variances)


def compare_seeds(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Return the difference of means, A - B, of one number per seed."""
    return contrast_numbers([a, b], [1, -1])


def compare_ratios(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Return the ratio of the arithmetic means of one positive number per seed, less one (-0.1: A is 10 % lower).

    Welch's t on the logarithm of the ratio, whose variance is that of each mean relative to the mean (delta method).
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ratio = a.mean() / b.mean()
    logarithm = _welch(float(np.log(ratio)), _variances([a / a.mean(), b / b.mean()], [1, -1]), (len(a), len(b)))
    value, low, high, *inner = np.expm1([logarithm.value, logarithm.low, logarithm.high, *logarithm.inner]).tolist()
    variances = tuple(float(ratio**2) * variance for variance in logarithm.variances)
    return Estimate(value, low, high, logarithm.p, logarithm.seeds, None, tuple(inner), variances)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's step-down adjustment (Holm 1979) of a family of p-values; NaN stays NaN and is not counted."""
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def probability_higher(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Return P(A > B), the chance that in one run of each A has the higher number, and its 95 % interval.

    What a reader who trains once wants to know (Bouthillier et al. 2021). Estimated by the share of all pairs of seeds,
    ties counting half (Mann and Whitney 1947), with the interval of Newcombe (2006, method 5), which unlike a
    resampling of three seeds does not shrink to nothing where all pairs agree.
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


Power = Callable[[float, float, float], float]  # effect, standard error, degrees of freedom -> chance of a decision


def decides_difference(margin: float, level: float) -> Power:
    """Return the chance to find an effect significant at that level and of the margin, or to exclude the margin."""
    def power(effect: float, error: float, freedom: float) -> float:
        needed = max(margin, error * student.ppf(1 - level / 2, freedom))
        excluded = margin - error * student.ppf(_tails(LEVEL)[1], freedom)
        return student.sf((needed - effect) / error, freedom) + student.cdf((excluded - effect) / error, freedom)
    return power


def decides_equivalence(margin: float) -> Power:
    """Return the chance that the 90 % interval lies within the margin, or the 95 % interval outside it."""
    def power(effect: float, error: float, freedom: float) -> float:
        within = margin - error * student.ppf(_tails(EQUIVALENCE_LEVEL)[1], freedom)
        outside = margin + error * student.ppf(_tails(LEVEL)[1], freedom)
        inside = student.cdf([(within - effect) / error, (-within - effect) / error], freedom)
        beyond = student.sf((outside - effect) / error, freedom) + student.cdf((-outside - effect) / error, freedom)
        return max(0.0, inside[0] - inside[1]) + beyond
    return power


def seeds_needed(estimate: Estimate, power: Power, chance: float = 0.8) -> int | None:
    """Return how many seeds a network give that chance of a decision, were the effect and variances those observed.

    None where `MOST_SEEDS` do not: the images are then the limit, or the effect lies too near its margin.
    """
    for seeds in range(2, MOST_SEEDS + 1):
        error, freedom = _standard_error(estimate.variances, [seeds] * len(estimate.variances))
        both = np.hypot(error, estimate.image_error)
        if both == 0:
            return 2
        if error > 0:
            freedom *= (both / error) ** 4  # the images' error counts as known
        if power(estimate.value, float(both), freedom) >= chance:
            return seeds
    return None
