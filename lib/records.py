"""The record of one training run on disk: written once, by `lib.train`, and read by everything else.

    OUT/runs/<variant>/seed-<k>/record.json       settings, history, test confusion matrix, cost, provenance
                                confusions.npz    for each test image its confusion matrix, loss, drive and frame
                                structure.npz     counts on boundaries and components for each test image
                                attention.npz     the gates' coefficients on the fixed test images, where there are gates
                                gradients.npz     norms of every block's gradient and update at fixed steps of the training
                                doses.npz         tests of drawn scenes at other doses of clutter and noise, where made
                                studies.npz       what the theory chapter reads of the trained network
                                predictions/      the test images that are shown as the network labels them, PNG, indexed
                                predictions.npz   every test image as the network labels it (not in git)
                                weights.pt        the weights (never in git)
    OUT/runs/examples/                            the test images that are shown and their labels

Counts are stored, never scores: every score is recomputed from counts. Every file is written whole (`lib.files`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.config import complete
from lib.files import ClassTable, drive_and_frame, read_arrays, read_pixels
from lib.metrics import iou_per_class, mean_iou
from lib.models import TITLES
from lib.structure import unpack

RECORD = "record.json"
STRUCTURE = "structure.npz"
# The edition of the training: one more whenever other weights come out of the same settings and seed, or another network
# is tested. 1: the epoch with the best validation mIoU was tested. 2: the network after the last epoch is.
EDITION = 2


def run_folder(out: str | Path, variant: str, seed: int) -> Path:
    """Where the run of that variant and seed lives; a relative `out` is taken from the project's folder."""
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
            raise ValueError(f"{path}: not a readable record ({error}); delete the file and run again") from error

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
    def edition(self) -> int:
        """Of the training that wrote the record; the first one did not say so."""
        return self.record.get("edition", 1)

    @property
    def tested_epoch(self) -> int:
        """The epoch whose weights were tested."""
        return self.record.get("best_epoch", self.config["epochs"])

    @property
    def config(self) -> dict:
        return complete(self.record["config"])

    @cached_property
    def classes(self) -> ClassTable:
        table = self.record["dataset"]["classes"]
        return ClassTable(tuple(c["name"] for c in table), tuple(tuple(c["color"]) for c in table))

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row an epoch: train_loss and val_loss in nats per pixel, val_miou, learning_rate, seconds."""
        return pd.DataFrame(self.record["history"]).astype({"val_loss": float, "val_miou": float})

    @cached_property
    def confusion(self) -> np.ndarray:
        """int64 (K, K) over the whole test set, row = target, column = prediction."""
        return np.array(self.record["test_confusion"], dtype=np.int64)

    @cached_property
    def iou(self) -> np.ndarray:
        """float64 (K,): the test IoU of each class, NaN where a class is in neither target nor prediction."""
        return np.asarray(iou_per_class(self.confusion))

    @cached_property
    def miou(self) -> float:
        return float(mean_iou(self.confusion))

    @cached_property
    def _confusions(self) -> dict[str, np.ndarray]:
        return read_arrays(self.folder / "confusions.npz")

    @property
    def per_image(self) -> np.ndarray:
        """int64 (N, K, K)"""
        return self._confusions["per_image"].astype(np.int64)

    @property
    def image_names(self) -> list[str]:
        return [str(name) for name in self._confusions["names"]]

    @property
    def image_losses(self) -> np.ndarray | None:
        """float64 (N,): each test image's loss in nats per pixel; None in a record of the first edition."""
        if "loss" not in self._confusions:
            return None
        nats, weight = self._confusions["loss"].T
        return np.divide(nats, weight, out=np.full(len(nats), np.nan), where=weight > 0)

    @property
    def frames(self) -> list[tuple[str, int]]:
        """Drive and frame number of each test image."""
        if "drives" not in self._confusions:
            return [drive_and_frame(name) for name in self.image_names]
        return list(zip(self._confusions["drives"].tolist(), self._confusions["frames"].tolist()))

    @cached_property
    def structure(self) -> dict[str, np.ndarray]:
        """The counts of `lib.structure` for each test image, or {} where they were not taken."""
        path = self.folder / STRUCTURE
        return unpack(read_arrays(path)) if path.exists() else {}

    @cached_property
    def gradients(self) -> dict[str, np.ndarray]:
        """The norms of `lib.evaluation.GradientLog.arrays`, or {} where they were not taken."""
        path = self.folder / "gradients.npz"
        return read_arrays(path) if path.exists() else {}

    @cached_property
    def studies(self) -> dict[str, np.ndarray]:
        """What `lib.studies` measured on the trained network, or {} where it did not."""
        path = self.folder / "studies.npz"
        return read_arrays(path) if path.exists() else {}

    @cached_property
    def doses(self) -> dict[str, np.ndarray]:
        """What `lib.studies.doses` counted at other doses of clutter and noise, or {} where it did not."""
        path = self.folder / "doses.npz"
        return read_arrays(path) if path.exists() else {}

    @property
    def examples(self) -> list[str]:
        """Names of the fixed test images."""
        return self.record["examples"]

    def prediction(self, name: str) -> np.ndarray:
        """uint8 (H, W), of an image that is shown, or of any test image while predictions.npz is there."""
        path, stored = self.folder / "predictions" / f"{name}.png", self.folder / "predictions.npz"
        if path.exists() or not stored.exists():
            return read_pixels(path)
        return self._predictions["labels"][self._predictions["names"].tolist().index(name)]

    @cached_property
    def _predictions(self) -> dict[str, np.ndarray]:
        return read_arrays(self.folder / "predictions.npz")

    def image(self, name: str) -> np.ndarray:
        """uint8 (H, W, 3)"""
        return read_pixels(self.shared(name, "webp"), "RGB")

    def target(self, name: str) -> np.ndarray:
        """uint8 (H, W), 255 = ignored"""
        return read_pixels(self.shared(name, "png"))

    def attention(self, name: str) -> list[np.ndarray]:
        """The gates' coefficients on that fixed test image, finest level first, float (H/2**l, W/2**l); [] without."""
        path = self.folder / "attention.npz"
        index = self.examples.index(name)
        return [maps[index] / 255 for maps in read_arrays(path).values()] if path.exists() else []

    def shared(self, name: str, suffix: str) -> Path:
        """The file of a shown test image ("webp") or of its labels ("png"), which all runs have in common."""
        return self.folder.parent.parent / "examples" / f"{name}.{suffix}"


def load_runs(out: str | Path) -> list[Run]:
    """Every finished run under `out`, in the order of the variants and their seeds; [] where there is none."""
    order = list(TITLES)
    runs = [Run.read(path.parent) for path in (ROOT / out / "runs").glob(f"*/seed-*/{RECORD}")]
    return sorted(runs, key=lambda run: (order.index(run.variant), run.seed))


def by_variant(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of each variant, in the order of the table of variants."""
    runs = list(runs)
    groups = {key: [run for run in runs if run.variant == key] for key in TITLES}
    return {key: group for key, group in groups.items() if group}


def first_seeds(runs: Iterable[Run]) -> dict[str, Run]:
    """Return the first run of each variant."""
    return {key: group[0] for key, group in by_variant(runs).items()}
