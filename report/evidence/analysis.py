"""The networks side by side: the tables of the analysis and its sentences, from records alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib import ROOT
from lib.models import SHORT, TITLES
from lib.records import Run, by_variant, load_runs
from lib.structure import ratio
from lib.studies.designs import DESIGNS
from report.evidence import measures as of
from report.evidence.findings import conditions, count_of, pixels, title
from report.evidence.measures import Measure
from report.evidence.readings import NotMeasured
from report.evidence.scores import miou_definitions
from report.evidence.statistics import Estimate, compare_counts
from report.evidence.wording import change, listed, literal, p_cell, percent, points, seeds_text

PUBLISHED, RECORDS = "report/published", "report/records"
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
    [("ENet", 51.3), ("SegNet", 55.6), ("ESPNet", 55.6), ("FC-DenseNet103", 66.9)],
    columns=["Network", "Test mIoU (%)"],
)


def load_or_published(out: str | Path) -> tuple[list[Run], str, Path | None]:
    """Return the runs under `out`, their setting, and the folder of figures.

    The published runs where there is none; their figures are not written to `out`: None.
    """
    if runs := load_runs(out):
        return runs, setting(runs), Path(out) / "figures"
    if runs := load_runs(PUBLISHED):
        note = f"There are no records under `{out}`: this is the published study."
        return runs, f"{note} {setting(runs)}", None
    path = ROOT / out / "runs"
    raise FileNotFoundError(f"{path}: no records; run notebooks 1 to 4 with out = {out}")


def load_parts(out: str | Path) -> dict[str, list[Run]]:
    """Return the runs of the designs' other parts, by name: other recipes, drives and data.

    They lie beside `out`, in folders that `lib.studies.designs` names; those of the published study
    are in report/records. A part without runs is left out.
    """
    published = Path(out) == Path(PUBLISHED) or not load_runs(out)
    folder = Path(RECORDS) if published else Path(out).parent
    names = dict.fromkeys(part.name for design in DESIGNS.values() for part in design.parts)
    found = {name: load_runs(folder / name) for name in names if name != Path(out).name}
    return {name: runs for name, runs in found.items() if runs}


def name_of(runs: Sequence[Run]) -> str:
    """Return the name of the data set, as it stands in a table's head."""
    return literal(title(runs[0].record["dataset"]))


def setting(runs: Sequence[Run]) -> str:
    """Return data, size and effort of the comparison in one sentence."""
    first, groups = runs[0], by_variant(runs)
    dataset, config = first.record["dataset"], first.config
    available, seeds = dataset.get("available", {}), sorted({*map(len, groups.values())})
    train, test = (
        count_of(dataset["counts"][part], available.get(part)) for part in ("train", "test")
    )
    devices = listed(sorted({run.record["device"] for run in runs}))
    return (
        f"{literal(title(dataset))} at {pixels(dataset['size'])}: {train} training and {test} test "
        f"images; {config['base_channels']} base channels, "
        f"{config['epochs']} epochs, {seeds_text(seeds)} per network, trained on {devices}."
    )


def scores_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return test mIoU of each network and its difference from U-Net with interval and p."""
    groups, rows = by_variant(runs), []
    for key, group in groups.items():
        scores = np.array([run.miou for run in group])
        row = {
            "Network": TITLES[key],
            "Seeds": len(group),
            "Test mIoU": percent(scores.mean()),
            "Standard deviation": points(scores.std(ddof=1)) if len(scores) > 1 else "–",
        }
        if key != "unet" and "unet" in groups:
            estimate, *_ = of.MIOU.compare(group, groups["unet"])
            row["Against U-Net"] = points.signed(estimate.value)
            row["95 % interval"] = points.range(estimate.low, estimate.high)
            if estimate.one_seed:
                row["95 % interval"] += " (images only)"
            row["p"] = "–" if estimate.one_seed else p_cell(estimate.p)
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def means_table(runs: Sequence[Run], measures: dict[str, Measure]) -> pd.DataFrame:
    """Return means over seeds, a row for each network; a column that nobody has is left out."""
    rows = []
    for key, group in by_variant(runs).items():
        means = {name: mean_of(measure, group) for name, measure in measures.items()}
        rows.append({"Network": TITLES[key]} | means)
    return pd.DataFrame(rows).dropna(axis=1, how="all")


def mean_of(measure: Measure, group: Sequence[Run]) -> float:
    """Return the mean over seeds; NaN where a run does not hold it."""
    try:
        return float(measure.of(group).mean())
    except NotMeasured:
        return np.nan


def loss_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return training and test loss after the last epoch and their gap, nats per pixel."""
    measures = {"Training loss": of.LOSS, "Test loss": of.TEST_LOSS, "Gap": of.GAP}
    return means_table(runs, measures)


