"""The record of one training run on disk: written once, by `lib.train`, and read by all others.

    OUT/runs/<variant>/seed-<k>/
        record.json       settings, history, test confusion matrix, cost, provenance
        confusions.npz    for each test image its confusion matrix, loss, drive and frame
        structure.npz     counts on boundaries and components for each test image
        attention.npz     the gates' coefficients on the fixed test images, where there are gates
        gradients.npz     norms of every block's gradient and update at fixed steps of the training
        doses.npz         tests of drawn scenes at other doses of clutter and noise, where made
        studies.npz       what the theory chapter reads of the trained network
        predictions/      the test images that are shown as the network labels them, PNG, indexed
        predictions.npz   every test image as the network labels it (not in git)
        weights.pt        the weights (never in git)
    OUT/runs/examples/    the test images that are shown and their labels

Counts are stored, never scores: every score is recomputed from counts. `lib.studies.carry` makes
light copies, in which independent test images are counted in groups.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.config import TrainConfig, complete
from lib.files import ClassTable, read_arrays, read_pixels
from lib.metrics import iou_per_class, mean_iou
from lib.models import TITLES
from lib.structure import ratio, unpack_counts

RECORD, STRUCTURE, WEIGHTS = "record.json", "structure.npz", "weights.pt"
COUNTED = ("confusions.npz", STRUCTURE, "gradients.npz", "studies.npz", "doses.npz")
ANY_EDITION = "SEGMENTATION_ANY_EDITION"  # set to anything: read others, to make documents anew
ANEW = "choose another `out`, or delete that folder to train anew"
# One more whenever other weights come out of the same settings and seed, or another network is
# tested. 1: the epoch with the best validation mIoU was tested. 2: the last one is. 3, of one
# network alone: it is widened in multiples of 8.
EDITION = 2
EDITIONS = {"unet-noskip-wide": 3}


def edition_of(variant: str) -> int:
    """Return the edition of today's training of that network."""
    return EDITIONS.get(variant, EDITION)


def run_folder(out: str | Path, variant: str, seed: int) -> Path:
    """Return the folder of a run; a relative `out` is taken from the project's folder."""
    return ROOT / out / "runs" / variant / f"seed-{seed}"


