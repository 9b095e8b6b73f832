"""What a single study would have concluded: one seed per network, a table, and its sentences.

The original study trained each network once. Every way to choose one seed per network is such a
study; beside what it would report stands the verdict of the full design. In the page each click
makes one of these studies; the table of all says the same without a script and on paper.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from lib.models import SHORT, TITLES, VARIANTS
from lib.records import Run
from report.evidence import measures as of
from report.evidence.claims import STUDY, Verdict
from report.evidence.comparison import SAME, Comparison, Finding
from report.evidence.readings import NotMeasured
from report.evidence.wording import capitalised, whole_percent
from report.figures.show import Exhibit
from report.figures.style import of_the_study
from report.template import ENVIRONMENT

COLUMNS = (of.MIOU, of.LOSS, of.BOUNDARY, of.MISSED)


def play(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Exhibit | None:
    """A button and what it shows; None without several seeds of all four networks."""
    data = studies(runs, verdicts)
    if not data or max(len(network["scores"]) for network in data["networks"]) < 2:
        return None
    template = ENVIRONMENT.get_template("course_study.html")
    return Exhibit(
        template.render(data=data, columns=data["columns"]),
        "fig-course-study",
        "*Be the course study.* Each click trains every network once: it draws one of the recorded "
        "seeds per network and reports what a study of these four runs would. A statement counts "
        "as reported when the difference reaches its margin.",
        "A button that draws one run per network, with the table and conclusions of that study.",
        interactive=True,
    )


def studies(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> dict:
    """Return all single studies in a form that a script can draw from; {} without four networks.

    networks    name, and for each seed its mIoU and the cells of its row
    statements  for each seed of the network and of U-Net the effect and whether it is reported
    """
    groups = of_the_study(runs)
    if not VARIANTS.keys() <= groups.keys():
        return {}
    columns = {}
    for measure in COLUMNS:
        try:
            columns[f"{capitalised(measure.name)} ({measure.level.name})"] = {
                key: [measure.level.number(x) for x in measure.of(group)]
                for key, group in groups.items()
            }
        except NotMeasured:
            continue
    networks = [
        {
            "name": TITLES[key],
            "short": SHORT[key],
            "scores": [round(100 * run.miou, 2) for run in group],
            "rows": [list(row) for row in zip(*(column[key] for column in columns.values()))],
        }
        for key, group in groups.items()
    ]
    return {
        "columns": ["Network", *columns],
        "networks": networks,
        "statements": [_statement(verdict, list(groups)) for verdict in _of_two_networks(verdicts)],
    }


def _of_two_networks(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the original study's statements that compare two networks by one measurement."""
    return [
        verdict
        for verdict in verdicts
        if verdict.claim.source == STUDY and len(verdict.primary) == 1
        if verdict.primary[0].estimate and verdict.primary[0].comparison.is_pair
    ]


def _statement(verdict: Verdict, order: Sequence[str]) -> dict:
    comparison = verdict.primary[0].comparison
    effects = effects_of(verdict.primary[0])
    return {
        "id": verdict.claim.id,
        "text": verdict.claim.statement,
        "pair": [order.index(variant) for variant in comparison.weights],
        "effects": [[comparison.measure.unit.signed(effect) for effect in row] for row in effects],
        "reported": reports(comparison, effects).astype(int).tolist(),
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
    return comparison.sign * effects >= comparison.margin


def shares(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Exhibit | None:
    """How many single studies would report each statement; None without statements."""
    rows = []
    for verdict in _of_two_networks(verdicts):
        finding = verdict.primary[0]
        reported = reports(finding.comparison, effects_of(finding))
        share = f"{whole_percent(reported.mean())} ({reported.sum()} of {reported.size})"
        unbroken = share.replace(" ", "\N{NO-BREAK SPACE}")
        rows.append((verdict.claim.id, verdict.claim.statement, unbroken, verdict.verdict))
    if not rows:
        return None
    return Exhibit(
        pd.DataFrame(rows, columns=["No.", "Statement", "Reported by", "Full design"]),
        "tbl-course-study",
        "Share of single studies, one seed of each of the two networks, that would report a "
        f"statement, and the verdict of all runs together. {ranking_sentence(runs)}",
    )


def rankings(runs: Sequence[Run]) -> Counter:
    """Return how many single studies rank the four networks so by mIoU, best first."""
    return Counter(
        tuple(run.variant for run in sorted(chosen, key=lambda run: -run.miou))
        for chosen in product(*of_the_study(runs).values())
    )


def ranking_sentence(runs: Sequence[Run]) -> str:
    """Return how many studies there are, and on how many rankings they disagree."""
    counts = rankings(runs)
    (common, number), total = counts.most_common(1)[0], counts.total()
    names = ", ".join(SHORT[key] for key in common)
    if total == 1:
        return f"One seed per network makes a single study, which ranks them: {names}."
    different = "one ranking" if len(counts) == 1 else f"{len(counts)} different rankings"
    return (
        f"There are {total:,} ways to choose one seed per network. They give {different} of the "
        f"four networks by test mIoU; the most common one ({names}) results from "
        f"{whole_percent(number / total)} of them."
    )
