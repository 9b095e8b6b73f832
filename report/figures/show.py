"""What a notebook shows: figures and tables with their captions, and computed prose.

A figure and its caption are one function: it returns an `Exhibit`, and `show` displays that. Label,
caption and alternative text reach the report in the metadata of the notebook's output, and the
caption stands below the figure for those who read the notebook itself.
"""

import inspect
import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from PIL import Image

from lib import ROOT
from lib.files import write_atomically
from report.references import linked, numbers

# What Matplotlib writes of places: paths, places of marks and letters; scales are no places.
PLACES = re.compile(r'(?<= )(?:d|x|y)="[^"]*"|translate\([^)]*\)')
FRACTION = re.compile(r"-?\d+\.\d{4,}")
HASHED = re.compile(r'id="\w*?([0-9a-f]{10})"')
DOCSTRING = re.compile(r'\n +"""(?:(?!""").)*"""\n(?: *\n(?= +def))?', re.DOTALL)
UNIT = re.compile(r"[−\d][−\d.,]*(?: to [−\d.,]+)?\N{NO-BREAK SPACE}(%|points|px|epochs|s)")
SENTENCE = 24  # characters: JupyterLab sets shorter cells flush right, which suits numbers
EMBEDDED = re.compile(r'<image [^>]*?"(data:image/png;base64,([^"]*))"[^>]*>')
PIXELATED = "image-rendering:crisp-edges;image-rendering:pixelated"
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
for prefix, namespace in (("", SVG), ("xlink", XLINK)):
    ElementTree.register_namespace(prefix, namespace)
JPEG = {"quality": 87, "optimize": True}  # which a PDF takes as it is


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
        svg = _saved(self.content, format="svg", metadata={"Date": None}).decode()
        if self.stack:
            svg = stacked(svg, self.content)
        svg = repeatable(EMBEDDED.sub(_smaller, svg), self.label)
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


def show(
    *exhibits: Exhibit | str | None, place: str = "", folder: str | Path | None = None
) -> None:
    """Display each figure or table; text says what is missing, and None is nothing to show.

    `place="front"` puts it on the report's first page; a figure that names a file is saved as PNG
    in the folder, where one is given.
    """
    for exhibit in exhibits:
        if isinstance(exhibit, str):
            say(exhibit)
        elif exhibit is not None:
            _show(exhibit, place, folder)


def _show(exhibit: Exhibit, place: str, folder: str | Path | None) -> None:
    report = {"label": exhibit.label, "caption": exhibit.caption}
    if exhibit.alt:
        report["alt"] = exhibit.alt
    if exhibit.interactive:
        report["interactive"] = True
    if exhibit.live:
        report["live"] = exhibit.live
    if place:
        report["place"] = place
    data = exhibit.data()
    if "image/svg+xml" in data:
        data = {"text/html": as_image(data["image/svg+xml"], exhibit.alt), "text/plain": exhibit.alt}
    if curves := exhibit.curves:
        report["curves"] = curves
    if exhibit.file and folder:
        write_atomically(ROOT / folder / exhibit.file, _picture(exhibit))
    for figure in (exhibit.content, exhibit.saved):
        if isinstance(figure, Figure):
            plt.close(figure)
    display(data, raw=True, metadata={"report": report})
    kind = "Table" if exhibit.label.startswith("tbl") else "Figure"
    name = numbers().get(exhibit.label, kind)
    text = f'<a id="{exhibit.label}"></a>**{name}.** {linked(exhibit.caption)}'
    note = {"text/markdown": text, "text/plain": exhibit.caption}
    display(note, raw=True, metadata={"report": {"caption_of": exhibit.label}})


