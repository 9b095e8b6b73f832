"""The choice of test images, what is stored for them, and the figures of them."""

from dataclasses import replace

import numpy as np
import pytest

from lib.data import load_split
from lib.datasets.camvid import CLASSES as CAMVID
from lib.files import IGNORE, write_arrays
from lib.metrics import confusion_matrix
from lib.records import Run, load_runs
from lib.train import TrainConfig
from report.figures import examples, pictures

SIGN = CAMVID.names.index("SignSymbol")


def stub(folder, variant: str, right: list[int], signs: list[int]) -> Run:
    """A record of images with 100 pixels of which so many are labelled as they should be; the rest of two classes."""
    per_image = np.zeros((len(right), 11, 11), int)
    for counts, correct, sign in zip(per_image, right, signs):
        counts[0, 0], counts[0, 1], counts[SIGN, SIGN] = correct, 100 - correct, sign
    folder = folder / "runs" / variant / "seed-0"
    write_arrays(folder / "confusions.npz", per_image=per_image, names=np.array([f"i{n}" for n in range(len(right))]))
    table = [{"name": name, "color": color} for name, color in zip(CAMVID.names, CAMVID.colors)]
    return Run(folder, {"variant": variant, "seed": 0, "dataset": {"classes": table}})


def test_the_rule(tmp_path):
    signs = [0, 0, 0, 0, 9, 0]
    unet = stub(tmp_path, "unet", [90, 80, 50, 60, 70, 20], signs)
    noskip = stub(tmp_path, "unet-noskip", [10, 81, 51, 61, 70, 21], signs)
    assert examples.choose([unet, noskip]) == {
        "i0": "the networks differ most, worst for no skips", "i2": "the median image", "i4": "most pixels of signs",
        "i5": "worst for U-Net"}
    assert examples.choose([unet]) == {"i3": "the median image", "i4": "most pixels of signs", "i5": "worst for every network"}


def test_an_image_of_nothing_but_void_is_never_chosen(tmp_path):
    run = stub(tmp_path, "unet", [50, 40, 60], [0, 0, 0])
    assert run.per_image[1].any()  # read once, and now without the pixels of the second image
    run._confusions["per_image"][1] = 0
    assert examples.choose([run]) == {"i0": "the median image, worst for every network"}


def test_what_is_shown_is_written_once_from_predictions_and_data(trained, tmp_path):
    runs = load_runs(trained)
    targets = load_split(TrainConfig(**runs[0].config), "test").targets.numpy()
    for run in runs:
        for name, target, counts in zip(run.image_names, targets, run.per_image):
            assert np.array_equal(confusion_matrix(run.prediction(name), target, 13), counts)
    stored = [path for pattern in ("examples/*", "*/*/predictions/*") for path in (trained / "runs").glob(pattern)]
    before = {path: path.read_bytes() for path in stored}
    for path in before:
        path.unlink()
    chosen, sentence = examples.shown(runs)
    written = {path for run in runs for name in chosen for path in (
        run.folder / f"predictions/{name}.png", run.shared(name, "png"), run.shared(name, "webp"))}
    assert chosen == examples.choose(runs) and all(name in sentence for name in chosen)
    assert all(path.exists() for path in written) and not list(trained.rglob("*.partial"))
    assert all(path.read_bytes() == before[path] for path in written & before.keys())
    times = {path: path.stat().st_mtime_ns for path in written}
    examples.shown(runs)
    assert {path: path.stat().st_mtime_ns for path in written} == times
    for path, content in before.items():
        path.write_bytes(content)


def test_without_predictions_the_fixed_images_are_shown(trained, monkeypatch):
    runs, stored = load_runs(trained), trained / "runs/unet/seed-0/predictions.npz"
    content, chosen = stored.read_bytes(), {"test-99999": "a reason"}
    monkeypatch.setattr(examples, "choose", lambda runs: chosen)
    stored.unlink()
    shown, sentence = examples.shown(runs)
    stored.write_bytes(content)
    assert list(shown) == runs[0].examples and "not stored" in sentence


def test_another_data_set_is_refused(trained):
    runs = load_runs(trained)
    name = runs[0].examples[0]
    runs[0].shared(name, "webp").unlink()
    other = replace(runs[0], record=runs[0].record | {"config": runs[0].config | {"image_size": [48, 64]}})
    with pytest.raises(ValueError, match=f"{name}: its labels are not those .* correct data_root"):
        examples.keep([other], [name])
    examples.keep(runs, [name])
    assert runs[0].image(name).shape == (32, 48, 3)


def test_predictions_come_back_from_checkpoints(trained, capsys):
    stored = [run.folder / "predictions.npz" for run in load_runs(trained)]
    before = [np.load(path)["labels"] for path in stored]
    stored[1].unlink()
    examples.main([str(trained)])
    assert all(np.mean(np.load(path)["labels"] == labels) > 0.999 for path, labels in zip(stored, before))
    assert "median" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        examples.main([str(trained / "nothing")])


def test_the_window_holds_the_small_parts():
    target = np.zeros((40, 80), np.uint8)
    assert pictures.fine_window(target) is None
    target[:, 40:] = 1
    target[20:24, 50:55], target[2, 2], target[30:, 60:] = 2, 2, IGNORE
    assert pictures.small_parts(target).sum() == 21
    rows, columns = pictures.fine_window(target)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (10, 20)
    assert rows.start <= 20 and rows.stop >= 24 and columns.start <= 50 and columns.stop >= 55


def test_figures_fit_a_page(trained):
    runs = load_runs(trained)
    names = {name: "a reason" for name in runs[0].examples}
    assert len(names) > 4
    pages = pictures.comparisons(runs, names, size=4)
    assert [page.file for page in pages] == ["comparison.png", *[""] * (len(pages) - 1)]
    assert len(pages) == -(-len(names) // 4) and len(pictures.comparisons(runs, names)) == -(-len(names) // 2)
    for exhibit in (*pages, pictures.close_ups(runs, [*names, *names])):
        width, height = exhibit.content.get_size_inches()
        assert width <= 7.001 and height <= 8.501
    pictures.plt.close("all")
