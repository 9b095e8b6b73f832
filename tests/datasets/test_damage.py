"""Damaged checkpoints and records, full disks, and data that are not those of before."""

import os
import pickle
import resource
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from conftest import CPU, make_own, save_label
from faults import FORK, Evil, cut, epochs_on_disk, flip, own_config, result
from nbformat.v4 import new_notebook

from lib.files import write_atomically
from lib.machine import Machine
from lib.records import Run, run_folder
from lib.studies import load_model
from lib.train import CHECKPOINT, Trainer, fit
from report.plan import Execution


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Images, the folder of a training on them, and what it would become.

    The training was stopped after three of five epochs.
    """
    place, epoch = tmp_path_factory.mktemp("stopped"), Trainer._epoch
    own, config = make_own(place / "own"), own_config(epochs=5)

    def stop(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return epoch(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "detect", classmethod(lambda cls: CPU))
        fit(config, place / "whole", str(own))
        patch.setattr(Trainer, "_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(config, place / "cut", str(own))
    return own, place / "cut", result(run_folder(place / "whole", "unet", 0))


@pytest.fixture
def half_way(stopped, tmp_path, cpu):
    """A copy of it, how it is finished, and what has to come out."""
    own, cut, expected = stopped
    folder = run_folder(shutil.copytree(cut, tmp_path / "cut"), "unet", 0)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", CHECKPOINT]

    def finish(data_root: Path = own) -> dict:
        fit(own_config(epochs=5), tmp_path / "cut", str(data_root))
        return result(folder)

    return folder, finish, expected


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        flip,
        lambda path: path.write_bytes(b""),
        lambda path: torch.save(Evil(path.with_suffix(".run")), path),
        lambda path: path.write_bytes(pickle.dumps(Evil(path.with_suffix(".run")))),
    ],
    ids=["cut", "flipped bit", "empty", "code", "pickle"],
)
def test_a_damaged_checkpoint_costs_the_epochs_in_it(half_way, capsys, damage):
    folder, finish, expected = half_way
    damage(folder / CHECKPOINT)
    capsys.readouterr()
    assert finish() == expected and not (folder / "last.run").exists()
    printed = capsys.readouterr().out
    assert "last.pt: not readable" in printed and "going back to the beginning" in printed


def test_a_checkpoint_of_other_images_is_refused(half_way, stopped, tmp_path):
    other = shutil.copytree(stopped[0], tmp_path / "other")
    shutil.copy(other / "train/labels/train 0.png", other / "train/labels/train 1.png")
    with pytest.raises(
        ValueError, match="its training began on other images or labels; choose another `out`"
    ):
        half_way[1](other)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """The folder of a finished run and the images that it saw."""
    root = make_own(tmp_path_factory.mktemp("images") / "own")
    return fit(own_config(epochs=1), tmp_path_factory.mktemp("out"), str(root)).folder, root


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(finished[0].parents[1], tmp_path / "runs")
    return tmp_path / "runs/unet/seed-0"


@pytest.mark.parametrize(
    "name, read, message",
    [
        (
            "record.json",
            lambda run: run,
            r"record\.json: not a readable record .*; delete the file and run again",
        ),
        (
            "confusions.npz",
            lambda run: run.per_image,
            r"confusions\.npz: not readable .*; restore the file, or delete",
        ),
        ("structure.npz", lambda run: run.structure, r"structure\.npz: not readable"),
        (
            "predictions/test 0.png",
            lambda run: run.prediction("test 0"),
            r"predictions/test 0\.png: not readable",
        ),
        (
            "../../examples/test 0.webp",
            lambda run: run.image("test 0"),
            r"examples/test 0\.webp: not readable",
        ),
        (
            "../../examples/test 0.png",
            lambda run: run.target("test 0"),
            r"examples/test 0\.png: not readable",
        ),
        (
            "weights.pt",
            lambda run: load_model(run.folder, "unet", 4, 3),
            r"weights\.pt: not readable",
        ),
    ],
)
@pytest.mark.parametrize("damage", [cut, lambda path: path.write_bytes(b"")], ids=["cut", "empty"])
def test_a_damaged_record_is_named(run, name, read, message, damage):
    read(Run.read(run))
    damage(run / name)
    with pytest.raises(ValueError, match=message):
        read(Run.read(run))


def test_arrays_that_hold_code_are_refused(run):
    np.savez(
        run / "confusions.npz",
        per_image=np.array([Evil(run / "evil")], dtype=object),
        names=np.array(["a"]),
    )
    with pytest.raises(ValueError, match=r"confusions\.npz: not readable .*allow_pickle"):
        Run.read(run).per_image  # noqa: B018
    assert not (run / "evil").exists()


def test_a_finished_run_on_other_data_is_not_taken_for_this_one(run, finished, tmp_path):
    config, out = own_config(epochs=1), run.parents[2]
    assert fit(config, out, str(finished[1])).record == Run.read(run).record
    other = shutil.copytree(finished[1], tmp_path / "other")
    shutil.copy(other / "test/labels/test 0.png", other / "test/labels/test 1.png")
    with pytest.raises(
        ValueError, match=r"holds a run on other data .test in .*/other are not what it saw"
    ):
        fit(config, out, str(other))
    assert (
        fit(config, out, str(tmp_path / "gone")).seed == 0
    )  # a record can be read without the data set


def test_images_that_were_worked_on_are_looked_at_again(own, tmp_path):
    source = tmp_path / "1_unet.ipynb"
    nbformat.write(new_notebook(), source)
    job = Execution(source, tmp_path / "done.ipynb", {"dataset": "folder", "data_root": str(own)})
    before = job.fingerprint()
    assert job.fingerprint() == before
    save_label(own / "train/labels/train 0.png", np.zeros((32, 48), np.uint8))
    assert job.fingerprint() != before


def _full(monkeypatch, writes: int):
    """After so many files the disk is full, in the middle of one."""
    sync, left = os.fsync, iter(range(writes))

    def fsync(descriptor):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("writes", [0, 1, 3, 5, 9, 12])
def test_a_full_disk_stops_the_training_and_loses_nothing(half_way, monkeypatch, writes):
    folder, finish, expected = half_way
    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match="No space left on device; nothing") as error,
    ):
        _full(patch, writes)
        finish()
    assert str(folder.parents[1]) in str(error.value)
    assert not list(folder.parents[1].rglob("*.partial")) and epochs_on_disk(folder) >= 3
    assert finish() == expected


def test_two_processes_write_one_file_and_it_is_whole(tmp_path):
    """As two seeds do that are trained side by side and share their test images."""
    content = [bytes([number]) * 200_000 for number in range(3)]
    writers = [
        FORK.Process(target=_write_often, args=(tmp_path / "shared", part)) for part in content
    ]
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
