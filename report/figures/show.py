"""What a notebook shows: figures and tables with their captions, and computed prose.

A figure and its caption are one function: it returns an `Exhibit`, and `show` displays that. Label,
caption and alternative text reach the report in the metadata of the notebook's output, and the
caption stands below the figure for those who read the notebook itself.
"""

import inspect
import re
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from lib import ROOT
from lib.files import write_atomically
from report.figures.drawing import drawn, saved, values_of_lines

DOCSTRING = re.compile(r'\n +"""(?:(?!""").)*"""\n(?: *\n(?= +def))?', re.DOTALL)
UNIT = re.compile(  # "46.2 %", "−1.1 to 2.3 points", "+0.5 points (−1.1 to 2.3)"
    r"[+−\d][−\d.,]*(?: to [−\d.,]+)?\N{NO-BREAK SPACE}(%|points|px|epochs|s)(?: \([−\d., to]+\))?"
)
SENTENCE = 24  # characters: JupyterLab sets shorter cells flush right, which suits numbers
FORMATS = {
    "png": {"metadata": {"Software": None}},
    "webp": {  # for photographs
        "dpi": 270, "bbox_inches": "tight", "pad_inches": 0,
        "pil_kwargs": {"quality": 88, "method": 6},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Exhibit:
    """A figure or a table, and everything that the report says about it."""

    content: Figure | pd.DataFrame | str  # a chart, a table, a drawing as SVG, or HTML
    label: str  # "fig-..." or "tbl-...": how the text refers to it
    caption: str  # in Markdown
    alt: str = ""  # what a figure shows, in words
    stack: bool = False  # its panels stand below each other on a narrow screen
    interactive: bool = False  # HTML with its own style and script; absent on paper
    live: str = ""  # HTML that stands for the figure where its script runs
    file: str = ""  # the picture that is saved beside the report, PNG or WebP
    saved: Figure | None = None  # what is saved there, where it is not the figure itself

    def data(self) -> dict[str, str]:
        """Return the content by MIME type, as a notebook stores it."""
        if isinstance(self.content, pd.DataFrame):
            plain = self.content.to_string(index=False)
            return {"text/html": table_html(self.content, self.label), "text/plain": plain}
        if self.interactive:
            return {"text/html": self.content, "text/plain": self.alt}
        svg = self.content
        if isinstance(svg, Figure):
            svg = drawn(svg, self.label, self.stack)
        return {"text/html": svg_image(svg, self.alt), "text/plain": self.alt}

    def metadata(self) -> dict[str, object]:
        """Return what the report needs to know beside the data, once these have been made."""
        report = {"label": self.label, "caption": self.caption}
        for name in ("alt", "interactive", "live"):
            if value := getattr(self, name):
                report[name] = value
        curves = values_of_lines(self.content) if isinstance(self.content, Figure) else []
        return report | {"curves": curves} if curves else report


def table_html(content: pd.DataFrame, label: str) -> str:
    """Return a table as HTML: units in the heads, text at the left, numbers of equal length."""
    table = content.rename(columns=lambda name: str(name))
    for name in table:
        if unit := shared_unit(table[name]):
            table[name] = table[name].str.replace(f"\N{NO-BREAK SPACE}{unit}", "", regex=False)
            table = table.rename(columns={name: f"{name} ({unit})"})
    counts = dict.fromkeys(table.select_dtypes("integer"), "{:,}")
    decimals = {name: f"{{:,.{digits(table[name])}f}}" for name in table.select_dtypes("float")}
    left = {
        name: [{"selector": "th, td", "props": "text-align: left"}]
        for name in table
        if table[name].map(str).str.len().max() > SENTENCE
    }
    styled = table.style.hide().format(counts | decimals, escape="html", na_rep="–")
    return styled.set_table_styles(left).set_uuid(label).to_html()


def digits(column: pd.Series) -> int:
    """Return the decimals of a column of numbers, which show three digits of the median one."""
    sizes = column.abs().replace(0, np.nan)
    if sizes.isna().all():
        return 0
    middle, smallest = (int(np.floor(np.log10(size))) for size in (sizes.median(), sizes.min()))
    return min(3, max(0, 2 - middle, -smallest))


def shared_unit(column: pd.Series) -> str:
    """Return the unit of every cell with a number, or nothing where they differ."""
    texts = [text for text in column if text != "–"]
    if not texts or not all(isinstance(text, str) for text in texts):
        return ""
    units = {match[1] if (match := UNIT.fullmatch(text)) else "" for text in texts}
    return units.pop() if len(units) == 1 else ""


def svg_image(svg: str, alt: str) -> str:
    """Return an SVG as an HTML image, which JupyterLab shows in a notebook it does not trust."""
    data = b64encode(svg.encode()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'


def show(*exhibits: Exhibit | None, folder: str | Path | None = None) -> None:
    """Display each figure or table; None is nothing to show.

    A figure that names a file is saved in the folder, where one is given.
    """
    for exhibit in filter(None, exhibits):
        data = exhibit.data()  # first, since what lines say is read of a drawn figure
        display(data, raw=True, metadata={"report": exhibit.metadata()})
        if exhibit.file and folder:
            suffix = Path(exhibit.file).suffix[1:]
            content = saved(exhibit.saved or exhibit.content, format=suffix, **FORMATS[suffix])
            write_atomically(ROOT / folder / exhibit.file, content)
        for figure in (exhibit.content, exhibit.saved):
            if isinstance(figure, Figure):
                plt.close(figure)
        kind = "Table" if exhibit.label.startswith("tbl") else "Figure"
        text = f'<a id="{exhibit.label}"></a>**{kind}.** {exhibit.caption}'
        note = {"text/markdown": text, "text/plain": exhibit.caption}
        display(note, raw=True, metadata={"report": {"caption_of": exhibit.label}})


def say(text: str) -> None:
    """Display computed prose, in Markdown; an empty text is nothing to say."""
    if text:
        display({"text/markdown": text, "text/plain": text}, raw=True)


def listing(*parts: type) -> str:
    """Return the source of classes, without their docstrings, as a block of code in Markdown."""
    sources = [DOCSTRING.sub("\n", inspect.getsource(part)).strip() for part in parts]
    return "```python\n" + "\n\n".join(sources) + "\n```"
