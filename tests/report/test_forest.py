"""The forest: places in margins, zones where a statement would hold, and what is written."""

from xml.etree import ElementTree

import numpy as np
import pytest
from test_claims import judge, runs as fake_runs

from report import media
from report.evidence.claims import STUDY, THEORY
from report.evidence.comparison import HIGHER, LOWER, SAME
from report.figures import forest as figures
from report.figures.forest import WIDTH, forest


@pytest.fixture(scope="module")
def verdicts() -> list:
    return judge(fake_runs(3, unet_noskip={"miou": 0.5, "missed": 0.6}))


def test_places_and_zones_are_in_margins():
    assert [figures._place(x, 10) for x in (-10, 0, 5, 10, 99)] == [
        0,
        WIDTH / 2,
        0.75 * WIDTH,
        WIDTH,
        WIDTH,
    ]
    zones = {expect: figures._zone(expect, 10) for expect in (SAME, HIGHER, LOWER)}
    assert zones[SAME] == pytest.approx({"x": 0.45 * WIDTH, "width": 0.1 * WIDTH})
    assert zones[HIGHER] == pytest.approx({"x": 0.55 * WIDTH, "width": 0.45 * WIDTH})
    assert zones[LOWER] == pytest.approx({"x": 0.0, "width": 0.45 * WIDTH})


def test_a_row_a_statement_with_its_verdict_and_numbers(verdicts):
    exhibit = forest(verdicts, STUDY)
    shown = [v for v in verdicts if v.claim.source == STUDY]
    root = ElementTree.fromstring(exhibit.content)
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles and len(titles) == len(shown) and exhibit.label == "fig-ledger"
    for verdict, details in zip(shown, titles):
        assert details.startswith(verdict.primary[0].text)
        assert all(f.text in details for f in verdict.secondary if f.estimate)
        assert (
            f"{verdict.claim.id}. {verdict.claim.statement} {verdict.verdict.capitalize()}."
            in exhibit.alt
        )
    words = " ".join(root.itertext())
    assert (
        words.count("supported") >= 2
        and "effect in margins" in words
        and "3 seeds per network" in exhibit.caption
    )
    effect = shown[2].primary[0].estimate.value
    dot = figures._measurement(shown[2].primary[0], "supported", 12)["dot"]
    assert dot == pytest.approx(figures._place(effect / 0.01, 12))


def test_one_seed_has_dots_and_no_verdict():
    exhibit = forest(judge(fake_runs(1)), STUDY)
    assert (
        "nothing is decided" in exhibit.caption
        and "supported" not in exhibit.content.split("</style>")[1]
    )


def test_what_is_not_measured_is_left_out(verdicts):
    assert forest(judge([]), STUDY) is None
    exhibit = forest(verdicts, THEORY)
    assert "T1" in exhibit.alt and "T2" not in exhibit.alt and "not measured" not in exhibit.content


def test_the_page_takes_it_as_drawings_side_by_side(verdicts):
    svg, paper = media.chart(forest(verdicts, STUDY).content, "fig-a", "words")
    assert (
        not paper and svg.count("<svg") == 2 and svg.startswith('<div id="fig-a-svg" class="cards"')
    )
    assert not np.isnan(figures._reach(verdicts[:3]))


def test_tables_for_other_recipes_drives_and_data(verdicts):
    own = {"CamVid": verdicts}
    assert figures.elsewhere(own, "CamVid") == []
    more = own | {"cross-entropy": verdicts, "without-0001TP": verdicts, "scenes": judge([])}
    recipe, drives = figures.elsewhere(more, "CamVid")
    assert (recipe.label, drives.label) == ("tbl-recipe", "tbl-drives")
    assert list(recipe.content.columns)[2:] == ["with Dice", "Cross-entropy"]
    assert list(drives.content.columns)[2:] == ["CamVid", "0001TP"]
    assert (recipe.content["with Dice"] == recipe.content["Cross-entropy"]).all()
