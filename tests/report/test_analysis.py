"""Tables, sentences and figures of the analysis, from a few tiny runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY
from PIL import Image

from lib.models import TITLES
from lib.records import load_runs
from lib.train import fit
from report.evidence import loading, sentences
from report.evidence.claims import STUDY, judge
from report.evidence.comparison import ONE_SEED
from report.evidence.scores import epochs_to_reach
from report.evidence.wording import listed, nats, percent, points
from report.figures import charts, forest, pictures, show as display, tables
from report.figures.style import LOOKS, PAGE
from tests.pages import svg_of


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A folder with two seeds of U-Net and of the network without skips."""
    out = tmp_path_factory.mktemp("runs")
    for variant in ("unet", "unet-noskip"):
        for seed in (0, 1):
            fit(replace(TINY, variant=variant, seed=seed), out)
    return out


@pytest.fixture(scope="module")
def runs(out):
    return load_runs(out)


def test_scores_are_means_over_seeds(runs):
    table = tables.scores(runs).content.set_index("Network")
    unet, noskip = (
        [run.miou for run in runs if run.variant == key] for key in ("unet", "unet-noskip")
    )
    assert (
        table.loc["U-Net", "Test mIoU"] == percent(np.mean(unet))
        and table.loc["U-Net", "Against U-Net"] == "–"
    )
    difference = 100 * (np.mean(noskip) - np.mean(unet))
    assert table.loc[TITLES["unet-noskip"], "Against U-Net"].startswith(
        f"{difference:.1f}".replace("-", "−")
    )
    assert list(table.Seeds) == [2, 2]


def test_one_seed_decides_nothing(runs):
    first = [run for run in runs if run.seed == 0]
    assert set(forest.in_numbers(judge(first), STUDY)[0].content.Verdict) == {ONE_SEED}
    assert "cannot separate architectures from initial weights" in sentences.caveats(first, [])
    assert set(tables.scores(first).content.p) == {"–"}


def test_loss_and_cost_come_from_the_records(runs):
    loss = tables.loss(runs).content.set_index("Network").loc["U-Net"]
    assert loss["Training loss"] == pytest.approx(
        np.mean([r.history.train_loss.iloc[-1] for r in runs[:2]])
    )
    assert loss["Test loss"] == pytest.approx(np.mean([r.image_losses.mean() for r in runs[:2]]))
    assert loss["Gap"] == pytest.approx(loss["Test loss"] - loss["Training loss"])
    cost = tables.cost(runs).content.set_index("Network")["Parameters (millions)"]
    assert cost["U-Net"] == runs[0].record["parameters"] / 1e6 > cost[TITLES["unet-noskip"]]


def test_epochs_to_a_share_of_the_u_net_s_final_score(runs, monkeypatch):
    history = pd.DataFrame({"epoch": [1, 2, 3, 4], "val_miou": [np.nan, 0.2, np.nan, 0.4]})
    assert epochs_to_reach(history, 0.3) == pytest.approx(3) and epochs_to_reach(history, 0.1) == 2
    assert np.isnan(epochs_to_reach(history, 0.5))
    monkeypatch.setattr(tables, "SHARES", (0.1,))
    table = tables.cost(runs).content.set_index("Network")
    final = np.mean(
        [run.history.val_miou.dropna().iloc[-1] for run in runs if run.variant == "unet"]
    )
    expected = np.mean(
        [epochs_to_reach(run.history, 0.1 * final) for run in runs if run.variant == "unet"]
    )
    assert table.loc["U-Net", "Epochs to 10\N{NO-BREAK SPACE}%"] == pytest.approx(expected)


def test_the_table_of_networks_says_what_differs_and_what_it_costs(runs):
    table = tables.networks(runs).content.set_index("Network")
    record = runs[0].record
    assert table.loc["U-Net", "Parameters (millions)"] == record["parameters"] / 1e6
    assert table.loc["U-Net", "Multiply-adds (billions)"] == record["multiply_adds"] / 1e9
    assert table["It has"].tolist() == [
        "a skip at every level",
        "no skips",
        "a shortcut around every block",
        "a gate on every skip, fed by the coarser level",
    ]


def test_definitions_start_with_ours(runs):
    table = tables.definitions(runs).content
    assert table.loc[0, "U-Net"] == percent(runs[0].miou) and len(table) == 5


def test_chapter_sentences_agree_with_the_record(runs):
    run = runs[0]
    text = sentences.test_sentence(run)
    assert f"scores **{percent(run.miou)}** mIoU" in text
    assert str(run.record["dataset"]["counts"]["test"]) in text
    assert "32 × 48 pixels, 4 base channels, 3 epochs, seed 0" in sentences.chapter(run)


