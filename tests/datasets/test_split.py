"""Splits of unsplit pairs: seeded, by groups, on record; what is wrong is said."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from lib.data import SPLITS
from lib.datasets import split as module
from lib.datasets.pairs import match_files
from lib.datasets.split import main, split


def pairs(root: Path, names: list[str], ending: str = "") -> tuple[Path, Path]:
    for folder, end in (("images", ""), ("labels", ending)):
        (root / folder).mkdir(parents=True)
        for name in names:
            Image.new("L", (4, 4)).save(root / folder / f"{name}{end}.png")
    return root / "images", root / "labels"


DRIVES = [f"drive{drive}_{frame:03}" for drive in range(10) for frame in range(5)]


def names_in(out: Path, part: str) -> set[str]:
    images, labels = (
        {path.stem for path in (out / part / kind).iterdir()} for kind in ("images", "labels")
    )
    assert images == labels
    return images


def test_groups_stay_together_and_shares_are_met(tmp_path):
    images, labels = pairs(tmp_path, DRIVES, "_mask")
    record = split(images, labels, tmp_path / "out", seed=3)
    parts = {part: names_in(tmp_path / "out", part) for part in SPLITS}
    assert [len(names) for names in parts.values()] in ([35, 10, 5], [35, 5, 10])
    drives = [{name.split("_")[0] for name in names} for names in parts.values()]
    assert sum(map(len, drives)) == 10 == len(set.union(*drives))
    assert len(drives[0]) == 7 and min(map(len, drives)) >= 1
    assert record == json.loads((tmp_path / "out/split.json").read_text())
    assert (
        record["groups"] == "prefix"
        and record["seed"] == 3
        and record["shares"] == [0.7, 0.15, 0.15]
    )
    assert {name for names in record["splits"]["val"].values() for name in names} == parts["val"]
    link = tmp_path / "out/train/images" / f"{min(parts['train'])}.png"
    assert link.is_symlink() and link.resolve().parent == images.resolve()


def test_a_seed_decides_and_another_decides_otherwise(tmp_path):
    images, labels = pairs(tmp_path, DRIVES)
    records = [
        split(images, labels, tmp_path / str(index), seed=seed)
        for index, seed in enumerate((0, 0, 1))
    ]
    assert records[0]["splits"] == records[1]["splits"] != records[2]["splits"]


def test_groups_of_a_table_and_none(tmp_path):
    images, labels = pairs(tmp_path, [f"{index:02}" for index in range(12)])
    assert split(images, labels, tmp_path / "alone")["groups"] == "none"
    table = tmp_path / "groups.csv"
    table.write_text(
        "name,group\n" + "".join(f"{index:02}.png,{index % 3}\n" for index in range(12))
    )
    record = split(images, labels, tmp_path / "table", str(table))
    assert [len(groups) for groups in record["splits"].values()] == [1, 1, 1]
    assert all(len(names) == 4 for groups in record["splits"].values() for names in groups.values())


def test_files_are_copied_where_links_fail(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError("links are not permitted")

    monkeypatch.setattr(os, "symlink", refused)
    images, labels = pairs(tmp_path, DRIVES)
    split(images, labels, tmp_path / "out")
    path = next((tmp_path / "out/train/labels").iterdir())
    assert not path.is_symlink() and path.read_bytes() == (labels / path.name).read_bytes()


@pytest.mark.parametrize(
    "names, more, message",
    [
        (
            ["a_1", "a_2", "a_3", "b_1"],
            ["--groups", "prefix"],
            "2 groups by prefix (a, b); expected three or more",
        ),
        (["1", "2"], [], "2 groups by none (1, 2); expected three or more"),
        (["a", "b", "c"], ["--groups", "no.csv"], "No such file or directory: 'no.csv'"),
    ],
)
def test_what_cannot_be_split_is_said(tmp_path, names, more, message, capsys):
    images, labels = pairs(tmp_path, names)
    assert main([str(images), str(labels), "--out", str(tmp_path / "out"), *more]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and message in printed and not (tmp_path / "out").exists()


def test_a_table_without_a_group_or_a_column(tmp_path):
    images, labels = pairs(tmp_path, ["a", "b", "c"])
    (tmp_path / "t.csv").write_text("name,group\na,1\nb,2\n")
    with pytest.raises(ValueError, match=r"t\.csv: no group for c \(1 images in all\)"):
        split(images, labels, tmp_path / "out", str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("file,group\na,1\n")
    with pytest.raises(ValueError, match="expected the columns name and group in its first line"):
        split(images, labels, tmp_path / "out", str(tmp_path / "t.csv"))


def test_a_pair_that_is_none_and_a_folder_in_use(tmp_path, capsys):
    images, labels = pairs(tmp_path, ["a", "b", "c", "d"])
    (labels / "d.png").unlink()
    assert main([str(images), str(labels), "--out", str(tmp_path / "out")]) == 1
    assert "d.png: no label of this name" in capsys.readouterr().err
    (images / "d.png").unlink()
    for status in (0, 1):
        assert main([str(images), str(labels), "--out", str(tmp_path / "out")]) == status
    printed = capsys.readouterr()
    assert "train" in printed.out and "1 images, each by itself" in printed.out
    assert (
        "now write" in printed.out
        and "holds train, val, test already; name another folder" in printed.err
    )


@pytest.mark.parametrize(
    "images, labels",
    [
        (["a_01", "b_01"], ["a_01_mask", "b_01_mask"]),
        (
            ["aachen_000019_leftImg8bit", "bonn_000019_leftImg8bit"],
            ["aachen_000019_gtFine_labelIds", "bonn_000019_gtFine_labelIds"],
        ),
        (["one"], ["one_mask"]),
        (["x.rgb", "y.rgb"], ["x.seg", "y.seg"]),
    ],
)
def test_names_with_common_endings_are_pairs(tmp_path, images, labels):
    for folder, names in (("images", images), ("labels", labels)):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("L", (4, 4)).save(tmp_path / folder / f"{name}.png")
    found, lines = match_files(tmp_path / "images", tmp_path / "labels")
    assert not lines
    assert [(image.stem, label.stem) for _, image, label in found] == list(zip(images, labels))


@pytest.mark.parametrize(
    "name, converter",
    [
        ("a.json", "labelme2voc.py"),
        ("a.npy", "Image.fromarray"),
        ("a.HEIC", "heif-convert"),
        ("a.nii.gz", "nibabel"),
        ("a.nii", "nibabel"),
        ("a.dcm", "pydicom"),
        ("a.mp4", "ffmpeg -i"),
    ],
)
def test_a_folder_of_something_else_names_the_converter(tmp_path, name, converter, capsys):
    images, labels = pairs(tmp_path, ["a", "b", "c"])
    for path in labels.iterdir():
        path.unlink()
    (labels / name).touch()
    assert main([str(images), str(labels), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr().err
    assert "labels: no images; expected one file for each pair" in printed and converter in printed


def test_every_split_has_a_group():
    for sizes in (
        {"a": 100, "b": 1, "c": 1},
        {"a": 1, "b": 1, "c": 1},
        dict.fromkeys("abcdefgh", 3),
    ):
        for seed in range(20):
            chosen = module._assign(sizes, seed)
            assert all(chosen.values()) and sorted(sum(chosen.values(), [])) == sorted(sizes)
    chosen = module._assign({str(number): 1 for number in range(200)}, 0)
    assert [len(groups) for groups in chosen.values()] == [140, 30, 30]
