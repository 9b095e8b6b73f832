"""Every kind of bad file that a user may bring.

What is said of it in training and in `check`, and what `check` alone can say.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import make_own, save_label, write_classes
from PIL import Image

from lib.data import SPLITS, load_dataset
from lib.datasets import SOURCES, family
from report.__main__ import main

# What can be wrong with a user's files. Each is one row: what breaks the data set, and what has to
# be said.

IMAGE, LABEL = "train/images/train 0.jpg", "train/labels/train 0.png"


def label(values, split: str = "train"):
    path = f"{split}/labels/{split} 0.png"
    return lambda root: save_label(root / path, np.array(values, np.uint8), split)


def array(values, path: str = LABEL, **options):
    return lambda root: Image.fromarray(np.asarray(values)).save(root / path, **options)


def cut(path: str, keep: float):
    return lambda root: os.truncate(root / path, int(keep * (root / path).stat().st_size))


def put(path: str, content: bytes):
    return lambda root: (root / path).write_bytes(content)


def classes(*entries):
    return lambda root: write_classes(root, list(entries))


def table(*entries, **more):
    return lambda root: write_classes(root, {"classes": list(entries), **more})


def drop(path: str):
    return lambda root: (
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()
    )


def empty(path: str):
    return lambda root: [file.unlink() for file in (root / path).iterdir()]


def move(path: str, target: str):
    return lambda root: (root / path).rename(root / target)


def copy(path: str, target: str):
    return lambda root: shutil.copy(root / path, root / target)


A, B = {"name": "A", "color": [0, 0, 1]}, {"name": "B", "color": [0, 0, 2]}
FULL, WIDE = np.zeros((32, 48), np.uint8), np.zeros((32, 48), np.uint16)
BAD = {
    "no folder": (
        shutil.rmtree,
        "own: no folder here; expected it to hold classes.json, and train, val",
    ),
    "no classes.json": (
        drop("classes.json"),
        r"classes\.json: no such file; expected a list in the order",
    ),
    "no JSON": (
        put("classes.json", b'[{"name": '),
        r"classes\.json: not JSON in UTF-8 .*; expected \[",
    ),
    "no text": (put("classes.json", b"\xff\xfe\x00["), r"classes\.json: not JSON in UTF-8"),
    "no list": (
        put("classes.json", b'{"names": []}'),
        r"classes\.json: no list of classes in .*; expected a list of 2",
    ),
    "a number": (
        put("classes.json", b"7"),
        r"classes\.json: no list of classes in 7; expected a list of 2 to 255",
    ),
    "unknown key": (
        classes(A, B | {"Value": 2}),
        "class 1: no such key 'Value'; there are color, name, optional, value",
    ),
    "value as text": (
        classes(A, B | {"value": "2"}),
        "class 1: value '2', expected a whole number below 65536",
    ),
    "one value twice": (classes(A, B | {"value": 0}), "class 1 has the value of class 0, 0"),
    "void of a class": (table(A, B, void=1), "void 1 is the value of B; expected another, or null"),
    "void as text": (
        table(A, B, void="none"),
        "void 'none', expected a whole number below 65536, or null",
    ),
    "no title": (table(A, B, name=" "), "name ' ', expected one line of text"),
    "a misspelt key": (
        table(A, B, Name="x"),
        "no such key 'Name'; there are about, classes, name, void",
    ),
    "one class": (classes(A), r"classes\.json: a list of 1; expected a list of 2 to 255"),
    "too many classes": (
        classes(*[A] * 256),
        r"classes\.json: a list of 256; expected a list of 2 to 255",
    ),
    "names alone": (
        classes("A", "B"),
        r"classes\.json: class 0: 'A', expected {\"name\": .*class 1: 'B'",
    ),
    "no name": (classes(A, {"color": [0, 0, 2]}), "class 1: name None, expected one line of text"),
    "empty name": (classes(A, B | {"name": " "}), "class 1: name ' ', expected one line of text"),
    "two lines": (classes(A, B | {"name": "a\nb"}), r"class 1: name 'a\\nb', expected one line"),
    "private characters": (
        classes(A, B | {"name": "\ue000r0"}),
        r"class 1: name '\\ue000r0', expected one line",
    ),
    "no color": (
        classes(A, {"name": "B"}),
        "class 1: color None, expected three whole numbers from 0 to 255",
    ),
    "color of two": (classes(A, B | {"color": [1, 2]}), r"class 1: color \[1, 2\], expected three"),
    "color of 256": (
        classes(A, B | {"color": [1, 2, 256]}),
        r"class 1: color \[1, 2, 256\], expected three",
    ),
    "color as text": (
        classes(A, B | {"color": "#ff0000"}),
        "class 1: color '#ff0000', expected three",
    ),
    "two of a name": (classes(A, B | {"name": "A"}), "class 1 has the name of class 0, 'A'"),
    "two of a color": (
        classes(A, B | {"color": [0, 0, 1]}),
        r"class 1 has the color of class 0, \[0, 0, 1\]",
    ),
    "no split": (drop("train"), "train/images: no such folder"),
    "no labels": (drop("train/labels"), "train/labels: no such folder"),
    "empty images": (
        empty("train/images"),
        "train/images: no images; expected one file for each pair, as PNG",
    ),
    "no label": (drop(LABEL), r"train 0\.jpg: no label of this name in .*train/labels"),
    "no image": (drop(IMAGE), r"train 0\.png: no image of this name in .*train/images"),
    "another case": (
        move(LABEL, "train/labels/TRAIN 0.png"),
        r"train 0\.jpg: no label of this name",
    ),
    "a label as text": (
        move(LABEL, "train/labels/train 0.txt"),
        r"train 0\.jpg: no label of this name",
    ),
    "one stem twice": (
        copy(IMAGE, "train/images/train 0.png"),
        r"train 0\.png: the same stem as train 0\.jpg",
    ),
    "strange name": (
        copy(IMAGE, "train/images/a\nb.jpg"),
        "a name with characters that cannot be shown; rename",
    ),
    "not UTF-8": (
        copy(IMAGE, os.fsdecode(b"train/images/\xff.jpg")),
        "a name with characters that cannot be shown",
    ),
    "no bytes": (put(IMAGE, b""), r"train 0\.jpg: not a readable image .*; replace the file"),
    "a page": (put(IMAGE, b"<html>404</html>"), r"train 0\.jpg: not a readable image"),
    "a program": (
        put(IMAGE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        r"train 0\.jpg: not a readable",
    ),
    "half an image": (cut(IMAGE, 0.5), r"train 0\.jpg: not a readable image .*Truncated"),
    "half a label": (cut(LABEL, 0.6), r"train 0\.png: not a readable image"),
    "half a WebP": (cut("test/images/test 0.webp", 0.5), r"test 0\.webp: not a readable image"),
    "a bomb": (
        put(IMAGE, b"P6 30000 30000 255\n"),
        r"train 0\.jpg: not a readable image .*exceeds limit",
    ),
    "16 bits": (
        array(WIDE, IMAGE, format="PNG"),
        r"train 0\.jpg: an image of I;16 values; expected 8 bits",
    ),
    "label out of range": (
        label(FULL + 3),
        r"train 0\.png: label value 3 in 1536 pixels; expected 0 to 2, or 255 for",
    ),
    "several values": (
        label(np.arange(1536).reshape(32, 48) // 192 + 100),
        "value 100 in 192 pixels, .* and 3 more",
    ),
    "palette out of range": (
        label(FULL + 200, "val"),
        r"val 0\.png: label value 200 in 1536 pixels",
    ),
    "16-bit label": (array(WIDE + 260), r"train 0\.png: label value 260 in 1536 pixels"),
    "label of floats": (
        array(np.zeros((32, 48), np.float32), format="TIFF"),
        r"train 0\.png: a label of the mode F; exp",
    ),
    "grey and alpha": (
        array(np.zeros((32, 48, 2), np.uint8)),
        r"train 0\.png: a label of the mode LA",
    ),
    "unknown colour": (
        array(np.full((32, 48, 3), 9, np.uint8)),
        r"train 0\.png: colour \(9, 9, 9\) in 1536 pixels; exp",
    ),
    "transparent": (
        array(np.zeros((32, 48, 4), np.uint8)),
        r"train 0\.png: a label with transparent pixels",
    ),
    "label as JPEG": (
        array(FULL, LABEL, format="JPEG"),
        r"train 0\.png: a label in JPEG, which changes the values",
    ),
    "sizes of a pair": (
        label(FULL[:16]),
        r"train 0\.jpg: the image has 32 x 48 pixels, its label train 0\.png 16 x 48",
    ),
    "sizes of images": (
        lambda root: (label(FULL[:16])(root), Image.new("RGB", (48, 16)).save(root / IMAGE)),
        "train[/:] ?train 0(:| has) 16 x 48 pixels where most images have 32 x 48; set image_size",
    ),
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
    assert (
        status == 1 and printed.count("train 0.jpg: not a readable image") == 1
    )  # both files of one pair are named
    assert "train 0.png: label value 3 in 1536 pixels" in printed
    assert "val 1.png: no label of this name" in printed
    assert "train/train 1 and test/test 1: the same image; keep it in one split" in printed
    assert (
        "wrong: unreadable files (1), wrong labels (1), files missing (1), images in two splits (1)"
        in printed
    )
    assert re.search(r"train +3 pairs", printed) and re.search(r"test +2 pairs", printed)


def test_files_are_looked_at_even_without_their_classes(own, capsys):
    (own / "classes.json").write_text("{")
    (own / "val/labels/val 1.png").unlink()
    BAD["half an image"][0](own)
    shutil.copy(own / "train/images/train 1.jpg", own / "test/images/test 1.webp")
    (own / "test/labels/test 1.png").write_bytes(b"")  # its image is compared all the same
    status, printed = checked(own, capsys)
    assert (
        status == 1
        and "wrong: wrong class table (1), unreadable files (2), files missing (1), "
        "images in two splits (1)"
        in printed
    )
    assert printed.count("classes.json: not JSON in UTF-8") == 1


def test_a_label_counts_where_its_image_cannot_be_read(own, capsys):
    for path in sorted((own / "train/labels").iterdir())[1:]:
        save_label(path, np.zeros((32, 48), np.uint8))
    BAD["half an image"][0](own)
    assert "no pixel in train" not in checked(own, capsys)[1]


def test_lines_of_a_kind_are_limited(tmp_path, capsys):
    root = make_own(tmp_path / "own", counts=(14, 2, 2))
    for path in (root / "train/labels").iterdir():
        path.write_bytes(b"no image")
    status, printed = checked(root, capsys)
    assert (
        status == 1
        and printed.count("not a readable image") == 10
        and "\n  and 4 more\n" in printed
    )
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
    assert (
        status == 1
        and "class 2, Traffic sign: no pixel in any split; add images, take it out" in printed
    )
    assert (
        "worth knowing (1)\n"
        "  class 1, Tree: no pixel in test; where it is not predicted either, its IoU" in printed
    )
    assert "wrong: classes without pixels (1)" in printed
    for path in sorted((own / "train/labels").iterdir()):
        save_label(path, np.zeros((32, 48), np.uint8))
    assert (
        "class 1, Tree: no pixel in train and test; add images, take it out of classes.json, or"
        in checked(own, capsys)[1]
    )


def test_a_split_of_void_alone(own):
    for path in (own / "val/labels").iterdir():
        save_label(path, np.full((32, 48), 255, np.uint8))
    with pytest.raises(
        ValueError, match="folder/val: every pixel is void; expected labelled ones in each split"
    ):
        load_dataset("folder", own, "val").images  # noqa: B018


def test_hidden_files_and_others_do_not_count(own, capsys):
    (own / "train/images/._train 0.jpg").write_bytes(b"of a Mac")
    (own / "train/images/Thumbs.db").write_bytes(b"of Windows")
    (own / "train/images/more.png").mkdir()
    assert checked(own, capsys)[0] == 0


@pytest.mark.parametrize("name", [name for name in SOURCES if family(name) != "scenes"])
def test_check_works_for_every_data_set(tmp_path, name, capsys):
    assert main(["check", "--dataset", name, "--data-root", str(tmp_path)]) == 1
    assert re.search(
        rf"\n  {tmp_path}.*: no .*\n\nwrong: files missing \(\d\)", capsys.readouterr().out
    )


def test_check_s_arguments(capsys):
    for arguments in ([], ["--dataset", "kitti"], ["--dataset", "folder", "--image-size", "3"]):
        with pytest.raises(SystemExit) as stop:
            main(["check", *arguments])
        assert stop.value.code == 2
    assert "argument --image-size: expected 2 arguments" in capsys.readouterr().err


@pytest.mark.parametrize("size", [[96], 96, "96x128", [0, 5], [9.5, 3], [1, 2, 3]])
def test_sizes_that_are_none(size):
    with pytest.raises(
        ValueError,
        match=r"image_size = .*: expected height and width in pixels such as \[96, 128\]",
    ):
        load_dataset("scenes", image_size=size)
