"""The two factorial designs: which weights over which networks make a main effect or interaction.

An effect is a contrast, a weighted sum of the networks' scores. A main effect is one step along a
factor, the mean over all levels of the other factors; an interaction says how much larger that step
is where another factor is changed too. Only a whole design has effects: with a network missing they
would mean something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from lib.models import (
    DEPTH, NETWORKS, SUBSETS, TITLES, AttentionSkip, ConcatSkip, DoubleConv, NoSkip, ResidualBlock,
    subset_name,
)  # fmt: skip
from lib.records import Run, by_variant
from report.evidence.measures import MIOU, Measure
from report.evidence.readings import COARSE, FINE
from report.evidence.statistics import Estimate, holm
from report.evidence.wording import listed, p_cell

BLOCKS = {DoubleConv: "plain", ResidualBlock: "residual"}
SKIPS = {NoSkip: "no", ConcatSkip: "concatenated", AttentionSkip: "gated"}
CELLS = {
    (entry.block, entry.skip): key
    for key, entry in NETWORKS.items()
    if entry.block in BLOCKS and entry.skip in SKIPS and not entry.matched and not entry.without
}
FACTORIAL = {levels: subset_name(levels) for levels in SUBSETS}  # by the levels that have a skip


@dataclass(frozen=True)
class Effect:
    """A contrast: what is compared with what, and the weight of each network."""

    subject: str
    against: str
    weights: dict[str, float]

    @property
    def name(self) -> str:
        """Return "residual − plain blocks"."""
        return f"{self.subject} − {self.against}"


def _crossed(blocks: Sequence[float], skips: Sequence[float]) -> dict[str, float]:
    """Return the weight of every cell, the product of those of its block and of its skip."""
    weights = {}
    for block, by_block in zip(BLOCKS, blocks):
        for skip, by_skip in zip(SKIPS, skips):
            if by_block * by_skip:
                weights[CELLS[block, skip]] = by_block * by_skip
    return weights


_PLAIN_TO_RESIDUAL, _BOTH = (-1, 1), (1 / 2, 1 / 2)
_NO_TO_CONCATENATED, _CONCATENATED_TO_GATED, _ALL = (-1, 1, 0), (0, -1, 1), (1 / 3, 1 / 3, 1 / 3)
BLOCK_EFFECT = Effect("residual blocks", "plain blocks", _crossed(_PLAIN_TO_RESIDUAL, _ALL))
BLOCK_BY_SKIP = [
    BLOCK_EFFECT,
    Effect("concatenated skips", "no skips", _crossed(_BOTH, _NO_TO_CONCATENATED)),
    Effect("gated skips", "concatenated skips", _crossed(_BOTH, _CONCATENATED_TO_GATED)),
    Effect("gain from residual blocks with concatenated skips", "without skips",
           _crossed(_PLAIN_TO_RESIDUAL, _NO_TO_CONCATENATED)),
    Effect("gain from residual blocks with gated skips", "with concatenated skips",
           _crossed(_PLAIN_TO_RESIDUAL, _CONCATENATED_TO_GATED)),
]  # fmt: skip


def _sign(level: int, levels: Sequence[int]) -> int:
    return 1 if level in levels else -1


def skip_effect(level: int) -> Effect:
    """Return what training with the skip of that level adds, over all subsets of the others."""
    half = len(FACTORIAL) / 2
    weights = {name: _sign(level, levels) / half for levels, name in FACTORIAL.items()}
    return Effect(f"skip at level {level}", "none", weights)


def skip_interaction(one: int, other: int) -> Effect:
    """Return how much more one skip adds where the other is there, over all subsets of the rest."""
    quarter = len(FACTORIAL) / 4
    weights = {
        name: _sign(one, levels) * _sign(other, levels) / quarter
        for levels, name in FACTORIAL.items()
    }
    return Effect(f"gain from level {one} with level {other}", "without it", weights)


def finer_by_coarser() -> Effect:
    """Return what a finer skip adds less what a coarser one does, means over the levels."""
    weights = dict.fromkeys(FACTORIAL.values(), 0.0)
    for level in (*FINE, *COARSE):
        share = 1 / len(FINE) if level in FINE else -1 / len(COARSE)
        for variant, weight in skip_effect(level).weights.items():
            weights[variant] += share * weight
    weights = {variant: weight for variant, weight in weights.items() if weight}
    return Effect("gain from a fine skip", "gain from a coarse skip", weights)


FINER_BY_COARSER = finer_by_coarser()
SKIP_EFFECTS = [skip_effect(level) for level in range(DEPTH)]
SKIP_BY_SKIP = [*SKIP_EFFECTS, *(skip_interaction(*pair) for pair in combinations(range(DEPTH), 2))]


def estimates(
    runs: Sequence[Run], effects: Sequence[Effect], measure: Measure = MIOU
) -> list[Estimate]:
    """Return each effect by that measure; [] where the design is not whole."""
    groups = by_variant(runs)
    if any(variant not in groups for effect in effects for variant in effect.weights):
        return []
    found = []
    for effect in effects:
        cells = [groups[variant] for variant in effect.weights]
        found.append(measure.contrast(cells, [*effect.weights.values()])[0])
    return found


def effects_table(
    runs: Sequence[Run], effects: Sequence[Effect] = BLOCK_BY_SKIP, measure: Measure = MIOU
) -> pd.DataFrame:
    """Return a row for each effect, p also after Holm over the table; empty without a design."""
    found = estimates(runs, effects, measure)
    adjusted = holm([float("nan") if each.one_seed else each.p for each in found])
    rows = [
        {
            "Effect": effect.name,
            f"On {measure.name}": measure.unit.signed(each.value),
            "95 % interval": measure.unit.range(each.low, each.high),
            "p": "–" if each.one_seed else p_cell(each.p),
            "After Holm": p_cell(p),
        }
        for effect, each, p in zip(effects, found, adjusted)
    ]
    return pd.DataFrame(rows)


def missing_cells(runs: Sequence[Run]) -> str:
    """Return which networks of block by skip have no run, in a sentence; "" where all have."""
    groups = by_variant(runs)
    missing = [TITLES[key] for key in CELLS.values() if key not in groups]
    if not missing:
        return ""
    return (
        "Whether blocks and skips work together takes all six networks of two kinds of block and "
        f"three kinds of skip; there is no run of the {listed(missing)}."
    )
