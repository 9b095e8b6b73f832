"""The README's results, from the published records: `python -m report.readme` writes the table anew."""

import re
from pathlib import Path

from lib import ROOT
from lib.files import write_atomically
from lib.records import load_runs
from report.evidence.analysis import PUBLISHED, cost_table, scores_table, setting

README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- results: .*? -->\n).*?(<!-- end of results -->)", re.DOTALL)


def results(folder: str | Path = PUBLISHED) -> str:
    """Setting and scores of the runs under `folder`, as Markdown."""
    runs = load_runs(folder)
    costs = cost_table(runs).set_index("Network")["Parameters (millions)"]
    rows = ["| network | parameters | test mIoU | against U-Net (95 % interval) |", "|---|---:|---:|---:|"]
    for row in scores_table(runs).to_dict("records"):
        spread = "" if row["Standard deviation"] == "–" else f" ± {row['Standard deviation']}"
        against = row["Against U-Net"] + (f" ({row['95 % interval']})" if row["95 % interval"] != "–" else "")
        rows.append(f"| {row['Network']} | {costs[row['Network']]:.2f} M | {row['Test mIoU']}{spread} | {against} |")
    return "\n".join([setting(runs), "", *rows]) + "\n"


def updated(text: str, table: str) -> str:
    """The README with its marked part replaced."""
    if not MARKED.search(text):
        raise ValueError(f"{README}: the markers around the results are missing; restore them from the last commit")
    return MARKED.sub(lambda match: f"{match[1]}\n{table}\n{match[2]}", text)


if __name__ == "__main__":
    write_atomically(README, updated(README.read_text(), results()).encode())
