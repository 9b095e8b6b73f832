"""The data sets on disk: layouts, splits, what labels mean; every kind of bad file, said in training and in `check`."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import OWN, OWN_COLORS, make_own, save_label, write_classes
from PIL import Image

from lib.classes import CARLA, CITYSCAPES, IGNORE, ClassTable
from lib.data import SPLITS, load_dataset
from lib.report import main
from lib.sources import LYFT_SETS, SOURCES, VAL_CITIES
from lib.training import fit


def photo(path: Path, red: int = 0, size=(16, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], (red, 7, 7)).save(path)


# Layouts

@pytest.mark.parametrize("nested", [False, True])
def test_carla_in_the_layout_of_the_challenge_is_split_by_set(tmp_path, nested):
    for index, name in enumerate(name for names in LYFT_SETS.values() for name in names):
        base = tmp_path / name / name if nested else tmp_path / name
        for frame in range(2):
            photo(base / f"CameraRGB/F-{frame}.png", 10 * index + frame)
            photo(base / f"CameraSeg/F-{frame}.png", index)  # the class is the red channel's value, green and blue are 7
    splits = {split: load_dataset("carla", tmp_path, split) for split in SPLITS}
    assert splits["train"].items == tuple(f"data{letter}-F-{frame}" for letter in "ABC" for frame in (0, 1))
    assert splits["val"].items == ("dataD-F-0", "dataD-F-1") and splits["test"].items == ("dataE-F-0", "dataE-F-1")
    assert [int(target.unique()) for target in splits["train"].targets] == [0, 0, 1, 1, 2, 2]
    assert splits["test"].classes is CARLA and splits["test"].drawn is None
    assert [int(image[0].unique()) for image in splits["test"].images] == [40, 41]
    shutil.rmtree(tmp_path / "dataD")
    assert len(load_dataset("carla", tmp_path, "train")) == 6
    with pytest.raises(FileNotFoundError, match="dataD: no dataD of CARLA here; expected CameraRGB and CameraSeg"):
        load_dataset("carla", tmp_path, "val")


@pytest.mark.parametrize("folder", ["", "dataset_256"])
def test_carla_in_the_course_s_layout_draws_its_validation_split(tmp_path, folder):
    for split, count in (("train", 20), ("test", 3)):
        for index in range(count):
            photo(tmp_path / folder / split / f"images/{index:02}.png", 10 * index)
            photo(tmp_path / folder / split / f"labels/{index:02}.png", index % 13)
    train, val, test = (load_dataset("carla", tmp_path, split) for split in SPLITS)
    assert val.drawn == {"seed": 0, "of": 20, "indices": [1, 18]} and val.items == ("01", "18")  # the same everywhere
    assert train.drawn is None and len(train) == 18 and not {*train.items} & {*val.items} and len(test) == 3
    assert [int(target.unique()) for target in val.targets] == [1, 5]
    photo(tmp_path / folder / "test/labels/02.png", 13)
    with pytest.raises(ValueError, match=r"test/labels/02\.png: label value 13 in 512 pixels; expected 0 to 12"):
        load_dataset("carla", tmp_path, "test").images  # noqa: B018


def city(root: Path, split: str, city: str, frame: int, ids: list[int]) -> None:
    name = f"{city}_000000_{frame:06}"
    photo(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", frame)
    path = root / f"gtFine/{split}/{city}/{name}_gtFine_labelIds.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(ids, np.uint8), (16, 32))).save(path)


@pytest.fixture
def cities(tmp_path) -> Path:
    """A tree as Cityscapes' archives unpack, with two pictures a city."""
    for split, names in (("train", ("aachen", *VAL_CITIES)), ("val", ("munster",))):
        for number, name in enumerate(names):
            for frame in range(2):
                city(tmp_path, split, name, 2 * number + frame, [7, 8, 11, 33, 0, 4, 29])
    return tmp_path


