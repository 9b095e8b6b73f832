"""Executed notebooks and run records -> one self-contained HTML page.

Every notebook is a chapter. Figures and tables carry label, caption and alternative text in their output's metadata
(`report.figures.style`); an output whose metadata says `"place": "front"` or `"abstract"` goes to the first page. The page asks
for nothing from anywhere: fonts, style, script, maths and pictures are in it. The same inputs give the same bytes.
"""

import base64
import json
import re
from dataclasses import asdict
from html import escape
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup as Safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from lib import ROOT
from report import media
from report.evidence.findings import title
from report.markup import Bibliography, Markup, MarkupError, Place

FRONT = ("abstract", "front")  # places on the first page
HIDDEN = {"parameters", "injected-parameters", "remove-cell"}
IMAGES = ("image/webp", "image/avif", "image/jpeg", "image/png")
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


class Chapter:
    """One executed notebook and its way to HTML."""

    def __init__(self, path: Path, markup: Markup):
        text = re.sub("[\ue000\ue001]", "", path.read_text())
        self.name, self.markup, self.cells = path.stem, markup, nbformat.reads(text, 4).cells

    def front(self, place: str) -> str:
        """The outputs that belong to a place on the first page, taken out of their cells."""
        parts = []
        for index, cell in enumerate(self.cells, 1):
            chosen = [o for o in cell.get("outputs", []) if _report(o).get("place") == place]
            if chosen:
                cell.outputs = [output for output in cell.outputs if output not in chosen]
                parts += [self._output(output, Place(self.name, index), numbered=False) for output in chosen]
        return "\n".join(parts)

    def html(self) -> str:
        return "\n".join(part for index, cell in enumerate(self.cells, 1)
                         if (part := self._cell(cell, Place(self.name, index))))

    def _cell(self, cell: dict, place: Place) -> str:
        tags = set(cell.metadata.get("tags", []))
        if tags & HIDDEN:
            return ""
        if cell.cell_type != "code":
            return self.markup.prose(cell.source, place) if cell.cell_type == "markdown" else ""
        shown, printed = [], []
        for output in cell.outputs:
            if output.output_type == "stream":
                printed += [output.text] if output.name == "stdout" else []
            elif output.output_type != "error":
                rich = set(output.data) - {"text/plain"}
                (shown if rich else printed).append(self._output(output, place) if rich else output.data["text/plain"])
        text = re.sub(r"\x1b\[[\d;]*m", "", "".join(printed)).strip("\n")
        code = _code(cell.source, text) if "hide-input" not in tags else _printed(text)
        return "\n".join([*filter(None, shown), code])

    def _output(self, output: dict, place: Place, numbered: bool = True) -> str:
        """The richest form of one output."""
        report, data = _report(output), output.data
        if "caption_of" in report:
            return ""
        if "label" in report:
            return self._figure(data, report, place)
        if "image/svg+xml" in data or any(kind in data for kind in IMAGES):
            body, kind = self._visual(data, report, self.markup.anchors.new_id("fig"), place)
            return f'<figure class="fig{kind}">{body}</figure>'
        if "text/html" in data:
            table = media.table(data["text/html"], self.markup.anchors.new_id("tbl"), lambda t: self._inline(t, place))
            return f'<div class="scroll">{table}</div>'
        if "text/markdown" in data:
            return self.markup.prose(data["text/markdown"], place, numbered)
        return _printed(data.get("text/plain", ""))

    def _figure(self, data: dict, report: dict, place: Place) -> str:
        """A numbered figure or table with its caption; what works on a screen alone has no number."""
        if report.get("interactive"):
            identity = self.markup.anchors.new_id(report["label"])
            return (f'<figure id="{identity}" class="fig interactive"><div role="group" aria-label="{escape(report["alt"])}">'
                    f'{data["text/html"]}</div><figcaption>{self._inline(report["caption"], place)}</figcaption></figure>')
        identity, name = self.markup.anchors.number(report["label"], place)
        caption = self.markup.inline(report.get("caption", ""), place)
        caption = f'<figcaption id="{identity}-caption"><b>{name}.</b> {caption}</figcaption>'
        if name.startswith("Figure"):
            body, kind = self._visual(data, report, identity, place)
            probes = media.probes(report["curves"]) if report.get("curves") else ""
            return f'<figure id="{identity}" class="fig{kind}">{body}{probes}{caption}</figure>'
        if "text/html" not in data:
            raise MarkupError(f"{place}: {report['label']}: a table needs text/html, got {', '.join(data)}")
        table = media.table(data["text/html"], identity, lambda text: self._inline(text, place))
        kind = "tbl long" if len(re.sub("<[^>]*>", "", table)) > LONG else "tbl"
        return (f'<figure id="{identity}" class="{kind}">{caption}<div class="scroll" role="region" '
                f'aria-labelledby="{identity}-caption">{table}</div></figure>')

    def _visual(self, data: dict, report: dict, identity: str, place: Place) -> tuple[str, str]:
        """A chart or picture, and the classes of the figure around it."""
        alt = report.get("alt", "").strip()
        if not alt:
            raise MarkupError(f"{place}: {report.get('label', 'a figure')} has no alternative text; give it an alt")
        if "image/svg+xml" in data:
            body, paper = media.chart(data["image/svg+xml"], identity, alt)
        elif kind := next((kind for kind in IMAGES if kind in data), None):
            body, paper = media.picture(data[kind], kind, alt), True
        else:
            raise MarkupError(f"{place}: {report.get('label')}: expected an SVG or a picture, got {', '.join(data)}")
        return f'<div class="visual">{body}</div>', " paper" if paper or report.get("paper") else ""

    def _inline(self, text: str, place: Place) -> str:
        return self.markup.inline(text, place)


