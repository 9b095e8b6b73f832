"""A chart of Matplotlib's as the page takes it: SVG, its pictures, and the values of its lines."""

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from PIL import Image

# What Matplotlib writes of places: paths, places of marks and letters; scales are no places.
PLACES = re.compile(r'(?<= )(?:d|x|y)="[^"]*"|translate\([^)]*\)')
FRACTION = re.compile(r"-?\d+\.\d{4,}")
HASHED = re.compile(r'id="\w*?([0-9a-f]{10})"')
EMBEDDED = re.compile(r'<image [^>]*?"(data:image/png;base64,([^"]*))"[^>]*>')
PIXELATED = "image-rendering:crisp-edges;image-rendering:pixelated"
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
for prefix, namespace in (("", SVG), ("xlink", XLINK)):
    ElementTree.register_namespace(prefix, namespace)
JPEG = {"quality": 87, "optimize": True}  # which a PDF takes as it is


def drawn(figure: Figure, label: str, stack: bool) -> str:
    """Return a figure as SVG, the same bytes for the same figure.

    Photographs in it are JPEG and label maps indexed PNG; `stack` makes a drawing of each panel.
    """
    svg = saved(figure, format="svg", metadata={"Date": None}).decode()
    if stack:
        svg = stacked(svg, figure)
    return repeatable(EMBEDDED.sub(_smaller, svg), label)


def saved(figure: Figure, **options: object) -> bytes:
    """Return a figure as the content of a file."""
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
