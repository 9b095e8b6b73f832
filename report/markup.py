"""The notebooks' Markdown -> HTML, with numbers, links and formulas.

nbconvert's parser (mistune) reads the Markdown, in which references are links already
(`report.references`). A link may come before its target and equations are numbered across the whole
report, so both are rendered as marks, which `fill` replaces once everything has been read. A
heading's label is an HTML comment in the line below it (`<!-- sec-NAME -->`), which no reader of the
notebook sees.
"""

import re
from collections import Counter
from dataclasses import dataclass

from markupsafe import Markup as Safe
from math_core import LatexError, LatexToMathML
from mistune import BlockState, InlineState
from mistune.plugins.table import table
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathBlockParser,
    MathInlineParser,
)

from report.media import unbroken
from report.references import MarkupError, entry, linked, slug
from report.templates import MACROS

COMMENT = re.compile(r"^(#{1,6} .*)\n<!-- ([\w-]+) -->[ \t]*$", re.MULTILINE)
HEADING_ID = re.compile(r"\s*\{#([\w-]+)\}\s*$")
TARGET = re.compile(r"#(?:fig|tbl|eq)-[\w-]+|[\w.-]+\.ipynb(#.*)?")  # of a link within the report
FORMULA_STOP = re.compile(r"(<math(?: [^>]*)?>(?:(?!</math>).)*</math>)([,.;:)]+)", re.DOTALL)
LABEL = re.compile(r"\\label\{([^}]*)\}")
EQUATION = re.compile(r'id="([^"]+)"[^>]*><mtext>\((\w+)\)')
WITHOUT = ("inline_html", "latex_environment")  # rules of nbconvert's that are not ours
TYPOGRAPHY = {"---": "—", "--": "–", "...": "…", "+-": "±"}
KINDS = {"fig": "Figure", "tbl": "Table"}
MARK = "\ue000{}{}\ue001"  # private-use characters, which no text of ours contains


@dataclass(frozen=True)
class Place:
    """A cell of a notebook, as error messages name it."""

    notebook: str
    cell: int

    def __str__(self) -> str:
        return f"{self.notebook}.ipynb, cell {self.cell}"


@dataclass
class Heading:
    """One line of the table of contents."""

    level: int  # 1 for a chapter
    id: str
    number: str
    html: Safe


class Blocks(MathBlockParser):
    """Blocks of Markdown without HTML; a display formula is a block that begins its line."""

    SPECIFICATION = MathBlockParser.SPECIFICATION | {
        "multiline_math": r"(?s:^ {0,3}(?:\$\$(?P<display>.*?)(?<!\\)\$\$"
        r"|(?P<environment>\\begin\{(?P<math_name>[a-z]*\*?)\}.*?\\end\{(?P=math_name)\}))"
        r"(?:[ \t]*\n)?)"
    }
    DEFAULT_RULES = [rule for rule in MathBlockParser.DEFAULT_RULES if rule != "raw_html"]

    def parse_multiline_math(self, match: re.Match, state: BlockState) -> int:
        """Append a formula instead of the paragraph around one that nbconvert makes."""
        raw = match["display"] or match["environment"]
        state.append_token({"type": "block_math", "raw": raw})
        return match.end()


class Inlines(MathInlineParser):
    """Text without HTML; `$5 and $6` are no formula."""

    SPECIFICATION = MathInlineParser.SPECIFICATION | {
        "inline_math_tex": r"\$(?![\s$])(?P<math_inline_tex>(?:\\[\s\S]|[^$\\])+)(?<!\s)\$",
    }
    DEFAULT_RULES = [rule for rule in MathInlineParser.DEFAULT_RULES if rule not in WITHOUT]

    def process_text(self, text: str, state: InlineState, parse_emphasis: bool = True) -> None:
        """Append text with dashes and dots as they are printed, unless they were escaped."""
        if parse_emphasis:
            for typed, printed in TYPOGRAPHY.items():
                text = text.replace(typed, printed)
        super().process_text(text, state, parse_emphasis)


