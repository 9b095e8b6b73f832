"""The loss and the ingredients of the recipe, each against a calculation by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.classes import IGNORE
from lib.data import Dataset
from lib.evaluation import evaluate
from lib.files import write_json
from lib.findings import recipe
from lib.machine import Machine
from lib.recipe import Average, cross_entropy, look_twice, soft_dice
from lib.runs import RECORD
from lib.training import Trainer, fit


@pytest.fixture
def batch():
    """Logits of 2 x 4 classes x 5 x 6, labels with void in them and without class 3, weights."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (2, 5, 6), generator=generator)
    target[0, :2] = IGNORE
    return torch.randn(2, 4, 5, 6, generator=generator), target, torch.tensor([1.0, 0.5, 2.0, 3.0])


def test_cross_entropy_is_the_weighted_mean_over_labelled_pixels(batch):
    logits, target, weights = batch
    assert cross_entropy(*batch).item() == pytest.approx(
        F.cross_entropy(logits, target, weights, ignore_index=IGNORE).item(), rel=1e-6)


def test_dice_is_added_to_what_is_descended_and_not_to_what_is_recorded(tiny):
    config, machine = tiny(epochs=1, dice=0.3), Machine(torch.device("cpu"), bfloat16=False)
    data = config.load("train")
    trainer, plain = (Trainer(c, Path("/nowhere"), machine, data, data) for c in (config, replace(config, dice=0.0)))
    batch = next(trainer.feed.epoch(0, 1))
    (loss, nats), (same, _) = trainer.loss(*batch), plain.loss(*batch)
    image, target = trainer.augment.apply(*batch)
    overlap = soft_dice(machine.logits(trainer.model, image), target)
    assert nats.item() == same.item() and not nats.requires_grad
    assert loss.item() == pytest.approx(nats.item() + 0.3 * (1 - overlap.item()), rel=1e-6)


def test_soft_dice_by_hand(batch):
    logits, target, _ = batch
    p, t = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, 4).numpy(), target.flatten().numpy()
    p, t = p[t != IGNORE], t[t != IGNORE]
    by_class = [2 * p[t == k, k].sum() / (p[:, k].sum() + (t == k).sum()) for k in range(3)]  # class 3 is absent
    assert soft_dice(logits, target).item() == pytest.approx(np.mean(by_class), rel=1e-5)
    perfect = 50 * F.one_hot(target.clamp(max=3), 4).permute(0, 3, 1, 2).float()
    assert soft_dice(perfect, target).item() == pytest.approx(1, abs=1e-5)


def test_the_average_of_weights_by_hand():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    model[0].weight.data.fill_(0.0)
    average, expected = Average(model, 0.5), 0.0
    for step in range(1, 8):
        model[0].weight.data.fill_(step)
        model[1].running_mean.fill_(2 * step)
        decay = min(0.5, step / (step + 9))
        expected = decay * expected + (1 - decay) * step
        average.update()
    assert average.model[0].weight.item() == pytest.approx(expected, rel=1e-6)
    assert average.model[1].running_mean.item() == pytest.approx(2 * expected, rel=1e-6)
    other = Average(model, 0.5)
    other.load_state_dict(average.state_dict())
    assert other.steps == 7 and torch.equal(other.model[0].weight, average.model[0].weight)


def test_looking_twice_is_the_mean_of_probabilities(batch):
    logits, mirrored = batch[0], batch[0].flip(0)
    expected = (logits.softmax(1) + mirrored.softmax(1).flip(-1)) / 2
    assert torch.allclose(look_twice(logits, mirrored).exp(), expected, atol=1e-6)


class Brightness(nn.Module):
    """Class 1 where a pixel of the left half is bright, by position: mirrored images are read otherwise."""

    def forward(self, image):
        bright = image[:, :1] * torch.linspace(1, 0, image.shape[-1])
        return torch.cat([0.3 - bright, bright - 0.3], 1)


def test_evaluation_looks_at_mirrored_images_when_asked():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (11, 3, 16, 16), generator=generator, dtype=torch.uint8).numpy()
    target = np.zeros((16, 16), np.uint8)
    data = Dataset("made", "val", ("dark", "bright"), tuple(map(str, range(11))),
                   lambda i: (images[i].transpose(1, 2, 0), target))
    machine, weights = Machine(torch.device("cpu"), bfloat16=False), torch.ones(2)
    once, twice = (evaluate(Brightness(), data, weights, machine, flip)[2] for flip in (False, True))
    logits = [Brightness()(torch.from_numpy(images).float() / 255), Brightness()(torch.from_numpy(images).float().flip(-1) / 255)]
    assert np.array_equal(once, logits[0].argmax(1).numpy())
    assert np.array_equal(twice, look_twice(*logits).argmax(1).numpy()) and not np.array_equal(once, twice)


def test_a_record_from_before_an_ingredient_had_its_default(tiny, tmp_path, capsys):
    fit(tiny(), tmp_path)
    path = tmp_path / "runs/unet/seed-0" / RECORD
    record = json.loads(path.read_text())
    for name in ("scale", "dice", "ema", "flip_test"):
        del record["config"][name]
    write_json(path, record)
    assert fit(tiny(), tmp_path).record == record and "recorded" in capsys.readouterr().out
    with pytest.raises(ValueError, match="other settings .dice = 0.0 there, 0.5 now"):
        fit(tiny(dice=0.5), tmp_path)


def test_ingredients_change_what_is_learnt_and_are_recorded(tiny, tmp_path):
    plain = fit(tiny(), tmp_path / "plain")
    assert recipe(plain.config).endswith("a zoom from 0.8 to 1.5; of `dice`, `ema` and `flip_test` it has none")
    told = {"scale": "zoom from 1 to 1;", "dice": "has `dice` = 1", "ema": "has `ema` = 0.9", "flip_test": "has `flip_test`"}
    for name, value in {"scale": (1.0, 1.0), "dice": 1.0, "ema": 0.9, "flip_test": True}.items():
        run = fit(tiny(**{name: value}), tmp_path / name)
        assert told[name] in recipe(run.config)
        assert run.config[name] in (value, list(value) if isinstance(value, tuple) else value)
        assert run.history.val_loss.dropna().tolist() != plain.history.val_loss.dropna().tolist(), name


@pytest.mark.parametrize("changes, message", [
    ({"scale": (1.5, 0.8)}, r"scale = \[1.5, 0.8\]: expected two numbers above 0, the smaller first"),
    ({"ema": 1.0}, "ema = 1.0: expected"), ({"dice": -1.0}, "dice = -1.0"),
])
def test_bad_ingredients(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
