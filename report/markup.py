"""The notebooks' Markdown -> HTML, with numbers, cross-references, citations and maths.

A reference may come before what it refers to and equations are numbered across the whole report, so the text is
rendered with marks in these places, and the marks are filled once everything has been read. The id of a heading is
an HTML comment in the line below it (`<!-- sec-NAME -->`), which no reader of the notebook sees.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from math_core import LatexError, LatexToMathML
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pybtex.database import parse_file
from pybtex.plugin import find_plugin

from report.media import unbroken

KINDS = {"fig": "Figure", "tbl": "Table", "sec": "Section", "eq": "Equation"}
MARK = "\ue000{}{}\ue001"  # private-use characters, which no text of ours contains
CITATION = re.compile(r"\[(@[\w:.-]+(?:\s*;\s*@[\w:.-]+)*)\]")
REFERENCE = re.compile(r"@((?:fig|tbl|sec|eq)-[\w-]*\w)")
COMMENT = re.compile(r"^(#{1,6} .*)\n<!-- ([\w-]+) -->[ \t]*$", re.MULTILINE)
HEADING_ID = re.compile(r"\s*\{#([\w-]+)\}\s*$")
FORMULA_STOP = re.compile(r"(<math(?: [^>]*)?>(?:(?!</math>).)*</math>)([,.;:)]+)", re.DOTALL)  # stays on the formula's line
LABEL = re.compile(r"\\label\{([^}]*)\}")
NUMBERED = re.compile(r'id="([^"]+)"[^>]*><mtext>\((\d+)\)')


class MarkupError(ValueError):
    """Something in a notebook that cannot be rendered; the text names the notebook and the cell."""


@dataclass(frozen=True)
class Place:
    """Where in the sources something stands."""

    notebook: str
    cell: int

    def __str__(self) -> str:
        return f"{self.notebook}.ipynb, cell {self.cell}"


class Anchors:
    """What can be linked to. A label counts in its own notebook first, then in the whole report."""

    def __init__(self):
        self.targets: dict[str, dict[str, tuple[str, str]]] = {}  # label -> notebook -> (id, text of a link)
        self.taken, self.counts, self.wanted = set(), Counter(), []

    def new_id(self, wish: str) -> str:
        """The wish, or with the first number behind it that makes it unique."""
        name, number = wish, 1
        while name in self.taken:
            number += 1
            name = f"{wish}-{number}"
        self.taken.add(name)
        return name

    def number(self, label: str, place: Place) -> tuple[str, str]:
        """The id and the name ("Figure 3") of a figure or table."""
        kind = KINDS.get(label.split("-")[0])
        if kind not in ("Figure", "Table"):
            raise MarkupError(f"{place}: label {label!r}: expected fig-NAME or tbl-NAME")
        self.counts[kind] += 1
        return self.add(label, f"{kind} {self.counts[kind]}", place)

    def add(self, label: str, text: str, place: Place, own_id: str | None = None) -> tuple[str, str]:
        known = self.targets.setdefault(label, {})
        if place.notebook in known or (known and own_id):
            raise MarkupError(f"{place}: the label {label} is there already; give it another name")
        known[place.notebook] = (own_id or self.new_id(label), text)
        return known[place.notebook]

    def mark(self, label: str, place: Place) -> str:
        self.wanted.append((label, place))
        return MARK.format("r", len(self.wanted) - 1)

    def fill(self, html: str) -> str:
        return re.sub(MARK.format("r", r"(\d+)"), lambda match: self._link(*self.wanted[int(match[1])]), html)

    def _link(self, label: str, place: Place) -> str:
        known = self.targets.get(label, {})
        found = known.get(place.notebook) or (next(iter(known.values())) if len(known) == 1 else None)
        if not found:
            reason = f"is in {' and '.join(known)}; use a label that is there once" if known else "is nowhere defined"
            raise MarkupError(f"{place}: reference @{label}: this label {reason}")
        return f'<a class="ref" href="#{found[0]}">{found[1].replace(" ", "&nbsp;")}</a>'


class Maths:
    """Formulas, converted to MathML all at once so that references to equations resolve."""

    def __init__(self):
        self.snippets: list[tuple[str, bool]] = []
        self.places: list[Place] = []

    def mark(self, tex: str, block: bool, place: Place) -> str:
        if LABEL.search(tex) and "\\begin{" not in tex.split("\\label")[0]:
            tex = f"\\begin{{equation}}{tex}\\end{{equation}}"
        self.snippets.append((tex.strip(), block))
        self.places.append(place)
        return MARK.format("m", len(self.snippets) - 1)

    def fill(self, html: str, anchors: Anchors) -> str:
        try:
            converted = LatexToMathML(fancy_error=False).convert_all(self.snippets)
        except LatexError as error:
            index, reason = re.match(r"input(\d+):\d+: (.*)", str(error), re.DOTALL).groups()
            raise MarkupError(f"{self.places[int(index)]}: formula {self.snippets[int(index)][0]!r}: {reason}") from error
        for mathml, place in zip(converted, self.places):
            for label, number in NUMBERED.findall(mathml):
                anchors.add(label, f"Equation ({number})", place, own_id=label)
        return re.sub(MARK.format("m", r"(\d+)"), lambda match: converted[int(match[1])], html)


class Bibliography:
    """Numbered in the order of the citations, with links both ways."""

    def __init__(self, path: Path):
        self.path, self.entries, self.cited = path, parse_file(str(path)), Counter()

    def cite(self, keys: list[str], place: Place) -> str:
        return "[" + ", ".join(self._one(key, place) for key in keys) + "]"

    def _one(self, key: str, place: Place) -> str:
        if key not in self.entries.entries:
            raise MarkupError(f"{place}: citation @{key}: no such key in {self.path.name}")
        self.cited[key] += 1
        number = list(self.cited).index(key) + 1
        return f'<a class="cite" id="cite-{key}-{self.cited[key]}" href="#ref-{key}" role="doc-biblioref">{number}</a>'

    def references(self) -> list[dict]:
        """What was cited: key, html, and the ids of the citations."""
        style, backend = find_plugin("pybtex.style.formatting", "unsrt")(), find_plugin("pybtex.backends", "html")()
        entries = style.format_bibliography(self.entries, list(self.cited)) if self.cited else []
        return [{"key": entry.key, "html": entry.text.render(backend),
                 "citations": [f"cite-{entry.key}-{n + 1}" for n in range(self.cited[entry.key])]}
                for entry in entries]


@dataclass
class Heading:
    level: int  # 1 for a chapter
    id: str
    number: str
    html: str


@dataclass
class Markup:
    """Renders prose; what it has met is in its anchors, maths, bibliography and headings."""

    bibliography: Bibliography
    anchors: Anchors = field(default_factory=Anchors)
    maths: Maths = field(default_factory=Maths)
    headings: list[Heading] = field(default_factory=list)
    sections: list[int] = field(default_factory=lambda: [-1, 0])  # chapter 0 is notebook 0

    def __post_init__(self):
        parser = MarkdownIt("commonmark", {"html": False, "typographer": True}).enable(["table", "replacements"])
        parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, double_inline=True).use(amsmath_plugin)
        parser.inline.ruler.before("link", "citation", _rule("citation", CITATION))
        parser.inline.ruler.before("link", "reference", _rule("reference", REFERENCE))
        parser.renderer.rules |= {
            "math_inline": self._math_inline, "math_block": self._math_block, "math_inline_double": self._math_block,
            "amsmath": self._math_block, "citation": self._citation, "reference": self._reference,
            "image": self._image, "text": lambda tokens, index, *_: unbroken(tokens[index].content),
            "table_open": lambda *_: '<div class="scroll"><table>', "table_close": lambda *_: "</table></div>",
        }
        self.parser = parser

    def prose(self, text: str, place: Place, numbered: bool = True) -> str:
        """Block Markdown -> HTML with marks; its headings become sections of the report."""
        tokens = self.parser.parse(COMMENT.sub(r"\1 {#\2}", text), environment := {"place": place})
        for opening, inline, closing in zip(tokens, tokens[1:], tokens[2:]):
            if opening.type == "heading_open":
                self._heading(opening, inline, closing, place, numbered)
            elif opening.type == "th_open" and not inline.content:
                opening.tag = closing.tag = "td"  # the corner of a table is no header
        return self.parser.renderer.render(tokens, self.parser.options, environment)

    def inline(self, text: str, place: Place) -> str:
        """Inline Markdown -> HTML with marks."""
        return self.parser.renderInline(text, {"place": place})

    def fill(self, html: str) -> str:
        html = FORMULA_STOP.sub(r'<span class="nowrap">\1\2</span>', self.maths.fill(html, self.anchors))
        return self.anchors.fill(html)

    def _heading(self, opening: Token, inline: Token, closing: Token, place: Place, numbered: bool) -> None:
        """The report's title is the only h1, so every heading steps down by one; chapters and sections count."""
        level, label = int(opening.tag[1]), HEADING_ID.search(inline.content)
        if label:
            inline.children[-1].content = HEADING_ID.sub("", inline.children[-1].content)
        html = self.parser.renderer.render(inline.children, self.parser.options, {"place": place})
        number = self._count(level) if numbered and level < 3 else ""
        if label and number:
            identity, _ = self.anchors.add(label[1], f"Section {number}", place)
        else:
            plain = re.sub(r"\W+", "-", HEADING_ID.sub("", inline.content).lower()).strip("-")
            identity = self.anchors.new_id(label[1] if label else plain or "section")
        opening.tag = closing.tag = f"h{min(level + 1, 6)}"
        opening.attrSet("id", identity)
        if number:
            inline.children.insert(0, Token("html_inline", "", 0, content=f'<span class="number">{number}</span> '))
        if numbered and level < 3:
            self.headings.append(Heading(level, identity, number, html))

    def _count(self, level: int) -> str:
        self.sections = [self.sections[0] + 1, 0] if level == 1 else [self.sections[0], self.sections[1] + 1]
        return ".".join(map(str, self.sections[:level]))

    def _math_inline(self, tokens, index, options, environment) -> str:
        return self.maths.mark(tokens[index].content, False, environment["place"])

    def _math_block(self, tokens, index, options, environment) -> str:
        return f'<div class="equation">{self.maths.mark(tokens[index].content, True, environment["place"])}</div>\n'

    def _citation(self, tokens, index, _, environment) -> str:
        return self.bibliography.cite(re.findall(r"@([\w:.-]+)", tokens[index].content), environment["place"])

    def _reference(self, tokens, index, options, environment) -> str:
        return self.anchors.mark(tokens[index].content, environment["place"])

    def _image(self, tokens, index, options, environment) -> str:
        raise MarkupError(f"{environment['place']}: image {escape(str(tokens[index].attrs['src']))}: a picture in "
                          "Markdown is not embedded; show it from a code cell")


def _rule(name: str, pattern: re.Pattern):
    """An inline rule that turns each match into a token of that name; not within a word."""

    def rule(state: StateInline, silent: bool) -> bool:
        if not (match := pattern.match(state.src, state.pos)) or (state.pos and state.src[state.pos - 1].isalnum()):
            return False
        if not silent:
            state.push(name, "", 0).content = match[1]
        state.pos = match.end()
        return True

    return rule
