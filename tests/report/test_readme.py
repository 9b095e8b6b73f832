"""The README: short, its results those of the published records, its paths and commands real."""

import re

import pytest

from lib import ROOT
from report.readme import README, results, updated

TEXT = README.read_text()


def test_results_are_those_of_the_published_records():
    assert updated(TEXT, results()) == TEXT, (
        "the results differ from the records: run python -m report.readme"
    )


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
