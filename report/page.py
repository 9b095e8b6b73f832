"""Executed notebooks -> one self-contained HTML page, arranged as an article.

Every cell goes to the chapter of its notebook (`HOMES`) unless a tag names another: `front`, or
`section-` and the name of a row of `CHAPTERS`. nbconvert renders the cells, without their code, by
template/page/chapter.html. Figures and tables carry label, caption and alternative text in the
metadata of their output (`report.figures.show`). The page asks for nothing from anywhere: fonts,
style, script, formulas and pictures are in it. The same inputs give the same bytes.
"""

import re
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase

import nbformat
import yaml
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup as Safe
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from lib import ROOT
from report import media
from report.markup import Markup, MarkupError, notebook_of
from report.references import formatted
from report.template import ENVIRONMENT, MACROS


@dataclass
class Chapter:
    """One chapter of the report, with the cells that belong to it."""

    name: str
    title: str
    order: tuple[str, ...] = ()  # of notebooks; others come after these
    appendix: bool = False
    number: str = ""
    cells: list[NotebookNode] = field(default_factory=list)


NETWORKS = ("1_unet", "2_unet_noskip", "3_unet_residual", "4_unet_gated_attention")
CHAPTERS = (
    ("front", ""),
    ("data", "The data"),
    ("networks", "Four networks", ("5_analysis", *NETWORKS)),
    ("measure", "What is trained, and what is measured"),
    ("results", "Results"),
    ("theory", "Theory"),
    ("open", "What we do not know"),
    ("statements", "The statements in full", (), True),
    ("parts", "Network by network", (), True),
    ("derivations", "More theory", (), True),
    ("cost", "Cost", ("7_cost",), True),
)
HOMES = {"0_data": "data", **dict.fromkeys(NETWORKS, "networks"), "5_analysis": "results",
         "6_theory": "theory", "7_cost": "cost"}  # fmt: skip
# A drawing as `show.svg_image` stores it.
DRAWING = re.compile(r'<img alt="[^"]*" src="data:image/svg\+xml;base64,([^"]*)">')
DRAWINGS = ["image/svg+xml", "image/png", "image/jpeg"]
LONG = 1200  # characters: such a table may break across pages
CONFIG = Config({
    "TemplateExporter": {"exclude_input": True},
    "TagRemovePreprocessor": {
        "remove_cell_tags": {"parameters", "injected-parameters", "remove-cell"},
    },
    "NbConvertBase": {
        "display_data_priority": [*DRAWINGS, "text/html", "text/markdown", "text/plain"]
    },
})


class ChapterExporter(HTMLExporter):
    """Turns cells into HTML, in which `Markup.fill` resolves the links of the whole page."""

    template_name = "base"
    template_file = "page/chapter.html"

    def __init__(self, markup: Markup):
        self.markup = markup
        super().__init__(config=CONFIG, extra_loaders=[ENVIRONMENT.loader])

    def default_filters(self):
        """Yield nbconvert's filters, and those that chapter.html adds."""
        yield from super().default_filters()
        yield from {"figure": self.figure, "table": self.table}.items()

    def export(self, cells: list[NotebookNode]) -> Safe:
        """Return the HTML of cells.

        `HTMLExporter` would parse it once more to give pictures a text; ours have one.
        """
        notebook = nbformat.v4.new_notebook(cells=cells)
        html, _ = super(HTMLExporter, self).from_notebook_node(notebook)
        return Safe(html.rstrip("\n"))

    @pass_context
    def markdown2html(self, context: Context, source: str) -> Safe:
        """Return the HTML of Markdown."""
        cell = context["cell"].metadata
        return self.markup.prose(source, cell.place, cell.down)

    @pass_context
    def figure(self, context: Context, output: NotebookNode) -> str:
        """Return a chart or picture; with its number and caption if it has a label."""
        place, report = context["cell"].metadata.place, report_of(output)
        label, alt = report.get("label", ""), report.get("alt", "").strip()
        identity, below = self._caption(label, report, place, "Figure")
        if not alt:
            reason = "has no alternative text; give it an alt"
            raise MarkupError(f"{place}: {label or 'a figure'} {reason}")
        kind = next(kind for kind in DRAWINGS if kind in output.data)
        if kind == "image/svg+xml":
            drawing, paper = media.chart(output.data[kind], identity, alt)
        else:
            drawing, paper = MACROS.picture(kind, output.data[kind], alt), True
        readings = MACROS.readings(report.get("curves", []))
        live = Safe(report.get("live", ""))  # what stands for the figure where its script runs
        return MACROS.figure(identity, paper, drawing + readings, below, live)

    @pass_context
    def table(self, context: Context, output: NotebookNode) -> str:
        """Return a table, or what moves, which works on a screen alone and has no number."""
        place, report = context["cell"].metadata.place, report_of(output)
        html, label = output.data["text/html"], report.get("label", "")
        if report.get("interactive"):
            identity = self.markup.new_id(label)
            caption = self.markup.inline(report["caption"], place)
            return MACROS.interactive(identity, report["alt"], Safe(html), caption)
        identity, caption = self._caption(label, report, place, "Table")
        content = media.typeset(html)
        if not label:
            return MACROS.plain_table(content)
        return MACROS.table(identity, len(content.striptags()) > LONG, caption, content)

    def _caption(self, label: str, report: dict, place: str, kind: str) -> tuple[str, Safe]:
        """Return the id and the caption of a figure or table; without a label it has no caption."""
        if not label:
            return self.markup.new_id(kind.lower()), Safe()
        identity, name = self.markup.number(label, place)
        if not name.startswith(kind):
            raise MarkupError(f"{place}: {label}: this label names no {kind.lower()}")
        caption = self.markup.inline(report.get("caption", ""), place)
        return identity, MACROS.caption(identity, name, caption)


