"""The page and the PDF, of small notebooks: numbering, references, safety, tables, charts, tags."""

import json
import re

import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_markdown_cell, new_output
from pypdf import PdfReader

from lib import ROOT
from report import media
from report.figures.show import Exhibit, svg_image
from report.markup import Markup, MarkupError
from report.page import render
from report.pdf import _renumbered, find_browser, print_pdf, up_to_date
from tests.pages import SVG, code, figure, page, shown, write

HOLM = "https://www.jstor.org/stable/4615733"


def test_cells_of_a_pdf_s_tables_are_numbered_anew():
    assert _renumbered(b"/ID (node00000570) /Headers [(node00000570) (node00000123)]") == (
        b"/ID (node00000001) /Headers [(node00000001) (node00000000)]"
    )


def test_numbers_and_references(tmp_path):
    html = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"
    soup = BeautifulSoup(
        page(
            tmp_path,
            new_markdown_cell(
                "# First\n\n## Part\n\n"
                "[The second](#fig-two) comes before [the first](#fig-one), [Part](#Part), "
                "[all](5_analysis.ipynb), [the equation](#eq-x), `[no](#fig-one)` "
                f"([Holm, 1979]({HOLM}); "
                "[Long et al., 2015](https://doi.org/10.1109/CVPR.2015.7298965)) "
                f"and [Holm (1979)]({HOLM})."
            ),
            figure("fig-one", "Refers to [a table](#tbl-t) and $x$."),
            figure("fig-two"),
            new_markdown_cell("$$y = x \\label{eq-x}$$"),
            code("", shown({"text/html": html}, label="tbl-t", caption="T.")),
        ),
        "html.parser",
    )
    text = soup.select_one(".chapter > p")
    assert text.get_text().replace("\xa0", " ") == (
        "Figure 2 comes before Figure 1, Section 1.1, all, equation (1), [no](#fig-one) "
        "(Holm, 1979; Long et al., 2015) and Holm (1979)."
    )
    links = [link["href"] for link in soup.select("main a[href^='#']")]
    assert all(soup.find(id=link[1:]) for link in links)
    assert {"#eq-x", "#part", "#results", "#cite-holm1979-2"} <= set(links)
    assert [c.get_text() for c in soup.select("figcaption b")] == [
        "Figure 1.",
        "Figure 2.",
        "Table 1.",
    ]
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    assert [h.get_text() for h in soup.select("h1, h2, h3")][1:] == [
        "1 Results",
        "1.1 Part",
        "References",
    ]
    assert [item.get_text().split(".")[0] for item in soup.select(".references li")] == [
        "Sture Holm",
        "Jonathan Long, Evan Shelhamer, and Trevor Darrell",
    ]


def test_cells_go_to_the_chapter_of_their_notebook_or_to_the_one_that_a_tag_names(tmp_path):
    def cell(text, *tags):
        made = new_markdown_cell(text)
        made.metadata["tags"] = list(tags)
        return made

    paths = [
        write(
            tmp_path / "1_unet.ipynb",
            cell("# U-Net"),
            cell("## Costs", "section-cost"),
            cell("aside", "remove-cell"),
        ),
        write(tmp_path / "2_unet_noskip.ipynb", cell("# No skips\n\n## Part")),
        write(
            tmp_path / "5_analysis.ipynb",
            cell("# All"),
            cell("Found.", "front"),
            cell("First.", "section-networks"),
        ),
        write(tmp_path / "8_mine.ipynb", cell("# Mine\n\nOwn.")),
    ]
    soup = BeautifulSoup(render(paths), "html.parser")
    chapters = {each["id"]: each.get_text(" ", strip=True) for each in soup.select(".chapter")}
    assert chapters == {
        "chapter-front": "Found.",
        "chapter-networks": "1 Four networks First. 1.1 U-Net 1.2 No skips Part",
        "chapter-results": "2 Results",
        "chapter-8_mine": "3 Mine Own.",
        "chapter-cost": "A Cost A.1 Costs",
    }


@pytest.mark.parametrize(
    "cell, words",
    [
        (new_markdown_cell("# A\n\n[a figure](#fig-none)"), ["fig-none", "nowhere"]),
        (new_markdown_cell("# A\n\n[there](#No-such-part)"), ["No-such-part", "nowhere"]),
        (new_markdown_cell("# A\n\n$\\nonsense$"), ["nonsense"]),
        (new_markdown_cell("# A\n\n![x](x.png)"), ["x.png"]),
        (figure("fig-one", alt=""), ["fig-one", "alternative text"]),
        (figure("chart"), ["chart", "fig-NAME"]),
    ],
)
def test_what_cannot_be_rendered_is_named_with_its_place(tmp_path, cell, words):
    with pytest.raises(MarkupError) as error:
        page(tmp_path, new_markdown_cell("# T"), cell)
    assert all(word in str(error.value) for word in [*words, "5_analysis.ipynb, cell 2"])


