"""Everything that is wrong with a data set, in one pass: `python -m report check --dataset NAME`.

Training stops at the first wrong file; this reads all files of all splits at their own size and
goes on. Exit status: 0 when nothing is wrong, 1 when something is, 2 for a wrong argument.
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
from lib.datasets.pairs import EMPTY, PAIRING, SIZES, SPLITS, Source, Wrong
from lib.files import IGNORE

TABLE, TWICE = "wrong class table", "images in two splits"
LINES = 10  # of each kind of problem


@dataclass(frozen=True)
class Summary:
    """What is remembered of one pair, as far as it can be read."""

    name: str
    size: tuple[int, ...]  # H, W
    pixels: np.ndarray  # int64 (256,) by index
    digest: bytes  # of the image
    problems: list[Wrong]


@dataclass
class Report:
    """What a data set holds and what is wrong with it, by kind."""

    sizes: dict[str, Counter] = field(default_factory=dict)  # split -> (H, W) -> images
    pixels: dict[str, np.ndarray] = field(default_factory=dict)  # split -> int64 (256,) by index
    names: tuple[str, ...] = ()  # of the classes
    required: tuple[int, ...] = ()  # classes without which nothing is trained
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, line: str) -> None:
        """Add a line, once: what is wrong with classes.json would be said for every split."""
        if line not in self.wrong[kind]:
            self.wrong[kind].append(line)

    def add_split(self, split: str, pairs: list[Summary], one_size: bool) -> None:
        """Add the sizes and pixels of a split, and what is wrong with its pairs."""
        for problem in [problem for pair in pairs for problem in pair.problems]:
            self.add(problem.kind, str(problem))
        self.pixels[split] = sum((pair.pixels for pair in pairs), np.zeros(256, np.int64))
        whole = [pair for pair in pairs if not pair.problems]
        self.sizes[split] = Counter(pair.size for pair in whole)
        for pair in whole if one_size else []:
            usual = self.sizes[split].most_common(1)[0][0]
            if pair.size != usual:
                text = f"{_by(pair.size)} pixels where most images have {_by(usual)}"
                remedy = "set image_size, and check with --image-size"
                self.add(SIZES, f"{split}/{pair.name}: {text}; {remedy}")

    def add_empty_classes(self) -> None:
        """Add classes without pixels: one that cannot be learnt is wrong, another is a note."""
        void = sum(int(pixels[IGNORE]) for pixels in self.pixels.values())
        for index, name in enumerate(self.names):
            empty = [split for split, pixels in self.pixels.items() if not pixels[index]]
            where = "any split" if len(empty) == len(self.pixels) else " and ".join(empty)
            line = f"class {index}, {name}: no pixel in {where}"
            if "train" in empty and index in self.required:
                self.add(EMPTY, f"{line}; {folder.remedy(name, void)}")
            elif empty:
                effect = "where it is not predicted either, its IoU is NaN and it is in no mean"
                self.notes.append(f"{line}; {effect}")


def examine(name: str, root: str | Path | None = None, one_size: bool = True) -> Report:
    """Return what reading every pair of every split shows; `one_size` asks for equal sizes."""
    report, places = Report(), defaultdict(list)
    for split in SPLITS:
        source = _open(report, name, root, split)
        if not source:
            continue
        for line in source.unpaired:
            report.add(PAIRING, line)
        pairs = list(_summaries(source, f"{name}/{split}"))
        report.add_split(split, pairs, one_size)
        for pair in [pair for pair in pairs if pair.digest]:
            places[pair.digest].append((split, f"{split}/{pair.name}"))
    for copies in places.values():
        if len({split for split, _ in copies}) > 1:
            which = " and ".join(place for _, place in copies)
            report.add(TWICE, f"{which}: the same image; keep it in one split")
    report.add_empty_classes()
    return report


def _open(report: Report, name: str, root: str | Path | None, split: str) -> Source | None:
    """Return the split, of a user's own images even where their classes are of no use."""
    try:
        source = SOURCES[name].open(root, split, None)
        report.names, report.required = source.classes.names, source.required
        return source
    except (ValueError, OSError) as error:
        report.add(TABLE if isinstance(error, ValueError) else PAIRING, str(error))
    if name != "folder":
        return None
    try:
        return folder.folder_source(root, split, None, understood=False)
    except OSError as error:
        report.add(PAIRING, str(error))
        return None


def _summaries(source: Source, title: str) -> Iterator[Summary]:
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        numbers = range(len(source.items))
        pairs = pool.map(lambda index: _summary(source, index), numbers)
        yield from tqdm(pairs, title, len(numbers), leave=False, disable=None)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not read the rest


def _summary(source: Source, index: int) -> Summary:
    pair = source.inspect(index)
    digest, pixels, size = b"", np.zeros(256, np.int64), ()
    if pair.image is not None:
        shape = str(pair.image.shape).encode()
        digest = hashlib.sha256(shape + pair.image.tobytes()).digest()
    if pair.target is not None:
        pixels, size = np.bincount(pair.target.ravel(), minlength=256), pair.target.shape
    return Summary(source.items[index], size, pixels, digest, pair.problems)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def report_text(report: Report, title: str) -> str:
    """Return the report in lines, so many at most of each kind."""
    names = f" ({', '.join(report.names)})" if report.names else ""
    lines = [f"{title}: {len(report.names)} classes{names}"]
    for split, sizes in report.sizes.items():
        listed = [_by(size) for size in sizes]
        if len(sizes) > 1:
            listed = [f"{_by(size)} ({count})" for size, count in sizes.most_common(3)]
        listed += ["..."] if len(sizes) > 3 else []
        void = 100 * report.pixels[split][IGNORE] / max(1, report.pixels[split].sum())
        listed = ", ".join(listed) or "none"
        lines.append(f"  {split:6}{sizes.total():6} pairs   {listed}   void {void:.1f} %")
    for kind, problems in [*report.wrong.items(), ("worth knowing", report.notes)]:
        if problems:
            lines += ["", f"{kind} ({len(problems)})"]
            lines += [f"  {line}" for line in problems[:LINES]]
        if len(problems) > LINES:
            lines.append(f"  and {len(problems) - LINES} more")
    counts = ", ".join(f"{kind} ({len(problems)})" for kind, problems in report.wrong.items())
    return "\n".join([*lines, "", f"wrong: {counts}" if counts else "nothing is wrong"])


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m report check",
        description="Reads a whole data set and says everything that is wrong with it.",
    )
    parser.add_argument("--dataset", choices=SOURCES, required=True, metavar="NAME",
                        help=f"one of {', '.join(SOURCES)}")
    parser.add_argument("--data-root", metavar="DIR",
                        help="the folder that holds it; otherwise as in training")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"),
                        help="what training brings images to: they may then differ in size")
    options = parser.parse_args(arguments)
    report = examine(options.dataset, options.data_root, one_size=not options.image_size)
    place = f" in {options.data_root}" if options.data_root else ""
    print(report_text(report, f"{options.dataset}{place}"))
    return 1 if report.wrong else 0
