"""The tables that compare networks, classes and splits, made from records."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from lib.data import Dataset
from lib.models import SHORT, TITLES, VARIANTS
from lib.records import Run, by_variant
from lib.structure import ratio
from report.evidence import measures as of
from report.evidence.measure import Measure, frames_of
from report.evidence.readings import NotMeasured, by_frequency
from report.evidence.scores import epochs_to_reach, final_value, miou_definitions
from report.evidence.sentences import title
from report.evidence.statistics import contrast_counts
from report.evidence.wording import count_of, effect_text, p_cell, percent, points, whole_percent

SHARES = (0.85, 0.9, 0.95)  # of the U-Net's final validation mIoU
# The same assignment by others (IIIT Hyderabad, Computer Vision, Spring 2025, assignment 4): 13
# classes, 256 x 256 pixels, one seed, each under its own definition of mIoU.
SIBLINGS = pd.DataFrame(
    [("Arpit000007/Semantic-Segmentation-with-U-Net-Variants", 0.8556, 0.7852, 0.8635, 0.8670),
     ("Aditya-S-Kul/Computer-Vision, Assignment4/Q2", 0.8335, 0.6930, 0.8553, 0.8383),
     ("ss-369/Semantic-Segmentation-with-FCN-and-U-Net-Variants", 0.7606, 0.7161, 0.8361, 0.8352),
     ("sudokara/semantic-segmentation (metric fed index maps)", 0.974, 0.811, 0.974, 0.970)],
    columns=["Source", "U-Net", "no skips", "residual", "gated"],
)  # fmt: skip
# CamVid at 360 x 480, eleven classes, trained from scratch on the 367 images: per cent.
CAMVID_OTHERS = pd.DataFrame(
    [("Test mIoU (%)", 51.3, 55.6, 55.6, 66.9, 70.5)],
    columns=["", "ENet", "SegNet", "ESPNet", "FC-DenseNet103", "LETNet"],
)


def siblings_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the scores of others, and below them these runs' where all four networks have any."""
    groups = by_variant(runs)
    if not VARIANTS.keys() <= groups.keys():
        return SIBLINGS
    name = title(runs[0].record["dataset"])
    size = " × ".join(map(str, runs[0].record["dataset"]["size"]))
    scores = [np.mean([run.miou for run in groups[key]]) for key in VARIANTS]
    own = pd.DataFrame([[f"this report ({name}, {size})", *scores]], columns=SIBLINGS.columns)
    return pd.concat([SIBLINGS, own], ignore_index=True)


def splits_table(splits: dict[str, Dataset]) -> pd.DataFrame:
    """Return a row for each split: images, size, share of void, first digits of the checksum."""
    return pd.DataFrame(
        {
            "Split": split,
            "Images": count_of(len(data), data.available),
            "Height × width": " × ".join(map(str, data.targets.shape[1:])),
            "Void": percent(1 - data.pixels_per_class().sum() / data.targets.numel()),
            "Checksum": data.checksum[:12],
        }
        for split, data in splits.items()
    )


def scores_table(runs: Sequence[Run], scenes: Sequence[Run] = ()) -> pd.DataFrame:
    """Return test mIoU of each network and its difference from U-Net with interval and p.

    Networks that were trained on drawn scenes, too, have their score and difference there.
    """
    groups, rows, drawn = by_variant(runs), [], by_variant(scenes)
    for key, group in groups.items():
        scores = np.array([run.miou for run in group])
        row = {
            "Network": TITLES[key],
            "Seeds": len(group),
            "Test mIoU": percent(scores.mean()),
            "SD": points(scores.std(ddof=1)) if len(scores) > 1 else "–",
        }
        if key != "unet" and "unet" in groups:
            estimate = of.MIOU.compare(group, groups["unet"])
            note = " (images only)" if estimate.one_seed else ""
            row["Against U-Net"] = points.signed(estimate.value)
            row["95 % interval"] = points.range(estimate.low, estimate.high) + note
            row["p"] = p_cell(estimate.tested_p)
        if key in drawn:
            row["Scenes"] = percent(np.mean([run.miou for run in drawn[key]]))
        if key in drawn and key != "unet" and "unet" in drawn:
            there = of.MIOU.compare(drawn[key], drawn["unet"])
            row["Scenes: against U-Net"] = effect_text(there, points)
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _by_network(
    runs: Sequence[Run], columns: dict[str, Callable[[Sequence[Run]], float]]
) -> pd.DataFrame:
    """Return a row for each network; a column that no network has is left out."""
    rows = [
        {"Network": TITLES[key]} | {name: make(group) for name, make in columns.items()}
        for key, group in by_variant(runs).items()
    ]
    return pd.DataFrame(rows).dropna(axis=1, how="all")


