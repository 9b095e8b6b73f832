"""Whatever interrupts a training or a build: nothing that was finished is lost, and the next start ends the same.

Processes that are killed are forked from a server that has imported everything, so that each costs a fraction of a second.
"""

import json
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import RLock

import nbformat
import numpy as np
import pytest
import torch
from conftest import TINY, make_own, save_label
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tqdm import tqdm

from lib import files, findings, report
from lib.checkpoint import BEFORE, LAST, read_state
from lib.evaluation import load_model
from lib.execute import Job
from lib.files import held, write_atomically
from lib.machine import Machine
from lib.report import main
from lib.runs import RECORD, Run, run_folder
from lib.training import Trainer, fit

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["lib.report", "lib.training", "pytest", "nbformat.v4"])
CPU = Machine(torch.device("cpu"), bfloat16=False)


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: CPU))


# kill -9

class DyingFile:
    """A file whose first write ends half-way, with the process."""

    def __init__(self, *arguments):
        self.file = open(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _die_at(owner, name: str, call: int, after: bool) -> None:
    """Ends this process at that call of the function, before or after it has done its work."""
    function, calls = getattr(owner, name), iter(range(1, 10**6))

    def dying(*arguments, **options):
        last = next(calls) == call
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def _train(config, out, data_root, point=None):
    """In a process of its own."""
    torch.set_num_threads(1)
    tqdm.set_lock(RLock())  # its own would outlive this process
    Machine.here = classmethod(lambda cls: CPU)
    if point and point[0] == "write":
        opened = iter(range(1, 10**6))
        files.open = lambda *a: DyingFile(*a) if "wb" in a and next(opened) == point[1] else open(*a)
    elif point:
        _die_at(os, *point)
    fit(config, out, str(data_root))


def _epochs(folder: Path) -> int:
    """How many epochs can be taken up; every file that is there is whole."""
    if (folder / RECORD).exists():
        run = Run.read(folder)
        assert run.per_image.sum() == run.confusion.sum() and [run.target(name).shape for name in run.examples]
        return len(run.history) + 1
    states = [read_state(folder / name) for name in (LAST, BEFORE) if (folder / name).exists()]
    return max((len(state["history"]) for state in states), default=0)


def _result(folder: Path) -> dict:
    """Everything that a run leaves, but for the time it took."""
    record = json.loads((folder / RECORD).read_text())
    for row in [record, *record["history"]]:
        row.pop("seconds")
    for name in ("peak_memory_mib", "commit"):
        record.pop(name)
    files = {path.name: path.read_bytes() for path in folder.rglob("*.png")}
    for path in folder.glob("*.npz"):
        with np.load(path) as arrays:
            files[path.name] = {name: array.tobytes() for name, array in arrays.items()}
    weights = {name: tensor.numpy().tobytes() for name, tensor in read_state(folder / "best.pt").items()}
    return {"record": record, "weights": weights, "names": sorted(path.name for path in folder.iterdir()), **files}


def test_killed_twenty_times_and_nothing_is_lost(tmp_path, own):
    config, chance, kills, starts, cut = _own_config(epochs=5), random.Random(5), 0, 0, 0
    for name in ("warm", "whole"):
        clock = time.monotonic()
        assert _run(config, tmp_path / name, own) == 0
    expected, usual = _result(run_folder(tmp_path / "whole", "unet", 0)), time.monotonic() - clock
    assert expected == _result(run_folder(tmp_path / "warm", "unet", 0))
    while kills < 20:
        cut, reached = cut + 1, 0
        folder = run_folder(tmp_path / f"cut-{cut}", "unet", 0)
        while not (folder / RECORD).exists():
            point, delay, starts = None, 60.0, starts + 1
            if kills < 20 and starts % 2:
                name = chance.choice(["write", "replace", "fsync", "unlink"])
                point = (name, chance.randint(1, 6), *([chance.random() < 0.5] if name != "write" else []))
            elif kills < 20:
                delay = chance.uniform(0.1, 0.6) * usual
            kills += _run(config, tmp_path / f"cut-{cut}", own, point, delay) == -signal.SIGKILL
            reached, before = _epochs(folder), reached
            assert reached >= before, "a finished epoch was lost"
        assert _result(folder) == expected
    print(f"{kills} kills in {starts} starts of {cut} runs")
    assert cut < 20, "the kills came after the end"


def _own_config(**changes):
    whole = dict.fromkeys(("train_images", "val_images", "test_images"))
    return replace(TINY, dataset="folder", **whole | {"validate_every": 1} | changes)


def _run(config, out: Path, data_root: Path, point=None, delay: float = 60) -> int:
    """The exit status of a training that is killed at the point or after the delay, or ends before."""
    process = FORK.Process(target=_train, args=(config, out, data_root, point))
    process.start()
    process.join(delay)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode


# Damaged files

@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Images, the folder of a training on them that was stopped after three of five epochs, and what it would become."""
    place, epoch = tmp_path_factory.mktemp("stopped"), Trainer._epoch
    own, config = make_own(place / "own"), _own_config(epochs=5)

    def stop(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return epoch(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "here", classmethod(lambda cls: CPU))
        fit(config, place / "whole", str(own))
        patch.setattr(Trainer, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(config, place / "cut", str(own))
    return own, place / "cut", _result(run_folder(place / "whole", "unet", 0))


@pytest.fixture
def half_way(stopped, tmp_path, cpu):
    """A copy of it, how it is finished, and what has to come out."""
    own, cut, expected = stopped
    folder = run_folder(shutil.copytree(cut, tmp_path / "cut"), "unet", 0)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", BEFORE, LAST]

    def finish(data_root: Path = own) -> dict:
        fit(_own_config(epochs=5), tmp_path / "cut", str(data_root))
        return _result(folder)

    return folder, finish, expected


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class Evil:
    """Unpickled without care, this writes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("damage", [
    _cut, _flip, lambda path: path.write_bytes(b""), lambda path: torch.save(Evil(path.with_suffix(".run")), path),
    lambda path: path.write_bytes(pickle.dumps(Evil(path.with_suffix(".run")))),
], ids=["cut", "flipped bit", "empty", "code", "pickle"])
def test_a_damaged_checkpoint_costs_one_epoch(half_way, capsys, damage):
    folder, finish, expected = half_way
    damage(folder / LAST)
    capsys.readouterr()
    assert finish() == expected and not (folder / "last.run").exists()
    printed = capsys.readouterr().out
    assert "last.pt: not a readable checkpoint" in printed and "going back to the epoch before" in printed
    assert "continuing after epoch 2 of 5" in printed


def test_without_any_checkpoint_training_starts_again(half_way, capsys):
    folder, finish, expected = half_way
    _cut(folder / LAST)
    _flip(folder / BEFORE)
    assert finish() == expected
    printed = capsys.readouterr().out
    assert "before-last.pt: not a readable checkpoint" in printed and "going back to the beginning" in printed


def test_a_checkpoint_of_other_images_is_refused(half_way, stopped, tmp_path):
    other = shutil.copytree(stopped[0], tmp_path / "other")
    shutil.copy(other / "train/labels/train 0.png", other / "train/labels/train 1.png")
    with pytest.raises(ValueError, match="its training began on other images or labels; choose another `out`"):
        half_way[1](other)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """The folder of a finished run and the images that it saw."""
    root = make_own(tmp_path_factory.mktemp("images") / "own")
    return fit(_own_config(epochs=1), tmp_path_factory.mktemp("out"), str(root)).folder, root


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(finished[0].parents[1], tmp_path / "runs")
    return tmp_path / "runs/unet/seed-0"


@pytest.mark.parametrize("name, read, message", [
    ("record.json", lambda run: run, r"record\.json: not a readable record .*; delete the file and run again"),
    ("confusions.npz", lambda run: run.per_image, r"confusions\.npz: not readable .*; restore the file, or delete the record"),
    ("structure.npz", lambda run: run.structure, r"structure\.npz: not readable"),
    ("predictions/test 0.png", lambda run: run.prediction("test 0"), r"predictions/test 0\.png: not readable"),
    ("../../examples/test 0.webp", lambda run: run.image("test 0"), r"examples/test 0\.webp: not readable"),
    ("../../examples/test 0.png", lambda run: run.target("test 0"), r"examples/test 0\.png: not readable"),
    ("best.pt", lambda run: load_model(run.folder, "unet", 4, 3), r"best\.pt: not a readable checkpoint"),
])
@pytest.mark.parametrize("damage", [_cut, lambda path: path.write_bytes(b"")], ids=["cut", "empty"])
def test_a_damaged_record_is_named(run, name, read, message, damage):
    read(Run.read(run))
    damage(run / name)
    with pytest.raises(ValueError, match=message):
        read(Run.read(run))


def test_arrays_that_hold_code_are_refused(run):
    np.savez(run / "confusions.npz", per_image=np.array([Evil(run / "evil")], dtype=object), names=np.array(["a"]))
    with pytest.raises(ValueError, match=r"confusions\.npz: not readable .*allow_pickle"):
        Run.read(run).per_image  # noqa: B018
    assert not (run / "evil").exists()


def test_a_finished_run_on_other_data_is_not_taken_for_this_one(run, finished, tmp_path):
    config, out = _own_config(epochs=1), run.parents[2]
    assert fit(config, out, str(finished[1])).record == Run.read(run).record
    other = shutil.copytree(finished[1], tmp_path / "other")
    shutil.copy(other / "test/labels/test 0.png", other / "test/labels/test 1.png")
    with pytest.raises(ValueError, match=r"holds a run on other data .test in .*/other are not what it saw.; choose another"):
        fit(config, out, str(other))
    assert fit(config, out, str(tmp_path / "gone")).seed == 0  # a record can be read without the data set


def test_images_that_were_worked_on_are_looked_at_again(own, tmp_path):
    source = tmp_path / "1_unet.ipynb"
    nbformat.write(new_notebook(), source)
    job = Job(source, tmp_path / "done.ipynb", {"dataset": "folder", "data_root": str(own)})
    before = job.fingerprint()
    assert job.fingerprint() == before
    save_label(own / "train/labels/train 0.png", np.zeros((32, 48), np.uint8))
    assert job.fingerprint() != before


# Full disks and folders that are taken

def _full(monkeypatch, writes: int):
    """After so many files the disk is full, in the middle of one."""
    sync, left = os.fsync, iter(range(writes))

    def fsync(descriptor):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("writes", [0, 1, 5, 10, 19, 26])
def test_a_full_disk_stops_the_training_and_loses_nothing(half_way, monkeypatch, writes):
    folder, finish, expected = half_way
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device; nothing that was") as error:
        _full(patch, writes)
        finish()
    assert str(folder.parents[1]) in str(error.value)
    assert not list(folder.parents[1].rglob("*.partial")) and _epochs(folder) >= 3
    assert finish() == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_file_system_that_is_really_full(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        write_atomically(place / "last.pt", b"a" * 30_000)
        with pytest.raises(OSError, match="No space left on device; nothing that was finished is lost.*last.pt") as error:
            write_atomically(place / "last.pt", b"b" * 50_000, keep=place / "before.pt")
        assert error.value.errno == 28
        assert [(path.name, path.read_bytes()) for path in place.iterdir()] == [("last.pt", b"a" * 30_000)]
    finally:
        subprocess.run(["umount", place], check=True)


def _write_beyond_the_limit(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    with pytest.raises(OSError, match="File too large; nothing that was finished is lost"):
        write_atomically(path, b"b" * 20_000)


def test_a_file_that_may_not_grow(tmp_path):
    write_atomically(tmp_path / "a", b"a")
    process = FORK.Process(target=_write_beyond_the_limit, args=(tmp_path / "a",))
    process.start()
    process.join()
    assert process.exitcode == 0 and [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"a"


def _hold(folder: Path, ready) -> None:
    with held(folder, "trains"):
        ready.set()
        time.sleep(60)


def test_a_folder_is_held_by_one_process_and_let_go_by_its_death(tmp_path, own, cpu, monkeypatch, capsys):
    folder, ready = run_folder(tmp_path, "unet", 0), FORK.Event()
    process = FORK.Process(target=_hold, args=(folder, ready))
    process.start()
    assert ready.wait(30)
    monkeypatch.setattr("lib.training.PATIENCE", 0)
    with pytest.raises(BlockingIOError, match="unet/seed-0: another process trains unet with seed 0 here; wait for it or"):
        fit(_own_config(epochs=1), tmp_path, str(own))
    (folder / ".1-1.partial").write_bytes(b"of a process that was killed")
    process.kill()
    process.join()
    assert fit(_own_config(epochs=1), tmp_path, str(own)).seed == 0 and not list(folder.glob(".*.partial"))


def test_two_processes_write_one_file_and_it_is_whole(tmp_path):
    """As two seeds do that are trained side by side and share their test images."""
    content = [bytes([number]) * 200_000 for number in range(3)]
    writers = [FORK.Process(target=_write_often, args=(tmp_path / "shared", part)) for part in content]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "shared").exists():
            seen.add((tmp_path / "shared").read_bytes())
    assert seen <= set(content) and [path.name for path in tmp_path.iterdir()] == ["shared"]
    assert [writer.exitcode for writer in writers] == [0, 0, 0]


def _write_often(path: Path, content: bytes) -> None:
    for _ in range(20):
        write_atomically(path, content)


# Numbers that go wrong

def test_a_step_that_is_not_finite_is_named_and_the_epochs_before_it_are_kept(tmp_path, own, cpu, monkeypatch):
    schedule, steps = torch.optim.lr_scheduler.OneCycleLR.step, iter(range(1000))

    def step(self, *arguments):
        schedule(self, *arguments)
        if next(steps) == 4:  # the first step of epoch 3 has this rate
            self.optimizer.param_groups[0]["lr"] = float("inf")

    config = _own_config(epochs=3, batch_size=1)
    with monkeypatch.context() as patch, pytest.raises(FloatingPointError) as error:
        patch.setattr(torch.optim.lr_scheduler.OneCycleLR, "step", step)
        fit(replace(config, batch_size=2), tmp_path, str(own))
    assert "the training loss is nan in epoch 3, step 2 of 2; lower learning_rate (now 0.003)" in str(error.value)
    assert _epochs(run_folder(tmp_path, "unet", 0)) == 2


def test_a_batch_of_void_teaches_nothing_and_stops_nothing(tmp_path, own, cpu):
    save_label(own / "train/labels/train 0.png", np.full((32, 48), 255, np.uint8))
    run = fit(_own_config(epochs=2, batch_size=1), tmp_path, str(own))
    assert run.history.train_loss.between(0.1, 2).all() and np.isfinite(run.miou)


@pytest.mark.parametrize("batch_size, advice", [(4, "try batch_size = 2"), (1, "set a smaller crop_size, image_size or base")])
@pytest.mark.parametrize("exhaust", [lambda *_: torch.empty(1 << 60), lambda *_: _cuda()], ids=["processor", "GPU"])
def test_out_of_memory_names_what_to_try(tmp_path, own, cpu, monkeypatch, batch_size, advice, exhaust):
    monkeypatch.setattr("lib.training.loss_of", exhaust)
    with pytest.raises(MemoryError, match=f"no memory left with batch_size = {batch_size}; {advice}"):
        fit(_own_config(epochs=1, batch_size=batch_size), tmp_path, str(own))


def _cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_out_of_memory_in_evaluation_and_other_errors(tmp_path, own, cpu, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(MemoryError, match="8 whole images at a time; set a smaller image_size"):
        patch.setattr("lib.evaluation.loss_of", lambda *_: _cuda())
        fit(_own_config(epochs=1), tmp_path, str(own))
    monkeypatch.setattr("lib.training.loss_of", lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="must match the size") as error:
        fit(_own_config(epochs=1), tmp_path / "b", str(own))
    assert not isinstance(error.value, MemoryError)


@pytest.mark.parametrize("changes, message", [
    ({"weight_decay": -1.0}, "weight_decay = -1.0: expected 0 or more"),
    ({"class_balance": float("nan")}, "class_balance = nan: expected 0 or more"),
    ({"batch_size": 0}, "batch_size = 0: expected a number above 0"),
    ({"crop_size": [32]}, r"crop_size = \[32\]: expected height and width in pixels"),
    ({"image_size": "32x48"}, "image_size = '32x48': expected height and width in pixels"),
    ({"train_images": 0}, "limit of 0 items: expected at least 1, or None for all of folder/train"),
])
def test_settings_that_cannot_be(tmp_path, own, changes, message):
    with pytest.raises(ValueError, match=message):
        fit(_own_config(**changes), tmp_path, str(own))


def test_classes_without_pixels_are_nan_with_a_note_and_the_mean_is_over_the_others(run):
    record = Run.read(run).record | {"test_confusion": [[6, 2, 0], [0, 8, 0], [0, 0, 0]]}
    changed = Run(run, record)
    assert np.isnan(changed.iou).tolist() == [False, False, True] and changed.miou == pytest.approx((6 / 8 + 8 / 10) / 2)
    assert "Traffic sign is neither in the test labels nor predicted: without an IoU, and left out of the mean." in (
        findings.test_sentence(changed))
    predicted = Run(run, record | {"test_confusion": [[6, 2, 0], [0, 8, 1], [0, 0, 0]]})
    assert predicted.iou[2] == 0 and "neither in" not in findings.test_sentence(predicted)


# A build that is stopped

REPORT = """import json, os, pathlib, time
for file in (pathlib.Path(out) / "runs" / variant / f"seed-{seed}" / "record.json", *(pathlib.Path(out) / "figures" / name
             for name in (f"predictions/{variant}.png", "loss_curves.png", "test_metric.png"))):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"seed": seed}))
(pathlib.Path(out) / "kernel").write_text(str(os.getpid()))
if epochs == 5: time.sleep(100)
if epochs == 6: os.kill(os.getpid(), 9)"""


@pytest.fixture
def build(tmp_path):
    """A process that builds a report from small notebooks with that number of epochs; its standard error is a file."""
    notebooks = tmp_path / "notebooks"
    (notebooks / "profiles").mkdir(parents=True)
    (notebooks / "profiles/quick.yaml").write_text("epochs: 3\nseeds: [4]\n")
    settings = 'variant: str = "unet"\nseed: int = 0\nepochs: int = 2\nout: str = "out"'
    cells = [new_code_cell(settings, metadata={"tags": ["parameters"]}), new_code_cell(REPORT)]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Data")]), notebooks / "0_data.ipynb")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# U-Net"), *cells]), notebooks / "1_unet.ipynb")

    def start(epochs: int):
        process = FORK.Process(target=_build, args=(notebooks, tmp_path / "out", epochs, tmp_path / "stderr"))
        process.start()
        return process

    return start


