"""The cost chapter: what is measured, the record and how it is read, and what follows from it."""

import json

import pytest
import torch
from torch import nn

from lib.files import write_json
from lib.machine import Machine
from lib.models import VARIANTS, multiply_adds
from lib.studies.cost import (
    BARE,
    COST,
    OPTIMISER,
    OWN,
    PARTS,
    Settings,
    Traffic,
    measure,
    moved_bytes,
    noise_split,
    side_by_side,
)
from lib.studies.textbook import Padded, installed, peer, textbook
from report.evidence import closed_forms
from report.figures import cost

CPU = Machine(torch.device("cpu"), bfloat16=False)
TINY = Settings("scenes", (32, 48), 4, 2, 0.001, 2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("cost")
    return out, measure(TINY, out)


def test_the_record_is_complete_and_only_read_afterwards(measured, monkeypatch):
    out, record = measured
    assert set(PARTS) < record.keys() and record["device"].startswith("CPU")
    assert [row["variant"] for row in record["networks"]] == list(VARIANTS)
    assert all(len(row["seconds"]) == TINY.repeats for row in record["networks"])
    assert {OWN, BARE, "textbook, float32"} <= record["loops"]["seconds"].keys()
    monkeypatch.setattr("lib.studies.cost.PARTS", dict.fromkeys(PARTS))
    assert measure(TINY, out) == json.loads((out / COST).read_text()) == record
    with pytest.raises(ValueError, match="holds measurements with other settings.*to measure anew"):
        measure(Settings("scenes", (32, 48), 8, 2, 0.001, 2), out)


def test_an_interrupted_measurement_is_taken_up_again(measured, tmp_path, monkeypatch):
    record = {name: value for name, value in measured[1].items() if name != "loops"}
    (tmp_path / COST).parent.mkdir()
    monkeypatch.setitem(PARTS, "loops", lambda settings, machine: {"images": 1})
    (tmp_path / COST).write_text(json.dumps(record | {"device": "NVIDIA"}))
    with pytest.raises(ValueError, match="begun on NVIDIA, and this is CPU.*; go on there"):
        measure(TINY, tmp_path)
    (tmp_path / COST).write_text(json.dumps(record))
    again = measure(TINY, tmp_path)
    assert again["loops"] == {"images": 1} and again["networks"] == record["networks"]


def test_it_goes_on_with_the_threads_that_it_was_begun_with(measured, tmp_path, monkeypatch):
    record = {name: value for name, value in measured[1].items() if name != "loops"}
    monkeypatch.setitem(PARTS, "loops", lambda *_: {"threads": torch.get_num_threads()})
    device = record["device"].replace("CPU, 1 thread", "CPU, 2 threads")
    write_json(tmp_path / COST, record | {"device": device})
    try:
        again = measure(TINY, tmp_path)
    finally:
        torch.set_num_threads(1)
    assert again["loops"] == {"threads": 2} and again["device"] == device != record["device"]


def test_sizes_are_those_of_the_networks(measured):
    for row in measured[1]["networks"]:
        forms = closed_forms.total_cost(row["variant"], 4, 13, (32, 48))
        assert row["arithmetic"] == 3 * forms.multiply_adds
        assert row["parameters"] == forms.parameters


def test_traffic_by_hand():
    """What each operation reads and writes beside convolutions."""
    x = torch.zeros(2, 3, 8, 8, device="meta")
    whole = x.nbytes
    with Traffic() as traffic:
        torch.relu(x)  # joins the pass of its only operand
        assert traffic.bytes == 0
        x + x  # reads one more
        assert traffic.bytes == whole
        torch.cat([x, x], 1)  # reads both, writes as much
        assert traffic.bytes == 5 * whole
        x.view(2, -1)
        torch.conv2d(x, torch.zeros(3, 3, 1, 1, device="meta"))
        assert traffic.bytes == 5 * whole + 36  # the weights were written


def test_moved_bytes_grow_with_the_batch_and_halve_with_the_precision():
    def moved(batch: int, short: bool) -> int:
        return moved_bytes(wide.model("unet"), batch, (32, 48), 13, short)

    wide = Settings("scenes", (32, 48), 32, 2, 0.001, 2)
    parameters = sum(p.numel() for p in wide.model("unet").parameters())
    maps = moved(4, False) - moved(2, False)
    assert moved(6, False) - moved(4, False) == maps > 0
    assert moved(2, False) - maps == pytest.approx(OPTIMISER * parameters, rel=0.05)
    assert 0.5 < (moved(4, True) - moved(2, True)) / maps < 0.6, "the loss is in float32"


def test_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    taken = side_by_side(calls, CPU, Settings("scenes", (16, 16), 1, 1, 1e-9, 3))
    assert "".join(order[-6:]) == "ababab"
    assert [len(seconds) for seconds in taken.values()] == [3, 3]


def test_the_textbook_loop_learns():
    data = noise_split(4, (32, 32), 3)
    data.targets[:] = 1
    torch.manual_seed(0)
    loop = textbook(nn.Conv2d(3, 3, 1), data, 2, CPU.device, mixed=False, rate=0.1)
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
    wanted = closed_forms.total_cost("unet", 64, 13, (64, 64)).multiply_adds
    network = peer(name, 13, (64, 64), wanted)
    assert multiply_adds(network, (64, 64)) == pytest.approx(wanted, rel=0.25)


def _record(**changes) -> dict:
    """A step of 1e9 multiply-adds at 1e9 a second, and of 3e9 bytes at 6e9 a second, takes 2 s."""
    row = {
        "base_channels": 64,
        "classes": 11,
        "size": [64, 96],
        "batch": 2,
        "parameters": 5_000_000,
        "arithmetic": 500_000_000,
        "bytes": 3_000_000_000,
        "seconds": [2.0, 2.0],
    }
    loops = {
        OWN: [1.0, 1.0],
        BARE: [0.97, 0.98],
        "textbook, float32": [4.0, 6.0],
        "BasicUNet": [1.0, 1.2],
    }
    return {
        "device": "NVIDIA",
        "precision": "bfloat16",
        "versions": {"torch": "2"},
        "settings": {"image_size": [64, 96], "base_channels": 64, "batch_size": 2, "repeats": 2},
        "limit": {"side": 1000, "seconds": [1.0, 1.0]},
        "bandwidth": {"bytes": 12_000_000_000, "seconds": [2.0]},
        "networks": [row | {"variant": variant} for variant in VARIANTS],
        "loops": {
            "images": 32,
            "seconds": loops,
            "installed": {"BasicUNet": "monai 1"},
            "arithmetic": {"textbook, float32": 10**9, "BasicUNet": 5 * 10**8},
        },
    } | changes


def test_the_limit_is_arithmetic_and_bytes():
    table = cost.networks(_record()).content
    assert table["Limit (ms)"].tolist() == pytest.approx([1500.0] * 4)
    assert table["Share of the limit (%)"].tolist() == pytest.approx([75.0] * 4)
    assert table["Moved a step (GB)"].iloc[0] == 3 and table["Parameters (M)"].iloc[0] == 5


def test_the_goal_is_judged_on_a_gpu_alone():
    assert cost.limit_text(_record()).endswith("it is not reached.")
    fast = _record()
    for row in fast["networks"]:
        row["seconds"] = [1.6]
    assert cost.limit_text(fast).startswith("The networks reach 93.8\xa0% to 93.8\xa0%")
    assert cost.limit_text(fast).endswith("it is reached.")
    assert cost.limit_text(fast | {"device": "CPU, 1 thread"}).endswith(
        "this record was not made on one."
    )


def test_loops_are_compared_at_equal_arithmetic():
    table = cost.loops(_record()).content.set_index("Loop")
    assert table["Ours is faster by"].tolist() == [
        "–",
        "5.00 (4.00 to 6.00)",
        "2.20 (2.00 to 2.40)",
    ]
    assert table["Images / s"].iloc[0] == 32 and table.index[2] == "BasicUNet (monai 1)"
    assert "takes 2.6\xa0% longer" in cost.loops_text(_record())


def test_every_sentence_and_table_can_be_made(measured):
    for record in (measured[1], _record()):
        text = cost.measured_on(record) + cost.limit_text(record) + cost.loops_text(record)
        assert record["device"] in text and "nan" not in text
        assert len(cost.networks(record).content) == 4
        assert len(cost.loops(record).content) >= 2
