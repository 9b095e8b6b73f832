"""Batches: drawn from seed and epoch alone, whole, and the same wherever the split is kept."""

import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import pytest
import torch

from lib import train
from lib.data import Feed, load_split
from lib.datasets.processes import World, in_processes
from lib.machine import Machine, processors
from lib.models import multiply_adds
from lib.train import Trainer

CPU = Machine(torch.device("cpu"), bfloat16=False)


def test_an_epoch_shows_what_seed_and_epoch_draw(tiny):
    data = load_split(tiny(train_images=7), "train")
    feed = Feed(data, 3, CPU)
    batches = list(feed.epoch(5, 2))
    generator = torch.Generator().manual_seed(5 * 1_000_003 + 2)
    order = torch.randperm(7, generator=generator)
    assert feed.steps == 2 and len(batches) == 2  # the seventh image is left out
    for number, (images, targets, drawn) in enumerate(batches):
        chosen = order[3 * number : 3 * number + 3]
        assert torch.equal(images, data.images[chosen]) and torch.equal(
            targets, data.targets[chosen]
        )
        assert torch.equal(
            drawn, torch.rand(3, 8, generator=generator)
        )  # as if drawn batch by batch
    assert not torch.equal(batches[0][0], next(feed.epoch(5, 3))[0])


def test_processes_share_every_batch(tiny):
    data = load_split(tiny(), "train")
    whole, parts = Feed(data, 4, CPU), [Feed(data, 4, CPU, World(rank, 2)) for rank in range(2)]
    for batch, first, second in zip(
        whole.epoch(1, 1), *(part.epoch(1, 1) for part in parts), strict=True
    ):
        for together, a, b in zip(batch, first, second):
            assert torch.equal(together[0::2], a) and torch.equal(together[1::2], b)
    with pytest.raises(ValueError, match="batch of 4 images on 3 processes: expected equal parts"):
        Feed(data, 4, CPU, World(0, 3))


def test_more_images_in_a_batch_than_there_are(tiny):
    ((images, _, drawn),) = Feed(load_split(tiny(), "train"), 100, CPU).epoch(0, 1)
    assert len(images) == len(drawn) == 8


def _compiling(tiny, monkeypatch, compiler, work: float = 0.0) -> Trainer:
    """A training on a machine whose compiler is that function and pays from that much work on."""
    monkeypatch.setattr(torch, "compile", compiler)
    monkeypatch.setattr(train, "COMPILE_FROM", work)
    config, machine = tiny(), Machine(CPU.device, False, compiled=True)
    return Trainer(
        config, Path("/nowhere"), machine, load_split(config, "train"), load_split(config, "val")
    )


def test_a_failing_compiler_leaves_the_training_as_it_was_with_a_word(tiny, capsys, monkeypatch):
    def compiler(function, dynamic):
        def call(*batch):
            assert function.__self__.model.training
            function(*batch)  # moves the statistics of batch normalisation
            raise RuntimeError("a form that it does not know\nand more")

        return call

    trainer = _compiling(tiny, monkeypatch, compiler)
    assert (
        capsys.readouterr().out == "not compiled, slower but equal: a form that it does not know\n"
    )
    plain = Trainer(
        trainer.config, Path("/nowhere"), CPU, load_split(trainer.config, "train"), trainer.val
    )
    assert trainer._epoch(1) == plain._epoch(1)


def test_a_training_is_compiled_where_it_is_long_enough_for_the_compiler_to_pay(tiny, monkeypatch):
    compiled = []

    def compiler(function, dynamic):
        compiled.append(function)
        return function

    trainer = _compiling(tiny, monkeypatch, compiler)
    work = 3 * multiply_adds(trainer.model, (32, 48)) * 8 * 3  # images of an epoch, epochs
    for share, number in ((1.5, 0), (0.5, 1)):
        compiled.clear()
        monkeypatch.setattr(train, "COMPILE_FROM", share * work)
        trainer._compiled()
        assert len(compiled) == number


def test_work_is_shared_out_in_order():
    assert list(in_processes(lambda a, b: a * b, range(50), [7] * 50)) == [7 * n for n in range(50)]
    assert processors() >= 1


def _hang(pids, lock):
    """A process that shares work out which never ends, under a lock."""
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        list(in_processes(lambda n: (pids.put(os.getpid()), time.sleep(100)), range(8)))


@pytest.mark.skipif(processors() < 2, reason="nothing is shared out on one processor")
def test_a_killed_process_leaves_no_worker_and_no_lock_behind(tmp_path):
    fork = multiprocessing.get_context("fork")
    pids = fork.Queue()
    process = fork.Process(target=_hang, args=(pids, tmp_path / "lock"))
    process.start()
    pids.get(timeout=30)
    process.kill()
    process.join()
    deadline = time.monotonic() + 5
    with open(tmp_path / "lock") as lock:
        while time.monotonic() < deadline:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
    raise AssertionError("the lock is still held")
