"""The norms taken during training: right, complete, and without influence."""

import numpy as np
import torch

from lib.evaluation import SAMPLES, GradientLog, blocks
from lib.models import build_model
from lib.train import fit


def test_norms_of_one_step_by_hand():
    torch.manual_seed(0)
    model = build_model("unet-residual", num_classes=3, base_channels=2)
    log, optimiser = GradientLog(model, 1), torch.optim.SGD(model.parameters(), lr=0.5)
    model(torch.rand(2, 3, 32, 32)).square().mean().backward()
    block = [model.decoder[1].residual[0], model.decoder[1].residual[3], model.decoder[1].shortcut]
    weight = torch.cat([layer.weight.detach().flatten() for layer in block])
    gradient = torch.cat([layer.weight.grad.flatten() for layer in block])
    with log.step(0):
        optimiser.step()
    found = log.arrays()
    index = found["blocks"].tolist().index("decoder 1")
    norms = [float(found[name][0, index]) for name in ("gradient", "weight", "update")]
    np.testing.assert_allclose(
        norms, [gradient.norm(), weight.norm(), 0.5 * gradient.norm()], rtol=1e-5
    )
    assert found["blocks"].tolist() == [
        *(f"encoder {n}" for n in range(5)),
        *(f"decoder {n}" for n in (3, 2, 1, 0)),
    ]
    assert all(w.ndim == 4 for weights in blocks(model).values() for w in weights)


def test_steps_are_spread_evenly_from_the_first_to_the_last():
    model = build_model("unet", base_channels=2)
    chosen = sorted(GradientLog(model, 1000).chosen)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 999, SAMPLES) and max(np.diff(chosen)) <= 44
    assert sorted(GradientLog(model, 3).chosen) == [0, 1, 2]


def test_recorded_and_without_influence_on_training(tiny, tmp_path, monkeypatch):
    run = fit(tiny(), tmp_path / "watched")
    assert run.gradients["steps"].tolist() == list(range(6))  # three epochs of two steps
    assert run.gradients["gradient"].shape == (6, 9) and (run.gradients["update"][:-1] > 0).all()
    monkeypatch.setattr("lib.evaluation.SAMPLES", 0)
    alone = fit(tiny(), tmp_path / "alone")
    states = [torch.load(r.folder / "weights.pt", weights_only=True) for r in (run, alone)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
