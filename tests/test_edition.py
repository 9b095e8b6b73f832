"""The edition of the training: it changes with the arithmetic.

Results of another one are not taken for this one's.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.data import load_split
from lib.files import read_state, write_json, write_state
from lib.machine import Machine
from lib.models import build_model
from lib.records import ANY_EDITION, EDITION, RECORD, WEIGHTS, load_runs, run_folder
from lib.studies import load_model
from lib.train import CHECKPOINT, Trainer, fit

# Made by `_golden` with edition 2. When this test fails the training computes something else than
# it did: if that is what you want, add one to `lib.records.EDITION` and put the new numbers here,
# or mend the training. Processors round differently: the first steps of AdamW move nearly every
# weight by the same amount all the same, and only a weight whose gradient is next to nothing may go
# the other way.
SAMPLES, SAME, ALIKE = 24, 3e-7, 0.8
GOLDEN = {
    "unet": (
        [2.7764192, 2.7501721],
        [
            -0.0035149,
            0.0323250,
            0.0158033,
            -0.0487922,
            0.0527098,
            -0.0515342,
            0.0214497,
            0.0020734,
            -0.0073776,
            -0.0330483,
            -0.0343127,
            -0.0225455,
            -0.0395325,
            0.0319810,
            0.0920384,
            -0.0615770,
            -0.0779294,
            0.0273055,
            0.0189745,
            -0.0011982,
            -0.0436652,
            0.0324415,
            -0.0549166,
            0.2860903,
        ],
    ),
    "unet-noskip": (
        [2.6415257, 2.6077487],
        [
            0.0006332,
            -0.0198865,
            0.0272970,
            -0.0213533,
            -0.0175009,
            -0.0419659,
            0.0069332,
            0.0205649,
            -0.0204410,
            -0.0149663,
            -0.0201293,
            0.0129547,
            -0.0006571,
            -0.0286662,
            -0.0369204,
            0.0373481,
            -0.0341567,
            -0.0514078,
            0.0020740,
            -0.0652581,
            0.0226006,
            0.0081319,
            -0.0237755,
            0.1554413,
        ],
    ),
    "unet-residual": (
        [2.585783, 2.5688941],
        [
            0.0006332,
            0.0056059,
            -0.0446385,
            0.0070674,
            0.0250186,
            0.0527013,
            0.0188127,
            0.0381138,
            -0.0035352,
            -0.0399257,
            -0.0363340,
            0.0133112,
            0.0385032,
            -0.0296623,
            0.1224223,
            0.0314718,
            -0.0248421,
            -0.0602667,
            -0.0370822,
            -0.0156908,
            -0.0179891,
            0.0018563,
            -0.0449945,
            0.1956204,
        ],
    ),
    "unet-gated-attention": (
        [2.68559, 2.6619987],
        [
            0.0006332,
            0.0027464,
            -0.0465030,
            -0.0442430,
            -0.0051379,
            -0.0360676,
            0.0476587,
            -0.0312398,
            -0.0221967,
            0.0036491,
            -0.0134492,
            -0.0101332,
            0.0095649,
            -0.0067835,
            -0.0761650,
            0.0569550,
            -0.0409532,
            0.0391228,
            0.0779850,
            -0.0429450,
            -0.0120088,
            -0.0346310,
            0.0238087,
            -0.2399079,
        ],
    ),
}


def _golden(tiny, variant: str) -> tuple[list[float], list[float]]:
    """Two steps in float32: the loss of each, and some weights after them.

    The weights are evenly spaced over the whole network.
    """
    config, machine = (
        tiny(variant=variant, epochs=2, batch_size=8, dice=1.0),
        Machine(torch.device("cpu"), bfloat16=False),
    )
    trainer = Trainer(
        config, Path("/nowhere"), machine, load_split(config, "train"), load_split(config, "val")
    )
    losses = [trainer._epoch(epoch) for epoch in (1, 2)]
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    chosen = np.linspace(0, len(weights) - 1, SAMPLES).round().astype(int)
    return losses, weights[chosen].tolist()


def _is_golden(tiny, variant: str) -> bool:
    losses, weights = _golden(tiny, variant)
    wanted_losses, wanted_weights = GOLDEN[variant]
    same = np.abs(np.subtract(weights, wanted_weights)) < SAME
    return np.allclose(losses, wanted_losses, rtol=1e-5) and same.mean() >= ALIKE


@pytest.mark.parametrize("variant", GOLDEN)
def test_the_same_edition_computes_the_same(tiny, variant):
    assert _is_golden(tiny, variant)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.0031},
        {"weight_decay": 0.02},
        {"class_balance": 0.03},
        {"dice": 0.9},
        {"scale": (0.8, 1.6)},
        {"seed": 1},
    ],
)
def test_what_moves_the_weights_or_the_loss_moves_the_golden_numbers(tiny, change):
    assert not _is_golden(lambda **settings: tiny(**settings | change), "unet")


def test_a_record_of_another_edition_is_refused_unless_documents_alone_are_made(
    tiny, tmp_path, monkeypatch
):
    run = fit(tiny(), tmp_path)
    record = json.loads((run.folder / RECORD).read_text())
    del record["edition"]
    write_json(run.folder / RECORD, record | {"best_epoch": 2})
    with pytest.raises(
        ValueError, match=f"begun by edition 1 of the training, and this is edition {EDITION}"
    ):
        fit(tiny(), tmp_path)
    monkeypatch.setenv(ANY_EDITION, "1")
    old = fit(tiny(), tmp_path)
    assert old.edition == 1


def test_a_checkpoint_of_another_edition_is_not_continued(tiny, tmp_path, monkeypatch):
    epoch = Trainer._epoch

    def stopped(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_epoch", stopped)
        fit(tiny(), tmp_path)
    last = run_folder(tmp_path, "unet", 0) / CHECKPOINT
    write_state(last, read_state(last) | {"edition": EDITION + 1})
    with pytest.raises(ValueError, match=f"begun by edition {EDITION + 1} of the training"):
        fit(tiny(), tmp_path)


def test_every_test_image_has_its_loss_its_drive_and_its_frame(tiny, tmp_path, camvid):
    run = fit(tiny(dataset="camvid", image_size=None), tmp_path / "out", camvid)
    assert run.frames == [("frame", 0), ("frame", 1), ("frame", 2)] and len(run.image_losses) == 3
    nats, weight = run._confusions["loss"].T
    assert run.record["test_loss"] == pytest.approx(nats.sum() / weight.sum(), rel=1e-12)
    drawn = fit(tiny(), tmp_path / "drawn")
    assert len({drive for drive, _ in drawn.frames}) == 3, (
        "drawn scenes do not depend on each other"
    )


def test_a_network_without_skips_stays_channels_last_and_joins_nothing():
    model = build_model("unet-noskip", base_channels=4).to(memory_format=torch.channels_last).eval()
    seen = []
    for block in model.decoder:
        block.register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    model(torch.rand(2, 3, 32, 48).contiguous(memory_format=torch.channels_last))
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen) and len(seen) == 4


def test_the_wider_network_of_the_former_rule_is_read_and_told_from_today_s(tiny, tmp_path):
    config = tiny(variant="unet-noskip-wide", epochs=1, base_channels=16)
    run = fit(config, tmp_path)
    assert run.edition == 3
    record = json.loads((run.folder / RECORD).read_text())
    write_json(run.folder / RECORD, record | {"edition": 2})
    (former,) = load_runs(tmp_path)
    assert former.edition == 2 and former.miou == run.miou
    with pytest.raises(
        ValueError, match="begun by edition 2 of the training, and this is edition 3"
    ):
        fit(config, tmp_path)
    state = read_state(run.folder / WEIGHTS)
    write_state(
        run.folder / WEIGHTS,
        {name: tensor[..., :-1] for name, tensor in state.items() if tensor.ndim},
    )
    with pytest.raises(
        ValueError, match="weights.pt: the weights of another network than unet-noskip-wide with 16"
    ):
        load_model(run.folder, run.variant, 16, 13)
