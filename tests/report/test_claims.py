"""The rules one by one, how often they err, and what is said of fake runs.

Verdicts and sentences are from runs whose differences are known.
"""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.datasets import camvid, carla
from lib.files import ClassTable
from lib.models import TITLES
from report.evidence import claims, ledger, measures
from report.evidence.claims import CLAIMS, STUDY, judge
from report.evidence.comparison import (
    ALPHA,
    HIGHER,
    LOWER,
    NOT_MEASURED,
    ONE_SEED,
    RULED_OUT,
    SAME,
    SUPPORTED,
    UNDECIDED,
    Comparison,
    Finding,
)
from report.evidence.readings import thin
from report.evidence.statistics import Estimate, contrast_numbers
from report.figures.forest import in_numbers

IMAGES = 30
VARIANTS = (
    "unet",
    "unet-noskip",
    "unet-residual",
    "unet-gated-attention",
    "unet-residual-noskip",
    "unet-residual-gated-attention",
)


def fake_run(
    variant: str,
    seed: int,
    miou: float = 0.6,
    loss: float = 0.3,
    pace: float = 8.0,
    missed: float = 0.2,
    structure: bool = True,
) -> SimpleNamespace:
    """A run with about that mIoU and those final losses.

    Likewise the epochs per e-fold of the curves and the share of components missed.
    """
    rng = np.random.default_rng([seed, *variant.encode()])
    difficulty = np.random.default_rng(0).normal(0, 0.05, IMAGES)
    score = np.clip(miou + difficulty + rng.normal(0, 0.001) + rng.normal(0, 0.01, IMAGES), 0, 1)
    right = np.rint(1000 * 2 * score / (1 + score)).astype(int)
    per_image = np.stack(
        [np.stack([right, 1000 - right], -1), np.stack([1000 - right, right], -1)], 1
    )
    epoch = np.arange(1, 41)
    noise = 1 + rng.normal(0, 0.003)
    fall = np.exp(-epoch / (pace * (1 + rng.normal(0, 0.01))))
    history = pd.DataFrame(
        {
            "epoch": epoch,
            "train_loss": noise * (loss + fall),
            "val_loss": np.where(epoch % 2, np.nan, noise * (loss + fall)),
            "val_miou": np.where(epoch % 2, np.nan, miou * (1 - fall)),
            "learning_rate": 1e-3,
            "seconds": 2.0,
        }
    )
    both = np.stack([right, 2000 - right], -1)[:, None].repeat(2, 1)
    contours = np.zeros((IMAGES, 2, 2, 22), int)
    contours[..., 0], contours[..., 21] = right[:, None, None], 1000 - right[:, None, None]
    components = np.zeros((IMAGES, 2, 5, 4), int)
    components[..., 0], components[..., 1] = 20, rng.binomial(20, missed, (IMAGES, 2, 5))
    counts = {
        "boundary": both,
        "trimap": np.stack([both] * 20, 1),
        "contours": contours,
        "components": components,
    }
    return SimpleNamespace(
        folder=f"{variant}/{seed}",
        variant=variant,
        title=TITLES[variant],
        seed=seed,
        history=history,
        per_image=per_image,
        image_names=[f"{i:03}" for i in range(IMAGES)],
        group=1,
        frames=[("drive", i) for i in range(IMAGES)],
        image_losses=np.full(IMAGES, 1.2 * loss) + rng.normal(0, 0.01, IMAGES),
        record={"dataset": {"name": "camvid", "pixels": {"train": [1000, 5]}}},
        studies={},
        gradients={},
        structure=counts if structure else {},
        classes=ClassTable(("Road", "Traffic sign"), ((0, 0, 0), (9, 9, 9))),
    )


def runs(seeds: int = 3, **differences: dict) -> list[SimpleNamespace]:
    return [
        fake_run(variant, seed, **differences.get(variant.replace("-", "_"), {}))
        for variant in VARIANTS
        for seed in range(seeds)
    ]


def by_id(results: list) -> dict[str, str]:
    return {result.claim.id: result.verdict for result in results if result.claim.source == STUDY}


