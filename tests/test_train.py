"""Training: learning, determinism, interruption, records and their errors."""

import json

import numpy as np
import pytest
import torch

from lib import data, train
from lib.data import load_split
from lib.files import write_atomically
from lib.machine import Machine
from lib.metrics import class_weights, mean_iou
from lib.records import EDITION, RECORD, load_runs, run_folder
from lib.studies import load_model
from lib.train import CHECKPOINT, UNTIL, Trainer, fit


@pytest.fixture
def float32(monkeypatch):
    """Bit-for-bit statements are about float32 on the CPU."""
    machine = Machine(torch.device("cpu"), bfloat16=False)
    monkeypatch.setattr(Machine, "detect", classmethod(lambda cls: machine))


def test_record_holds_what_everything_else_reads(tiny, tmp_path):
    run = fit(tiny(), tmp_path)
    record = json.loads((tmp_path / "runs/unet/seed-0" / RECORD).read_text())
    assert record["history"][0]["val_miou"] is None  # epochs 2 and 3 (the last) are validated
    assert [row["epoch"] for row in record["history"]] == [1, 2, 3]
    assert run.history.val_miou.notna().tolist() == [False, True, True]
    assert record["edition"] == run.edition == EDITION and record["commit"] is not None
    assert record["dataset"]["counts"] == {"train": 8, "val": 3, "test": 3}
    assert run.per_image.shape == (3, 13, 13) and np.array_equal(
        run.per_image.sum(0), run.confusion
    )
    assert run.confusion.sum() == 3 * 32 * 48
    assert run.miou == float(mean_iou(run.confusion)) and len(run.image_names) == 3
    assert run.structure["boundary"].shape == (3, 13, 2)
    model = load_model(run.folder, "unet", 4, 13)
    assert record["parameters"] == sum(p.numel() for p in model.parameters())
    assert not (run.folder / CHECKPOINT).exists() and not list(tmp_path.rglob("*.partial"))


def test_predictions_on_the_fixed_test_images(tiny, tmp_path):
    run = fit(tiny(), tmp_path)
    assert run.examples == run.image_names  # all of so few
    model, test = load_model(run.folder, "unet", 4, 13), load_split(tiny(), "test")
    with torch.inference_mode():
        labels = Machine.detect().logits(model, test[1][0][None]).argmax(1)[0]
    name = run.examples[1]
    assert np.mean(run.prediction(name) == labels.numpy()) > 0.99  # batches round differently
    assert np.array_equal(run.target(name), test.targets[1].numpy())
    assert (
        np.abs(run.image(name).astype(int) - test.images[1].permute(1, 2, 0).numpy()).mean() < 12
    )  # lossy


def test_same_seed_same_result_and_other_seed_another(tiny, tmp_path, float32):
    first, again, other = (
        fit(tiny(seed=seed), tmp_path / folder) for seed, folder in ((0, "a"), (0, "b"), (1, "a"))
    )
    assert first.history.train_loss.tolist() == again.history.train_loss.tolist()
    assert np.array_equal(first.per_image, again.per_image)
    assert first.history.train_loss.tolist() != other.history.train_loss.tolist()
    assert [run.seed for run in load_runs(tmp_path / "a")] == [0, 1]


def test_all_networks_see_the_same_samples(tiny, tmp_path, float32):
    seen = {}
    for variant in ("unet", "unet-noskip"):
        trainer = _trainer(tiny(variant=variant), tmp_path)
        trainer.augment = Recorder(trainer.augment)
        trainer._epoch(1)
        seen[variant] = trainer.augment.samples
    pairs = list(zip(*seen.values()))
    assert len(pairs) == 2 and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs
    )


class Recorder:
    """Remembers the samples that an augmentation made."""

    def __init__(self, augment):
        self.augment, self.samples = augment, []

    def apply(self, *args):
        self.samples.append(self.augment.apply(*args))
        return self.samples[-1]


def _trainer(config, out):
    return Trainer(
        config, out, Machine.detect(), load_split(config, "train"), load_split(config, "val")
    )


