"""The record of `lib.studies.cost` as tables and sentences, and what follows from it for larger tasks.

A rate is in multiply-adds a second. Its limit is that of the measured matrix product; a training step counts as three
forward passes. Ratios are taken within each repeat, where both sides met the same machine; shown are their median and
their extremes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.datasets.cityscapes import CLASSES as CITYSCAPES
from lib.models import TITLES, VARIANTS
from lib.records import load_runs
from lib.studies.cost import REFERENCE
from report.evidence import closed_forms as theory
from report.evidence.wording import listed, percent

SIZES = {"batch": ("images in a batch", lambda row: row["batch"]),
         "pixels": ("pixels of an image", lambda row: row["size"][0] * row["size"][1]),
         "width": ("base channels", lambda row: row["base_channels"]),
         "classes": ("classes", lambda row: row["classes"])}
FORMS = {"compiled": "torch.compile", "float32": "bfloat16", "channels first": "channels last", "not fused": "fused AdamW",
         "beside the device": "images kept on the device", "deterministic": "kernels of any order"}
STREETS = {"size": (1024, 2048), "classes": len(CITYSCAPES), "images": 2975}  # the training split of Cordts et al. 2016
LINK = 25e9  # bytes a second between GPUs of different machines: 200 Gbit/s
HOUR, DAY = 3600, 86400


def rate_limit(record: dict) -> float:
    """Multiply-adds a second of the matrix product."""
    return record["limit"]["side"] ** 3 / float(np.median(record["limit"]["seconds"]))


def rate(row: dict) -> float:
    """Multiply-adds a second of a bare step; NaN where it did not fit."""
    return row["arithmetic"] * row["batch"] / float(np.median(row["seconds"])) if row["seconds"] else np.nan


def best(record: dict) -> str:
    """The form in which this machine trains."""
    return "compiled" if "compiled" in record["loops"]["seconds"] else REFERENCE


def ratios(record: dict, slow: str, fast: str) -> np.ndarray:
    """How many times longer `slow` takes than `fast`, one for each repeat; (n,)."""
    seconds = record["loops"]["seconds"]
    return np.array(seconds[slow]) / np.array(seconds[fast])


def spread(values: np.ndarray) -> str:
    """ "1.52 (1.48 to 1.60)" """
    return f"{np.median(values):.2f} ({values.min():.2f} to {values.max():.2f})"


def what_was_measured(record: dict) -> str:
    """Device, sizes, and whether these numbers say much, in sentences."""
    s = record["settings"]
    small = ("" if record["device"][:3] != "CPU" else " These sizes are small and the machine has no GPU: the numbers show "
             "how the measurement works and what holds for a machine like this one.")
    return (f"Measured on {record['device']} in {record['precision']} with PyTorch {record['versions']['torch']}: images of "
            f"{s['image_size'][0]} × {s['image_size'][1]} pixels in {classes_of(record)} classes, {s['base_channels']} base "
            f"channels, {s['batch_size']} images in a batch, {s['repeats']} repeats. A matrix product of side "
            f"{record['limit']['side']:,} reaches {2 * rate_limit(record) / 1e12:,.2f} TFLOP/s.{small}")


def classes_of(record: dict) -> int:
    return record["networks"][0]["classes"]


def networks_table(record: dict) -> pd.DataFrame:
    """One row a network."""
    return pd.DataFrame({
        "Network": TITLES[row["variant"]], "Multiply-adds / image (G)": row["arithmetic"] / 1e9,
        "Images / s": rate(row) / row["arithmetic"], "Share of the limit": percent(rate(row) / rate_limit(record)),
        "Kept / image (MiB)": (row["kept"] or np.nan) / row["batch"] / 2**20,
        "Peak (MiB)": (row["peak"] or np.nan) / 2**20,
    } for row in record["networks"])


def sweep(record: dict, name: str) -> pd.DataFrame:
    """The cases in which that size was changed: size, seconds and kept bytes for one image, share of the limit."""
    rows = [row for row in record["sweeps"] if row["of"] == name and row["seconds"]]
    table = pd.DataFrame({
        "size": SIZES[name][1](row), "seconds": float(np.median(row["seconds"])) / row["batch"],
        "kept": row["kept"] / row["batch"], "share": rate(row) / rate_limit(record)} for row in rows)
    return table.drop_duplicates("size").sort_values("size", ignore_index=True)


def exponent(table: pd.DataFrame, column: str) -> float:
    """p in column ~ size**p, by least squares on logarithms; NaN for a single size."""
    if len(table) < 2:
        return np.nan
    return float(np.polyfit(np.log(table["size"]), np.log(table[column]), 1)[0])


def growth_text(record: dict) -> str:
    """The exponents beside those that counting arithmetic predicts, and time against images, in sentences."""
    parts = []
    for name in ("pixels", "width", "classes"):
        table = sweep(record, name)
        parts.append(f"{exponent(table, 'seconds'):.2f} and {exponent(table, 'kept'):.2f} with {SIZES[name][0]}")
    start, slope = images_line(record)
    return (f"Fitted exponents of time and kept memory are {listed(parts)}. Counting predicts 1 and 1 for pixels, 2 and 1 for "
            "width, and next to nothing for classes, which only the last layer and the loss see. Where a measured exponent is "
            "smaller, a part of the time is spent on something that does not grow: starting kernels, or moving bytes. "
            f"An epoch takes {1e3 * slope:,.2f} ms an image and {1e3 * max(start, 0):,.1f} ms beside: time is proportional to the "
            "number of images.")


def images_line(record: dict) -> tuple[float, float]:
    """Intercept in seconds and slope in seconds an image of epochs against their images."""
    rows = record["images"]
    slope, start = np.polyfit([row["images"] for row in rows], [np.median(row["seconds"]) for row in rows], 1)
    return float(start), float(slope)


def ingredients_table(record: dict) -> pd.DataFrame:
    """What each ingredient brings: how many times faster the loop is with it than without."""
    rows = [(label, spread(1 / ratios(record, form, REFERENCE) if form == "compiled" else ratios(record, form, REFERENCE)))
            for form, label in FORMS.items() if form in record["loops"]["seconds"]]
    return pd.DataFrame(rows, columns=["Ingredient", "Times faster with it"])


def rivals_table(record: dict) -> pd.DataFrame:
    """The textbook loops and other libraries' networks in them, and how many times faster ours does equal arithmetic."""
    loops, own = record["loops"], best(record)
    work = loops["arithmetic"]["textbook, float32"]
    rows = {"this project's": (own, work), **{name: (name, arithmetic) for name, arithmetic in loops["arithmetic"].items()}}
    return pd.DataFrame({
        "Loop": name + (f" ({loops['installed'][name]})" if name in loops["installed"] else ""),
        "Multiply-adds / image (G)": arithmetic / 1e9,
        "Images / s": loops["images"] / float(np.median(loops["seconds"][key])),
        "Ours is faster by": spread(ratios(record, key, own) * work / arithmetic) if key != own else "–",
    } for name, (key, arithmetic) in rows.items())


