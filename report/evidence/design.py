"""The whole design, blocks {plain, residual} x skips {none, concatenated, gated}: main effects and interactions.

An effect is a contrast, a weighted sum of the cells' scores whose weights add up to zero: one step along a factor, its
mean over the levels of the other factor, or the difference of two such steps. The mean is over the levels at which both
ends of the step have runs and counts them alike, whatever their numbers of seeds. The intervals are those of
`report.evidence.statistics.contrast_counts`, and p is adjusted by Holm's method over all effects that the records hold.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from lib.models import (
    NETWORKS, TITLES, AttentionSkip, ConcatSkip, DoubleConv, NoSkip, ResidualBlock,
)
from lib.records import Run
from report.evidence.claims import MIOU
from report.evidence.findings import listed
from report.evidence.statistics import (
    Estimate, Measure, contrast_counts, holm, interval_text, p_text, versus,
)
from report.evidence.verdicts import ALPHA, INCONCLUSIVE, ONE_SEED
from report.figures.style import by_variant

BLOCKS = {DoubleConv: "plain", ResidualBlock: "residual"}
SKIPS = {NoSkip: "no", ConcatSkip: "concatenated", AttentionSkip: "gated"}
CELLS = {(entry.block, entry.skip): key for key, entry in NETWORKS.items()
         if entry.block in BLOCKS and entry.skip in SKIPS and entry.width == 1 and not entry.without}
SIGNIFICANT = "significant"

Step = tuple[type, type]  # from one level of a factor to another


@dataclass(frozen=True)
class Effect:
    """A step along one factor, averaged over the other; with a step along both, their interaction."""

    blocks: Step | None = None
    skips: Step | None = None

    @property
    def name(self) -> str:
        steps = (self.blocks, BLOCKS, "blocks"), (self.skips, SKIPS, "skips")
        return " × ".join(f"{names[to]} − {names[start]} {factor}" for (start, to), names, factor in
                          (step for step in steps if step[0]))

    def slices(self, present: Collection[str]) -> dict[str, dict[str, int]]:
        """Each level of the other factor at which the step is complete -> the signs of its variants; "" -> interaction."""
        found = {}
        for (name, rows), (other, columns) in product(_along(self.blocks, BLOCKS), _along(self.skips, SKIPS)):
            signs = {CELLS[row, column]: rows[row] * columns[column] for row, column in product(rows, columns)}
            if signs.keys() <= set(present):
                found[name + other] = signs
        return found


def _along(step: Step | None, names: dict[type, str]) -> list[tuple[str, dict[type, int]]]:
    """The step as signs of its two ends, or every level of the factor by itself."""
    return [("", {step[0]: -1, step[1]: 1})] if step else [(name, {level: 1}) for level, name in names.items()]


RESIDUAL, JOINED, GATED = (DoubleConv, ResidualBlock), (NoSkip, ConcatSkip), (ConcatSkip, AttentionSkip)
INTERACTIONS = Effect(RESIDUAL, JOINED), Effect(RESIDUAL, GATED)
EFFECTS = Effect(blocks=RESIDUAL), Effect(skips=JOINED), Effect(skips=GATED), *INTERACTIONS


@dataclass(frozen=True)
class Found:
    """What the runs say about one effect; `adjusted` is p after Holm, NaN with one seed."""

    effect: Effect
    over: tuple[str, ...]
    estimate: Estimate
    adjusted: float
    measure: Measure

    @property
    def verdict(self) -> str:
        if self.estimate.one_seed:
            return ONE_SEED
        return SIGNIFICANT if self.adjusted < ALPHA else INCONCLUSIVE

    @property
    def averaged(self) -> str:
        """ "plain and residual blocks"; empty for an interaction."""
        return f"{listed(self.over)} {'skips' if self.effect.blocks else 'blocks'}" if any(self.over) else ""

    @property
    def sentence(self) -> str:
        """The effect with its sign in words, its interval, and its verdict."""
        effect, estimate, measure = self.effect, self.estimate, self.measure
        (start, to), names, factor = (effect.skips, SKIPS, "skips") if effect.skips else (effect.blocks, BLOCKS, "blocks")
        if effect in INTERACTIONS:
            text = (f"The gain in {measure.name} from {names[start]} to {names[to]} {factor} is, with residual blocks, "
                    f"{versus(estimate.value, 'that with plain blocks', measure.unit)}")
        else:
            text = (f"{measure.name[0].upper()}{measure.name[1:]} with {names[to]} {factor} is "
                    f"{versus(estimate.value, f'that with {names[start]} {factor}', measure.unit)}, "
                    f"{'averaged over' if len(self.over) > 1 else 'measured with'} {self.averaged}")
        p = "" if estimate.one_seed else f"; {p_text(estimate.p)}, after Holm {p_text(self.adjusted)}"
        return f"{text} ({interval_text(estimate, measure.unit)}{p}): *{self.verdict}*."


def effects(runs: Sequence[Run], measure: Measure = MIOU) -> list[Found]:
    """Every effect that the cells with runs allow; [] where they allow no interaction, and effects are differences."""
    groups = {key: group for key, group in by_variant(runs).items() if key in CELLS.values()}
    complete = {effect: slices for effect in EFFECTS if (slices := effect.slices(groups))}
    if not complete.keys() & set(INTERACTIONS):
        return []
    counts = dict(zip(groups, measure.counts(list(groups.values()))))
    estimates = []
    for slices in complete.values():
        weights = {key: sign / len(slices) for signs in slices.values() for key, sign in signs.items()}
        estimates.append(contrast_counts([counts[key] for key in weights], list(weights.values()), measure.score))
    adjusted = holm([np.nan if estimate.one_seed else estimate.p for estimate in estimates])
    return [Found(effect, tuple(slices), estimate, p, measure)
            for (effect, slices), estimate, p in zip(complete.items(), estimates, adjusted)]


def effects_table(runs: Sequence[Run], measure: Measure = MIOU) -> pd.DataFrame:
    """One row an effect, in points; empty where no interaction can be read."""
    rows = [(
        found.effect.name, found.averaged or "–", measure.unit(found.estimate.value),
        f"{measure.unit.number(found.estimate.low)} to {measure.unit(found.estimate.high)}",
        *("–" if np.isnan(found.adjusted) else p_text(p) for p in (found.estimate.p, found.adjusted)), found.verdict,
    ) for found in effects(runs, measure)]
    return pd.DataFrame(rows, columns=["Effect", "Averaged over", f"On {measure.name}", "95 % interval", "p", "After Holm",
                                       "Verdict"])


def effects_text(runs: Sequence[Run], measure: Measure = MIOU) -> str:
    """A sentence an effect, as a list; or which cells have no run."""
    if found := effects(runs, measure):
        return "\n".join(f"- {effect.sentence}" for effect in found)
    missing = [TITLES[key] for key in CELLS.values() if key not in by_variant(runs)]
    return ("Whether blocks and skips work together needs two kinds of skip under both kinds of block; there is no run of "
            f"{listed(missing)}.")
