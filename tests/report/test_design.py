"""Main effects and interactions from made-up counts whose effects are known.

With cells and seeds missing.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from lib.metrics import mean_iou
from lib.models import VARIANTS
from report.evidence.design import (
    BLOCK_BY_SKIP,
    BLOCK_EFFECT,
    CELLS,
    FACTORIAL,
    FINER_BY_COARSER,
    SKIP_BY_SKIP,
    missing_cells,
    skip_effect,
    skip_interaction,
)
from report.evidence.measures import MIOU
from report.evidence.wording import points
from report.figures import tables

IMAGES = 25
STEPS = [*BLOCK_BY_SKIP[:3], *SKIP_BY_SKIP[:4]]  # main effects: of one step; interactions: of two
# Percent of the pixels right: residual blocks add 4, 2 and 5 under no, concatenated, gated skips.
RIGHT = {
    "unet-noskip": 60,
    "unet": 70,
    "unet-gated-attention": 71,
    "unet-residual-noskip": 64,
    "unet-residual": 72,
    "unet-residual-gated-attention": 76,
}


def fake_run(variant: str, seed: int, noise: float = 0.0) -> SimpleNamespace:
    rng = np.random.default_rng([seed, *variant.encode()])
    right = (
        10 * RIGHT.get(variant, 65)
        + np.arange(IMAGES)
        - IMAGES // 2
        + np.rint(rng.normal(0, noise, IMAGES))
    )
    per_image = np.stack(
        [np.stack([right, 1000 - right], -1), np.stack([1000 - right, right], -1)], 1
    ).astype(np.int64)
    return SimpleNamespace(
        variant=variant,
        seed=seed,
        per_image=per_image,
        miou=float(mean_iou(per_image.sum(0))),
        folder=f"{variant}/{seed}",
        image_names=[str(i) for i in range(IMAGES)],
        group=1,
        frames=[("drive", i) for i in range(IMAGES)],
        record={"dataset": {"name": "camvid"}},
    )


def study(*variants: str, seeds: int = 3, noise: float = 2.0) -> list[SimpleNamespace]:
    return [fake_run(variant, seed, noise) for variant in variants for seed in range(seeds)]


def miou(variant: str) -> float:
    return RIGHT[variant] / (200 - RIGHT[variant])


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_six_cells():
    assert (
        set(CELLS.values())
        == {*VARIANTS, "unet-residual-noskip", "unet-residual-gated-attention"}
        == set(RIGHT)
    )


def test_weights_add_up_to_zero_and_the_interactions_balance():
    for effect in (*BLOCK_BY_SKIP, *SKIP_BY_SKIP):
        assert sum(effect.weights.values()) == pytest.approx(0)
        assert sum(weight for weight in effect.weights.values() if weight > 0) == pytest.approx(
            1 if effect in STEPS else 2
        )  # of one step, of two
    assert BLOCK_BY_SKIP[3].weights == {
        "unet-noskip": 1,
        "unet-residual-noskip": -1,
        "unet": -1,
        "unet-residual": 1,
    }
    assert set(BLOCK_EFFECT.weights) == set(CELLS.values()) and set(skip_effect(0).weights) == set(
        FACTORIAL.values()
    )


def values(effects: list, runs: list) -> list[float]:
    groups = {
        run.variant: [other for other in runs if other.variant == run.variant] for run in runs
    }
    return [
        MIOU.contrast([groups[key] for key in effect.weights], [*effect.weights.values()])[0].value
        for effect in effects
    ]


def test_effects_of_the_whole_design_are_exact():
    found = values(BLOCK_BY_SKIP, study(*RIGHT, seeds=2, noise=0.0))
    none, full, gated = (
        miou(f"unet-residual{end}") - miou(f"unet{end}")
        for end in ("-noskip", "", "-gated-attention")
    )
    joined, filtered = (
        np.mean(
            [miou(f"unet{block}{to}") - miou(f"unet{block}{start}") for block in ("", "-residual")]
        )
        for start, to in (("-noskip", ""), ("", "-gated-attention"))
    )
    assert found == pytest.approx(
        [(none + full + gated) / 3, joined, filtered, full - none, gated - full]
    )


def test_effects_of_the_skips_are_exact():
    """A network's score made of what each skip adds, and of a pair that adds 0.04 together."""
    gain = np.array([0.01, 0.02, 0.05, 0.08])
    score = {
        name: gain[list(levels)].sum() + 0.04 * ({0, 2} <= set(levels))
        for levels, name in FACTORIAL.items()
    }

    def value(effect) -> float:
        return sum(weight * score[name] for name, weight in effect.weights.items())

    assert [value(skip_effect(level)) for level in range(4)] == pytest.approx(
        gain + [0.02, 0, 0.02, 0]
    )
    assert value(skip_interaction(0, 2)) == pytest.approx(0.04) and value(
        skip_interaction(0, 1)
    ) == pytest.approx(0)
    effect = FINER_BY_COARSER
    assert (
        value(effect) == pytest.approx((0.03 + 0.02) / 2 - (0.07 + 0.08) / 2)
        and "unet" not in effect.weights
    )


def table_of(runs, make=tables.effects):
    return make(runs).content


def test_the_table_agrees_with_the_numbers():
    runs = study(*RIGHT)
    table = table_of(runs)
    assert list(table["On test mIoU"]) == [
        points.signed(value) for value in values(BLOCK_BY_SKIP, runs)
    ]
    assert (
        table.Effect[0] == "residual blocks − plain blocks"
        and (table.p == "< 0.001").all()
        and "Verdict" not in table
    )
    assert table.Effect[3] == "gain from residual blocks with concatenated skips − without skips"
    of_skips = table_of(study(*FACTORIAL.values(), seeds=2), tables.effects_of_skips)
    assert list(of_skips.Effect[[0, 4]]) == [
        "skip at level 0 − none",
        "gain from level 0 with level 1 − without it",
    ]


def test_no_effect_reads_as_none(monkeypatch):
    monkeypatch.setattr(f"{__name__}.RIGHT", dict.fromkeys(RIGHT, 60))
    table = table_of(study(*RIGHT, noise=0.0))
    assert set(table["On test mIoU"]) == {points(0)} and set(table["After Holm"]) == {"1.000"}


def test_an_incomplete_design_has_no_effects():
    for few in (
        VARIANTS,
        [*VARIANTS, "unet-noskip-wide"],
        [*VARIANTS, "unet-residual-noskip"],
        ["unet-residual-noskip"],
        [],
    ):
        assert tables.effects(study(*few)) is None
    assert missing_cells(study(*VARIANTS)).endswith(
        "there is no run of the Residual U-Net without skip connections and "
        "Residual Gated Attention U-Net."
    )
    assert missing_cells(study(*RIGHT)) == ""


def test_one_seed_has_no_p():
    one = table_of(study(*RIGHT, seeds=1))
    assert set(one.p) == set(one["After Holm"]) == {"–"} and len(one) == 5
    some = table_of(study(*list(RIGHT)[1:]) + study("unet-noskip", seeds=1))
    assert list(some.p == "–") == [True, True, False, True, False]
