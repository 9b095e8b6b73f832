"""One style for every chart: how each network looks, fonts and lines, and marks that charts share.

A network has the same colour, marker and line everywhere, and no other network has them. Colours
are those of Okabe and Ito's palette, which colour-blind readers can tell apart, and darker ones
beside them. Networks with a subset of the U-Net's skips stand in no chart of networks, and share
one look. Lines are labelled where they end.

The palettes that data sets come with were made to be told apart by programs: CamVid's car and fence
are two dark blues. Those of known data sets are therefore replaced here, by colours that stay apart
for colour-blind readers too; a user's own classes have the colours that they came with.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from scipy.optimize import isotonic_regression

from lib import ROOT
from lib.datasets.camvid import CLASSES as CAMVID
from lib.files import ClassTable
from lib.models import SHORT, TITLES, VARIANTS
from lib.records import Run, by_variant
from lib.scenes.stage import CLASSES as SCENES

PAGE = 7.0  # the width of a figure, in inches
INK, FAINT, GREY = "#333333", "#d9d9d9", "#666666"
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.2))  # as Matplotlib writes them: offset, on and off
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
LABEL = 7.5  # points: the size of a line's name
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
    "unet-residual-noskip": Look("#E69F00", "v", DASHED),
    "unet-residual-gated-attention": Look("#4B2A8C", "X", DASHED),
    "unet-noskip-wide": Look("#8C510A", "P", DOTTED),
}
SPARE = (("#000000", "*"), ("#CC79A7", (4, 1)), ("#808000", (6, 1)), ("#7F7F7F", (8, 1)))
SUBSET = "unet-skips-"  # before a digit for each level, 1 where it has a skip

# Of classes, by name.
SKY, PAVEMENT, TREE, SIGN = "#a6d0fa", "#cb90ec", "#22861c", "#fff338"
COLORS = {
    "Sky": SKY, "Unlabeled": SKY, "Building": "#86868e", "Road": "#33215a", "Pavement": PAVEMENT,
    "Sidewalk": PAVEMENT, "Tree": TREE, "Vegetation": TREE, "Car": "#1f35ee", "Fence": "#8c2a06",
    "Pole": "#ffa400", "SignSymbol": SIGN, "Traffic sign": SIGN, "Pedestrian": "#bc0078",
    "Bicyclist": "#00dca8", "Other": "#155f5e", "Roadline": "#fefefe", "Wall": "#450a16",
}  # fmt: skip


def looks(variants: Iterable[str]) -> dict[str, Look]:
    """Return the look of each variant, also of one without a row in `KNOWN`.

    The first of these have a colour and a marker each; more share them on another kind of line.
    """
    table, others = {}, 0
    for key in variants:
        look = KNOWN.get(key, Look(GREY, ".", "-"))
        if key not in KNOWN and not key.startswith(SUBSET):
            color, marker = SPARE[others % len(SPARE)]
            look = Look(color, marker, ("-", DASHED, DOTTED)[others // len(SPARE) % 3])
            others += 1
        table[key] = replace(look, short=SHORT.get(key, key))
    return table


LOOKS = looks(TITLES)


def displayed(classes: ClassTable) -> ClassTable:
    """Return the classes with the colours that they have in figures."""
    if classes not in (CAMVID, SCENES):
        return classes
    colors = [(255 * np.array(to_rgb(COLORS[name]))).round().astype(int) for name in classes.names]
    return replace(classes, colors=tuple(tuple(color.tolist()) for color in colors))


def of_the_study(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of the study's own networks, or of all where there are none of these."""
    groups = by_variant(runs)
    return {key: group for key, group in groups.items() if key in VARIANTS} or groups


logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # the fallback font's gaps
for font in sorted((ROOT / "report" / "fonts").glob("*.ttf")):
    font_manager.fontManager.addfont(font)
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
SMALL = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize")
THIN = ("axes.linewidth", "xtick.major.width", "ytick.major.width")
sns.set_theme(context="paper", style="ticks", rc={
    **dict.fromkeys(INKED, INK),
    **dict.fromkeys(SMALL, 7.5),
    **dict.fromkeys(THIN, 0.6),
    "font.family": ["Inter", "DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.titleweight": "semibold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.4,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "image.interpolation": "none",  # pictures keep their own pixels
    "image.composite_image": False,
    "axes.formatter.use_mathtext": True,
    "mathtext.fontset": "custom",
    "mathtext.default": "regular",
    "svg.fonttype": "none",  # text stays text, in the page's own fonts
    "svg.hashsalt": "unet",
})  # fmt: skip


def plain(text: str) -> str:
    """Return a user's name so that Matplotlib shows it as it is: no maths, never left out."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # a legend leaves out what starts with _


def line(axes: Axes, x: Sequence[float], values: np.ndarray, variant: str, **style: object) -> None:
    """Draw the mean of values (seeds, X) in a network's look, and a band from lowest to highest."""
    look = LOOKS[variant]
    default = {"marker": look.marker, "ls": look.line, "ms": 3, "label": look.short}
    axes.plot(x, values.mean(0), color=look.color, **default | style)
    axes.fill_between(x, values.min(0), values.max(0), color=look.color, alpha=0.15, lw=0)


def dots(axes: Axes, row: int, values: np.ndarray, variant: str, size: float) -> None:
    """Draw a network's runs as faint marks on a row, and their mean as a bar."""
    look = LOOKS[variant]
    axes.plot(values, np.full(len(values), row), look.marker, color=look.color, ms=size, mew=0,
              alpha=0.6)  # fmt: skip
    axes.plot(values.mean(), row, "|", color=look.color, ms=size * 3, mew=1.8)


def interval(
    axes: Axes, rows: Sequence[int], low: Sequence[float], value: Sequence[float],
    high: Sequence[float], variant: str,
) -> None:  # fmt: skip
    """Draw a network's values on rows as marks, each over its interval."""
    look = LOOKS[variant]
    axes.hlines(rows, low, high, color=look.color, lw=2, alpha=0.5)
    axes.plot(value, rows, look.marker, color=look.color, ms=4.5, mew=0, label=TITLES[variant])


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
    """Write each line's name at the right of its end (x, y, colour), with a leader where it moved.

    Names are as far apart as their height, and otherwise as near to their ends as they can be.
    """
    names = sorted(ends, key=lambda name: ends[name][1])
    low, high = axes.get_ylim()
    height = 72 * axes.figure.get_figheight() * axes.get_position().height  # points
    gap = (high - low) * LABEL / height * 1.6
    steps = gap * np.arange(len(names))
    y = np.array([ends[name][1] for name in names])
    places = isotonic_regression(y - steps).x + steps
    for name, place in zip(names, places):
        x, y, color = ends[name]
        axes.annotate(name, (x, y), (1.04, place), textcoords=axes.get_yaxis_transform(),
                      color=legible(color), va="center", fontsize=LABEL, annotation_clip=False,
                      arrowprops={"arrowstyle": "-", "lw": 0.5, "color": color, "alpha": 0.6,
                                  "shrinkA": 0, "shrinkB": 1})  # fmt: skip
