"""One style for every chart: how each network looks, fonts and lines, and marks that charts share.

A network has the same colour, marker and line everywhere. Colours are those of Okabe
and Ito's palette, which colour-blind readers can tell apart; a network beyond the four has the
colour of its skips and a line of its own. Lines are labelled where they end.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from lib import ROOT
from lib.models import TITLES, short_name

COLUMN, PAGE = 3.5, 7.0  # the two widths of a figure, in inches
INK, FAINT, GREY = "#333333", "#d9d9d9", "#666666"
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.2))  # as Matplotlib writes them: offset, on and off
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
CONTRAST = 4.5  # of text with its ground, as WCAG 2 asks for


@dataclass(frozen=True)
class Look:
    """How one network looks in every chart."""

    color: str
    marker: str
    line: str | tuple
    short: str = ""  # the name of its lines, as `lib.models` has it


KNOWN = {
    "unet": Look("#0072B2", "o", "-"),
    "unet-noskip": Look("#D55E00", "s", "-"),
    "unet-residual": Look("#009E73", "^", "-"),
    "unet-gated-attention": Look("#AA3377", "D", "-"),
    "unet-residual-noskip": Look("#D55E00", "v", DASHED),
    "unet-residual-gated-attention": Look("#AA3377", "X", DASHED),
    "unet-noskip-wide": Look("#D55E00", "P", DOTTED),
    "unet-noskip-finest": Look("#0072B2", "p", DOTTED),
}
SPARE = (("#E69F00", "*"), ("#56B4E9", "h"), ("#000000", "d"), ("#8C510A", "<"))
SUBSETS = tuple(("#7f7f7f", marker) for marker in ".1234")  # of the skips: one grey for all of them


def looks(variants: Iterable[str]) -> dict[str, Look]:
    """Return the look of each variant, also of one without a row in `KNOWN`.

    The first of these have a colour and a marker each; more of them share it on another kind of line.
    """
    variants = list(variants)
    unknown = [key for key in variants if key not in KNOWN]
    subsets = [key for key in unknown if key.startswith("unet-skips-")]
    others = [key for key in unknown if key not in subsets]
    table = KNOWN | _spare(others, SPARE) | _spare(subsets, SUBSETS)
    return {key: replace(table[key], short=short_name(key)) for key in variants}


def _spare(variants: Sequence[str], marks: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """Return a look for each variant: the colours and markers in turn, then on other lines."""
    found = {}
    for index, key in enumerate(variants):
        color, marker = marks[index % len(marks)]
        line = ("-", DASHED, DOTTED)[index // len(marks) % 3]
        found[key] = Look(color, marker, line)
    return found


LOOKS = looks(TITLES)

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # the fallback font's gaps
for font in sorted((ROOT / "report" / "fonts").glob("*.ttf")):
    font_manager.fontManager.addfont(font)
sns.set_theme(context="paper", style="ticks", rc={
    "font.family": ["Inter", "DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.titleweight": "semibold",
    "axes.titlelocation": "left",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "image.interpolation": "nearest",
    "axes.formatter.use_mathtext": True,
    "svg.hashsalt": "unet",
})  # fmt: skip


def plain(text: str) -> str:
    """Return a user's name so that Matplotlib shows it as it is: no maths, never left out."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # a legend leaves out what starts with _


def plain_rows(axes: Axes, names: Sequence[str] | None = None) -> None:
    """Set one row for each name, from top to bottom, without an axis line."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    if names is not None:
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.6)


def mark_classes(axes: Axes, names: Sequence[str]) -> None:
    """Lay an unseen band over the row of each class, which the page lights up in every chart."""
    for row, name in enumerate(names):
        axes.axhspan(row - 0.5, row + 0.5, fc="none", ec="none", zorder=9, gid=f"class.{name}")


def legible(color: str) -> tuple[float, ...]:
    """Return the colour as text: darkened until its contrast with white is that of WCAG 2."""
    rgb = np.array(to_rgb(color))
    while _contrast_with_white(rgb) < CONTRAST:
        rgb *= 0.97
    return tuple(rgb)


def _contrast_with_white(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ LUMINANCE + 0.05)


def label_ends(axes: Axes, ends: dict[str, tuple[float, float, str]]) -> None:
    """Write each line's name beside its end (x, y, colour); names do not overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.075
    place = -np.inf
    for name, (x, y, color) in sorted(ends.items(), key=lambda item: item[1][1]):
        place = max(y, place + gap)
        right = x + 0.02 * axes.get_xlim()[1]
        axes.annotate(name, (x, y), (right, place), color=legible(color), va="center",
                      fontsize=7.5, annotation_clip=False)  # fmt: skip
