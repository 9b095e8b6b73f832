"""What a single study would have concluded: one seed per network, a table, and its sentences.

The original study trained each network once. Every way to choose one seed per network is such a
study; beside what it would report stands the verdict of the full design.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from lib.models import SHORT, TITLES, VARIANTS
from lib.records import Run, by_variant
from report.evidence import measures as of
from report.evidence.claims import STUDY, Verdict
from report.evidence.comparison import HIGHER, SAME, Comparison, Finding
from report.evidence.readings import NotMeasured
from report.evidence.wording import capitalised, whole_percent

COLUMNS = (of.MIOU, of.LOSS, of.BOUNDARY, of.MISSED)


def studies(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> dict:
    """Return all single studies in a form that a script can draw from; {} without four networks.

    networks    name, and for each seed its mIoU and the cells of its row
    statements  for each seed of the network and of U-Net the effect and whether it is reported
    """
    groups = {key: group for key, group in by_variant(runs).items() if key in VARIANTS}
    if len(groups) < len(VARIANTS):
        return {}
    order = list(groups)
    measures = [measure for measure in COLUMNS if _measured(measure, groups)]
    columns = [f"{capitalised(measure.name)} ({measure.level.name})" for measure in measures]
    cells = {
        key: [[measure.level.number(x) for x in measure.of(group)] for measure in measures]
        for key, group in groups.items()
    }
    networks = [
        {
            "name": TITLES[key],
            "short": SHORT[key],
            "scores": [round(100 * run.miou, 2) for run in group],
            "rows": [list(row) for row in zip(*cells[key])],
        }
        for key, group in groups.items()
    ]
    return {
        "columns": ["Network", *columns],
        "networks": networks,
        "statements": [_statement(verdict, order) for verdict in _single(verdicts)],
    }


def _measured(measure: of.Measure, groups: dict[str, list[Run]]) -> bool:
    try:
        for group in groups.values():
            measure.of(group)
    except NotMeasured:
        return False
    return True


def _single(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the original study's statements that compare two networks by one measurement."""
    found = []
    for verdict in verdicts:
        finding = verdict.primary[0]
        pair = len(verdict.primary) == 1 and finding.comparison.is_pair
        if pair and finding.estimate and verdict.claim.source == STUDY:
            found.append(verdict)
    return found


def _statement(verdict: Verdict, order: Sequence[str]) -> dict:
    finding = verdict.primary[0]
    variant, reference = finding.comparison.weights
    effects = effects_of(finding)
    unit = finding.comparison.measure.unit
    return {
        "id": verdict.claim.id,
        "text": verdict.claim.statement,
        "pair": [order.index(variant), order.index(reference)],
        "effects": [[unit.signed(effect) for effect in row] for row in effects],
        "reported": reports(finding.comparison, effects).astype(int).tolist(),
        "verdict": verdict.verdict,
    }


def effects_of(finding: Finding) -> np.ndarray:
    """Return the effect for every seed of the network (rows) and of the reference (columns)."""
    own, other = finding.values[0][:, None], finding.values[1]
    return own / other - 1 if finding.comparison.measure.relative else own - other


def reports(comparison: Comparison, effects: np.ndarray) -> np.ndarray:
    """Return whether a study that sees this effect reports the statement, whatever its chance."""
    if comparison.expect == SAME:
        return np.abs(effects) <= comparison.margin
    if comparison.expect == HIGHER:
        return effects >= comparison.margin
    return effects <= -comparison.margin


def rankings(runs: Sequence[Run]) -> Counter:
    """Return how many single studies rank the four networks so by mIoU, best first."""
    groups = {key: group for key, group in by_variant(runs).items() if key in VARIANTS}
    found: Counter = Counter()
    for drawn in product(*groups.values()):
        best_first = sorted(drawn, key=lambda run: -run.miou)
        found[tuple(run.variant for run in best_first)] += 1
    return found


def ranking_sentence(runs: Sequence[Run]) -> str:
    """Return how many studies there are, and on how many rankings they disagree."""
    found = rankings(runs)
    (common, number), total = found.most_common(1)[0], found.total()
    names = ", ".join(SHORT[key] for key in common)
    if total == 1:
        return f"One seed per network makes a single study, which ranks them: {names}."
    different = "one ranking" if len(found) == 1 else f"{len(found)} different rankings"
    return (
        f"There are {total:,} ways to choose one seed per network. They give {different} of the "
        f"four networks by test mIoU; the most common one ({names}) comes out in "
        f"{whole_percent(number / total)} of them."
    )


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return how many single studies report each statement, and the full design's verdict."""
    rows = []
    for verdict in _single(verdicts):
        finding = verdict.primary[0]
        reported = reports(finding.comparison, effects_of(finding))
        share = whole_percent(reported.mean())
        rows.append({
            "No.": verdict.claim.id,
            "Statement": verdict.claim.statement,
            "Reported by": f"{share} ({reported.sum()} of {reported.size})",
            "Full design": verdict.verdict,
        })
    return pd.DataFrame(rows)
