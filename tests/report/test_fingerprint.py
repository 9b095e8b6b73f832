"""The fingerprint of an executed notebook: what makes the copy stale, and what does not."""

import ast
import shutil
from pathlib import Path

import nbformat
import pytest

from lib import ROOT
from report import plan
from report.plan import Execution, deciding_files
from tests.pages import code, write


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A copy of the files that decide what a notebook shows, and a few that do not."""
    for folder in ("lib", "report"):
        ignored = shutil.ignore_patterns("__pycache__", "published")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "README.md", tmp_path / "README.md")
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def job(tmp_path) -> Execution:
    return Execution(write(tmp_path / "1_unet.ipynb", code("1 + 1")), tmp_path / "done.ipynb", {})


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else b""
    path.write_bytes(before + b"\n")


@pytest.mark.parametrize("name", [
    "lib/models.py", "report/figures/style.py", "lib/__init__.py", "lib/train.py",
    "lib/studies/gates.py", "lib/scenes/deeper/actors.py", "lib/datasets/classes.json",
    "report/template/slider.html", "report/fonts/Inter-400.ttf", "report/evidence/wording.py",
    "report/template/new.html",
])  # fmt: skip
def test_what_a_notebook_shows_depends_on(project, job, name):
    before = job.fingerprint()
    _touch(project / name)
    assert job.fingerprint() != before


@pytest.mark.parametrize("name", [
    "README.md", "report/references.bib", "tests/test_models.py",
    "report/template/page/report.css", "report/template/page/report.html",
    "report/page.py", "report/pdf.py", "report/published/report.html", "report/fonts/LICENSES.md",
    "lib/__pycache__/models.cpython-312.pyc", "lib/.lock", "build/quick/build.json",
])  # fmt: skip
def test_what_a_notebook_shows_does_not_depend_on(project, job, name):
    before = job.fingerprint()
    _touch(project / name)
    assert job.fingerprint() == before


def test_a_file_that_moves_makes_a_notebook_stale(project, job):
    """Its imports have changed as well; records are another matter, see `lib.records.EDITION`."""
    before = job.fingerprint()
    (project / "lib/moved").mkdir()
    (project / "lib/metrics.py").rename(project / "lib/moved/metrics.py")
    assert job.fingerprint() != before


def _imported(source: str) -> set[str]:
    """The names of the project's modules in the import statements, at whatever depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in ("lib", "report")}


def _module(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.exists()), None)


def test_no_notebook_imports_what_is_left_out():
    """Directly or through other modules."""
    sources = []
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, 4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    reached, waiting = set(), {name for source in sources for name in _imported(source)}
    while waiting:
        path = _module(waiting.pop())
        if path and path not in reached:
            reached.add(path)
            waiting |= _imported(path.read_text())
    assert len(reached) > 20 and ROOT / "lib/structure.py" in reached
    assert sorted(reached - set(deciding_files())) == []