class Renderer(IPythonRenderer):
    """Tokens -> HTML with marks. Whoever renders sets the place, and how far headings go down."""

    place: Place
    down = 0

    def __init__(self, markup: "Markup"):
        super().__init__(allow_harmful_protocols=False)
        self.markup = markup

    def text(self, text: str) -> str:
        return unbroken(text)

    def heading(self, text: str, level: int, source: str = "") -> str:
        return self.markup.heading(Safe(text), level + self.down, source, self.place)

    def inline_math(self, body: str) -> str:
        return self.markup.formula(body, False, self.place)

    def block_math(self, body: str) -> str:
        return MACROS.equation(self.markup.formula(body, True, self.place))

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if url.startswith("#ref-"):
            return self.markup.citation(url.removeprefix("#ref-"), Safe(text))
        if url.startswith("#") and not TARGET.fullmatch(url):
            url = f"{self.place.notebook}.ipynb{url}"
        if TARGET.fullmatch(url):
            return self.markup.link(url.removeprefix("#"), Safe(text), self.place)
        return super().link(text, url, title)

    def table(self, rows: str) -> str:
        return MACROS.markdown_table(Safe(rows))

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        tag = "th" if head and text else "td"  # the empty corner of a table is no header
        return MACROS.markdown_cell(tag, Safe(text), align)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        reason = "a picture in Markdown is not embedded; show it from a code cell"
        raise MarkupError(f"{self.place}: image {url}: {reason}")