def _report(output: dict) -> dict:
    return output.get("metadata", {}).get("report", {})


def _code(source: str, printed: str) -> str:
    if not source.strip() and not printed:
        return ""
    code = highlight(source.strip("\n"), PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")
    return (f'<details class="code"><summary>Code</summary><pre><code>{code}</code></pre>'
            f"{_printed(printed)}</details>")


def _printed(text: str) -> str:
    return f'<pre class="printed">{escape(text)}</pre>' if text else ""


def provenance(out: Path, profile: str) -> list[tuple[str, str]]:
    """What the report is made from, read from the records: (name, value) pairs; what differs is listed."""
    paths = sorted(out.glob("runs/*/seed-*/record.json"))
    records = [json.loads(path.read_text()) for path in paths]

    def of(*keys: str) -> list:
        values = []
        for value in records:
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None and value not in values:
                values.append(value)
        return values

    counts = [f"{c.get('train')} / {c.get('val')} / {c.get('test')}" for c in of("dataset", "counts")]
    sizes = ["own" if not size else " × ".join(map(str, size)) for size in of("config", "image_size")]
    seeds = sorted(set(of("seed")))
    pairs = [
        ("Data set", [title(name) for name in of("dataset", "name")]), ("Train / validation / test", counts), ("Image size", sizes),
        ("Base channels", of("config", "base_channels")), ("Epochs", of("config", "epochs")),
        ("Seeds", [f"{len(seeds)} ({', '.join(map(str, seeds))})"] if seeds else []),
        ("Device", of("device")), ("Profile", [profile]),
    ]
    return [(name, ", ".join(map(str, values))) for name, values in pairs if values]


def render(notebooks: list[Path], out: Path, profile: str, folder: Path = ROOT / "report") -> str:
    """The whole page from the executed notebooks in the order of the chapters; MarkupError says what is wrong."""
    markup = Markup(Bibliography(folder / "references.bib"))
    chapters = [Chapter(path, markup) for path in notebooks]
    front = {place: Safe("\n".join(part for chapter in chapters if (part := chapter.front(place)))) for place in FRONT}
    bodies = [{"name": chapter.name, "html": Safe(chapter.html())} for chapter in chapters]
    references = [entry | {"html": Safe(entry["html"])} for entry in markup.bibliography.references()]
    contents = [asdict(heading) | {"html": Safe(heading.html)} for heading in markup.headings]
    template = Environment(loader=FileSystemLoader(folder / "template"), autoescape=True, undefined=StrictUndefined,
                           trim_blocks=True, lstrip_blocks=True).get_template("report.html")
    page = template.render(
        front=front, chapters=bodies, contents=contents, references=references,
        provenance=provenance(out, profile), fonts=Safe(_fonts(folder / "fonts")),
        style=Safe(_template(folder, "report.css", "paper.css")),
        script=Safe(_template(folder, "report.js", "charts.js")))
    return markup.fill(page)


def _template(folder: Path, *names: str) -> str:
    return "\n".join((folder / "template" / name).read_text() for name in names)


def _fonts(folder: Path) -> str:
    rules = []
    for file, (family, weight, style, characters) in FONTS.items():
        data = base64.b64encode((folder / f"{file}.woff2").read_bytes()).decode()
        only = f"unicode-range:{characters};" if characters else ""
        rules.append(f'@font-face{{font-family:"{family}";font-weight:{weight};font-style:{style};{only}'
                     f'src:url(data:font/woff2;base64,{data}) format("woff2")}}')
    return "\n".join(rules)
