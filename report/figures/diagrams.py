"""The networks as drawings, read from the built models: no drawing can be out of date.

What a network shares with the U-Net is in ink, what differs in its colour. A block is as wide as
its channels and as tall as its resolution, both damped. The drawing itself is
report/template/network.svg.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lib.models import NETWORKS, TITLES, VARIANTS
from lib.records import Run
from report.evidence.closed_forms import parts_of
from report.figures.show import Exhibit
from report.figures.style import LOOKS
from report.template import ENVIRONMENT

WIDTH, GAP, COLUMNS = 324, 24, 2  # pixels: of a drawing, between two; drawings in a row
STEP, ROW, TOP = 30, 24, 48  # pixels: from level to level to the side and down, above the finest
WIDEST, TALLEST = 8, 44  # pixels: of the finest block


@dataclass(frozen=True)
class Level:
    """One level of a network; at the bottleneck nothing crosses."""

    size: tuple[int, int]
    channels: int
    shortcut: bool  # around its blocks
    crossing: int = 0  # channels of the skip
    gated: bool = False


def read_levels(
    variant: str, base_channels: int, num_classes: int, size: tuple[int, int]
) -> tuple[Level, ...]:
    """Return the levels of the network that `build_model` builds, finest first, for images (H, W).

    A block with a part called `shortcut` has one, and a skip with weights is a gate.
    """
    built = {part.name: part for part in parts_of(variant, base_channels, num_classes, size)}
    shortcut = hasattr(NETWORKS[variant].block(1, 1), "shortcut")
    levels = []
    for name, part in built.items():
        if name.startswith("encoder"):
            skip = built[name.replace("encoder", "skip")]
            passing = skip.shape[0], skip.parameters > 0
            levels.append(Level(part.shape[1:], part.shape[0], shortcut, *passing))
    bottom = built["bottleneck"].shape
    return *levels, Level(bottom[1:], bottom[0], shortcut)


def levels_of(run: Run, variant: str) -> tuple[Level, ...]:
    """Return the levels of a network in the setting of a run."""
    size = tuple(run.record["dataset"]["size"])
    return read_levels(variant, run.config["base_channels"], len(run.classes), size)


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


def network(run: Run) -> Exhibit:
    """The network of a run."""
    return _exhibit(run, [run.variant], f"fig-network-{run.variant}")


def four(runs: Sequence[Run]) -> Exhibit:
    """All networks of the study side by side, each with what makes it different in its colour."""
    return _exhibit(runs[0], list(VARIANTS), "fig-networks")


def _exhibit(run: Run, variants: Sequence[str], label: str) -> Exhibit:
    cards, found = [], []
    for index, key in enumerate(variants):
        levels = levels_of(run, key)
        row, column = divmod(index, COLUMNS)
        card = _drawing(levels, key)
        cards.append(card | {"left": column * (WIDTH + GAP), "top": row * (card["height"] + GAP)})
        found.append(f"the {TITLES[key]} has {difference(levels)}")
    drawing = ENVIRONMENT.get_template("network.svg").render(
        cards=cards,
        card_width=WIDTH,
        width=min(len(cards), COLUMNS) * (WIDTH + GAP) - GAP,
        height=cards[-1]["top"] + cards[-1]["height"],
    )
    return Exhibit(
        drawing,
        label,
        f"In one frame, {'; '.join(found)}. Blocks are as wide as their channels, which stand "
        "below them, and as tall as their resolution.",
        f"Diagrams of a U, alike but for what is in colour: {'; '.join(found)}.",
    )


def _drawing(levels: Sequence[Level], variant: str) -> dict:
    """Return what the drawing of a network needs: places in pixels, finest level first."""
    rows, y = [], TOP
    for index, level in enumerate(levels):
        tall = TALLEST * (level.size[0] / levels[0].size[0]) ** 0.45
        wide = WIDEST * (level.channels / levels[0].channels) ** 0.55
        away = (len(levels) - 1 - index) * STEP  # from the middle
        rows.append({
            "level": level,
            "sides": dict.fromkeys((WIDTH / 2 - away, WIDTH / 2 + away)),  # one at the bottleneck
            "left": WIDTH / 2 - away,
            "right": WIDTH / 2 + away,
            "y": y + tall / 2,
            "wide": wide,
            "tall": tall,
        })
        y += tall + ROW
    return {
        "title": TITLES[variant],
        "words": difference(levels),
        "color": LOOKS[variant].color,
        "own_skips": variant == "unet",
        "rows": rows,
        "height": y - ROW + 20,
    }