def test_cityscapes_has_nineteen_classes_and_a_test_split_with_labels(cities):
    train, val, test = (load_dataset("cityscapes", cities, split) for split in SPLITS)
    assert len(CITYSCAPES) == 19 and CITYSCAPES.names[:3] == ("Road", "Sidewalk", "Building")
    assert CITYSCAPES.names[-1] == "Bicycle" and CITYSCAPES.colors[-1] == (119, 11, 32)
    assert train.items == ("aachen_000000_000000", "aachen_000000_000001")
    assert test.items == ("munster_000000_000000", "munster_000000_000001")
    assert [name.split("_")[0] for name in val.items] == ["ulm", "ulm", "weimar", "weimar", "zurich", "zurich"]
    assert train.targets[0, 0, :7].tolist() == [0, 1, 2, 18, IGNORE, IGNORE, IGNORE]


@pytest.mark.parametrize("spoil, message", [
    (lambda root: shutil.rmtree(root / "gtFine"), "no Cityscapes here; expected leftImg8bit and gtFine, unpacked from"),
    (lambda root: shutil.rmtree(root / "gtFine/train"), "no train of Cityscapes here; expected leftImg8bit/train"),
    (lambda root: shutil.rmtree(root / "leftImg8bit/train/aachen"), "aachen_000000_000000_gtFine_labelIds.png: no image"),
    (lambda root: (root / "gtFine/train/aachen/aachen_000000_000001_gtFine_labelIds.png").unlink(), "1_leftImg8bit.png: no label"),
    (lambda root: city(root, "train", "aachen", 1, [40]), "label value 40 in 512 pixels; expected 0 to 33, or 255"),
])
def test_cityscapes_with_something_missing(cities, spoil, message):
    spoil(cities)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset("cityscapes", cities, "train").images  # noqa: B018


def test_own_images_in_every_form(own):
    train, val, test = (load_dataset("folder", own, split) for split in SPLITS)
    assert train.classes.names == OWN and train.classes.colors == OWN_COLORS[:3]
    assert (len(train), len(val), len(test)) == (4, 2, 2) and train.items[0] == "train 0"
    for split in (train, val, test):
        assert split.targets[0, :2].unique().tolist() == [IGNORE] and split.targets[0, 4, :3].tolist() == [0, 1, 2]
    half = load_dataset("folder", own, "test", (16, 24))
    assert half.targets.shape == (2, 16, 24) and set(half.targets.unique().tolist()) <= {0, 1, 2, IGNORE}


def test_black_is_void_unless_it_is_a_class(own):
    classes = json.loads((own / "classes.json").read_text())
    classes[0]["color"] = [0, 0, 0]
    write_classes(own, classes)
    for path in (own / "test/labels").iterdir():
        label = np.zeros((32, 48, 3), np.uint8)
        label[0] = OWN_COLORS[1]
        Image.fromarray(label).save(path)
    assert load_dataset("folder", own, "test").targets[0].unique().tolist() == [0, 1]


def test_a_photograph_is_turned_as_its_exif_says(own):
    path = own / "train/images/train 0.jpg"
    tag = Image.Exif()
    tag[0x0112] = 6  # a quarter turn
    Image.new("RGB", (32, 48), (200, 0, 0)).save(path, exif=tag)  # 48 high, 32 wide: lies on its side
    assert load_dataset("folder", own, "train").images.shape == (4, 3, 32, 48)


def test_a_split_that_was_drawn_is_on_record(tmp_path, tiny):
    for split, count in (("train", 12), ("test", 2)):
        for index in range(count):
            photo(tmp_path / "256" / split / f"images/{index:02}.png", 10 * index)
            photo(tmp_path / "256" / split / f"labels/{index:02}.png", index)
    config = tiny(dataset="carla", image_size=None, val_images=None, test_images=None, epochs=1)
    run = fit(config, tmp_path, str(tmp_path / "256"))
    assert run.record["dataset"]["drawn"] == {"val": {"seed": 0, "of": 12, "indices": [6]}}
    assert run.record["dataset"]["counts"] == {"train": 8, "val": 1, "test": 2} and len(run.classes) == 13
    assert run.record["dataset"]["checksums"]["val"] == load_dataset("carla", tmp_path / "256", "val").checksum


def test_signs_are_found_by_their_name():
    table = ClassTable(("Design", "sign_board", "Traffic sign", "Assign", "SignSymbol", "StopSign"), ((0, 0, 0),) * 6)
    assert table.signs == [1, 2, 4, 5] and CITYSCAPES.signs == [7] and CARLA.signs == [12]


