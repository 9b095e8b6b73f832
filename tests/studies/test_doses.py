"""Networks tested at other doses: the counts, the file, and what cannot be measured."""

import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CPU, TINY

from lib.config import TrainConfig
from lib.data import load_dataset
from lib.datasets.scenes import DOSES, SCENE_DOSES
from lib.files import read_state, write_state
from lib.machine import Machine
from lib.metrics import confusion_matrix
from lib.records import WEIGHTS, Run, run_folder
from lib.studies import load_model
from lib.studies.designs import DESIGNS, DesignPart
from lib.studies.doses import GROUP, dose_counts, main
from lib.train import fit


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A network trained with clutter 1 and noise 2, on 23 test images: a whole group and three."""
    out = tmp_path_factory.mktemp("doses")
    config = replace(TINY, dataset="scenes-clutter-1-noise-2", epochs=24, test_images=23)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "detect", classmethod(lambda cls: CPU))
        fit(config, out)
    return out


@pytest.fixture
def run(cpu, trained, tmp_path) -> Run:
    """That network in a folder of the test's own."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return Run.read(run_folder(tmp_path, "unet", 0))


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory) -> dict[str, np.ndarray]:
    """The counts of that network at every dose."""
    out = tmp_path_factory.mktemp("counts")
    shutil.copytree(trained / "runs", out / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "detect", classmethod(lambda cls: CPU))
        return dose_counts(Run.read(run_folder(out, "unet", 0)))


def test_every_dose_is_counted(run, found):
    assert found["trained"].tolist() == [1, 2] and found["group"] == GROUP == 20
    assert found["clutter"].tolist() == found["noise"].tolist() == [0, 1, 2, 3, 4] == list(DOSES)
    for kind, trained in (("clutter", 1), ("noise", 2)):
        counts = found[f"{kind}_confusions"]
        assert counts.shape == (5, 2, 13, 13) and counts.dtype == np.int32
        assert (counts.sum((2, 3)) == np.array([20, 3]) * 32 * 48).all()
        assert np.array_equal(counts[trained].sum(0), run.confusion), "the doses of the training"
        assert len({counts[dose].tobytes() for dose in DOSES}) == 5
    targets = found["noise_confusions"].sum(3)
    assert (targets == targets[:1]).all(), "noise changes no target"
    assert not (found["clutter_confusions"].sum(3) == targets[:1]).all()


def logits_of(run: Run, dataset: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the network's logits of the 23 test scenes of a data set, and their targets."""
    model = load_model(run.folder, "unet", 4, 13)
    test = load_dataset(dataset, None, "test", (32, 48), 23)
    with torch.inference_mode():
        return model(torch.stack([image for image, _ in test])), test.targets


def test_the_counts_are_those_of_the_network_on_these_images(run, found):
    logits, targets = logits_of(run, "scenes-clutter-3-noise-2")
    prediction = logits.argmax(1)
    for group, part in enumerate((slice(0, 20), slice(20, 23))):
        expected = confusion_matrix(prediction[part], targets[part].long(), 13).numpy()
        assert np.abs(found["clutter_confusions"][3, group] - expected).sum() <= 10  # roundings


def test_precision_is_counted_on_the_doses_of_the_training(run, found):
    logits, targets = logits_of(run, "scenes-clutter-1-noise-2")
    probabilities = logits.softmax(1)
    assert found["matched.groups"].tolist() == list(range(23))
    middle = int(np.abs(found["matched.thresholds"] - 0.5).argmin())
    for row, label in enumerate(found["matched.classes"]):
        right = (probabilities[:, label] >= 0.5) & (targets == label)
        counted = found["matched.counts"][:, row, middle, 4]
        assert np.abs(counted - right.sum((1, 2)).numpy()).sum() <= 10  # roundings


def test_what_is_measured_is_read(run):
    written = dose_counts(run)
    (run.folder / WEIGHTS).unlink()
    again = dose_counts(run)
    assert written.keys() == again.keys() == run.doses.keys()
    assert all(np.array_equal(written[name], again[name]) for name in written)


def test_what_cannot_be_measured(run, tiny, camvid, tmp_path):
    other = fit(tiny(dataset="camvid", image_size=None, epochs=1), tmp_path / "camvid", camvid)
    with pytest.raises(ValueError, match="trained on camvid, which has no doses; expected one of"):
        dose_counts(other)
    state = read_state(run.folder / WEIGHTS)
    write_state(run.folder / WEIGHTS, {name: value.flip(0) for name, value in state.items()})
    with pytest.raises(
        ValueError, match=r"weights\.pt: \d+ pixels are labelled otherwise than on record"
    ):
        dose_counts(run)
    assert run.doses == {}


def test_the_command(run, tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert (
        "unet/seed-0: has its doses.npz" in capsys.readouterr().out and Run.read(run.folder).doses
    )
    (run.folder / "doses.npz").unlink()
    (run.folder / WEIGHTS).unlink()
    assert main([str(tmp_path)]) == 1
    assert "weights.pt" in capsys.readouterr().err
    assert main([str(tmp_path / "empty")]) == 1
    assert "no finished runs" in capsys.readouterr().err


def profile(name: str) -> dict:
    values = DesignPart("", name).values()
    return values | values["settings"]


def test_the_profile_of_the_design_is_that_of_the_others_on_scenes():
    camvid, scenes = profile("designs"), profile("designs-scenes")
    assert SCENE_DOSES[scenes["dataset"]] == {"clutter": 1, "noise": 1}
    names = [field.name for field in fields(TrainConfig)]
    differing = {name for name in names if camvid[name] != scenes[name]}
    assert differing == {"dataset", "epochs", "train_images", "val_images", "test_images"}
    assert [scenes[f"{split}_images"] for split in ("train", "val", "test")] == [1000, 100, 2000]
    assert scenes["epochs"] == 16 and scenes["image_size"] == (96, 128)
    assert DESIGNS["D5"].parts[0].profile == "designs-scenes"
    assert list(DESIGNS["D5"].seeds) == scenes["seeds"]
