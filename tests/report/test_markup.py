"""Markdown as notebooks have it: formulas, typography, and nothing that is HTML by itself."""

import pytest
from bs4 import BeautifulSoup

from report import media
from report.markup import Markup

HERE = "test.ipynb, cell 1"


@pytest.fixture
def markup():
    return Markup()


def test_an_escaped_dollar_is_no_formula(markup):
    html = markup.inline("$x$, and \$7; $y = \$2$.", HERE)
    assert html.count("<math") == 2 and "and $7;" in html


@pytest.mark.parametrize("block", ["$$\nx\n$$", "\\begin{equation}\nx\n\\end{equation}"])
def test_a_display_formula_between_empty_lines_is_no_paragraph(markup, block):
    html = markup.fill(markup.prose(f"As in\n\n{block}\n\nfollows.", HERE))
    soup = BeautifulSoup(html, "html.parser")
    assert [tag.name for tag in soup.find_all(True, recursive=False)] == ["p", "div", "p"]
    assert soup.div["class"] == ["equation"] and soup.div.math
    assert [paragraph.get_text() for paragraph in soup.find_all("p")] == ["As in", "follows."]


def test_html_and_links_to_scripts_stay_harmless(markup):
    html = markup.prose("<b>a</b>\n\n[b](javascript:alert(1)) `<i>` & c", HERE)
    soup = BeautifulSoup(html, "html.parser")
    assert not soup.find_all(["b", "i"]) and "javascript" not in html
    assert soup.get_text() == "<b>a</b>\nb <i> & c\n"


def test_a_size_and_the_networks_name_stay_on_one_line(markup):
    html = markup.inline("A U-Net of 3 × 3 convolutions, a × b", HERE)
    assert "3\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}3" in html and "a × b" in html
    assert ">U-Net<" in html


def test_quotation_marks_and_apostrophes_are_those_of_print(markup):
    html = markup.inline('The gate\'s rule ("cracks"), either "a" or "b", but `it\'s "code"`', HERE)
    text = BeautifulSoup(html, "html.parser").get_text()
    assert text == 'The gate’s rule (“cracks”), either “a” or “b”, but it\'s "code"'
    table = '<table><tr><td>A class\'s "share"</td></tr></table>'
    assert "A class’s “share”" in media.typeset(table)
    style = "<defs><style>text{font-family:'Inter'}</style></defs>"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{style}<text>U-Net\'s</text></svg>'
    chart, _ = media.chart(svg, "fig-x", "A chart.")
    assert "'Inter'" in chart and ">U-Net’s<" in chart
