"""Links in the notebooks: JupyterLab shows them as they are.

The page makes references and citations of them.
"""

import re

import nbformat
import pytest

from lib import ROOT
from report.references import formatted, reference_list, works

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEXTS = {
    path: [
        cell
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "markdown" and cell.id != "references"
    ]
    for path in SOURCES
}
LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_text_of_a_link_reads_well_by_itself(path):
    for text, target in LINK.findall("\n".join(cell.source for cell in TEXTS[path])):
        assert text and not re.match(r"(Figure|Table) ?\d*$|@", text), "the page puts the number in"
        if target.startswith("https:"):
            assert text.endswith(re.search(r"\d{4}", works()[target])[0])


def test_works_are_listed_in_the_order_of_authors_and_years():
    lines = formatted(["long2015fcn", "holm1979"])
    assert list(lines) == ["holm1979", "long2015fcn"]
    assert lines["holm1979"].startswith("Sture Holm") and "doi.org/10.1109" in lines["long2015fcn"]
    assert works()["https://arxiv.org/abs/1804.03999"] == "oktay2018attention"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_ends_with_the_works_that_it_cites(path):
    *cells, last = nbformat.read(path, 4).cells
    listed = reference_list("\n".join(cell.source for cell in cells))
    if listed:
        assert last.source == listed, "run `python -m report.references`"
        assert "remove-cell" in last.metadata.tags, "the page has one list of its own"
    cited = {works()[link] for link in works() if f"({link})" in str(cells)}
    assert len(re.findall("^- ", listed, re.MULTILINE)) == len(cited)


def test_links_between_notebooks_lead_to_headings_that_the_page_has():
    targets, links = set(), []
    for path, cells in TEXTS.items():
        for cell in cells:
            if "remove-cell" in cell.metadata.get("tags", []):
                continue
            titles = re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE)
            targets |= {path.name, *(f"{path.name}#{title.replace(' ', '-')}" for title in titles)}
            links += re.findall(r"\]\(([\w.]+\.ipynb(?:#[^)]*)?)\)", cell.source)
    assert links and set(links) <= targets
