"""The data sets on disk: layouts, splits, what labels mean.

And every kind of bad file, said in training and in `check`.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import OWN, OWN_COLORS, write_classes
from PIL import Image

from lib.data import SPLITS, load_dataset
from lib.datasets import SOURCES
from lib.datasets.camvid import DRIVES
from lib.datasets.carla import CLASSES as CARLA, LYFT_SETS
from lib.datasets.cityscapes import VAL_CITIES
from lib.files import IGNORE, ClassTable
from lib.train import fit

REAL = os.environ.get("SEGMENTATION_DATA")


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
            photo(base / f"CameraSeg/F-{frame}.png", index)  # green and blue say nothing
    splits = {split: load_dataset("carla", tmp_path, split) for split in SPLITS}
    assert splits["train"].items == tuple(
        f"data{letter}-F-{frame}" for letter in "ABC" for frame in (0, 1)
    )
    assert splits["val"].items == ("dataD-F-0", "dataD-F-1") and splits["test"].items == (
        "dataE-F-0",
        "dataE-F-1",
    )
    assert [int(target.unique()) for target in splits["train"].targets] == [0, 0, 1, 1, 2, 2]
    assert splits["test"].classes is CARLA and splits["test"].source.sampled is None
    assert [int(image[0].unique()) for image in splits["test"].images] == [40, 41]
    shutil.rmtree(tmp_path / "dataD")
    assert len(load_dataset("carla", tmp_path, "train")) == 6
    with pytest.raises(
        FileNotFoundError, match="dataD: no dataD of CARLA here; expected CameraRGB and CameraSeg"
    ):
        load_dataset("carla", tmp_path, "val")


@pytest.mark.parametrize("folder", ["", "dataset_256"])
def test_carla_in_the_course_s_layout_draws_its_validation_split(tmp_path, folder):
    for split, count in (("train", 20), ("test", 3)):
        for index in range(count):
            photo(tmp_path / folder / split / f"images/{index:02}.png", 10 * index)
            photo(tmp_path / folder / split / f"labels/{index:02}.png", index % 13)
    train, val, test = (load_dataset("carla", tmp_path, split) for split in SPLITS)
    assert val.source.sampled == {"seed": 0, "of": 20, "indices": [1, 18]} and val.items == (
        "01",
        "18",
    )  # the same everywhere
    assert (
        train.source.sampled is None
        and len(train) == 18
        and not {*train.items} & {*val.items}
        and len(test) == 3
    )
    assert [int(target.unique()) for target in val.targets] == [1, 5]
    photo(tmp_path / folder / "val/images/a.png")
    photo(tmp_path / folder / "val/labels/a.png")
    train, val = (load_dataset("carla", tmp_path, split) for split in ("train", "val"))
    assert (
        val.items == ("a",) and val.source.sampled is None and len(train) == 20
    )  # nothing is drawn where nothing is missing
    photo(tmp_path / folder / "test/labels/02.png", 13)
    with pytest.raises(
        ValueError, match=r"test/labels/02\.png: label value 13 in 512 pixels; expected 0 to 12"
    ):
        load_dataset("carla", tmp_path, "test").images  # noqa: B018


def drives(root: Path, **counts: int) -> Path:
    """CamVid's layout with so many images of each drive, every third one in each official split."""
    labels = iter(range(1000))
    for drive, count in counts.items():
        for frame in range(count):
            part = ("train", "val", "test")[frame % 3]
            name = f"{drive}_f{30 * frame:05}" if drive == "Seq05VD" else f"{drive}_{30 * frame:06}"
            photo(root / "CamVid" / part / f"{name}.png", next(labels))
            label = root / "CamVid" / f"{part}annot" / f"{name}.png"
            label.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (32, 16), DRIVES.index(drive)).save(label)
    return root


FOUR = {"0001TP": 12, "0006R0": 9, "0016E5": 31, "Seq05VD": 20}


