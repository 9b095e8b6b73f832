"""Trainings on a Ray cluster of two processors; skipped where Ray is not installed."""

import json
from functools import partial

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from report.plan import ReportError, plan
from report.cluster import run

NOTEBOOK = """import json, os, pathlib, signal
if seed == 1 and not pathlib.Path(data_root).exists(): os.kill(os.getppid(), signal.SIGKILL)
folder = pathlib.Path(out) / "runs" / variant / f"seed-{seed}"
folder.mkdir(parents=True)
(folder / "weights.pt").write_text("weights")
(folder / "record.json").write_text(json.dumps({"seed": seed, "out": out}))"""


@pytest.fixture
def two_processors(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", partial(ray.init, num_cpus=2, include_dashboard=False))


def test_a_lost_worker_costs_its_own_run_and_the_next_call_brings_it(tmp_path, two_processors):
    parameters = new_code_cell(
        'variant: str = "unet"\nseed: int = 0\ndata_root: str = ""\nout: str = "out"'
    )
    parameters.metadata["tags"] = ["parameters"]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# U-Net"), parameters, new_code_cell(NOTEBOOK)]),
        tmp_path / "notebooks" / "1_unet.ipynb",
    )
    out, mended = tmp_path / "out", tmp_path / "mended"
    jobs = plan(
        tmp_path / "notebooks", out, "quick", {"seeds": [0, 1, 2], "data_root": str(mended)}, {}
    )
    with pytest.raises(
        ReportError, match="1_unet-seed-1.ipynb: (?s:.*)the same command runs these again"
    ):
        run(jobs, out)
    assert [job.up_to_date() for job in jobs] == [True, False, True] and not list(out.rglob("*.pt"))
    record = json.loads(jobs[2].record.read_text())
    assert record["seed"] == 2 and record["out"] != str(out)  # it was written elsewhere
    mended.touch()
    run([job for job in jobs if not job.record.exists()], out)
    assert all(job.up_to_date() for job in jobs)