def test_the_report_tells_who_made_it_and_how_it_is_cited(tmp_path):
    soup = BeautifulSoup(page(tmp_path, new_markdown_cell("# Text")), "html.parser")
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert all(
        str(about[key]) in soup.select_one(".byline").get_text()
        for key in ("date-released", "version", "license")
    )
    assert about["title"] in soup.select_one("#cite").get_text()


def test_nothing_is_asked_from_anywhere_and_every_picture_has_its_text(tmp_path):
    html = page(
        tmp_path, new_markdown_cell("# T\n\n[a link](https://example.org)"), figure("fig-one")
    )
    soup = BeautifulSoup(html, "html.parser")
    assert not re.search(r"url\((?!data:|#)", html) and "@import" not in html
    assert not soup.find_all(["link", "iframe", "object"]) and not soup.select("script[src]")
    assert all(tag["src"].startswith("data:") for tag in soup.find_all(src=True))
    assert all(picture.get("alt") for picture in soup.find_all("img"))
    assert [chart["aria-label"] for chart in soup.select("svg[role=img]")] == ["A chart."]
    assert soup.html["lang"] == "en" and soup.title.string == "Semantic Segmentation using U-Net"


def test_text_from_outside_stays_text(tmp_path):
    """Names of classes and files, in Markdown, captions, printed text and tables of `show`."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    table = Exhibit(pd.DataFrame({"Class": [evil], "IoU": [0.5]}), "tbl-e", evil)
    html = page(
        tmp_path,
        new_markdown_cell(f"# T {evil}\n\n{evil}"),
        figure("fig-e", caption=evil, alt=f'"{evil}'),
        code(
            f'print("{evil}")',
            new_output("stream", name="stdout", text=evil),
            new_output("stream", name="stderr", text="noise"),
            shown(table.data(), label="tbl-e", caption=evil),
        ),
    )
    soup = BeautifulSoup(html, "html.parser")
    assert not soup.find("img") and not [
        s for s in soup.find_all("script") if "alert" in s.get_text()
    ]
    assert not [
        tag for tag in soup.find_all(True) if any(key.startswith("on") for key in tag.attrs)
    ]
    assert soup.select_one("#tbl-e td").get_text() == evil
    assert "noise" not in html and not soup.select("pre")


def test_tables_are_set_with_scopes_and_numbers_at_the_right():
    html = (
        "<style>#T_x {text-align: left}</style>"
        '<table id="T_x"><thead><tr><th>row</th><th>IoU</th><th>class</th></tr></thead>'
        '<tbody><tr><th>a</th><td class="data row0">−1.5</td><td>Car</td></tr>'
        "<tr><th>b</th><td>2.0 to 3.5 points</td><td>Pole</td></tr>"
        "<tr><th>c</th><td>–</td><td>1 × 2</td></tr></tbody></table>"
    )
    soup = BeautifulSoup(media.typeset(html), "html.parser")
    assert {cell["scope"] for cell in soup.select("thead th")} == {"col"} and not soup.style
    assert [cell.get_text() for cell in soup.select(".number")] == [
        "IoU",
        "−1.5",
        "2.0 to 3.5 points",
        "–",
    ]
    assert [cell["scope"] for cell in soup.select("tbody th")] == ["row"] * 3
    assert [cell.get_text() for cell in soup.select(".nowrap")] == ["1 × 2"]


@pytest.mark.parametrize(
    "text, number",
    [
        ("3", True),
        ("1,234", True),
        ("< 0.001", True),
        ("51.4 ± 0.8", True),
        ("20.3\xa0epochs", True),
        ("+32.7\xa0% (19.6 to 50.1)", True),
        ("3 seeds, 233 images", False),
        ("0.565 against 0.450", False),
        ("Car", False),
    ],
)
def test_what_counts_as_a_number(text, number):
    assert bool(media.NUMBER.fullmatch(text)) == number


def test_a_table_of_sentences_can_be_stacked_and_its_verdicts_are_marked():
    long = "The networks were compared on all of the images of the test set."
    html = (
        "<table><thead><tr><th>Claim</th><th>Statement</th><th>Verdict</th></tr></thead><tbody>"
        f"<tr><td>Q1</td><td>{long}</td><td>supported</td></tr>"
        "<tr><td>Q2</td><td>short</td><td>ruled out (3 seeds)</td></tr></tbody></table>"
    )
    soup = BeautifulSoup(media.typeset(html), "html.parser")
    assert soup.table["class"] == ["sentences"]
    assert [cell["data-label"] for cell in soup.select("tbody tr:first-child td")] == [
        "Claim",
        "Statement",
        "Verdict",
    ]
    assert [cell["class"] for cell in soup.select(".verdict")] == [
        ["verdict", "supported"],
        ["verdict", "ruled-out"],
    ]
    effects = html.replace(">supported", ">+1.3 (0.2 to 2.4): supported")
    soup = BeautifulSoup(media.typeset(effects), "html.parser")
    assert soup.table["class"] == ["sentences"] and len(soup.select(".verdict")) == 1
    for other in (
        html.replace(long, "short"),
        html.replace("supported", "yes").replace("ruled out", "no"),
    ):
        plain = BeautifulSoup(media.typeset(other), "html.parser")
        assert not plain.table.get("class") and not plain.select("[data-label]")


def test_an_empty_corner_of_a_table_is_no_header(tmp_path):
    soup = BeautifulSoup(
        page(tmp_path, new_markdown_cell("# T\n\n|  | a |\n|---|---|\n| b | c |")), "html.parser"
    )
    assert [cell.name for cell in soup.select("thead tr > *")] == ["td", "th"]


def test_a_chart_s_values_come_with_it(tmp_path):
    panel = {
        "x": "epoch",
        "title": "loss",
        "width": 504,
        "box": [40, 240, 10, 160],
        "lines": [
            {
                "name": "</script>",
                "color": "#000",
                "at": [["1", "2.0", 50, 20], ["2", "1.0", 230, 150]],
            }
        ],
    }
    soup = BeautifulSoup(
        page(tmp_path, new_markdown_cell("# T"), figure("fig-c", curves=[panel])), "html.parser"
    )
    assert json.loads(soup.select_one("#fig-c .visual > script").string) == [panel]


def test_a_drawing_that_a_notebook_holds_as_an_image_is_inlined(tmp_path):
    """JupyterLab shows no SVG of a notebook that it does not trust, but an image of one."""
    image = shown(
        {"text/html": svg_image(SVG, 'A "chart".')}, label="fig-c", caption="C.", alt='A "chart".'
    )
    soup = BeautifulSoup(page(tmp_path, new_markdown_cell("# T"), code("", image)), "html.parser")
    assert soup.select_one("#fig-c svg")["aria-label"] == 'A "chart".' and not soup.select(
        "img, script[src]"
    )


def test_rows_of_classes_are_marked_for_the_whole_page():
    html, _ = media.chart(SVG.replace('id="patch_1"', 'id="class.Road"'), "fig-x", "A chart.")
    assert BeautifulSoup(html, "html.parser").select_one("[data-class]")["data-class"] == "Road"


def test_charts_follow_the_theme_and_keep_the_colours_of_areas():
    html, paper = media.chart(SVG, "fig-x", "A chart.")
    assert not paper
    assert 'href="#fig-x.a"' in html and 'id="fig-x.a"' in html and 'width="672"' in html
    assert "fill:var(--ink)" in html and "fill:#464646" in html and "stroke:var(--paper)" in html
    assert media.chart(SVG.replace("patch_1", "QuadMesh_1"), "fig-x", "A heat map.")[1]


@pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome")
def test_the_pdf_is_tagged_and_has_outline_title_and_page_numbers(tmp_path):
    html = tmp_path / "report.html"
    html.write_text(
        page(
            tmp_path,
            new_markdown_cell("# First\n\n" + "A paragraph of text.\n\n" * 90 + "## Last part"),
            figure("fig-a"),
        )
    )
    first = print_pdf(html)
    (tmp_path / "a.pdf").write_bytes(first)
    reader = PdfReader(tmp_path / "a.pdf")
    root = reader.trailer["/Root"]
    assert (
        reader.metadata.title == "Semantic Segmentation using U-Net"
        and not reader.metadata.creation_date
    )
    assert root["/Lang"] == "en" and root["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in root
    title, (chapter, (part,)) = reader.outline
    assert [entry.title for entry in (title, chapter, part)] == [
        reader.metadata.title,
        "1 Results",
        "1.1 Last part",
    ]
    last = reader.get_destination_page_number(reader.named_destinations["/last-part"]) + 1
    begin = reader.get_destination_page_number(chapter) + 1
    contents = reader.pages[0].extract_text()  # names chapters alone, the outline their parts too
    assert last > begin > 1 and re.search(rf"1\s+Results\s*{begin}$", contents, re.MULTILINE)
    assert "Last part" not in contents
    assert abs(float(reader.pages[0].mediabox.width) - 595) < 1
    assert print_pdf(html) == first and up_to_date(html, tmp_path / "a.pdf")
    html.write_text(html.read_text().replace("Last part", "Another part"))
    assert not up_to_date(html, tmp_path / "a.pdf") and not up_to_date(html, tmp_path / "none.pdf")


def test_a_stop_stays_on_the_line_of_its_formula():
    markup = Markup()
    html = markup.fill(
        markup.inline("With $a$, $b$ and ($c$). Then $d$ alone.", "test.ipynb, cell 1")
    )
    assert (
        re.findall(r"</math>([,.;:)]+)</span>", html) == [",", ")."]
        and html.count("nowrap") == 2
        and html.count("<math") == 4
    )
