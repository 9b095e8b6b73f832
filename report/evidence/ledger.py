"""The rules in five lines, and the ledgers: a row for each statement with what decides it, another table for the rest."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from report.evidence.claims import (
    ALPHA, GRADIENT, LOSS, NOT_MEASURED, ONE_SEED, RULED_OUT, SCORE, SHARE, SUPPORTED, UNDECIDED, Finding, Verdict,
)
from report.evidence.statistics import BLOCK, EQUIVALENCE_LEVEL, LEVEL, MOST_SEEDS
from report.evidence.wording import capitalised, listed, p_cell, plain, points, whole_percent

ORDER = (SUPPORTED, RULED_OUT, UNDECIDED, ONE_SEED, NOT_MEASURED)


def rules(verdicts: Sequence[Verdict]) -> str:
    """Return the rules by which these statements are decided, as a list in Markdown."""
    lines = [
        "*One measurement decides.* Each statement has a primary measurement, named before the runs. Where it has two, both "
        "must hold. Secondary measurements are printed beside it and have no say. Every comparison of this report that "
        "is not a primary measurement is exploratory.",
        f"*Verdicts.* {SUPPORTED.capitalize()}: significant in the stated direction (p < {ALPHA:g}) and at least as large as "
        f"the margin. {RULED_OUT.capitalize()}: the {whole_percent(LEVEL)} interval excludes an effect of the margin's size "
        f"in the stated direction. {UNDECIDED.capitalize()}: neither. That there is no difference is supported when the "
        f"{whole_percent(EQUIVALENCE_LEVEL)} interval lies within the margin, and ruled out when the difference is "
        f"significant and the {whole_percent(LEVEL)} interval lies outside it.",
        f"*Margins.* {whole_percent(LOSS)} of U-Net's loss; {points(SCORE)} of mIoU or boundary IoU; {points(SHARE)} of a "
        f"share; {whole_percent(GRADIENT)} for gradients and the curvature of the loss.",
        "*Chance.* Means are arithmetic, over seeds. Seeds enter by Student's t; images by a bootstrap of blocks of "
        f"{BLOCK} consecutive frames within each drive, and drawn scenes one by one. One seed decides nothing.",
        f"*Reading a row.* p is adjusted by Holm's method over the primary measurements of all {len(verdicts)} statements. "
        "P(A > B) is the chance that, in one run of each, the first network has the higher number. An undecided row says "
        "how many seeds a network would bring a decision four times in five if the effect and its variance are those "
        f"observed; where {MOST_SEEDS} would not, the images are the limit, or the effect lies too near its margin.",
    ]
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def ledger(verdicts: Sequence[Verdict], source: str) -> pd.DataFrame:
    """Return one row for each statement of that source: its primary measurement, p, P(A > B) and the verdict."""
    rows = [(
        verdict.claim.id, verdict.claim.statement, primary_text(verdict), p_cell(verdict.p), p_cell(verdict.adjusted),
        "; ".join(map(_higher, verdict.primary)), verdict_text(verdict),
    ) for verdict in verdicts if verdict.claim.source == source]
    columns = ["Claim", capitalised(source), "Primary measurement", "p", "After Holm", "P(A > B)", "Verdict"]
    return pd.DataFrame(rows, columns=columns)


def secondary(verdicts: Sequence[Verdict], source: str) -> pd.DataFrame:
    """Return one row for each secondary measurement, without a verdict."""
    rows = [(verdict.claim.id, capitalised(finding.text), _higher(finding)) for verdict in verdicts
            if verdict.claim.source == source for finding in verdict.secondary]
    return pd.DataFrame(rows, columns=["Claim", "Secondary measurement", "P(A > B)"])


def by_recipe(recipes: dict[str, Sequence[Verdict]]) -> pd.DataFrame:
    """Return the verdict on each statement under each recipe that was run, one column a recipe."""
    columns = {name: [verdict_text(verdict) for verdict in verdicts] for name, verdicts in recipes.items()}
    first = next(iter(recipes.values()))
    return pd.DataFrame({"Claim": [verdict.claim.id for verdict in first],
                         "Statement": [verdict.claim.statement for verdict in first], **columns})


def primary_text(verdict: Verdict) -> str:
    """Return what the primary measurement says, or the two."""
    return "; ".join(finding.text for finding in verdict.primary)


def verdict_text(verdict: Verdict) -> str:
    """Return the verdict; with an undecided one, how many seeds a network would decide it."""
    if verdict.verdict != UNDECIDED:
        return verdict.verdict
    needed = verdict.seeds_needed
    return f"{UNDECIDED} ({needed or f'more than {MOST_SEEDS}'} seeds needed)"


def _higher(finding: Finding) -> str:
    if finding.higher is None:
        return "–"
    share, low, high = finding.higher
    return plain.number(share) if np.isnan(low) else f"{plain.number(share)} ({plain.range(low, high)})"


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return "Of 18 statements put to the test 5 are supported, 3 are ruled out and 10 are undecided."."""
    found = [verdict.verdict for verdict in verdicts]
    counted = [(found.count(verdict), verdict) for verdict in ORDER if verdict in found]
    return (f"Of {len(found)} statements put to the test "
            + listed([f"{number} {'is' if number == 1 else 'are'} {verdict}" for number, verdict in counted]) + ".")
