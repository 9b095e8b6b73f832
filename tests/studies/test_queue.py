"""The queue: complete, in its order, within its time, and gone with the process that started it."""

import ast
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lib import ROOT
from lib.files import locked, write_json
from lib.models import NETWORKS
from lib.records import RECORD, Run
from lib.structure import pack_counts, unpack_counts
from lib.studies import carry, queue
from lib.studies.designs import (
    CAMVID,
    DEFAULTS,
    DESIGNS,
    DOSES,
    MEASURE,
    STUDY,
    TRAIN,
    Task,
    Training,
    jobs,
    train_command,
    trainings,
)
from lib.studies.queue import ENOUGH, Runner, duration, main
from lib.train import STOPPED, fit
from report.evidence import measures
from report.evidence.measure import counted_names
from report.parameters import declared

NOT_THERE = {"nbformat", "papermill", "ipykernel", "pybtex", "bs4", "pypdf", "nbconvert", "IPython"}


def test_the_designs_have_the_trainings_that_the_statements_need():
    assert [len(trainings([name])) for name in DESIGNS] == [48, 32, 10, 20, 32, 3]
    assert len(trainings([*DESIGNS])) == 48 + 28 + 10 + 20 + 32 + 3, "what two share is made once"
    cells = {(NETWORKS[t.variant].block, NETWORKS[t.variant].skip) for t in trainings(["D1"])}
    assert len(cells) == 6
    assert {t.seed for t in trainings([*DESIGNS])} == set(range(10, 18))


def test_all_cells_of_a_seed_come_before_the_next():
    seeds = [training.seed for training in trainings(["D1"])]
    assert seeds == sorted(seeds) and len({t.variant for t in trainings(["D1"])[:6]}) == 6


def test_what_follows_a_training_comes_before_the_next(tmp_path):
    kinds = [job.kind for job in jobs(["smoke"], tmp_path, None, on_gpu=False)]
    assert kinds == [TRAIN, STUDY] * 4 + [MEASURE]
    studied = [job for job in jobs(["D1", "D2"], tmp_path, None, False) if job.kind == STUDY]
    assert len(studied) == 18, "three seeds of each network of D1"
    doses = [job for job in jobs(["D5"], tmp_path, None, False) if job.kind == DOSES]
    assert len(doses) == 20 and doses[0].needs == [doses[0].results[0].with_name(RECORD)]


def test_a_wide_network_trains_all_seeds_in_one_process_on_a_gpu(tmp_path):
    wide = [job for job in jobs(["camvid"], tmp_path, "/data", True) if job.kind == TRAIN]
    assert len(wide[0].trainings) == 3 and len(wide) * 3 == len(trainings(["camvid"]))
    assert wide[0].command[-6:] == ["-p", "seeds", "[0, 1, 2]", "-p", "data_root", "/data"]
    alone = [job for job in jobs(["camvid"], tmp_path, None, False) if job.kind == TRAIN]
    assert len(alone) == len(trainings(["camvid"]))


