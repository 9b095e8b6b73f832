"""A fifth network: nothing breaks, the others look as before, and it has a look of its own."""

import json
import os
import subprocess
import sys

import pytest
import torch
from fifth import KEY, TITLE, DilatedConv

from lib import ROOT
from lib.models import SHORT, TITLES, VARIANTS, DoubleConv, ResidualBlock
from report.evidence import closed_forms as theory
from report.evidence.claims import CLAIMS, STUDY
from report.figures.style import LOOKS, looks

FIVE = [*VARIANTS, KEY]
TITLES_OF_FIVE = [*(TITLES[key] for key in VARIANTS), TITLE]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """What a process with five networks says."""
    folder = tmp_path_factory.mktemp("fifth")
    script = ROOT / "tests/fifth.py"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, script, folder / "out", folder / "found.json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def test_the_others_keep_their_looks_and_the_fifth_has_its_own(found):
    shown, before = found["looks"], {key: [look.color, look.marker] for key, look in LOOKS.items()}
    assert {key: shown[key] for key in before} == before
    assert list(shown)[:5] == FIVE
    color, marker = shown[KEY]
    others = [look for key, look in shown.items() if key != KEY]
    assert color not in [look[0] for look in others] and marker not in [look[1] for look in others]


def test_tables_have_a_row_for_each_in_order(found):
    assert found["order"] == FIVE
    assert set(map(tuple, found["networks"].values())) == {tuple(TITLES_OF_FIVE)}
    names = [*(SHORT[key] for key in VARIANTS), "dilated"]
    assert found["definitions"][1:] == names
    assert found["differences"] == FIVE[1:]
    measured = [
        claim for claim in CLAIMS if claim.source == STUDY and claim.id != "Q4"
    ]  # which takes six networks
    assert found["ledger"] == len(measured)
    assert any(TITLE in text for text in found["text"])
    assert TITLE not in found["design"], "its block is no part of the design of blocks and skips"


def test_charts_have_each_network_s_colour_and_label(found):
    colors = {key: look.color for key, look in LOOKS.items()} | {KEY: found["looks"][KEY][0]}
    short = {**SHORT, KEY: "dilated"}
    by_name = {short[key]: [colors[key]] for key in FIVE}
    by_title = {title: [colors[key]] for key, title in zip(FIVE, TITLES_OF_FIVE)}
    charts = found["charts"]
    assert charts["loss"] == charts["fine"] == by_name
    assert charts["scores"] == by_title
    for key, drawing in zip(FIVE, found["drawings"]):
        assert colors[key] in drawing


def test_theory_measures_a_block_without_a_formula(found):
    summary = found["summary"]
    assert summary["variant"] == FIVE
    plain, dilated = summary["variant"].index("unet"), summary["variant"].index(KEY)
    for column in ("parameters", "multiply_adds", "saved"):
        assert summary[column][dilated] == summary[column][plain]
    assert found["paths"] == theory.shortest_paths("unet")
    # A block looks 4 pixels beyond its own where the U-Net's looks 2, with fields of 9 * 2**l - 4.
    assert found["field"] == [17 * 2**level - 8 for level in range(5)]
    assert found["levels"][:5] == ["encoder 0", "encoder 1", "encoder 2", "encoder 3", "bottleneck"]


@pytest.mark.parametrize("block", [DoubleConv, ResidualBlock])
def test_how_far_a_block_looks(block):
    assert theory.reach(block) == 2


def test_a_dilated_block_looks_further():
    assert theory.reach(DilatedConv) == 4
    image = torch.rand(1, 2, 16, 16)
    assert DilatedConv(2, 3)(image).shape == (1, 3, 16, 16)


def test_there_is_a_look_for_many_more_networks():
    keys = [*TITLES, *(f"unet-new-{number}" for number in range(12))]
    table = looks(keys)
    assert {key: table[key] for key in TITLES} == LOOKS
    drawn = [
        (look.color, look.marker, look.line)
        for key, look in table.items()
        if not key.startswith("unet-skips")
    ]
    assert len(set(drawn)) == len(drawn)
