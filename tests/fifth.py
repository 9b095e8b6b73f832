"""A fifth network, one row more in the table of networks, and all that the analysis makes of it.

Run as a program by `test_fifth.py`, since most tables are made of that one when they are imported.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from torch import nn

from lib import models

KEY, TITLE = "unet-dilated", "Dilated U-Net"


class DilatedConv(models.DoubleConv):
    """Two 3x3 convolutions that read every second pixel: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                layer.dilation, layer.padding = (2, 2), (2, 2)


def add_row() -> None:
    """Add the network to the tables as a row of `lib.models.VARIANTS` does."""
    models.VARIANTS[KEY] = models.Variant(TITLE, DilatedConv, models.ConcatSkip)
    networks = models.VARIANTS | models.EXTRA
    titles = {key: entry.title for key, entry in networks.items()}
    short = {key: entry.short or "dilated" for key, entry in networks.items()}
    for table, content in (
        (models.NETWORKS, networks),
        (models.TITLES, titles),
        (models.SHORT, short),
    ):
        table.clear()  # in place: other modules have these objects
        table.update(content)


def drawn(figure) -> dict[str, list[str]]:
    """Return the colours of every labelled line of a chart, by label."""
    found = {}
    for axes in figure.axes:
        for line in axes.lines:
            found.setdefault(str(line.get_label()), set()).add(line.get_color())
    return {label: sorted(colors) for label, colors in found.items() if not label.startswith("_")}


def main(out: Path) -> dict:
    """Train all five and return what tables, sentences and charts hold."""
    add_row()
    from conftest import TINY
    from lib.records import load_runs
    from lib.train import fit
    from report.evidence import design, sentences
    from report.evidence import closed_forms as theory
    from report.evidence.claims import STUDY, judge
    from report.figures import charts, diagrams, forest, style, tables

    for variant in models.VARIANTS:
        fit(replace(TINY, variant=variant, epochs=1), out)
    runs = load_runs(out)
    compared = ("scores", "loss", "cost")
    differences = charts.class_differences(runs)
    verdicts = judge(runs)
    return {
        "order": [run.variant for run in runs],
        "looks": {key: [look.color, look.marker] for key, look in style.LOOKS.items()},
        "networks": {
            name: getattr(tables, name)(runs).content.Network.tolist() for name in compared
        },
        "definitions": tables.definitions(runs).content.columns.tolist(),
        "differences": differences.variant.unique().tolist(),
        "ledger": len(forest.in_numbers(verdicts, STUDY)[0].content),
        "text": [sentences.setting(runs), sentences.caveats(runs, []), sentences.finding(runs),
                 sentences.certainty(runs), sentences.chapter(runs[-1])],
        "design": design.missing_cells(runs),
        "charts": {
            "loss": drawn(charts.loss(runs).content),
            "fine": drawn(charts.fine_structures(runs).content),
            "test": drawn(charts.test_miou(runs).content),
            "scores": drawn(charts.class_scores(runs).content),
        },
        "drawings": [diagrams.network(run).content for run in runs],
        "summary": theory.summary(4, 13, (32, 48)).to_dict("list"),
        "levels": tables.part_by_part(runs[-1]).content["Part"].tolist(),
        "field": theory.receptive_fields(KEY),
        "paths": theory.shortest_paths(KEY),
    }  # fmt: skip


if __name__ == "__main__":
    result = main(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(result, default=str))
