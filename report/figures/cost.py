"""The record of `lib.studies.cost` as tables with captions, and as sentences.

A training step counts as three forward passes. The least time that it could take is the sum of two:
its convolutions at the rate of a large matrix product, and the bytes that everything else moves at
the rate of a copy, both measured on the same device. Ratios are taken within each repeat, where
both sides ran on the same machine at the same time; tables show their median and their extremes.
"""

import numpy as np
import pandas as pd

from lib.models import TITLES
from lib.studies.cost import BARE, OWN
from report.evidence.wording import percent, pixels
from report.figures.show import Exhibit

GOAL = 0.9  # share of the limit that a training step is to reach on a GPU
TEXTBOOK = "textbook, float32"


def median(part: dict) -> float:
    """Return the median of a part's seconds."""
    return float(np.median(part["seconds"]))


def limit(record: dict, row: dict) -> float:
    """Return the least seconds that a network's training step could take on this device."""
    rate = record["limit"]["side"] ** 3 / median(record["limit"])
    bandwidth = record["bandwidth"]["bytes"] / median(record["bandwidth"])
    return row["arithmetic"] * row["batch"] / rate + row["bytes"] / bandwidth


def on_gpu(record: dict) -> bool:
    """Return whether the record was made on a GPU."""
    return not record["device"].startswith("CPU")


def measured_on(record: dict) -> str:
    """Return device, sizes and the two rates in sentences."""
    s, row = record["settings"], record["networks"][0]
    product = 2 * record["limit"]["side"] ** 3 / median(record["limit"]) / 1e12
    copied = record["bandwidth"]["bytes"] / median(record["bandwidth"]) / 1e9
    small = "" if on_gpu(record) else " Numbers from a CPU say nothing about a GPU."
    return (
        f"Measured on {record['device']} in {record['precision']} with PyTorch "
        f"{record['versions']['torch']}: images of {pixels(s['image_size'])} in {row['classes']} "
        f"classes, {s['base_channels']} base channels, {s['batch_size']} images in a batch, "
        f"{s['repeats']} repeats. A matrix product of side {record['limit']['side']:,} reaches "
        f"{product:,.2f} TFLOP/s, and a copy moves {copied:,.1f} GB/s.{small}"
    )


def networks(record: dict) -> Exhibit:
    """A training step of each network beside the least time that it could take."""
    table = pd.DataFrame(
        {
            "Network": TITLES[row["variant"]],
            "Parameters (M)": row["parameters"] / 1e6,
            "Multiply-adds a step (G)": row["arithmetic"] * row["batch"] / 1e9,
            "Moved a step (GB)": row["bytes"] / 1e9,
            "Step (ms)": 1e3 * median(row),
            "Limit (ms)": 1e3 * limit(record, row),
            "Share of the limit (%)": 100 * limit(record, row) / median(row),
        }
        for row in record["networks"]
    )
    return Exhibit(
        table,
        "tbl-cost-networks",
        "A training step of each network on a batch that lies ready. The limit is the time of its "
        "multiply-adds at the matrix product's rate and of the bytes that all else moves at the "
        "copy's rate.",
    )


def limit_text(record: dict) -> str:
    """Return how near the limit the networks come, and the goal, in sentences."""
    shares = [limit(record, row) / median(row) for row in record["networks"]]
    goal = f"The goal on a GPU is {percent(GOAL)}"
    reached = f"The networks reach {percent(min(shares))} to {percent(max(shares))} of the limit."
    if not on_gpu(record):
        return f"{reached} {goal}; this record was not made on one."
    return f"{reached} {goal}; it is {'reached' if min(shares) >= GOAL else 'not reached'}."


def _own_and(record: dict, other: str) -> np.ndarray:
    """Return this project's and another loop's seconds in each repeat, (2, n)."""
    seconds = record["loops"]["seconds"]
    return np.array([seconds[OWN], seconds[other]])


def loops(record: dict) -> Exhibit:
    """This project's loop against the textbook's and other libraries' networks."""
    timed = record["loops"]
    work = timed["arithmetic"][TEXTBOOK]
    own, _ = _own_and(record, TEXTBOOK)
    rows = [(OWN, work / 1e9, timed["images"] / float(np.median(own)), "–")]
    for name, arithmetic in timed["arithmetic"].items():
        own, other = _own_and(record, name)
        ratios = other / own * work / arithmetic
        faster = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        library = timed["installed"].get(name)
        title = f"{name} ({library})" if library else name
        rows.append((title, arithmetic / 1e9, timed["images"] / float(np.median(other)), faster))
    columns = ["Loop", "Multiply-adds / image (G)", "Images / s", "Ours is faster by"]
    return Exhibit(
        pd.DataFrame(rows, columns=columns),
        "tbl-cost-loops",
        "Whole epochs in this project's loop and in the textbook's. The last column is the ratio "
        "of multiply-adds a second: median of the repeats (lowest to highest).",
    )


def loops_text(record: dict) -> str:
    """Return how much longer the loop takes than its bare steps, in a sentence."""
    own, bare = _own_and(record, BARE)
    overhead = float(np.median(own / bare)) - 1
    return (
        f"An epoch of this project's loop takes {percent(abs(overhead))} "
        f"{'longer' if overhead >= 0 else 'less'} than the same number of steps on one batch that "
        "is already in memory."
    )
