"""The choice of test images, what is stored for them, and the figures of them."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from faults import own_config

from lib.data import load_split
from lib.datasets.camvid import CLASSES as CAMVID
from lib.files import write_arrays
from lib.metrics import confusion_matrix
from lib.records import Run, load_runs
from lib.train import TrainConfig, fit
from report.evidence.wording import percent
from report.figures import comparisons, examples, pictures, show
from tests.pages import svg_of

SIGN = CAMVID.names.index("SignSymbol")


def stub(folder, variant: str, right: list[int], signs: list[int]) -> Run:
    """A record of images with 100 pixels of which so many are labelled as they should be.

    The others are of two classes.
    """
    per_image = np.zeros((len(right), 11, 11), int)
    for counts, correct, sign in zip(per_image, right, signs):
        counts[0, 0], counts[0, 1], counts[SIGN, SIGN] = correct, 100 - correct, sign
    folder = folder / "runs" / variant / "seed-0"
    write_arrays(
        folder / "confusions.npz",
        per_image=per_image,
        names=np.array([f"i{n}" for n in range(len(right))]),
    )
    table = [{"name": name, "color": color} for name, color in zip(CAMVID.names, CAMVID.colors)]
    return Run(folder, {"variant": variant, "seed": 0, "dataset": {"classes": table}})


def test_the_rule(tmp_path):
    signs = [0, 0, 0, 0, 9, 0]
    unet = stub(tmp_path, "unet", [90, 80, 50, 60, 70, 20], signs)
    noskip = stub(tmp_path, "unet-noskip", [10, 81, 51, 61, 70, 21], signs)
    assert examples.choose_images([unet, noskip]) == {
        "i0": "the networks differ most, worst for no skips",
        "i2": "the median image",
        "i4": "most pixels of signs",
        "i5": "worst for U-Net",
    }
    assert examples.choose_images([unet]) == {
        "i3": "the median image",
        "i4": "most pixels of signs",
        "i5": "worst for every network",
    }


def test_an_image_of_nothing_but_void_is_never_chosen(tmp_path):
    run = stub(tmp_path, "unet", [50, 40, 60], [0, 0, 0])
    assert run.per_image[1].any()  # read once, and now without the pixels of the second image
    run._confusions["per_image"][1] = 0
    assert examples.choose_images([run]) == {"i0": "the median image, worst for every network"}


def test_what_is_shown_is_written_once_from_predictions_and_data(trained, tmp_path):
    runs = load_runs(trained)
    targets = load_split(TrainConfig(**runs[0].config), "test").targets.numpy()
    for run in runs:
        for name, target, counts in zip(run.image_names, targets, run.per_image):
            assert np.array_equal(confusion_matrix(run.prediction(name), target, 13), counts)
    stored = [
        path
        for pattern in ("examples/*", "*/*/predictions/*")
        for path in (trained / "runs").glob(pattern)
    ]
    before = {path: path.read_bytes() for path in stored}
    for path in before:
        path.unlink()
    chosen, sentence = examples.shown(runs)
    written = {
        path
        for run in runs
        for name in chosen
        for path in (
            run.folder / f"predictions/{name}.png",
            run.shared(name, "png"),
            run.shared(name, "webp"),
        )
    }
    assert chosen == examples.choose_images(runs) and all(name in sentence for name in chosen)
    assert all(path.exists() for path in written) and not list(trained.rglob("*.partial"))
    assert all(path.read_bytes() == before[path] for path in written & before.keys())
    times = {path: path.stat().st_mtime_ns for path in written}
    examples.shown(runs)
    assert {path: path.stat().st_mtime_ns for path in written} == times
    for path, content in before.items():
        path.write_bytes(content)


def test_without_predictions_the_choice_is_among_the_fixed_images(trained, monkeypatch):
    runs, stored = load_runs(trained), trained / "runs/unet/seed-0/predictions.npz"
    content, fixed = stored.read_bytes(), runs[0].examples
    stored.unlink()
    for run in runs:
        for path in (run.folder / "predictions").glob("*.png"):
            if path.stem not in fixed:
                path.unlink()
    monkeypatch.setattr(
        examples,
        "choose_images",
        lambda runs, among=None: dict.fromkeys(among or ["test-99999"], "a reason"),
    )
    shown, sentence = examples.shown(runs)
    stored.write_bytes(content)
    assert (
        list(shown) == fixed
        and f"{len(fixed)} test images whose predictions are stored" in sentence
    )


def test_the_rule_keeps_to_the_images_that_there_are(tmp_path):
    signs = [0, 0, 0, 0, 9, 0]
    run = stub(tmp_path, "unet", [90, 80, 50, 60, 70, 20], signs)
    assert examples.choose_images([run], ["i0", "i1", "i2"]) == {
        "i1": "the median image",
        "i2": "worst for every network",
    }


def test_another_data_set_is_refused(trained):
    runs = load_runs(trained)
    name = runs[0].examples[0]
    runs[0].shared(name, "webp").unlink()
    other = replace(
        runs[0], record=runs[0].record | {"config": runs[0].config | {"image_size": [48, 64]}}
    )
    with pytest.raises(ValueError, match=f"{name}: its labels are not those .* correct data_root"):
        examples.keep([other], [name])
    examples.keep(runs, [name])
    assert runs[0].image(name).shape == (32, 48, 3)


def test_predictions_come_back_from_checkpoints(trained, capsys):
    stored = [run.folder / "predictions.npz" for run in load_runs(trained)]
    before = [np.load(path)["labels"] for path in stored]
    stored[1].unlink()
    examples.main(str(trained))
    assert all(
        np.mean(np.load(path)["labels"] == labels) > 0.999 for path, labels in zip(stored, before)
    )
    assert "median" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        examples.main(str(trained / "nothing"))


def test_photographs_are_stored_at_the_size_of_their_files(own, tmp_path):
    config = own_config(epochs=1, image_size=(16, 24))
    run = fit(config, tmp_path / "out", str(own))
    name = run.examples[0]
    examples.keep([run], [name], str(own))
    assert run.image(name).shape == (16, 24, 3) and run.target(name).shape == (16, 24)
    assert pictures.large_photograph(run, name).shape == (32, 48, 3)
    run.shared(name, pictures.FULL).unlink()
    examples.keep([run], [name], str(tmp_path / "nowhere"))  # everything else is there
    assert pictures.large_photograph(run, name).shape == (16, 24, 3)


def test_comparisons_are_large_and_the_first_is_saved_in_a_row(trained, tmp_path):
    runs = load_runs(trained)
    names = {name: "the median image" for name in runs[0].examples}
    first, second = comparisons.images(runs, names, [])
    assert (first.file, second.file, first.label) == ("comparison.webp", "", "fig-comparison-1")
    for exhibit in (first, second):
        width, height = exhibit.content.get_size_inches()
        assert width == 7 and height < 8.5 and len(exhibit.content.axes) == 4
        assert svg_of(exhibit.data()).count("<svg") == 6, "four panels and the legend"
    target = runs[0].target(runs[0].examples[0])
    score = percent(
        pictures.image_miou(runs[0].prediction(runs[0].examples[0]), target, runs[0].classes)
    )
    assert f"On this image the mIoU is {score} under the U-Net and " in first.caption
    show.show(first, folder=tmp_path)
    with Image.open(tmp_path / "comparison.webp") as saved:
        assert saved.width > 1500 and saved.width > 3 * saved.height
    pictures.plt.close("all")


def test_one_network_alone_is_compared_with_nothing(trained):
    runs = [run for run in load_runs(trained) if run.variant == "unet"]
    (exhibit,) = comparisons.images(runs, {runs[0].examples[0]: "a reason"}, [])
    assert "boxes" not in exhibit.caption and not exhibit.content.axes[3].axison
    pictures.plt.close("all")
