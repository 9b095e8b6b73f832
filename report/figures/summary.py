"""The figure of the first page: every network as a card with its shape, its score and its cost."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np

from lib.models import TITLES, VARIANTS
from lib.records import Run, by_variant
from report.evidence.measures import MIOU
from report.evidence.wording import percent, points
from report.figures.architecture import line, tag, text
from report.figures.diagrams import PAGE, architectures, document, own_color, shape
from report.figures.show import Exhibit

CARD, NOTE, GAP = 292, 84, 16  # pixels: heights of cards with and without a shape, and between them
THEMES = {
    "": "",
    "light": "--ground:none;--ink:#1d2127;--muted:#59616b;--tint:#f5f6f8;--paper:#fff;--lift:0%",
    "dark": "--ground:none;--ink:#e6edf3;--muted:#9198a1;--tint:#1c2128;--paper:#0d1117;--lift:35%",
}


def cards(runs: Sequence[Run], theme: str = "") -> Exhibit:
    """Every network as a card: its shape, test mIoU by seed, the difference from U-Net, its cost.

    Networks beyond the four come below in cards without a shape, so that all of it fits on the
    first page. Without a theme it follows the page; with "light" or "dark" it stands alone on such
    paper.
    """
    groups, (low, high) = by_variant(runs), score_range(runs)
    others = ""
    if groups.keys() - VARIANTS.keys():
        others = "Networks beyond the four stand below without a drawing. "
    several = max(map(len, groups.values())) > 1
    spread = ", mean ± standard deviation over seeds" if several else ""
    means = {key: percent(np.mean([run.miou for run in group])) for key, group in groups.items()}
    scores = "; ".join(f"{TITLES[key]} {mean}" for key, mean in means.items())
    return Exhibit(
        _cards(groups, (low, high), THEMES[theme]),
        "fig-summary",
        "Drawn from the built models: each box is a block, as wide as its channels and as tall as "
        "its resolution, and colour marks what differs from the U-Net (of the U-Net, its skips). "
        f"{others}Below: test mIoU{spread}; a dot for each seed on a line from {low:.0f} to "
        f"{high:.0f} %, U-Net's mean dashed; the difference from U-Net with its 95 % interval; the "
        "cost of one image.",
        f"{len(groups)} networks as small diagrams, with test mIoU ({scores}) and cost.",
    )


def score_range(runs: Sequence[Run]) -> tuple[float, float]:
    """Return the ends of the summary's scale, in whole per cent."""
    scores = [100 * run.miou for run in runs]
    return float(np.floor(min(scores))) - 1, float(np.ceil(max(scores))) + 1


