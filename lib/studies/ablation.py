"""What each ingredient of the recipe brings, on validation images, with seeds.

    python -m lib.studies.ablation --profile camvid --out build/camvid -p seeds '[0, 1, 2]'

trains the U-Net of the profile with a plain recipe, the first of `CHANGES`, and then with one change at a time or a few
together, each in a folder of its own under DIR/ablation, and writes DIR/recipe/recipe.json, which the cost chapter of
the report in DIR shows. Of the profile's own recipe only epochs and batch, learning rate and weight decay count: what
was chosen from this table does not change the table. The test images are replaced by the validation images, so that no
choice can be made on the test. What is recorded is skipped, what was interrupted continues.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.config import TrainConfig
from lib.files import write_json
from lib.models import TITLES
from lib.runs import Run, load_runs
from lib.train import command, parser
from lib.training import fit
from report.evidence.claims import MIOU
from report.evidence.findings import listed, pixels, recipe, title
from report.evidence.statistics import holm, percent, points
from report.evidence.verdicts import ALPHA

TABLE = Path("recipe") / "recipe.json"
BASE = "the base recipe"
CHANGES: dict[str, dict] = {
    BASE: {"scale": [0.8, 1.5], "class_balance": 0.05, "dice": 0.0},
    "half as many epochs": {"epochs": 0.5},
    "twice as many epochs": {"epochs": 2},
    "zoom from 0.5 to 2": {"scale": [0.5, 2.0]},
    "zoom from 0.9 to 1.2": {"scale": [0.9, 1.2]},
    "no zoom": {"scale": [1.0, 1.0]},
    "no zoom, twice as many epochs": {"scale": [1.0, 1.0], "epochs": 2},
    "crops of half the sides, twice the batch": {"crop": 0.5},
    "all classes alike": {"class_balance": 0.0},
    "rare classes weigh more": {"class_balance": 0.02},
    "cross-entropy and Dice": {"dice": 1.0},
    "no zoom, rare classes weigh more, Dice": {"scale": [1.0, 1.0], "class_balance": 0.02, "dice": 1.0},
    "rare classes weigh more, Dice, three times as many epochs": {"class_balance": 0.02, "dice": 1.0, "epochs": 3},
}


def changed(settings: dict, change: dict, size: tuple[int, int]) -> dict:
    """The settings with that change; `epochs` is a factor, `crop` one for both sides of the images (H, W)."""
    change = dict(change)
    if "epochs" in change:
        change["epochs"] = max(1, round(settings["epochs"] * change["epochs"]))
    if factor := change.pop("crop", None):
        change["crop_size"] = [max(16, round(side * factor / 16) * 16) for side in size]
        change["batch_size"] = 2 * settings["batch_size"]
    return settings | change


def run(settings: dict, out: Path) -> dict:
    """All trainings that are missing, and the record.

    For each change: its settings, each seed's validation mIoU, by which fraction its validation loss rose from its
    lowest to the end, the seconds of its training, and with all seeds the gain over the base recipe with its 95 %
    interval and p. Other work on the machine may slow an epoch; it is the median epoch that is counted.
    """
    seeds, data_root = settings.pop("seeds"), settings.pop("data_root")
    variant, rows, base = settings.pop("variant", "unet"), [], None
    del settings["extra"]
    settings |= CHANGES[BASE]
    for name, change in CHANGES.items():
        folder = out / "ablation" / name.replace(",", "").replace(" ", "-")
        for seed in seeds:
            config = TrainConfig(variant=variant, seed=seed, **settings)
            size = config.image_size or config.load("val", data_root).targets.shape[1:]
            fit(_Validated(variant=variant, seed=seed, **changed(settings, change, size)), folder, data_root)
        runs = [found for found in load_runs(folder) if found.seed in seeds]
        base = base or runs
        gain = MIOU.compare(runs, base)[0]
        losses = [found.history.val_loss.dropna() for found in runs]
        rows.append({"change": name, "settings": change, "miou": [found.miou for found in runs],
                     "rise": [loss.iloc[-1] / loss.min() - 1 for loss in losses],
                     "seconds": [found.history.seconds.median() * len(found.history) for found in runs],
                     "gain": [gain.value, gain.low, gain.high], "p": gain.p})
        record = {"variant": variant, "settings": settings | {"image_size": list(size)}, "seeds": seeds,
                  "images": gain.images, "device": runs[0].record["device"], "rows": rows}
        write_json(out / TABLE, record)
        print(f"{name}: {', '.join(f'{100 * score:.1f} %' for score in rows[-1]['miou'])}", flush=True)
    return record


class _Validated(TrainConfig):
    """A training whose test images are the validation images: the test split is not even read."""

    def load(self, split: str, data_root: str | Path | None = None):
        return super().load("val" if split == "test" else split, data_root)


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
    """The record under `out`, or None."""
    path = ROOT / out / TABLE
    return json.loads(path.read_text()) if path.exists() else None


def caption(record: dict) -> str:
    """Of `table`."""
    settings, seeds = record["settings"], len(record["seeds"])
    return (f"{TITLES[record['variant']]}, changes to a base recipe of {settings['epochs']} epochs: "
            f"{title(settings['dataset'])} at {pixels(settings['image_size'])}, {settings['base_channels']} base channels, "
            f"{seeds} seed{'s' * (seeds > 1)} a change, {record['images']} validation images, on {record['device']}. The gain has its "
            "95 % interval over seeds and images; then how far the validation loss rises from its lowest to the end, and the time of "
            "training in units of the base recipe's.")


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


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(run, parser("lib.studies.ablation", __doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