def as_image(svg: str, alt: str) -> str:
    """Return an SVG as an HTML image, which JupyterLab shows in a notebook that it does not trust."""
    data = b64encode(svg.encode()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'


def show_table(table: pd.DataFrame, label: str, caption: str, place: str = "") -> None:
    """Display a table whose caption the notebook itself words."""
    show(Exhibit(table, label, caption), place=place)


def say(text: str, place: str = "") -> None:
    """Display computed prose, in Markdown; `place="abstract"` puts it on top of the first page."""
    report = {"prose": True}
    if place:
        report["place"] = place
    text = linked(text)
    display({"text/markdown": text, "text/plain": text}, raw=True, metadata={"report": report})


def listing(*parts: type) -> str:
    """Return the source of classes, without their docstrings, as a block of code in Markdown."""
    sources = [DOCSTRING.sub("\n", inspect.getsource(part)).strip() for part in parts]
    return "```python\n" + "\n\n".join(sources) + "\n```"


def _picture(exhibit: Exhibit) -> bytes:
    """The figure as a file: PNG, or WebP for photographs."""
    figure = exhibit.saved or exhibit.content
    if exhibit.file.endswith(".webp"):
        return _saved(figure, format="webp", dpi=270, bbox_inches="tight", pad_inches=0,
                      pil_kwargs={"quality": 88, "method": 6})  # fmt: skip
    return _saved(figure, format="png", metadata={"Software": None})


def _saved(figure: Figure, **options: object) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def stacked(svg: str, figure: Figure) -> str:
    """Return the drawing of a figure as a drawing of drawings, one for each of its panels.

    A page that is too narrow for them side by side sets them below each other.
    """
    root = ElementTree.fromstring(svg)
    body = next(child for child in root if child.tag == f"{{{SVG}}}g")
    parts = [part for part in body if part.get("id", "").startswith(("axes_", "legend_"))]
    definitions = [child for child in root if child.tag == f"{{{SVG}}}defs"]
    for child in (body, *definitions):
        root.remove(child)
    height, scale = 72 * figure.get_figheight(), 72 / figure.dpi
    for part, artist in zip(parts, [*figure.axes, *figure.legends]):
        box = artist.get_tightbbox()
        left, top = scale * box.x0, height - scale * box.y1
        place = {"x": left, "y": top, "width": scale * box.width, "height": scale * box.height}
        place = {name: f"{value:.1f}" for name, value in place.items()}
        share = box.width * scale / 72 / figure.get_figwidth()
        panel = ElementTree.SubElement(root, f"{{{SVG}}}svg", place)
        panel.set("viewBox", " ".join(place.values()))
        panel.set("style", f"--share:{share:.3f}")
        panel.extend([*definitions, part])
        definitions = []
    return ElementTree.tostring(root, encoding="unicode")


def _smaller(match: re.Match) -> str:
    """Return the element of a picture, indexed if it has few colours, else a JPEG, and smooth."""
    element, uri, data = match[0], match[1], match[2]
    picture = np.array(Image.open(io.BytesIO(b64decode(data))).convert("RGBA"))
    colors, indices = np.unique(picture.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colors) <= 256:
        return element.replace(uri, indexed(indices.reshape(picture.shape[:2]), colors))
    photograph = data_uri(Image.fromarray(picture[..., :3]), "jpeg", **JPEG)
    return element.replace(uri, photograph).replace(PIXELATED, "")


def indexed(indices: np.ndarray, palette: np.ndarray) -> str:
    """Return indices (H, W) into a palette, uint8 (N, 4), as the data URI of a PNG."""
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(palette[:, :3].tobytes())
    opacity = palette[:, 3]
    clear = {} if opacity.all() and opacity.min() == 255 else {"transparency": opacity.tobytes()}
    return data_uri(image, "png", optimize=True, **clear)


def data_uri(image: Image.Image, kind: str, **options: object) -> str:
    """Return a picture in this format as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"


def repeatable(svg: str, label: str) -> str:
    """Return an SVG of Matplotlib's so that the same code gives the same bytes.

    Places have three decimals, since contours and layouts differ from the sixth on between runs.
    Identifiers that Matplotlib makes of hashes of places become the figure's label with a number.
    """
    svg = PLACES.sub(lambda match: FRACTION.sub(_rounded, match[0]), svg)
    for number, digest in enumerate(dict.fromkeys(HASHED.findall(svg))):
        svg = svg.replace(digest, f"-{label}-{number}")
    return svg


def _rounded(match: re.Match) -> str:
    return str(round(float(match[0]), 3) + 0.0)  # no -0.0


def readings(figure: Figure) -> list[dict]:
    """Return, for each axes with named lines, the points of these in words and where they lie.

    Places are in points from the upper left of the figure, which must have been drawn or saved.
    """
    panels = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if _is_named(line)]
        if lines:
            panels.append(_panel(axes, lines))
    return panels


def _is_named(line: Line2D) -> bool:
    return not line.get_label().startswith("_") and line.get_linestyle() != "None"


def _panel(axes: Axes, lines: list[Line2D]) -> dict:
    """One axes: its labels, its box (left, right, top, bottom), and its lines."""
    width, height = 72 * axes.figure.get_size_inches()
    scale = 72 / axes.figure.dpi
    box = axes.get_window_extent()
    return {
        "x": axes.get_xlabel(),
        "title": axes.get_title("left") or axes.get_ylabel(),
        "width": width,
        "box": [round(scale * x, 1) for x in (box.x0, box.x1)]
        + [round(height - scale * y, 1) for y in (box.y1, box.y0)],
        "lines": [
            {"name": line.get_label(), "color": line.get_color(), "at": list(_points(line, axes))}
            for line in lines
        ],
    }


def _points(line: Line2D, axes: Axes) -> Iterator[list]:
    """Every point of a line: x and y in words, then its place."""
    height, scale = 72 * axes.figure.get_size_inches()[1], 72 / axes.figure.dpi
    names = _tick_names(axes)
    points = np.column_stack(line.get_data()).astype(float)
    for (x, y), (across, up) in zip(points, axes.transData.transform(points)):
        if np.isfinite(y):
            nearest = min(names, key=lambda tick: abs(tick - x), default=None)
            x_words = f"{x:g}" if nearest is None else names[nearest]
            y_words = f"{y:,.0f}" if abs(y) >= 1000 else f"{y:#.3g}".rstrip(".")
            yield [x_words, y_words, round(scale * across, 1), round(height - scale * up, 1)]


def _tick_names(axes: Axes) -> dict[float, str]:
    """The names of ticks that were set one by one; a number set as a formula is a number again."""
    if not isinstance(axes.xaxis.get_major_locator(), FixedLocator):
        return {}
    names = {}
    for tick, label in zip(axes.get_xticks(), axes.get_xticklabels()):
        text = label.get_text()
        names[tick] = f"{tick:g}" if "$" in text else text
    return names