# What can be wrong with a user's files. Each is one row: what breaks the data set, and what has to be said.

IMAGE, LABEL = "train/images/train 0.jpg", "train/labels/train 0.png"


def label(values, split: str = "train", name: str = ""):
    return lambda root: save_label(root / split / "labels" / (name or f"{split} 0.png"), np.array(values, np.uint8), split)


def array(values, path: str = LABEL, **options):
    return lambda root: Image.fromarray(np.asarray(values)).save(root / path, **options)


def cut(path: str, keep: float):
    return lambda root: os.truncate(root / path, int(keep * (root / path).stat().st_size))


def put(path: str, content: bytes):
    return lambda root: (root / path).write_bytes(content)


def classes(*entries):
    return lambda root: write_classes(root, list(entries))


def drop(path: str):
    return lambda root: shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()


def empty(path: str):
    return lambda root: [file.unlink() for file in (root / path).iterdir()]


def copy(path: str, target: str):
    return lambda root: shutil.copy(root / path, root / target)


A, B = {"name": "A", "color": [0, 0, 1]}, {"name": "B", "color": [0, 0, 2]}
FULL = np.zeros((32, 48), np.uint8)
BAD = {
    "no folder": (lambda root: shutil.rmtree(root), "own: no folder here; expected it to hold classes.json, and train, val"),
    "no classes.json": (drop("classes.json"), r"classes\.json: no such file; expected a list in the order"),
    "no JSON": (put("classes.json", b'[{"name": '), r"classes\.json: not JSON in UTF-8 .*; expected \["),
    "no text": (put("classes.json", b"\xff\xfe\x00["), r"classes\.json: not JSON in UTF-8"),
    "an object": (put("classes.json", b'{"names": []}'), r"classes\.json: dict; expected a list of 2 to 255 classes"),
    "one class": (classes(A), r"classes\.json: a list of 1; expected a list of 2 to 255"),
    "too many classes": (classes(*[A] * 256), r"classes\.json: a list of 256; expected a list of 2 to 255"),
    "names alone": (classes("A", "B"), r"classes\.json: class 0: 'A', expected {\"name\": .*class 1: 'B'"),
    "no name": (classes(A, {"color": [0, 0, 2]}), "class 1: name None, expected one line of text"),
    "empty name": (classes(A, B | {"name": " "}), "class 1: name ' ', expected one line of text"),
    "two lines": (classes(A, B | {"name": "a\nb"}), r"class 1: name 'a\\nb', expected one line"),
    "private characters": (classes(A, B | {"name": "\ue000r0\ue001"}), r"class 1: name '\\ue000r0\\ue001', expected one"),
    "no color": (classes(A, {"name": "B"}), "class 1: color None, expected three whole numbers from 0 to 255"),
    "color of two": (classes(A, B | {"color": [1, 2]}), r"class 1: color \[1, 2\], expected three"),
    "color of 256": (classes(A, B | {"color": [1, 2, 256]}), r"class 1: color \[1, 2, 256\], expected three"),
    "color as text": (classes(A, B | {"color": "#ff0000"}), "class 1: color '#ff0000', expected three"),
    "two of a name": (classes(A, B | {"name": "A"}), "class 1 has the name of class 0, 'A'"),
    "two of a color": (classes(A, B | {"color": [0, 0, 1]}), r"class 1 has the color of class 0, \(0, 0, 1\)"),
    "no split": (drop("train"), "train/images: no such folder"),
    "no labels": (drop("train/labels"), "train/labels: no such folder"),
    "empty images": (empty("train/images"), "train/images: no images; expected one file for each pair, as PNG"),
    "no label": (drop(LABEL), r"train 0\.jpg: no label of this name in .*train/labels"),
    "no image": (drop(IMAGE), r"train 0\.png: no image of this name in .*train/images"),
    "another case": (lambda root: (root / LABEL).rename(root / "train/labels/TRAIN 0.png"), r"train 0\.jpg: no label of this name"),
    "a label as text": (lambda root: (root / LABEL).rename(root / "train/labels/train 0.txt"), r"train 0\.jpg: no label of"),
    "one stem twice": (copy("val/images/val 0.png", "train/images/train 0.png"), r"train 0\.png: the same stem as train 0\.jpg"),
    "strange name": (copy(IMAGE, "train/images/a\nb.jpg"), "a name with characters that cannot be shown; rename"),
    "not UTF-8": (copy(IMAGE, os.fsdecode(b"train/images/\xff.jpg")), "a name with characters that cannot be shown; rename"),
    "no bytes": (put(IMAGE, b""), r"train 0\.jpg: not a readable image .*; replace the file"),
    "a page": (put(IMAGE, b"<html>404</html>"), r"train 0\.jpg: not a readable image"),
    "a program": (put(IMAGE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), r"train 0\.jpg: not a readable image"),
    "half an image": (cut(IMAGE, 0.5), r"train 0\.jpg: not a readable image .*Truncated"),
    "half a label": (cut(LABEL, 0.6), r"train 0\.png: not a readable image"),
    "half a WebP": (cut("test/images/test 0.webp", 0.5), r"test 0\.webp: not a readable image"),
    "a bomb": (put(IMAGE, b"P6 30000 30000 255\n"), r"train 0\.jpg: not a readable image .*exceeds limit"),
    "16 bits": (array(np.zeros((32, 48), np.uint16), "train/images/train 0.jpg", format="PNG"), "an image of I;16 values; expected 8 bits"),
    "label out of range": (label(FULL + 3), r"train 0\.png: label value 3 in 1536 pixels; expected 0 to 2, or 255 for void"),
    "several values": (label(np.arange(1536).reshape(32, 48) // 192 + 100), "value 100 in 192 pixels, .* and 3 more values; expected"),
    "palette out of range": (label(FULL + 200, "val"), r"val 0\.png: label value 200 in 1536 pixels"),
    "16-bit label": (array(np.full((32, 48), 260, np.uint16)), r"train 0\.png: label value 260 in 1536 pixels"),
    "label of floats": (lambda root: (drop(LABEL)(root), array(np.zeros((32, 48), np.float32), "train/labels/train 0.tif")(root)),
                        r"train 0\.tif: a label of the mode F; expected one channel"),
    "grey and alpha": (lambda root: Image.new("LA", (48, 32)).save(root / LABEL), r"train 0\.png: a label of the mode LA"),
    "unknown colour": (array(np.full((32, 48, 3), 9, np.uint8)), r"train 0\.png: colour \(9, 9, 9\) in 1536 pixels; expected the colours"),
    "transparent": (lambda root: Image.new("RGBA", (48, 32)).save(root / LABEL), r"train 0\.png: a label with transparent pixels"),
    "label as JPEG": (array(FULL, LABEL, format="JPEG"), r"train 0\.png: a label in JPEG, which changes the values"),
    "sizes of a pair": (label(FULL[:16]), r"train 0\.jpg: the image has 32 x 48 pixels, its label train 0\.png 16 x 48 pixels"),
    "sizes of images": (lambda root: (label(FULL[:16])(root), photo(root / IMAGE, size=(16, 48))),
                        "train[/:] ?train 0(:| has) 16 x 48 pixels where most images have 32 x 48; set image_size"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_with_a_user_s_files_is_said(own, kind, capsys):
    spoil, message = BAD[kind]
    spoil(own)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        for split in SPLITS:
            load_dataset("folder", own, split).images  # noqa: B018
    assert "\n" not in str(error.value)
    assert main(["check", "--dataset", "folder", "--data-root", str(own)]) == 1
    printed = capsys.readouterr().out
    assert re.search(message, printed) and "\nwrong: " in printed


# What `check` alone can say

def checked(root: Path, capsys, *more: str) -> tuple[int, str]:
    status = main(["check", "--dataset", "folder", "--data-root", str(root), *more])
    return status, capsys.readouterr().out


def test_a_clean_data_set(own, capsys):
    status, printed = checked(own, capsys)
    assert status == 0 and printed.endswith("nothing is wrong\n")
    assert re.search(r"train +4 pairs +32 x 48 +void 6\.2 %", printed) and ": 3 classes" in printed


def test_everything_is_said_in_one_pass(own, capsys):
    for kind in ("half an image", "label out of range"):
        BAD[kind][0](own)
    (own / "val/labels/val 1.png").unlink()
    shutil.copy(own / "train/images/train 1.jpg", own / "test/images/test 1.webp")
    shutil.copy(own / "train/labels/train 1.png", own / "test/labels/test 1.png")
    status, printed = checked(own, capsys)
    assert status == 1 and printed.count("train 0.jpg: not a readable image") == 1  # both files of one pair are named
    assert "train 0.png: label value 3 in 1536 pixels" in printed
    assert "val 1.png: no label of this name" in printed
    assert "train/train 1 and test/test 1: the same image; keep it in one split" in printed
    assert "wrong: 1 unreadable files, 1 wrong labels, 1 files missing, 1 images in two splits" in printed
    assert re.search(r"train +3 pairs", printed) and re.search(r"test +2 pairs", printed)


def test_lines_of_a_kind_are_limited(tmp_path, capsys):
    root = make_own(tmp_path / "own", counts=(14, 2, 2))
    for path in (root / "train/labels").iterdir():
        path.write_bytes(b"no image")
    status, printed = checked(root, capsys)
    assert status == 1 and printed.count("not a readable image") == 10 and "\n  and 4 more\n" in printed
    assert "unreadable files (14)" in printed and "train      0 pairs   none" in printed


def test_sizes_may_differ_where_training_makes_them_equal(own, capsys):
    BAD["sizes of images"][0](own)
    status, printed = checked(own, capsys, "--image-size", "32", "48")
    assert status == 0 and "32 x 48 (3), 16 x 48 (1)" in printed
    assert load_dataset("folder", own, "train", (32, 48)).images.shape == (4, 3, 32, 48)


def test_classes_without_pixels(own, capsys):
    for split in SPLITS:
        for path in sorted((own / split / "labels").iterdir()):
            target = np.zeros((32, 48), np.uint8)
            target[0, 0] = {"train": 1, "val": 1, "test": 0}[split]
            save_label(path, target)
    status, printed = checked(own, capsys)
    assert status == 1 and "class 2, Traffic sign: no pixel in any split; take it out or add images" in printed
    assert "worth knowing (1)\n  class 1, Tree: no pixel in test; where it is not predicted either, its IoU is NaN" in printed
    assert "wrong: 1 classes without pixels" in printed
    for path in sorted((own / "train/labels").iterdir()):
        save_label(path, np.zeros((32, 48), np.uint8))
    assert "class 1, Tree: no pixel in train; a network cannot learn it" in checked(own, capsys)[1]


def test_a_split_of_void_alone(own):
    for path in (own / "val/labels").iterdir():
        save_label(path, np.full((32, 48), 255, np.uint8))
    with pytest.raises(ValueError, match="folder/val: every pixel is void; expected labelled ones in each split"):
        load_dataset("folder", own, "val").images  # noqa: B018


def test_hidden_files_and_others_do_not_count(own, capsys):
    (own / "train/images/._train 0.jpg").write_bytes(b"of a Mac")
    (own / "train/images/Thumbs.db").write_bytes(b"of Windows")
    (own / "train/images/more.png").mkdir()
    assert checked(own, capsys)[0] == 0


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "scenes"])
def test_check_works_for_every_data_set(tmp_path, name, capsys):
    assert main(["check", "--dataset", name, "--data-root", str(tmp_path)]) == 1
    assert re.search(rf"\n  {tmp_path}.*: no .*\n\nwrong: \d files missing", capsys.readouterr().out)


def test_check_s_arguments(capsys):
    for arguments in ([], ["--dataset", "kitti"], ["--dataset", "folder", "--image-size", "3"]):
        with pytest.raises(SystemExit) as stop:
            main(["check", *arguments])
        assert stop.value.code == 2
    assert "argument --image-size: expected 2 arguments" in capsys.readouterr().err


@pytest.mark.parametrize("size", [[96], 96, "96x128", [0, 5], [9.5, 3], [1, 2, 3]])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match=r"image_size = .*: expected height and width in pixels such as \[96, 128\]"):
        load_dataset("scenes", image_size=size)
