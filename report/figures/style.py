"""One style for every chart, the charts of one network or data set, and how a notebook shows what it has made.

A variant has the same colour and marker everywhere (Okabe and Ito's palette, safe for colour-blind readers); those
beyond the four have the colour of their skips and a line of their own, and a new network without a row in `LOOKS` has a
look that no other has. Lines are labelled where they end. Charts that
compare networks are in `report.figures.charts`, pictures in `report.figures.pictures`. `show` and `show_table` carry label, caption
and alternative text to the report, and write the caption below for those who read the notebook itself.
"""

import io
import logging
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib import ROOT
from lib.files import write_atomically
from lib.models import TITLES
from lib.records import Run
from report.figures.curves import readings

COLUMN, PAGE = 3.5, 7.0  # the two widths of a figure, in inches
NONE, GATED, DASHED, DOTTED = "#D55E00", "#AA3377", (0, (4, 1.5)), (0, (1, 1.2))
LOOKS = {  # colour, marker, line and short name of each network
    "unet": ("#0072B2", "o", "-", "U-Net"),
    "unet-noskip": (NONE, "s", "-", "no skips"),
    "unet-residual": ("#009E73", "^", "-", "residual"),
    "unet-gated-attention": (GATED, "D", "-", "gated"),
    "unet-residual-noskip": (NONE, "v", DASHED, "residual, none"),
    "unet-residual-gated-attention": (GATED, "X", DASHED, "residual, gated"),
    "unet-noskip-wide": (NONE, "P", DOTTED, "no skips, wide"),
    "unet-noskip-finest": ("#0072B2", "p", DOTTED, "no finest skip"),
}
SPARE = [("#E69F00", "*"), ("#56B4E9", "h"), ("#332288", "<"), ("#882255", ">")]  # without a row above
SUBSET = ("#7f7f7f", ".", "-")  # the subsets of the skips, which share one


def _look(key: str, unlisted: list[str]) -> tuple:
    """Return colour, marker, line and short name of a network, by its row or among those without."""
    name = key.removeprefix("unet-").replace("-", " ")
    if key in LOOKS:
        return LOOKS[key]
    if key.startswith("unet-skips-"):
        return *SUBSET, name
    again, place = divmod(unlisted.index(key), len(SPARE))
    return *SPARE[place], ("-", DASHED, DOTTED)[again % 3], name


def _looks(keys: Sequence[str]) -> dict[str, tuple]:
    """Return the look of every network in the order of the table of networks."""
    unlisted = [key for key in keys if key not in LOOKS and not key.startswith("unet-skips-")]
    return {key: _look(key, unlisted) for key in keys}


LOOKS = _looks([*TITLES])
COLORS, MARKERS, LINES, SHORT = ({key: look[part] for key, look in LOOKS.items()} for part in range(4))
INK, FAINT, LUMINANCE = "#333333", "#d9d9d9", np.array([0.2126, 0.7152, 0.0722])

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it tells notebooks what the fallback font lacks
for font in sorted((ROOT / "report" / "fonts").glob("*.ttf")):
    font_manager.fontManager.addfont(font)
sns.set_theme(context="paper", style="ticks", rc={
    "font.family": ["Inter", "DejaVu Sans"], "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 7.5, "axes.titleweight": "semibold",
    "axes.titlelocation": "left", "axes.edgecolor": INK, "axes.linewidth": 0.6, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "xtick.major.size": 3, "ytick.major.size": 3, "lines.linewidth": 1.4,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": FAINT, "grid.linewidth": 0.5,
    "figure.dpi": 100, "savefig.dpi": 200, "figure.constrained_layout.use": True, "legend.frameon": False,
    "svg.hashsalt": "unet", "image.interpolation": "nearest", "axes.formatter.use_mathtext": True,
})


