"""The networks as SVG, drawn from `report.figures.architecture`: what a network shares with the U-Net in ink, what differs in colour.

A block is as wide as its channels and as tall as its resolution, both damped. Colours are CSS variables with a value for
light paper, so that a drawing follows the theme of the page around it and also stands alone.
"""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np

from lib.models import TITLES, VARIANTS
from lib.records import Run
from report.evidence.measures import MIOU
from report.evidence.statistics import Estimate
from report.evidence.wording import points
from report.figures import flow, svg
from report.figures.architecture import Architecture, Level, read
from report.figures.style import COLORS, by_variant
from report.figures.svg import arrow, line, tag, text

PAGE, CARD, NOTE, GAP = 672, 292, 84, 16  # width of a figure, heights of cards with and without a shape, space between; CSS pixels


def network(run: Run) -> str:
    """The whole network of a run and, step by step, the part that makes it different (of the U-Net, its block)."""
    itself, plain = _architectures(run)
    body, height = _shape(itself, plain, run.variant, PAGE)
    details = {"The finest skip, step by step": (itself.skip, plain.skip),
               "The decoder's finest block, step by step": (itself.block, plain.block)}
    for title, (own, other) in details.items():
        reference = run.variant == "unet" and own is itself.block
        if reference or len(own) > len(other) + 1:  # a step that only cuts away needs no picture
            drawn, tall = flow.drawing(own, PAGE)
            body += text(title, 0, height + 24, "bold", 11.5) + tag("g", drawn, transform=f"translate(0 {height + 42:g})")
            height += 42 + tall
    return svg.document(body, PAGE, height, svg.own(COLORS[run.variant]))


def network_caption(run: Run) -> dict[str, str]:
    """Caption and alternative text of `network`."""
    itself, plain = _architectures(run)
    finest, base = itself.levels[0], plain.levels[0]
    colour = {(True, True): "the gates, each fed by the coarser level", (True, False): "the shortcuts around every block",
              (False, False): "the skips" if finest.crossing else "the skips that are missing"}
    what = colour[finest.gated != base.gated or finest.shortcuts != base.shortcuts, finest.gated != base.gated]
    text = (f"{run.title}, drawn from the built model: in colour {what}. Left and below the blocks of the encoder the channels "
            "that they put out, over the skips those that cross, right of the blocks of the decoder those that cross, those that "
            "come up, and what the block makes of both. Boxes with a dark outline have weights.")
    return {"caption": text, "alt": f"Diagram of the {run.title}: {len(itself.levels)} levels from {finest.encoder} to "
                                    f"{itself.levels[-1].encoder} channels, with {what} in colour."}


def summary(runs: Sequence[Run], theme: str = "") -> str:
    """Every network as a card: its shape, test mIoU by seed on one scale, the difference from U-Net, and its cost.

    Networks beyond the four come below in cards without a shape, so that all of it fits on the first page. Without a theme
    it follows the page; with "light" or "dark" it stands alone on such paper.
    """
    groups, scale = by_variant(runs), score_range(runs)
    four, others = ([key for key in groups if (key in VARIANTS) == own] for own in (True, False))
    y, cards = 0, []
    for keys, across, tall, draw in ((four, min(4, len(four)), CARD, _card), (others, 2, NOTE, _note)):
        for index, key in enumerate(keys):
            width = (PAGE - GAP * (across - 1)) / across
            body, words = draw(groups[key], groups.get("unet", ()), scale, width)
            cards.append(tag("svg", body, role="img", aria_label=words, x=index % across * (width + GAP), y=y, width=width,
                             height=tall, viewBox=f"0 0 {width:g} {tall}",
                             style=svg.own(COLORS[key]) + "; grid-column: span 2" * (draw is _note)))
            y += (tall + GAP) * (index % across == across - 1 or key == keys[-1])
    return svg.document("".join(cards), PAGE, y - GAP, svg.THEMES.get(theme, ""))


def score_range(runs: Sequence[Run]) -> tuple[float, float]:
    """The scale of the summary's scores, in whole per cent."""
    scores = [100 * run.miou for run in runs]
    return float(np.floor(min(scores))) - 1, float(np.ceil(max(scores))) + 1


def _architectures(run: Run) -> tuple[Architecture, Architecture]:
    """The run's network, and the U-Net of the same study."""
    like = run.config["base_channels"], len(run.classes), tuple(run.record["dataset"]["size"])
    return read(run.variant, *like), read("unet", *like)


