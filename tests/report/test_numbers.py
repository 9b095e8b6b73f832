"""Numbers that go wrong.

A loss that is not finite, no memory left, classes without pixels, settings that cannot be.
"""

import numpy as np
import pytest
import torch
from conftest import save_label
from faults import epochs_on_disk, own_config

from lib.records import Run, run_folder
from lib.train import fit
from report.evidence import sentences


def test_a_step_that_is_not_finite_is_named_and_the_epochs_before_it_are_kept(
    tmp_path, own, cpu, monkeypatch
):
    schedule, steps = torch.optim.lr_scheduler.OneCycleLR.step, iter(range(1000))

    def step(self, *arguments):
        schedule(self, *arguments)
        if next(steps) == 4:  # the first step of epoch 3 has this rate
            self.optimizer.param_groups[0]["lr"] = float("inf")

    with monkeypatch.context() as patch, pytest.raises(FloatingPointError) as error:
        patch.setattr(torch.optim.lr_scheduler.OneCycleLR, "step", step)
        fit(own_config(epochs=3, batch_size=2), tmp_path, str(own))
    assert (
        "the training loss is nan in epoch 3, step 2 of 2; lower learning_rate (now 0.003)"
        in str(error.value)
    )
    assert epochs_on_disk(run_folder(tmp_path, "unet", 0)) == 2


def test_a_batch_of_void_teaches_nothing_and_stops_nothing(tmp_path, own, cpu):
    save_label(own / "train/labels/train 0.png", np.full((32, 48), 255, np.uint8))
    run = fit(own_config(epochs=2, batch_size=1), tmp_path, str(own))
    assert run.history.train_loss.between(0.1, 2).all() and np.isfinite(run.miou)


@pytest.mark.parametrize(
    "exhaust", [lambda *_: torch.empty(1 << 60), lambda *_: _cuda()], ids=["processor", "GPU"]
)
def test_out_of_memory_names_what_to_try(tmp_path, own, cpu, monkeypatch, exhaust):
    monkeypatch.setattr("lib.train.cross_entropy", exhaust)
    with pytest.raises(MemoryError, match="no memory left with batch_size = 4; set a smaller one"):
        fit(own_config(epochs=1), tmp_path, str(own))


def _cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_out_of_memory_in_evaluation_and_other_errors(tmp_path, own, cpu, monkeypatch):
    with (
        monkeypatch.context() as patch,
        pytest.raises(MemoryError, match="8 whole images at a time; set a smaller im"),
    ):
        patch.setattr("lib.evaluation.as_image", lambda *_: _cuda())
        fit(own_config(epochs=1), tmp_path, str(own))
    monkeypatch.setattr("lib.train.cross_entropy", lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="must match the size") as error:
        fit(own_config(epochs=1), tmp_path / "b", str(own))
    assert not isinstance(error.value, MemoryError)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weight_decay": -1.0}, "weight_decay = -1.0: expected a number 0 or more"),
        ({"class_balance": float("nan")}, "class_balance = nan: expected a number 0 or more"),
        ({"batch_size": 0}, "batch_size = 0: expected a whole number above 0"),
        ({"crop_size": [32]}, r"crop_size = \[32\]: expected height and width in pixels"),
        ({"image_size": "32x48"}, "image_size = '32x48': expected height and width in pixels"),
        ({"train_images": 0}, "train_images = 0: expected a whole number above 0, or None for all"),
    ],
)
def test_settings_that_cannot_be(tmp_path, own, changes, message):
    with pytest.raises(ValueError, match=message):
        fit(own_config(**changes), tmp_path, str(own))


def test_classes_without_pixels_are_nan_with_a_note_and_the_mean_is_over_the_others(tmp_path, own):
    run = fit(own_config(epochs=1), tmp_path, str(own))
    record = run.record | {"test_confusion": [[6, 2, 0], [0, 8, 0], [0, 0, 0]]}
    changed = Run(run.folder, record)
    assert np.isnan(changed.iou).tolist() == [False, False, True]
    assert changed.miou == pytest.approx((6 / 8 + 8 / 10) / 2)
    assert (
        "Traffic sign is neither in the test labels nor predicted, and left out of the mean."
        in (sentences.test_sentence(changed))
    )
    predicted = Run(run.folder, record | {"test_confusion": [[6, 2, 0], [0, 8, 1], [0, 0, 0]]})
    assert predicted.iou[2] == 0 and "neither in" not in sentences.test_sentence(predicted)
