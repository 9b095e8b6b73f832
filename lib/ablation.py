"""What each ingredient of the recipe brings, on validation images, with seeds.

    python -m lib.ablation --profile camvid --out build/camvid -p seeds '[0, 1, 2]'

trains the U-Net with the profile's settings and then with one change at a time, each in a folder of its own under
DIR/ablation, and writes DIR/recipe/recipe.json, which the cost chapter of the report in DIR shows. The test images are
replaced by the validation images, so that no choice can be made on the test. What is recorded is skipped, what was
interrupted continues.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.config import TrainConfig
from lib.files import write_json
from lib.findings import listed
from lib.models import TITLES
from lib.runs import load_runs
from lib.train import command, parser
from lib.training import fit

TABLE = Path("recipe") / "recipe.json"
BASE = "the profile's recipe"
CHANGES: dict[str, dict] = {
    BASE: {},
    "half as many epochs": {"epochs": 0.5},
    "twice as many epochs": {"epochs": 2},
    "zoom from 0.5 to 2": {"scale": [0.5, 2.0]},
    "no zoom": {"scale": [1.0, 1.0]},
    "crops of half the sides, twice the batch": {"crop": 0.5},
    "all classes alike": {"class_balance": 0.0},
    "rare classes weigh more": {"class_balance": 0.02},
    "cross-entropy and Dice": {"dice": 1.0},
    "averaged weights": {"ema": 0.995},
    "mirrored images too": {"flip_test": True},
    "Dice, averaged weights, mirrored images": {"dice": 1.0, "ema": 0.995, "flip_test": True},
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
    """All trainings that are missing, and the record: for each change its settings and each seed's validation mIoU."""
    seeds, data_root = settings.pop("seeds"), settings.pop("data_root")
    variant, rows = settings.pop("variant", "unet"), []
    del settings["extra"]
    for number, (name, change) in enumerate(CHANGES.items()):
        folder = out / "ablation" / f"{number:02d}"
        for seed in seeds:
            base = TrainConfig(variant=variant, seed=seed, **settings)
            size = base.image_size or base.load("val", data_root).targets.shape[1:]
            fit(_Validated(variant=variant, seed=seed, **changed(settings, change, size)), folder, data_root)
        runs = [found for found in load_runs(folder) if found.seed in seeds]
        rows.append({"change": name, "settings": change, "miou": [found.history.val_miou.max() for found in runs],
                     "seconds": [found.record["seconds"] for found in runs]})
        record = {"variant": variant, "settings": settings, "seeds": seeds, "device": runs[0].record["device"], "rows": rows}
        write_json(out / TABLE, record)
        print(f"{name}: {', '.join(f'{100 * score:.1f} %' for score in rows[-1]['miou'])}", flush=True)
    return record


class _Validated(TrainConfig):
    """A training whose test images are the validation images: the test split is not even read."""

    def load(self, split: str, data_root: str | Path | None = None):
        return super().load("val" if split == "test" else split, data_root)


def table(record: dict) -> pd.DataFrame:
    """One row a change: validation mIoU, and the difference to the profile's recipe seed by seed, in points."""
    base = np.array(record["rows"][0]["miou"])
    rows = []
    for row in record["rows"]:
        scores = 100 * np.array(row["miou"])
        gain = scores - 100 * base
        rows.append({"Change": row["change"], "Validation mIoU (%)": f"{scores.mean():.1f}",
                     "Gain (points)": f"{gain.mean():+.1f} ({gain.min():+.1f} to {gain.max():+.1f})",
                     "Time": f"{np.mean(row['seconds']) / np.mean(record['rows'][0]['seconds']):.2f}"})
    return pd.DataFrame(rows)


def read(out: str | Path) -> dict | None:
    """The record under `out`, or None."""
    path = ROOT / out / TABLE
    return json.loads(path.read_text()) if path.exists() else None


def caption(record: dict) -> str:
    """Of `table`."""
    return (f"{TITLES[record['variant']]}, one change at a time, {len(record['seeds'])} seed{'s' * (len(record['seeds']) > 1)}, on "
            f"{record['device']}: the best validation mIoU, the gain over {BASE}, seed by seed (lowest to highest), and training "
            "time in units of that recipe's.")


def text(record: dict | None) -> str:
    """Which change brought most, or that none was measured here."""
    if record is None:
        return "No such runs belong to this report; its networks were trained with the settings of its profile."
    base = np.array(record["rows"][0]["miou"])
    gains = {row["change"]: 100 * (np.array(row["miou"]) - base) for row in record["rows"][1:]}
    sure = [f"{name} ({gain.mean():+.1f})" for name, gain in gains.items() if gain.min() > 0]
    return (f"With every seed better than {BASE}, in points: {listed(sure)}." if sure
            else f"No change was better than {BASE} with every seed.") + (
        " One seed decides nothing." if len(base) == 1 else "")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return command(run, parser("lib.ablation", __doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
