"""Verdicts and sentences from fake runs whose differences are known."""

import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.classes import ClassTable
from lib.models import TITLES
from report.evidence import analysis, claims, verdicts as judging
from report.evidence.claims import CLAIMS
from report.evidence.statistics import Estimate
from report.evidence.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_MEASURED, ONE_SEED, SUPPORTED

verdicts, ledger, comparisons = (partial(of, claims=CLAIMS) for of in (
    judging.verdicts, judging.ledger, judging.comparisons))

IMAGES = 30
VARIANTS = ("unet", "unet-noskip", "unet-residual", "unet-gated-attention")


def fake_run(variant: str, seed: int, miou: float = 0.6, loss: float = 0.3, pace: float = 8.0, missed: float = 0.2,
             structure: bool = True) -> SimpleNamespace:
    """A run with about that mIoU, final losses, epochs per e-fold of the curves and share of components missed."""
    rng = np.random.default_rng([seed, *variant.encode()])
    difficulty = np.random.default_rng(0).normal(0, 0.05, IMAGES)
    score = np.clip(miou + difficulty + rng.normal(0, 0.001) + rng.normal(0, 0.01, IMAGES), 0, 1)
    right = np.rint(1000 * 2 * score / (1 + score)).astype(int)
    per_image = np.stack([np.stack([right, 1000 - right], -1), np.stack([1000 - right, right], -1)], 1)
    epoch = np.arange(1, 41)
    noise = 1 + rng.normal(0, 0.003)
    fall = np.exp(-epoch / (pace * (1 + rng.normal(0, 0.01))))
    history = pd.DataFrame({
        "epoch": epoch, "train_loss": noise * (loss + fall),
        "val_loss": np.where(epoch % 2, np.nan, noise * (loss + fall)),
        "val_miou": np.where(epoch % 2, np.nan, miou * (1 - fall)), "learning_rate": 1e-3, "seconds": 2.0,
    })
    both = np.stack([right, 2000 - right], -1)[:, None].repeat(2, 1)
    contours = np.zeros((IMAGES, 2, 2, 22), int)
    contours[..., 0], contours[..., 21] = right[:, None, None], 1000 - right[:, None, None]
    components = np.zeros((IMAGES, 2, 5, 4), int)
    components[..., 0], components[..., 1] = 20, rng.binomial(20, missed, (IMAGES, 2, 5))
    counts = {"boundary": both, "trimap": np.stack([both] * 20, 1), "contours": contours, "components": components}
    return SimpleNamespace(
        folder=f"{variant}/{seed}", variant=variant, title=TITLES[variant], seed=seed, history=history,
        per_image=per_image, image_names=[f"{i:03}" for i in range(IMAGES)], structure=counts if structure else {},
        classes=ClassTable(("Road", "Traffic sign"), ((0, 0, 0), (9, 9, 9))),
    )


def runs(seeds: int = 3, **differences: dict) -> list[SimpleNamespace]:
    return [fake_run(variant, seed, **differences.get(variant.replace("-", "_"), {})) for variant in VARIANTS
            for seed in range(seeds)]


def test_a_data_set_without_signs_is_judged_by_its_small_parts():
    without = [SimpleNamespace(**vars(run) | {"classes": ClassTable(("Road", "Tree"), ((0, 0, 0), (9, 9, 9)))})
               for run in runs(unet_noskip={"missed": 0.6})]
    question = next(verdict for verdict in verdicts(without) if verdict.claim.id == "Q6")
    assert question.verdict == SUPPORTED and "share missed altogether of signs not measured" in question.sentence


def by_id(results: list) -> dict[str, str]:
    return {result.claim.id: result.verdict for result in results}


def test_every_statement_of_the_study_can_hold():
    study = runs(
        unet_noskip={"miou": 0.5, "missed": 0.6}, unet_residual={"loss": 0.2, "pace": 3.0, "miou": 0.602},
    )
    found = by_id(verdicts(study))
    assert [found[i] for i in ("Q1", "Q2", "Q3", "Q4", "Q5", "Q6")] == [SUPPORTED] * 6
    assert found["Q7"] == CONTRADICTED  # geometry as good as U-Net's, to less than a point


