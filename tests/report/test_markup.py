"""Markdown as notebooks have it: formulas, typography, and nothing that is HTML by itself."""

import pytest
from bs4 import BeautifulSoup

from report.markup import Markup, Place

HERE = Place("test", 1)


@pytest.fixture
def markup():
    return Markup()


def test_prices_are_no_formula(markup):
    text = "Between $5 and $6, and $x$, and \\$7; $y = \\$2$."
    html = markup.fill(markup.inline(text, HERE))
    assert html.startswith("Between $5 and $6, and <span") and html.count("<math") == 2
    assert "and $7;" in html


@pytest.mark.parametrize("block", ["$$\nx\n$$", "\\begin{equation}\nx\n\\end{equation}"])
def test_a_display_formula_ends_the_paragraph_before_it(markup, block):
    html = markup.fill(markup.prose(f"As in\n{block}\nfollows.", HERE))
    soup = BeautifulSoup(html, "html.parser")
    assert [tag.name for tag in soup.find_all(True, recursive=False)] == ["p", "div", "p"]
    assert soup.div["class"] == ["equation"] and soup.div.math
    assert [paragraph.get_text() for paragraph in soup.find_all("p")] == ["As in", "follows."]


def test_html_and_links_to_scripts_stay_harmless(markup):
    html = markup.prose("<b>a</b>\n\n[b](javascript:alert(1)) `<i>` & c", HERE)
    soup = BeautifulSoup(html, "html.parser")
    assert not soup.find_all(["b", "i"]) and "javascript" not in html
    assert soup.get_text() == "<b>a</b>\nb <i> & c\n"


def test_dashes_and_dots_are_set(markup):
    text = "1--2 --- a ... +-3 and `--` or \\-\\- and \\.\\.\\."
    assert markup.inline(text, HERE) == "1–2 — a … ±3 and <code>--</code> or -- and ..."
