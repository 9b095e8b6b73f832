"""The four networks side by side: the tables and sentences of the analysis, from records alone."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.metrics import miou_definitions, nan_mean
from lib.models import SHORT, TITLES
from lib.records import Run, by_variant, load_runs
from lib.structure import contour_distance, ratio
from report.evidence.findings import change, conditions, count_of, pixels, title
from report.evidence.measures import (
    BOUNDARY, EPOCHS, GAP, LOSS, MIOU, MISSED, MISSED_OTHERS, SECONDS, TEST_LOSS, Measure,
)
from report.evidence.readings import NotMeasured
from report.evidence.statistics import Estimate, compare_counts
from report.evidence.wording import (
    capitalised, cell, listed, literal, p_cell, percent, points, seeds_text,
)

PUBLISHED = "report/published"
# The same study by others: 13 classes, 256 x 256 pixels, one seed, each under its own definition of mIoU.
SIBLINGS = pd.DataFrame(
    [("Arpit000007/Semantic-Segmentation-with-U-Net-Variants", 0.8556, 0.7852, 0.8635, 0.8670),
     ("Aditya-S-Kul/Computer-Vision, Assignment4/Q2", 0.8335, 0.6930, 0.8553, 0.8383),
     ("ss-369/Semantic-Segmentation-with-FCN-and-U-Net-Variants", 0.7606, 0.7161, 0.8361, 0.8352),
     ("sudokara/semantic-segmentation (metric fed index maps)", 0.974, 0.811, 0.974, 0.970)],
    columns=["Source", "U-Net", "no skips", "residual", "gated"],
)

# CamVid at 360 x 480, eleven classes, trained from scratch on the 367 images: test mIoU in per cent.
CAMVID_OTHERS = pd.DataFrame([("ENet", 51.3), ("SegNet", 55.6), ("ESPNet", 55.6), ("FC-DenseNet103", 66.9)],
                             columns=["Network", "Test mIoU (%)"])


def load_or_published(out: str | Path) -> tuple[list[Run], str, Path | None]:
    """The runs under `out` or, where there is none, the published ones; their setting; where to write figures.

    Figures of the published runs are not written to `out`: None then.
    """
    if runs := load_runs(out):
        return runs, setting(runs), Path(out) / "figures"
    if runs := load_runs(PUBLISHED):
        return runs, f"There are no records under `{out}`: this is the published study. {setting(runs)}", None
    raise FileNotFoundError(f"{ROOT / out / 'runs'}: no records; run notebooks 1 to 4 with out = {out}, or `make report`")


def setting(runs: Sequence[Run]) -> str:
    """Data, size and effort of the comparison in one sentence."""
    first, groups = runs[0], by_variant(runs)
    dataset, config = first.record["dataset"], first.config
    counts = sorted({len(group) for group in groups.values()})
    available = dataset.get("available", {})
    train, test = (count_of(dataset["counts"][part], available.get(part)) for part in ("train", "test"))
    return (f"{literal(title(dataset))} at {pixels(dataset['size'])}: {train} training and {test} test "
            f"images; {config['base_channels']} base channels, {config['epochs']} epochs, "
            f"{seeds_text(counts)} a network, trained on {listed(sorted({run.record['device'] for run in runs}))}.")


def scores_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Test mIoU of each network and its difference from U-Net with interval and p."""
    groups, rows = by_variant(runs), []
    for key, group in groups.items():
        scores = np.array([run.miou for run in group])
        row = {"Network": TITLES[key], "Seeds": len(group), "Test mIoU": percent(scores.mean()),
               "Standard deviation": points(scores.std(ddof=1)) if len(scores) > 1 else "–"}
        if key != "unet" and "unet" in groups:
            estimate, *_ = MIOU.compare(group, groups["unet"])
            row |= {"Against U-Net": points(estimate.value), "95 % interval": _interval(estimate),
                    "p": "–" if estimate.one_seed else p_cell(estimate.p)}
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _interval(estimate: Estimate) -> str:
    return points.range(estimate.low, estimate.high) + (" (images only)" if estimate.one_seed else "")