def operators_table(record: dict, rows: int = 8) -> pd.DataFrame:
    """The operators in which a bare step spends most of its time."""
    total = sum(row["microseconds"] for row in record["operators"])
    return pd.DataFrame({"Operator": row["operator"], "Share of the step": percent(row["microseconds"] / total)}
                        for row in record["operators"][:rows])


def predictions(record: dict, gpus: Sequence[int] = (1, 8, 64)) -> pd.DataFrame:
    """Cityscapes and a million images of its size with a U-Net of 64 channels on such devices; hours or days an epoch."""
    size, classes = STREETS["size"], STREETS["classes"]
    reached = max(rate(row) for row in [*record["sweeps"], *record["networks"]] if row["seconds"])
    step = 3 * theory.cost("unet", 64, classes, size) / reached  # seconds an image
    whole = theory.total("unet", 64, classes, size)
    halved = 0.5 if record["precision"] == "bfloat16" else 1.0
    fits = int(record["memory"] * 0.9 / (whole.kept * halved))
    batch = max(1, min(8, fits))
    rows = []
    for number in gpus:
        exchange = 2 * (number - 1) / number * 4 * whole.parameters / LINK  # a ring sends every gradient about twice
        seconds = max(step * batch, exchange) / (batch * number)
        rows.append({"Devices": number, "Images in a batch": batch * number, "Images / s": 1 / seconds,
                     "Cityscapes, an epoch (h)": STREETS["images"] * seconds / HOUR,
                     "A million images, an epoch (days)": 1e6 * seconds / DAY,
                     "Gradients / arithmetic": percent(exchange / (step * batch)),
                     "Images to read (GB/s)": 4 * size[0] * size[1] / seconds / 1e9})
    return pd.DataFrame(rows)


