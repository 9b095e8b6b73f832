"""The runs that a notebook reads: those of a report's folder, or else the published ones."""

from pathlib import Path

from lib import ROOT
from lib.records import Run, load_runs
from lib.studies.designs import DESIGNS
from report.evidence.sentences import setting

PUBLISHED = "report/published/camvid"


def load_or_published(out: str | Path) -> tuple[list[Run], str, Path | None]:
    """Return the runs under `out`, their setting, and the folder of figures.

    Without any, return the published runs; their figures are not written to `out`: None.
    """
    if runs := load_runs(out):
        return runs, setting(runs), Path(out) / "figures"
    if runs := load_runs(PUBLISHED):
        note = f"There are no records under `{out}`: this is the published study."
        return runs, f"{note} {setting(runs)}", None
    path = ROOT / out / "runs"
    raise FileNotFoundError(f"{path}: no records; run notebooks 1 to 4 with out = {out}")


def load_parts(out: str | Path) -> dict[str, list[Run]]:
    """Return the runs of the designs' other parts by name: other recipes, drives and data.

    They lie beside `out`, in folders that `lib.studies.designs` names, and those of the published
    study beside it. A part without runs is left out.
    """
    folder = Path(out if load_runs(out) else PUBLISHED).parent
    names = dict.fromkeys(part.name for design in DESIGNS.values() for part in design.parts)
    runs = {name: load_runs(folder / name) for name in names if name != Path(out).name}
    return {name: group for name, group in runs.items() if group}
