"""The two factorial designs: which weights over which networks make a main effect or an interaction.

An effect is a contrast, a weighted sum of the cells' scores. A main effect is one step along a factor, the mean over
all levels of the other factors; an interaction says how much larger that step is where another factor is changed too.
Only a whole design has effects: with a cell missing they would mean something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd

from lib.models import (
    DEPTH, NETWORKS, SUBSETS, TITLES, AttentionSkip, ConcatSkip, DoubleConv, NoSkip, ResidualBlock, subset_name,
)
from lib.records import Run, by_variant
from report.evidence.measures import MIOU, Measure
from report.evidence.statistics import holm
from report.evidence.wording import listed, p_cell

BLOCKS = {DoubleConv: "plain", ResidualBlock: "residual"}
SKIPS = {NoSkip: "no", ConcatSkip: "concatenated", AttentionSkip: "gated"}
CELLS = {(entry.block, entry.skip): key for key, entry in NETWORKS.items()
         if entry.block in BLOCKS and entry.skip in SKIPS and not entry.matched
         and not entry.without}
FACTORIAL = {levels: subset_name(levels) for levels in SUBSETS}  # the levels that have a skip


@dataclass(frozen=True)
class Effect:
    """A contrast by its name and the weight of each network."""

    name: str
    weights: dict[str, float]


def _step(start: object, end: object) -> dict:
    return {start: -1.0, end: 1.0}


def _crossed(blocks: dict[type, float], skips: dict[type, float]) -> dict[str, float]:
    """Return the weight of every cell, the product of those of its block and of its skip."""
    return {CELLS[block, skip]: blocks[block] * skips[skip] for block, skip in product(blocks, skips)}


_TO_RESIDUAL, _TO_SKIPS, _TO_GATES = (
    _step(*ends) for ends in ((DoubleConv, ResidualBlock), (NoSkip, ConcatSkip), (ConcatSkip, AttentionSkip)))
BLOCK_EFFECT = Effect("residual − plain blocks", _crossed(_TO_RESIDUAL, dict.fromkeys(SKIPS, 1 / len(SKIPS))))
BLOCK_BY_SKIP = [
    BLOCK_EFFECT,
    Effect("concatenated − no skips", _crossed(dict.fromkeys(BLOCKS, 1 / len(BLOCKS)), _TO_SKIPS)),
    Effect("gated − concatenated skips", _crossed(dict.fromkeys(BLOCKS, 1 / len(BLOCKS)), _TO_GATES)),
    Effect("residual − plain blocks × concatenated − no skips", _crossed(_TO_RESIDUAL, _TO_SKIPS)),
    Effect("residual − plain blocks × gated − concatenated skips", _crossed(_TO_RESIDUAL, _TO_GATES)),
]


def _signs(level: int) -> dict[tuple[int, ...], int]:
    return {levels: 1 if level in levels else -1 for levels in FACTORIAL}


def skip_effect(level: int) -> Effect:
    """Return what the skip of that level adds, the mean over all subsets of the others."""
    half = len(FACTORIAL) / 2
    return Effect(f"skip at level {level}", {FACTORIAL[levels]: sign / half for levels, sign in _signs(level).items()})


def skip_interaction(one: int, other: int) -> Effect:
    """Return how much more the one skip adds where the other is there, the mean over all subsets of the rest."""
    signs, others = _signs(one), _signs(other)
    quarter = len(FACTORIAL) / 4
    return Effect(f"skip at level {one} × skip at level {other}",
                  {FACTORIAL[levels]: signs[levels] * others[levels] / quarter for levels in FACTORIAL})


def finer_against_coarser(finer: Sequence[int], coarser: Sequence[int]) -> Effect:
    """Return what the skip of a finer level adds less what that of a coarser one does, means over the levels given."""
    weights = dict.fromkeys(FACTORIAL.values(), 0.0)
    for levels, sign in ((finer, 1), (coarser, -1)):
        for level in levels:
            for variant, weight in skip_effect(level).weights.items():
                weights[variant] += sign * weight / len(levels)
    return Effect("finer − coarser skips", {variant: weight for variant, weight in weights.items() if weight})


SKIP_BY_SKIP = [*map(skip_effect, range(DEPTH)), *(skip_interaction(*pair) for pair in combinations(range(DEPTH), 2))]


def effects_table(runs: Sequence[Run], effects: Sequence[Effect] = BLOCK_BY_SKIP, measure: Measure = MIOU) -> pd.DataFrame:
    """Return one row an effect, p also after Holm over the table; empty where the design is not whole."""
    groups = by_variant(runs)
    columns = ["Effect", f"On {measure.name}", "95 % interval", "p", "After Holm"]
    if any(variant not in groups for effect in effects for variant in effect.weights):
        return pd.DataFrame(columns=columns)
    found = [measure.contrast([groups[variant] for variant in effect.weights], [*effect.weights.values()])[0]
             for effect in effects]
    adjusted = holm([float("nan") if estimate.one_seed else estimate.p for estimate in found])
    rows = [(effect.name, measure.unit(estimate.value), measure.unit.range(estimate.low, estimate.high),
             "–" if estimate.one_seed else p_cell(estimate.p), p_cell(p))
            for effect, estimate, p in zip(effects, found, adjusted)]
    return pd.DataFrame(rows, columns=columns)


def missing_cells(runs: Sequence[Run]) -> str:
    """Return which networks of block x skip have no run, in a sentence; "" where none is missing."""
    groups = by_variant(runs)
    missing = [TITLES[key] for key in CELLS.values() if key not in groups]
    if not missing:
        return ""
    return ("Whether blocks and skips work together takes all six networks of two kinds of block and three kinds of skip; "
            f"there is no run of the {listed(missing)}.")
