"""The README: short, its results those of the published records, its paths and commands real."""

import re

import pytest

from lib import ROOT
from report.evidence.claims import judge
from report.evidence.ledger import first_edition
from report.evidence.loading import PUBLISHED, load_parts, load_study, load_subsets
from report.readme import README, results, updated

TEXT = README.read_text()
CHANGES = (ROOT / "CHANGELOG.md").read_text()


def test_results_are_those_of_the_published_records():
    assert updated(TEXT, results()) == TEXT, (
        "the results differ from the records: run python -m report.readme"
    )


def test_the_changes_list_the_verdicts_of_the_published_records():
    runs = [*load_study(PUBLISHED), *load_subsets(PUBLISHED)]
    verdicts = judge([*runs, *load_parts(PUBLISHED).get("scenes", [])])
    rows = re.findall(r"^\| (\w+) \| (.*) \| (.*) \| (.*) \|$", CHANGES, re.MULTILINE)
    before = first_edition()
    assert rows == [
        (v.claim.id, v.claim.statement, before[v.claim.id], v.verdict) for v in verdicts
    ]


def test_other_results_would_be_noticed():
    assert updated(TEXT, "another table") != TEXT
    with pytest.raises(ValueError, match="markers around the results are missing"):
        updated("no markers", "table")


def test_is_short_and_its_links_lead_somewhere():
    assert len(TEXT.splitlines()) <= 150
    for target in re.findall(r"""(?:\]\(|src(?:set)?=")(?!http)([^)#"]+)[)"]""", TEXT):
        assert (ROOT / target).exists(), target


def test_names_the_profiles_and_notebooks_there_are():
    profiles = {path.stem for path in (ROOT / "notebooks/profiles").glob("*.yaml")}
    assert set(re.findall(r"^\| `([\w-]+)` \|", TEXT, re.MULTILINE)) == profiles
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert path.stem in TEXT