def of_study(results: list, key: str) -> claims.Verdict:
    return next(result for result in results if result.claim.id == key)


FASTER = {"pace": 4.0}


def test_every_statement_of_the_study_can_hold():
    study = runs(
        5,
        unet_noskip={"miou": 0.5, "missed": 0.6},
        unet_residual={"loss": 0.2, "miou": 0.602, **FASTER},
        unet_residual_noskip=FASTER,
        unet_residual_gated_attention=FASTER,
    )
    found = by_id(judge(study))
    assert [found.pop(i) for i in ("Q7a", "Q7b")] == [
        RULED_OUT
    ] * 2  # geometry as good as U-Net's, to less than a point
    assert set(found.values()) == {SUPPORTED}


def test_every_statement_of_the_study_can_fail():
    found = by_id(
        judge(
            runs(
                5,
                unet_noskip={"loss": 0.5},
                unet_gated_attention={"loss": 0.2, "miou": 0.5},
                unet_residual={"loss": 0.4, "pace": 20.0, "miou": 0.7},
                unet_residual_noskip={"pace": 20.0},
                unet_residual_gated_attention={"pace": 20.0},
            )
        )
    )
    assert found.pop("Q7a") == SUPPORTED and set(found.values()) == {RULED_OUT}


def test_one_seed_decides_nothing():
    one = judge(runs(1, unet_noskip={"miou": 0.3, "loss": 0.9, "missed": 0.9}))
    assert set(by_id(one).values()) == {ONE_SEED}
    table = in_numbers(one, STUDY)[0].content
    text = [finding.text for verdict in one for finding in verdict.primary]
    assert "interval over images alone" in text[2] and "1 seed, 30 images" in text[2]
    assert "no interval; 1 seed" in text[0] and set(table.p) == set(table["After Holm"]) == {"–"}
    assert not table.map(str).apply(lambda column: column.str.contains("nan")).any().any()


def test_a_small_noisy_difference_is_undecided_and_says_how_many_seeds_would_decide():
    noisy = [fake_run("unet", s, miou=m) for s, m in enumerate((0.55, 0.6, 0.65))]
    noisy += [fake_run("unet-noskip", s, miou=m) for s, m in enumerate((0.47, 0.52, 0.57))]
    found = of_study(judge(noisy), "Q3")
    assert found.verdict == UNDECIDED and 5 <= found.seeds_needed <= 40
    assert ledger.verdict_text(found) == f"undecided ({found.seeds_needed} seeds needed)"
    noisy[3:] = [fake_run("unet-noskip", s, miou=m) for s, m in enumerate((0.54, 0.59, 0.64))]
    assert (
        ledger.verdict_text(of_study(judge(noisy), "Q3")) == "undecided (more than 50 seeds needed)"
    )


def test_other_networks_change_a_verdict_through_the_family_only():
    """A control at odds with a statement, or one seed of it, stands beside it and has no say."""
    base = [
        run for run in runs(unet_noskip={"miou": 0.5}) if run.variant in ("unet", "unet-noskip")
    ]
    alone = judge(base)
    for control in (
        [fake_run("unet-noskip-wide", s) for s in range(3)],
        [fake_run("unet-noskip-wide", 0)],
    ):
        more = judge(base + control)
        assert [v.verdict for v in more] == [v.verdict for v in alone]
        np.testing.assert_equal(
            [(v.p, v.adjusted) for v in more], [(v.p, v.adjusted) for v in alone]
        )
        assert (
            "Test mIoU: Wider U-Net without skip connections 5"
            in of_study(more, "Q3").secondary[-1].text
        )
    whole = judge(runs(unet_noskip={"miou": 0.5}))
    assert (
        of_study(whole, "Q3").p
        == of_study(alone, "Q3").p
        < of_study(alone, "Q3").adjusted
        <= of_study(whole, "Q3").adjusted
    )