def report_of(output: NotebookNode) -> dict:
    """Return what `report.figures.show` says of an output."""
    return output.get("metadata", {}).get("report", {})


def read(path: Path) -> list[NotebookNode]:
    """Return the cells of an executed notebook, each with its place."""
    notebook = nbformat.read(path, 4)
    for index, cell in enumerate(notebook.cells, 1):
        cell.metadata.place = f"{path.name}, cell {index}"
        cell.id = f"{index}-{path.stem}"[:64]  # those of two notebooks may be equal
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if "caption_of" not in report_of(each)]
            for output in cell.outputs:
                if match := DRAWING.match(output.get("data", {}).get("text/html", "")):
                    output.data["image/svg+xml"] = b64decode(match[1]).decode()
    return notebook.cells


def arrange(notebooks: dict[str, list[NotebookNode]]) -> list[Chapter]:
    """Return the chapters that have cells, numbered; a notebook beyond ours is one of its own."""
    chapters = {row[0]: Chapter(*row) for row in CHAPTERS}
    for stem, cells in notebooks.items():
        home = HOMES.get(stem, stem)
        if home not in chapters:
            chapters[home] = Chapter(home, _title(cells))
        for cell in cells:
            tags = [tag.removeprefix("section-") for tag in cell.metadata.get("tags", [])]
            name = next((tag for tag in tags if tag in chapters), home)
            # The networks' notebooks are parts of one chapter.
            cell.metadata.down = int(stem in NETWORKS and name == home)
            chapters[name].cells.append(cell)
    return _numbered([chapter for chapter in chapters.values() if chapter.cells])


def _title(cells: list[NotebookNode]) -> str:
    heading = re.search(r"^# (.*)$", cells[0].source if cells else "", re.MULTILINE)
    return heading[1] if heading else "Untitled"


def _numbered(chapters: list[Chapter]) -> list[Chapter]:
    """Return the main part with numbers, then the appendix with letters; exercises end chapters."""
    chapters.sort(key=lambda chapter: chapter.appendix)
    main = [each for each in chapters if not each.appendix and each.title]
    for number, chapter in enumerate(main, 1):
        chapter.number = str(number)
    appendix = [each for each in chapters if each.appendix]
    for letter, chapter in zip(ascii_uppercase, appendix):
        chapter.number = letter
    for chapter in chapters:
        ranks = {f"{stem}.ipynb": rank for rank, stem in enumerate(chapter.order)}
        chapter.cells.sort(key=lambda cell: ranks.get(notebook_of(cell.metadata.place), len(ranks)))
        chapter.cells.sort(key=lambda cell: cell.source.startswith("## Exercises"))
    return chapters


def render(notebooks: list[Path]) -> str:
    """Return the page of the executed notebooks; raise MarkupError for what cannot be rendered."""
    markup = Markup()
    exporter = ChapterExporter(markup)
    chapters = []
    for chapter in arrange({path.stem: read(path) for path in notebooks}):
        head = Safe()
        if chapter.title:
            head = markup.begin(chapter.number, chapter.title, chapter.name)
        chapters.append((chapter, head, exporter.export(chapter.cells)))
    references = formatted(list(markup.cited))
    page = ENVIRONMENT.get_template("page/report.html").render(
        chapters=chapters,
        contents=markup.headings,
        references=[(key, Safe(text), markup.cited[key]) for key, text in references.items()],
        about=yaml.safe_load((ROOT / "CITATION.cff").read_text()),
    )
    return markup.fill(page)
