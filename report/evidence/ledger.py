"""The rules in five lines, and verdicts as tables: with their numbers, and side by side."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import ROOT
from lib.records import Run
from report.evidence.claims import CLAIMS, GRADIENT, LOSS, NONE, SCORE, SHARE, UNET, Verdict
from report.evidence.comparison import (
    ALPHA, NOT_MEASURED, ONE_SEED, RULED_OUT, SUPPORTED, UNDECIDED, Comparison,
    Finding, find,
)  # fmt: skip
from report.evidence.measures import MISSED_SIGNS
from report.evidence.statistics import BLOCK, EQUIVALENCE_LEVEL, LEVEL, MOST_SEEDS
from report.evidence.wording import (
    capitalised, interval_text, listed, p_cell, plain, points, size_text, whole_percent,
)  # fmt: skip

ORDER = (SUPPORTED, RULED_OUT, UNDECIDED, ONE_SEED, NOT_MEASURED)
SIGNS = Comparison(MISSED_SIGNS, {NONE: 1, UNET: -1})
FIRST_EDITION = ROOT / "report" / "records" / "first-edition.json"  # verdicts by claim


def rules(verdicts: Sequence[Verdict]) -> str:
    """Return the rules by which these statements are decided, as a list in Markdown."""
    lines = [
        "*One measurement decides.* Each statement has a primary measurement, chosen before the "
        "networks were trained. A statement with two needs both, and is ruled out as soon as one "
        "of them is. Secondary measurements have no say; every comparison of this report that is "
        "not a primary measurement is exploratory.",
        f"*Verdicts.* {SUPPORTED.capitalize()}: significant in the stated direction (p < "
        f"{ALPHA:g}) and at least as large as the margin. {RULED_OUT.capitalize()}: the "
        f"{whole_percent(LEVEL)} interval excludes an effect of the margin's size. "
        f"{UNDECIDED.capitalize()}: neither. “No difference” is supported when the "
        f"{whole_percent(EQUIVALENCE_LEVEL)} interval lies within the margin, and ruled out when "
        f"the difference is significant and the {whole_percent(LEVEL)} interval lies outside it.",
        f"*Margins.* {whole_percent(LOSS)} of the U-Net's loss; {points(SCORE)} of mIoU or "
        f"boundary IoU; {points(SHARE)} of a share; {whole_percent(GRADIENT)} for gradients and "
        "curvatures.",
        "*Uncertainty.* Seeds and images both vary, so intervals allow for both: Student's t over "
        f"seeds, and a bootstrap over images in blocks of {BLOCK} consecutive frames of a drive "
        "(drawn scenes are independent). Means are arithmetic. One seed decides nothing.",
        f"*p-values* are adjusted by Holm's method over the {len(verdicts)} statements together. "
        "An undecided row says how many seeds per network would decide it four times in five, "
        f"if the effect and the variance are those observed; where {MOST_SEEDS} would not, the "
        "images are the limit, or the effect is close to its margin.",
    ]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def ledger(verdicts: Sequence[Verdict], source: str) -> pd.DataFrame:
    """Return a row for each primary measurement of the statements of that source, with numbers."""
    rows = []
    for verdict in verdicts:
        if verdict.claim.source == source and verdict.verdict != NOT_MEASURED:
            parts = zip(verdict.primary, verdict.parts)
            rows += [_row(verdict, finding, part) for finding, part in parts]
    return pd.DataFrame(rows)


def _row(verdict: Verdict, finding: Finding, part: str) -> dict[str, str]:
    row = {"Statement": verdict.claim.id} | _numbers(finding)
    row["Margin"] = finding.comparison.criterion
    row["p"], row["After Holm"] = p_cell(verdict.p), p_cell(verdict.adjusted)
    row["Verdict"] = part
    return row


def secondary(verdicts: Sequence[Verdict], source: str) -> pd.DataFrame:
    """Return a row for each secondary measurement that was made, without a verdict."""
    rows = [
        {"Statement": verdict.claim.id} | _numbers(finding)
        for verdict in verdicts
        if verdict.claim.source == source
        for finding in verdict.secondary
        if finding.estimate
    ]
    return pd.DataFrame(rows)


def _numbers(finding: Finding) -> dict[str, str]:
    """Return the cells that primary and secondary measurements have in common."""
    comparison, estimate = finding.comparison, finding.estimate
    row = {
        "Measurement": capitalised(comparison.measure.name),
        "Comparison": capitalised(f"{comparison.subject} against {comparison.against}"),
    }
    unit = comparison.measure.unit
    difference = unit.signed(estimate.value)
    if np.isfinite(estimate.low):
        difference += f" ({unit.number(estimate.low)} to {unit.number(estimate.high)})"
    return row | {
        "Levels": finding.levels or "–",
        "Difference": difference,
        "P(A > B)": _higher(finding),
        "From": size_text(estimate),
    }


def _higher(finding: Finding) -> str:
    if finding.higher is None:
        return "–"
    share, low, high = finding.higher
    interval = "" if np.isnan(low) else f" ({plain.range(low, high)})"
    return plain.number(share) + interval


def verdict_text(verdict: Verdict) -> str:
    """Return the verdict; with an undecided one, how many seeds per network would decide it."""
    if verdict.verdict != UNDECIDED:
        return verdict.verdict
    needed = verdict.seeds_needed
    return f"{UNDECIDED} ({needed or f'more than {MOST_SEEDS}'} seeds needed)"


def tally(verdicts: Sequence[Verdict], source: str = "") -> str:
    """Return "Of 18 statements, 5 are supported, 3 are ruled out and 10 are undecided."."""
    found = [verdict.verdict for verdict in verdicts]
    counted = [(found.count(verdict), verdict) for verdict in ORDER if verdict in found]
    parts = [f"{number} {'is' if number == 1 else 'are'} {verdict}" for number, verdict in counted]
    of_whom = f" of {source}" if source else ""
    return f"Of {len(found)} statements{of_whom}, {listed(parts)}."


def across(parts: dict[str, Sequence[Verdict]], effects: bool = True) -> pd.DataFrame:
    """Return verdicts side by side: a row for each statement, a column for each set of runs.

    With effects and intervals, or verdicts alone. Statements that no set measures are left out, and
    so is a set that measures none.
    """
    claims, columns = {}, {}
    for name, verdicts in parts.items():
        measured = {v.claim.id: v for v in verdicts if v.verdict != NOT_MEASURED}
        if measured:
            columns[name] = measured
        claims |= {v.claim.id: v.claim for v in measured.values()}
    order = [claim.id for claim in CLAIMS if claim.id in claims]
    table = {"No.": order, "Statement": [claims[key].statement for key in order]}
    for name, measured in columns.items():
        table[name] = [_cell(measured.get(key), effects) for key in order]
    return pd.DataFrame(table)


def _cell(verdict: Verdict | None, effects: bool) -> str:
    if verdict is None:
        return "–"
    if not effects:
        return verdict.verdict
    return "; ".join(_short(finding) for finding in verdict.primary) + f": {verdict.verdict}"


def _short(finding: Finding) -> str:
    """Return "−6.8 (−8.8 to −4.8) points"."""
    estimate, unit = finding.estimate, finding.comparison.measure.unit
    if np.isnan(estimate.low):
        return unit.signed(estimate.value)
    interval = f"({unit.number(estimate.low)} to {unit.number(estimate.high)})"
    return f"{unit.number(estimate.value)} {interval} {unit.name}"


def first_edition() -> dict[str, str]:
    """Return the verdict on each statement by the records of the first edition."""
    return json.loads(FIRST_EDITION.read_text())


def editions(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return each statement's verdict by the first edition's records and by these."""
    before = first_edition()
    return pd.DataFrame({
        "No.": [verdict.claim.id for verdict in verdicts],
        "Statement": [verdict.claim.statement for verdict in verdicts],
        "First edition": [before[verdict.claim.id] for verdict in verdicts],
        "Second edition": [verdict.verdict for verdict in verdicts],
    })


def signs_by_recipe(recipes: dict[str, Sequence[Run]]) -> str:
    """Return the share of signs missed entirely without and with skips, recipe by recipe."""
    parts = []
    for name, runs in recipes.items():
        finding = find(SIGNS, runs)
        if finding.estimate:
            effect = interval_text(finding.estimate)
            parts.append(f"{name} {finding.levels} ({effect})")
    if not parts:
        return ""
    return f"Share of signs missed entirely, without skips against with them: {'; '.join(parts)}."
