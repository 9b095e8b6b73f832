"""A trained U-Net in eight bits a weight."""

import numpy as np
import pytest
import torch

from lib import ROOT
from lib.files import read_arrays, write_state
from lib.metrics import mean_iou
from lib.models import build_model
from lib.records import WEIGHTS, Run, load_runs
from lib.studies.quantized import folded, largest_weights, layers, main, quantise, restore

PUBLISHED = ROOT / "report" / "published" / "camvid"
NETWORK = "live/unet.npz"


@pytest.fixture
def run(tmp_path):
    """A U-Net whose normalisation does something in every layer, as a run with weights."""
    torch.manual_seed(0)
    model = build_model("unet", num_classes=5, base_channels=4).eval()
    for _, normalisation in layers(model):
        if normalisation is not None:
            for values in (normalisation.running_mean, normalisation.bias.data):
                values.normal_(std=0.3)
            for values in (normalisation.running_var, normalisation.weight.data):
                values.uniform_(0.5, 2)
    write_state(tmp_path / WEIGHTS, model.state_dict())
    classes = [{"name": name, "color": [0, 0, 0]} for name in "abcde"]
    settings = {"variant": "unet", "seed": 3, "config": {"base_channels": 4}}
    return Run(tmp_path, settings | {"dataset": {"classes": classes}})


@torch.no_grad()
def test_every_weight_is_within_half_a_step_of_the_folded_one(run):
    model, stored = quantise(run)
    for before, after in zip(layers(model), layers(restore(stored)), strict=True):
        weights, biases = folded(*before)
        again, biases_again = folded(*after)
        step = largest_weights(before[0], weights).max() / 127
        assert (weights - again).abs().max() <= 0.501 * step
        assert torch.allclose(largest_weights(before[0], weights), largest_weights(after[0], again))
        assert torch.allclose(biases, biases_again)


@torch.inference_mode()
def test_the_restored_network_answers_as_the_trained_one_does(run):
    model, stored = quantise(run)
    image = torch.rand(1, 3, 32, 48)
    before, after = model(image), restore(stored)(image)
    assert (before - after).abs().max() < 0.05 * before.abs().max()
    assert (before.argmax(1) == after.argmax(1)).float().mean() > 0.95


def test_another_network_is_refused(run):
    other = Run(run.folder, run.record | {"variant": "unet-residual"})
    with pytest.raises(ValueError, match="only the network 'unet' can be quantised"):
        quantise(other)


def test_the_command_writes_both_scores(trained, tmp_path, capsys):
    run = next(run for run in load_runs(trained) if run.variant == "unet")
    assert main([str(run.folder), "--out", str(tmp_path / "unet.npz")]) == 0
    assert "test mIoU" in capsys.readouterr().out
    content = read_arrays(tmp_path / "unet.npz")
    before, after = content["confusions"]
    assert (before == run.confusion).all() and after.sum() == before.sum()
    assert content["weights"].dtype == np.int8 and content["seed"] == run.seed
    weights = sum(convolution.weight.numel() for convolution, _ in layers(restore(content)))
    assert len(content["weights"]) == weights
    assert len(content["scales"]) == len(content["biases"])


def test_a_folder_without_a_run_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path), "--out", str(tmp_path / "unet.npz")]) == 1
    assert "record.json" in capsys.readouterr().err and not (tmp_path / "unet.npz").exists()


def test_eight_bits_cost_the_published_network_at_most_three_tenths_of_a_point():
    content = read_arrays(PUBLISHED / NETWORK)
    run = Run.read(PUBLISHED / "runs" / "unet" / f"seed-{content['seed']}")
    before, after = content["confusions"]
    moved = np.abs(before - run.confusion).sum() / 2
    assert moved <= 0.001 * run.confusion.sum()  # by the rounding of another machine
    assert mean_iou(before) - mean_iou(after) <= 0.003
    assert (PUBLISHED / NETWORK).stat().st_size < 2_000_000
    restore(content)
