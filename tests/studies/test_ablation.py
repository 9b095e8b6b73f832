"""The ablation of the recipe: one change at a time, on validation images alone, taken up where it stopped."""

import json

import numpy as np
import pytest

from lib.data import load_dataset
from lib.studies import ablation as trainings
from lib.studies.ablation import BASE, changed, main
from lib.train import fit
from report.evidence import ablation
from report.evidence.ablation import TABLE, table

TINY = {"image_size": "[32, 48]", "train_images": "4", "val_images": "3", "test_images": "2", "epochs": "2", "seeds": "[0, 1]",
        "dice": "1.0"}


@pytest.fixture
def few(monkeypatch):
    for module in (trainings, ablation):
        monkeypatch.setattr(module, "CHANGES", {BASE: {"dice": 0.0}, "no zoom": {"scale": [1.0, 1.0]}})


def _run(out, **more):
    return main(["--profile", "smoke", "--out", str(out), *(x for item in (TINY | more).items() for x in ("-p", *item))])


def test_the_record_holds_validation_scores_alone_and_is_resumed(few, tmp_path, capsys, monkeypatch):
    read = []
    monkeypatch.setattr("lib.data.load_dataset", lambda *a: read.append(a[2]) or load_dataset(*a))
    assert _run(tmp_path) == 0 and "test" not in read and {"train", "val"} == set(read)
    record = ablation.read(tmp_path)
    assert record == json.loads((tmp_path / TABLE).read_text())
    assert [row["change"] for row in record["rows"]] == [BASE, "no zoom"]
    run = ablation.load_runs(tmp_path / "ablation" / "no-zoom")[1]
    assert run.config["dice"] == 0.0 == record["settings"]["dice"], "the base recipe and not the profile's"
    assert run.config["scale"] == [1.0, 1.0] and record["rows"][1]["miou"][1] == run.miou
    assert run.miou == pytest.approx(run.history.val_miou.iloc[-1], abs=1e-6), "the network after the last epoch"
    low, value, high = (record["rows"][1]["gain"][i] for i in (1, 0, 2))
    assert low <= value <= high and value == pytest.approx(np.subtract(*(np.mean(row["miou"]) for row in record["rows"][::-1])))
    losses = run.history.val_loss.dropna()
    assert record["rows"][1]["rise"][1] == losses.iloc[-1] / losses.min() - 1 >= 0
    assert record["images"] == 3
    assert run.record["dataset"]["checksums"]["test"] == run.record["dataset"]["checksums"]["val"]
    assert _run(tmp_path) == 0 and capsys.readouterr().out.count("recorded") == 4
    assert _run(tmp_path, epochs="3") == 1 and "other settings (epochs = 2 there, 3 now)" in capsys.readouterr().err


def test_changes_of_schedule_and_crop_follow_the_settings():
    settings = {"epochs": 9, "batch_size": 4}
    assert changed(settings, {"epochs": 0.5}, (96, 128)) == {"epochs": 4, "batch_size": 4}
    assert changed(settings, {"crop": 0.5}, (96, 128)) == {"epochs": 9, "batch_size": 8, "crop_size": [48, 64]}


def test_what_is_known_to_differ_is_told_apart_from_chance():
    rows = [{"change": BASE, "miou": [0.4, 0.5], "seconds": [10, 10], "rise": [0, 0], "gain": [0, 0, 0], "p": 1.0},
            {"change": "x", "miou": [0.42, 0.51], "seconds": [15, 25], "rise": [0.1, 0.3], "gain": [0.015, -0.01, 0.04], "p": 0.2},
            {"change": "y", "miou": [0.3, 0.4], "seconds": [10, 10], "rise": [0, 0], "gain": [-0.1, -0.12, -0.08], "p": 0.001},
            {"change": "z", "miou": [0.5, 0.6], "seconds": [10, 10], "rise": [0, 0], "gain": [0.1, 0.01, 0.19], "p": 0.02}]
    settings = {"batch_size": 4, "learning_rate": 0.01, "weight_decay": 0, "crop_size": None} | ablation.CHANGES[BASE]
    record = {"rows": rows, "seeds": [0, 1], "settings": settings}
    second = table(record).iloc[1]
    assert second["Validation mIoU (%)"] == "46.5" and second["Gain (points)"] == "1.5 (−1.0 to 4.0)" and second["Time"] == "2.00"
    assert second["Loss rises by"] == "20.0\N{NO-BREAK SPACE}%"
    said = ablation.text(record).replace("\N{NO-BREAK SPACE}", " ")
    assert said.startswith("The base recipe has batches of 4") and "$b = 0.05$" in said and "3 changes were judged" in said
    assert "better than the base recipe: *z* (10.0 points); worse than the base recipe: *y* (−10.0 points)" in said
    assert "*x*" not in said
    assert "known to differ" in ablation.text(record | {"rows": rows[:2]})
    assert "One seed" in ablation.text(record | {"seeds": [0]})


def test_the_recipe_of_the_runs_is_found_among_the_changes(tiny, tmp_path):
    run = fit(tiny(epochs=4, dice=1.0), tmp_path)
    rows = [{"change": name, "settings": change, "p": 1.0, "gain": [0, 0, 0]} for name, change in
            ((BASE, {}), ("Dice", {"dice": 1.0}), ("Dice, twice as many epochs", {"dice": 1.0, "epochs": 2}))]
    record = {"rows": rows, "seeds": [0, 1], "settings": run.config | {"epochs": 2, "dice": 0.0}}
    assert ablation.text(record, [run]).endswith("have the recipe of *Dice, twice as many epochs*.")
    assert "the recipe of" not in ablation.text(record | {"rows": rows[:2]}, [run]) and "the recipe of" not in ablation.text(record)