def _job(tmp_path: Path, name: str, code: str, kind: str = TRAIN) -> Task:
    """A process that runs this code, which may say `done()`."""
    result = tmp_path / name / "result"
    start = f"import os, sys, time, pathlib; r = pathlib.Path({str(result)!r})\n"
    start += "r.parent.mkdir(parents=True, exist_ok=True)\ndone = lambda: r.write_text('')\n"
    result.parent.mkdir(parents=True)
    command = [sys.executable, "-S", "-c", start + code]
    return Task(kind, [Training(CAMVID, name, 10)], command, [result])


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Make a runner of these jobs, without a GPU."""
    monkeypatch.setattr(queue.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(queue, "POLL", 0.02)

    def make(*pending: Task, workers: int = 1, budget: float | None = None) -> Runner:
        options = SimpleNamespace(workers=workers, threads=1, budget=budget)
        return Runner(tmp_path, list(pending), options)

    return make


def test_what_a_profile_leaves_out_is_what_notebooks_have():
    found = {}
    for name in ("1_unet", "7_cost"):
        cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
        cell = next(cell for cell in cells if cell["metadata"].get("tags") == ["parameters"])
        found |= declared("".join(cell["source"]))
    names = ("study_images", "study_steps", "measure_seconds", "measure_repeats")
    assert [found[name].default for name in names] == [DEFAULTS[name] for name in names]


def test_processes_have_one_thread_and_the_precision_of_their_seed(tmp_path, runner):
    write_json(Training(CAMVID, "unet", 10).record(tmp_path), {"precision": "float32"})
    code = "r.write_text(os.environ['OMP_NUM_THREADS'] + os.environ['SEGMENTATION_PRECISION'])"
    assert runner(_job(tmp_path, "a", code)).run() == 0
    assert (tmp_path / "a/result").read_text() == "1float32"


def test_failures_one_after_the_other_end_the_work(tmp_path, runner, capsys):
    pending = [_job(tmp_path, str(number), "sys.exit('broken')") for number in range(5)]
    assert runner(*pending).run() == 1
    printed = capsys.readouterr().err
    assert printed.count("failed with status 1") == ENOUGH and "(broken)" in printed
    assert "nothing more is started" in printed


def test_what_another_process_holds_is_taken_up_when_it_lets_go(tmp_path, runner, capsys):
    first, second = _job(tmp_path, "first", "done()"), _job(tmp_path, "second", "done()")
    work = runner(first, second)
    with locked(tmp_path / "first", "trains"):
        while not second.done():
            work._reap()
            if job := work._next():
                assert job is second
                work._start(job)
    assert work.run() == 0 and first.done()
    assert capsys.readouterr().err == "", "waiting is no failure"


def test_nothing_is_begun_that_the_time_does_not_allow(tmp_path, runner, capsys):
    long, short = _job(tmp_path, "long", "done()", STUDY), _job(tmp_path, "short", "done()")
    assert runner(long, short, budget=queue.MARGIN + 10).run() == STOPPED
    assert short.done() and not long.done()
    write_json(tmp_path / queue.TIMES, {long.timed_as: 0.1})
    assert runner(long, budget=queue.MARGIN + 10).run() == 0 and long.done()


def test_a_training_is_told_when_to_stop_and_is_taken_up_again(tmp_path, runner):
    stops = f"if time.time() + 1e3 > float(os.environ['SEGMENTATION_UNTIL']): sys.exit({STOPPED})"
    job = _job(tmp_path, "a", f"{stops}\ndone()")
    started = []
    work = runner(job, budget=queue.MARGIN + 2)
    start = work._start
    work._start = lambda job: (started.append(time.time()), start(job))
    assert work.run() == STOPPED and not work.failed and started
    assert runner(job, budget=2e3).run() == 0 and job.done()


RUNNER = """
import sys
from lib.studies import queue
from lib.studies.designs import CAMVID, Training
code = "import os, pathlib, time; pathlib.Path({pid!r}).write_text(str(os.getpid())); \
time.sleep(60)"
training, command = Training(CAMVID, "unet", 10), [sys.executable, "-c", code]
job = queue.Task(queue.TRAIN, [training], command, [queue.Path("/none")])
queue.jobs = lambda *arguments: [job]
sys.exit(queue.main(["D3", "--out", {out!r}]))
"""


@pytest.mark.parametrize("ending, status", [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_when_the_runner_ends_what_it_started_ends_too(tmp_path, ending, status):
    pid = tmp_path / "pid"
    code = RUNNER.format(pid=str(pid), out=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not pid.exists() or not pid.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    child = int(pid.read_text())
    os.kill(child, 0)  # it is there
    process.send_signal(ending)
    assert process.wait(30) == status
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_in_lib_needs_the_packages_of_notebooks_and_documents():
    for path in (ROOT / "lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            assert not {name.split(".")[0] for name in names} & NOT_THERE, path


def test_times_and_names_are_checked(tmp_path, capsys):
    assert [duration(text) for text in ("9m", "90s", "90", "1.5h")] == [540, 90, 90, 5400]
    with pytest.raises(SystemExit):
        main(["D1", "--out", str(tmp_path), "--budget", "soon"])
    assert "expected a time such as 9m" in capsys.readouterr().err
    assert main(["D9", "--out", str(tmp_path)]) == 1
    assert "D9: no such profile" in capsys.readouterr().err
    assert train_command([Training(CAMVID, "unet", 10)], tmp_path, None)[-2:] == ["seeds", "[10]"]


def test_records_are_collected_without_weights_and_predictions(tiny, tmp_path, capsys):
    fit(tiny(seed=10), tmp_path / "out" / "camvid")
    assert main(["D1", "--out", str(tmp_path / "out"), "--collect", str(tmp_path / "records")]) == 0
    assert "1 of 48 trainings are on record" in capsys.readouterr().out
    run = Run.read(tmp_path / "records" / "camvid" / "runs" / "unet" / "seed-10")
    assert run.miou >= 0 and len(run.examples) == 3
    assert run.image(run.examples[0]).shape == (32, 48, 3)
    names = {path.name for path in Path(tmp_path / "records").rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".pt", ".lock"))}
    assert "predictions.npz" not in names


def test_collected_records_are_light_and_say_the_same(tiny, tmp_path, monkeypatch):
    """Scenes are independent: their counts are summed in groups, but for those behind charts."""
    monkeypatch.setattr(carry, "MANY", 2)
    monkeypatch.setattr(carry, "GROUP", 2)
    out, into = tmp_path / "out", tmp_path / "records"
    whole = fit(tiny(seed=10), out / "scenes")
    record = whole.folder / RECORD
    carry.collect([record], out, into)
    light = Run.read(into / whole.folder.relative_to(out))
    assert (whole.group, light.group, len(whole.per_image)) == (1, 2, 3)
    np.testing.assert_array_equal(light.per_image[0], whole.per_image[:2].sum(0))
    np.testing.assert_array_equal(light.per_image[1], whole.per_image[2])
    assert light.image_names == whole.image_names
    assert counted_names(light) == [whole.image_names[0], whole.image_names[2]]
    assert light.structure.keys() == {"boundary", "components", "false_components"}
    for name, counts in light.structure.items():
        np.testing.assert_array_equal(counts.sum(0), whole.structure[name].sum(0))
    estimate = measures.MIOU.compare([light], [light])
    assert (estimate.images, estimate.counted) == (2, "groups of images")
    with (
        np.load(light.folder / "gradients.npz") as ours,
        np.load(whole.folder / "gradients.npz") as g,
    ):
        assert {name: ours[name].tolist() for name in ours} == {
            name: g[name].tolist() for name in g
        }

    boundary = light.folder / "structure.npz"
    boundary.write_bytes(b"as it is")
    carry.collect([record], out, into)
    assert boundary.read_bytes() == b"as it is"
    record.write_text(record.read_text().replace('"edition": 2', '"edition":  2'))  # trained anew
    carry.collect([record], out, into)
    assert Run.read(light.folder).structure.keys() == light.structure.keys()


def _unpacked(packed: Path) -> dict[str, bytes]:
    pieces = sorted(packed.glob("records-*.tar.*"))
    assert all(piece.stat().st_size <= carry.PIECE for piece in pieces)
    stream, files = io.BytesIO(b"".join(piece.read_bytes() for piece in pieces)), {}
    with tarfile.open(fileobj=stream, ignore_zeros=True) as archive:
        for member in archive:
            files[member.name] = archive.extractfile(member).read()
    return files


def test_packed_files_come_back_whole_and_once(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    out, content = tmp_path / "out", {}
    for variant in ("unet", "unet-noskip"):
        folder = f"camvid/runs/{variant}/seed-10"
        for name in (RECORD, "confusions.npz", "weights.pt", ".lock", "predictions/a.png"):
            size = 90_000 if name == "weights.pt" else 9_000
            content[f"{folder}/{name}"] = random.bytes(size)
    content["camvid/runs/examples/a.webp"] = b"image"
    content["camvid/runs/unet/seed-11/weights.pt"] = b"not finished"
    for name, data in content.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    monkeypatch.setattr(carry, "PIECE", 24_576)
    assert carry.pack_records(out, tmp_path / "packed", 2) == (4, 4)
    assert carry.pack_records(out, tmp_path / "packed", 2) == (3, 1)
    assert carry.pack_records(out, tmp_path / "packed", 2) == (1, 0), "however large a file is"
    assert carry.pack_records(out, tmp_path / "again") == (0, 0), "what was packed is left out"
    files = _unpacked(tmp_path / "packed")
    expected = {name: data for name, data in content.items() if not name.endswith((".pt", ".lock"))}
    weights = "camvid/runs/unet/seed-10/weights.pt"
    assert files == expected | {weights: content[weights]}


def test_packed_counts_come_back_as_they_were():
    random = np.random.default_rng(0)
    counts = {
        "boundary": random.integers(0, 70_000, (5, 3, 2)).astype(np.int32),
        "contours": random.integers(0, 200, (5, 3, 2, 4)).astype(np.int32),
        "maps": random.random((5, 2)),
    }
    packed = pack_counts(counts)
    assert [array.dtype for array in packed.values()] == [np.uint32, np.uint8, np.float64]
    back = unpack_counts(packed)
    assert back.keys() == counts.keys()
    for name, array in counts.items():
        assert np.array_equal(back[name], array) and back[name].dtype == array.dtype
