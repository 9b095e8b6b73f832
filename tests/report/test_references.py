"""Links in the notebooks: JupyterLab shows them as they are, so their texts are kept right."""

import re

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from lib import ROOT
from report import references
from report.references import MarkupError, linked, renew

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_links_of_the_notebooks_have_their_present_text(path):
    assert renew(path) == path.read_text(), "run python -m report.references"


def test_short_forms_become_links_and_links_get_their_present_text(monkeypatch):
    monkeypatch.setattr(references, "numbers", lambda: {"fig-loss": "Figure 7", "eq-x": "equation (2)"})
    assert linked("@fig-loss, @tbl-new and `@fig-loss`, a@fig-b") == (
        "[Figure 7](#fig-loss), [Table](#tbl-new) and `@fig-loss`, a@fig-b")
    assert linked("[Figure 3](#fig-loss) [x](#eq-x)") == "[Figure 7](#fig-loss) [equation (2)](#eq-x)"
    assert linked("U-Net [@ronneberger2015unet; @holm1979]") == (
        "U-Net ([Ronneberger et al., 2015](#ref-ronneberger2015unet); [Holm, 1979](#ref-holm1979))")
    assert linked("[Anybody (1900)](#ref-alain2017probes)") == (
        "[Alain and Bengio (2017)](#ref-alain2017probes)")
    assert linked("@sec-theory") == "[Theory](6_theory.ipynb)"
    for wrong in ("[@nobody2020]", "@sec-nothing"):
        with pytest.raises(MarkupError, match=wrong.strip("[]")):
            linked(wrong)


def test_what_a_notebook_cites_is_listed_once_at_its_end(tmp_path):
    path = tmp_path / "a.ipynb"
    cells = [new_markdown_cell("# A\n\n[@holm1979] and [@alain2017probes] and [@holm1979]", id="a")]
    nbformat.write(new_notebook(cells=cells), path)
    for _ in range(2):  # again, it changes nothing
        path.write_text(renew(path))
        *_, last = nbformat.read(path, 4).cells
        assert last.metadata.tags == ["references"] and last.source.startswith("## References\n")
        assert [last.source.count(f'<a id="ref-{key}"></a>') for key in ("alain2017probes", "holm1979")] == [1, 1]
        assert last.source.index("Alain") < last.source.index("Holm")
    assert len(nbformat.read(path, 4).cells) == 2


def test_links_between_notebooks_lead_to_headings_that_the_page_has():
    targets, links = set(), []
    for path in SOURCES:
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" or "remove-cell" in cell.metadata.get("tags", []):
                continue
            titles = re.findall(r"^#+ (.*)$", cell.source, re.MULTILINE)
            targets |= {path.name, *(f"{path.name}#{references.slug(title)}" for title in titles)}
            links += re.findall(r"\]\(([\w.]+\.ipynb(?:#[^)]*)?)\)", cell.source)
    assert links and set(links) <= targets