def predictions_text(record: dict) -> str:
    """What limits the larger tasks, in sentences."""
    size = STREETS["size"]
    whole = theory.total("unet", 64, STREETS["classes"], size)
    halved = 0.5 if record["precision"] == "bfloat16" else 1.0
    kept, stored = whole.kept * halved, 4 * size[0] * size[1]
    return (f"One image of Cityscapes [@cordts2016cityscapes] keeps about {kept / 2**30:.1f} GiB for the backward pass, so that "
            f"{int(record['memory'] * 0.9 / kept)} fit beside each other into the {record['memory'] / 2**30:.0f} GiB of this device. Its "
            f"training split takes {STREETS['images'] * stored / 1e9:.0f} GB as bytes, image and label, and a million such images "
            f"{1e6 * stored / 1e12:.1f} TB, which no memory holds: this project's loop keeps a split in memory and would have to "
            f"read files as they are needed, at the rate in the last column. The gradients of {whole.parameters / 1e6:.1f} million "
            f"parameters travel at {LINK / 1e9:.0f} GB/s while the backward pass still runs; where their share is below 100 %, "
            "adding devices divides the time.")


def goals(record: dict, protocol: tuple[float, str] | None = None) -> pd.DataFrame:
    """What this project set out to reach on one H100, what was measured here, and the verdict.

    `protocol` is (seconds, device) of the four networks with three seeds on CamVid, where they have been run.
    """
    own, loops = best(record), record["loops"]
    work = loops["arithmetic"]["textbook, float32"] * loops["images"]
    compute = work / float(np.median(loops["seconds"]["bare steps"])) / rate_limit(record)
    overhead = float(np.median(ratios(record, own, "bare steps"))) - 1
    textbooks = [name for name in loops["arithmetic"] if name.startswith("textbook")]
    slowest = min(float(np.median(ratios(record, name, own))) for name in textbooks)
    peers = [float(np.median(ratios(record, name, own))) * loops["arithmetic"]["textbook, float32"] / loops["arithmetic"][name]
             for name in loops["installed"]]
    on_gpu = record["device"][:3] != "CPU"

    def row(goal: str, found: str, reached: bool | None) -> dict:
        verdict = "needs a GPU" if not on_gpu else "not measured" if reached is None else "reached" if reached else "not reached"
        return {"Goal": goal, "Measured here": found, "Verdict": verdict}

    minutes = protocol[0] / 60 if protocol else np.nan
    return pd.DataFrame([
        row("a step at 50 % of the matrix product's rate", percent(compute), compute >= 0.5),
        row("the whole loop within 5 % of the bare step", f"{percent(overhead)} more", overhead <= 0.05),
        row("3 times the textbook loop, float32 or mixed", f"{slowest:.2f} times", slowest >= 3),
        row("1.5 times other libraries at equal arithmetic", f"{min(peers):.2f} times" if peers else "none is installed",
            min(peers) >= 1.5 if peers else None),
        row("CamVid, 4 networks × 3 seeds, in 25 minutes", f"{minutes:.1f} minutes" if protocol else "not run",
            minutes <= 25 if protocol else None),
    ])


def protocol(out: str | Path) -> tuple[float, str] | None:
    """Seconds and device of the four networks with three seeds on CamVid at its own size, when they are recorded."""
    runs = [run for run in load_runs(out) if run.variant in VARIANTS and run.record["dataset"]["name"] == "camvid"]
    if len(runs) < 12 or runs[0].record["dataset"]["size"] != [360, 480] or runs[0].config["base_channels"] != 64:
        return None
    return sum(run.record["seconds"] for run in runs), runs[0].record["device"]
