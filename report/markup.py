"""The notebooks' Markdown -> HTML, with numbers, links and formulas.

nbconvert's parser (mistune) reads the Markdown. A link that leads to a figure, a table or an
equation has words in the notebook (`[the loss curves](#fig-loss)`) and the number on the page, and
so has one to a section; one to a notebook leads to its chapter; one to a work of references.bib is
a citation. Since a link may come before its target, `fill` resolves them once everything is read.
"""

import re
from collections import Counter
from dataclasses import dataclass
from html import escape, unescape

from markupsafe import Markup as Safe
from math_core import LatexError, LatexToMathML
from mistune import BlockState
from mistune.plugins.table import table
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from report.references import works
from report.template import MACROS

TARGET = re.compile(r"#(?:fig|tbl|eq)-[\w-]+|[\w.-]+\.ipynb(#.*)?")  # of a link within the report
LINK = re.compile(r'<a class="ref" href="([^"]*)" data-place="([^"]*)">(.*?)</a>', re.DOTALL)
FORMULA_STOP = re.compile(r"(<math(?: [^>]*)?>(?:(?!</math>).)*</math>)([,.;:)]+)", re.DOTALL)
LABEL = re.compile(r"\\label\{([^}]*)\}")
EQUATION = re.compile(r'id="([^"]+)"[^>]*><mtext>\((\w+)\)')
EQUATION_BLOCK = '<div class="equation">'
KINDS = {"fig": "Figure", "tbl": "Table"}
NAME = re.compile(r"\bU-Nets?\b|\([−\d.,]+ to [−\d.,]+\)|(?:<|&lt;) [\d.]+")  # not broken
OPENING = re.compile(r'(?<![^\s(\[])"')  # a quotation mark at the beginning of a word
MARKS = re.compile(r"[^\w\s]+")  # punctuation without a word
SPACE = re.compile(r"(?<=\d) (?=× \d|%)|(?<=\d ×) (?=\d)")  # of "2 × 2" and "5 %"; not broken


class MarkupError(ValueError):
    """Something in a notebook cannot be rendered; the text names the notebook and the cell."""


@dataclass
class Heading:
    """One line of the table of contents."""

    level: int  # 1 for a chapter
    id: str
    number: str
    html: Safe


