"""The rules in five lines, and verdicts in words and side by side."""

import json
from collections.abc import Sequence

import pandas as pd

from lib import ROOT
from lib.records import Run
from report.evidence.claims import CLAIMS, GRADIENT, LOSS, NONE, SCORE, SHARE, UNET, Verdict
from report.evidence.comparison import (
    ALPHA, MOST_SEEDS, NOT_MEASURED, ONE_SEED, RULED_OUT, SUPPORTED, UNDECIDED, Comparison, find,
)  # fmt: skip
from report.evidence.measures import MIOU, MISSED_SIGNS
from report.evidence.statistics import BLOCK, EQUIVALENCE_LEVEL, LEVEL
from report.evidence.wording import (
    are, effect_text, interval_text, listed, points, whole_percent,
)  # fmt: skip

ORDER = (SUPPORTED, RULED_OUT, UNDECIDED, ONE_SEED, NOT_MEASURED)
SIGNS = Comparison(MISSED_SIGNS, {NONE: 1, UNET: -1})
LOST = Comparison(MIOU, {NONE: 1, UNET: -1})
FIRST_EDITION = ROOT / "report" / "evidence" / "first-edition.json"  # verdicts by claim


def rules() -> str:
    """Return the rules by which statements are decided, as a list in Markdown."""
    level, inner = whole_percent(LEVEL), whole_percent(EQUIVALENCE_LEVEL)
    return (
        "1. *One measurement decides.* Each statement has a primary measurement, chosen before the "
        "networks were trained. A statement with two needs both, and is ruled out as soon as one "
        "of them is. Secondary measurements have no say; every comparison of this report that is "
        "not a primary measurement is exploratory.\n"
        "2. *Verdicts.* Supported: significant in the stated direction (p < "
        f"{ALPHA:g}) and at least as large as the margin. Ruled out: the {level} interval excludes "
        "an effect of the margin's size. Undecided: neither. “No difference” is supported when the "
        f"{inner} interval lies within the margin, and ruled out when the difference is "
        f"significant and the {level} interval lies outside it.\n"
        f"3. *Margins.* {whole_percent(LOSS)} of the U-Net's loss; {points(SCORE)} of mIoU or "
        f"boundary IoU; {points(SHARE)} of a share; {whole_percent(GRADIENT)} for gradients and "
        "curvatures.\n"
        "4. *Uncertainty.* Seeds and images both vary, so intervals allow for both: Student's t "
        f"over seeds, and a bootstrap over images in blocks of {BLOCK} consecutive frames of a "
        "drive (drawn scenes are independent). Means are arithmetic. One seed decides nothing.\n"
        "5. *p-values* are adjusted by Holm's method over all statements that were tested; "
        "intervals are not adjusted. An undecided row says how many seeds per network would decide "
        "it four times in five, if the effect and the variance are those observed; where "
        f"{MOST_SEEDS} would not, the images are the limit, or the effect is close to its margin."
    )


def verdict_text(verdict: Verdict) -> str:
    """Return the verdict; with an undecided one, how many seeds per network would decide it."""
    return with_seeds(verdict.verdict, verdict)


def with_seeds(outcome: str, verdict: Verdict) -> str:
    """Return an outcome of a verdict, if undecided with the seeds that would decide it."""
    if outcome != UNDECIDED:
        return outcome
    return f"{UNDECIDED} ({verdict.seeds_needed or f'more than {MOST_SEEDS}'} seeds needed)"


def tally(verdicts: Sequence[Verdict], source: str = "") -> str:
    """Return "Of 18 statements, 5 are supported, 3 are ruled out and 10 are undecided."."""
    words = [verdict.verdict for verdict in verdicts]
    counts = {verdict: words.count(verdict) for verdict in ORDER if verdict in words}
    parts = [f"{number} {are(number)} {verdict}" for verdict, number in counts.items()]
    return f"Of {len(words)} statements{f' of {source}' if source else ''}, {listed(parts)}."


def across(parts: dict[str, Sequence[Verdict]]) -> pd.DataFrame:
    """Return effects and verdicts side by side: a row for each statement, a column for each part.

    Statements that no part measures are left out, and so is a part that measures none.
    """
    outcomes = {
        name: {v.claim.id: _outcome(v) for v in verdicts if v.verdict != NOT_MEASURED}
        for name, verdicts in parts.items()
    }
    return _side_by_side(outcomes)


