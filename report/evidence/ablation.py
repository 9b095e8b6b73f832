"""What the trainings of `lib.studies.ablation` show: the record, its table, and what is said of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.files import write_json
from lib.records import Run, load_runs
from lib.studies.ablation import BASE, CHANGES, SETTINGS, changed, folder
from report.evidence.claims import ALPHA
from report.evidence.findings import recipe
from report.evidence.measures import MIOU
from report.evidence.statistics import holm
from report.evidence.wording import listed, percent, points

TABLE = Path("recipe") / "recipe.json"


def summarise(out: Path) -> dict:
    """Return the record of all changes that have every seed.

    For each: its settings, each seed's validation mIoU, by which fraction its validation loss rose from
    its lowest to the end, the seconds of its training, and the gain over the base recipe with its 95 %
    interval and p. Other work on the machine may slow an epoch: the median epoch is counted.
    """
    record = json.loads((out / SETTINGS).read_text())
    rows, base = [], []
    for name, change in CHANGES.items():
        runs = [run for run in load_runs(out / folder(name)) if run.seed in record["seeds"]]
        if len(runs) < len(record["seeds"]):
            break
        base = base or runs
        gain = MIOU.compare(runs, base)[0]
        losses = [run.history.val_loss.dropna() for run in runs]
        rows.append({
            "change": name, "settings": change, "miou": [run.miou for run in runs],
            "rise": [loss.iloc[-1] / loss.min() - 1 for loss in losses],
            "seconds": [run.history.seconds.median() * len(run.history) for run in runs],
            "gain": [gain.value, gain.low, gain.high], "p": gain.p})
    device = base[0].record["device"] if base else ""
    return record | {"images": len(base[0].image_names) if base else 0, "device": device, "rows": rows}


def table(record: dict) -> pd.DataFrame:
    """One row a change: validation mIoU, and the gain over the base recipe with its 95 % interval, in points."""
    usual, rows = np.mean(record["rows"][0]["seconds"]), []
    for row in record["rows"]:
        value, low, high = (points.number(x) for x in row["gain"])
        rows.append({"Change": row["change"], "Validation mIoU (%)": points.number(np.mean(row["miou"])),
                     "Gain (points)": "–" if row is record["rows"][0] else f"{value} ({low} to {high})",
                     "Loss rises by": percent(np.mean(row["rise"])), "Time": f"{np.mean(row['seconds']) / usual:.2f}"})
    return pd.DataFrame(rows)


def read(out: str | Path) -> dict | None:
    """Return the record of the ablation under `out`, made anew where its trainings are there; or None."""
    path = ROOT / out / TABLE
    if (ROOT / out / SETTINGS).exists():
        write_json(path, summarise(ROOT / out))
    return json.loads(path.read_text()) if path.exists() else None


def text(record: dict | None, runs: list[Run] = ()) -> str:
    """What the base recipe is, which changes help and which harm, and which one `runs` were trained with.

    That nothing was measured, where there is no record.
    """
    if record is None:
        return "No such runs belong to this report; its networks were trained with the settings of its profile."
    changes, base = record["rows"][1:], f"The base recipe has {recipe(record['settings'])}."
    if len(record["seeds"]) < 2:
        return f"{base} One seed tells nothing of how a training varies; no change is judged."
    sure = [row for row, p in zip(changes, holm([row["p"] for row in changes])) if p < ALPHA]
    said = []
    for word, sign in (("better", 1), ("worse", -1)):
        if found := [f"*{row['change']}* ({points(row['gain'][0])})" for row in sure if sign * row["gain"][0] > 0]:
            said.append(f"{word} than {BASE}: {listed(found)}")
    few = f"none is known to differ from {BASE} with so few seeds"
    chosen = f" The networks of this report have the recipe of *{found}*." if (found := _chosen(record, runs)) else ""
    return f"{base} {len(changes)} changes were judged together (Holm): {'; '.join(said) or few}.{chosen}"


def _chosen(record: dict, runs: list[Run]) -> str | None:
    """The row whose recipe and schedule all the runs have, if there is one."""
    names = ["epochs", "batch_size", "crop_size", *CHANGES[BASE]]
    for row in record["rows"] if runs else []:
        settings = changed(record["settings"], row["settings"], record["settings"]["image_size"])
        if all(run.config[name] == settings[name] for run in runs for name in names):
            return row["change"]
    return None
