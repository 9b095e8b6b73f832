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
    for table, content in ((models.NETWORKS, networks), (models.TITLES, titles)):
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
    from report.evidence import analysis
    from report.evidence import design
    from report.figures import diagrams
    from report.figures import style as figures
    from report.evidence import findings
    from report.evidence import front
    from report.evidence import closed_forms as theory
    from report.figures import theory as theory_figures
    from report.figures import charts
    from lib.train import fit

    for variant in models.VARIANTS:
        fit(replace(TINY, variant=variant, epochs=1), out)
    runs = analysis.load_runs(out)
    tables = ("scores_table", "convergence_table", "loss_table", "structure_table", "cost_table")
    differences = analysis.class_differences(runs)
    costs = {key: theory.level_costs(key, 4, 13, (32, 48)) for key in models.VARIANTS}
    field = theory.receptive_field(KEY).set_index("part").largest
    return {
        "order": [run.variant for run in runs],
        "looks": figures.LOOKS,
        "networks": {name: getattr(analysis, name)(runs).Network.tolist() for name in tables},
        "classes": analysis.class_table(runs).columns.tolist(),
        "definitions": analysis.definitions_table(runs).columns.tolist(),
        "differences": differences.variant.unique().tolist(),
        "ledger": len(analysis.ledger(runs)),
        "text": [analysis.setting(runs), analysis.cost_sentence(runs), analysis.caveats(runs),
                 front.found(runs), front.certainty(runs), findings.chapter(runs[-1])],
        "design": design.effects_text(runs),
        "charts": {
            "loss": drawn(charts.loss_curves(runs)), "miou": drawn(charts.miou_curves(runs)),
            "fine": drawn(charts.fine_structures(runs)), "test": drawn(charts.test_metric(runs)),
            "differences": drawn(charts.class_differences(differences)),
            "scores": drawn(figures.class_scores(runs)), "own": drawn(figures.training_curves(runs[-1])),
            "costs": drawn(theory_figures.costs(costs)),
        },
        "drawings": [diagrams.summary(runs), diagrams.network(runs[-1])],
        "captions": [diagrams.network_caption(runs[-1]), front.summary_caption(runs)],
        "summary": theory.summary(4, 13, (32, 48)).to_dict("list"),
        "levels": findings.levels(runs[-1])[0]["Part"].tolist(),
        "field": [int(side) for side in field],
        "paths": [theory.shortest_path(KEY, level) for level in range(5)],
    }  # fmt: skip


if __name__ == "__main__":
    result = main(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(result, default=str))
