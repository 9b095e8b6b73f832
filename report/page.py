"""Executed notebooks and run records -> one self-contained HTML page.

nbconvert turns every notebook into a chapter, by template/chapter.html. Figures and tables carry
label, caption and alternative text in their output's metadata (`report.figures.style`); an output
whose metadata says `"place": "front"` or `"abstract"` goes to the first page. The page asks for
nothing from anywhere: fonts, style, script, formulas and pictures are in it. The same inputs give
the same bytes.
"""

import base64
import json
import re
from pathlib import Path

import nbformat
from jinja2 import Environment, pass_context
from jinja2.runtime import Context
from markupsafe import Markup as Safe
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from lib import ROOT
from report import media
from report.evidence.findings import title
from report.markup import Markup
from report.references import Bibliography, MarkupError, Place
from report.templates import ENVIRONMENT, MACROS, RULES

FRONT = ("abstract", "front")  # places on the first page
DRAWINGS = ["image/svg+xml", "image/webp", "image/avif", "image/jpeg", "image/png"]
LONG = 2000  # characters: such a table may break across pages
FONTS = {  # family, weight, style, unicode-range of each file
    "source-serif-4-latin-400-normal": ("Source Serif", 400, "normal", None),
    "source-serif-4-latin-400-italic": ("Source Serif", 400, "italic", None),
    "source-serif-4-latin-600-normal": ("Source Serif", 600, "normal", None),
    "source-serif-4-greek-400-normal": ("Source Serif", 400, "normal", "U+370-3FF"),
    "source-serif-4-greek-600-normal": ("Source Serif", 600, "normal", "U+370-3FF"),
    "inter-latin-400-normal": ("Inter", 400, "normal", None),
    "inter-latin-400-italic": ("Inter", 400, "italic", None),
    "inter-latin-600-normal": ("Inter", 600, "normal", None),
    "inter-greek-400-normal": ("Inter", 400, "normal", "U+370-3FF"),
    "inter-greek-600-normal": ("Inter", 600, "normal", "U+370-3FF"),
    "jetbrains-mono-latin-400-normal": ("JetBrains Mono", 400, "normal", None),
    "latinmodern-math": ("Latin Modern Math", 400, "normal", None),
}
CONFIG = Config({
    "TagRemovePreprocessor": {
        "remove_cell_tags": {"parameters", "injected-parameters", "remove-cell"},
        "remove_input_tags": {"hide-input"},
    },
    "NbConvertBase": {
        "display_data_priority": [*DRAWINGS, "text/html", "text/markdown", "text/plain"]
    },
    "Highlight2HTML": {"extra_formatter_options": {"nowrap": True}},
})


class ChapterExporter(HTMLExporter):
    """Turns notebooks into HTML with marks, which `Markup.fill` replaces in the whole page."""

    template_name = "base"
    template_file = "chapter.html"

    def __init__(self, markup: Markup):
        self.markup = markup
        super().__init__(config=CONFIG, extra_loaders=[ENVIRONMENT.loader])

    def _create_environment(self) -> Environment:
        """Return nbconvert's environment, which would escape nothing, with the rules of ours."""
        environment = super()._create_environment()
        for rule, value in RULES.items():
            setattr(environment, rule, value)
        return environment

    def default_filters(self):
        """Yield nbconvert's filters, and those that chapter.html adds."""
        yield from super().default_filters()
        yield from {"figure": self.figure, "table": self.table, "printed": printed}.items()

    def export(self, notebook: NotebookNode) -> Safe:
        """Return the HTML of a notebook.

        `HTMLExporter` would parse it once more to give pictures a text; ours have one.
        """
        html, _ = super(HTMLExporter, self).from_notebook_node(notebook)
        return Safe(html.rstrip("\n"))

    @pass_context
    def markdown2html(self, context: Context, source: str) -> Safe:
        """Return the HTML of Markdown; headings on the first page have no number."""
        place = context["cell"].metadata.place
        return self.markup.prose(source, place, not context["nb"].metadata.get("front"))

    @pass_context
    def figure(self, context: Context, output: NotebookNode) -> str:
        """Return a chart or picture; with its number and caption if it has a label."""
        place, report = context["cell"].metadata.place, report_of(output)
        label, alt = report.get("label"), report.get("alt", "").strip()
        if label:
            identity, name = self.markup.anchors.number(label, place)
            if not name.startswith("Figure"):
                raise MarkupError(
                    f"{place}: {label}: a table needs text/html, got {', '.join(output.data)}"
                )
            caption = self.markup.inline(report.get("caption", ""), place)
            below = MACROS.caption(identity, name, caption)
        else:
            identity, below = self.markup.anchors.new_id("fig"), ""
        if not alt:
            raise MarkupError(
                f"{place}: {label or 'a figure'} has no alternative text; give it an alt"
            )
        kind = next(kind for kind in DRAWINGS if kind in output.data)
        if kind == "image/svg+xml":
            drawing, paper = media.chart(output.data[kind], identity, alt)
        else:
            drawing, paper = media.picture(output.data[kind], kind, alt), True
        if report.get("curves"):
            below = media.probes(report["curves"]) + below
        shown_id = identity if label else ""
        return MACROS.figure(shown_id, paper or report.get("paper"), drawing, below)

    @pass_context
    def table(self, context: Context, output: NotebookNode) -> str:
        """Return a table; with its number and caption if it has a label.

        What works on a screen alone has a caption and no number.
        """
        place, report = context["cell"].metadata.place, report_of(output)
        html = output.data["text/html"]
        if report.get("interactive"):
            identity = self.markup.anchors.new_id(report["label"])
            caption = self.markup.inline(report["caption"], place)
            return MACROS.interactive(identity, report["alt"], Safe(html), caption)

        def inline(text: str) -> Safe:
            return self.markup.inline(text, place)

        if "label" not in report:
            return MACROS.plain_table(media.table(html, self.markup.anchors.new_id("tbl"), inline))
        identity, name = self.markup.anchors.number(report["label"], place)
        if name.startswith("Figure"):
            raise MarkupError(
                f"{place}: {report['label']}: expected an SVG or a picture, "
                f"got {', '.join(output.data)}"
            )
        caption = MACROS.caption(identity, name, inline(report.get("caption", "")))
        content = media.table(html, identity, inline)
        text = re.sub("<[^>]*>", "", content)
        return MACROS.table(identity, len(text) > LONG, caption, content)


