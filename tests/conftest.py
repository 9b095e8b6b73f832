"""Small data and runs that several test files share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib.camvid import FOLDERS
from lib.pdf import find_browser
from lib.report import main
from lib.training import TrainConfig, fit

torch.set_num_threads(1)  # the same sums in the same order, whatever else the machine does

TINY = TrainConfig(
    variant="unet", seed=0, dataset="scenes", image_size=(32, 48), crop_size=None, train_images=8, val_images=3,
    test_images=3, base_channels=4, epochs=3, batch_size=4, learning_rate=0.003, weight_decay=0.01, class_balance=0.02,
    validate_every=2,
)


@pytest.fixture
def tiny():
    """A configuration that trains in a second, with what the test changes."""
    return lambda **changes: replace(TINY, **changes)


@pytest.fixture
def camvid(tmp_path) -> Path:
    """A made-up data set in CamVid's layout: three images of 24 x 32 pixels in each split, image i of class i."""
    for part in FOLDERS:
        (tmp_path / "CamVid" / part).mkdir(parents=True)
        for index in range(3):
            path = tmp_path / "CamVid" / part / f"frame_{index}.png"
            if part.endswith("annot"):
                label = np.full((24, 32), index, np.uint8)
                label[:, :4] = 11  # void
                Image.fromarray(label).save(path)
            else:
                Image.fromarray(np.full((24, 32, 3), 40 * index, np.uint8)).save(path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Two networks that know nothing, on nine test images."""
    out = tmp_path_factory.mktemp("trained")
    for variant in ("unet", "unet-noskip"):
        fit(replace(TINY, variant=variant, epochs=1, test_images=9), out)
    return out


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """The whole report under `smoke`, once."""
    out = tmp_path_factory.mktemp("smoke")
    assert main(["--profile", "smoke", "--out", str(out)]) == (0 if find_browser() else 1)
    return out