def _build(notebooks: Path, out: Path, epochs: int, errors: Path) -> None:
    sys.stderr = open(errors, "a", buffering=1)
    report.pdf.print_pdf = lambda page: b"%PDF"
    sys.exit(main(["--out", str(out), "-p", "epochs", str(epochs)], notebooks))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def _wait(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_build_is_stopped_and_goes_on(build, tmp_path, capfd):
    """One story, since every build starts kernels: two at once, Ctrl-C, a kernel that dies, kill -9, damage, the end."""
    out, errors, kernel = tmp_path / "out", tmp_path / "stderr", tmp_path / "out/kernel"
    first = build(5)
    _wait(kernel.exists)
    second = build(3)
    second.join()
    assert second.exitcode == 1 and "another process builds a report here; wait for it or choose" in errors.read_text()
    assert json.loads((out / "build.json").read_text())["parameters"] == {"epochs": 5}
    os.kill(first.pid, signal.SIGINT)
    first.join()
    assert first.exitcode == 130 and errors.read_text().endswith("kept, and the same command goes on from there\n")
    _wait(lambda: not _alive(int(kernel.read_text())))

    dying = build(6)
    dying.join()
    assert dying.exitcode == 1 and "run again to go on from the last finished epoch; if memory ran out" in errors.read_text()

    kernel.unlink()
    killed = build(5)
    _wait(kernel.exists)
    killed.kill()
    killed.join()
    _wait(lambda: not _alive(int(kernel.read_text())))  # nobody is left behind

    data = out / "notebooks/0_data.ipynb"
    before, _ = data.read_bytes(), os.truncate(data, 50)
    capfd.readouterr()
    last = build(3)
    last.join()
    assert last.exitcode == 0 and "up to date" not in capfd.readouterr().out
    assert data.read_bytes() == before and (out / "report.html").read_text().rstrip().endswith("</html>")
    assert not list(out.rglob("*.partial*"))