def test_interruption_changes_nothing(tiny, tmp_path, float32, monkeypatch, capsys):
    whole = fit(tiny(), tmp_path / "whole")
    epoch = Trainer._epoch

    def stopped(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_epoch", stopped)
        fit(tiny(), tmp_path / "cut")
    assert load_runs(tmp_path / "cut") == []
    cut = fit(tiny(), tmp_path / "cut")
    assert "continuing after epoch 2 of 3" in capsys.readouterr().out
    assert cut.history.train_loss.tolist() == whole.history.train_loss.tolist()
    assert all(
        np.array_equal(whole.gradients[name], cut.gradients[name]) for name in whole.gradients
    )
    states = [torch.load(run.folder / "weights.pt", weights_only=True) for run in (whole, cut)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_training_stops_after_the_epoch_and_goes_on(tiny, tmp_path, float32, monkeypatch):
    whole, epoch = fit(tiny(), tmp_path / "whole"), Trainer._epoch

    def time_ends(self, number):
        monkeypatch.setenv(UNTIL, "0")
        return epoch(self, number)

    with (
        monkeypatch.context() as patch,
        pytest.raises(TimeoutError, match="after epoch 1 of 3; the same command"),
    ):
        patch.setattr(Trainer, "_epoch", time_ends)
        fit(tiny(), tmp_path / "out")
    assert (run_folder(tmp_path / "out", "unet", 0) / CHECKPOINT).exists()
    monkeypatch.delenv(UNTIL)
    assert (
        fit(tiny(), tmp_path / "out").history.train_loss.tolist()
        == whole.history.train_loss.tolist()
    )


def test_finished_run_is_read_not_repeated(tiny, tmp_path, capsys):
    fit(tiny(), tmp_path)
    before = (tmp_path / "runs/unet/seed-0" / RECORD).stat().st_mtime_ns
    capsys.readouterr()
    fit(tiny(), tmp_path)
    assert "recorded: U-Net, seed 0, 3 epochs on CPU" in capsys.readouterr().out
    assert (tmp_path / "runs/unet/seed-0" / RECORD).stat().st_mtime_ns == before


def test_other_settings_are_refused(tiny, tmp_path):
    fit(tiny(), tmp_path)
    with pytest.raises(
        ValueError, match="other settings .epochs = 3 there, 4 now.; choose another `out`"
    ):
        fit(tiny(epochs=4), tmp_path)


def test_learns(tiny, tmp_path):
    run = fit(
        tiny(epochs=40, train_images=16, batch_size=4, base_channels=8, validate_every=40), tmp_path
    )
    assert run.history.train_loss.iloc[-1] < 0.8 * run.history.train_loss.iloc[0]
    assert run.miou > 0.05  # one class alone would score 0.02


def test_loss_that_is_not_finite_stops(tiny, tmp_path):
    with pytest.raises(
        FloatingPointError,
        match="loss is nan in epoch 1, step 1 of 2; lower learning_rate .now 0.003. and choose",
    ):
        trainer = _trainer(tiny(), tmp_path)
        trainer.model.head.bias.data.fill_(float("nan"))
        trainer.run()


def test_class_weights(tiny):
    train = load_split(tiny(), "train")
    share = train.pixels_per_class() / train.pixels_per_class().sum()
    weights = class_weights(train.pixels_per_class(), 0.02).numpy()
    assert (weights * share).sum() == pytest.approx(1, abs=1e-5)
    expected = np.log(1.02 + share[7]) / np.log(1.02 + share[4])  # person against road
    assert weights[4] / weights[7] == pytest.approx(expected, rel=1e-4) and expected > 5
    assert class_weights(train.pixels_per_class(), 0).tolist() == [1.0] * 13


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"epochs": 0}, "epochs = 0: expected a whole number above 0"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0: expected a number above 0"),
        ({"variant": "vnet"}, "variant = 'vnet': unknown network; choose one of unet, unet-noskip"),
        ({"dataset": "kitti"}, "dataset = 'kitti': unknown data set; choose one of scenes, camvid"),
    ],
)
def test_bad_settings(tiny, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        fit(tiny(**changes), tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_unreadable_record_is_named(tmp_path):
    path = tmp_path / "runs/unet/seed-0" / RECORD
    write_atomically(path, b'{"variant": "un')
    with pytest.raises(ValueError, match="record.json: not a readable record"):
        load_runs(tmp_path)
    assert load_runs(tmp_path / "empty") == []


def test_a_terminal_shows_a_bar_and_a_log_has_lines(tiny, tmp_path, monkeypatch, capsys):
    fit(tiny(), tmp_path / "log")
    assert capsys.readouterr().out.count("epoch   3/3  loss ") == 1
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    fit(tiny(), tmp_path / "terminal")
    shown = capsys.readouterr()
    assert "epoch" not in shown.out and "unet, seed 0: 100%" in shown.err and "mIoU" in shown.err


def test_data_are_loaded_once_for_all_trainings_of_a_command(tiny, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        data, "load_split", lambda *given: loaded.append(given[1]) or load_split(*given)
    )
    settings = vars(tiny(epochs=1)) | {"data_root": None, "seeds": [0, 1], "extra": []}
    settings["variant"] = "unet"
    del settings["seed"]
    train.train(settings, tmp_path)
    assert loaded == ["train", "val", "test"] and [run.seed for run in load_runs(tmp_path)] == [
        0,
        1,
    ]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    order = []
    monkeypatch.setattr(
        train, "fit", lambda config, *rest: order.append((config.variant, config.seed))
    )
    plain = {"data_root": None, "seeds": [0, 1], "extra": []}
    train.train(dict(plain), tmp_path)
    assert order[:3] == [("unet", 0), ("unet", 1), ("unet-noskip", 0)]