def _mean(measure: Measure) -> Callable[[Sequence[Run]], float]:
    """Return a function from runs to their mean, NaN where one was not measured."""

    def mean(group: Sequence[Run]) -> float:
        try:
            return float(measure.of(group).mean())
        except NotMeasured:
            return np.nan

    return mean


def loss_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return training and test loss after the last epoch and their gap, nats per pixel."""
    measures = {"Training loss": of.LOSS, "Test loss": of.TEST_LOSS, "Gap": of.GAP}
    return _by_network(runs, {name: _mean(measure) for name, measure in measures.items()})


def cost_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return sizes, seconds, memory and speed of learning of each network, means over seeds."""

    def mean(name: str, unit: float = 1) -> Callable[[Sequence[Run]], float]:
        return lambda group: np.mean([run.record[name] for run in group]) / unit

    def epochs_to(share: float) -> Callable[[Sequence[Run]], float]:
        """NaN where a seed never reaches that share of the U-Net's final score."""
        finals = [final_value(run.history, "val_miou") for run in by_variant(runs).get("unet", [])]
        score = share * float(np.mean(finals or [np.nan]))
        return lambda group: np.mean([epochs_to_reach(run.history, score) for run in group])

    return _by_network(runs, {
        "Parameters (millions)": mean("parameters", 1e6),
        "Multiply-adds (billions)": mean("multiply_adds", 1e9),
        "Training (s)": mean("seconds"),
        "Peak memory (MiB)": mean("peak_memory_mib"),
    } | {f"Epochs to {whole_percent(share)}": epochs_to(share) for share in SHARES})


def definitions_table(runs: Sequence[Run], batch_size: int = 8) -> pd.DataFrame:
    """Return the first seed's score under each definition of mIoU that others use."""
    columns = {}
    for key, (run, *_) in by_variant(runs).items():
        index_maps = run.structure.get("index_maps")
        columns[SHORT[key]] = miou_definitions(run.per_image, batch_size, index_maps)
    table = pd.DataFrame(columns).map(percent)
    return table.rename_axis("Definition").reset_index()


def class_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return test IoU of every class under every network, means over seeds, frequent to rare."""
    order, trained = by_frequency(runs[0]), np.array(runs[0].record["dataset"]["pixels"]["train"])
    table = pd.DataFrame({
        "Class": [runs[0].classes.names[k] for k in order],
        "Share of training pixels": [percent(share) for share in trained[order] / trained.sum()],
    })
    for key, group in by_variant(runs).items():
        means = np.mean([run.iou for run in group], axis=0)[order]
        table[SHORT[key]] = ["–" if np.isnan(mean) else percent(mean) for mean in means]
    return table


def class_differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the difference from U-Net in each class's test IoU with its interval, fractions."""
    groups, rows = by_variant(runs), []
    reference = groups.pop("unet", [])
    for key, group in groups.items() if reference else ():
        own, base = (np.stack([_overlaps(run.per_image) for run in each])
                     for each in (group, reference))  # fmt: skip
        for k in by_frequency(runs[0]):
            frames = frames_of(group[0], group[0].image_names)
            counts = [own[:, :, k], base[:, :, k]]
            estimate = contrast_counts(counts, (1, -1), ratio, frames)
            name = runs[0].classes.names[k]
            rows.append((key, name, estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["variant", "class", "value", "low", "high"])


def _overlaps(confusions: np.ndarray) -> np.ndarray:
    """Return intersection and union of every class: (N, K, K) -> (N, K, 2)."""
    intersection = np.diagonal(confusions, axis1=1, axis2=2)
    union = confusions.sum(1) + confusions.sum(2) - intersection
    return np.stack([intersection, union], -1)
