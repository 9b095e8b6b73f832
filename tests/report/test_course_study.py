"""Single studies: what each would report, against all pairs of seeds; and the page's script.

The pairs are counted by hand.
"""

import json
import re

import numpy as np
import pytest
from test_claims import judge, runs as fake_runs

from lib.models import VARIANTS
from report.evidence.comparison import HIGHER, LOWER, SAME, Comparison
from report.evidence.measures import MIOU
from report.figures import course_study


@pytest.fixture(scope="module")
def study() -> tuple[list, list]:
    runs = fake_runs(3, unet_noskip={"miou": 0.5}, unet_residual={"miou": 0.605})
    for run in runs:
        run.miou = float(MIOU.of([run])[0])
    return runs, judge(runs)


def test_what_a_study_reports_is_the_margin_alone():
    effects = np.array([[-0.06, -0.05, 0.0, 0.05, 0.06]])
    for expect, reported in (
        (LOWER, [1, 1, 0, 0, 0]),
        (SAME, [0, 1, 1, 1, 0]),
        (HIGHER, [0, 0, 0, 1, 1]),
    ):
        comparison = Comparison(MIOU, {}, expect, 0.05)
        assert course_study.reports(comparison, effects).astype(int).tolist() == [reported]


def test_effects_are_those_of_the_pairs_of_seeds(study):
    runs, verdicts = study
    data = course_study.studies(runs, verdicts)
    scores = {key: [run.miou for run in runs if run.variant == key] for key in VARIANTS}
    statement = next(each for each in data["statements"] if each["id"] == "Q3")
    assert statement["pair"] == [1, 0] and np.all(statement["reported"])
    for own, row in zip(scores["unet-noskip"], statement["effects"]):
        for other, text in zip(scores["unet"], row):
            assert text == MIOU.unit.signed(own - other)
    assert [network["scores"] for network in data["networks"]] == [
        [round(100 * score, 2) for score in scores[key]] for key in VARIANTS
    ]
    assert all(
        len(row) == len(data["columns"]) - 1
        for network in data["networks"]
        for row in network["rows"]
    )
    loss = next(each for each in data["statements"] if each["id"] == "Q5a")  # a ratio
    assert all(text.endswith("%") for row in loss["effects"] for text in row)


def test_rankings_and_shares(study):
    runs, verdicts = study
    counts = course_study.rankings(runs)
    assert counts.total() == 3**4 and all(set(order) == set(VARIANTS) for order in counts)
    assert {order[-1] for order in counts} == {"unet-noskip"}
    assert f"{len(counts)} different rankings" in course_study.ranking_sentence(runs)
    table = course_study.shares(runs, verdicts).content.set_index("No.")
    assert (
        table.loc["Q3", "Reported by"].split() == ["100", "%", "(9", "of", "9)"]
        and table.loc["Q3", "Full design"] == "supported"
    )
    assert "Q4" not in table.index  # it compares six networks
    one = [run for run in runs if run.seed == 0]
    assert course_study.ranking_sentence(one).startswith(
        "One seed per network makes a single study"
    )


def test_what_is_missing_is_left_out(study):
    runs, verdicts = study
    three = [run for run in runs if run.variant != "unet-residual"]
    assert (
        course_study.studies(three, judge(three)) == {}
        and course_study.play(three, judge(three)) is None
    )
    one = [run for run in runs if run.seed == 0]
    assert course_study.play(one, judge(one)) is None
    assert course_study.shares([], judge([])) is None


def test_the_script_draws_studies(study, visit, tmp_path):
    runs, verdicts = study
    page = tmp_path / "page.html"
    page.write_text(f"<meta charset=utf-8>{course_study.play(runs, verdicts).content}")
    opened = visit(page)
    data = json.loads(opened.locator("script[type='application/json']").text_content())
    assert opened.locator("tbody tr").count() == 4 and opened.locator("li").count() == len(
        data["statements"]
    )
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert opened.locator(".seen").text_content().startswith("2 studies, ")
    for row, network in zip(opened.locator("tbody tr").all(), data["networks"]):
        assert row.locator("td").all_text_contents() in network["rows"]
    order = re.search("best first: (.*)\\.", opened.locator(".ranking").text_content())[1]
    assert set(order.split(", ")) == {network["short"] for network in data["networks"]}
    assert opened.locator("[aria-live]").count() == 1
