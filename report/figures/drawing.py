"""A chart of Matplotlib's as the page takes it: SVG, its pictures, and the values of its lines."""

import io
import re
from base64 import b64decode, b64encode
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
        return element.replace(uri, indexed_png(indices.reshape(picture.shape[:2]), colors))
    photograph = data_uri(Image.fromarray(picture[..., :3]), "jpeg", **JPEG)
    return element.replace(uri, photograph).replace(PIXELATED, "")


def indexed_png(indices: np.ndarray, palette: np.ndarray) -> str:
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


def values_of_lines(figure: Figure) -> list[dict]:
    """Return, for each axes with named lines, the points of these in words and where they lie.

    Places are in points from the upper left of the figure, which must have been drawn or saved.
    """
    width, height = 72 * figure.get_size_inches()
    scale = 72 / figure.dpi

    def place(pixels: np.ndarray) -> list[float]:
        x, y = (float(value) for value in pixels)
        return [round(scale * x, 1), round(height - scale * y, 1)]

    panels = []
    for axes in figure.axes:
        lines = []
        for line in axes.lines:
            named = not line.get_label().startswith("_") and line.get_linestyle() != "None"
            if named:
                points = np.column_stack(line.get_data()).astype(float)
                at = [
                    [_name_of(x, axes), _three_digits(y), *place(axes.transData.transform((x, y)))]
                    for x, y in points
                    if np.isfinite(y)
                ]
                lines.append({"name": line.get_label(), "color": line.get_color(), "at": at})
        if lines:
            (left, bottom), (right, top) = map(place, axes.get_window_extent().get_points())
            panels.append({
                "x": axes.get_xlabel(),
                "title": axes.get_title("left") or axes.get_ylabel(),
                "width": width,
                "box": [left, right, top, bottom],
                "lines": lines,
            })
    return panels


def _three_digits(y: float) -> str:
    return f"{y:,.0f}" if abs(y) >= 1000 else f"{y:#.3g}".rstrip(".")


def _name_of(x: float, axes: Axes) -> str:
    """Return the name of the nearest tick where ticks were set one by one, else the number."""
    if not isinstance(axes.xaxis.get_major_locator(), FixedLocator):
        return f"{x:g}"
    ticks = axes.get_xticks()
    nearest = int(np.abs(ticks - x).argmin())
    text = axes.get_xticklabels()[nearest].get_text()
    return f"{ticks[nearest]:g}" if "$" in text else text  # a formula is a number again