def report_of(output: NotebookNode) -> dict:
    """Return what `report.figures.style` says of an output."""
    return output.get("metadata", {}).get("report", {})


def printed(outputs: list[NotebookNode]) -> str:
    """Return what a cell prints to stdout or shows as plain text alone, without colours."""
    texts = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif set(output.get("data", {})) == {"text/plain"}:
            texts.append(output.data["text/plain"])
    return re.sub(r"\x1b\[[\d;]*m", "", "".join(texts)).strip("\n")


def read(path: Path) -> NotebookNode:
    """Return an executed notebook without characters that are marks of ours."""
    notebook = nbformat.reads(re.sub("[\ue000\ue001]", "", path.read_text()), 4)
    for index, cell in enumerate(notebook.cells, 1):
        cell.metadata.place = Place(path.stem, index)
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if "caption_of" not in report_of(each)]
    return notebook


def take_out(notebook: NotebookNode, place: str) -> NotebookNode:
    """Move the outputs for a place on the first page into a notebook of their own."""
    front = NotebookNode(notebook | {"cells": [], "metadata": {"front": True}})
    for cell in notebook.cells:
        chosen = [each for each in cell.get("outputs", []) if report_of(each).get("place") == place]
        if chosen:
            cell.outputs = [each for each in cell.outputs if each not in chosen]
            front.cells.append(NotebookNode(cell | {"source": "", "outputs": chosen}))
    return front


def provenance(out: Path, profile: str) -> list[tuple[str, str]]:
    """Return what the report is made from, as pairs of name and value; what differs is listed."""
    paths = sorted(out.glob("runs/*/seed-*/record.json"))
    records = [json.loads(path.read_text()) for path in paths]

    def values(*keys: str) -> list:
        found = []
        for value in records:
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None and value not in found:
                found.append(value)
        return found

    counts = values("dataset", "counts")
    sizes = values("config", "image_size")
    seeds = sorted(values("seed"))
    pairs = {
        "Data set": [title(name) for name in values("dataset", "name")],
        "Train / validation / test": [
            f"{each.get('train')} / {each.get('val')} / {each.get('test')}" for each in counts
        ],
        "Image size": [" × ".join(map(str, size)) if size else "own" for size in sizes],
        "Base channels": values("config", "base_channels"),
        "Epochs": values("config", "epochs"),
        "Seeds": [f"{len(seeds)} ({', '.join(map(str, seeds))})"] if seeds else [],
        "Device": values("device"),
        "Profile": [profile],
    }
    return [(name, ", ".join(map(str, each))) for name, each in pairs.items() if each]


def render(notebooks: list[Path], out: Path, profile: str) -> str:
    """Return the page of the executed notebooks, in the order of the chapters.

    Raise MarkupError for what cannot be rendered.
    """
    markup = Markup(Bibliography(ROOT / "report" / "references.bib"))
    exporter = ChapterExporter(markup)
    chapters = {path.stem: read(path) for path in notebooks}
    front = {}
    for place in FRONT:
        parts = [exporter.export(take_out(notebook, place)) for notebook in chapters.values()]
        front[place] = Safe("\n").join(part for part in parts if part)
    bodies = {name: exporter.export(notebook) for name, notebook in chapters.items()}
    page = ENVIRONMENT.get_template("report.html").render(
        front=front,
        chapters=bodies,
        contents=markup.headings,
        references=markup.bibliography.references(),
        provenance=provenance(out, profile),
        fonts=embedded_fonts(ROOT / "report" / "fonts"),
    )
    return markup.fill(page)


def embedded_fonts(folder: Path) -> Safe:
    """Return the CSS of the fonts, which are in it."""
    rules = []
    for file, font in FONTS.items():
        data = base64.b64encode((folder / f"{file}.woff2").read_bytes()).decode()
        rules.append(MACROS.font(*font, data))
    return Safe("\n").join(rules)