class Renderer(IPythonRenderer):
    """Tokens -> HTML, in which HTML is text. Whoever renders sets the place and the level.

    A place is a cell of a notebook, as error messages name it: "5_analysis.ipynb, cell 3".
    """

    place = ""
    down = 0  # how many levels headings are further down

    def __init__(self, markup: "Markup"):
        super().__init__(allow_harmful_protocols=False)
        self.markup = markup

    def text(self, text: str) -> str:
        # Escaped marks come without words: they belong to a name of the user's and stay.
        return unbroken(text if MARKS.fullmatch(text) else curled(text))

    def heading(self, text: str, level: int, **attributes: object) -> str:
        return self.markup.heading(Safe(text), level + self.down, self.place)

    def paragraph(self, text: str) -> str:
        return text if text.startswith(EQUATION_BLOCK) else super().paragraph(text)

    def inline_math(self, body: str) -> str:
        return self.markup.formula(body, False, self.place)

    def block_math(self, body: str) -> str:
        return MACROS.equation(self.markup.formula(body, True, self.place))

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if url in works():
            return self.markup.citation(works()[url], Safe(text))
        if url.startswith("#") and not TARGET.fullmatch(url):
            url = notebook_of(self.place) + url
        if TARGET.fullmatch(url):
            return MACROS.link(url.removeprefix("#"), self.place, Safe(text))
        return super().link(text, url, title)

    def table(self, text: str) -> str:
        return MACROS.plain_table(MACROS.markdown_table(Safe(text)))

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
        self.targets: dict[str, tuple[str, str]] = {}  # of links -> id and name, "Figure 3"
        self.taken, self.counts, self.cited = set(), Counter(), Counter()
        self.latex = LatexToMathML(fancy_error=False)
        self.renderer = Renderer(self)
        self.parser = MarkdownWithMath(self.renderer, plugins=[table])

    def prose(self, text: str, place: str, down: int = 0) -> Safe:
        """Return block Markdown as HTML; headings are `down` levels further down."""
        self.renderer.place, self.renderer.down = place, down
        return Safe(self.parser.render(text))

    def inline(self, text: str, place: str) -> Safe:
        """Return inline Markdown as HTML."""
        self.renderer.place = place
        state = BlockState()
        return Safe(self.renderer(self.parser.inline(text, state.env), state))

    def begin(self, number: str, title: str, identity: str) -> Safe:
        """Return the heading of a chapter, which counts its parts anew."""
        self.chapter, self.part = number, 0
        self.taken.add(identity)
        self.headings.append(Heading(1, identity, number, unbroken(title)))
        return Safe(MACROS.heading(2, identity, number, unbroken(title)))

    def heading(self, html: Safe, level: int, place: str) -> str:
        """Return a heading; a notebook's title is that of its chapter and is left out."""
        title, number, notebook = html.striptags().replace("’", "'"), "", notebook_of(place)
        names = [f"{notebook}#{title.replace(' ', '-')}"]  # as JupyterLab names it
        if level - self.renderer.down == 1:
            names.append(notebook)
        if level == 1:
            chapter = self.headings[-1].id if self.headings else "text"
            self.targets |= dict.fromkeys(names, (chapter, ""))
            return ""
        identity = self.new_id(re.sub(r"\W+", "-", title.lower()).strip("-"))
        if level == 2 and self.chapter:
            self.part += 1
            number = f"{self.chapter}.{self.part}"
            self.headings.append(Heading(level, identity, number, html))
        for name in names:
            self.targets.setdefault(name, (identity, number and f"Section {number}"))
        return MACROS.heading(min(level + 1, 6), identity, number, html)

    def number(self, label: str, place: str) -> tuple[str, str]:
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

    def citation(self, key: str, text: Safe) -> str:
        """Return the link to a reference; links lead back from there."""
        self.cited[key] += 1
        return MACROS.citation(key, f"cite-{key}-{self.cited[key]}", text)

    def formula(self, tex: str, block: bool, place: str) -> Safe:
        """Return a formula as MathML; a numbered equation becomes the target of links."""
        if LABEL.search(tex) and "\\begin{" not in tex.split("\\label")[0]:
            tex = f"\\begin{{equation}}{tex}\\end{{equation}}"
        try:
            html = self.latex.convert_with_global_state(tex.strip(), displaystyle=block)
        except LatexError as error:
            raise MarkupError(f"{place}: formula {tex!r}, character {error}") from error
        for label, number in EQUATION.findall(html):
            self.targets[label] = (label, f"equation ({number})")
        return Safe(html)

    def fill(self, html: str) -> str:
        """Resolve all links; a stop stays on the line of its formula."""
        html = FORMULA_STOP.sub(lambda match: MACROS.nowrap(Safe(match[0])), html)
        return LINK.sub(lambda match: self._resolved(*match.groups()), html)

    def _resolved(self, target: str, place: str, text: str) -> str:
        target = unescape(target)
        if target not in self.targets:
            raise MarkupError(f"{place}: link to {target}: this is nowhere in the report")
        identity, name = self.targets[target]
        return MACROS.reference(identity, Safe(name.replace(" ", "&nbsp;") or text))


def notebook_of(place: str) -> str:
    """Return the file's name of the notebook of a place."""
    return place.split(",")[0]


def curled(text: str) -> str:
    """Return text with the quotation marks and apostrophes of print."""
    return OPENING.sub("“", text).replace('"', "”").replace("'", "’")


def unbroken(text: str) -> Safe:
    """Return text as HTML that breaks no network's name, size, percentage, interval or p."""
    text = SPACE.sub("\N{NO-BREAK SPACE}", escape(text, quote=False))
    return Safe(NAME.sub(lambda match: MACROS.nowrap(Safe(match[0])), text))
