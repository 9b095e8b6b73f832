"""Whatever stops a training or a build: nothing that was finished is lost.

The next start ends the same.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import RLock

import nbformat
import pytest
import torch
from conftest import CPU
from faults import FORK, epochs_on_disk, own_config, result
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tqdm import tqdm

from lib import files, train
from lib.files import locked, write_atomically
from lib.machine import Machine
from lib.records import RECORD, run_folder
from lib.train import fit
from report import pdf
from report.__main__ import main


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
    Machine.detect, train.SAVE_EVERY = classmethod(lambda cls: CPU), 0
    if point and point[0] == "write":
        opened = iter(range(1, 10**6))
        files.open = lambda *a: (
            DyingFile(*a) if "wb" in a and next(opened) == point[1] else open(*a)
        )
    elif point:
        _die_at(os, *point)
    fit(config, out, str(data_root))


def test_killed_twenty_times_and_nothing_is_lost(tmp_path, own):
    config, chance, kills, starts, cut = own_config(epochs=4), random.Random(5), 0, 0, 0
    for name in ("warm", "whole"):
        clock = time.monotonic()
        assert _run(config, tmp_path / name, own) == 0
    expected, usual = result(run_folder(tmp_path / "whole", "unet", 0)), time.monotonic() - clock
    assert expected == result(run_folder(tmp_path / "warm", "unet", 0))
    while kills < 20:
        cut, reached = cut + 1, 0
        folder = run_folder(tmp_path / f"cut-{cut}", "unet", 0)
        while not (folder / RECORD).exists():
            point, delay, starts = None, 60.0, starts + 1
            if kills < 20 and starts % 2:
                name = chance.choice(["write", "replace", "fsync", "unlink"])
                point = (
                    name,
                    chance.randint(1, 6),
                    *([chance.random() < 0.5] if name != "write" else []),
                )
            elif kills < 20:
                delay = chance.uniform(0.1, 0.6) * usual
            kills += _run(config, tmp_path / f"cut-{cut}", own, point, delay) == -signal.SIGKILL
            reached, before = epochs_on_disk(folder), reached
            assert reached >= before, "a finished epoch was lost"
        assert result(folder) == expected
    print(f"{kills} kills in {starts} starts of {cut} runs")
    assert cut < 20, "the kills came after the end"


def _run(config, out: Path, data_root: Path, point=None, delay: float = 60) -> int:
    """The exit status of a training killed at the point or after the delay, or ended before."""
    process = FORK.Process(target=_train, args=(config, out, data_root, point))
    process.start()
    process.join(delay)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_file_system_that_is_really_full(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True
    ).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        write_atomically(place / "last.pt", b"a" * 30_000)
        with pytest.raises(
            OSError, match="No space left on device; nothing that was .*last.pt"
        ) as error:
            write_atomically(place / "last.pt", b"b" * 50_000)
        assert error.value.errno == 28
        assert [(path.name, path.read_bytes()) for path in place.iterdir()] == [
            ("last.pt", b"a" * 30_000)
        ]
    finally:
        subprocess.run(["umount", place], check=True)


def _hold(folder: Path, ready) -> None:
    with locked(folder, "trains"):
        if not os.fork():  # as the processes of a pool are, which outlive the one that is killed
            time.sleep(20)
            os._exit(0)
        ready.set()
        time.sleep(60)


def test_a_folder_is_held_by_one_process_and_let_go_by_its_death(
    tmp_path, own, cpu, monkeypatch, capsys
):
    folder, ready = run_folder(tmp_path, "unet", 0), FORK.Event()
    process = FORK.Process(target=_hold, args=(folder, ready))
    process.start()
    assert ready.wait(30)
    monkeypatch.setattr("lib.train.PATIENCE", 0)
    with pytest.raises(
        BlockingIOError, match="unet/seed-0: another process trains unet with seed 0 here; wait"
    ):
        fit(own_config(epochs=1), tmp_path, str(own))
    (folder / ".1-1.partial").write_bytes(b"of a process that was killed")
    process.kill()
    process.join()
    assert fit(own_config(epochs=1), tmp_path, str(own)).seed == 0 and not list(
        folder.glob(".*.partial")
    )


REPORT = """import json, os, pathlib, time
out = pathlib.Path(out)
for name in (f"runs/{variant}/seed-{seed}/record.json", *(f"figures/{name}.png" for name in (
             f"predictions/{variant}", "loss_curves", "test_metric"))):
    file = out / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"seed": seed}))
(out / "kernel").write_text(str(os.getpid()))
if epochs == 5: time.sleep(100)
if epochs == 6: os.kill(os.getpid(), 9)"""


@pytest.fixture
def build(tmp_path):
    """A process that builds a report from small notebooks with that number of epochs.

    Its standard error is a file.
    """
    notebooks = tmp_path / "notebooks"
    (notebooks / "profiles").mkdir(parents=True)
    (notebooks / "profiles/quick.yaml").write_text("epochs: 3\nseeds: [4]\n")
    settings = 'variant: str = "unet"\nseed: int = 0\nepochs: int = 2\nout: str = "out"'
    cells = [new_code_cell(settings, metadata={"tags": ["parameters"]}), new_code_cell(REPORT)]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Data")]), notebooks / "0_data.ipynb")
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# U-Net"), *cells]), notebooks / "1_unet.ipynb"
    )

    def start(epochs: int):
        process = FORK.Process(
            target=_build, args=(notebooks, tmp_path / "out", epochs, tmp_path / "stderr")
        )
        process.start()
        return process

    return start


def _build(notebooks: Path, out: Path, epochs: int, errors: Path) -> None:
    sys.stderr = open(errors, "a", buffering=1)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # where the tests run in the background it is ignored
    pdf.print_pdf = lambda page: b"%PDF"
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
    """One story, since every build starts kernels.

    Two at once, Ctrl-C, a kernel that dies, kill -9, damage, an end.
    """
    out, errors, kernel = tmp_path / "out", tmp_path / "stderr", tmp_path / "out/kernel"
    first = build(5)
    _wait(kernel.exists)
    second = build(3)
    second.join()
    assert (
        second.exitcode == 1
        and "another process builds a report here; wait for it or choose" in errors.read_text()
    )
    assert json.loads((out / "build.json").read_text())["parameters"] == {"epochs": 5}
    os.kill(first.pid, signal.SIGINT)
    first.join()
    assert first.exitcode == 130 and errors.read_text().endswith(
        "kept, and the same command goes on from there\n"
    )
    _wait(lambda: not _alive(int(kernel.read_text())))

    dying = build(6)
    dying.join()
    assert (
        dying.exitcode == 1
        and "run again to go on from the last finished epoch; if memory" in errors.read_text()
    )

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
    assert last.exitcode == 0, errors.read_text()
    assert "up to date" not in capfd.readouterr().out
    assert data.read_bytes() == before and (out / "report.html").read_text().rstrip().endswith(
        "</html>"
    )
    assert not list(out.rglob("*.partial*"))
