"""Profiles and `-p NAME VALUE`: one value for one text, in every command and every file."""

import pytest
import yaml

from lib import ROOT, train
from lib.config import TrainConfig, UsageError, parse_value, read_profile
from report import __main__ as report
from report.parameters import check_parameters

PROFILES = ROOT / "notebooks" / "profiles"
TEXTS = {
    "3": 3, "1e-3": 0.001, "1E3": 1000.0, "2.5e2": 250.0, "-1e-3": -0.001, "[3, 4]": [3, 4],
    "true": True, "False": False, "null": None, "None": None, "camvid": "camvid", "yes": "yes",
    "[]": [], "[unet-noskip-wide, 2]": ["unet-noskip-wide", 2], "~/images": "~/images",
    "{[]: 1}": "{[]: 1}",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_one_value(text):
    value = parse_value(text)
    assert value == TEXTS[text] and type(value) is type(TEXTS[text])


def _of_a_training(monkeypatch, *arguments: str) -> dict:
    read = []
    monkeypatch.setattr(train, "train", lambda settings, out: read.append(settings))
    assert train.main(["--profile", "smoke", "--out", "x", *arguments]) == 0
    return read[0]


@pytest.mark.parametrize(
    "name, text",
    [
        ("learning_rate", "1e-3"),
        ("data_root", "yes"),
        ("crop_size", "None"),
        ("seeds", "[1, 2]"),
    ],
)
def test_every_command_reads_the_same_value(tmp_path, monkeypatch, name, text):
    options = report.command_line().parse_args(["--out", str(tmp_path), "-p", name, text])
    expected = report._profile(options, tmp_path)[1][name]
    value = _of_a_training(monkeypatch, "-p", name, text)[name]
    assert value == expected == TEXTS.get(text, expected) and type(value) is type(expected)


def test_a_profile_s_numbers_are_numbers(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "learning_rate: 1e-3\nweight_decay: 1.5E2\nscale: [.5e0, +2e+0]\n"
        "epochs: 3\ndice: 0.5\ndataset: 1e-3x\n"
    )
    found = read_profile("own", tmp_path)
    assert found == {
        "learning_rate": 0.001,
        "weight_decay": 150.0,
        "scale": [0.5, 2.0],
        "epochs": 3,
        "dice": 0.5,
        "dataset": "1e-3x",
    }
    assert all(type(found[name]) is float for name in ("learning_rate", "weight_decay", "dice"))
    assert yaml.safe_load("1e-3") == "1e-3", "PyYAML's own reader is left alone"


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_papermill_reads_the_project_s_profiles_alike(path):
    """`papermill -f` follows YAML 1.1: a number written as 1e-3 would be a text there."""
    assert read_profile(path.stem).items() >= (yaml.safe_load(path.read_text()) or {}).items()


def test_what_is_wrong_with_a_profile_is_said(tmp_path):
    with pytest.raises(UsageError, match="--profile none: no such profile; there are none in"):
        read_profile("none", tmp_path)
    (tmp_path / "list.yaml").write_text("[1, 2]")
    (tmp_path / "broken.yaml").write_text("a: [1, 2")
    with pytest.raises(UsageError, match="list.yaml: expected a mapping"):
        read_profile("list", tmp_path)
    with pytest.raises(UsageError, match="broken.yaml: not readable as YAML"):
        read_profile("broken", tmp_path)


CELL = """variant: str = "unet"  # a network
epochs: int = 8
image_size: list = [96, 128]  # None: as it is
study_images: int = 40
settings: dict = {}  # others
out: str = "build/quick\""""


def _in_a_notebook(**changes) -> TrainConfig:
    """What a notebook's first cell makes of its parameters and of those that papermill sets."""
    injected = "\n".join(
        ["# Parameters", *(f"{name} = {value!r}" for name, value in changes.items())]
    )
    namespace = {"In": ["", CELL, injected, "import sys; config = check_parameters(globals())"]}
    exec(CELL, namespace)
    return check_parameters(namespace | changes)


def test_a_notebook_s_parameters_are_a_configuration():
    assert _in_a_notebook() == TrainConfig()
    changed = _in_a_notebook(epochs=3, image_size=None, settings={"dice": 1.0, "scale": [1, 2]})
    assert changed == TrainConfig(epochs=3, image_size=None, dice=1.0, scale=(1.0, 2.0))


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"epoch": 1}, "epoch: no such parameter; did you mean epochs?"),
        ({"epochs": "ten"}, "epochs = 'ten': expected a whole number above 0"),
        ({"epochs": 0}, "epochs = 0: expected a whole number above 0"),
        ({"epochs": True}, "epochs = True: expected a whole number above 0"),
        (
            {"image_size": 96},
            "image_size = 96: expected height and width in pixels such as [96, 128], or None",
        ),
        (
            {"variant": "vnet"},
            "variant = 'vnet': unknown network; choose one of unet, unet-noskip, ",
        ),
        ({"study_images": "all"}, "study_images = 'all': expected a whole number"),
        ({"settings": {"dise": 1}}, "settings: dise: no such parameter; did you mean dice?"),
        ({"settings": {"dice": -1}}, "dice = -1: expected a number 0 or more"),
        (
            {"settings": {"dataset": "kitti"}},
            "dataset = 'kitti': unknown data set; choose one of scenes, camvid",
        ),
    ],
)
def test_a_notebook_s_wrong_parameter_is_one_line(changes, line):
    with pytest.raises(UsageError) as error:
        _in_a_notebook(**changes)
    (shown,) = error.value._render_traceback_()
    assert shown.startswith(f"error: {line}")
