"""Train, val and test from one folder of images and one of labels.

    python -m lib.datasets.split IMAGES LABELS --out DIR [--groups prefix|none|TABLE.csv] [--seed 0]

Images that show the same thing (frames of a drive, slices of a patient) belong into one split. What
precedes the last number of a name is its group where that makes three groups or more of several
images; a table with the columns name and group says otherwise. Files are linked, or copied where
links fail, and DIR/split.json records the choice. Exit status: 0, or 1 after a line that says why.
"""

import argparse
import os
import random
import shutil
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd

from lib.datasets.folder import CLASSES_FILE, EXAMPLE
from lib.datasets.pairs import SPLITS, drive_and_frame, match_files
from lib.files import write_json

RECORD = "split.json"
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}  # of the images


def split(images: Path, labels: Path, out: Path, groups: str | None = None, seed: int = 0) -> dict:
    """Make `out/{train,val,test}/{images,labels}` and return what `out/split.json` records.

    `groups` is "prefix", "none", the path of a table, or None: by prefix where that makes three
    groups. Raises ValueError for files without a partner, fewer than three groups, a table without
    a group for every image, and an `out` that holds a split; FileNotFoundError for no images.
    """
    if any((out / name).exists() for name in SPLITS):
        raise ValueError(f"{out}: holds {', '.join(SPLITS)} already; name another folder by --out")
    pairs, alone = match_files(images, labels)
    if alone:
        more = f", and {len(alone) - 1} files more" if len(alone) > 1 else ""
        raise ValueError(f"{alone[0]}{more}; expected one image and one label for every name")
    way, group_of = _groups([name for name, *_ in pairs], groups)
    members = defaultdict(list)
    for pair in pairs:
        members[group_of[pair[0]]].append(pair)
    if len(members) < len(SPLITS):
        few = f"{len(members)} groups by {way} ({', '.join(members)}); expected three or more"
        raise ValueError(f"{images}: {few}: --groups names others, or none")
    assigned = _assign({group: len(of) for group, of in members.items()}, seed)
    splits = {}
    for part, names in assigned.items():
        splits[part] = {group: [name for name, *_ in members[group]] for group in names}
        for name, image, label in [pair for group in names for pair in members[group]]:
            _link_or_copy(image, out / part / "images" / f"{name}{image.suffix}")
            _link_or_copy(label, out / part / "labels" / f"{name}{label.suffix}")
    record = {
        "images": str(images.resolve()), "labels": str(labels.resolve()), "groups": way,
        "shares": list(SHARES.values()), "seed": seed, "splits": splits,
    }
    write_json(out / RECORD, record)
    return record


def _groups(names: list[str], asked: str | None) -> tuple[str, dict[str, str]]:
    """Return how images are grouped, and the group of each."""
    if asked not in (None, "prefix", "none"):
        return asked, _from_table(Path(asked), names)
    by_prefix = {name: drive_and_frame(name)[0] for name in names}
    several = len(SPLITS) <= len(set(by_prefix.values())) < len(names)
    if asked == "prefix" or (asked is None and several):
        return "prefix", by_prefix
    return "none", {name: name for name in names}


def _from_table(path: Path, names: list[str]) -> dict[str, str]:
    """Return the groups of a CSV with the columns name and group."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if not {"name", "group"} <= {*rows}:
        raise ValueError(f"{path}: expected the columns name and group in its first line")
    table = dict(zip(rows["name"], rows["group"]))
    table |= {Path(name).stem: group for name, group in table.items()}
    missing = [name for name in names if not table.get(name)]
    if missing:
        raise ValueError(f"{path}: no group for {missing[0]} ({len(missing)} images in all)")
    return {name: table[name] for name in names}


def _assign(sizes: dict[str, int], seed: int) -> dict[str, list[str]]:
    """Return the groups of every split, none empty: the largest first, where most is missing."""
    missing = {part: share * sum(sizes.values()) for part, share in SHARES.items()}
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: -sizes[group])
    assigned = {part: [] for part in SPLITS}
    for index, group in enumerate(order):
        empty = [part for part in SPLITS if not assigned[part]]
        last = len(order) - index <= len(empty)
        part = max(empty if last else SPLITS, key=missing.get)
        assigned[part].append(group)
        missing[part] -= sizes[group]
    return {part: sorted(groups) for part, groups in assigned.items()}


def _link_or_copy(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.symlink(path.resolve(), place)
    except OSError:
        shutil.copyfile(path, place)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(prog="python -m lib.datasets.split", description=lines[0])
    parser.add_argument("images", type=Path, help="a folder")
    parser.add_argument("labels", type=Path, help="a folder with a label for each image")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--groups", help="prefix, none, or a CSV with the columns name and group")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        record = split(**vars(options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for part, groups in record["splits"].items():
        plural = "" if len(groups) == 1 else "s"
        way = f" in {len(groups)} group{plural} by {record['groups']}"
        way = ", each by itself" if record["groups"] == "none" else way
        print(f"{part:6}{sum(map(len, groups.values())):6} images{way}")
    if not (options.out / CLASSES_FILE).exists():
        print(f"now write {options.out / CLASSES_FILE}, such as {EXAMPLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
