"""The loss and the ingredients of the recipe, each against a calculation by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lib.data import load_split
from lib.files import IGNORE, write_json
from lib.machine import Machine
from lib.metrics import cross_entropy, soft_dice
from lib.records import RECORD
from lib.train import Trainer, fit
from report.evidence.sentences import recipe


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
        F.cross_entropy(logits, target, weights, ignore_index=IGNORE).item(), rel=1e-6
    )


def test_dice_is_added_to_what_is_descended_and_not_to_what_is_recorded(tiny):
    config, machine = tiny(epochs=1, dice=0.3), Machine(torch.device("cpu"), bfloat16=False)
    data = load_split(config, "train")
    trainer, plain = (
        Trainer(c, Path("/nowhere"), machine, data, data)
        for c in (config, replace(config, dice=0.0))
    )
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
    by_class = [
        2 * p[t == k, k].sum() / (p[:, k].sum() + (t == k).sum()) for k in range(3)
    ]  # class 3 is absent
    assert soft_dice(logits, target).item() == pytest.approx(np.mean(by_class), rel=1e-5)
    perfect = 50 * F.one_hot(target.clamp(max=3), 4).permute(0, 3, 1, 2).float()
    assert soft_dice(perfect, target).item() == pytest.approx(1, abs=1e-5)


def test_a_record_from_before_an_ingredient_had_its_default(tiny, tmp_path, capsys):
    fit(tiny(), tmp_path)
    path = tmp_path / "runs/unet/seed-0" / RECORD
    record = json.loads(path.read_text())
    for name in ("scale", "dice"):
        del record["config"][name]
    record["config"] |= {
        "ema": 0.0,
        "flip_test": False,
    }  # settings of the first edition that are gone
    write_json(path, record)
    assert fit(tiny(), tmp_path).record == record and "recorded" in capsys.readouterr().out
    with pytest.raises(ValueError, match="other settings .dice = 0.0 there, 0.5 now"):
        fit(tiny(dice=0.5), tmp_path)


def test_ingredients_change_what_is_learnt_and_are_recorded(tiny, tmp_path):
    plain = fit(tiny(), tmp_path / "plain")
    assert recipe(plain.config).endswith("its loss is the cross-entropy alone")
    told = {"scale": "zoom from 1 to 1;", "dice": "with soft Dice at weight 1"}
    for name, value in {"scale": (1.0, 1.0), "dice": 1.0}.items():
        run = fit(tiny(**{name: value}), tmp_path / name)
        assert told[name] in recipe(run.config)
        assert run.config[name] in (value, list(value) if isinstance(value, tuple) else value)
        assert run.history.val_loss.dropna().tolist() != plain.history.val_loss.dropna().tolist(), (
            name
        )


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"scale": (1.5, 0.8)},
            r"scale = \(1.5, 0.8\): expected two numbers above 0, the smaller first",
        ),
        ({"dice": -1.0}, "dice = -1.0"),
    ],
)
def test_bad_ingredients(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)
