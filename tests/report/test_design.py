"""Main effects and interactions from made-up counts whose effects are known, with cells and seeds missing."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib.metrics import mean_iou
from lib.models import VARIANTS
from report.evidence.design import CELLS, EFFECTS, SIGNIFICANT, effects, effects_table, effects_text
from report.evidence.statistics import p_text, points
from report.evidence.verdicts import INCONCLUSIVE, ONE_SEED
from report.figures import charts as analysis_figures

IMAGES = 25
# Percent of the pixels right: residual blocks add 4, 2 and 5 under no, concatenated and gated skips.
RIGHT = {
    "unet-noskip": 60, "unet": 70, "unet-gated-attention": 71,
    "unet-residual-noskip": 64, "unet-residual": 72, "unet-residual-gated-attention": 76,
}


def fake_run(variant: str, seed: int, noise: float = 0.0) -> SimpleNamespace:
    rng = np.random.default_rng([seed, *variant.encode()])
    right = 10 * RIGHT.get(variant, 65) + np.arange(IMAGES) - IMAGES // 2 + np.rint(rng.normal(0, noise, IMAGES))
    per_image = np.stack([np.stack([right, 1000 - right], -1), np.stack([1000 - right, right], -1)], 1).astype(np.int64)
    return SimpleNamespace(variant=variant, seed=seed, per_image=per_image, miou=float(mean_iou(per_image.sum(0))),
                           folder=f"{variant}/{seed}", image_names=[str(i) for i in range(IMAGES)])


def study(*variants: str, seeds: int = 3, noise: float = 2.0) -> list[SimpleNamespace]:
    return [fake_run(variant, seed, noise) for variant in variants for seed in range(seeds)]


def miou(variant: str) -> float:
    return RIGHT[variant] / (200 - RIGHT[variant])


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_the_six_cells():
    assert set(CELLS.values()) == {*VARIANTS, "unet-residual-noskip", "unet-residual-gated-attention"} == set(RIGHT)


def test_weights_add_up_to_zero_and_the_interactions_balance():
    for effect in EFFECTS:
        for signs in effect.slices(CELLS.values()).values():
            assert sum(signs.values()) == 0 and set(signs.values()) == {-1, 1}
    joint = EFFECTS[3].slices(CELLS.values())[""]
    assert joint == {"unet-noskip": 1, "unet-residual-noskip": -1, "unet": -1, "unet-residual": 1}


def test_effects_of_the_whole_design_are_exact():
    found = effects(study(*RIGHT, seeds=2, noise=0.0))
    none, full, gated = (miou(f"unet-residual{end}") - miou(f"unet{end}") for end in ("-noskip", "", "-gated-attention"))
    joined, filtered = (np.mean([miou(f"unet{block}{to}") - miou(f"unet{block}{start}") for block in ("", "-residual")])
                        for start, to in (("-noskip", ""), ("", "-gated-attention")))
    expected = (none + full + gated) / 3, joined, filtered, full - none, gated - full
    assert [f.estimate.value for f in found] == pytest.approx(expected)
    assert [f.over for f in found] == [("no", "concatenated", "gated"), *[("plain", "residual")] * 2, ("",), ("",)]
    assert {f.verdict for f in found} == {SIGNIFICANT} and all(f.estimate.seeds[0] == 2 for f in found)


def test_sentences_agree_with_the_numbers():
    found = effects(study(*RIGHT))
    lines, table = plain(effects_text(study(*RIGHT))).splitlines(), effects_table(study(*RIGHT)).map(plain)
    for effect, line, shown in zip(found, lines, table["On test mIoU"]):
        value = effect.estimate.value
        assert f" {plain(points(abs(value)))} {'higher' if value > 0 else 'lower'} than that with " in line
        assert shown == plain(points(value)) and line == f"- {plain(effect.sentence)}"
        assert line.endswith(f"after Holm {p_text(effect.adjusted)}): *significant*.")
    starts = ["Test mIoU with residual blocks is", "Test mIoU with concatenated skips is", "Test mIoU with gated skips is",
              "The gain in test mIoU from no to concatenated skips is, with residual blocks,",
              "The gain in test mIoU from concatenated to gated skips is, with residual blocks,"]
    assert all(line.startswith(f"- {start} ") for line, start in zip(lines, starts, strict=True))
    assert "lower than that with plain blocks (95 % interval −" in lines[3]
    assert table.Effect[0] == "residual − plain blocks"
    assert table.Effect[3] == "residual − plain blocks × concatenated − no skips"
    assert list(table["Averaged over"]) == ["no, concatenated and gated skips", *["plain and residual blocks"] * 2, "–", "–"]


def test_no_effect_reads_as_none(monkeypatch):
    monkeypatch.setattr(f"{__name__}.RIGHT", dict.fromkeys(RIGHT, 60))
    runs = study(*RIGHT, noise=0.0)
    assert plain(effects_text(runs)).count("no different, to 0.1 points, from that with") == 5
    assert {effect.verdict for effect in effects(runs)} == {INCONCLUSIVE}


def test_cells_that_are_missing():
    for few in (VARIANTS, [*VARIANTS, "unet-noskip-wide"], ["unet-residual-noskip"], []):
        assert effects(study(*few)) == [] and len(effects_table(study(*few))) == 0
    assert effects_text(study(*VARIANTS)).endswith("there is no run of Residual U-Net without skip connections and Residual "
                                                   "Gated Attention U-Net.")
    table = effects_table(study(*VARIANTS, "unet-residual-noskip"))
    assert list(table["Averaged over"]) == ["no and concatenated skips", "plain and residual blocks", "plain blocks", "–"]
    assert ", measured with plain blocks (" in effects_text(study(*VARIANTS, "unet-residual-noskip"))


def test_one_seed_decides_nothing():
    one = effects_table(study(*RIGHT, seeds=1))
    assert set(one.Verdict) == {ONE_SEED} and set(one.p) == set(one["After Holm"]) == {"–"}
    assert effects_text(study(*RIGHT, seeds=1)).count(f"images): *{ONE_SEED}*.") == 5
    some = study(*VARIANTS) + study("unet-residual-noskip", seeds=1)
    assert list(effects_table(some).Verdict) == [ONE_SEED, ONE_SEED, SIGNIFICANT, ONE_SEED]
    assert "3 and 1 seeds" in effects_text(some)


def test_the_plot_has_a_line_a_block_through_the_means():
    runs = study(*VARIANTS, "unet-residual-noskip")
    axes, = analysis_figures.interaction(runs).axes
    lines = [line for line in axes.lines if line.get_linestyle() == "-"]
    assert [list(line.get_xdata()) for line in lines] == [[0, 1, 2], [0, 1]]
    assert lines[1].get_ydata()[0] == pytest.approx(np.mean([100 * r.miou for r in runs if r.variant == "unet-residual-noskip"]))
    assert sum(len(line.get_xdata()) for line in axes.lines) - 5 == len(runs)