def show(figure: Figure, label: str, caption: str, alt: str, photograph: bool = False,
         file: str | Path | None = None) -> None:
    """Displays the figure under its label, as SVG or (with photographs in it) WebP, and saves a PNG as `file`."""
    buffer = io.BytesIO()
    if photograph:
        figure.savefig(buffer, format="webp", dpi=200, pil_kwargs={"quality": 86, "method": 5, "use_sharp_yuv": True})
        data = {"image/webp": buffer.getvalue()}
    else:
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        data = {"image/svg+xml": buffer.getvalue().decode()}
    if file:
        png = io.BytesIO()
        figure.savefig(png, format="png", metadata={"Software": None})
        write_atomically(ROOT / file, png.getvalue())
    curves = [] if photograph else readings(figure)
    plt.close(figure)
    _display(data | {"text/plain": alt}, label, caption, alt=alt, **({"curves": curves} if curves else {}))


def show_drawing(svg: str, label: str, caption: str, alt: str, place: str | None = None) -> None:
    """Displays an SVG of `report.figures.diagrams` under its label; `place="front"` puts it on the report's first page."""
    _display({"image/svg+xml": svg, "text/plain": alt}, label, caption, alt=alt, **({"place": place} if place else {}))


def show_table(table: pd.DataFrame, label: str, caption: str, formats: dict[str, str] | None = None,
               place: str | None = None) -> None:
    """Displays a table under its label, without its index; `formats` maps columns to format strings.

    `place="front"` puts it on the report's first page.
    """
    sentences = [name for name in table if table[name].map(str).str.len().max() > 24]  # JupyterLab would set them flush right
    left = {name: [{"selector": "th, td", "props": "text-align: left"}] for name in sentences}
    styled = table.style.hide().format(formats or {}, escape="html", na_rep="–").set_table_styles(left)
    html = styled.set_uuid(label).to_html()
    _display({"text/html": html, "text/plain": table.to_string(index=False)}, label, caption,
             **({"place": place} if place else {}))


def show_interactive(html: str, label: str, caption: str, alt: str) -> None:
    """Displays a working part of the page, HTML that brings its own style and script; print and no script leave it out."""
    _display({"text/html": html, "text/plain": alt}, label, caption, alt=alt, interactive=True)


def _display(data: dict, label: str, caption: str, **more: object) -> None:
    data = {kind: b64encode(part).decode() if isinstance(part, bytes) else part for kind, part in data.items()}
    display(data, raw=True, metadata={"report": {"label": label, "caption": caption, **more}})
    kind = "Table" if label.startswith("tbl") else "Figure"
    note = {"text/markdown": f"*{kind}.* {caption}", "text/plain": caption}
    display(note, raw=True, metadata={"report": {"caption_of": label}})


def say(text: str, place: str | None = None) -> None:
    """Displays computed prose, in Markdown; `place="abstract"` puts it on top of the report's first page."""
    report = {"prose": True} | ({"place": place} if place else {})
    display({"text/markdown": text, "text/plain": text}, raw=True, metadata={"report": report})