def convergence_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Epochs and seconds until validation mIoU reaches shares of U-Net's final one: means, and changes with intervals."""
    groups, rows = by_variant(runs), []
    for key, group in groups.items():
        row = {"Network": TITLES[key]}
        for measure in (*EPOCHS, *SECONDS):
            values = np.array([measure.read(run, groups.get("unet", group)) for run in group])
            reached = values[~np.isnan(values)]
            text = measure.level(reached.mean()) if len(reached) else "not reached"
            if 0 < len(reached) < len(values):
                text += f" ({len(reached)} of {len(values)} seeds)"
            elif len(reached) > 1 and key != "unet" and len(groups.get("unet", ())) > 1:
                with suppress(NotMeasured):  # a U-Net that never got there itself
                    estimate, *_ = measure.compare(group, groups["unet"])
                    text += f" ({percent.range(estimate.low, estimate.high)})"
            row[measure.name.split(" of ")[0].capitalize()] = text
        rows.append(row)
    return pd.DataFrame(rows)


def loss_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Training loss after the last epoch, test loss, and the gap between them, means over seeds, nats per pixel."""
    rows = []
    for key, group in by_variant(runs).items():
        row = {"Network": TITLES[key]}
        for name, measure in (("Training loss", LOSS), ("Test loss", TEST_LOSS), ("Gap", GAP)):
            row[name] = _mean(measure, group)
        rows.append(row)
    return pd.DataFrame(rows)


def _mean(measure: Measure, group: Sequence[Run]) -> float:
    """The mean over seeds, NaN where a run does not hold it."""
    try:
        (contributed,) = measure.contributions([group])
    except NotMeasured:
        return np.nan
    return float(measure.values(contributed).mean())


def structure_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Boundary IoU, components missed altogether, and the mean distance between contours; means over seeds."""
    rows = []
    for key, group in by_variant(runs).items():
        row = {"Network": TITLES[key]}
        for measure in (BOUNDARY, MISSED, *MISSED_OTHERS):
            if not np.isnan(score := _mean(measure, group)):
                row[capitalised(measure.name)] = percent(score)
        contours = np.stack([run.structure["contours"].sum(0) for run in group])
        row["Distance between contours (pixels)"] = f"{np.mean(nan_mean(contour_distance(contours))):.1f}"
        rows.append(row)
    return pd.DataFrame(rows)


def cost_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Parameters, multiply-adds, seconds and memory of each network, means over seeds."""
    rows = []
    for key, group in by_variant(runs).items():
        record = group[0].record
        rows.append({"Network": TITLES[key], "Parameters (millions)": record["parameters"] / 1e6,
                     "Multiply-adds (billions)": record["multiply_adds"] / 1e9,
                     "Training (s)": np.mean([run.record["seconds"] for run in group]),
                     "Peak memory (MiB)": np.mean([run.record["peak_memory_mib"] for run in group])})
    return pd.DataFrame(rows)


def cost_sentence(runs: Sequence[Run]) -> str:
    """What each network costs against U-Net, by parameters, arithmetic and measured time."""
    table = cost_table(runs).set_index("Network")
    reference = table.loc["U-Net"] if "U-Net" in table.index else table.iloc[0]
    parts = []
    for name, row in table.drop(reference.name).iterrows():
        ratio = row / reference - 1
        parts.append(f"the {name} has {change(ratio.iloc[0], 'fewer')} parameters, {change(ratio.iloc[1])} arithmetic and took "
                     f"{change(ratio.iloc[2])} time")
    return f"Against the {reference.name}, {'; '.join(parts)}." if parts else ""


def definitions_table(runs: Sequence[Run], batch_size: int = 8) -> pd.DataFrame:
    """Our first seed under each definition of mIoU that siblings of this study use."""
    first = {key: group[0] for key, group in by_variant(runs).items()}
    columns = {SHORT[key]: miou_definitions(run.per_image, batch_size, run.structure.get("index_maps"))
               for key, run in first.items()}
    table = pd.DataFrame(columns).map(percent)
    return table.rename_axis("Definition").reset_index()


def class_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Test IoU of every class under every network, means over seeds, classes from frequent to rare."""
    pixels = np.array(runs[0].record["dataset"]["pixels"]["train"])
    order = np.argsort(-pixels)
    table = pd.DataFrame({"Class": [cell(runs[0].classes.names[k]) for k in order],
                          "Share of training pixels": [percent(x) for x in pixels[order] / pixels.sum()]})
    for key, group in by_variant(runs).items():
        table[SHORT[key]] = ["–" if np.isnan(x) else percent(x) for x in np.mean([run.iou for run in group], axis=0)[order]]
    return table