@pytest.mark.parametrize("drive", DRIVES)
def test_camvid_without_a_drive_tests_that_drive_and_sees_it_nowhere_else(tmp_path, drive):
    root = drives(tmp_path, **FOUR)
    splits = {s: load_dataset(f"camvid-without-{drive}", root, s) for s in SPLITS}
    names = [name for split in splits.values() for name in split.items]
    assert len(names) == len(set(names)) == sum(FOUR.values())
    for split, data in splits.items():
        seen = {name for name, _ in data.frames}
        assert seen == ({drive} if split == "test" else set(DRIVES) - {drive})
        for image, target, (name, _) in zip(data.images, data.targets, data.frames):
            assert target.unique().tolist() == [DRIVES.index(name)]
    assert len(splits["test"]) == FOUR[drive]
    tenths = {"0001TP": 1, "0006R0": 1, "0016E5": 3, "Seq05VD": 2}
    assert len(splits["val"]) == sum(tenths.values()) - tenths[drive]
    last = dict(sorted(splits["train"].frames))  # of each drive the last training frame
    assert all(frame > last[name] for name, frame in splits["val"].frames)
    assert splits["train"].frames == sorted(splits["train"].frames)


def test_camvid_without_a_drive_that_is_unknown_absent_or_mixed_up(tmp_path):
    with pytest.raises(ValueError, match="unknown data set 'camvid-without-0002': choose one of"):
        load_dataset("camvid-without-0002", tmp_path)
    root = drives(tmp_path / "three", **(FOUR | {"0006R0": 0}))
    with pytest.raises(
        FileNotFoundError,
        match=r"three/CamVid: no image of the drive 0006R0 here; "
        r"expected images of all four drives in train, val and test .*Correct data_root",
    ):
        load_dataset("camvid-without-0001TP", root)
    root = drives(tmp_path / "more", **FOUR)
    photo(root / "CamVid/val/0007_000001.png")
    photo(root / "CamVid/valannot/0007_000001.png")
    with pytest.raises(
        ValueError,
        match=r"val/0007_000001.png: of no drive of CamVid; expected a name that begins "
        "with one of 0001TP.* Remove the file, or correct data_root",
    ):
        load_dataset("camvid-without-0001TP", root)
    root = drives(tmp_path / "twice", **FOUR)
    for part in ("val", "valannot"):
        shutil.copy(
            root / f"CamVid/{part.replace('val', 'train')}/0001TP_000000.png",
            root / f"CamVid/{part}",
        )
    with pytest.raises(
        ValueError, match=r"val/0001TP_000000.png: the same name as .*train/0001TP_000000.png"
    ):
        load_dataset("camvid-without-0001TP", root)


@pytest.mark.skipif(not REAL, reason="SEGMENTATION_DATA does not name a folder with CamVid")
@pytest.mark.parametrize(
    "drive, counts",
    [
        ("0001TP", (520, 57, 124)),
        ("0006R0", (541, 59, 101)),
        ("0016E5", (357, 39, 305)),
        ("Seq05VD", (478, 52, 171)),
    ],
)
def test_the_real_camvid_without_a_drive(drive, counts):
    splits = [load_dataset(f"camvid-without-{drive}", REAL, split) for split in SPLITS]
    assert tuple(map(len, splits)) == counts and sum(counts) == 701
    assert {name for name, _ in splits[2].frames} == {drive}
    assert len({name for split in splits for name in split.items}) == 701
    assert load_dataset(f"camvid-without-{drive}", REAL, "test", (36, 48), 2).images.shape == (
        2,
        3,
        36,
        48,
    )


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
    classes = train.classes
    assert len(classes) == 19 and classes.names[:3] == ("Road", "Sidewalk", "Building")
    assert classes.names[-1] == "Bicycle" and classes.colors[-1] == (119, 11, 32)
    assert classes.signs == [7]
    assert train.items == ("aachen_000000_000000", "aachen_000000_000001")
    assert test.items == ("munster_000000_000000", "munster_000000_000001")
    assert [name.split("_")[0] for name in val.items] == [
        "ulm",
        "ulm",
        "weimar",
        "weimar",
        "zurich",
        "zurich",
    ]
    assert train.targets[0, 0, :7].tolist() == [0, 1, 2, 18, IGNORE, IGNORE, IGNORE]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            lambda root: shutil.rmtree(root / "gtFine"),
            "no Cityscapes here; expected leftImg8bit and gtFine, unpacked from",
        ),
        (
            lambda root: shutil.rmtree(root / "gtFine/train"),
            "no train of Cityscapes here; expected leftImg8bit/train",
        ),
        (
            lambda root: shutil.rmtree(root / "leftImg8bit/train/aachen"),
            "000000_gtFine_labelIds.png: no image of this name",
        ),
        (
            lambda root: next(root.glob("gtFine/train/aachen/*1_gtFine*")).unlink(),
            "000001_leftImg8bit.png: no label",
        ),
        (
            lambda root: city(root, "train", "aachen", 1, [40]),
            "label value 40 in 512 pixels; expected 0 to 33, or 255",
        ),
    ],
)
def test_cityscapes_with_something_missing(cities, spoil, message):
    spoil(cities)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset("cityscapes", cities, "train").images  # noqa: B018