def test_a_main_effect_takes_the_whole_design():
    some = [run for run in runs() if run.variant != "unet-residual-noskip"]
    question = of_study(judge(some), "Q4")
    assert question.verdict == NOT_MEASURED
    assert "no run of Residual U-Net without skip connections" in question.primary[0].text
    whole = of_study(judge(runs()), "Q4").primary[0]
    assert whole.estimate.seeds == (3,) * 6 and whole.higher is None
    assert whole.text.startswith(
        "Mean validation mIoU over all epochs: residual blocks against plain blocks, a difference"
    )


def test_what_is_missing_is_said():
    assert {v.verdict for v in judge([])} == {NOT_MEASURED}
    lonely = judge([run for run in runs() if run.variant in ("unet", "unet-noskip")])
    found = by_id(lonely)
    assert {found[key] for key in ("Q2", "Q4", "Q5a", "Q5b", "Q7a", "Q7b")} == {NOT_MEASURED}
    assert NOT_MEASURED not in (found["Q1"], found["Q3"], found["Q6"])
    text = of_study(lonely, "Q5b").primary[0].text
    assert (
        text == "Test mIoU: Residual U-Net against U-Net, not measured (no run of Residual U-Net)"
    )
    bare = judge(
        [fake_run(variant, seed, structure=False) for variant in VARIANTS for seed in range(2)]
    )
    assert {by_id(bare)[key] for key in ("Q6", "Q7a", "Q7b")} == {NOT_MEASURED}
    assert "no counts of components for seed 0" in of_study(bare, "Q6").primary[0].text


def test_records_without_the_loss_of_each_image_have_a_ledger():
    first = runs()
    for run in first:
        run.image_losses = None
    found = judge(first)
    assert NOT_MEASURED not in by_id(found).values()
    assert "no loss of each test image for seed 0" in of_study(found, "Q1").secondary[-1].text


def test_nothing_to_measure_by_is_said():
    bare = runs()
    for run in bare:
        run.structure["components"] = np.zeros_like(run.structure["components"])
    question = of_study(judge(bare), "Q6")
    assert (
        question.verdict == NOT_MEASURED
        and "nothing in the data to measure it by" in question.primary[0].text
    )


def test_unequal_numbers_of_seeds():
    some = [
        run
        for run in runs(unet_noskip={"miou": 0.5})
        if (run.variant, run.seed) != ("unet-noskip", 2)
    ]
    question = of_study(judge(some), "Q3")
    assert (
        question.verdict in (SUPPORTED, UNDECIDED) and "2 and 3 seeds" in question.primary[0].text
    )


def test_runs_on_different_images_are_refused_and_of_other_data_not_read():
    mixed = runs()
    mixed[3].image_names = mixed[3].image_names[::-1]
    with pytest.raises(ValueError, match="different images"):
        judge(mixed)
    other = [
        SimpleNamespace(**vars(run) | {"record": {"dataset": {"name": "carla"}}})
        for run in runs(unet_noskip={"miou": 0.1})
    ]
    assert of_study(judge(runs() + other), "Q3").p == of_study(judge(runs()), "Q3").p
    text = of_study(judge(runs()), "A2").primary[0].text
    assert text.endswith("not measured (no run of Gated Attention U-Net and U-Net on scenes)")


def test_thin_classes_by_name():
    def named(*names: str) -> SimpleNamespace:
        return SimpleNamespace(
            classes=ClassTable(names, ((0, 0, 0),) * len(names)),
            record={"dataset": {"pixels": {"train": [1000, *[5] * (len(names) - 1)]}}},
        )

    assert [camvid.CLASSES.names[k] for k in thin(named(*camvid.CLASSES.names))] == [
        "Pole",
        "SignSymbol",
        "Pedestrian",
        "Bicyclist",
    ]
    assert [carla.CLASSES.names[k] for k in thin(named(*carla.CLASSES.names))] == [
        "Pedestrian",
        "Pole",
        "Traffic sign",
    ]
    assert thin(named("Road", "Pebble")) == [1]  # the rare one, where no name says so


