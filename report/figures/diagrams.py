"""Each network as a drawing: what one shares with the U-Net in ink, what differs in colour.

A block is as wide as its channels and as tall as its resolution, both damped. Colours are CSS
variables with a value for light paper, so that a drawing follows the theme of the page around it
and also stands alone.
"""

from collections.abc import Sequence

from lib.records import Run
from report.figures.architecture import (
    Architecture, Level, arrow, chart, line, read, tag, text,
)  # fmt: skip
from report.figures.show import Exhibit
from report.figures.style import LOOKS

PAGE, WIDE = 672, 400  # pixels: the width of a figure, and from which on there is room for numbers
STYLE = (
    "text{font-family:Inter,system-ui,sans-serif;fill:var(--ink,#1d2127)}\n"
    ".muted{fill:var(--muted,#59616b)}.middle{text-anchor:middle}.end{text-anchor:end}"
    ".bold{font-weight:600}\n"
    ".box{fill:var(--tint,#f5f6f8);stroke:var(--ink,#1d2127)}"
    ".soft{fill:var(--paper,#fff);stroke:var(--muted,#59616b)}\n"
    ".line,.stroke,.faint{fill:none;stroke:var(--muted,#59616b)}.faint{stroke-opacity:.35}"
    ".tip{fill:var(--muted,#59616b)}\n"
    ".stroke{stroke:var(--own);stroke-width:1.6}.own{fill:var(--own)}.none{stroke-dasharray:2 3}"
    ".paper{fill:var(--paper,#fff)}\n"
    ".ground{fill:var(--ground,#fff)}"
    ".small{font-size:11px;font-weight:400;fill:var(--muted,#59616b)}"
)


def network(run: Run) -> Exhibit:
    """The whole network of a run and, step by step, the part that makes it different."""
    itself, plain = architectures(run)
    body, height = shape(itself, plain, run.variant, PAGE)
    parts = (
        ("The finest skip, step by step", itself.skip, plain.skip),
        ("The decoder's finest block, step by step", itself.block, plain.block),
    )
    for title, own, other in parts:
        of_reference = run.variant == "unet" and own is itself.block
        if of_reference or len(own) > len(other) + 1:  # a step that only cuts away needs no picture
            body += text(title, 0, height + 24, "bold", 11.5)
            steps, tall = chart(own, PAGE)
            body += tag("g", steps, transform=f"translate(0 {height + 42:g})")
            height += 42 + tall
    finest, coarsest = itself.levels[0], itself.levels[-1]
    coloured = _coloured(finest, plain.levels[0])
    return Exhibit(
        document(body, height, own_color(run.variant)),
        f"fig-network-{run.variant}",
        f"{run.title}, drawn from the built model: in colour {coloured}. Numbers are channels: "
        "left of and below the encoder's blocks their output, over the skips what crosses, right "
        "of the decoder's blocks what crosses + what comes up → what the block makes of both. "
        "Boxes with a dark outline have weights.",
        f"Diagram of the {run.title}: {len(itself.levels)} levels from {finest.encoder} to "
        f"{coarsest.encoder} channels, with {coloured} in colour.",
    )


def architectures(run: Run) -> tuple[Architecture, Architecture]:
    """Return the run's network, and the U-Net of the same study."""
    size = tuple(run.record["dataset"]["size"])
    study = run.config["base_channels"], len(run.classes), size
    return read(run.variant, *study), read("unet", *study)


def _coloured(finest: Level, plain: Level) -> str:
    """What is drawn in colour, in words."""
    if finest.gated != plain.gated:
        return "the gates, each fed by the coarser level"
    if finest.encoder_shortcut != plain.encoder_shortcut:
        return "the shortcuts around every block"
    return "the skips" if finest.crossing else "the skips that are missing"


def own_color(variant: str) -> str:
    """Return the declaration of a drawing's own colour, lifted on dark paper."""
    return f"--own:color-mix(in srgb,{LOOKS[variant].color},#fff var(--lift,0%))"


def document(body: str, height: float, style: str) -> str:
    """Return a whole drawing of that height in pixels."""
    ground = tag("rect", width=PAGE, height=height, class_="ground")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PAGE:g}" height="{height:g}" '
        f'viewBox="0 0 {PAGE:g} {height:g}" style="{style}">'
        f"<style>{STYLE}</style>{ground}{body}</svg>\n"
    )


class _Layout:
    """Where the blocks of a network stand: level by level down at the left, up at the right."""

    def __init__(self, levels: Sequence[Level], width: float):
        self.detailed, self.middle = width > WIDE, width / 2
        step, unit, tallest, gap, y = width / 9.4, width / 26, 30, 9, 4
        if self.detailed:
            step, unit, tallest, gap, y = 54, 12, 68, 25, 20
        self.boxes = []
        for index, level in enumerate(levels):
            height = tallest * (level.size[0] / levels[0].size[0]) ** 0.45
            width = unit * (level.encoder / levels[0].encoder) ** 0.55
            self.boxes.append(((len(levels) - 1 - index) * step, y + height / 2, width, height))
            y += height + gap
        self.height = y - gap
        if self.detailed:
            self.height += 20  # the bottleneck's numbers are below it

    def encoder(self, level: int) -> tuple[float, float, float, float]:
        """Return centre x, y, width and height of a block of the encoder, or the bottleneck."""
        away, *box = self.boxes[level]
        return self.middle - away, *box

    def decoder(self, level: int) -> tuple[float, float, float, float]:
        """Return centre x, y, width and height of a block of the decoder, or the bottleneck."""
        away, *box = self.boxes[level]
        return self.middle + away, *box