def _card(group: Sequence[Run], reference: Sequence[Run], scale: tuple[float, float], width: float) -> tuple[str, str]:
    """The drawing of one network with its numbers, and the numbers in words."""
    run, (score, spread, against, *cost) = group[0], _scores(group, reference)
    shape, height = _shape(*_architectures(run), run.variant, width)
    body = tag("rect", x=0, y=0, width=28, height=3, class_="own")
    body += "".join(text(part, 0, 20 + 16 * index, "bold", 13) for index, part in enumerate(wrap(TITLES[run.variant], 17)))
    body += tag("g", shape, transform="translate(0 50)")
    y = 50 + height + 32
    body += text(score, 0, y, "bold", 22, tag("tspan", f" mIoU, {spread}", class_="small"))
    body += _strip(group, reference, scale, width, y + 17)
    body += "".join(text(part, 0, y + 42 + 15 * index, "muted" if index else "", 10.5)
                    for index, part in enumerate((against, *cost)))
    return body, "; ".join([f"{TITLES[run.variant]}: test mIoU {score}, {spread}", against, *cost])


def _note(group: Sequence[Run], reference: Sequence[Run], scale: tuple[float, float], width: float) -> tuple[str, str]:
    """The numbers of one network beside each other under its name, and the same in words."""
    title, (score, spread, against, *cost) = TITLES[group[0].variant], _scores(group, reference)
    right = (width + GAP) / 2  # where the second card of four begins
    body = tag("rect", x=0, y=0, width=28, height=3, class_="own") + text(title, 0, 20, "bold", 13)
    body += text(score, 0, 48, "bold", 22, tag("tspan", f" mIoU, {spread}", class_="small")) + text(against, 0, 69, "", 10.5)
    body += tag("g", _strip(group, reference, scale, width - right, 41), transform=f"translate({right:g} 0)")
    body += "".join(text(part, right, 65 + 14 * index, "muted", 10.5) for index, part in enumerate(cost))
    return body, "; ".join([f"{title}: test mIoU {score}, {spread}", against, *cost])


def _scores(group: Sequence[Run], reference: Sequence[Run]) -> tuple[str, ...]:
    """Test mIoU, its spread over seeds, the difference from the reference, parameters and arithmetic, as they are shown."""
    run, scores = group[0], [100 * each.miou for each in group]
    compared = reference and run.variant != "unet"
    return (f"{np.mean(scores):.1f} %", f"± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else "one seed",
            _difference(MIOU.compare(group, reference)[0]) if compared else "the reference" if reference else "",
            f"{run.record['parameters'] / 1e6:.2f} million parameters",
            f"{run.record['multiply_adds'] / 1e9:.2f} billion multiply-adds")


def _difference(estimate: Estimate) -> str:
    return f"{points(estimate.value)} ({points.number(estimate.low)} to {points.number(estimate.high)})"


def _strip(group: Sequence[Run], reference: Sequence[Run], scale: tuple[float, float], width: float, y: float) -> str:
    """A dot for each seed and a bar for their mean on a line, with the reference's mean dashed."""
    def at(runs: Sequence[Run]) -> float:
        return 3 + (100 * np.mean([run.miou for run in runs]) - scale[0]) / (scale[1] - scale[0]) * (width - 6)

    drawn = line((0, y), (width, y), "faint")
    if reference:
        drawn += line((at(reference), y - 8), (at(reference), y + 8), "line", stroke_dasharray="2 2")
    drawn += "".join(tag("circle", cx=at([run]), cy=y, r=3.4, class_="own", opacity=0.5) for run in group)
    return drawn + line((at(group), y - 6), (at(group), y + 6), "stroke", stroke_width=2)


class _Layout:
    """Where the blocks of a network stand: level by level down at the left, up again at the right."""

    def __init__(self, levels: Sequence[Level], width: float):
        self.detailed = width > 400
        step, unit, tallest, gap, top = (54, 12, 68, 25, 20) if self.detailed else (width / 9.4, width / 26, 30, 9, 4)
        first, self.middle, self.boxes, y = levels[0], width / 2, [], top
        for index, level in enumerate(levels):
            height = tallest * (level.size[0] / first.size[0]) ** 0.45
            away = (len(levels) - 1 - index) * step
            self.boxes.append((away, y + height / 2, unit * (level.encoder / first.encoder) ** 0.55, height))
            y += height + gap
        self.height = y - gap + 20 * self.detailed  # the bottleneck's numbers are below it

    def box(self, level: int, side: int) -> tuple[float, float, float, float]:
        """Centre x, y, width and height of a block; side -1 is the encoder, 1 the decoder."""
        away, y, width, height = self.boxes[level]
        return self.middle + side * away, y, width, height