class Markup:
    """Renders prose and numbers everything: headings, figures, tables, formulas, citations."""

    def __init__(self):
        self.headings: list[Heading] = []
        self.chapter, self.part = "", 0
        self.targets: dict[str, tuple[str, str]] = {}  # label -> id and name, "Figure 3"
        self.taken, self.counts, self.cited = set(), Counter(), Counter()
        self.links: list[tuple[str, Safe, Place]] = []
        self.formulas: list[tuple[str, bool]] = []
        self.places: list[Place] = []  # of formulas
        self.renderer = Renderer(self)
        self.parser = MarkdownWithMath(self.renderer, Blocks(), Inlines(), [table])
        self.parser.before_render_hooks.append(keep_sources_of_headings)

    def prose(self, text: str, place: Place, down: int = 0) -> Safe:
        """Return block Markdown as HTML with marks; headings are `down` levels further down."""
        self.renderer.place, self.renderer.down = place, down
        return Safe(self.parser.render(self._linked(COMMENT.sub(r"\1 {#\2}", text), place)))

    def inline(self, text: str, place: Place) -> Safe:
        """Return inline Markdown as HTML with marks."""
        self.renderer.place = place
        state = BlockState()
        return Safe(self.renderer(self.parser.inline(self._linked(text, place), state.env), state))

    def _linked(self, text: str, place: Place) -> str:
        try:
            return linked(text)
        except MarkupError as error:
            raise MarkupError(f"{place}: {error}") from error

    def begin(self, number: str, title: str, identity: str) -> Safe:
        """Return the heading of a chapter, which counts its parts anew."""
        self.chapter, self.part = number, 0
        self.taken.add(identity)
        self.headings.append(Heading(1, identity, number, unbroken(title)))
        return Safe(MACROS.heading(2, identity, number, unbroken(title)))

    def heading(self, html: Safe, level: int, source: str, place: Place) -> str:
        """Return a heading; a notebook's title is that of its chapter and is left out."""
        label, plain = HEADING_ID.search(source), HEADING_ID.sub("", source)
        names = [f"{place.notebook}.ipynb#{slug(plain)}"]
        if level - self.renderer.down == 1:
            names.append(f"{place.notebook}.ipynb")
        if level == 1:
            chapter = self.headings[-1].id if self.headings else "text"
            self.targets |= dict.fromkeys(names, (chapter, ""))
            return ""
        number = ""
        identity = self.new_id(label[1] if label else re.sub(r"\W+", "-", plain.lower()).strip("-"))
        if level == 2 and self.chapter:
            self.part += 1
            number = f"{self.chapter}.{self.part}"
            self.headings.append(Heading(level, identity, number, html))
        for name in names:
            self.targets.setdefault(name, (identity, ""))
        return MACROS.heading(min(level + 1, 6), identity, number, html)

    def number(self, label: str, place: Place) -> tuple[str, str]:
        """Return the id and the name ("Figure 3") of a figure or table."""
        kind = KINDS.get(label.split("-")[0])
        if not kind:
            raise MarkupError(f"{place}: label {label!r}: expected fig-NAME or tbl-NAME")
        if label in self.targets:
            raise MarkupError(f"{place}: the label {label} is there already; give it another name")
        self.counts[kind] += 1
        self.targets[label] = (self.new_id(label), f"{kind} {self.counts[kind]}")
        return self.targets[label]

    def new_id(self, wish: str) -> str:
        """Return the wish, or with the first number behind it that makes it unique."""
        name, number = wish or "section", 1
        while name in self.taken:
            number += 1
            name = f"{wish}-{number}"
        self.taken.add(name)
        return name

    def link(self, target: str, text: Safe, place: Place) -> str:
        """Return the mark of a link to a label, or to a notebook or a heading of one."""
        self.links.append((target, text, place))
        return MARK.format("r", len(self.links) - 1)

    def citation(self, key: str, text: Safe) -> str:
        """Return the link to a reference; links lead back from there."""
        entry(key)
        self.cited[key] += 1
        return MACROS.citation(key, f"cite-{key}-{self.cited[key]}", text)

    def formula(self, tex: str, block: bool, place: Place) -> str:
        """Return the mark of a formula."""
        if LABEL.search(tex) and "\\begin{" not in tex.split("\\label")[0]:
            tex = f"\\begin{{equation}}{tex}\\end{{equation}}"
        self.formulas.append((tex.strip(), block))
        self.places.append(place)
        return MARK.format("m", len(self.formulas) - 1)

    def fill(self, html: str) -> str:
        """Replace all marks; a stop stays on the line of its formula."""
        formulas = self._mathml()
        html = re.sub(MARK.format("m", r"(\d+)"), lambda match: formulas[int(match[1])], html)
        html = FORMULA_STOP.sub(lambda match: MACROS.nowrap(Safe(match[0])), html)
        mark = MARK.format("r", r"(\d+)")
        return re.sub(mark, lambda match: self._link(*self.links[int(match[1])]), html)

    def _mathml(self) -> list[str]:
        """Return all formulas; numbered equations become targets of links."""
        try:
            converted = LatexToMathML(fancy_error=False).convert_all(self.formulas)
        except LatexError as error:
            index, reason = re.match(r"input(\d+):\d+: (.*)", str(error), re.DOTALL).groups()
            formula, place = self.formulas[int(index)][0], self.places[int(index)]
            raise MarkupError(f"{place}: formula {formula!r}: {reason}") from error
        for label, number in EQUATION.findall("".join(converted)):
            self.targets[label] = (label, f"equation ({number})")
        return converted

    def _link(self, target: str, text: Safe, place: Place) -> str:
        if target not in self.targets:
            raise MarkupError(f"{place}: link to {target}: this is nowhere in the report")
        identity, name = self.targets[target]
        return MACROS.reference(identity, name.split(" ") if name else [text])


def keep_sources_of_headings(_: MarkdownWithMath, state: BlockState) -> None:
    """Move the label out of each heading's text; its Markdown goes along to the renderer."""
    for token in state.tokens:
        if token["type"] == "heading":
            token["attrs"]["source"] = token["text"]
            token["text"] = HEADING_ID.sub("", token["text"])