def test_own_images_in_every_form(own):
    train, val, test = (load_dataset("folder", own, split) for split in SPLITS)
    assert train.classes.names == OWN and train.classes.colors == OWN_COLORS[:3]
    assert (len(train), len(val), len(test)) == (4, 2, 2) and train.items[0] == "train 0"
    for split in (train, val, test):
        assert split.targets[0, :2].unique().tolist() == [IGNORE] and split.targets[
            0, 4, :3
        ].tolist() == [0, 1, 2]
    half = load_dataset("folder", own, "test", (16, 24))
    assert half.targets.shape == (2, 16, 24) and set(half.targets.unique().tolist()) <= {
        0,
        1,
        2,
        IGNORE,
    }


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
    Image.new("RGB", (32, 48), (200, 0, 0)).save(
        path, exif=tag
    )  # 48 high, 32 wide: lies on its side
    assert load_dataset("folder", own, "train").images.shape == (4, 3, 32, 48)


def test_nothing_is_left_of_a_single_image(tmp_path):
    photo(tmp_path / "train/images/a.png")
    photo(tmp_path / "train/labels/a.png")
    assert len(load_dataset("carla", tmp_path, "val")) == 1
    with pytest.raises(
        ValueError, match="carla/train: no pairs are left for this split; expected more images"
    ):
        load_dataset("carla", tmp_path, "train")


def test_a_split_that_was_drawn_is_on_record(tmp_path, tiny):
    for split, count in (("train", 12), ("test", 2)):
        for index in range(count):
            photo(tmp_path / "256" / split / f"images/{index:02}.png", 10 * index)
            photo(tmp_path / "256" / split / f"labels/{index:02}.png", index)
    config = tiny(dataset="carla", image_size=None, val_images=None, test_images=None, epochs=1)
    run = fit(config, tmp_path, str(tmp_path / "256"))
    assert run.record["dataset"]["drawn"] == {"val": {"seed": 0, "of": 12, "indices": [6]}}
    assert (
        run.record["dataset"]["counts"] == {"train": 8, "val": 1, "test": 2}
        and len(run.classes) == 13
    )
    assert (
        run.record["dataset"]["checksums"]["val"]
        == load_dataset("carla", tmp_path / "256", "val").checksum
    )


def test_signs_are_found_by_their_name():
    table = ClassTable(
        ("Design", "sign_board", "Traffic sign", "Assign", "SignSymbol", "StopSign"),
        ((0, 0, 0),) * 6,
    )
    assert table.signs == [1, 2, 4, 5] and CARLA.signs == [12]


def test_every_data_set_has_a_title_and_a_paragraph():
    titles = {name: known.title for name, known in SOURCES.items()}
    assert (
        titles["camvid"] == "CamVid" and titles["camvid-without-0001TP"] == "CamVid without 0001TP"
    )
    assert titles["scenes-clutter-1-noise-3"] == "Scenes with clutter 1 and noise 3"
    assert len(set(titles.values())) == len(SOURCES)
    assert (
        "drive 0001TP is tested and seen in no other split"
        in SOURCES["camvid-without-0001TP"].about
    )
    assert (
        "noise of a sensor at dose 2 (a standard deviation of 4%" in SOURCES["scenes-noise-2"].about
    )
    assert all(len(known.about) > 100 for known in SOURCES.values())
