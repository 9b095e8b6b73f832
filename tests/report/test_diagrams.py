"""The drawings of the networks: read from the built model, so a changed one is another drawing."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from torch import nn

from lib.models import NETWORKS, TITLES, VARIANTS, DoubleConv, NoSkip, Variant
from lib.records import load_runs
from report import media
from report.figures import diagrams
from report.figures.style import LOOKS

SIZE = (96, 128)


@pytest.mark.parametrize("variant", NETWORKS)
def test_levels_are_those_of_the_built_network(variant):
    levels, entry = diagrams.read_levels(variant, 8, 11, SIZE), NETWORKS[variant]
    widths = entry.widths(8)
    assert [level.channels for level in levels] == widths
    assert [level.size for level in levels] == [(96 >> level, 128 >> level) for level in range(5)]
    *upper, bottom = levels
    crossing = [0 if skip is NoSkip else width for skip, width in zip(entry.skips(), widths)]
    assert [level.crossing for level in upper] == crossing
    assert {level.gated for level in upper} == {"gated" in variant} and not bottom.gated
    assert {level.shortcut for level in levels} == {"residual" in variant} and bottom.crossing == 0


def test_another_model_is_another_drawing(monkeypatch):
    """No skips: nothing but the table of networks has changed."""

    class Other(DoubleConv):
        def __init__(self, in_channels, out_channels):
            super().__init__(in_channels, out_channels)
            self.append(nn.Conv2d(out_channels, out_channels, 5, padding=2))

    monkeypatch.setitem(NETWORKS, "unet", Variant("Other", Other, NoSkip))
    levels = diagrams.read_levels("unet", 16, 11, SIZE)
    assert levels[0].channels == 16 and levels[0].crossing == 0
    assert diagrams.difference(levels) == "no skips"


def test_what_sets_a_network_apart_is_said():
    said = {key: diagrams.difference(diagrams.read_levels(key, 8, 11, SIZE)) for key in NETWORKS}
    assert said["unet"] == "a skip at every level" and said["unet-noskip"] == "no skips"
    assert said["unet-residual"] == "a shortcut around every block"
    assert said["unet-gated-attention"] == "a gate on every skip, fed by the coarser level"
    assert said["unet-skips-0111"] == "some skips missing"


@pytest.fixture(scope="module")
def runs(trained):
    return load_runs(trained)


def test_a_network_is_drawn_with_its_numbers_and_what_differs_in_colour(runs):
    drawn = {}
    for key in VARIANTS:
        run = replace(runs[0], record=runs[0].record | {"variant": key})
        drawn[key] = diagrams.network(run).content
        assert LOOKS[key].color in drawn[key]
    root = ElementTree.fromstring(drawn["unet-noskip"])
    words = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == [TITLES["unet-noskip"], "4", "8", "16", "32", "64"]
    own = {key: svg.count('class="own"') for key, svg in drawn.items()}
    assert own == {"unet": 4, "unet-noskip": 0, "unet-residual": 9, "unet-gated-attention": 4}
    assert drawn["unet-noskip"].count('class="own none"') == 4
    assert drawn["unet-gated-attention"].count("×</text>") == 4


def test_the_four_stand_side_by_side_and_below_each_other_on_a_phone(runs):
    exhibit = diagrams.four(runs)
    root = ElementTree.fromstring(exhibit.content)
    drawings = [child for child in root if child.get("role") == "img"]
    assert [each.get("aria-label").split(":")[0] for each in drawings] == [
        TITLES[key] for key in VARIANTS
    ]
    assert all(TITLES[key] in exhibit.caption for key in VARIANTS)
    html, paper = media.chart(exhibit.content, "fig-networks", "Networks.")
    group = BeautifulSoup(html, "html.parser").select_one("div.cards")
    assert not paper and group["aria-label"] == "Networks."
    assert len(group.find_all("svg", recursive=False)) == 4
    assert group.style.string.startswith("#fig-networks-svg{")
