"""What a notebook shows: figures and tables with their captions, and computed prose.

A figure and its caption are one function: it returns an `Exhibit`, and `show` displays that. Label,
caption and alternative text reach the report in the metadata of the notebook's output, and the
caption stands below the figure for those who read the notebook itself.
"""

import inspect
import re
from base64 import b64encode
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from lib import ROOT
from lib.files import write_atomically
from report.figures.drawing import drawn, readings, saved

DOCSTRING = re.compile(r'\n +"""(?:(?!""").)*"""\n(?: *\n(?= +def))?', re.DOTALL)
UNIT = re.compile(r"[−\d][−\d.,]*(?: to [−\d.,]+)?\N{NO-BREAK SPACE}(%|points|px|epochs|s)")
SENTENCE = 24  # characters: JupyterLab sets shorter cells flush right, which suits numbers


@dataclass(frozen=True)
class Exhibit:
    """A figure or a table, and everything that the report says about it."""

    content: Figure | pd.DataFrame | str  # a chart, a table, a drawing as SVG, or HTML
    label: str  # "fig-..." or "tbl-...": how the text refers to it
    caption: str  # in Markdown
    alt: str = ""  # what a figure shows, in words
    formats: dict[str, str] = field(default_factory=dict)  # of a table's columns
    stack: bool = False  # its panels stand below each other on a narrow screen
    interactive: bool = False  # HTML with its own style and script; absent on paper
    live: str = ""  # HTML that stands for the figure where its script runs
    file: str = ""  # the picture that is saved beside the report, PNG or WebP
    saved: Figure | None = None  # what is saved there, where it is not the figure itself

    @property
    def curves(self) -> list[dict]:
        """The values of the lines of a chart that has been drawn, to be read off on the page."""
        return readings(self.content) if self._is_chart else []

    @property
    def _is_chart(self) -> bool:
        return isinstance(self.content, Figure)

    def data(self) -> dict[str, str]:
        """Return the content by MIME type, as a notebook stores it."""
        if isinstance(self.content, pd.DataFrame):
            return {"text/html": self._html(), "text/plain": self.content.to_string(index=False)}
        if self.interactive:
            return {"text/html": self.content, "text/plain": self.alt}
        if not self._is_chart:
            return {"image/svg+xml": self.content, "text/plain": self.alt}
        svg = drawn(self.content, self.label, self.stack)
        return {"image/svg+xml": svg, "text/plain": self.alt}

    def _html(self) -> str:
        table = self.content.rename(columns=lambda name: str(name))
        for name in table:
            if unit := shared_unit(table[name]):
                table[name] = table[name].str.removesuffix(unit).str.rstrip()
                table = table.rename(columns={name: f"{name} ({unit})"})
        left = {
            name: [{"selector": "th, td", "props": "text-align: left"}]
            for name in table
            if table[name].map(str).str.len().max() > SENTENCE
        }
        styled = table.style.hide().format(self.formats, escape="html", na_rep="–")
        return styled.set_table_styles(left).set_uuid(self.label).to_html()


def shared_unit(column: pd.Series) -> str:
    """Return the unit that every cell with a number ends with, or nothing."""
    texts = [text for text in column if text != "–"]
    if not texts or not all(isinstance(text, str) for text in texts):
        return ""
    units = {match[1] if (match := UNIT.fullmatch(text)) else "" for text in texts}
    return units.pop() if len(units) == 1 else ""


def show(*exhibits: Exhibit | str | None, folder: str | Path | None = None) -> None:
    """Display each figure or table; text says what is missing, and None is nothing to show.

    A figure that names a file is saved in the folder, where one is given.
    """
    for exhibit in exhibits:
        if isinstance(exhibit, str):
            say(exhibit)
        elif exhibit is not None:
            _show(exhibit, folder)


def _show(exhibit: Exhibit, folder: str | Path | None) -> None:
    report = {"label": exhibit.label, "caption": exhibit.caption}
    if exhibit.alt:
        report["alt"] = exhibit.alt
    if exhibit.interactive:
        report["interactive"] = True
    if exhibit.live:
        report["live"] = exhibit.live
    data = exhibit.data()
    if "image/svg+xml" in data:
        picture = as_image(data["image/svg+xml"], exhibit.alt)
        data = {"text/html": picture, "text/plain": exhibit.alt}
    if curves := exhibit.curves:
        report["curves"] = curves
    if exhibit.file and folder:
        write_atomically(ROOT / folder / exhibit.file, _picture(exhibit))
    for figure in (exhibit.content, exhibit.saved):
        if isinstance(figure, Figure):
            plt.close(figure)
    display(data, raw=True, metadata={"report": report})
    kind = "Table" if exhibit.label.startswith("tbl") else "Figure"
    text = f'<a id="{exhibit.label}"></a>**{kind}.** {exhibit.caption}'
    note = {"text/markdown": text, "text/plain": exhibit.caption}
    display(note, raw=True, metadata={"report": {"caption_of": exhibit.label}})


def as_image(svg: str, alt: str) -> str:
    """Return an SVG as an HTML image, which JupyterLab shows in a notebook it does not trust."""
    data = b64encode(svg.encode()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'


def say(text: str) -> None:
    """Display computed prose, in Markdown."""
    display({"text/markdown": text, "text/plain": text}, raw=True)


def listing(*parts: type) -> str:
    """Return the source of classes, without their docstrings, as a block of code in Markdown."""
    sources = [DOCSTRING.sub("\n", inspect.getsource(part)).strip() for part in parts]
    return "```python\n" + "\n\n".join(sources) + "\n```"


def _picture(exhibit: Exhibit) -> bytes:
    """The figure as a file: PNG, or WebP for photographs."""
    figure = exhibit.saved or exhibit.content
    if exhibit.file.endswith(".webp"):
        return saved(figure, format="webp", dpi=270, bbox_inches="tight", pad_inches=0,
                     pil_kwargs={"quality": 88, "method": 6})  # fmt: skip
    return saved(figure, format="png", metadata={"Software": None})