def shape(
    itself: Architecture, plain: Architecture, variant: str, width: float
) -> tuple[str, float]:
    """Return the U with its arrows, with numbers where there is room for them, and its height."""
    layout = _Layout(itself.levels, width)
    drawn = ""
    for index, (level, other) in enumerate(zip(itself.levels, plain.levels)):
        left, right = layout.encoder(index), layout.decoder(index)
        if level.decoder:
            drawn += _skip(layout, index, level, variant) + _down_and_up(layout, index)
        drawn += _block(left, level.encoder_shortcut and not other.encoder_shortcut, layout)
        if level.decoder:
            drawn += _block(right, level.decoder_shortcut and not other.decoder_shortcut, layout)
        if layout.detailed:
            drawn += _numbers(left, right, level)
    if layout.detailed:
        drawn += _ends(layout, itself)
    return drawn, layout.height


def _block(box: tuple[float, float, float, float], shortcut: bool, layout: _Layout) -> str:
    x, y, width, height = box
    top = y - height / 2
    block = tag("rect", x=x - width / 2, y=top, width=width, height=height, rx=2, class_="box")
    if not shortcut:
        return block
    reach, lift = (width / 2 + 5, 15) if layout.detailed else (width / 2 + 2, 6)
    radius = lift / 2
    arch = (
        f"M{x - reach:.1f} {top + 5:.1f}V{top - lift / 3:.1f}"
        f"q0-{radius:.1f} {radius:.1f}-{radius:.1f}H{x + reach - radius:.1f}"
        f"q{radius:.1f} 0 {radius:.1f} {radius:.1f}V{top + 5:.1f}"
    )
    return block + tag("path", d=arch, class_="stroke")


def _skip(layout: _Layout, index: int, level: Level, variant: str) -> str:
    """What crosses on one level, with its gate; a missing skip is dotted."""
    left, y, width, _ = layout.encoder(index)
    right = layout.decoder(index)[0]
    start, end = left + width / 2, right - width / 2
    if level.crossing:
        drawn = arrow((start, y), (end, y), kind="stroke" if variant == "unet" else "line")
    else:
        drawn = line((start, y), (end, y), "stroke none")
    if layout.detailed:
        x = layout.middle if end - start > 90 else start + 18
        drawn += text(str(level.crossing), x, y - 6, "middle muted")
    return drawn + _gate(layout, index) if level.gated else drawn


def _gate(layout: _Layout, index: int) -> str:
    """The gate of one level, fed from below."""
    x, below, _, height = layout.decoder(index + 1)
    y = layout.decoder(index)[1]
    radius = 8 if layout.detailed else 3.5
    drawn = arrow((x, below - height / 2), (x, y + radius), kind="stroke")
    drawn += tag("circle", cx=x, cy=y, r=radius, class_="own")
    if layout.detailed:
        drawn += text("×", x, y + 4, "middle paper bold", 12)
    return drawn


def _down_and_up(layout: _Layout, index: int) -> str:
    """The arrows between a level and the next coarser one."""
    x, y, _, height = layout.encoder(index)
    left, below, width, _ = layout.encoder(index + 1)
    drawn = arrow((x, y + height / 2), (x, below), (left - width / 2, below))
    x, right = layout.decoder(index)[0], layout.decoder(index + 1)[0]
    return drawn + arrow((right + width / 2, below), (x, below), (x, y + height / 2))


def _numbers(left: tuple, right: tuple, level: Level) -> str:
    """Size and channels beside the blocks of one level."""
    x, y, width, height = left
    size = " × ".join(map(str, level.size))
    if not level.decoder:
        return text(f"{level.encoder} channels, {size}", x, y + height / 2 + 15, "middle")
    drawn = text(size, 0, y + 4, "muted")
    drawn += text(str(level.encoder), x - width / 2 - 6, y + 14, "end")
    joined = f"{level.crossing} + {level.up} → {level.decoder}"
    return drawn + text(joined, right[0] + width / 2 + 6, y + 14)


def _ends(layout: _Layout, itself: Architecture) -> str:
    """The image that comes in and the logits that go out."""
    x, y, width, _ = layout.encoder(0)
    left, right = x - width / 2, layout.decoder(0)[0] + width / 2
    drawn = arrow((x - 46, y), (left, y)) + arrow((right, y), (right + 40, y))
    drawn += text(f"image, {itself.in_channels}", left - 6, y - 6, "end")
    return drawn + text(f"logits, {itself.num_classes}", right + 6, y - 6)