@dataclass(frozen=True)
class Run:
    """One finished run, read lazily from its folder."""

    folder: Path
    record: dict

    @classmethod
    def read(cls, folder: Path) -> "Run":
        path = folder / RECORD
        try:
            return cls(folder, json.loads(path.read_text()))
        except ValueError as error:
            text = f"{path}: not a readable record ({error}); delete the file and run again"
            raise ValueError(text) from error

    @property
    def variant(self) -> str:
        return self.record["variant"]

    @property
    def title(self) -> str:
        return TITLES[self.variant]

    @property
    def seed(self) -> int:
        return self.record["seed"]

    @property
    def examples(self) -> list[str]:
        """Names of the fixed test images."""
        return self.record["examples"]

    @property
    def edition(self) -> int:
        """The edition of the training that wrote the record; the first one did not say so."""
        return self.record.get("edition", 1)

    @property
    def config(self) -> dict:
        """The settings, those that are younger than the record at their defaults."""
        return complete(self.record["config"])

    @cached_property
    def classes(self) -> ClassTable:
        table = self.record["dataset"]["classes"]
        return ClassTable(tuple(c["name"] for c in table), tuple(tuple(c["color"]) for c in table))

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch: losses in nats per pixel, val_miou, learning_rate, seconds."""
        return pd.DataFrame(self.record["history"]).astype({"val_loss": float, "val_miou": float})

    @cached_property
    def confusion(self) -> np.ndarray:
        """Pixels of the test set by target (row) and prediction (column), int64 (K, K)."""
        return np.array(self.record["test_confusion"], dtype=np.int64)

    @cached_property
    def iou(self) -> np.ndarray:
        """The test IoU of each class, float64 (K,), NaN where target and prediction lack it."""
        return iou_per_class(self.confusion)

    @cached_property
    def miou(self) -> float:
        return float(mean_iou(self.confusion))

    @cached_property
    def _confusions(self) -> dict[str, np.ndarray]:
        return read_arrays(self.folder / "confusions.npz")

    @property
    def per_image(self) -> np.ndarray:
        """The confusion matrix of each test image, or `group` of them, int64 (N, K, K)."""
        return self._confusions["per_image"].astype(np.int64)

    @property
    def image_names(self) -> list[str]:
        return self._confusions["names"].tolist()

    @property
    def group(self) -> int:
        """How many consecutive test images each entry of `per_image` and `structure` counts."""
        return int(self._confusions.get("group", 1))

    @property
    def image_losses(self) -> np.ndarray:
        """Each test image's loss in nats per pixel, float64 (N,), NaN for void alone."""
        return ratio(self._confusions["loss"])

    @property
    def frames(self) -> list[tuple[str, int]]:
        """Drive and frame number of each test image."""
        return list(zip(self._confusions["drives"].tolist(), self._confusions["frames"].tolist()))

    # Arrays by name, {} where they were not made.
    @cached_property
    def structure(self) -> dict[str, np.ndarray]:
        """The counts of `lib.structure` for each test image."""
        return unpack_counts(self._arrays(STRUCTURE))

    @cached_property
    def gradients(self) -> dict[str, np.ndarray]:
        """The norms of `lib.evaluation.GradientLog.arrays`."""
        return self._arrays("gradients.npz")

    @cached_property
    def studies(self) -> dict[str, np.ndarray]:
        """What `lib.studies.theory` measured on the trained network."""
        return self._arrays("studies.npz")

    @cached_property
    def doses(self) -> dict[str, np.ndarray]:
        """What `lib.studies.doses` counted at other doses."""
        return self._arrays("doses.npz")

    @cached_property
    def _predictions(self) -> dict[str, np.ndarray]:
        return self._arrays("predictions.npz")

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        path = self.folder / name
        return read_arrays(path) if path.exists() else {}

    def prediction(self, name: str) -> np.ndarray:
        """Return a shown image's labels, uint8 (H, W), or any's while predictions.npz is there."""
        path = self.folder / "predictions" / f"{name}.png"
        if path.exists() or not self._predictions:
            return read_pixels(path)
        return self._predictions["labels"][self._predictions["names"].tolist().index(name)]

    def image(self, name: str) -> np.ndarray:
        """Return a shown test image, uint8 (H, W, 3)."""
        return read_pixels(self.shared(name, "webp"), "RGB")

    def target(self, name: str) -> np.ndarray:
        """Return its true labels, uint8 (H, W), 255 = ignored."""
        return read_pixels(self.shared(name, "png"))

    def attention(self, name: str) -> list[np.ndarray]:
        """Return the gates' coefficients on a fixed image, float (H/2**l, W/2**l), finest first."""
        index = self.examples.index(name)
        return [maps[index] / 255 for maps in self._arrays("attention.npz").values()]

    def shared(self, name: str, suffix: str) -> Path:
        """Return the file of a shown image ("webp") or its labels ("png"), common to all runs."""
        return self.folder.parent.parent / "examples" / f"{name}.{suffix}"


def load_runs(out: str | Path) -> list[Run]:
    """Return every finished run under `out`, in the order of the variants and their seeds."""
    runs = [Run.read(path.parent) for path in (ROOT / out / "runs").glob(f"*/seed-*/{RECORD}")]
    return sorted(runs, key=lambda run: ([*TITLES].index(run.variant), run.seed))


def by_variant(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of each variant, in the order of the table of variants."""
    runs = list(runs)
    groups = {key: [run for run in runs if run.variant == key] for key in TITLES}
    return {key: group for key, group in groups.items() if group}


def require_same(edition: int, recorded: dict, config: TrainConfig, folder: Path) -> None:
    """Raise ValueError unless a record or checkpoint has today's edition and these settings."""
    current = edition_of(config.variant)
    if edition != current and not os.environ.get(ANY_EDITION):
        raise ValueError(
            f"{folder}: begun by edition {edition} of the training, and this is edition {current}, "
            f"which gives other results; {ANEW}")
    now, there = (json.loads(json.dumps(each)) for each in (asdict(config), complete(recorded)))
    different = [
        f"{name} = {there[name]} there, {now[name]} now"
        for name in now if there[name] != now[name]]
    if different:
        settings = "; ".join(different)
        raise ValueError(f"{folder}: holds a run with other settings ({settings}); {ANEW}")
