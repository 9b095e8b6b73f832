"""Two processes under torchrun compute what one computes, and the command that starts them."""

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from torch.multiprocessing import start_processes
from lib.machine import PRECISION
from lib.records import Run, load_runs
from lib.train import Trainer, fit, main

SMALL = {
    "image_size": "[32, 48]",
    "train_images": "8",
    "val_images": "3",
    "test_images": "3",
    "epochs": "3",
    "learning_rate": "0.003",
    "validate_every": "2",
    "dice": "0.5",
}


def _arguments(out, **more) -> list[str]:
    settings = [item for name, value in (SMALL | more).items() for item in ("-p", name, value)]
    return ["--profile", "smoke", "--out", str(out), *settings]


def _process(rank: int, port: int, out: Path) -> None:
    """One of two processes, in the environment that `torchrun` gives it."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with open(out / f"{rank}.txt", "w") as sys.stdout:
        assert main(_arguments(out, variant="unet", seed="0")) == 0


def test_two_processes_compute_what_one_computes(tiny, tmp_path, monkeypatch):
    """Losses and gradients are those of one process.

    It takes the mean over the two halves of each batch.
    """
    monkeypatch.setenv(PRECISION, "float32")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start_processes(_process, (port, tmp_path), nprocs=2, start_method="fork")
    two = Run.read(tmp_path / "runs/unet/seed-0")
    assert [(tmp_path / f"{rank}.txt").read_text().count("epoch") for rank in (0, 1)] == [
        2,
        0,
    ]  # one speaks for both

    def halves(self, *batch):
        losses = [whole(self, *(part[rank::2] for part in batch)) for rank in range(2)]
        return tuple(sum(pair) / 2 for pair in zip(*losses))

    whole = Trainer._loss
    monkeypatch.setattr(Trainer, "_loss", halves)
    one = fit(tiny(dice=0.5), tmp_path / "one")
    np.testing.assert_allclose(two.history.train_loss, one.history.train_loss, rtol=1e-4)
    for norms in ("gradient", "update"):
        np.testing.assert_allclose(two.gradients[norms][0], one.gradients[norms][0], rtol=1e-4)
    assert two.confusion.sum() == one.confusion.sum() and two.history.val_loss.dropna().min() > 0


def test_the_command_trains_what_is_asked_and_skips_what_is_recorded(tmp_path, capsys):
    arguments = _arguments(tmp_path, epochs="1", variant="unet-noskip", seeds="[3, 4]")
    assert main(arguments) == 0
    assert [(run.variant, run.seed) for run in load_runs(tmp_path)] == [
        ("unet-noskip", 3),
        ("unet-noskip", 4),
    ]
    assert "recorded" not in capsys.readouterr().out
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("recorded: U-Net without skip connections") == 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--profile", "quik"], "--profile quik: no such profile"),
        (["-p", "epoch", "3"], "-p epoch: no such parameter; did you mean epochs"),
        (["-p", "epochs", "0"], "epochs = 0: expected a whole number above 0"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, capsys, arguments, words):
    assert main(["--out", str(tmp_path), *arguments]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and words in message and not list(tmp_path.iterdir())
