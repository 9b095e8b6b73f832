"""A split that does not fit: the same tensors, batches and weights from a mapped file."""

import os
import resource
from pathlib import Path

import pytest
import torch
from faults import own_config, result

from lib.data import Feed, load_dataset
from lib.datasets import storage
from lib.datasets.storage import available_memory
from lib.machine import Machine
from lib.records import run_folder
from lib.train import fit

CPU = Machine(torch.device("cpu"), bfloat16=False)


@pytest.fixture
def mapped(tmp_path, monkeypatch) -> Path:
    """The folder of mapped files, where every split is mapped."""
    monkeypatch.setattr(storage, "MEMORY_SHARE", 0)
    monkeypatch.setattr(storage, "CHUNK", 3)  # the last chunk is a part
    monkeypatch.setenv(storage.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_tensors_and_batches_are_the_same(own, mapped, monkeypatch):
    for name, root in (("folder", own), ("scenes", None)):
        there = load_dataset(name, root, "train", (32, 48), 4)
        assert there.images.shape == (4, 3, 32, 48)
        with monkeypatch.context() as patch:
            patch.setattr(storage, "MEMORY_SHARE", 1)
            whole = load_dataset(name, root, "train", (32, 48), 4)
            assert torch.equal(whole.images, there.images) and torch.equal(
                whole.targets, there.targets
            )
        assert there.checksum == whole.checksum
        assert there.pixels_per_class().tolist() == whole.pixels_per_class().tolist()
        for one, other in zip(
            Feed(whole, 2, CPU).epoch(1, 1), Feed(there, 2, CPU).epoch(1, 1), strict=True
        ):
            assert all(map(torch.equal, one, other))
    assert len(list(mapped.glob("[!.]*"))) == 2


def test_a_training_ends_in_the_same_bits(own, tmp_path, mapped, monkeypatch, cpu):
    fit(own_config(epochs=2), tmp_path / "mapped", str(own))
    assert len(list(mapped.glob("[!.]*"))) == 3
    monkeypatch.setattr(storage, "MEMORY_SHARE", 1)
    fit(own_config(epochs=2), tmp_path / "whole", str(own))
    first, second = (result(run_folder(tmp_path / name, "unet", 0)) for name in ("mapped", "whole"))
    assert first == second


def test_a_file_is_decoded_once_and_again_when_it_changes(own, mapped, monkeypatch):
    first = load_dataset("folder", own, "train", (32, 48))
    assert first.images.any() and len(list(mapped.glob("[!.]*"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr("lib.datasets.pairs.open_image", None)  # nothing can be read any more
        again = load_dataset("folder", own, "train", (32, 48))
        assert again.checksum == first.checksum
    label = own / "train/labels/train 0.png"
    os.utime(label, ns=(1, 1))
    assert load_dataset("folder", own, "train", (32, 48)).checksum == first.checksum
    assert len(list(mapped.glob("[!.]*"))) == 2


def test_a_disk_without_room_is_said_and_leaves_nothing(own, mapped, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    remedy = "No space left on device; make room, or name another folder by SEGMENTATION_CACHE"
    with pytest.raises(OSError, match=remedy):
        load_dataset("folder", own, "train").images  # noqa: B018
    assert [path.suffix for path in mapped.iterdir()] == [".lock"]


def test_memory_is_what_system_container_and_shell_leave(tmp_path, monkeypatch):
    used = storage.psutil.Process().memory_info().rss
    assert 0 < available_memory() <= storage.psutil.virtual_memory().total
    monkeypatch.setattr(storage, "CONTAINER", tmp_path / "memory.max")
    (tmp_path / "memory.max").write_text(f"{used + 2**24}\n")
    assert available_memory() == pytest.approx(2**24, abs=2**24)
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**20, 2**30))
    assert available_memory() == 0
