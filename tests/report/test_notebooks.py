"""The notebooks: thin, without outputs, alike where they must be, executable in all three ways."""

import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from lib import ROOT
from lib.config import PLANS, PROFILES, SETTINGS, read_settings
from lib.models import VARIANTS
from lib.records import load_runs
from report.__main__ import main
from report.parameters import declared_by
from report.plan import chapters
from report.pdf import find_browser

SOURCES = chapters(ROOT / "notebooks")
CHAPTERS = [path for path in SOURCES if "unet" in path.stem]
NAMES = [
    "0_data",
    "1_unet",
    "2_unet_noskip",
    "3_unet_residual",
    "4_unet_gated_attention",
    "5_analysis",
    "6_theory",
    "7_cost",
]


def test_there_are_eight():
    assert [path.stem for path in SOURCES] == NAMES
    assert len(list((ROOT / "notebooks").glob("*.ipynb"))) == len(NAMES), "one is no chapter"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_sources_are_thin_and_clean(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), (
        "a source carries no outputs"
    )
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert len(code) <= 15
    assert sum(bool(line.strip()) for cell in code for line in cell.source.splitlines()) <= 80
    assert not any(re.search(r"^\s*(class|def) ", cell.source, re.MULTILINE) for cell in code), (
        "definitions belong in lib/"
    )
    assert not re.search(
        r"^#.*\{#", "\n".join(cell.source for cell in notebook.cells), re.MULTILINE
    ), "ids show in JupyterLab"
    assert (
        notebook.cells[0].source.startswith("# ") and notebook.metadata.kernelspec.name == "python3"
    )


def _common(path: Path) -> list[str]:
    """The code that the variants share: no parameters, no cells of one variant, not its name."""
    special = {"parameters", "variant-specific"}
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return [cell.source for cell in cells if not special & set(cell.metadata.get("tags", []))]


def test_variant_notebooks_share_their_code():
    assert len({tuple(_common(path)) for path in CHAPTERS}) == 1 and len(_common(CHAPTERS[0])) >= 6


def test_parameters_are_the_defaults_of_a_training():
    for path in SOURCES:
        values = {name: parameter.default for name, parameter in declared_by(path).items()}
        assert "out" in values and papermill.inspect_notebook(path).keys() == values.keys()
        for name in SETTINGS.keys() & values.keys() - {"variant"}:
            default = SETTINGS[name]
            assert values[name] == (list(default) if isinstance(default, tuple) else default)
    assert [declared_by(path)["variant"].default for path in CHAPTERS] == list(VARIANTS)


@pytest.mark.parametrize(
    "path", (ROOT / "notebooks/profiles").glob("*.yaml"), ids=lambda path: path.stem
)
def test_profiles_hold_what_differs_and_what_a_network_s_notebook_knows(path):
    values, known = yaml.safe_load(path.read_text()) or {}, declared_by(CHAPTERS[0])
    settings = values.get("settings", {})
    assert path.read_text().startswith("# ") and known.keys() >= values.keys()
    assert not settings.keys() & known.keys() and SETTINGS.keys() >= settings.keys()
    assert all(values[name] != known[name].default for name in values)
    assert all(settings[name] != SETTINGS[name] for name in settings)
    read_settings(path.stem, {})


def test_plans_are_of_profiles_and_hold_what_a_network_s_notebook_does_not_know():
    plans = yaml.safe_load((ROOT / "notebooks" / PLANS).read_text())
    assert {path.stem for path in PROFILES.glob("*.yaml")} > plans.keys()
    known = {"seeds", "extra"} | declared_by(SOURCES[-1]).keys() - declared_by(CHAPTERS[0]).keys()
    assert all(known >= plan.keys() for plan in plans.values())


def test_report_is_whole(report):
    assert (report / "report.html").stat().st_size > 500_000
    assert not find_browser() or (report / "report.pdf").read_bytes().startswith(b"%PDF")
    figures = ["loss_curves", "test_metric", *(f"predictions/{variant}" for variant in VARIANTS)]
    assert all((report / f"figures/{name}.png").stat().st_size > 10_000 for name in figures)
    runs = load_runs(report)
    assert [(run.variant, run.seed) for run in runs] == [(variant, 0) for variant in VARIANTS]
    html = (report / "report.html").read_text()
    for run in runs:
        assert f"{100 * run.miou:.1f}" in html


def test_second_time_is_quick(report, capsys):
    before = (report / "report.html").read_bytes()
    start = time.perf_counter()
    main(["--profile", "smoke", "--out", str(report)])
    assert time.perf_counter() - start < 20
    assert capsys.readouterr().out.count("up to date") == 8
    assert (report / "report.html").read_bytes() == before


def _papermill(
    source: Path, target: Path, *more: str, cwd: Path = ROOT
) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "papermill", source, target, "--no-progress-bar", *more]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["1_unet", "5_analysis"])
def test_papermill_s_own_command(report, tmp_path, name):
    profile = ROOT / "notebooks/profiles/smoke.yaml"
    done = _papermill(
        ROOT / f"notebooks/{name}.ipynb",
        tmp_path / "o.ipynb",
        "-f",
        profile,
        "-p",
        "out",
        str(report),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert name != "1_unet" or "unknown parameter" not in done.stderr
    executed = nbformat.read(tmp_path / "o.ipynb", 4)
    assert sum(bool(cell.get("outputs")) for cell in executed.cells) >= 6


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_notebook_checks_its_parameters_before_it_imports_anything_heavy(path):
    notebook = nbformat.read(path, 4)
    (first, *_) = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
    ]
    lines = first.source.splitlines()
    assert lines[1] == "from report.parameters import check_parameters" and lines[2].endswith(
        "check_parameters(globals())"
    )


@pytest.mark.parametrize(
    "name, right",
    [
        ("1_unet", "epoch: no such parameter; did you mean epochs?"),
        ("7_cost", "batch_sizes: no such parameter; did you mean batch_size?"),
    ],
)
def test_a_parameter_of_another_name_ends_in_one_line(tmp_path, name, right):
    wrong = right.split(":")[0]
    done = _papermill(
        ROOT / f"notebooks/{name}.ipynb",
        tmp_path / "o.ipynb",
        "-p",
        wrong,
        "1",
        "-p",
        "out",
        str(tmp_path),
    )
    assert done.returncode != 0
    assert done.stderr.rstrip().endswith(f"\nerror: {right}")
    (cell,) = [
        cell
        for cell in nbformat.read(tmp_path / "o.ipynb", 4).cells
        if cell.metadata.get("papermill", {}).get("exception")
    ]
    assert cell.outputs[0].traceback == [f"error: {right}"]
    assert not (tmp_path / "runs").exists()


def test_from_the_folder_of_the_notebooks_as_jupyterlab_does(report, tmp_path):
    done = _papermill(
        Path("6_theory.ipynb"),
        tmp_path / "o.ipynb",
        "-p",
        "out",
        str(report),
        cwd=ROOT / "notebooks",
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_analysis_without_records_reads_the_published_ones(tmp_path):
    done = _papermill(
        ROOT / "notebooks/5_analysis.ipynb",
        tmp_path / "o.ipynb",
        "-p",
        "out",
        str(tmp_path / "none"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    text = (tmp_path / "o.ipynb").read_text()
    assert "this is the published study" in text
    assert not (tmp_path / "none").exists() or not list((tmp_path / "none").rglob("record.json"))
