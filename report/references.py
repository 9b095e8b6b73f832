"""Links between text, figures, tables, sections, equations and references.

Text is written with `@fig-loss`, `@sec-theory` and `[@holm1979]`. `python -m report.references`
turns these in the notebooks into links such as `[Figure 3](#fig-loss)`, which JupyterLab shows as
they are, gives links that are there their present text, and lists at the end of each notebook what
it cites. Computed text passes through the same function, `linked`. The numbers are those of the
published report; the page counts its own.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

from lib import ROOT
from lib.files import write_atomically

NOTEBOOKS = ROOT / "notebooks"
BIBLIOGRAPHY = ROOT / "report" / "references.bib"
NUMBERS = ROOT / "report" / "numbers.json"  # label -> "Figure 3", in the published report
CODE = re.compile(r"(```.*?```|`[^`]*`|\$\$.*?\$\$)", re.DOTALL)  # where an @ is an @
CITATION = re.compile(r"(?<![^\W_])\[(@[\w:.-]+(?:\s*;\s*@[\w:.-]+)*)\]")
SHORT = re.compile(r"(?<![^\W_])@((?:fig|tbl|eq|sec)-[\w-]*\w)")
LINK = re.compile(r"\[([^\[\]]*)\]\(#((?:fig|tbl|eq|ref)-[\w:.-]*\w)\)")
HEADING = re.compile(r"^(#+) (.*)\n<!-- (sec-[\w-]+) -->", re.MULTILINE)
TAG = re.compile(r"\\label\{([\w-]+)\}\s*\\tag\{(\w+)\}")
CAPTION = re.compile(r'<figcaption id="([\w-]+)-caption"><b>(\w+ \w+)\.</b>')
REFERENCES = "references"  # the tag of the last cell


class MarkupError(ValueError):
    """Something in a notebook cannot be rendered; the text names the notebook and the cell."""


def linked(text: str) -> str:
    """Return Markdown in which every reference and citation is a link with its present text.

    Raise MarkupError for a section or a key of the bibliography that is not there.
    """
    parts = CODE.split(text)
    parts[::2] = [_linked(part) for part in parts[::2]]
    return "".join(parts)


def _linked(text: str) -> str:
    text = CITATION.sub(lambda match: _cited(match[1]), text)
    text = SHORT.sub(lambda match: _link(match[1]), text)
    return LINK.sub(lambda match: f"[{_name(match[2], match[1])}](#{match[2]})", text)


def _cited(keys: str) -> str:
    links = [f"[](#ref-{key})" for key in re.findall(r"@([\w:.-]+)", keys)]
    return f"({'; '.join(links)})"


def _link(label: str) -> str:
    if not label.startswith("sec-"):
        return f"[](#{label})"
    if label not in sections():
        raise MarkupError(f"reference @{label}: no heading of a notebook has this label")
    title, target = sections()[label]
    return f"[{title}]({target})"


def _name(label: str, now: str) -> str:
    """Return the text of a link to this label, which now has that text."""
    kind, key = label.split("-", 1)
    if kind == "ref":
        return authors_and_year(entry(key), narrative=now.endswith(")"))
    default = {"fig": "Figure", "tbl": "Table", "eq": "the equation"}[kind]
    return numbers().get(label, default)


@cache
def bibliography() -> dict[str, Entry]:
    """Return the entries of report/references.bib by key."""
    return dict(parse_file(str(BIBLIOGRAPHY)).entries)


def entry(key: str) -> Entry:
    """Return one entry; raise MarkupError if there is none."""
    if key not in bibliography():
        raise MarkupError(f"citation @{key}: no such key in {BIBLIOGRAPHY.name}")
    return bibliography()[key]


def authors_and_year(source: Entry, narrative: bool = False) -> str:
    """Return "Alain and Bengio, 2017", or "Alain and Bengio (2017)" for use in a sentence."""
    names = [" ".join(person.last_names).strip("{}") for person in source.persons["author"]]
    who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
    year = source.fields["year"]
    return f"{who} ({year})" if narrative else f"{who}, {year}"


def formatted(keys: list[str], backend: str) -> dict[str, str]:
    """Return each of these references as pybtex writes it, in the order of authors and years."""
    style = find_plugin("pybtex.style.formatting", "unsrt")()
    writer = find_plugin("pybtex.backends", backend)()
    keys = sorted(keys, key=lambda key: authors_and_year(entry(key)).lower())
    entries = style.format_entries([entry(key) for key in keys])
    return {each.key: each.text.render(writer) for each in entries}


@cache
def sections() -> dict[str, tuple[str, str]]:
    """Return label -> title and link of each labelled heading, as JupyterLab names its anchors."""
    found = {}
    for name, source in prose():
        for marks, title, label in HEADING.findall(source):
            anchor = "" if marks == "#" else "#" + slug(title)
            found[label] = (title, name + anchor)
    return found


def prose() -> Iterator[tuple[str, str]]:
    """Yield the file's name and the source of each cell of text in the project's notebooks."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                yield path.name, cell.source


def slug(title: str) -> str:
    """Return the anchor of a heading."""
    return title.strip().replace(" ", "-")


@cache
def numbers() -> dict[str, str]:
    """Return the names of figures and tables in the published report, and of tagged equations."""
    known = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for _, source in prose():
        known |= {label: f"equation ({number})" for label, number in TAG.findall(source)}
    return known


def renew(path: Path) -> str:
    """Return a notebook's source with its links renewed and its references listed at the end."""
    notebook = nbformat.read(path, 4)
    cells = [each for each in notebook.cells if REFERENCES not in each.metadata.get("tags", [])]
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source)
    texts = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    keys = dict.fromkeys(re.findall(r"\(#ref-([\w:.-]*\w)\)", texts))
    notebook.cells = cells
    if keys:
        lines = formatted(list(keys), "markdown").items()
        items = [f'- <a id="ref-{key}"></a>{text}' for key, text in lines]
        source = "\n".join(["## References", "", *items])
        last = nbformat.v4.new_markdown_cell(source, id=REFERENCES)
        last.metadata.tags = [REFERENCES]
        notebook.cells.append(last)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def main(arguments: list[str]) -> None:
    """Take numbers from the report that is named, if any, and renew the notebooks."""
    for name in arguments:
        found = dict(CAPTION.findall(Path(name).read_text()))
        write_atomically(NUMBERS, (json.dumps(found, indent=0) + "\n").encode())
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text = renew(path)
        if text != path.read_text():
            write_atomically(path, text.encode())
            print(f"{path.name}: links renewed")


if __name__ == "__main__":
    main(sys.argv[1:])
