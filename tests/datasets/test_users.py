"""What people bring, from their files to labels for new images, by the commands of the README."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_classes
from PIL import Image

from lib import ROOT, models, train
from lib.datasets import split
from lib.predict.__main__ import main as predict
from lib.records import Run
from report import __main__ as report
from report.evidence.closed_forms import reach

README = (ROOT / "README.md").read_text()
SECTION = README.split("## Your own images\n")[1].split("\n## ")[0]
COMMANDS = re.search(r"```sh\n(.*?)```", SECTION, re.DOTALL)[1].splitlines()
MAINS = {
    "lib.datasets.split": split.main,
    "report": report.main,
    "lib.train": train.main,
    "lib.predict": predict,
}
TINY = [
    "-p",
    "image_size",
    "[32, 32]",
    "-p",
    "epochs",
    "12",
    "-p",
    "base_channels",
    "4",
    "-p",
    "batch_size",
    "4",
    "-p",
    "learning_rate",
    "0.01",
]
SQUARES = [{"name": "Ground", "color": [0, 0, 0]}, {"name": "Square", "color": [255, 255, 255]}]


def run(command: str, **places) -> int:
    """Run a command of the README with these places for its words in capitals and build/."""
    python, _, module, *words = shlex.split(command)
    assert python == "python"
    words = [places.get(word, word) for word in words]
    words = [re.sub("^build/", f"{places['BUILD']}/", word) for word in words]
    return MAINS[module]([*words, *(TINY if module == "lib.train" else [])])


def square(number: int, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Return a grey image with a bright square, uint8 (H, W), and its mask of 0 and 1."""
    random = np.random.default_rng(number)
    image = random.integers(20, 80, (side, side), np.uint8)
    mask = np.zeros((side, side), np.uint8)
    top, left = random.integers(2, side - 24, 2)
    mask[top : top + 20, left : left + 20] = 1
    image[mask == 1] += 150
    return image, mask


def put(folder: Path, name: str, pixels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


def masks_of_0_and_255(root: Path) -> list:
    """Colour photographs of twelve cars from two sides; masks in files of another ending."""
    for number in range(24):
        image, mask = square(number)
        put(root / "images", f"car{number // 2:02}_{number % 2}.jpg", np.stack([image] * 3, -1))
        put(root / "labels", f"car{number // 2:02}_{number % 2}_mask.png", 255 * mask)
    return [SQUARES[0], SQUARES[1] | {"value": 255}]


def slices_of_one_channel(root: Path) -> dict:
    """Slices of six patients in one channel, labels of indices."""
    for number in range(24):
        image, mask = square(number)
        put(root / "images", f"patient-{number // 4}-slice-{number % 4}.png", image)
        put(root / "labels", f"patient-{number // 4}-slice-{number % 4}.png", mask)
    return {"name": "Lesions", "about": "Made by a test.", "void": None, "classes": SQUARES}


def pairs_without_splits(root: Path) -> list:
    """Images and labels in colours, with Cityscapes' endings and numbers alone for names."""
    for number in range(24):
        image, mask = square(number)
        put(root / "images", f"{number:03}_leftImg8bit.png", np.stack([image] * 3, -1))
        colors = np.array([[9, 90, 9], [90, 9, 9]], np.uint8)
        put(root / "labels", f"{number:03}_gtFine_color.png", colors[mask])
    return [SQUARES[0] | {"color": [9, 90, 9]}, SQUARES[1] | {"color": [90, 9, 9]}]


@pytest.mark.parametrize(
    "made, groups",
    [
        (masks_of_0_and_255, 12),
        (slices_of_one_channel, 6),
        (pairs_without_splits, 24),
    ],
)
def test_from_files_to_labels_of_new_images(made, groups, tmp_path, capsys, cpu):
    classes = made(tmp_path)
    places = {"IMAGES": str(tmp_path / "images"), "LABELS": str(tmp_path / "labels"),
              "DIR": str(tmp_path / "own"), "BUILD": str(tmp_path / "build"),
              "PHOTO": str(tmp_path / "new")}  # fmt: skip
    for number in range(100, 103):
        put(tmp_path / "new", f"{number}.png", square(number)[0])
    assert [run(COMMANDS[0], **places)] == [0]
    write_classes(tmp_path / "own", classes)
    assert [run(command, **places) for command in COMMANDS[1:]] == [0, 0, 0], capsys.readouterr()
    record = json.loads((tmp_path / "own/split.json").read_text())
    assert sum(map(len, record["splits"].values())) == groups
    trained = Run.read(tmp_path / "build/own/runs/unet/seed-0")
    assert trained.classes.names == ("Ground", "Square") and trained.miou > 0.8
    assert sum(trained.record["dataset"]["counts"].values()) == 24
    for number in range(100, 103):
        labels = np.array(Image.open(tmp_path / f"build/labels/{number}.png"))
        assert np.mean(labels == square(number)[1]) > 0.9


def test_the_readme_s_part_fits_on_one_screen():
    assert len(SECTION.splitlines()) <= 45 and max(map(len, SECTION.splitlines())) <= 130


def test_binary_masks_without_a_value_name_the_cause_and_the_remedy(tmp_path, capsys):
    masks_of_0_and_255(tmp_path)
    places = {"IMAGES": str(tmp_path / "images"), "LABELS": str(tmp_path / "labels"),
              "DIR": str(tmp_path / "own"), "BUILD": str(tmp_path / "build")}  # fmt: skip
    assert run(COMMANDS[0], **places) == 0
    write_classes(tmp_path / "own", SQUARES)
    assert run(COMMANDS[1], **places) == run(COMMANDS[2], **places) == 1
    printed = capsys.readouterr()
    remedy = 'which is void: if they are Square, write "value": 255 into its line'
    assert (
        f"class 1, Square: no pixel in any split; 9,600 pixels have the value 255, {remedy}"
        in printed.out
    )
    assert "folder/train: class 1, Square, has no pixel in the 16 training images; " in printed.err
    assert remedy in printed.err
    write_classes(tmp_path / "own", [SQUARES[0], SQUARES[1] | {"optional": True}])
    assert run(COMMANDS[1], **places) == 0 and "worth knowing (1)" in capsys.readouterr().out


def test_the_network_of_the_readme_is_a_row_of_the_table(monkeypatch):
    monkeypatch.setattr(models, "EXTRA", dict(models.EXTRA))
    names = dict(vars(models))
    text = (ROOT / "lib" / "README.md").read_text()
    exec(re.search(r"```python\n(class .*?)```", text, re.DOTALL)[1], names)
    row = models.EXTRA["unet-dilated"]
    monkeypatch.setitem(models.NETWORKS, "unet-dilated", row)
    network = models.build_model("unet-dilated", num_classes=3, base_channels=4)
    assert network(torch.rand(1, 3, 32, 48)).shape == (1, 3, 32, 48)
    assert row.short == "dilated" and reach(row.block) == 4