def test_sentences_agree_with_the_numbers():
    for finding in (
        f
        for v in judge(runs(unet_noskip={"miou": 0.5}))
        for f in (*v.primary, *v.secondary)
        if f.estimate
    ):
        unit, estimate = finding.comparison.measure.unit, finding.estimate
        assert f"a difference of {unit.signed(estimate.value)} (" in finding.text
    text = (
        of_study(judge(runs(unet_noskip={"miou": 0.5})), "Q3")
        .primary[0]
        .text.replace("\N{NO-BREAK SPACE}", " ")
    )
    assert re.match(
        r"Test mIoU: U-Net without skip connections [\d.]+ %, U-Net [\d.]+ %; a diff", text
    )
    assert " points (95 % interval −" in text and text.endswith("3 seeds, 30 images)")


def test_levels_and_difference_tell_the_same_story():
    for f in (
        f
        for v in judge(runs(unet_residual={"loss": 0.2, "miou": 0.63}))
        for f in v.primary
        if f.estimate
    ):
        if len(f.values) == 2:
            own, against = (values.mean() for values in f.values)
            relative = f.comparison.measure.relative
            assert f.estimate.value == pytest.approx(
                own / against - 1 if relative else own - against, abs=1e-12
            )
            assert (
                f.estimate.low
                <= f.estimate.inner[0]
                <= f.estimate.value
                <= f.estimate.inner[1]
                <= f.estimate.high
            )
            share, low, high = f.higher
            assert low <= share <= high and share == np.mean(f.values[0][:, None] > f.values[1])


@pytest.mark.parametrize(
    "expect, low, value, high, p, verdict",
    [
        (SAME, -0.01, 0.02, 0.04, 0.2, SUPPORTED),
        (SAME, 0.01, 0.03, 0.049, 0.01, SUPPORTED),
        (SAME, -0.02, 0.02, 0.06, 0.2, UNDECIDED),
        (SAME, -0.012, 0.02, 0.052, 0.2, SUPPORTED),  # 90 % within, 95 % not
        (SAME, 0.02, 0.08, 0.14, 0.01, UNDECIDED),
        (SAME, 0.06, 0.08, 0.14, 0.01, RULED_OUT),
        (SAME, -0.14, -0.08, -0.06, 0.01, RULED_OUT),
        (SAME, 0.06, 0.08, 0.14, 0.10, UNDECIDED),
        (LOWER, -0.14, -0.08, -0.02, 0.01, SUPPORTED),
        (LOWER, -0.14, -0.08, -0.02, 0.06, UNDECIDED),
        (LOWER, -0.07, -0.04, -0.01, 0.01, UNDECIDED),
        (LOWER, -0.04, -0.02, 0.0, 0.05, RULED_OUT),
        (LOWER, 0.02, 0.08, 0.14, 0.01, RULED_OUT),
        (HIGHER, 0.02, 0.08, 0.14, 0.01, SUPPORTED),
        (HIGHER, -0.1, 0.0, 0.1, 0.9, UNDECIDED),
        (HIGHER, -0.1, 0.0, 0.04, 0.9, RULED_OUT),
        (HIGHER, 0.01, 0.03, 0.04, 0.001, RULED_OUT),  # there, but smaller than its margin
    ],
)
def test_rules(expect, low, value, high, p, verdict):
    comparison = Comparison(measures.MIOU, {"unet-noskip": 1, "unet": -1}, expect, 0.05)
    inner = value + 0.85 * (low - value), value + 0.85 * (high - value)
    assert comparison.judge(Estimate(value, low, high, p, (3, 3), 30, inner), p) == verdict
    assert comparison.judge(Estimate(value, low, high, p, (1, 3), 30, inner), p) == ONE_SEED


