"""Everything that is wrong with a data set, in one pass: `python -m report check --dataset folder --data-root DIR`.

Training stops at the first wrong file; this reads all files of all splits at their own size and goes on. Exit status:
0 when nothing is wrong, 1 when something is, 2 for a wrong argument.
"""

import argparse
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lib.datasets import SOURCES, folder
from lib.datasets.pairs import PAIRING, SIZES, SPLITS, Source, Wrong
from lib.files import IGNORE

TABLE, EMPTY, TWICE = "wrong class table", "classes without pixels", "images in two splits"
LINES = 10  # of each kind of problem


@dataclass
class Findings:
    """What a data set holds and what is wrong with it, by kind."""

    sizes: dict[str, Counter] = field(default_factory=dict)  # split -> (H, W) -> images
    pixels: dict[str, np.ndarray] = field(default_factory=dict)  # split -> int64 (256,) by label value
    names: tuple[str, ...] = ()  # of the classes
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, line: str) -> None:
        if line not in self.wrong[kind]:  # what is wrong with classes.json would be said for every split
            self.wrong[kind].append(line)


@dataclass(frozen=True)
class Look:
    """What is kept of one pair, as far as it can be read."""

    name: str
    size: tuple[int, ...]  # H, W, of a pair with which nothing is wrong
    pixels: np.ndarray  # int64 (256,) by label value
    digest: bytes  # of the image
    wrong: tuple[Wrong, ...]


def examine(name: str, root: str | Path | None = None, one_size: bool = True) -> Findings:
    """Reads every pair of every split of the data set; `one_size` asks for images of one size in each split."""
    found, seen = Findings(), defaultdict(list)
    for split in SPLITS:
        if not (source := _source(found, name, root, split)):
            continue
        for line in source.unpaired:
            found.add(PAIRING, line)
        looks = list(_looks(source, f"{name}/{split}"))
        for look in looks:
            for wrong in look.wrong:
                found.add(wrong.kind, str(wrong))
            seen[look.digest].append((split, f"{split}/{look.name}"))
        found.pixels[split] = sum((look.pixels for look in looks), np.zeros(256, np.int64))
        whole = [look for look in looks if not look.wrong]
        found.sizes[split] = Counter(look.size for look in whole)
        if one_size:
            _odd_sizes(found, split, whole)
    seen.pop(b"", None)
    for places in seen.values():
        if len({split for split, _ in places}) > 1:
            found.add(TWICE, f"{' and '.join(place for _, place in places)}: the same image; keep it in one split")
    _empty_classes(found)
    return found


def _source(found: Findings, name: str, root: str | Path | None, split: str) -> Source | None:
    """The split, of a user's own images even where their classes are of no use."""
    try:
        source = SOURCES[name](root, split, None)
        found.names = source.classes.names
        return source
    except (ValueError, OSError) as error:
        found.add(TABLE if isinstance(error, ValueError) else PAIRING, str(error))
    try:
        return folder.source(root, split, None, understood=False) if name == "folder" else None
    except OSError as error:
        found.add(PAIRING, str(error))
        return None


def _looks(source: Source, title: str) -> Iterator[Look]:
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        numbers = range(len(source.items))
        looks = pool.map(lambda index: _look(source, index), numbers)
        yield from tqdm(looks, title, len(numbers), leave=False, disable=None)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not read the rest


def _look(source: Source, index: int) -> Look:
    problems: tuple[Wrong, ...] = ()
    try:
        image, target = source.read(index)
    except Wrong as wrong:
        (image, target), problems = wrong.readable, (wrong, *wrong.others)
    digest = b"" if image is None else hashlib.sha256(str(image.shape).encode() + image.tobytes()).digest()
    pixels = np.zeros(256, np.int64) if target is None else np.bincount(target.ravel(), minlength=256)
    return Look(source.items[index], () if problems else target.shape, pixels, digest, problems)


def _odd_sizes(found: Findings, split: str, looks: list[Look]) -> None:
    usual = found.sizes[split].most_common(1)
    for look in looks:
        if look.size != usual[0][0]:
            found.add(SIZES, f"{split}/{look.name}: {_by(look.size)} pixels where most images have {_by(usual[0][0])}; "
                      "set image_size, and check with --image-size")


def _empty_classes(found: Findings) -> None:
    """A class that cannot be learnt is wrong; one that cannot be scored is worth knowing."""
    for index, name in enumerate(found.names):
        empty = [split for split, pixels in found.pixels.items() if not pixels[index]]
        if len(empty) == len(found.pixels):
            found.add(EMPTY, f"class {index}, {name}: no pixel in any split; take it out or add images")
        elif "train" in empty:
            found.add(EMPTY, f"class {index}, {name}: no pixel in train; a network cannot learn it")
        else:
            found.notes += [f"class {index}, {name}: no pixel in {split}; where it is not predicted either, its IoU is "
                            "NaN and the mean is over the others" for split in empty]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def text(found: Findings, title: str) -> str:
    """The findings in lines, so many at most of each kind."""
    names = f" ({', '.join(found.names)})" if found.names else ""
    lines = [f"{title}: {len(found.names)} classes{names}"]
    for split, sizes in found.sizes.items():
        listed = [_by(size) + (f" ({count})" if len(sizes) > 1 else "") for size, count in sizes.most_common(3)]
        listed += ["..."] if len(sizes) > 3 else []
        void = 100 * found.pixels[split][IGNORE] / max(1, found.pixels[split].sum())
        lines.append(f"  {split:6}{sizes.total():6} pairs   {', '.join(listed) or 'none'}   void {void:.1f} %")
    for kind, problems in [*found.wrong.items(), ("worth knowing", found.notes)]:
        if problems:
            more = [f"  and {len(problems) - LINES} more"] if len(problems) > LINES else []
            lines += ["", f"{kind} ({len(problems)})", *(f"  {line}" for line in problems[:LINES]), *more]
    counts = ", ".join(f"{len(problems)} {kind}" for kind, problems in found.wrong.items())
    return "\n".join([*lines, "", f"wrong: {counts}" if counts else "nothing is wrong"])


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m report check", description="Reads a whole data set and says "
                                     "everything that is wrong with it.")
    parser.add_argument("--dataset", choices=SOURCES, required=True, metavar="NAME",
                        help=f"one of {', '.join(SOURCES)}")
    parser.add_argument("--data-root", metavar="DIR", help="the folder that holds it; otherwise as in training")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), help="what training brings images to: "
                        "they may then differ in size")
    options = parser.parse_args(arguments)
    found = examine(options.dataset, options.data_root, one_size=not options.image_size)
    print(text(found, f"{options.dataset}{f' in {options.data_root}' if options.data_root else ''}"))
    return 1 if found.wrong else 0
