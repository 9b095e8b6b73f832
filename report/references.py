"""The works that the text cites: a link to one of report/references.bib is a citation of it.

JupyterLab shows such a link as it is. The page lists the works that are cited, see `report.markup`;
so does the last cell of each notebook, which the page leaves out and this command writes:

    python -m report.references
"""

from functools import cache

import nbformat
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

from lib import ROOT

LIST = "references"  # the name of the cell with the list
BIBLIOGRAPHY = ROOT / "report" / "references.bib"


@cache
def works() -> dict[str, str]:
    """Return the key of each work by the address that links lead to: its DOI, arXiv or own page."""
    return {address(entry): key for key, entry in parse_file(str(BIBLIOGRAPHY)).entries.items()}


def address(work: Entry) -> str:
    """Return the address of a work on the web."""
    if "doi" in work.fields:
        return f"https://doi.org/{work.fields['doi']}"
    if "eprint" in work.fields:
        return f"https://arxiv.org/abs/{work.fields['eprint']}"
    return work.fields["url"]


def formatted(keys: list[str], form: str = "html") -> dict[str, str]:
    """Return these works as HTML or Markdown by key, in the order of authors and years."""
    entries = parse_file(str(BIBLIOGRAPHY)).entries
    style = find_plugin("pybtex.style.formatting", "plain")()
    backend = find_plugin("pybtex.backends", form)()
    lines = style.format_entries([entries[key] for key in keys])
    return {line.key: line.text.render(backend) for line in lines}


def reference_list(text: str) -> str:
    """Return the works that a text links to, as a section in Markdown; "" where it cites none."""
    cited = [key for link, key in works().items() if f"({link})" in text]
    lines = formatted(cited, "markdown").values()
    return "\n".join(["## References", "", *(f"- {line}" for line in lines)]) if cited else ""


def main() -> None:
    """Renew the last cell of every notebook, the list of references."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        cells = [cell for cell in notebook.cells if cell.get("id") != LIST]
        if listed := reference_list("\n".join(cell.source for cell in cells)):
            last = nbformat.v4.new_markdown_cell(listed, id=LIST)
            last.metadata.tags = ["remove-cell"]
            cells.append(last)
        notebook.cells = cells
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
