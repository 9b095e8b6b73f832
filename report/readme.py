"""The README's results, from the published records: `python -m report.readme` writes them anew."""

import re

from lib import ROOT
from lib.files import write_atomically
from report.evidence.loading import PUBLISHED, load_study
from report.evidence.sentences import finding, setting
from report.figures import tables

README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- results: .*? -->\n).*?(<!-- end of results -->)", re.DOTALL)


def results() -> str:
    """Return the finding, the setting and the scores of the published runs, as Markdown."""
    runs = load_study(PUBLISHED)
    costs = tables.cost(runs).content.set_index("Network")["Parameters (millions)"]
    interval = "difference from U-Net (95 % interval)"
    heads = ("network", "parameters", "test mIoU ± SD over seeds", interval)
    rows = [f"| {' | '.join(heads)} |", "|---|---:|---:|---:|"]
    for row in tables.scores(runs).content.to_dict("records"):
        spread = "" if row["SD"] == "–" else f" ± {row['SD']}"
        score = row["Test mIoU"] + spread
        size = f"{costs[row['Network']]:.2f} M"
        rows.append(f"| {row['Network']} | {size} | {score} | {row['Against U-Net']} |")
    return "\n".join([finding(runs), "", *rows, "", setting(runs)]) + "\n"


def updated(text: str, table: str) -> str:
    """Return the README with its marked part replaced."""
    if not MARKED.search(text):
        raise ValueError(
            f"{README}: the markers around the results are missing; take them from the last commit"
        )
    return MARKED.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", text)


if __name__ == "__main__":
    write_atomically(README, updated(README.read_text(), results()).encode())
