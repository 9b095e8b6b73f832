"""The verdicts in one plot, a row for each statement with its effect, and in tables of numbers.

Effects have different units, so each is divided by its margin; the effect itself, with its unit, is
printed below the row. Rows stand in two columns, which the page sets below each other on a phone.
The drawing itself is report/template/forest.svg.
"""

import math
from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import pandas as pd

from lib.records import Run
from lib.studies.designs import DESIGNS
from report.evidence import ledger
from report.evidence.claims import STUDY, THEORY, Verdict
from report.evidence.comparison import (
    HIGHER, LOWER, MOST_SEEDS, NOT_MEASURED, ONE_SEED, RULED_OUT, SAME, SUPPORTED, UNDECIDED,
    Finding,
)  # fmt: skip
from report.evidence.statistics import EQUIVALENCE_LEVEL, LEVEL
from report.evidence.wording import (
    capitalised, effect_text, p_cell, plain, seeds_text, size_text, whole_percent,
)  # fmt: skip
from report.figures.show import Exhibit
from report.template import ENVIRONMENT

WIDTH, GAP = 340, 32  # pixels: of a column, and between the two
LINE, STRIP, SPACE, AXIS = 15, 58, 12, 36  # pixels: heights
NAMES = {STUDY: "ledger", THEORY: "theory-ledger"}  # in the labels of figures and tables
LETTERS = 46  # that a line holds beside the statement's name
MOST = 12  # margins that the axis shows to either side
TICKS = (0, -1, 1, -5, 5, -10, 10)
GLYPHS = {SUPPORTED: "M0 0l3 4l6 -8", RULED_OUT: "M1 -4l7 8m0 -8l-7 8"}
RULES = "[How a statement is decided](5_analysis.ipynb#How-a-statement-is-decided)"
CIRCLE = "M4.5 -4a4 4 0 1 0 .01 0z"


def forest(verdicts: Sequence[Verdict], source: str) -> Exhibit | None:
    """Return the plot of the statements of that source that were measured; None without any."""
    shown = _judged(verdicts, source)
    if not shown:
        return None
    estimates = [finding.estimate for verdict in shown for finding in verdict.primary]
    seeds = seeds_text(sorted({number for each in estimates for number in each.seeds}))
    outcomes, note = {verdict.verdict for verdict in shown}, ""
    if UNDECIDED in outcomes:
        note = " In brackets: the seeds per network that would decide the statement."
    elif ONE_SEED in outcomes:
        note = " With one seed an interval covers the images alone, and nothing is decided."
    return Exhibit(
        drawing(shown),
        f"fig-{NAMES[source]}",
        f"{ledger.tally(shown, source)} Dots: effects in units of their margin; lines: "
        f"{whole_percent(LEVEL)} intervals; shaded: where the statement would hold. “No "
        f"difference” is judged by the {whole_percent(EQUIVALENCE_LEVEL)} interval. {seeds} per "
        f"network.{note} The rules are in {RULES}, the numbers in [a table](#tbl-{NAMES[source]}).",
        " ".join(
            f"{verdict.claim.id}. {verdict.claim.statement} {capitalised(verdict.verdict)}."
            for verdict in shown
        ),
    )


def _judged(verdicts: Sequence[Verdict], source: str) -> list[Verdict]:
    """Return the verdicts on the statements of that source that were measured."""
    own = [verdict for verdict in verdicts if verdict.claim.source == source]
    return [verdict for verdict in own if verdict.verdict != NOT_MEASURED]


