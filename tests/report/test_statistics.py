"""Intervals that cover what they should, and words that fit the numbers.

P-values reject as often as they may.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.metrics import mean_iou
from report.evidence.comparison import HIGHER, SAME, Comparison
from report.evidence.measures import MIOU
from report.evidence.statistics import (
    Estimate,
    compare_ratios,
    contrast_counts,
    contrast_numbers,
    holm,
    probability_higher,
)
from report.evidence.wording import (
    Unit,
    interval_text,
    nats,
    p_cell,
    percent,
    points,
    seeds_text,
    versus,
)

IMAGES, EFFECT = 60, 0.03


def accuracy(counts: np.ndarray) -> np.ndarray:
    return counts[..., 0] / counts[..., 1]


def compare_counts(a: np.ndarray, b: np.ndarray, *score, **how) -> Estimate:
    return contrast_counts([a, b], [1, -1], *score, **how)


def compare_seeds(a: list, b: list) -> Estimate:
    return contrast_numbers([a, b], [1, -1])


def networks(
    rng: np.random.Generator,
    seeds: tuple[int, int],
    seed_sd: float,
    image_sd: float,
    both_sd: float,
    effect: float = EFFECT,
) -> list[np.ndarray]:
    """Counts (S, N, 2) of two networks, A better by `effect`.

    Images, seeds and their interaction all vary.
    """
    difficulty = rng.normal(0.6, 0.15, IMAGES)
    found = []
    for number, gain in zip(seeds, (effect, 0.0)):
        own = rng.normal(0, image_sd, IMAGES)
        rate = (
            difficulty
            + gain
            + own
            + rng.normal(0, seed_sd, (number, 1))
            + rng.normal(0, both_sd, (number, IMAGES))
        )
        found.append(np.stack([1000 * rate, np.full_like(rate, 1000)], -1))
    return found


@pytest.mark.parametrize("seeds", [(3, 3), (8, 8), (3, 5)])
@pytest.mark.parametrize(
    "spread", [(0.01, 0.03, 0.03), (0.02, 0.02, 0.02), (0.03, 0.01, 0.0), (0.001, 0.05, 0.02)]
)
def test_coverage(seeds, spread):
    """Nominal 95 % over both sources of chance, whichever dominates."""
    rng, trials = np.random.default_rng(0), 400
    estimates = [
        compare_counts(*networks(rng, seeds, *spread), accuracy, draws=1000, seed=7)
        for _ in range(trials)
    ]
    covered = np.mean([e.low <= EFFECT <= e.high for e in estimates])
    assert 0.92 <= covered <= 0.995


FILMS = [("first", 30 * i) for i in range(62)] + [("second", 30 * i) for i in range(171)]


def film(rng: np.random.Generator, correlation: float) -> np.ndarray:
    """What a network's score deviates by on every frame of `FILMS`.

    Each film is an autoregressive process.
    """
    parts = []
    for length in (62, 171):
        noise = rng.normal(0, np.sqrt(1 - correlation**2), length)
        noise[0] = rng.normal()
        parts.append([noise[0]])
        for step in noise[1:]:
            parts[-1].append(correlation * parts[-1][-1] + step)
    return np.concatenate(parts)


@pytest.mark.parametrize("seeds", [3, 8])
def test_coverage_with_correlated_frames(seeds):
    """Neighbouring frames correlate by 0.6: only blocks of frames cover what they should.

    Single frames do not.
    """
    rng, trials = np.random.default_rng(8), 200
    covered = {True: 0, False: 0}
    for _ in range(trials):
        groups = []
        for gain in (EFFECT, 0.0):
            rate = (
                0.5
                + gain
                + 0.07 * film(rng, 0.6)
                + rng.normal(0, 0.003, (seeds, 1))
                + rng.normal(0, 0.02, (seeds, 233))
            )
            groups.append(np.stack([1000 * rate, np.full_like(rate, 1000)], -1))
        for blocks in covered:
            found = compare_counts(*groups, accuracy, FILMS if blocks else None, draws=600)
            covered[blocks] += found.low <= EFFECT <= found.high
    assert 0.92 <= covered[True] / trials <= 0.99
    assert covered[False] / trials < 0.8


def test_blocks_stay_within_a_drive_and_the_order_of_the_images_does_not_matter():
    """Two films whose frames are alike within: resampling within each of them changes nothing."""
    rate = np.where([drive == "first" for drive, _ in FILMS], 0.4, 0.7)
    a, b = (
        np.stack([1000 * (rate + gain), np.full_like(rate, 1000)], -1)[None] for gain in (0.02, 0.0)
    )
    found = compare_counts(a, b, accuracy, FILMS, draws=500)
    assert (found.low, found.high) == pytest.approx(
        (0.02, 0.02)
    ) and found.image_error == pytest.approx(0, abs=1e-12)
    whole = contrast_counts([a], [1], accuracy, FILMS, draws=500)
    assert whole.low == pytest.approx(whole.high)  # however many images of each
    assert contrast_counts([a], [1], accuracy, draws=500).image_error > 0.005
    rng = np.random.default_rng(0)
    counts, order = rng.integers(1, 9, (3, 233, 2)).astype(float), rng.permutation(233)
    first = contrast_counts([counts], [1], accuracy, FILMS, draws=500)
    mixed = contrast_counts([counts[:, order]], [1], accuracy, [FILMS[i] for i in order], draws=500)
    assert (mixed.low, mixed.high) == pytest.approx((first.low, first.high), abs=2e-3)


def test_the_error_over_images_is_that_of_their_mean():
    """Independent images, alone or in a film: the textbook's standard error.

    The blocks do not make it smaller.
    """
    rate = np.random.default_rng(3).normal(0.5, 0.1, 233)
    counts = np.stack([1000 * rate, np.full_like(rate, 1000)], -1)[None]
    textbook = rate.std(ddof=1) / np.sqrt(233)
    assert contrast_counts([counts], [1], accuracy, draws=4000).image_error == pytest.approx(
        textbook, rel=0.05
    )
    errors = []
    for seed in range(20):
        rate = np.random.default_rng(seed).normal(0.5, 0.1, 233)
        counts = np.stack([1000 * rate, np.full_like(rate, 1000)], -1)[None]
        errors.append(contrast_counts([counts], [1], accuracy, FILMS, draws=500).image_error)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(0.1 / np.sqrt(233), rel=0.1)


def test_false_alarms_and_power():
    rng, trials = np.random.default_rng(1), 400
    p = {
        effect: np.array(
            [
                compare_counts(
                    *networks(rng, (3, 3), 0.005, 0.02, 0.02, effect), accuracy, draws=1000
                ).p
                for _ in range(trials)
            ]
        )
        for effect in (0.0, 0.06)
    }
    assert (p[0.0] < 0.05).mean() <= 0.07 and (p[0.06] < 0.05).mean() >= 0.95


def test_the_naive_seed_bootstrap_would_mislead():
    """Why the seed level is not resampled.

    Three seeds with replacement cover far less than 95 %.
    """
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        a, b = rng.normal(EFFECT, 0.02, 3), rng.normal(0, 0.02, 3)
        draws = rng.choice(a, (1000, 3)).mean(1) - rng.choice(b, (1000, 3)).mean(1)
        covered += np.quantile(draws, 0.025) <= EFFECT <= np.quantile(draws, 0.975)
    assert covered / 400 < 0.9


def test_images_alone_is_the_paired_t_interval():
    """One seed each and a linear score.

    The bootstrap over images agrees with the textbook to a few per cent.
    """
    a, b = networks(np.random.default_rng(3), (1, 1), 0, 0.03, 0)
    estimate = compare_counts(a, b, accuracy)
    textbook = stats.ttest_rel(accuracy(a[0]), accuracy(b[0])).confidence_interval()
    assert estimate.one_seed and estimate.seeds == (1, 1) and estimate.images == IMAGES
    assert (estimate.low, estimate.high) == pytest.approx(tuple(textbook), abs=0.0015)


def test_without_variation_over_images_it_is_welch():
    a, b = (
        np.array(x)[:, None, None] * [100, 0] + [0, 100] + np.zeros((1, IMAGES, 1))
        for x in ([0.50, 0.52, 0.57], [0.45, 0.49, 0.47, 0.48])
    )
    estimate = compare_counts(a, b, accuracy)
    textbook = compare_seeds(accuracy(a.sum(1)), accuracy(b.sum(1)))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (textbook.value, textbook.low, textbook.high), abs=1e-3
    )
    assert estimate.p == pytest.approx(textbook.p, abs=1e-3) and estimate.seeds == (3, 4)


def test_same_inputs_same_numbers_and_signs():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 50, (2, 3, 20, 4, 4))
    first = compare_counts(a, b, mean_iou, draws=2000)
    assert first == compare_counts(a, b, mean_iou, draws=2000)
    assert first.value == pytest.approx(mean_iou(a.sum(1)).mean() - mean_iou(b.sum(1)).mean())
    first, back = compare_counts(a, b, mean_iou), compare_counts(b, a, mean_iou)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-first.value, -first.high, -first.low), abs=2e-3
    )
    same = compare_counts(a, a, mean_iou, draws=2000)
    assert same.value == 0 and same.p > 0.9 and same.low < 0 < same.high
    order = rng.permutation(20)
    mixed = compare_counts(a[::-1][:, order], b[:, order], mean_iou)
    assert (mixed.low, mixed.high) == pytest.approx((first.low, first.high), abs=2e-3)


def test_a_contrast_of_two_is_a_comparison():
    a, b = networks(np.random.default_rng(5), (3, 4), 0.02, 0.02, 0.02)
    assert contrast_counts([a, b], [1, -1], accuracy, draws=1000) == compare_counts(
        a, b, accuracy, draws=1000
    )
    whole, half = (contrast_counts([a, b], [w, -w], accuracy, draws=1000) for w in (1, 0.5))
    assert (half.value, half.low, half.high) == pytest.approx(
        (whole.value / 2, whole.low / 2, whole.high / 2)
    )
    assert half.p == whole.p and half.seeds == (3, 4)
    split = contrast_counts([a, a, b], [0.5, 0.5, -1], accuracy, draws=1000)
    assert split.value == pytest.approx(whole.value) and split.seeds == (3, 3, 4)


def test_an_interaction_is_exact_and_the_images_cancel():
    """Scores that differ by image and by seed in the same way everywhere.

    Only the interaction is left, exactly.
    """
    rate = np.linspace(0.3, 0.6, IMAGES) + np.zeros((1, 1))
    cells = [
        np.stack([1000 * (rate + gain), np.full_like(rate, 1000)], -1)
        for gain in (0.0, 0.1, 0.05, 0.22)
    ]
    found = contrast_counts(cells, [1, -1, -1, 1], accuracy, draws=1000)
    assert (found.value, found.low, found.high) == pytest.approx((0.07,) * 3) and found.p < 0.005
    assert (
        found.one_seed
        and found.seeds == (1, 1, 1, 1)
        and plain(interval_text(found)).endswith("1 seed, 60 images")
    )
    assert contrast_counts(cells[:3], [1, -1, -1], accuracy, draws=1000).value == pytest.approx(
        0.45 - 0.55 - 0.5
    )


@pytest.mark.parametrize("seeds", [(3, 3), (3, 5)])
@pytest.mark.parametrize("spread", [(0.02, 0.02, 0.02), (0.03, 0.01, 0.0), (0.001, 0.05, 0.02)])
def test_coverage_of_an_interaction(seeds, spread):
    """Four networks, two by two: the difference of the differences, nominal 95 %."""
    rng, trials, covered = np.random.default_rng(6), 300, 0
    for _ in range(trials):
        (a, b), (c, d) = networks(rng, seeds, *spread), networks(rng, seeds, *spread, effect=0.0)
        found = contrast_counts([a, b, c, d], [1, -1, -1, 1], accuracy, draws=500)
        covered += found.low <= EFFECT <= found.high
    assert 0.92 <= covered / trials <= 0.995


def test_resamples_with_nothing_to_score_are_left_out():
    a = np.zeros((2, 3, 2))
    a[:, 0] = [[3, 4], [2, 4]]
    b = np.zeros((2, 3, 2)) + [1, 4]
    estimate = compare_counts(a, b, lambda c: np.where(c[..., 1] > 0, accuracy(c + 1e-12), np.nan))
    assert np.isfinite([estimate.low, estimate.high, estimate.p]).all()
    with pytest.raises(ValueError, match="paired images"):
        compare_counts(a, a[:, :2], accuracy)


def test_numbers_of_seeds():
    a, b = [0.30, 0.34, 0.31], [0.40, 0.41]
    estimate, textbook = compare_seeds(a, b), stats.ttest_ind(a, b, equal_var=False)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(textbook.confidence_interval()))
    assert estimate.inner == pytest.approx(tuple(textbook.confidence_interval(0.90)))
    assert estimate.p == pytest.approx(textbook.pvalue) and estimate.images is None
    one = compare_seeds([0.3], b)
    assert (
        one.one_seed
        and one.value == pytest.approx(-0.105)
        and np.isnan([one.low, one.high, one.p]).all()
    )
    assert compare_seeds([1, 1], [1, 1]).p == 1 and compare_seeds([1, 1], [2, 2]).p == 0
    split = contrast_numbers([a, a, b], [0.5, 0.5, -1])
    assert split.value == pytest.approx(estimate.value) and split.seeds == (3, 3, 2)
    assert split.high - split.low < estimate.high - estimate.low


def test_a_ratio_is_that_of_arithmetic_means():
    ratio = compare_ratios([2, 2.2, 1.8], [4, 5, 3.6])
    assert ratio.value == pytest.approx(6 / 12.6 - 1) and ratio.low < ratio.value < ratio.high < 0
    assert ratio.low < ratio.inner[0] < ratio.inner[1] < ratio.high
    assert compare_ratios([2, 2], [4, 4]).p == 0 and compare_ratios([2, 2], [2, 2]).p == 1
    one = compare_ratios([2], [4, 4.4])
    assert one.one_seed and np.isnan([one.low, one.p]).all()
    rng = np.random.default_rng(0)
    found = [compare_ratios(rng.normal(0.9, 0.05, 3), rng.normal(1, 0.05, 3)) for _ in range(400)]
    assert 0.93 <= np.mean([e.low <= -0.1 <= e.high for e in found]) <= 0.99


def test_the_probability_of_a_single_run():
    assert (
        probability_higher([3, 4], [1, 2])[0] == 1 and probability_higher([1, 2], [1, 2])[0] == 0.5
    )
    share, low, high = probability_higher([3, 4, 5], [0, 1, 2])
    assert (
        share == high == 1 and 0.5 < low < 0.8
    )  # three seeds that all agree say no more than that
    assert probability_higher([0, 1, 2], [3, 4, 5]) == pytest.approx((0, 0, 1 - low))
    assert np.isnan(probability_higher([1], [0, 2])[1:]).all()
    rng, truth = np.random.default_rng(0), stats.norm.cdf(1 / np.sqrt(2))
    for seeds in (3, 8):
        found = [
            probability_higher(rng.normal(1, 1, seeds), rng.normal(0, 1, seeds)) for _ in range(300)
        ]
        assert np.mean([low <= truth <= high for _, low, high in found]) >= 0.92


def test_seeds_needed():
    """As many as the simulation of the same decision asks for."""
    few = compare_seeds(
        [0.10, 0.12, 0.08], [0.05, 0.07, 0.03]
    )  # an effect of 0.05, a deviation of 0.02

    def needed(expect: str, margin: float, estimate: Estimate, level: float = 0.05) -> int | None:
        return Comparison(MIOU, {}, expect, margin).seeds_needed(estimate, level)

    number = needed(HIGHER, 0.01, few)
    rng = np.random.default_rng(0)

    def share(seeds: int) -> float:
        found = [
            compare_seeds(rng.normal(0.05, 0.02, seeds), rng.normal(0, 0.02, seeds))
            for _ in range(400)
        ]
        return np.mean([(e.p < 0.05 and e.value >= 0.01) or e.high < 0.01 for e in found])

    assert share(number - 1) < 0.85 and share(number) > 0.7 and 3 <= number <= 5
    assert needed(HIGHER, 0.01, few, 0.05 / 18) > number
    assert needed(HIGHER, 0.05, few) is None  # it sits on its margin
    same = compare_seeds([0.10, 0.12, 0.08], [0.10, 0.12, 0.08])
    assert needed(SAME, 0.02, same) < needed(SAME, 0.015, same) <= 50
    images = Estimate(
        0.0, -0.03, 0.03, 0.9, (3, 3), 233, (-0.02, 0.02), (1e-5, 1e-5), image_error=0.02
    )
    assert needed(SAME, 0.01, images) is None  # the images are the limit


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02, np.nan, 0.9])[[0, 2]] == pytest.approx([0.04, 0.9]) and np.isnan(
        holm([0.02, np.nan])[1]
    )
    assert holm([]).shape == (0,)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_raw_and_bonferroni_and_keeps_the_order(p):
    p, adjusted = np.array(p), holm(p)
    assert (adjusted >= p).all() and (adjusted <= np.minimum(1, p * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_numbers_in_words():
    assert plain(points(-0.0134)) == "−1.3 points" and plain(percent(0.4567)) == "45.7 %"
    assert points.number(-0.0001) == "0.0" and plain(nats(0.1234)) == "0.123 nats per pixel"
    assert plain(versus(0.013, "U-Net")) == "1.3 points higher than U-Net"
    assert plain(versus(-0.2, "U-Net")) == "20.0 points lower than U-Net"
    assert plain(versus(-0.0004, "U-Net")) == "equal to U-Net within 0.1 points"
    assert plain(Unit("epochs", digits=0)(12.4)) == "12 epochs"
    assert p_cell(0.0004) == "< 0.001" and p_cell(0.0123) == "0.012" and p_cell(np.nan) == "–"
    assert (
        seeds_text([8, 8]) == "8 seeds"
        and seeds_text([1]) == "1 seed"
        and seeds_text([3, 2, 8]) == "2 to 8 seeds"
    )
    assert plain(points.signed(0.013)) == "+1.3 points" and points.signed(-0.0001).startswith("0.0")
    estimate = Estimate(-0.052, -0.069, -0.034, 0.01, (3, 3), 233)
    assert (
        plain(interval_text(estimate)) == "95 % interval −6.9 to −3.4 points; 3 seeds, 233 images"
    )
    assert (
        plain(interval_text(Estimate(0.1, np.nan, np.nan, np.nan, (1, 3))))
        == "no interval; 1 and 3 seeds"
    )
    assert plain(interval_text(Estimate(0.1, 0, 0.2, 0.1, (3, 2, 3, 3), 9))).endswith(
        "3 and 2 seeds, 9 images"
    )
    alone = plain(interval_text(Estimate(0.1, 0, 0.2, 0.1, (1, 1), 9)))
    assert alone == "95 % interval over images alone 0.0 to 20.0 points; 1 seed, 9 images"
