"""What each ingredient of the recipe brings, on validation images, with seeds.

    python -m lib.studies.ablation --profile camvid --out build/camvid -p seeds '[0, 1, 2]'

trains the U-Net of the profile with a plain recipe, the first of `CHANGES`, and then with one change at a
time or a few together, each in a folder of its own under DIR/ablation; the cost chapter of the report in
DIR shows what comes of it. Of the profile's own recipe only epochs and batch, learning rate and weight
decay count: what was chosen from this table does not change the table. The networks are tested on the
validation images, so that no choice can be made on the test. What is recorded is skipped, what was
interrupted continues.
"""

import sys
from pathlib import Path

from lib.config import TrainConfig
from lib.data import load_split
from lib.files import write_json
from lib.train import command, fit, parser

ABLATION = Path("ablation")  # in the folder of the records
SETTINGS = ABLATION / "settings.json"
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


def folder(name: str) -> Path:
    """Return the place of a change's trainings, in the folder of the records."""
    return ABLATION / name.replace(",", "").replace(" ", "-")


def run(settings: dict, out: Path) -> None:
    """Make all trainings that are missing, and write the base recipe's settings beside them."""
    seeds, data_root = settings.pop("seeds"), settings.pop("data_root")
    variant = settings.pop("variant", "unet")
    del settings["extra"]
    settings |= CHANGES[BASE]
    base = TrainConfig(variant=variant, seed=seeds[0], **settings)
    size = base.image_size or load_split(base, "val", data_root).targets.shape[1:]
    write_json(out / SETTINGS, {
        "variant": variant, "settings": settings | {"image_size": list(size)}, "seeds": seeds})
    for name, change in CHANGES.items():
        for seed in seeds:
            config = TrainConfig(variant=variant, seed=seed, **changed(settings, change, size))
            score = fit(config, out / folder(name), data_root, tested="val").miou
            print(f"{name}, seed {seed}: validation mIoU {score:.1%}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return command(run, parser("lib.studies.ablation", __doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
