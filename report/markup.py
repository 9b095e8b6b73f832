"""The notebooks' Markdown -> HTML, with numbers, cross-references, citations and formulas.

nbconvert's parser (mistune) reads the Markdown, extended here by `@reference` and `[@citation]`.
The text has marks where a formula or a reference belongs, which are filled once everything has been
read (`report.references`). The id of a heading is an HTML comment in the line below it
(`<!-- sec-NAME -->`), which no reader of the notebook sees.
"""

import re
from dataclasses import dataclass

from markupsafe import Markup as Safe
from mistune import BlockState, InlineState
from mistune.plugins.table import table
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathBlockParser,
    MathInlineParser,
)

from report.media import unbroken
from report.references import Anchors, Bibliography, Formulas, MarkupError, Place
from report.templates import MACROS

OUTSIDE_WORDS = r"(?<![^\W_])"
CITATION = OUTSIDE_WORDS + r"\[(?P<keys>@[\w:.-]+(?:\s*;\s*@[\w:.-]+)*)\]"
REFERENCE = OUTSIDE_WORDS + r"@(?P<target>(?:fig|tbl|sec|eq)-[\w-]*\w)"
COMMENT = re.compile(r"^(#{1,6} .*)\n<!-- ([\w-]+) -->[ \t]*$", re.MULTILINE)
HEADING_ID = re.compile(r"\s*\{#([\w-]+)\}\s*$")
FORMULA_STOP = re.compile(r"(<math(?: [^>]*)?>(?:(?!</math>).)*</math>)([,.;:)]+)", re.DOTALL)
WITHOUT = ("inline_html", "latex_environment")  # rules of nbconvert's that are not ours
TYPOGRAPHY = {"---": "—", "--": "–", "...": "…", "+-": "±"}


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
    """Text without HTML, with references and citations; `$5 and $6` are no formula."""

    SPECIFICATION = MathInlineParser.SPECIFICATION | {
        "inline_math_tex": r"\$(?![\s$])(?P<math_inline_tex>(?:\\[\s\S]|[^$\\])+)(?<!\s)\$",
        "citation": CITATION,
        "reference": REFERENCE,
    }
    DEFAULT_RULES = [
        "citation",
        "reference",
        *(rule for rule in MathInlineParser.DEFAULT_RULES if rule not in WITHOUT),
    ]

    def process_text(self, text: str, state: InlineState, parse_emphasis: bool = True) -> None:
        """Append text with dashes and dots as they are printed, unless they were escaped."""
        if parse_emphasis:
            for typed, printed in TYPOGRAPHY.items():
                text = text.replace(typed, printed)
        super().process_text(text, state, parse_emphasis)

    def parse_citation(self, match: re.Match, state: InlineState) -> int:
        """Append the keys between the brackets."""
        state.append_token({"type": "citation", "raw": match["keys"]})
        return match.end()

    def parse_reference(self, match: re.Match, state: InlineState) -> int:
        """Append the label behind the @."""
        state.append_token({"type": "reference", "raw": match["target"]})
        return match.end()


class Renderer(IPythonRenderer):
    """Tokens -> HTML with marks. Whoever renders sets `place`, and `numbered` for headings."""

    place: Place
    numbered = True

    def __init__(self, markup: "Markup"):
        super().__init__(allow_harmful_protocols=False)
        self.markup = markup

    def text(self, text: str) -> str:
        return unbroken(text)

    def heading(self, text: str, level: int, source: str = "") -> str:
        return self.markup.section(Safe(text), level, source, self.place, self.numbered)

    def inline_math(self, body: str) -> str:
        return self.markup.formulas.mark(body, False, self.place)

    def block_math(self, body: str) -> str:
        return MACROS.equation(self.markup.formulas.mark(body, True, self.place))

    def citation(self, keys: str) -> str:
        return self.markup.bibliography.cite(re.findall(r"@([\w:.-]+)", keys), self.place)

    def reference(self, label: str) -> str:
        return self.markup.anchors.mark(label, self.place)

    def table(self, rows: str) -> str:
        return MACROS.markdown_table(Safe(rows))

    def table_cell(self, text: str, align: str | None = None, head: bool = False) -> str:
        tag = "th" if head and text else "td"  # the empty corner of a table is no header
        return MACROS.markdown_cell(tag, Safe(text), align)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        raise MarkupError(
            f"{self.place}: image {url}: a picture in Markdown is not embedded; show it from a "
            "code cell"
        )


class Markup:
    """Renders prose; what it has met is in its anchors, formulas, bibliography and headings."""

    def __init__(self, bibliography: Bibliography):
        self.bibliography, self.anchors, self.formulas = bibliography, Anchors(), Formulas()
        self.headings: list[Heading] = []
        self.chapter, self.part = -1, 0  # chapter 0 is notebook 0
        self.renderer = Renderer(self)
        self.parser = MarkdownWithMath(self.renderer, Blocks(), Inlines(), [table])
        self.parser.before_render_hooks.append(keep_sources_of_headings)

    def prose(self, text: str, place: Place, numbered: bool = True) -> Safe:
        """Return block Markdown as HTML with marks; its headings become sections of the report."""
        self.renderer.place, self.renderer.numbered = place, numbered
        return Safe(self.parser.render(COMMENT.sub(r"\1 {#\2}", text)))

    def inline(self, text: str, place: Place) -> Safe:
        """Return inline Markdown as HTML with marks."""
        self.renderer.place = place
        state = BlockState()
        return Safe(self.renderer(self.parser.inline(text, state.env), state))

    def fill(self, html: str) -> str:
        """Replace all marks; a stop stays on the line of its formula."""
        html = self.formulas.fill(html, self.anchors)
        html = FORMULA_STOP.sub(lambda match: MACROS.nowrap(Safe(match[0])), html)
        return self.anchors.fill(html)

    def section(self, html: Safe, level: int, source: str, place: Place, numbered: bool) -> str:
        """Return a heading one level down, as the report's title is the only h1, and number it."""
        label, number = HEADING_ID.search(source), ""
        if numbered and level < 3:
            number = self._count(level)
        if label and number:
            identity, _ = self.anchors.add(label[1], f"Section {number}", place)
        else:
            plain = re.sub(r"\W+", "-", HEADING_ID.sub("", source).lower()).strip("-")
            identity = self.anchors.new_id(label[1] if label else plain or "section")
        if number:
            self.headings.append(Heading(level, identity, number, html))
        return MACROS.heading(min(level + 1, 6), identity, number, html)

    def _count(self, level: int) -> str:
        if level == 1:
            self.chapter, self.part = self.chapter + 1, 0
            return str(self.chapter)
        self.part += 1
        return f"{self.chapter}.{self.part}"


def keep_sources_of_headings(_: MarkdownWithMath, state: BlockState) -> None:
    """Move the id out of each heading's text; its Markdown goes along to the renderer."""
    for token in state.tokens:
        if token["type"] == "heading":
            token["attrs"]["source"] = token["text"]
            token["text"] = HEADING_ID.sub("", token["text"])
