"""One study per click: a seed for each network, that study's table and conclusions.

The table of all studies says the same without a script and on paper.
"""

from collections.abc import Sequence

from lib.records import Run
from report.evidence import course_study as evidence
from report.evidence.claims import Verdict
from report.figures.show import Exhibit
from report.template import ENVIRONMENT


def play(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Exhibit | None:
    """Return the button and what it shows; None where not all four networks have runs."""
    data = evidence.studies(runs, verdicts)
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


def shares(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> Exhibit | None:
    """Return how often single studies would report each statement; None without statements."""
    table = evidence.shares_table(verdicts)
    if table.empty:
        return None
    return Exhibit(
        table,
        "tbl-course-study",
        "Share of single studies, one seed of each of the two networks, that would report a "
        f"statement, and the verdict of all runs together. {evidence.ranking_sentence(runs)}",
    )