def test_every_statement_of_the_study_can_fail():
    found = by_id(verdicts(runs(
        unet_noskip={"loss": 0.5}, unet_gated_attention={"loss": 0.2, "miou": 0.5},
        unet_residual={"loss": 0.4, "pace": 12.0, "miou": 0.7},
    )))
    assert set(found.values()) == {CONTRADICTED}


def test_one_seed_decides_nothing():
    one = runs(1, unet_noskip={"miou": 0.3, "loss": 0.9, "missed": 0.9})
    assert set(by_id(verdicts(one)).values()) == {ONE_SEED}
    text = ledger(one)["Our measurement"]
    assert "interval over the images alone" in text[2] and "1 seed, 30 images" in text[2]
    assert "no interval, 1 seed" in text[0]
    assert not text.str.contains("nan").any() and not text.str.contains("p = |p < ").any()


def test_a_small_noisy_difference_is_inconclusive():
    noisy = [fake_run("unet", s, miou=m) for s, m in enumerate((0.55, 0.6, 0.65))]
    noisy += [fake_run("unet-noskip", s, miou=m) for s, m in enumerate((0.53, 0.58, 0.63))]
    assert by_id(verdicts(noisy))["Q3"] == INCONCLUSIVE


def test_what_is_missing_is_said():
    assert set(by_id(verdicts([])).values()) == {NOT_MEASURED}
    lonely = [run for run in runs() if run.variant in ("unet", "unet-noskip")]
    found, table = by_id(verdicts(lonely)), ledger(lonely).set_index("Claim")
    assert found["Q2"] == found["Q4"] == found["Q5"] == found["Q7"] == NOT_MEASURED
    assert NOT_MEASURED not in (found["Q1"], found["Q3"], found["Q6"])
    assert "Residual U-Net: epochs to" in table.loc["Q4", "Our measurement"]
    assert "not measured (no run of Residual U-Net)" in table.loc["Q4", "Our measurement"]
    assert f"not measured (no run of {judging.title('unet-noskip-wide')})" in table.loc["Q3", "Our measurement"]
    bare = [fake_run(variant, seed, structure=False) for variant in VARIANTS for seed in range(2)]
    assert by_id(verdicts(bare))["Q6"] == by_id(verdicts(bare))["Q7"] == NOT_MEASURED
    assert "no counts of components for seed 0" in ledger(bare)["Our measurement"][5]


def test_nothing_to_measure_by_is_said():
    bare = runs()
    for run in bare:
        run.structure["components"] = np.zeros_like(run.structure["components"])
    assert by_id(verdicts(bare))["Q6"] == NOT_MEASURED
    assert "nothing to measure it by" in ledger(bare)["Our measurement"][5]


def test_a_threshold_never_reached_is_undecided():
    slow = runs(unet_residual={"miou": 0.3})
    assert by_id(verdicts(slow))["Q4"] == INCONCLUSIVE
    assert "without a value in 3 of 6 runs" in ledger(slow)["Our measurement"][3]


def test_unequal_numbers_of_seeds():
    some = [run for run in runs(unet_noskip={"miou": 0.5}) if (run.variant, run.seed) != ("unet-noskip", 2)]
    assert by_id(verdicts(some))["Q3"] in (SUPPORTED, INCONCLUSIVE)
    assert "2 and 3 seeds" in ledger(some)["Our measurement"][2]


def test_a_wide_control_has_a_say_when_it_is_there():
    base = [run for run in runs(unet_noskip={"miou": 0.5}) if run.variant in ("unet", "unet-noskip")]
    assert by_id(verdicts(base))["Q3"] == SUPPORTED
    assert by_id(verdicts(base + [fake_run("unet-noskip-wide", s) for s in range(3)]))["Q3"] == CONTRADICTED
    controlled = base + [fake_run("unet-noskip-wide", s, miou=0.5) for s in range(3)]
    assert by_id(verdicts(controlled))["Q3"] == SUPPORTED
    assert by_id(verdicts(base + [fake_run("unet-noskip-wide", 0)]))["Q3"] == SUPPORTED  # one seed has no say
    short = [analysis.ledger(study).iloc[2, 2] for study in (base, controlled)]
    assert short[0].startswith("Test mIoU 1") and ";" not in short[0]
    assert re.fullmatch(r"U-Net without skip connections: test mIoU 1\d\.\d.points lower than U-Net \(.*?\); "
                        r"Wider U-Net without skip connections: test mIoU 1\d\.\d.points lower than U-Net \(.*\)", short[1])


