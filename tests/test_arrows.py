"""Imports run one way: what trains and measures knows nothing of what reports.

And packages build on each other.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from lib import ROOT

# Each layer may import itself and what stands above it.
LAYERS = [
    ["lib", "lib.files", "lib.machine"],
    ["lib.scenes"],
    ["lib.datasets"],
    [
        "lib.config",
        "lib.data",
        "lib.evaluation",
        "lib.metrics",
        "lib.models",
        "lib.records",
        "lib.structure",
        "lib.train",
    ],
    ["lib.studies"],
    ["lib.predict"],
    ["report.evidence", "report.references", "report.template"],
    ["report.figures"],
    ["report"],
]
HEAVY = [
    "lib.train",
    "lib.data",
    "lib.scenes",
    "lib.datasets",
    "lib.studies",
    "matplotlib",
    "papermill",
]


def _modules() -> dict[str, Path]:
    files = [*(ROOT / "lib").rglob("*.py"), *(ROOT / "report").rglob("*.py")]
    names = (path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in files)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, files)}


MODULES = _modules()


def _layer(name: str) -> int:
    """The layer of the longest prefix of the module's name."""
    fits = [
        (len(prefix), number)
        for number, layer in enumerate(LAYERS)
        for prefix in layer
        if name == prefix or name.startswith(prefix + ".")
    ]
    return max(fits)[1]


def _imported(path: Path) -> set[str]:
    """The project's modules that a file imports, at whatever depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else node.module)
    return {name for name in found if name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_no_arrow_runs_backwards(name):
    backwards = [other for other in _imported(MODULES[name]) if _layer(other) > _layer(name)]
    assert not backwards, f"{name} imports {', '.join(backwards)}"


def _loaded_by(module: str) -> set[str]:
    """Return the names of all modules that a process has which imports this one."""
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_reading_a_record_imports_neither_training_nor_the_painter_of_scenes():
    loaded = _loaded_by("lib.records")
    assert "lib.metrics" in loaded and loaded.isdisjoint(HEAVY)


def test_a_training_does_not_wait_for_torchvision():
    loaded = _loaded_by("lib.train")
    assert "lib.datasets.cityscapes" in loaded and "torchvision" not in loaded
