"""The runs that a notebook reads: those of a report's folder, or else the published ones."""

from pathlib import Path

from lib import ROOT
from lib.models import VARIANTS
from lib.records import Run, load_runs
from lib.studies.designs import DESIGNS
from report.evidence.design import FACTORIAL
from report.evidence.sentences import setting

PUBLISHED = "report/published/camvid"
SUBSETS = FACTORIAL.values() - VARIANTS.keys()  # networks with some of the skips (design D2)


def load_study(out: str | Path) -> list[Run]:
    """Return the runs under `out` but for networks with some of the skips, see `load_subsets`."""
    return [run for run in load_runs(out) if run.variant not in SUBSETS]


def load_or_published(out: str | Path) -> tuple[list[Run], str, Path | None]:
    """Return the study's runs under `out`, their setting, and the folder of figures.

    Without any, return the published runs; their figures are not written to `out`: None.
    """
    if runs := load_study(out):
        return runs, setting(runs), Path(out) / "figures"
    if runs := load_study(PUBLISHED):
        note = f"There are no records under `{out}`: this is the published study."
        return runs, f"{note} {setting(runs)}", None
    path = ROOT / out / "runs"
    raise FileNotFoundError(f"{path}: no records; run notebooks 1 to 4 with out = {out}")


def load_subsets(out: str | Path) -> list[Run]:
    """Return the runs of networks with some of the skips, which belong to the theory alone."""
    where = out if load_study(out) else PUBLISHED
    return [run for run in load_runs(where) if run.variant in SUBSETS]


def load_parts(out: str | Path) -> dict[str, list[Run]]:
    """Return the runs of the designs' other parts by name: other recipes, drives and data.

    They lie beside `out`, in folders that `lib.studies.designs` names, and those of the published
    study beside it. A part without runs is left out, and so are runs of another size or width,
    which belong to a study of their own.
    """
    folder = Path(out if load_study(out) else PUBLISHED).parent
    parts = dict.fromkeys(part for design in DESIGNS.values() for part in design.parts)
    runs = {}
    for part in parts:
        if part.name != Path(out).name:
            runs[part.name] = [run for run in load_runs(folder / part.name) if part.holds(run)]
    return {name: group for name, group in runs.items() if group}