def test_runs_on_different_images_are_refused():
    mixed = runs()
    mixed[-1].image_names = mixed[-1].image_names[::-1]
    with pytest.raises(ValueError, match="different images"):
        verdicts(mixed)


def test_sentences_agree_with_the_numbers():
    for finding in (f for v in verdicts(runs(unet_noskip={"miou": 0.5})) for f in v.findings if f.estimate):
        value, unit = finding.estimate.value, finding.comparison.measure.unit
        if unit.number(value) == unit.number(0):
            assert "no different" in finding.text
        else:
            assert f"{unit(abs(value))} {'higher' if value > 0 else 'lower'} than U-Net (" in finding.text
    v = next(v for v in verdicts(runs(unet_noskip={"miou": 0.5})) if v.claim.id == "Q3")
    assert v.sentence.startswith("U-Net without skip connections: test mIoU ")
    assert "points lower than U-Net (95\N{NO-BREAK SPACE}% interval −" in v.sentence
    assert "3 seeds, 30 images; p" in v.sentence and "after Holm p" in v.sentence


def test_levels_and_difference_tell_the_same_story():
    for f in (f for v in verdicts(runs(unet_residual={"loss": 0.2, "miou": 0.63})) for f in v.findings if f.estimate):
        own, against = f.levels
        relative = not f.comparison.measure.score and f.comparison.measure.relative
        assert f.estimate.value == pytest.approx(own / against - 1 if relative else own - against, abs=1e-12)
        assert f.estimate.low <= f.estimate.value <= f.estimate.high


@pytest.mark.parametrize("expect, low, value, high, p, verdict", [
    ("same", -0.01, 0.02, 0.04, 0.2, SUPPORTED), ("same", 0.01, 0.03, 0.049, 0.01, SUPPORTED),
    ("same", 0.02, 0.08, 0.14, 0.01, CONTRADICTED), ("same", -0.02, 0.08, 0.14, 0.10, INCONCLUSIVE),
    ("lower", -0.14, -0.08, -0.02, 0.01, SUPPORTED), ("lower", -0.14, -0.08, -0.02, 0.06, INCONCLUSIVE),
    ("lower", -0.04, -0.02, 0.0, 0.05, CONTRADICTED), ("lower", 0.02, 0.08, 0.14, 0.01, CONTRADICTED),
    ("higher", 0.02, 0.08, 0.14, 0.01, SUPPORTED), ("higher", -0.1, 0.0, 0.1, 0.9, INCONCLUSIVE),
    ("higher", -0.1, 0.0, 0.04, 0.9, CONTRADICTED), ("not higher", -0.1, 0.0, 0.04, 0.9, SUPPORTED),
    ("not higher", 0.02, 0.08, 0.14, 0.01, CONTRADICTED), ("not higher", 0.0, 0.03, 0.06, 0.05, INCONCLUSIVE),
])
def test_rules(expect, low, value, high, p, verdict):
    comparison = judging.Comparison(claims.MIOU, "unet-noskip", expect, 0.05)
    assert comparison.judge(Estimate(value, low, high, p, (3, 3), 30), p) == verdict
    assert comparison.judge(Estimate(value, low, high, p, (1, 3), 30), p) == ONE_SEED


def test_ledger_and_comparisons():
    everything = runs()
    table = ledger(everything)
    assert list(table.columns) == ["Claim", "Statement", "Our measurement", "Verdict"]
    assert list(table.Claim) == [f"Q{i}" for i in range(1, 8)]
    assert table.equals(ledger(everything))
    beside = comparisons(everything).query("Verdict == 'beside the claim'")
    assert list(beside.Claim) == ["Q4", "Q4", "Q5", "Q6"]
