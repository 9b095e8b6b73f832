"""The cost chapter: what is measured, the record and how it is read, and what is computed from it."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lib.machine import Machine
from lib.models import VARIANTS
from lib.studies.cases import Settings, noise
from lib.studies.cost import PARTS, RECORD, Measurement, kept_bytes, measure, side_by_side
from lib.studies.textbook import Padded, Textbook, installed, peer
from report.evidence import closed_forms as theory, cost as cost_report

CPU = Machine(torch.device("cpu"), bfloat16=False)
TINY = Settings("scenes", (32, 48), 4, 2, (1.0, 2.0), 0.001, 2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("cost")
    return out, measure(TINY, out)


def test_the_record_is_complete_and_only_read_afterwards(measured, monkeypatch):
    out, record = measured
    assert set(PARTS) < record.keys() and record["device"].startswith("CPU")
    assert {row["of"] for row in record["sweeps"]} == {"batch", "pixels", "width", "classes"}
    assert [row["variant"] for row in record["networks"]] == list(VARIANTS)
    assert all(len(row["seconds"]) == TINY.repeats for row in record["sweeps"] + record["networks"])
    loops = record["loops"]["seconds"]
    assert {"not compiled", "channels first", "bare steps", "textbook, float32"} <= loops.keys()
    monkeypatch.setattr("lib.studies.cost.Measurement", None)
    assert measure(TINY, out) == json.loads((out / RECORD).read_text()) == record
    with pytest.raises(ValueError, match="holds measurements with other settings.*delete that file to measure anew"):
        measure(Settings("scenes", (32, 48), 8, 2, (1.0,), 0.001, 2), out)


def test_an_interrupted_measurement_is_taken_up_again(measured, tmp_path, monkeypatch):
    record = {name: value for name, value in measured[1].items() if name != "operators"}
    (tmp_path / RECORD).parent.mkdir()
    monkeypatch.setattr(Measurement, "operators", lambda self: [{"operator": "x", "microseconds": 1.0}])
    (tmp_path / RECORD).write_text(json.dumps(record | {"device": "NVIDIA"}))
    with pytest.raises(ValueError, match="begun on NVIDIA, and this is CPU.*; go on there, or delete that file"):
        measure(TINY, tmp_path)
    (tmp_path / RECORD).write_text(json.dumps(record))
    again = measure(TINY, tmp_path)
    assert again["operators"][0]["operator"] == "x" and again["sweeps"] == record["sweeps"]


def test_a_case_s_arithmetic_is_three_forward_passes():
    case = TINY.case(variant="unet-residual", batch=7)
    assert case.arithmetic() == 3 * theory.cost("unet-residual", 4, 13, (32, 48))


def test_kept_bytes_by_hand():
    x = torch.randn(10, 100)
    layer = nn.Linear(100, 50, bias=False)
    assert kept_bytes(lambda: layer(x).square().sum()) == 4 * (1000 + 500)  # the input and what is squared; once each


def test_calls_take_turns():
    order = []
    taken = side_by_side({name: (CPU, lambda name=name: order.append(name)) for name in "ab"},
                         Settings("scenes", (16, 16), 1, 1, (1,), 1e-9, 3))
    assert "".join(order[-6:]) == "ababab" and [len(seconds) for seconds in taken.values()] == [3, 3]


def test_the_textbook_loop_learns():
    data = noise(4, (32, 32), 3)
    data.targets[:] = 1
    torch.manual_seed(0)
    loop = Textbook(nn.Conv2d(3, 3, 1), data, 2, CPU.device, mixed=False)
    loop.optimiser.param_groups[0]["lr"] = 0.1
    losses = [loop() for _ in range(6)]
    assert losses[-1] < 0.5 * losses[0]


def test_padding_for_networks_that_halve_five_times():
    seen = []

    class Shape(nn.Module):
        def forward(self, image):
            seen.append(image.shape)
            return image

    image = torch.rand(1, 3, 40, 70)
    assert torch.equal(Padded(Shape())(image), image) and seen[0][-2:] == (64, 96)


@pytest.mark.parametrize("name", ["U-Net on ResNet-34", "BasicUNet"])
def test_peers_have_about_equal_arithmetic(name):
    if name not in installed():
        pytest.skip(f"the library of {name} is not installed")
    wanted = theory.cost("unet", 64, 13, (64, 64))
    network = peer(name, 13, (64, 64), wanted)
    assert theory.multiply_adds(network, (64, 64)) == pytest.approx(wanted, rel=0.25)


def _record(**changes):
    """Times that follow the arithmetic exactly: the matrix product's rate is 1e9, a step reaches half of it."""
    def row(case, of):
        seconds = case.arithmetic() * case.batch / 0.5e9
        size = case.size[0] * case.size[1]
        return {"of": of, **vars(case), "arithmetic": case.arithmetic(), "seconds": [seconds] * 2,
                "kept": size * case.base_channels * case.batch, "peak": None}

    settings = Settings("camvid", (64, 96), 64, 2, (1, 4), 1, 2)
    rows = [row(settings.case(**{key: value}), of) for of, key, values in (
        ("batch", "batch", (2, 8)), ("pixels", "size", ((64, 96), (128, 192))), ("width", "base_channels", (64, 256)),
        ("classes", "classes", (11, 44))) for value in values]
    loops = {"not compiled": [2.0, 2.0], "compiled": [1.0, 1.0], "bare steps": [0.97, 0.98], "textbook, float32": [4.0, 6.0],
             "textbook, mixed precision": [3.0, 3.2], "BasicUNet": [1.0, 1.2], "channels first": [3.0, 2.4]}
    work = int(1e9 * 0.6 * 0.975 / 32)
    return {"device": "NVIDIA", "precision": "bfloat16", "memory": 80 * 2**30, "versions": {"torch": "2"},
            "settings": vars(settings), "limit": {"side": 1000, "seconds": [1.0, 1.0]}, "sweeps": rows,
            "networks": [row(settings.case(variant=name), "") for name in VARIANTS],
            "loops": {"images": 32, "seconds": loops, "installed": {"BasicUNet": "monai 1"},
                      "arithmetic": dict.fromkeys(("textbook, float32", "textbook, mixed precision"), work) | {"BasicUNet": work // 2}},
            "images": [{"images": n, "seconds": [0.5 + 0.25 * n]} for n in (2, 4, 8)],
            "operators": [{"operator": "a", "microseconds": 3.0}, {"operator": "b", "microseconds": 1.0}]} | changes


def test_growth_is_fitted():
    record = _record()
    exponents = {name: cost_report.exponent(cost_report.sweep(record, name), "seconds") for name in ("pixels", "width", "classes")}
    assert exponents["pixels"] == pytest.approx(1) and 1.9 < exponents["width"] < 2 and exponents["classes"] < 0.05
    assert cost_report.exponent(cost_report.sweep(record, "width"), "kept") == pytest.approx(1)
    assert cost_report.images_line(record) == pytest.approx((0.5, 0.25))
    assert cost_report.sweep(record, "batch").share.tolist() == pytest.approx([0.5, 0.5])


def test_ratios_and_tables():
    record = _record()
    assert cost_report.best(record) == "compiled" and cost_report.best(_measured_eager()) == "not compiled"
    assert cost_report.ingredients_table(record).values.tolist() == [
        ["torch.compile", "2.00 (2.00 to 2.00)"], ["channels last", "1.35 (1.20 to 1.50)"]]
    rivals = cost_report.rivals_table(record).set_index("Loop")["Ours is faster by"]
    assert rivals["textbook, float32"] == "5.00 (4.00 to 6.00)" and rivals["BasicUNet (monai 1)"] == "2.20 (2.00 to 2.40)"
    assert cost_report.operators_table(record)["Share of the step"].tolist() == ["75.0\xa0%", "25.0\xa0%"]


def _measured_eager():
    record = _record()
    del record["loops"]["seconds"]["compiled"]
    return record


def test_goals_have_verdicts():
    verdicts = cost_report.goals(_record(), (1600.0, "NVIDIA"))
    assert verdicts["Verdict"].tolist() == ["reached", "reached", "reached", "reached", "not reached"]
    assert verdicts["Measured here"].tolist() == ["60.0\xa0%", "2.6\xa0% more", "3.10 times", "2.20 times", "26.7 minutes"]
    assert cost_report.goals(_record()).Verdict.iloc[-1] == "not measured"
    assert set(cost_report.goals(_record(device="CPU, 1 thread")).Verdict) == {"needs a GPU"}


def test_predictions_follow_the_rate():
    table = cost_report.predictions(_record(), (1, 8))
    work = 3 * theory.cost("unet", 64, 19, (1024, 2048))
    assert table["Images / s"].iloc[0] == pytest.approx(0.5e9 / work, rel=1e-3)
    assert table["Images / s"].iloc[1] == pytest.approx(8 * table["Images / s"].iloc[0])  # sending takes less than computing
    assert table["Cityscapes, an epoch (h)"].iloc[0] == pytest.approx(2975 * work / 0.5e9 / 3600, rel=1e-3)
    fast = _record(limit={"side": 10**6, "seconds": [1e-3]})
    for row in fast["sweeps"] + fast["networks"]:
        row["seconds"] = [seconds / 1e9 for seconds in row["seconds"]]
    assert float(np.diff(cost_report.predictions(fast, (8, 16))["Images / s"])[0]) < 0.2 * cost_report.predictions(fast)["Images / s"][0]


def test_every_sentence_and_figure_can_be_made(measured):
    for record in (measured[1], _record()):
        text = cost_report.what_was_measured(record) + cost_report.growth_text(record) + cost_report.predictions_text(record)
        assert record["device"] in text and "nan" not in text
        assert len(cost_report.networks_table(record)) == 4
    assert cost_report.protocol(measured[0]) is None