def in_numbers(verdicts: Sequence[Verdict], source: str) -> list[Exhibit]:
    """Return the numbers of the plot `forest`, primary and secondary; none without a plot."""
    shown, name = _judged(verdicts, source), NAMES[source]
    if not shown:
        return []
    primary = pd.DataFrame(
        {"No.": verdict.claim.id}
        | _cells(finding)
        | {
            "p": p_cell(finding.estimate.tested_p),
            "After Holm": p_cell(verdict.adjusted_p(finding)),
            "Verdict": ledger.with_seeds(part, verdict),
        }
        for verdict in shown
        for finding, part in zip(verdict.primary, verdict.parts)
    )
    secondary = pd.DataFrame(
        {"No.": verdict.claim.id} | _cells(finding)
        for verdict in verdicts
        if verdict.claim.source == source
        for finding in verdict.secondary
        if finding.estimate
    )
    about_primary = (
        f"The primary measurements of [the plot](#fig-{name}). Difference: first network or "
        f"condition less the second, in the measure's unit, with its {whole_percent(LEVEL)} "
        "interval; P(A > B): the chance that the first has the higher number in one run of each, "
        "with its interval; p raw and after Holm's adjustment over all statements, among which one "
        "with two measurements counts by its larger p."
    )
    about_secondary = (
        f"Secondary measurements of the statements of [the plot](#fig-{name}), as in "
        f"[the table of primary ones](#tbl-{name}); reported, not decisive."
    )
    return [
        Exhibit(primary, f"tbl-{name}", about_primary),
        Exhibit(secondary, f"tbl-{name}-secondary", about_secondary),
    ]


def _cells(finding: Finding) -> dict[str, str]:
    """Return the cells that primary and secondary measurements have in common."""
    comparison, estimate = finding.comparison, finding.estimate
    higher = "–"
    if finding.higher:
        share, low, high = finding.higher
        interval = "" if np.isnan(low) else f" ({plain.range(low, high)})"
        higher = plain.number(share) + interval
    name = f"{capitalised(comparison.measure.name)}, {comparison.names}"
    if comparison.expect:  # what the statement takes, of a primary measurement
        name += f": {comparison.criterion}"
    return {
        "Measurement": f"{name}; {size_text(estimate)}",
        "Levels": finding.levels or "–",
        "Difference": effect_text(estimate, comparison.measure.unit),
        "P(A > B)": higher,
    }


def elsewhere(judged: dict[str, Sequence[Verdict]], here: str) -> list[Exhibit]:
    """Return the statements under other recipes, on other drives and on other data, as tables.

    Of verdicts by the name of the part (`lib.studies.designs`); a part without runs is left out.
    """
    if here != "CamVid":
        return []
    others = {capitalised(name.removeprefix("without-")): judged[name] for name in judged}
    drives = [capitalised(name[8:]) for name in judged if name.startswith("without-")]
    tables = []
    for label, own, names, where in (
        ("recipe", "with Dice", ["Cross-entropy"],
         "with soft Dice in the loss, and with cross-entropy alone"),
        ("drives", here, drives,
         "on CamVid's own test split, and on each drive when it is left out of the training"),
        ("scenes", here, ["Scenes"],
         "on CamVid and on drawn scenes, whose test images are many and independent"),
    ):  # fmt: skip
        parts = {name: others[name] for name in names if name in others}
        there = {v.claim.id for part in parts.values() for v in part if v.verdict != NOT_MEASURED}
        # What drawn scenes alone decide has no effect on CamVid.
        both = [v for v in judged[here] if v.claim.id in there and not v.claim.primary[0].data]
        table = ledger.across({own: both} | parts)
        if len(table.columns) > 3:  # the statement, and more than one set of runs
            caption = f"Effects with {whole_percent(LEVEL)} intervals, and verdicts, {where}."
            if ONE_SEED in {v.verdict for part in parts.values() for v in part}:
                caption += " One seed decides nothing: its interval is over images alone."
            tables.append(Exhibit(table, f"tbl-{label}", caption))
    return tables


