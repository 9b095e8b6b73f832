"""What is numbered and linked to: figures, tables, sections, equations and the bibliography.

A reference may come before its target and equations are numbered across the whole report, so both
are rendered as marks, which are filled once everything has been read.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup as Safe
from math_core import LatexError, LatexToMathML
from pybtex.database import parse_file
from pybtex.plugin import find_plugin

from report.templates import MACROS

KINDS = {"fig": "Figure", "tbl": "Table", "sec": "Section", "eq": "Equation"}
MARK = "\ue000{}{}\ue001"  # private-use characters, which no text of ours contains
LABEL = re.compile(r"\\label\{([^}]*)\}")
NUMBERED = re.compile(r'id="([^"]+)"[^>]*><mtext>\((\d+)\)')


class MarkupError(ValueError):
    """Something in a notebook cannot be rendered; the text names the notebook and the cell."""


@dataclass(frozen=True)
class Place:
    """A cell of a notebook, as error messages name it."""

    notebook: str
    cell: int

    def __str__(self) -> str:
        return f"{self.notebook}.ipynb, cell {self.cell}"


class Anchors:
    """The targets of links. A label counts in its own notebook first, then in the whole report."""

    def __init__(self):
        self.targets: dict[str, dict[str, tuple[str, str]]] = {}  # label -> notebook -> (id, text)
        self.taken, self.counts, self.wanted = set(), Counter(), []

    def new_id(self, wish: str) -> str:
        """Return the wish, or with the first number behind it that makes it unique."""
        name, number = wish, 1
        while name in self.taken:
            number += 1
            name = f"{wish}-{number}"
        self.taken.add(name)
        return name

    def number(self, label: str, place: Place) -> tuple[str, str]:
        """Return the id and the name ("Figure 3") of a figure or table."""
        kind = KINDS.get(label.split("-")[0])
        if kind not in ("Figure", "Table"):
            raise MarkupError(f"{place}: label {label!r}: expected fig-NAME or tbl-NAME")
        self.counts[kind] += 1
        return self.add(label, f"{kind} {self.counts[kind]}", place)

    def add(
        self, label: str, text: str, place: Place, own_id: str | None = None
    ) -> tuple[str, str]:
        """Make a label a target and return its id and the text of links to it."""
        known = self.targets.setdefault(label, {})
        if place.notebook in known or (known and own_id):
            raise MarkupError(f"{place}: the label {label} is there already; give it another name")
        known[place.notebook] = (own_id or self.new_id(label), text)
        return known[place.notebook]

    def mark(self, label: str, place: Place) -> str:
        """Return the mark that `fill` replaces by a link to the label."""
        self.wanted.append((label, place))
        return MARK.format("r", len(self.wanted) - 1)

    def fill(self, html: str) -> str:
        """Replace the marks of references by links."""
        mark = MARK.format("r", r"(\d+)")
        return re.sub(mark, lambda match: self._link(*self.wanted[int(match[1])]), html)

    def _link(self, label: str, place: Place) -> str:
        known = self.targets.get(label, {})
        if place.notebook in known:
            return self._reference(*known[place.notebook])
        if len(known) == 1:
            return self._reference(*next(iter(known.values())))
        reason = "is nowhere defined"
        if known:
            reason = f"is in {' and '.join(known)}; use a label that is there once"
        raise MarkupError(f"{place}: reference @{label}: this label {reason}")

    def _reference(self, identity: str, text: str) -> str:
        return MACROS.reference(identity, text.split(" "))


class Formulas:
    """Formulas, converted to MathML all at once so that references to equations resolve."""

    def __init__(self):
        self.snippets: list[tuple[str, bool]] = []
        self.places: list[Place] = []

    def mark(self, tex: str, block: bool, place: Place) -> str:
        """Return the mark that `fill` replaces by the formula."""
        if LABEL.search(tex) and "\\begin{" not in tex.split("\\label")[0]:
            tex = f"\\begin{{equation}}{tex}\\end{{equation}}"
        self.snippets.append((tex.strip(), block))
        self.places.append(place)
        return MARK.format("m", len(self.snippets) - 1)

    def fill(self, html: str, anchors: Anchors) -> str:
        """Replace the marks of formulas by MathML; numbered equations become targets of links."""
        try:
            converted = LatexToMathML(fancy_error=False).convert_all(self.snippets)
        except LatexError as error:
            index, reason = re.match(r"input(\d+):\d+: (.*)", str(error), re.DOTALL).groups()
            formula, place = self.snippets[int(index)][0], self.places[int(index)]
            raise MarkupError(f"{place}: formula {formula!r}: {reason}") from error
        for mathml, place in zip(converted, self.places):
            for label, number in NUMBERED.findall(mathml):
                anchors.add(label, f"Equation ({number})", place, own_id=label)
        return re.sub(MARK.format("m", r"(\d+)"), lambda match: converted[int(match[1])], html)


class Bibliography:
    """References, numbered in the order of their citations, with links both ways."""

    def __init__(self, path: Path):
        self.path, self.entries, self.cited = path, parse_file(str(path)), Counter()

    def cite(self, keys: list[str], place: Place) -> str:
        """Return the numbers of the keys in brackets, each linked to its reference."""
        return "[" + ", ".join(self._cite_one(key, place) for key in keys) + "]"

    def _cite_one(self, key: str, place: Place) -> str:
        if key not in self.entries.entries:
            raise MarkupError(f"{place}: citation @{key}: no such key in {self.path.name}")
        self.cited[key] += 1
        number = list(self.cited).index(key) + 1
        return MACROS.citation(key, self._ids(key)[-1], number)

    def _ids(self, key: str) -> list[str]:
        return [f"cite-{key}-{count}" for count in range(1, self.cited[key] + 1)]

    def references(self) -> list[dict]:
        """Return of every reference its key, its HTML and the ids of its citations."""
        if not self.cited:
            return []
        style = find_plugin("pybtex.style.formatting", "unsrt")()
        backend = find_plugin("pybtex.backends", "html")()
        return [
            {"key": each.key, "html": Safe(each.text.render(backend)), "ids": self._ids(each.key)}
            for each in style.format_bibliography(self.entries, list(self.cited))
        ]