@pytest.mark.parametrize("seeds", [3, 8])
@pytest.mark.parametrize(
    "expect, truth, wrong",
    [
        (HIGHER, 0.0, SUPPORTED),
        (LOWER, 0.0, SUPPORTED),
        (SAME, 0.0, RULED_OUT),  # nothing is there
        (HIGHER, 0.05, RULED_OUT),
        (LOWER, -0.05, RULED_OUT),
        (SAME, 0.05, SUPPORTED),
        (SAME, 0.05, RULED_OUT),  # on the margin
    ],
)
def test_how_often_a_verdict_is_wrong(expect, truth, wrong, seeds):
    """At most 5 % of the time, without the adjustment that makes it rarer still."""
    rng, trials = np.random.default_rng(5), 1000
    comparison = Comparison(measures.MIOU, {"unet-noskip": 1, "unet": -1}, expect, 0.05)
    found = [
        contrast_numbers([rng.normal(truth, 0.02, seeds), rng.normal(0, 0.02, seeds)], [1, -1])
        for _ in range(trials)
    ]
    assert (
        np.mean([comparison.judge(estimate, estimate.p) == wrong for estimate in found])
        <= ALPHA + 0.012
    )


def test_of_two_primary_measurements_both_must_hold():
    found = {-0.5: SUPPORTED, 0.5: RULED_OUT}
    shared = Comparison(measures.LOWEST, {"unet-noskip": 1, "unet": -1}, LOWER, 0.2)
    for one in found:
        for other in found:
            pair = tuple(
                Finding(
                    shared,
                    Estimate(v, v - 0.1, v + 0.1, p, (3, 3), None, (v, v)),
                    (np.ones(3),) * 2,
                )
                for v, p in ((one, 0.001), (other, 0.01))
            )
            verdict = claims.Verdict(
                claims.Claim("T", "", STUDY, (shared, shared)),
                pair,
                (),
                claims._largest_p(pair),
                0.02,
                2,
                18,
            )
            assert verdict.p == 0.01 and verdict.verdict == (
                SUPPORTED if one == other == -0.5 else RULED_OUT
            )
            assert verdict.parts == [found[one], found[other]]  # each on its own
            table = in_numbers([verdict], STUDY)[0].content
            assert list(table["After Holm"]) == ["0.002", "0.020"], "that each part is judged by"


def test_the_statements():
    assert [claim.id for claim in CLAIMS] == [
        "Q1",
        "Q2",
        "Q3",
        "Q4",
        "Q5a",
        "Q5b",
        "Q6",
        "Q7a",
        "Q7b",
        "T1",
        "T2",
        "T3a",
        "T3b",
        "A1",
        "A2",
        "A3a",
        "A3b",
        "R1",
    ]
    for comparison in (c for claim in CLAIMS for c in claim.primary):
        assert comparison.expect in (SAME, HIGHER, LOWER) and comparison.margin > 0
        assert abs(sum(comparison.weights.values())) < 1e-12 or len(comparison.weights) == 1
    assert all(np.isnan(c.margin) and not c.expect for claim in CLAIMS for c in claim.secondary)
    criteria = {
        claim.id: claim.primary[0].criterion.replace("\N{NO-BREAK SPACE}", " ") for claim in CLAIMS
    }
    assert criteria["Q1"] == "within ±5.0 %" and criteria["Q3"] == "lower by ≥ 1.0 points"
    assert criteria["Q6"] == "higher by ≥ 5.0 points" and criteria["T3b"] == "higher by ≥ 20.0 %"


