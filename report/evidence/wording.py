"""How numbers become words: units, differences, intervals, p-values, lists, and names that are shown as they are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from report.evidence.statistics import LEVEL, Estimate

WORDS = re.compile(r"[^\W_]+(?:[ _-][^\W_]+)*")  # which mean the same in Markdown


@dataclass(frozen=True)
class Unit:
    """Writes numbers: `points(-0.013)` is "−1.3 points", with a minus sign and a space that does not break."""

    name: str
    scale: float = 1.0
    digits: int = 1

    def number(self, x: float) -> str:
        """Return the number alone."""
        return f"{round(self.scale * x, self.digits) + 0.0:,.{self.digits}f}".replace("-", "−")

    def __call__(self, x: float) -> str:
        return f"{self.number(x)}\N{NO-BREAK SPACE}{self.name}" if self.name else self.number(x)

    def reads_zero(self, x: float) -> bool:
        """Return whether the number is 0 as it is written."""
        return self.number(x) == self.number(0)

    def range(self, low: float, high: float) -> str:
        """Return "−6.9 to −3.4 points"."""
        return f"{self.number(low)} to {self(high)}"


points, percent, whole_percent = Unit("points", 100), Unit("%", 100), Unit("%", 100, 0)
nats, epochs, seconds, in_pixels = Unit("nats per pixel", digits=3), Unit("epochs"), Unit("s"), Unit("px")
plain, precise = Unit("", digits=2), Unit("", digits=3)


def versus(value: float, other: str, unit: Unit = points) -> str:
    """Return "1.3 points higher than U-Net", by the sign of the difference as it is written."""
    if unit.reads_zero(value):
        return f"no different, to {unit(10 ** -unit.digits / unit.scale)}, from {other}"
    return f"{unit(abs(value))} {'higher' if value > 0 else 'lower'} than {other}"


def seeds_text(seeds: Iterable[int]) -> str:
    """Return "8 seeds", "2 and 8 seeds" or, of more than two numbers, "2 to 8 seeds"."""
    numbers = list(dict.fromkeys(seeds))
    if len(numbers) > 2:
        numbers = [min(numbers), max(numbers)]
        return f"{numbers[0]} to {numbers[1]} seeds"
    return f"{listed([str(number) for number in numbers])} seed{'' if numbers == [1] else 's'}"


def interval_text(estimate: Estimate, unit: Unit = points) -> str:
    """Return "95 % interval −6.9 to −3.4 points, 3 seeds, 233 images"."""
    size = seeds_text(estimate.seeds)
    if estimate.images:
        size += f", {estimate.images} images"
    if np.isnan(estimate.low):
        return f"no interval, {size}"
    over = " over the images alone" if estimate.one_seed else ""
    return f"{whole_percent(LEVEL)} interval{over} {unit.range(estimate.low, estimate.high)}, {size}"


def p_text(p: float) -> str:
    """Return "p < 0.001" or "p = 0.012"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def p_cell(p: float) -> str:
    """Return the same without the letter, for a column that is named p; a dash without a test."""
    if np.isnan(p):
        return "–"
    return p_text(p).removeprefix("p ").removeprefix("= ")


def capitalised(text: str) -> str:
    """Return the text with a capital first letter and everything else as it is."""
    return text[:1].upper() + text[1:]


def literal(name: str) -> str:
    """Return a name of the user's, of a class or a file, as Markdown that shows it as it is."""
    return name if WORDS.fullmatch(name) else re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", name)


def cell(name: str) -> str:
    """Return the same for a table, whose text is Markdown where it holds maths, a citation or a reference."""
    return literal(name) if re.search(r"[$@]", name) else name


def named(names: Iterable[str]) -> str:
    """Return names of the user's in a sentence: "a, b and c"."""
    return listed([literal(name) for name in names])


def listed(words: Sequence[str]) -> str:
    """Return "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