def _cards(groups: dict[str, list[Run]], scale: tuple[float, float], theme: str) -> str:
    """Rows of cards, each a drawing of its own, which the page sets side by side where it can."""
    reference = groups.get("unet", [])
    cards, four, others, y = "", [], [], 0
    for key, group in groups.items():
        row = four if key in VARIANTS else others
        row.append(group)
    across = min(4, len(four))
    for index, group in enumerate(four):
        width = (PAGE - GAP * (across - 1)) / across
        body, words = _card(group, reference, scale, width)
        x = index * (width + GAP)
        cards += _svg(body, words, x, 0, width, CARD, own_color(group[0].variant))
    if four:
        y = CARD + GAP
    for index, group in enumerate(others):
        width = (PAGE - GAP) / 2
        body, words = _note(group, reference, scale, width)
        row, column = divmod(index, 2)
        x, top = column * (width + GAP), y + row * (NOTE + GAP)
        style = f"{own_color(group[0].variant)}; grid-column: span 2"
        cards += _svg(body, words, x, top, width, NOTE, style)
    y += -(-len(others) // 2) * (NOTE + GAP)
    return document(cards, y - GAP, theme)


def _svg(
    body: str, words: str, x: float, y: float, width: float, height: float, style: str
) -> str:
    return tag("svg", body, role="img", aria_label=words, x=x, y=y, width=width, height=height,
               viewBox=f"0 0 {width:g} {height}", style=style)  # fmt: skip


def _card(
    group: Sequence[Run], reference: Sequence[Run], scale: tuple[float, float], width: float
) -> tuple[str, str]:
    """The drawing of one network with its numbers, and the numbers in words."""
    run, (score, spread, *others) = group[0], _scores(group, reference)
    drawn, height = shape(*architectures(run), run.variant, width)
    body = tag("rect", x=0, y=0, width=28, height=3, class_="own")
    for index, part in enumerate(wrap(run.title, 17)):
        body += text(part, 0, 20 + 16 * index, "bold", 13)
    body += tag("g", drawn, transform="translate(0 50)")
    y = 50 + height + 32
    body += _score(score, spread, y) + _strip(group, reference, scale, width, y + 17)
    for index, part in enumerate(others):
        body += text(part, 0, y + 42 + 15 * index, "muted" if index else "")
    return body, _in_words(run, score, spread, others)


def _note(
    group: Sequence[Run], reference: Sequence[Run], scale: tuple[float, float], width: float
) -> tuple[str, str]:
    """The numbers of one network beside each other under its name, and the same in words."""
    run, (score, spread, *others) = group[0], _scores(group, reference)
    against, *cost = others
    right = (width + GAP) / 2  # where the second card of four begins
    body = tag("rect", x=0, y=0, width=28, height=3, class_="own")
    body += text(run.title, 0, 20, "bold", 13) + _score(score, spread, 48) + text(against, 0, 69)
    strip = _strip(group, reference, scale, width - right, 41)
    body += tag("g", strip, transform=f"translate({right:g} 0)")
    for index, part in enumerate(cost):
        body += text(part, right, 65 + 14 * index, "muted")
    return body, _in_words(run, score, spread, others)


def _score(score: str, spread: str, y: float) -> str:
    return text(score, 0, y, "bold", 22, tag("tspan", f" mIoU, {spread}", class_="small"))


def _in_words(run: Run, score: str, spread: str, others: Sequence[str]) -> str:
    return "; ".join([f"{run.title}: test mIoU {score}, {spread}", *others])


def _scores(group: Sequence[Run], reference: Sequence[Run]) -> tuple[str, ...]:
    """Test mIoU, its spread, the difference from the reference, and two costs, as shown."""
    run, scores = group[0], [100 * each.miou for each in group]
    spread = f"± {np.std(scores, ddof=1):.1f}" if len(scores) > 1 else "one seed"
    against = "the reference" if reference else ""
    if reference and run.variant != "unet":
        estimate = MIOU.compare(group, reference)[0]
        interval = f"{points.number(estimate.low)} to {points.number(estimate.high)}"
        against = f"{points(estimate.value)} ({interval})"
    parameters, arithmetic = run.record["parameters"] / 1e6, run.record["multiply_adds"] / 1e9
    return (
        f"{np.mean(scores):.1f} %",
        spread,
        against,
        f"{parameters:.2f} million parameters",
        f"{arithmetic:.2f} billion multiply-adds",
    )


def _strip(
    group: Sequence[Run],
    reference: Sequence[Run],
    scale: tuple[float, float],
    width: float,
    y: float,
) -> str:
    """A dot for each seed and a bar for their mean on a line, with the reference's mean dashed."""
    low, high = scale

    def at(runs: Sequence[Run]) -> float:
        share = (100 * np.mean([run.miou for run in runs]) - low) / (high - low)
        return 3 + share * (width - 6)

    drawn = line((0, y), (width, y), "faint")
    if reference:
        x = at(reference)
        drawn += line((x, y - 8), (x, y + 8), "line", stroke_dasharray="2 2")
    for run in group:
        drawn += tag("circle", cx=at([run]), cy=y, r=3.4, class_="own", opacity=0.5)
    return drawn + line((at(group), y - 6), (at(group), y + 6), "stroke", stroke_width=2)