def test_class_differences_are_those_of_the_scores(runs):
    table = charts.class_differences(runs).set_index("class")
    unet, noskip = (
        np.mean([run.iou for run in runs if run.variant == key], axis=0)
        for key in ("unet", "unet-noskip")
    )
    expected = dict(zip(runs[0].classes.names, noskip - unet))
    assert dict(table.value) == pytest.approx(expected) and np.nanmax(np.abs(table.value)) > 0
    assert (
        table.index[0]
        == runs[0].classes.names[np.argmax(runs[0].record["dataset"]["pixels"]["train"])]
    )
    exhibit = charts.class_scores(runs)
    levels, changes = exhibit.content.axes
    assert levels.get_title("left") == "U-Net" and changes.get_title("left") == "no skips − U-Net"
    values = [line for line in changes.lines if line.get_label() == TITLES["unet-noskip"]]
    assert values[0].get_xdata() == pytest.approx(100 * table.value, nan_ok=True)
    worst = table.value.idxmin()
    assert f"Without skips {worst} loses most, {points(-table.value[worst])}." in exhibit.caption
    assert len(charts.class_scores(runs[:2]).content.axes) == 1


def test_captions_state_what_was_found(runs):
    unet, noskip = runs[:2], runs[2:]
    final = {
        TITLES[group[0].variant]: np.mean([r.history.train_loss.iloc[-1] for r in group])
        for group in (unet, noskip)
    }
    lowest = min(final, key=final.get)
    assert charts.loss(runs).caption.startswith(
        f"The training loss ends lowest for the {lowest} ({nats(final[lowest])})"
    )
    difference = np.mean([run.miou for run in noskip]) - np.mean([run.miou for run in unet])
    assert charts.test_miou(runs).caption.startswith(
        f"The {TITLES['unet-noskip']} differs most from the U-Net, by {points(difference)} (95"
    )
    assert charts.loss(unet).caption.startswith("The U-Net ends with a training loss of")
    charts.plt.close("all")


def test_listed():
    assert [listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]


@pytest.mark.parametrize(
    "draw", [charts.loss, charts.test_miou, charts.fine_structures, charts.class_scores]
)
def test_charts_are_page_wide_and_name_their_axes(runs, draw):
    figure = draw(runs).content
    assert figure.get_size_inches()[0] == PAGE
    assert any(axes.get_xlabel() or axes.get_title(loc="left") for axes in figure.axes)
    drawn = [
        line
        for axes in figure.axes
        for line in axes.lines
        if line.get_color() in {look.color for look in LOOKS.values()}
    ]
    assert {line.get_color() for line in drawn} == {LOOKS["unet"].color, LOOKS["unet-noskip"].color}


def test_error_map_and_show(runs, monkeypatch, tmp_path):
    target, prediction = np.array([[1, 2, 255]], np.uint8), np.array([[1, 3, 0]], np.uint8)
    right, wrong, void = pictures.ERRORS[pictures.errors(prediction, target)][0].tolist()
    assert right[3] < 30 and wrong == [213, 94, 0, 255] and void == [140, 140, 140, 255]
    shown = []
    monkeypatch.setattr(
        display, "display", lambda data, **more: shown.append((data, more["metadata"]["report"]))
    )
    exhibit = replace(
        pictures.predictions(runs[0]),
        label="fig-a",
        caption="What to see.",
        alt="A picture.",
        file="a.png",
    )
    assert svg_of(exhibit.data()).count("<image") == 4 * len(runs[0].examples[1::2][:2])
    display.show(exhibit, folder=tmp_path)
    (data, report), (_, note) = shown
    assert (
        report == {"label": "fig-a", "caption": "What to see.", "alt": "A picture."}
        and note["caption_of"] == "fig-a"
    )
    assert data["text/html"].startswith('<img alt="A picture."')
    assert Image.open(tmp_path / "a.png").format == "PNG"


def test_published_runs_stand_in_where_there_are_none(tmp_path):
    runs, where, folder = loading.load_or_published(tmp_path)
    assert runs and folder is None and "this is the published study" in where


def test_subsets_of_the_skips_belong_to_the_theory_alone(out, tmp_path):
    shutil.copytree(out / "runs", tmp_path / "runs")
    folder = tmp_path / "runs" / "unet-skips-0110" / "seed-0"
    shutil.copytree(out / "runs" / "unet" / "seed-0", folder)
    record = json.loads((folder / "record.json").read_text())
    record["variant"] = record["config"]["variant"] = "unet-skips-0110"
    (folder / "record.json").write_text(json.dumps(record))
    study, where, _ = loading.load_or_published(tmp_path)
    assert {run.variant for run in study} == {"unet", "unet-noskip"}
    assert [run.variant for run in loading.load_subsets(tmp_path)] == ["unet-skips-0110"]
    assert "1 to 2 seeds" not in where


def test_a_part_of_another_size_or_width_is_another_study(out, tmp_path):
    shutil.copytree(out / "runs", tmp_path / "scenes" / "runs")
    shutil.copytree(out / "runs", tmp_path / "quick" / "runs")
    assert loading.load_parts(tmp_path / "quick") == {}
