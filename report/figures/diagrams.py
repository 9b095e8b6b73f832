"""The networks as drawings, read from the built models: no drawing can be out of date.

What a network shares with the U-Net is in ink, what differs in its colour. A block is as wide as
its channels and as tall as its resolution, both damped. Colours are CSS variables with a value for
light paper, so that a drawing follows the theme of the page around it and also stands alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
import torch
from torch import nn

from lib.models import TITLES, VARIANTS, build_model
from lib.records import Run
from report.figures.show import Exhibit
from report.figures.style import LOOKS

WIDTH, GAP, SMALL = 672, 24, 11  # pixels: of a figure, between drawings, the size of lettering
Point = tuple[float, float]
STYLE = """
text { font-family: Inter, system-ui, sans-serif; fill: var(--ink, #1d2127) }
.muted { fill: var(--muted, #59616b) } .middle { text-anchor: middle } .end { text-anchor: end }
.bold { font-weight: 600 } .sign { fill: #fefefe; font-weight: 600; text-anchor: middle }
.box { fill: var(--tint, #f5f6f8); stroke: var(--ink, #1d2127) }
.line, .own { fill: none; stroke: var(--muted, #59616b) }
.tip { fill: var(--muted, #59616b) } .own { stroke: var(--own); stroke-width: 2 }
.fill { fill: var(--own) } .none { stroke-dasharray: 2 4 } .ground { fill: var(--ground, #fff) }
"""


@dataclass(frozen=True)
class Level:
    """One level of a network; at the bottleneck nothing crosses, and `decoder` is 0."""

    size: tuple[int, int]
    encoder: int  # channels
    shortcut: bool  # around its blocks
    crossing: int = 0  # channels of the skip
    gated: bool = False
    up: int = 0  # channels from the coarser level
    decoder: int = 0


@lru_cache
def read(
    variant: str, base_channels: int, num_classes: int, size: tuple[int, int]
) -> tuple[Level, ...]:
    """Return the levels of the network that `build_model` builds, finest first, for images (H, W).

    A block with a part called `shortcut` has one, and a skip with weights is a gate.
    """
    with torch.device("meta"):
        model = build_model(variant, num_classes=num_classes, base_channels=base_channels).eval()
        image = torch.empty(1, 3, *size)
    shapes = {}

    def remember(module: nn.Module, arguments: tuple, output: torch.Tensor) -> None:
        shapes[module] = tuple(output.shape)

    hooks = [module.register_forward_hook(remember) for module in model.modules()]
    model(image)
    for hook in hooks:
        hook.remove()
    levels = []
    for block, skip, up, decoder in zip(model.encoder, model.skips, model.ups, model.decoder):
        _, channels, *grid = shapes[block]
        gated = any(True for _ in skip.parameters())
        passing = shapes[skip][1], gated, shapes[up][1], shapes[decoder][1]
        levels.append(Level(tuple(grid), channels, hasattr(block, "shortcut"), *passing))
    bottleneck = model.encoder[-1]
    _, channels, *grid = shapes[bottleneck]
    return *levels, Level(tuple(grid), channels, hasattr(bottleneck, "shortcut"))


def of_run(run: Run, variant: str) -> tuple[Level, ...]:
    """Return the levels of a network in the setting of a run."""
    size = tuple(run.record["dataset"]["size"])
    return read(variant, run.config["base_channels"], len(run.classes), size)


def network(run: Run) -> Exhibit:
    """The whole network of a run with its channels and sizes."""
    levels = of_run(run, run.variant)
    body, height = _shape(levels, run.variant, WIDTH)
    what = difference(levels)
    return Exhibit(
        _document(body, height, _own(run.variant)),
        f"fig-network-{run.variant}",
        f"The {run.title} has {what}, in colour. Numbers are channels: left of the encoder's "
        "blocks their output, over the skips what crosses, right of the decoder's blocks what "
        "crosses + what comes up → what the block makes of both.",
        f"Diagram of the {run.title}: {len(levels)} levels from {levels[0].encoder} to "
        f"{levels[-1].encoder} channels; {what}.",
    )


def four(runs: Sequence[Run]) -> Exhibit:
    """All networks of the study side by side, each with what makes it different in its colour."""
    width = (WIDTH - GAP) / 2
    drawings, found = "", []
    y = height = 0.0
    for index, key in enumerate(VARIANTS):
        levels = of_run(runs[0], key)
        body, height = _shape(levels, key, width)
        height += 26
        row, column = divmod(index, 2)
        x, y = column * (width + GAP), row * (height + GAP)
        title = text(TITLES[key], 0, 13, "bold", 13)
        drawings += tag(
            "svg", title, tag("g", body, transform="translate(0 26)"), x=x, y=y, width=width,
            height=height, viewBox=f"0 0 {width:g} {height:g}", role="img",
            aria_label=f"{TITLES[key]}: {difference(levels)}",
            style=f"{_own(key)};--share:{width / WIDTH:.3f}",
        )  # fmt: skip
        found.append(f"the {TITLES[key]} has {difference(levels)}")
    return Exhibit(
        _document(drawings, y + height, ""),
        "fig-networks",
        f"In one frame, {'; '.join(found)}. Blocks are as wide as their channels, which stand "
        "below them, and as tall as their resolution.",
        f"{len(VARIANTS)} diagrams of a U, alike but for what is in colour.",
    )


def difference(levels: Sequence[Level]) -> str:
    """Return what sets a network apart, in words."""
    if any(level.gated for level in levels):
        return "a gate on every skip, fed by the coarser level"
    if levels[0].shortcut:
        return "a shortcut around every block"
    crossing = [level.crossing > 0 for level in levels[:-1]]
    if all(crossing):
        return "a skip at every level"
    return "some skips missing" if any(crossing) else "no skips"


def _own(variant: str) -> str:
    """The declaration of a drawing's own colour, lifted on dark paper."""
    return f"--own:color-mix(in srgb,{LOOKS[variant].color},#fff var(--lift,0%))"


def _document(body: str, height: float, style: str) -> str:
    ground = tag("rect", width=WIDTH, height=height, class_="ground")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH} {height:g}" style="{style}">'
        f"<style>{STYLE}</style>{ground}{body}</svg>\n"
    )


def _shape(levels: Sequence[Level], variant: str, width: float) -> tuple[str, float]:
    """Return the U of a network of that width in pixels, and its height."""
    detailed = width == WIDTH
    step, unit, tallest, gap = (54, 12, 68, 27) if detailed else (30, 8, 44, 24)
    boxes, y, middle = [], 22.0, width / 2  # away from the middle, centre, width and height of each
    for index, level in enumerate(levels):
        tall = tallest * (level.size[0] / levels[0].size[0]) ** 0.45
        wide = unit * (level.encoder / levels[0].encoder) ** 0.55
        boxes.append(((len(levels) - 1 - index) * step, y + tall / 2, wide, tall))
        y += tall + gap
    body = ""
    for index, level in enumerate(levels):
        away, centre, wide, tall = boxes[index]
        left, right = middle - away, middle + away
        if level.decoder:
            below = boxes[index + 1]
            body += _skip((left + wide / 2, centre), (right - wide / 2, centre), level, variant)
            bottom, y_below, side = centre + tall / 2, below[1], below[0] + below[2] / 2
            body += arrow((left, bottom), (left, y_below), (middle - side, y_below))
            body += arrow((middle + side, y_below), (right, y_below), (right, bottom))
            if level.gated:
                x = middle + below[0]
                body += arrow((x, below[1] - below[3] / 2), (x, centre + 8), kind="own")
                body += tag("circle", cx=x, cy=centre, r=8, class_="fill")
                body += text("×", x, centre + 4, "sign", 13)
        for x in dict.fromkeys((left, right)):
            body += _block(x, centre, wide, tall, level.shortcut)
        body += _numbers(left, right, boxes[index], level, detailed)
    if detailed:
        _, centre, wide, _ = boxes[0]
        start, end = middle - boxes[0][0] - wide / 2, middle + boxes[0][0] + wide / 2
        body += arrow((start - 46, centre), (start, centre))
        body += arrow((end, centre), (end + 40, centre))
        body += text("image", start - 8, centre - 6, "end") + text("logits", end + 8, centre - 6)
    return body, y - gap + 20


def _block(x: float, y: float, width: float, height: float, shortcut: bool) -> str:
    top = y - height / 2
    block = tag("rect", x=x - width / 2, y=top, width=width, height=height, rx=2, class_="box")
    if not shortcut:
        return block
    reach, leg = width / 2 + 5, f"{3 + height / 3:.1f}"
    start, turn = f"{x - reach:.1f} {y - height / 6:.1f}", f"{x + reach - 6:.1f}"
    arch = f"M{start}v-{leg}q0-6 6-6H{turn}q6 0 6 6v{leg}"
    return block + tag("path", d=arch, class_="own")


def _skip(start: Point, end: Point, level: Level, variant: str) -> str:
    """What crosses on one level; a missing skip is dotted."""
    if not level.crossing:
        return tag("path", d=_path(start, end), class_="own none")
    return arrow(start, end, kind="own" if variant == "unet" else "line")


def _numbers(
    left: float, right: float, box: tuple[float, float, float, float], level: Level, detailed: bool
) -> str:
    """Size and channels beside the blocks of one level, or channels alone below them."""
    _, y, width, height = box
    size = " × ".join(map(str, level.size))
    if not level.decoder:
        words = f"{level.encoder} channels, {size}" if detailed else str(level.encoder)
        return text(words, left, y + height / 2 + 14, "middle")
    if not detailed:
        return text(str(level.encoder), left + 4, y + height / 2 + 11, "muted")
    drawn = text(size, 0, y + 4, "muted")
    drawn += text(str(level.encoder), left - width / 2 - 6, y + 15, "end")
    drawn += text(str(level.crossing), left + width / 2 + 15, y - 6, "middle muted")
    joined = f"{level.crossing} + {level.up} → {level.decoder}"
    return drawn + text(joined, right + width / 2 + 6, y + 15)


def tag(name: str, *children: str, **attributes: object) -> str:
    """Return one element; `class_` and `stroke_width` stand for class and stroke-width."""
    opened = name
    for key, value in attributes.items():
        words = f"{value:.4g}" if isinstance(value, float) else str(value)
        opened += f' {key.rstrip("_").replace("_", "-")}="{escape(words)}"'
    return f"<{opened}>{''.join(children)}</{name}>" if children else f"<{opened}/>"


def text(content: str, x: float, y: float, kind: str = "", size: float = SMALL) -> str:
    """Return a line of text that starts, ends or is centred at (x, y), as its kind says."""
    return tag("text", escape(content), x=x, y=y, font_size=size, class_=kind)


def arrow(*corners: Point, kind: str = "line") -> str:
    """Return a line through the corners, horizontal and vertical pieces, with a tip at its end."""
    before, end = np.array(corners[-2:])
    ahead = 7 * np.sign(end - before)  # the length of the tip
    aside = ahead[::-1] / 2
    back, across = -ahead - aside, 2 * aside
    tip = f"{_path(end)}l{back[0]:.1f} {back[1]:.1f}l{across[0]:.1f} {across[1]:.1f}z"
    filled = "fill" if kind == "own" else "tip"
    return tag("path", d=_path(*corners), class_=kind) + tag("path", d=tip, class_=filled)


def _path(*corners: Point) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