def _shape(itself: Architecture, plain: Architecture, variant: str, width: float) -> tuple[str, float]:
    """The U: blocks, what goes down, up and across, with numbers where there is room for them; and its height."""
    layout = _Layout(itself.levels, width)
    drawn = ""
    for index, (level, other) in enumerate(zip(itself.levels, plain.levels)):
        if level.decoder:
            drawn += _across(layout, index, level, "stroke" if variant == "unet" else "line" if level.crossing else "stroke none")
            x, y, *_ = layout.box(index, -1)
            below = layout.box(index + 1, -1)
            drawn += arrow((x, y + layout.boxes[index][3] / 2), (x, below[1]), (below[0] - below[2] / 2, below[1]))
            mirrored = layout.box(index + 1, 1)
            x, y, _, height = layout.box(index, 1)
            drawn += arrow((mirrored[0] + mirrored[2] / 2, mirrored[1]), (x, mirrored[1]), (x, y + height / 2))
        for side, shortcut, before in zip((-1, 1), level.shortcuts, other.shortcuts):
            if side < 0 or level.decoder:
                drawn += _block(layout.box(index, side), shortcut and not before, layout.detailed)
        if layout.detailed:
            drawn += _numbers(layout, index, level)
    return drawn + (_ends(layout, itself) if layout.detailed else ""), layout.height


def _block(box: tuple[float, float, float, float], shortcut: bool, detailed: bool) -> str:
    x, y, width, height = box
    drawn = tag("rect", x=x - width / 2, y=y - height / 2, width=width, height=height, rx=2, class_="box")
    if shortcut:
        reach, lift = (width / 2 + 5, 15) if detailed else (width / 2 + 2, 6)
        top = y - height / 2
        drawn += tag("path", d=f"M{x - reach:.1f} {top + 5:.1f}V{top - lift / 3:.1f}q0-{lift / 2:.1f} {lift / 2:.1f}-{lift / 2:.1f}"
                     f"H{x + reach - lift / 2:.1f}q{lift / 2:.1f} 0 {lift / 2:.1f} {lift / 2:.1f}V{top + 5:.1f}", class_="stroke")
    return drawn


def _across(layout: _Layout, index: int, level: Level, kind: str) -> str:
    """The skip of one level, with its gate."""
    (left, y, width, _), (right, *_) = layout.box(index, -1), layout.box(index, 1)
    start, end = left + width / 2, right - width / 2
    drawn = arrow((start, y), (end, y), kind=kind) if level.crossing else line((start, y), (end, y), kind)
    if layout.detailed:
        drawn += text(str(level.crossing), layout.middle if end - start > 90 else start + 18, y - 6, "middle muted", 10.5)
    if level.gated:
        x, below, _, height = layout.box(index + 1, 1)
        radius = 8 if layout.detailed else 3.5
        drawn += arrow((x, below - height / 2), (x, y + radius), kind="stroke")
        drawn += tag("circle", cx=x, cy=y, r=radius, class_="own")
        if layout.detailed:
            drawn += text("×", x, y + 4, "middle paper bold", 12)
    return drawn


def _numbers(layout: _Layout, index: int, level: Level) -> str:
    """Size and channels beside the blocks of one level."""
    x, y, width, _ = layout.box(index, -1)
    size = " × ".join(map(str, level.size))
    if not level.decoder:
        return text(f"{level.encoder} channels, {size}", x, y + layout.boxes[index][3] / 2 + 15, "middle", 10.5)
    drawn = text(size, 0, y + 4, "muted", 10.5) + text(str(level.encoder), x - width / 2 - 6, y + 14, "end", 10.5)
    joined = f"{level.crossing} + {level.up} → {level.decoder}"
    return drawn + text(joined, 2 * layout.middle - x + width / 2 + 6, y + 14, "", 10.5)


def _ends(layout: _Layout, itself: Architecture) -> str:
    """The image that comes in and the logits that go out."""
    x, y, width, _ = layout.box(0, -1)
    drawn = arrow((x - 46, y), (x - width / 2, y)) + text(f"image, {itself.in_channels}", x - width / 2 - 6, y - 6, "end", 10.5)
    right = 2 * layout.middle - x + width / 2
    return drawn + arrow((right, y), (right + 40, y)) + text(f"logits, {itself.num_classes}", right + 6, y - 6, "", 10.5)
