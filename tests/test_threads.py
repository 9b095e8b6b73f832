"""Threads: forked processes do not wait for those of their parent, and idle threads sleep."""

import os
import subprocess
import sys

import nbformat
import pytest

from lib import ROOT
from lib.machine import processors
from lib.records import RECORD, run_folder
from tests.pages import code, write

POLICY = "OMP_WAIT_POLICY"
# One epoch on images of more than 32,768 pixels, above which torch divides its work among threads.
LARGE = {"image_size": "[192, 192]", "train_images": "4", "val_images": "2", "test_images": "3",
         "base_channels": "2", "epochs": "1", "variant": "unet", "seed": "0"}  # fmt: skip


@pytest.mark.skipif(processors() < 2, reason="one processor forks nothing")
def test_a_training_with_several_threads_ends(tmp_path):
    """It used to wait for ever in the forks that count structure, for threads that no fork has."""
    settings = [word for item in LARGE.items() for word in ("-p", *item)]
    command = [sys.executable, "-m", "lib.train", "--profile", "smoke", "--out", tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [*command, *settings],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch   1/1" in done.stdout and (run_folder(tmp_path, "unet", 0) / RECORD).exists()


def _in_a_process(script: str, policy: str | None) -> str:
    """Return what a new process prints in which the user has set that policy, or none."""
    environment = {name: value for name, value in os.environ.items() if name != POLICY}
    if policy:
        environment[POLICY] = policy
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


LOADING = f"""
import builtins, os
load = builtins.__import__
def loading(name, *rest):
    if name == "torch":
        print(os.environ.get("{POLICY}"))
        raise SystemExit
    return load(name, *rest)
builtins.__import__ = loading
import lib.machine
"""  # tells what is set at the moment at which torch is asked for


def test_idle_threads_sleep_unless_the_user_wants_otherwise():
    assert _in_a_process(LOADING, None) == "passive"
    assert _in_a_process(LOADING, "active") == "active"


@pytest.mark.parametrize("chosen, expected", [(None, "passive"), ("active", "active")])
def test_the_kernels_of_notebooks_have_the_policy_from_their_start(tmp_path, chosen, expected):
    """Before they import anything, torch included."""
    cell = code(f"import os; print(os.environ.get('{POLICY}'))")
    source = write(tmp_path / "6_theory.ipynb", cell)
    target = tmp_path / "done.ipynb"
    script = (
        "from pathlib import Path; from report.build import execute; "
        "from report.plan import Execution; "
        f"execute(Execution(Path({str(source)!r}), Path({str(target)!r}), {{}}))"
    )
    _in_a_process(script, chosen)
    (cell,) = nbformat.read(target, 4).cells
    assert cell.outputs[0].text.strip() == expected
