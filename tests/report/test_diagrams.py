"""The drawings of the networks: read from the built model, so a changed model is another drawing; complete and well formed."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup
from torch import nn

from lib.models import NETWORKS, TITLES, VARIANTS, DoubleConv, NoSkip, Variant
from lib.records import load_runs
from report import media
from report.evidence import front
from report.evidence.claims import judge
from report.evidence.wording import percent
from report.figures import architecture, diagrams, summary

SIZE = (96, 128)


def labels(steps):
    return [" ".join(step.label) for step in steps]


@pytest.mark.parametrize("variant", NETWORKS)
def test_levels_are_those_of_the_built_network(variant):
    read, entry = architecture.read(variant, 8, 11, SIZE), NETWORKS[variant]
    widths = [entry.channels(8) * 2**level for level in range(5)]
    assert [level.encoder for level in read.levels] == widths and read.num_classes == 11
    assert [level.size for level in read.levels] == [(96 >> level, 128 >> level) for level in range(5)]
    *upper, bottom = read.levels
    crossing = [0 if skip is NoSkip else width for skip, width in zip(entry.skips(), widths)]
    assert [level.crossing for level in upper] == crossing and [level.up for level in upper] == widths[:4]
    assert {level.gated for level in upper} == {"gated" in variant} and not bottom.gated
    shortcuts = {(level.encoder_shortcut, level.decoder_shortcut) for level in upper}
    assert shortcuts == {("residual" in variant,) * 2} and bottom.decoder == 0


def test_steps_are_those_of_the_forward_pass():
    gated = architecture.read("unet-gated-attention", 16, 11, SIZE)
    assert labels(gated.skip) == [
        "features 16 channels", "gating 32 channels", "2 × 2 conv stride 2 16 → 16", "1 × 1 conv 32 → 16", "+", "ReLU",
        "1 × 1 conv 16 → 1", "σ", "upsample × 2", "×", "output"]
    assert gated.skip[4].inputs == (2, 3) and gated.skip[9].inputs == (0, 8)
    residual = architecture.read("unet-residual", 16, 11, SIZE)
    assert labels(residual.block)[5:9] == ["normalise", "1 × 1 conv 32 → 16", "+", "ReLU"]
    assert residual.block[6].inputs == (0,) and residual.block[7].inputs == (5, 6)


def test_another_model_is_another_drawing(monkeypatch):
    """A block with a third convolution and half the width: nothing but the table of networks has changed."""
    class Other(DoubleConv):
        def __init__(self, in_channels, out_channels):
            super().__init__(in_channels, out_channels)
            self.append(nn.Conv2d(out_channels, out_channels, 5, padding=2))

    monkeypatch.setitem(NETWORKS, "unet", Variant("Other", Other, NoSkip, 0.5))
    read = architecture.read.__wrapped__("unet", 16, 11, SIZE)  # not the one remembered
    assert read.levels[0].encoder == 8 and read.levels[0].crossing == 0 and "5 × 5 conv 8 → 8" in labels(read.block)


def test_steps_stand_in_order_and_beside_each_other():
    steps = architecture.read("unet-gated-attention", 16, 11, SIZE).skip
    columns, lanes = architecture.places(steps)
    assert all(columns[source] < columns[index] for index, step in enumerate(steps) for source in step.inputs)
    assert len(set(zip(columns, lanes))) == len(steps)
    assert (lanes[0], lanes[9], lanes[2], lanes[1]) == (0, 0, 1, 2)


@pytest.fixture(scope="module")
def runs(trained):
    return load_runs(trained)


def test_a_network_is_drawn_with_its_numbers_and_what_differs_in_colour(runs):
    drawn = {run.variant: diagrams.network(run).content for run in runs}
    root = ElementTree.fromstring(drawn["unet-noskip"])
    words = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"0 + 4 → 4", "0 + 32 → 32", "64 channels, 2 × 3", "image, 3", "logits, 13"} <= set(words)
    assert drawn["unet"].count('class="stroke"') == 4 and drawn["unet-noskip"].count('class="stroke none"') == 4
    assert "step by step" in drawn["unet"] and "step by step" not in drawn["unet-noskip"]
    assert "skips that are missing" in diagrams.network(runs[-1]).caption
    as_residual = replace(runs[0], record=runs[0].record | {"variant": "unet-residual"})
    assert diagrams.network(as_residual).content.count("q0-") == 9  # a shortcut over every block
    assert "shortcuts" in diagrams.network(as_residual).alt


def test_the_summary_holds_the_scores_and_the_cost(runs):
    drawn = summary.cards(runs).content
    cards = [child for child in ElementTree.fromstring(drawn) if child.get("role") == "img"]
    assert [card.get("aria-label").split(":")[0] for card in cards] == ["U-Net", TITLES["unet-noskip"]]
    for card, run in zip(cards, runs):
        words = card.get("aria-label")
        assert f"{100 * run.miou:.1f} %" in words and f"{run.record['parameters'] / 1e6:.2f} million" in words
        assert "one seed" in words and len(card.findall(".//{*}circle")) == 1
    low, high = summary.score_range(runs)
    assert low < min(100 * run.miou for run in runs) and max(100 * run.miou for run in runs) < high
    assert summary.cards(runs).content == drawn
    assert "--lift:35%" in summary.cards(runs, "dark").content != drawn


def test_a_network_beyond_the_four_has_a_card_without_a_drawing(runs):
    more = [*runs, replace(runs[0], record=runs[0].record | {"variant": "unet-noskip-wide"})]
    *drawn, control = [child for child in ElementTree.fromstring(summary.cards(more).content) if child.get("role") == "img"]
    assert control.get("aria-label").startswith(TITLES["unet-noskip-wide"]) and len(control.findall(".//{*}circle")) == 1
    assert float(control.get("height")) < min(float(card.get("height")) for card in drawn) <= float(control.get("y"))
    assert "beyond the four" in summary.cards(more).caption
    assert "beyond the four" not in summary.cards(runs).caption


def test_cards_become_drawings_of_their_own_on_the_page(runs):
    html, paper = media.chart(summary.cards(runs).content, "fig-summary", "Networks.")
    group = BeautifulSoup(html, "html.parser").select_one("div.cards")
    assert not paper and group["aria-label"] == "Networks." and len(group.find_all("svg", recursive=False)) == 2
    assert group.style.string.startswith("#fig-summary-svg{")


def test_one_seed_is_said_to_decide_nothing(runs):
    assert "no difference between networks is called significant" in front.certainty(runs)
    found = front.found(runs, judge(runs))
    assert "cannot be told from it" in found and all(percent(run.miou) in found for run in runs)
    assert re.search(r"Of \d+ statements", found) and "dot for each seed" in summary.cards(runs).caption


def test_several_seeds_tell_networks_apart(runs):
    """Three seeds of each; the images of the one are labelled right, those of the other wrong."""
    def like(variant, seed, right):
        run = replace(runs[0], record=runs[0].record | {"variant": variant, "seed": seed})
        counts = np.zeros_like(run.per_image)
        counts[:, range(13), range(13)], counts[:, range(13), np.roll(range(13), 1)] = 90 + seed if right else 9, 9
        run.__dict__["_confusions"] = {"per_image": counts, "names": np.array(run.image_names)}
        run.record["test_confusion"] = counts.sum(0).tolist()
        return run

    study = [like(variant, seed, variant == "unet") for variant in list(VARIANTS)[:2] for seed in range(3)]
    assert re.search(r"points lower than that \(95\s% interval −5", front.found(study, judge(study)))
    assert "3 seeds a network and 9 test images" in front.certainty(study)
