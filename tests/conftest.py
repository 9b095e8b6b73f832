"""Small data and runs that several test files share."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib import train
from lib.data import SPLITS
from lib.datasets.camvid import FOLDERS
from lib.files import locked
from lib.machine import Machine
from lib.train import TrainConfig, fit
from report.__main__ import main
from report.pdf import find_browser
from tests.pages import browser

# The same sums in the same order, whatever else the machine does; in the processes that tests
# start as well.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

TINY = TrainConfig(
    variant="unet",
    seed=0,
    dataset="scenes",
    image_size=(32, 48),
    crop_size=None,
    train_images=8,
    val_images=3,
    test_images=3,
    base_channels=4,
    epochs=3,
    batch_size=4,
    learning_rate=0.003,
    weight_decay=0.01,
    class_balance=0.02,
    validate_every=2,
)


CPU = Machine(torch.device("cpu"), bfloat16=False)  # where the same training gives the same bits


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setattr(Machine, "detect", classmethod(lambda cls: CPU))


@pytest.fixture(autouse=True, scope="session")
def saved_after_every_epoch():
    """However short an epoch is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "SAVE_EVERY", 0)
        yield


@pytest.fixture
def tiny():
    """A configuration that trains in a second, with what the test changes."""
    return lambda **changes: replace(TINY, **changes)


@pytest.fixture
def camvid(tmp_path) -> Path:
    """A made-up data set in CamVid's layout: three images in each split, image i of class i.

    Each has 24 x 32 pixels.
    """
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


OWN = ("Sky", "Tree", "Traffic sign")
OWN_COLORS = ((70, 130, 180), (107, 142, 35), (220, 220, 0), (250, 170, 30), (0, 0, 0))


def make_own(
    root: Path,
    names: tuple[str, ...] = OWN,
    counts: tuple[int, ...] = (4, 2, 2),
    size=(32, 48),
    prefix: str = "",
) -> Path:
    """A user's own images, drawn at random.

    Labels of indices, of a palette and in colours; JPEG, PNG and WebP images.
    """
    rng = np.random.default_rng(1)
    for split, count, suffix in zip(SPLITS, counts, ("jpg", "png", "webp")):
        for part in ("images", "labels"):
            (root / split / part).mkdir(parents=True)
        for index in range(count):
            blocks = rng.integers(0, len(names), (4, 4)).astype(np.uint8)
            target = np.kron(blocks, np.ones((size[0] // 4, size[1] // 4), np.uint8))
            target[:2] = 255
            target[4, : len(names)] = range(len(names))
            save_label(root / split / f"labels/{prefix}{split} {index}.png", target, split)
            photo = 60 * (target[..., None] % 4) + rng.integers(0, 60, (*size, 3))
            Image.fromarray(photo.astype(np.uint8)).save(
                root / split / f"images/{prefix}{split} {index}.{suffix}"
            )
    write_classes(root, [{"name": name, "color": color} for name, color in zip(names, OWN_COLORS)])
    return root


def save_label(path: Path, target: np.ndarray, split: str = "train") -> None:
    """uint8 (H, W) as indices (train), with a palette (val) or in colours, void black (test)."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(OWN_COLORS)] = OWN_COLORS
    image = Image.fromarray(palette[target] if split == "test" else target)
    if split == "val":
        image.putpalette(palette.tobytes())
    image.save(path)


def write_classes(root: Path, content: object) -> None:
    (root / "classes.json").write_text(json.dumps(content))


@pytest.fixture
def own(tmp_path) -> Path:
    """`make_own` in a folder of its own."""
    return make_own(tmp_path / "own")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Two networks that know nothing, on nine test images."""
    out = tmp_path_factory.mktemp("trained")
    for variant in ("unet", "unet-noskip"):
        fit(replace(TINY, variant=variant, epochs=1, test_images=9), out)
    return out


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """The whole report under `smoke`, once for all workers of pytest-xdist."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    with locked(shared, "builds the report of the tests", patience=600):
        if not (shared / "smoke" / "report.html").exists():
            assert main(["--profile", "smoke", "--out", str(shared / "smoke")]) == (
                0 if find_browser() else 1
            )
    return shared / "smoke"


@pytest.fixture
def visit():
    """Open a page in a browser.

    `visit(path, width=390, theme="dark")` returns playwright's page.
    """
    with browser() as program:

        def open_page(path, width=1440, theme="light", before=None, **options):
            size = {"width": width, "height": 900}
            page = program.new_page(
                viewport=size, is_mobile=width < 500, color_scheme=theme, **options
            )
            if before:
                before(page)
            page.goto(path.resolve().as_uri())
            page.evaluate("document.fonts.ready.then(() => true)")
            return page

        yield open_page


def pytest_collection_modifyitems(items):
    """What reads that report comes first: one worker builds it while the others do the rest."""
    items.sort(key=lambda item: "report" not in item.fixturenames)
