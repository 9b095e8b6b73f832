"""The two factorial designs: which weights over which networks make a main effect or interaction.

An effect is a weighted sum of the networks' scores. A main effect is one step along a factor, the
mean over all levels of the other factors; an interaction says how much larger that step is where
another factor is changed too. Only a whole design has effects.
"""

from collections.abc import Sequence
from itertools import combinations
from math import prod

from lib.models import (
    DEPTH, NETWORKS, SUBSETS, TITLES, AttentionSkip, ConcatSkip, DoubleConv, NoSkip, ResidualBlock,
    subset_name,
)  # fmt: skip
from lib.records import Run, by_variant
from report.evidence.comparison import Comparison
from report.evidence.measure import Measure
from report.evidence.measures import MIOU
from report.evidence.readings import COARSE, FINE
from report.evidence.statistics import Estimate
from report.evidence.wording import listed

BLOCKS = {DoubleConv: "plain", ResidualBlock: "residual"}
SKIPS = {NoSkip: "no", ConcatSkip: "concatenated", AttentionSkip: "gated"}
CELLS = {
    (entry.block, entry.skip): key
    for key, entry in NETWORKS.items()
    if entry.block in BLOCKS and entry.skip in SKIPS and not entry.matched and not entry.without
}
FACTORIAL = {levels: subset_name(levels) for levels in SUBSETS}  # by the levels that have a skip


def _contrast(subject: str, against: str, weights: dict[str, float]) -> Comparison:
    """Return an effect on mIoU, which `replace` makes one on another measure."""
    return Comparison(MIOU, weights, subject=subject, against=against)


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
BLOCK_EFFECT = _contrast("residual blocks", "plain blocks", _crossed(_PLAIN_TO_RESIDUAL, _ALL))
BLOCK_BY_SKIP = [
    BLOCK_EFFECT,
    _contrast("concatenated skips", "no skips", _crossed(_BOTH, _NO_TO_CONCATENATED)),
    _contrast("gated skips", "concatenated skips", _crossed(_BOTH, _CONCATENATED_TO_GATED)),
    _contrast("gain from residual blocks with concatenated skips", "without skips",
            _crossed(_PLAIN_TO_RESIDUAL, _NO_TO_CONCATENATED)),
    _contrast("gain from residual blocks with gated skips", "with concatenated skips",
            _crossed(_PLAIN_TO_RESIDUAL, _CONCATENATED_TO_GATED)),
]  # fmt: skip


def _along(*steps: int) -> dict[str, float]:
    """Return the weights of one step along the skips of these levels, over all subsets."""
    weights = {}
    for levels, variant in FACTORIAL.items():
        signs = [1 if level in levels else -1 for level in steps]
        weights[variant] = prod(signs) * 2 ** len(steps) / len(FACTORIAL)
    return weights


def skip_effect(level: int) -> Comparison:
    """Return what training with the skip of that level adds, over all subsets of the others."""
    return _contrast(f"skip at level {level}", "none", _along(level))


def skip_interaction(one: int, other: int) -> Comparison:
    """Return how much more one skip adds where the other is there, over all subsets of the rest."""
    return _contrast(f"gain from level {one} with level {other}", "without it", _along(one, other))


# What a finer skip adds minus what a coarser one does, means over the levels.
_SHARES = dict.fromkeys(FINE, 1 / len(FINE)) | dict.fromkeys(COARSE, -1 / len(COARSE))
_FINER = {
    variant: sum(share * _along(level)[variant] for level, share in _SHARES.items())
    for variant in FACTORIAL.values()
}
FINER_BY_COARSER = _contrast(
    "gain from a fine skip",
    "gain from a coarse skip",
    {variant: weight for variant, weight in _FINER.items() if weight},
)
SKIP_EFFECTS = [skip_effect(level) for level in range(DEPTH)]
SKIP_BY_SKIP = [*SKIP_EFFECTS, *(skip_interaction(*pair) for pair in combinations(range(DEPTH), 2))]


def estimates(
    runs: Sequence[Run], effects: Sequence[Comparison], measure: Measure = MIOU
) -> list[Estimate]:
    """Return each effect by that measure; [] where the design is not whole."""
    groups = by_variant(runs)
    if any(variant not in groups for effect in effects for variant in effect.weights):
        return []
    return [
        measure.contrast([groups[key] for key in effect.weights], [*effect.weights.values()])[0]
        for effect in effects
    ]


def missing_cells(runs: Sequence[Run]) -> str:
    """Return which networks of block by skip have no run, in a sentence; "" where all have."""
    present = by_variant(runs)
    missing = [TITLES[key] for key in CELLS.values() if key not in present]
    return f"This takes six networks; there is no run of the {listed(missing)}." if missing else ""