def test_ledgers(monkeypatch):
    found = judge(runs())
    table, beside = (exhibit.content for exhibit in in_numbers(found, STUDY))
    assert list(table["No."]) == [claim.id for claim in CLAIMS if claim.source == STUDY]
    assert list(table.columns)[-3:] == ["p", "After Holm", "Verdict"]
    assert (
        table.Measurement[0]
        .replace("\N{NO-BREAK SPACE}", " ")
        .startswith("Training loss, U-Net without skip connections against U-Net: within ±5.0 %; ")
    )
    raw = [v.p for v in found if not np.isnan(v.p)]
    assert {v.family for v in found} == {len(raw)} and all(
        v.adjusted >= v.p for v in found if not np.isnan(v.p)
    )
    assert ledger.tally(found).startswith("Of 18 statements, ")
    measured = [f for v in found if v.claim.source == STUDY for f in v.secondary if f.estimate]
    assert "Verdict" not in beside and len(beside) == len(measured) > 5
    recipes = {
        "with Dice": found,
        "without": judge(runs(unet_noskip={"miou": 0.5})),
        "none": judge([]),
        "one seed": judge(runs(1)),
    }
    across = ledger.across(recipes)
    assert list(across.columns) == [
        "No.",
        "Statement",
        "with Dice",
        "without",
        "one seed",
    ]  # a part that measures nothing is left out
    assert list(across["No."]) == [
        *table["No."],
        "T1",
    ]  # and so is a statement that nobody measures
    assert across.loc[2, "with Dice"].endswith("): ruled out")
    assert across.loc[2, "one seed"].endswith(")"), "an effect without a verdict"
    assert across.loc[2, "without"].endswith("): supported") and across.loc[2, "without"][0] == "−"
    monkeypatch.setattr(
        ledger, "first_edition", lambda: dict.fromkeys((c.id for c in CLAIMS), UNDECIDED)
    )
    editions = ledger.editions_table(found)
    assert len(editions) == 18 and set(editions["First edition"]) == {UNDECIDED}
    assert list(editions["Second edition"]) == [v.verdict for v in found]


def test_the_rules_in_five_lines_follow_the_constants(monkeypatch):
    text = ledger.rules().replace("\N{NO-BREAK SPACE}", " ")
    assert [line[:3] for line in text.splitlines()] == ["1. ", "2. ", "3. ", "4. ", "5. "]
    for words in (
        "p < 0.05",
        "90 % interval lies within",
        "5 % of the U-Net's loss; 1.0 points of mIoU",
        "20 consecutive frames",
        "all statements that were tested",
        "where 50 would not",
        "exploratory",
    ):
        assert words in text
    assert text.count("exploratory") == 1
    monkeypatch.setattr(ledger, "SCORE", 0.02)
    assert "2.0\N{NO-BREAK SPACE}points of mIoU" in ledger.rules()


def test_signs_are_compared_by_recipe_and_the_loss_of_skips_by_drive():
    dice = runs(3, unet_noskip={"missed": 0.6, "miou": 0.5})
    plain = runs(3, unet_noskip={"missed": 0.9})
    text = ledger.signs_by_recipe({"with Dice": dice, "without it": plain})
    words = re.fullmatch(
        r"Trained with Dice, the network without skips misses (.*) of the signs entirely and the "
        r"U-Net (.*), a difference of (.*); without it, (.*) and (.*), a difference of (.*)\.",
        text,
    )
    lost, kept, _, lost_too, kept_too, _ = (
        100 * np.mean([run.structure["components"][:, 1, :, 1].mean() / 20 for run in group])
        for group in (dice[3:6], dice[:3], dice, plain[3:6], plain[:3], plain)
    )
    shares = [words[i].split("\N{NO-BREAK SPACE}")[0] for i in (1, 2, 4, 5)]
    assert shares == [f"{share:.1f}" for share in (lost, kept, lost_too, kept_too)]
    assert "3 seeds, 30 images" in words[3] and words[6].startswith("+")
    assert ledger.signs_by_recipe({"with Dice": dice, "without it": []}) == "", "one recipe"
    text = ledger.without_dice(judge(dice), judge(plain))
    assert text.startswith("The verdict depends on the recipe for Q3 (supported with Dice, ")
    same = ledger.without_dice(judge(dice), judge(dice))
    assert same.startswith("Under the cross-entropy alone, without Dice, the verdicts on Q1, Q2, ")
    assert same.endswith(" are the same.")
    assert ledger.without_dice(judge(dice), judge(runs(1))) == "", "one seed"
    text = ledger.by_drive({"0001TP": dice, "0006R0": [], "Seq05VD": plain})
    assert re.search(
        r"in mIoU by −[\d.]+\spoints on 0001TP \(95.*\) and [\d.]+\spoints on Seq05VD \(", text
    )
    assert text.endswith("On 1 of the 2 the whole interval is below zero.")
    assert ledger.by_drive({"0001TP": []}) == ""