def class_differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Difference from U-Net in the test IoU of each class with its interval, fractions; classes frequent to rare."""
    groups, classes, rows = by_variant(runs), runs[0].classes, []
    for key in [key for key in groups if key != "unet"] if "unet" in groups else []:
        for k in np.argsort(-np.array(runs[0].record["dataset"]["pixels"]["train"])):
            counts = [np.stack([_overlap(run.per_image, k) for run in groups[name]]) for name in (key, "unet")]
            estimate = compare_counts(*counts, ratio, MIOU.frames(runs[0]))
            rows.append((key, classes.names[k], estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["variant", "class", "value", "low", "high"])


def _overlap(confusions: np.ndarray, k: int) -> np.ndarray:
    """Intersection and union of class k in each image: (N, K, K) -> (N, 2)."""
    intersection = confusions[:, k, k]
    return np.stack([intersection, confusions[:, k].sum(1) + confusions[:, :, k].sum(1) - intersection], -1)


def class_sentence(runs: Sequence[Run]) -> str:
    """The classes on which the network without skips stands worst and best against U-Net."""
    groups = by_variant(runs)
    if not {"unet", "unet-noskip"} <= groups.keys():
        return ""
    means = {key: np.mean([run.iou for run in groups[key]], axis=0) for key in ("unet", "unet-noskip")}
    names = [literal(name) for name in runs[0].classes.names]
    difference = pd.Series(means["unet-noskip"] - means["unet"], index=names).dropna().sort_values()
    if len(difference) < 3:
        return ""
    worst, second, best = (f"{difference.index[i]} ({points(difference.iloc[i])})" for i in (0, 1, -1))
    return f"Compared with U-Net, the network without skips stands worst on {worst} and {second}, and best on {best}."


def caveats(runs: Sequence[Run]) -> str:
    """What this comparison cannot show, as a list, from the runs at hand."""
    config, seeds = runs[0].config, min(len(group) for group in by_variant(runs).values())
    items = [f"This is {conditions(runs[0]).split(', seed')[0]}: what holds at this size need not hold at another."]
    if seeds < 3:
        items.append(f"With {seeds} seed{'s' * (seeds > 1)} a network, differences between networks cannot be told from "
                     "differences between initial weights; the intervals speak about the test images alone."
                     if seeds == 1 else f"With {seeds} seeds the intervals are wide.")
    control = TITLES["unet-noskip-wide"] if "unet-noskip-wide" in by_variant(runs) else ""
    items.append("The networks differ in parameters and arithmetic as well as in kind. " + (
        f"Only the {control} is given more channels for those that it lacks, as far as whole channels allow, to match the "
        "parameters of the U-Net and not its arithmetic." if control else "No network here is widened to make up for what it lacks."))
    items.append(f"One recipe serves all ({config['epochs']} epochs, learning rate {config['learning_rate']:g}); it was "
                 "not tuned for any one of them, and a network may be better under a recipe of its own.")
    if any(run.record["device"].startswith("CPU") for run in runs):
        items.append("Seconds were measured on a CPU that also had other work to do: epochs are the clock to compare by.")
    return "\n".join(f"- {item}" for item in items)