def by_edition(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Exhibit | None:
    """Return the verdict on each statement in both editions; None for other runs than these."""
    if runs[0].edition == 1 or not DESIGNS["D1"].parts[0].holds(runs[0]):
        return None
    return Exhibit(
        ledger.editions_table(verdicts),
        "tbl-editions",
        "The verdict on each statement by the first edition's records and by these, both by the "
        f"rules of {RULES}.",
    )


def drawing(verdicts: Sequence[Verdict]) -> str:
    """Return the plot as SVG, two drawings side by side."""
    reach = _reach(verdicts)
    rows = [_plot_row(verdict, reach) for verdict in verdicts]
    bottoms = np.cumsum([row["height"] for row in rows])
    half = int(np.abs(bottoms - bottoms[-1] / 2).argmin()) + 1  # both columns about as high
    cards = [_column(part) for part in (rows[:half], rows[half:]) if part]
    ticks = [tick for tick in TICKS if abs(tick) < reach]
    return ENVIRONMENT.get_template("forest.svg").render(
        cards=cards,
        width=len(cards) * (WIDTH + GAP) - GAP,
        height=max(card["height"] for card in cards),
        card_width=WIDTH,
        step=WIDTH + GAP,
        zero=_place(0, reach),
        ticks=[{"x": _place(tick, reach), "name": f"{tick}".replace("-", "−")} for tick in ticks],
    )


def _reach(verdicts: Sequence[Verdict]) -> int:
    """Return how many margins the axis shows to either side: all intervals, or `MOST`."""
    ends = [abs(end) for verdict in verdicts for each in verdict.primary for end in _ends(each)]
    return min(MOST, max(3, math.ceil(max(ends))))


def _ends(finding: Finding) -> tuple[float, float, float]:
    """Return low, effect and high in margins; without an interval the effect three times."""
    estimate, margin = finding.estimate, finding.comparison.margin
    low, high = estimate.low, estimate.high
    if np.isnan(low):
        low = high = estimate.value
    return low / margin, estimate.value / margin, high / margin


def _place(margins: float, reach: int) -> float:
    """Return where that many margins are, in pixels from the left."""
    share = (np.clip(margins, -reach, reach) + reach) / (2 * reach)
    return round(float(share) * WIDTH, 1)


def _plot_row(verdict: Verdict, reach: int) -> dict:
    """Return one statement: its lines, and a strip for each primary measurement."""
    lines = wrap(verdict.claim.statement, LETTERS)
    strips, y = [], LINE * len(lines) + 6
    for finding, part in zip(verdict.primary, verdict.parts):
        strips.append(_measurement(finding, part, reach) | {"y": y})
        y += STRIP
    for strip in strips:
        if strip["verdict"] == UNDECIDED:
            strip["verdict"] += f" ({verdict.seeds_needed or f'> {MOST_SEEDS}'} seeds)"
    secondary = [f"Secondary: {each.text}" for each in verdict.secondary if each.estimate]
    return {
        "id": verdict.claim.id,
        "lines": lines,
        "strips": strips,
        "height": y + SPACE,
        "details": "\n".join([*(each.text for each in verdict.primary), *secondary]),
    }


def _measurement(finding: Finding, part: str, reach: int) -> dict:
    """Return what is drawn of one measurement, in pixels."""
    low, effect, high = _ends(finding)
    return {
        "measure": capitalised(finding.comparison.measure.name),
        "zone": _zone(finding.comparison.expect, reach),
        "interval": (_place(low, reach), _place(high, reach)) if low < high else None,
        "beyond_left": low < -reach,
        "beyond_right": high > reach,
        "dot": _place(effect, reach),
        "effect": effect_text(finding.estimate, finding.comparison.measure.unit),
        "verdict": part,
        "glyph": GLYPHS.get(part, CIRCLE),
        "kind": part.replace(" ", "-") if part in GLYPHS else "undecided",
    }


def _zone(expect: str, reach: int) -> dict[str, float]:
    """Return where the statement would hold."""
    start, end = {SAME: (-1, 1), HIGHER: (1, reach), LOWER: (-reach, -1)}[expect]
    x = _place(start, reach)
    return {"x": x, "width": round(_place(end, reach) - x, 1)}


def _column(rows: Sequence[dict]) -> dict:
    """Return a column: its rows below each other, above an axis."""
    y = 0
    for row in rows:
        row["y"] = y
        y += row["height"]
    words = "; ".join(f"{row['id']}: {row['strips'][0]['verdict']}" for row in rows)
    return {"rows": rows, "axis": y, "height": y + AXIS, "words": words}
