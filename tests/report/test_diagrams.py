"""The drawings of the networks: read from the built model, so a changed model is another drawing; complete and well formed."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from torch import nn

from lib.models import NETWORKS, DoubleConv, NoSkip, Variant
from lib.records import load_runs
from report.figures import architecture, diagrams

SIZE = (96, 128)


def labels(steps):
    return [" ".join(step.label) for step in steps]


@pytest.mark.parametrize("variant", NETWORKS)
def test_levels_are_those_of_the_built_network(variant):
    read, entry = architecture.read(variant, 8, 11, SIZE), NETWORKS[variant]
    widths = entry.widths(8)
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
    """A block with a third convolution: nothing but the table of networks has changed."""
    class Other(DoubleConv):
        def __init__(self, in_channels, out_channels):
            super().__init__(in_channels, out_channels)
            self.append(nn.Conv2d(out_channels, out_channels, 5, padding=2))

    monkeypatch.setitem(NETWORKS, "unet", Variant("Other", Other, NoSkip))
    read = architecture.read.__wrapped__("unet", 16, 11, SIZE)  # not the one remembered
    assert read.levels[0].encoder == 16 and read.levels[0].crossing == 0 and "5 × 5 conv 16 → 16" in labels(read.block)


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