def by_variant(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each variant, in the order of the table of variants."""
    return {key: group for key in TITLES if (group := [run for run in runs if run.variant == key])}


def first_seeds(runs: Sequence[Run]) -> dict[str, Run]:
    """The first run of each variant."""
    return {key: group[0] for key, group in by_variant(runs).items()}


def plain(text: str) -> str:
    """A name of the user's as Matplotlib shows it as it is: no maths, and no line that a legend leaves out."""
    return " " * text.startswith("_") + text.replace("$", r"\$")


def plain_rows(axes: Axes, names: Sequence[str] | None = None) -> None:
    """One row for each name, from top to bottom, without an axis line."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    if names is not None:
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.6)


def mark_classes(axes: Axes, names: Sequence[str]) -> None:
    """An unseen band over the row of each class, which the page lights up in every chart at once."""
    for row, name in enumerate(names):
        axes.axhspan(row - 0.5, row + 0.5, fc="none", ec="none", zorder=9, gid=f"class.{name}")


def legible(color: str) -> tuple[float, ...]:
    """The colour as text: darker where its contrast with white is below 4.5, as WCAG 2 measures it."""
    rgb = np.array(to_rgb(color))
    while 1.05 / (np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ LUMINANCE + 0.05) < 4.5:
        rgb *= 0.97
    return tuple(rgb)


def label_ends(axes: Axes, ends: dict[str, tuple[float, float, str]]) -> None:
    """Writes each line's name beside its end (x, y, colour), moved apart where names would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.075
    place = -np.inf
    for name, (x, y, color) in sorted(ends.items(), key=lambda item: item[1][1]):
        place = max(y, place + gap)
        axes.annotate(name, (x, y), (x + 0.02 * axes.get_xlim()[1], place), color=legible(color), va="center", fontsize=7.5,
                      annotation_clip=False)


def training_curves(run: Run) -> Figure:
    """One run: both losses at the left, validation mIoU with the epoch that was tested at the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.4))
    history, color = run.history.set_index("epoch"), COLORS[run.variant]
    validated = history.dropna()
    left.plot(history.index, history.train_loss, color=color, label="training")
    left.plot(validated.index, validated.val_loss, color=color, ls=(0, (4, 2)), label="validation")
    label_ends(left, {"training": (history.index[-1], history.train_loss.iloc[-1], color),
                      "validation": (validated.index[-1], validated.val_loss.iloc[-1], color)})
    left.set(xlabel="epoch", ylabel="loss (nats per pixel)")
    right.plot(validated.index, 100 * validated.val_miou, color=color, marker=MARKERS[run.variant], ms=3, label=run.title)
    tested = run.tested_epoch
    right.axvline(tested, color=FAINT, zorder=0)
    right.annotate("tested", (tested, right.get_ylim()[0]), (-3, 3), textcoords="offset points", ha="right",
                   color="#666666", fontsize=7)
    right.set(xlabel="epoch", ylabel="validation mIoU (%)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def class_scores(runs: Sequence[Run]) -> Figure:
    """Test IoU of every class, the mean over seeds, classes from frequent to rare in the training pixels."""
    groups = by_variant(runs)
    pixels = np.array(runs[0].record["dataset"]["pixels"]["train"])
    order = np.argsort(-pixels)
    share = 100 * pixels / pixels.sum()
    height = 0.6 + (0.24 if len(groups) > 1 else 0.18) * len(order)
    figure, axes = plt.subplots(figsize=(PAGE, height))
    spread = np.linspace(-0.24, 0.24, len(groups)) if len(groups) > 1 else [0.0]
    for offset, (key, group) in zip(spread, groups.items()):
        scores = 100 * np.stack([run.iou for run in group])[:, order]
        rows = np.arange(len(order)) + offset
        axes.hlines(rows, scores.min(0), scores.max(0), color=COLORS[key], lw=3, alpha=0.25)
        axes.plot(scores.mean(0), rows, MARKERS[key], color=COLORS[key], ms=4, mew=0, label=TITLES[key])
    names = [f"{runs[0].classes.names[k]}  ({_share(share[k])} %)" for k in order]
    plain_rows(axes, names)
    mark_classes(axes, [runs[0].classes.names[k] for k in order])
    axes.set(xlabel="test IoU (%)", xlim=(-1, 100))
    axes.grid(axis="y")
    if len(groups) > 1:
        figure.legend(loc="outside upper left", ncols=4 if len(groups) < 5 else 3, columnspacing=1.2, handletextpad=0.2)
    return figure


def _share(percent: float) -> str:
    return f"{percent:.0f}" if percent >= 9.5 else f"{percent:.2g}"


def class_balance(pixels: dict[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Share of the pixels of every class in each split, on a logarithmic scale, from frequent to rare."""
    order = np.argsort(-np.asarray(pixels["train"]))
    figure, axes = plt.subplots(figsize=(PAGE, 0.6 + 0.2 * len(order)))
    for (split, counts), marker, color in zip(pixels.items(), "o|x", (INK, "#0072B2", "#D55E00")):
        share = 100 * np.asarray(counts)[order] / np.sum(counts)
        shown = share > 0
        axes.plot(share[shown], np.arange(len(order))[shown], marker, color=color, ms=5, label=split)
    plain_rows(axes, [names[k] for k in order])
    mark_classes(axes, [names[k] for k in order])
    axes.set(xscale="log", xlabel="share of labelled pixels (%)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="y")
    axes.legend(loc="lower right")
    return figure
