"""What a page needs to read values off the lines of a chart."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator


def readings(figure: Figure) -> list[dict]:
    """A panel for each axes with named lines: their points in words, and their places in points from the upper left."""
    panels, scale, (width, height) = [], 72 / figure.dpi, 72 * figure.get_size_inches()
    for axes in figure.axes:
        lines = [line for line in axes.lines if not line.get_label().startswith("_") and line.get_linestyle() != "None"]
        box, named = axes.get_window_extent(), {}
        if isinstance(axes.xaxis.get_major_locator(), FixedLocator):
            ticks = ((tick, label.get_text()) for tick, label in zip(axes.get_xticks(), axes.get_xticklabels()))
            named = {tick: f"{tick:g}" if "$" in text else text for tick, text in ticks}  # a number, set as a formula
        if lines:
            panels.append({"x": axes.get_xlabel(), "title": axes.get_title("left") or axes.get_ylabel(), "width": width,
                           "box": [round(scale * x, 1) for x in (box.x0, box.x1)]
                           + [round(height - scale * y, 1) for y in (box.y1, box.y0)],
                           "lines": [{"name": line.get_label(), "color": line.get_color(),
                                      "at": list(_places(line, axes, named, scale, height))} for line in lines]})
    return panels


def _places(line: Line2D, axes: Axes, named: dict, scale: float, height: float) -> Iterator[list]:
    """Of every point of a line: x and y in words, and its place."""
    points = np.column_stack(line.get_data()).astype(float)
    for (x, y), (across, up) in zip(points, axes.transData.transform(points)):
        if np.isfinite(y):
            near = min(named, key=lambda tick: abs(tick - x), default=None)
            words = f"{y:,.0f}" if abs(y) >= 1000 else f"{y:#.3g}".rstrip(".")
            yield [f"{x:g}" if near is None else named[near], words, round(scale * across, 1), round(height - scale * up, 1)]