def cost_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return parameters, multiply-adds, seconds and memory of each network, means over seeds."""
    rows = []
    for key, group in by_variant(runs).items():
        record = group[0].record
        rows.append({
            "Network": TITLES[key],
            "Parameters (millions)": record["parameters"] / 1e6,
            "Multiply-adds (billions)": record["multiply_adds"] / 1e9,
            "Training (s)": np.mean([run.record["seconds"] for run in group]),
            "Peak memory (MiB)": np.mean([run.record["peak_memory_mib"] for run in group]),
        })
    return pd.DataFrame(rows)


def cost_sentence(runs: Sequence[Run]) -> str:
    """Return what each network costs against U-Net: parameters, arithmetic and measured time."""
    table = cost_table(runs).set_index("Network")
    reference = table.loc["U-Net"] if "U-Net" in table.index else table.iloc[0]
    parts = []
    for name, row in table.drop(reference.name).iterrows():
        parameters, arithmetic, seconds, _ = row / reference - 1
        parts.append(
            f"the {name} has {change(parameters, 'fewer')} parameters, needs {change(arithmetic)} "
            f"arithmetic and took {change(seconds)} time"
        )
    return f"Compared with the {reference.name}, {'; '.join(parts)}." if parts else ""


def definitions_table(runs: Sequence[Run], batch_size: int = 8) -> pd.DataFrame:
    """Return the first seed's score under each definition of mIoU that others use."""
    columns = {}
    for key, group in by_variant(runs).items():
        run = group[0]
        index_maps = run.structure.get("index_maps")
        columns[SHORT[key]] = miou_definitions(run.per_image, batch_size, index_maps)
    table = pd.DataFrame(columns).map(percent)
    return table.rename_axis("Definition").reset_index()


def frequent_first(run: Run) -> np.ndarray:
    """Return the indices of the classes from frequent to rare in the training pixels."""
    return np.argsort(-np.array(run.record["dataset"]["pixels"]["train"]), kind="stable")


def class_differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the difference from U-Net in each class's test IoU with its interval, fractions."""
    groups, rows = by_variant(runs), []
    for key, group in groups.items():
        if key == "unet" or "unet" not in groups:
            continue
        for k in frequent_first(runs[0]):
            estimate = _class_difference(group, groups["unet"], k)
            name = runs[0].classes.names[k]
            rows.append((key, name, estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["variant", "class", "value", "low", "high"])


def _class_difference(group: Sequence[Run], reference: Sequence[Run], k: int) -> Estimate:
    counts = [np.stack([_overlap(run.per_image, k) for run in each]) for each in (group, reference)]
    return compare_counts(*counts, ratio, of.MIOU.frames(group[0]))


def _overlap(confusions: np.ndarray, k: int) -> np.ndarray:
    """Return intersection and union of class k in each image: (N, K, K) -> (N, 2)."""
    intersection = confusions[:, k, k]
    union = confusions[:, k].sum(1) + confusions[:, :, k].sum(1) - intersection
    return np.stack([intersection, union], -1)


def class_sentence(runs: Sequence[Run]) -> str:
    """Return which classes suffer most and least without skips, with their IoU."""
    groups = by_variant(runs)
    if not {"unet", "unet-noskip"} <= groups.keys():
        return ""
    names = [literal(name) for name in runs[0].classes.names]
    means = pd.DataFrame(
        {key: np.mean([run.iou for run in groups[key]], axis=0) for key in ("unet", "unet-noskip")},
        index=names,
    ).dropna()
    means["change"] = means["unet-noskip"] - means["unet"]
    means = means.sort_values("change")
    if len(means) < 3:
        return ""
    worst, second, best = (
        f"{name} (IoU {percent.number(row['unet'])} to {percent(row['unet-noskip'])})"
        for name, row in means.iloc[[0, 1, -1]].iterrows()
    )
    return f"Without skips, {worst} and {second} suffer most, {best} least."


def caveats(runs: Sequence[Run]) -> str:
    """Return what this comparison cannot show, as a list, from the runs."""
    groups, config = by_variant(runs), runs[0].config
    seeds = min(len(group) for group in groups.values())
    setting = conditions(runs[0]).split(", seed")[0]
    items = [f"One setting: {setting}. Other sizes may give other results."]
    if seeds == 1:
        items.append("One seed per network cannot separate architectures from initial weights; "
                     "intervals cover the test images alone.")  # fmt: skip
    wide = "unet-noskip-wide"
    control = ""
    if wide in groups:
        control = f"; only the {TITLES[wide]} is matched to the U-Net's parameters"
    items.append(f"The networks differ in parameters and arithmetic as well as in kind{control}.")
    items.append(
        f"One recipe serves all ({config['epochs']} epochs, learning rate "
        f"{config['learning_rate']:g}); none was tuned for a particular network."
    )
    if any(run.record["device"].startswith("CPU") for run in runs):
        items.append("Seconds were measured on a shared CPU: compare epochs rather than seconds.")
    return "\n".join(f"- {item}" for item in items)
