"""The record of `lib.studies.cost` as tables and sentences.

A training step counts as three forward passes. The least time that it could take is the sum of two:
its convolutions at the rate of a large matrix product, and the bytes that everything else moves at
the rate of a copy, both measured on the same device. Ratios are taken within each repeat, where
both sides met the same machine; shown are their median and their extremes.
"""

import numpy as np
import pandas as pd

from lib.models import TITLES, build_model
from lib.studies.cost import BARE, OWN
from lib.studies.traffic import moved_bytes
from report.evidence.wording import percent

GOAL = 0.9  # share of the limit that a training step is to reach on a GPU
FIRST_EDITION = ("compiled", "not compiled")  # what this project's loop is called in its records


def median(part: dict) -> float:
    """Return the median of a part's seconds."""
    return float(np.median(part["seconds"]))


def limit(record: dict, row: dict) -> float:
    """Return the least seconds that a network's training step could take on this device.

    NaN in a record of the first edition, which measured no bandwidth.
    """
    if "bandwidth" not in record:
        return np.nan
    rate = record["limit"]["side"] ** 3 / median(record["limit"])
    bandwidth = record["bandwidth"]["bytes"] / median(record["bandwidth"])
    return row["arithmetic"] * row["batch"] / rate + row["bytes"] / bandwidth


def on_gpu(record: dict) -> bool:
    """Return whether the record was made on a GPU."""
    return not record["device"].startswith("CPU")


def measured_on(record: dict) -> str:
    """Return device, sizes and the two rates in sentences."""
    s, row = record["settings"], record["networks"][0]
    height, width = s["image_size"]
    product = 2 * record["limit"]["side"] ** 3 / median(record["limit"]) / 1e12
    copied = ""
    if "bandwidth" in record:
        rate = record["bandwidth"]["bytes"] / median(record["bandwidth"]) / 1e9
        copied = f", and a copy moves {rate:,.1f} GB/s"
    small = ""
    if not on_gpu(record):
        small = " On a processor these numbers show how the measurement works, and hold for it."
    return (
        f"Measured on {record['device']} in {record['precision']} with PyTorch "
        f"{record['versions']['torch']}: images of {height} × {width} pixels in {row['classes']} "
        f"classes, {s['base_channels']} base channels, {s['batch_size']} images in a batch, "
        f"{s['repeats']} repeats. A matrix product of side {record['limit']['side']:,} reaches "
        f"{product:,.2f} TFLOP/s{copied}.{small}")


def networks_table(record: dict) -> pd.DataFrame:
    """Return one row for each network: its sizes, its step, and the share of the limit."""
    rows = [_with_sizes(record, row) for row in record["networks"]]
    return pd.DataFrame({
        "Network": TITLES[row["variant"]],
        "Parameters (M)": row["parameters"] / 1e6,
        "Multiply-adds a step (G)": row["arithmetic"] * row["batch"] / 1e9,
        "Moved a step (GB)": row["bytes"] / 1e9,
        "Step (ms)": 1e3 * median(row),
        "Limit (ms)": 1e3 * limit(record, row),
        "Share of the limit (%)": 100 * limit(record, row) / median(row),
    } for row in rows)


def _with_sizes(record: dict, row: dict) -> dict:
    """Return a network's row with the counts that a record of the first edition does not hold."""
    if "bytes" in row:
        return row
    model = build_model(
        row["variant"], num_classes=row["classes"], base_channels=row["base_channels"])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    short = record["precision"] == "bfloat16"
    moved = moved_bytes(model, row["batch"], tuple(row["size"]), row["classes"], short)
    return row | {"parameters": parameters, "bytes": moved}


def limit_text(record: dict) -> str:
    """Return how near the limit the networks come, and the goal, in sentences."""
    goal = (
        f"The goal on a GPU is {percent(GOAL)} of this limit. It replaces half of the matrix "
        "product's rate, which counted no bytes: with these networks a large part of the step is "
        "bound by memory, so that the old goal asked for more than the device can give.")
    shares = [limit(record, row) / median(row) for row in record["networks"]]
    if np.isnan(shares).any():
        return f"This record was made before the bandwidth was measured. {goal}"
    reached = f"The networks reach {percent(min(shares))} to {percent(max(shares))}"
    if not on_gpu(record):
        return f"{reached}. {goal} This record was made without one."
    verdict = "reached" if min(shares) >= GOAL else "not reached"
    return f"{reached}. {goal} It is {verdict}."


def own_loop(record: dict) -> str:
    """Return the name of this project's loop in the record."""
    return next(name for name in (OWN, *FIRST_EDITION) if name in record["loops"]["seconds"])


def ratios(record: dict, slow: str, fast: str) -> np.ndarray:
    """Return how many times longer `slow` takes than `fast`, one for each repeat, (n,)."""
    seconds = record["loops"]["seconds"]
    return np.array(seconds[slow]) / np.array(seconds[fast])


def spread(values: np.ndarray) -> str:
    """Return median and extremes as text, such as "1.52 (1.48 to 1.60)"."""
    return f"{np.median(values):.2f} ({values.min():.2f} to {values.max():.2f})"


def loops_table(record: dict) -> pd.DataFrame:
    """Return one row for each loop and library: its speed, and ours at equal arithmetic."""
    loops, own = record["loops"], own_loop(record)
    work = loops["arithmetic"]["textbook, float32"]
    speed = loops["images"] / float(np.median(loops["seconds"][own]))
    rows = [(OWN, work, speed, "–")]
    for name, arithmetic in loops["arithmetic"].items():
        library = loops["installed"].get(name)
        faster = spread(ratios(record, name, own) * work / arithmetic)
        speed = loops["images"] / float(np.median(loops["seconds"][name]))
        rows.append((f"{name} ({library})" if library else name, arithmetic, speed, faster))
    table = pd.DataFrame(
        rows, columns=["Loop", "Multiply-adds / image (G)", "Images / s", "Ours is faster by"])
    table["Multiply-adds / image (G)"] /= 1e9
    return table


def loops_text(record: dict) -> str:
    """Return what the loop adds to its bare steps, and how it compares, in a sentence."""
    own = own_loop(record)
    overhead = float(np.median(ratios(record, own, BARE))) - 1
    change = "more" if overhead >= 0 else "less"
    return (
        f"A whole epoch of ours takes {percent(abs(overhead))} {change} time than as many steps on "
        "a batch that lies ready.")
