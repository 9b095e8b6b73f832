"""How numbers become words: units, differences, intervals, p-values, lists, users' names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from report.evidence.statistics import LEVEL, Estimate

WORDS = re.compile(r"[^\W_]+(?:[ _-][^\W_]+)*")  # which mean the same in Markdown


@dataclass(frozen=True)
class Unit:
    """Writes numbers: `points(-0.013)` is "−1.3 points", with a space that does not break."""

    name: str
    scale: float = 1.0
    digits: int = 1

    def number(self, x: float) -> str:
        """Return the number without its unit."""
        rounded = round(self.scale * x, self.digits) + 0.0  # no -0.0
        return f"{rounded:,.{self.digits}f}".replace("-", "−")

    def __call__(self, x: float) -> str:
        return f"{self.number(x)}\N{NO-BREAK SPACE}{self.name}" if self.name else self.number(x)

    def signed(self, x: float) -> str:
        """Return a difference with its sign: "+1.3 points"."""
        return self(x) if x < 0 or self.reads_zero(x) else f"+{self(x)}"

    def reads_zero(self, x: float) -> bool:
        """Return whether the number is 0 as it is written."""
        return self.number(x) == self.number(0)

    def range(self, low: float, high: float) -> str:
        """Return "−6.9 to −3.4 points"."""
        return f"{self.number(low)} to {self(high)}"


points, percent, whole_percent = Unit("points", 100), Unit("%", 100), Unit("%", 100, 0)
nats, in_pixels = Unit("nats per pixel", digits=3), Unit("px")
plain, precise = Unit("", digits=2), Unit("", digits=3)


def versus(value: float, other: str) -> str:
    """Return "1.3 points higher than U-Net", by the sign of the difference as it is written."""
    if points.reads_zero(value):
        return f"equal to {other} within {points(0.001)}"
    return f"{points(abs(value))} {'higher' if value > 0 else 'lower'} than {other}"


def seeds_text(seeds: Iterable[int]) -> str:
    """Return "8 seeds", "2 and 8 seeds" or, of more than two numbers, "2 to 8 seeds"."""
    numbers = list(dict.fromkeys(seeds))
    if len(numbers) > 2:
        return f"{min(numbers)} to {max(numbers)} seeds"
    return f"{listed([str(number) for number in numbers])} seed{'' if numbers == [1] else 's'}"


def seeds_of(groups: Mapping[str, Sequence]) -> str:
    """Return how many seeds these networks have, as `seeds_text` says it."""
    return seeds_text(sorted({len(group) for group in groups.values()}))


def size_text(estimate: Estimate) -> str:
    """Return "3 seeds, 233 images"."""
    seeds = seeds_text(estimate.seeds)
    return f"{seeds}, {estimate.images} {estimate.counted}" if estimate.images else seeds


def interval_text(estimate: Estimate, unit: Unit = points) -> str:
    """Return "95 % interval −6.9 to −3.4 points; 3 seeds, 233 images"."""
    size = size_text(estimate)
    if np.isnan(estimate.low):
        return f"no interval; {size}"
    over = " over images alone" if estimate.one_seed else ""
    between = unit.range(estimate.low, estimate.high)
    return f"{whole_percent(LEVEL)} interval{over} {between}; {size}"


def effect_text(estimate: Estimate, unit: Unit) -> str:
    """Return "−6.8 points (−8.8 to −4.8)", without an interval where there is none."""
    if np.isnan(estimate.low):
        return unit.signed(estimate.value)
    interval = f"{unit.number(estimate.low)} to {unit.number(estimate.high)}"
    return f"{unit.signed(estimate.value)} ({interval})"


def p_cell(p: float) -> str:
    """Return p for a column of that name: "< 0.001" or "0.012", a dash without a test."""
    if np.isnan(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def capitalised(text: str) -> str:
    """Return the text with a capital first letter, "mIoU" and everything else as it is."""
    return text if text.startswith("mIoU") else text[:1].upper() + text[1:]


def literal(name: str) -> str:
    """Return a name of the user's, of a class or a file, as Markdown that shows it as it is."""
    return name if WORDS.fullmatch(name) else re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", name)


def named(names: Iterable[str]) -> str:
    """Return names of the user's in a sentence: "a, b and c"."""
    return listed([literal(name) for name in names])


def listed(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def are(number: int) -> str:
    """Return "is" of one thing, "are" of several."""
    return "is" if number == 1 else "are"


def count_of(used: int, available: int | None) -> str:
    """Return "367", or "300 of 1,174" where not all are used."""
    return f"{used:,} of {available:,}" if available and used < available else f"{used:,}"


def pixels(size: Sequence[int]) -> str:
    """Return "144 × 192 pixels"."""
    return f"{size[0]} × {size[1]} pixels"
