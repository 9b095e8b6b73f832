"""The works that the text cites: a link to one of report/references.bib is a citation of it.

JupyterLab shows such a link as it is. The page lists the works that are cited, see `report.markup`.
"""

from functools import cache

from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

from lib import ROOT

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


def formatted(keys: list[str]) -> dict[str, str]:
    """Return these works as HTML by key, in the order of authors and years."""
    entries = parse_file(str(BIBLIOGRAPHY)).entries
    style = find_plugin("pybtex.style.formatting", "plain")()
    html = find_plugin("pybtex.backends", "html")()
    lines = style.format_entries([entries[key] for key in keys])
    return {line.key: line.text.render(html) for line in lines}