def _side_by_side(parts: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Return a table of words by part and statement."""
    table = pd.DataFrame({name: words for name, words in parts.items() if words})
    claims = [(claim.id, claim.statement) for claim in CLAIMS if claim.id in table.index]
    statements = pd.DataFrame(claims, columns=["No.", "Statement"])
    return statements.join(table, on="No.").fillna("–")


def _outcome(verdict: Verdict) -> str:
    """Return the effects with their intervals, and the verdict unless one seed allows none."""
    found = [effect_text(each.estimate, each.comparison.measure.unit) for each in verdict.primary]
    effects = "; ".join(found)
    return effects if verdict.verdict == ONE_SEED else f"{effects}: {verdict.verdict}"


def first_edition() -> dict[str, str]:
    """Return the verdict on each statement by the records of the first edition."""
    return json.loads(FIRST_EDITION.read_text())


def editions_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return each statement's verdict by the first edition's records and by these."""
    now = {verdict.claim.id: verdict.verdict for verdict in verdicts}
    return _side_by_side({"First edition": first_edition(), "Second edition": now})


def without_dice(verdicts: Sequence[Verdict], others: Sequence[Verdict]) -> str:
    """Return which verdicts differ under the cross-entropy alone, `others`, or ""."""
    pairs = [(now, other) for now, other in zip(verdicts, others) if other.verdict in ORDER[:3]]
    if not pairs:
        return ""
    changed = [
        f"{now.claim.id} ({now.verdict} with Dice, {other.verdict} without it)"
        for now, other in pairs
        if now.verdict != other.verdict
    ]
    if changed:
        return f"The verdict depends on the recipe for {listed(changed)}."
    same = listed([now.claim.id for now, _ in pairs])
    verdict = "verdict" if len(pairs) == 1 else "verdicts"
    return (
        f"Under the cross-entropy alone, without Dice, the {verdict} on {same} "
        f"{are(len(pairs))} the same."
    )


def signs_by_recipe(recipes: dict[str, Sequence[Run]]) -> str:
    """Return the share of signs missed entirely without and with skips, recipe by recipe."""
    findings = {name: find(SIGNS, runs) for name, runs in recipes.items()}
    measured = {name: finding for name, finding in findings.items() if finding.estimate}
    if len(measured) < 2:
        return ""
    (recipe, first), *others = measured.items()
    without, with_skips = first.both
    parts = [f"{name}, {' and '.join(each.both)}, {each.difference}" for name, each in others]
    return (
        f"Trained {recipe}, the network without skips misses {without} of the signs entirely and "
        f"the U-Net {with_skips}, {first.difference}; {'; '.join(parts)}."
    )


def by_drive(drives: dict[str, Sequence[Run]]) -> str:
    """Return what removing the skips changes on each drive that was left out of the training."""
    findings = {name: find(LOST, runs) for name, runs in drives.items()}
    measured = {name: each.estimate for name, each in findings.items() if each.estimate}
    parts = [
        f"{points.signed(estimate.value)} on {name} ({interval_text(estimate)})"
        for name, estimate in measured.items()
    ]
    if not parts:
        return ""
    behind = sum(estimate.high < 0 for estimate in measured.values())
    return (
        "Trained without one of CamVid's drives and tested on it, the network without skips "
        f"differs from the U-Net in mIoU by {listed(parts)}. On {behind} of the {len(parts)} the "
        "whole interval is below zero."
    )


def averaged(verdicts: Sequence[Verdict]) -> str:
    """Return what residual blocks do to the speed of learning with the U-Net's skips alone."""
    found = [each for v in verdicts if v.claim.id == "Q4" for each in v.secondary if each.estimate]
    if not found:
        return ""
    comparison, (first, second) = found[0].comparison, found[0].both
    return (
        "Q4 is decided by the mean over three kinds of skip. With the U-Net's own skips alone the "
        f"{comparison.measure.name} is {first} for the {comparison.subject} and {second} for the "
        f"{comparison.against}, {found[0].difference}."
    )
