"""A trained network on photographs of any size: labels, shares, bad files, ONNX."""

import json
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image

from lib import ROOT
from lib.config import TrainConfig
from lib.data import load_dataset
from lib.predict import largest_logit, load_network, training_command
from lib.predict.__main__ import main, photographs
from lib.records import Run
from lib.train import fit
from lib.train import main as train

RUN = "runs/unet/seed-0"


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A U-Net that was trained on drawn scenes for one epoch."""
    folder = tmp_path_factory.mktemp("predict")
    fit(replace(TINY, epochs=1), folder)
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three photographs of different sizes, modes and formats."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for name, shape in (
        ("wide.png", (40, 90, 3)),
        ("high.jpg", (70, 30, 3)),
        ("grey.tif", (9, 80)),
    ):
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(folder / name)
    return folder


def test_a_test_image_is_labelled_as_on_record(out):
    network, run = load_network(out / RUN), Run.read(out / RUN)
    test = load_dataset("scenes", None, "test", (32, 48), 3)
    for index, name in enumerate(test.items):
        labels = network.label(test.images[index].permute(1, 2, 0).numpy())
        assert labels.dtype == np.uint8 and np.mean(labels != run.prediction(name)) < 0.01
        assert network.shares(labels).sum() == pytest.approx(1)
    assert network.classes == test.classes and network.size == network.original_size == (32, 48)


def test_a_photograph_has_the_scale_and_the_shape_of_the_training_images(out):
    network = load_network(out / RUN)
    assert network.input_size((32, 48)) == network.input_size((320, 480)) == (32, 48)
    assert network.input_size((480, 320)) == (48, 32)  # as many pixels, its own ratio
    squeezed = replace(network, original_size=(32, 96))  # files were twice as wide as trained on
    assert squeezed.input_size((64, 192)) == (32, 48)
    height, width = squeezed.input_size((100, 100))
    assert height / width == pytest.approx(2, rel=0.05) and height * width == pytest.approx(
        1536, rel=0.05
    )
    assert network.input_size((5, 5000))[0] == 16


def test_labels_follow_the_image_not_the_scale(out):
    """The largest logit of each pixel after scaling, class by class, is that of all at once."""
    logits = torch.randn(5, 6, 7, generator=torch.Generator().manual_seed(0))
    scaled = torch.nn.functional.interpolate(logits[None], (40, 50), mode="bilinear")[0]
    assert torch.equal(largest_logit(logits, (40, 50)).long(), scaled.argmax(0))
    assert torch.equal(largest_logit(logits, (6, 7)).long(), logits.argmax(0))


def test_files_of_every_form_are_labelled_at_their_own_size(out, photos, tmp_path, capsys):
    assert main([str(out / RUN), str(photos), "--out", str(tmp_path / "labels")]) == 0
    network = load_network(out / RUN)
    for path in photos.iterdir():
        labels = Image.open(tmp_path / "labels" / f"{path.stem}.png")
        overlay = Image.open(tmp_path / "labels" / f"{path.stem}-overlay.webp")
        assert labels.size == overlay.size == Image.open(path).size and labels.mode == "P"
        assert np.array_equal(np.array(labels), network.label(path))
        assert labels.getpalette()[:3] == list(network.classes.colors[0])
    printed = capsys.readouterr().out
    assert "Traffic sign" in printed and "3 of 3 photographs" in printed
    lines = (tmp_path / "labels/shares.csv").read_text().splitlines()
    assert lines[0].startswith("name,Unlabeled,") and [
        line.split(",")[0] for line in lines[1:]
    ] == ["grey", "high", "wide"]
    assert sum(map(float, lines[1].split(",")[1:])) == pytest.approx(1)


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(out, photos, tmp_path, capsys):
    (photos / "broken.jpg").write_bytes(b"no image")
    Image.fromarray(np.zeros((20, 20), np.uint16)).save(photos / "deep.png")
    arguments = [
        str(photos / "*.*"),
        str(tmp_path / "none.png"),
        str(tmp_path),
        "--out",
        str(tmp_path / "x"),
    ]
    assert main([str(out / RUN), *arguments]) == 1
    printed = capsys.readouterr()
    assert "broken.jpg: not a readable image" in printed.err and "3 of 5 photographs" in printed.out
    assert "deep.png: an image of I;16 values; expected 8 bits a channel: scale" in printed.err
    assert "none.png: no such file" in printed.err and f"{tmp_path}: no images" in printed.err
    assert {path.name for path in (tmp_path / "x").glob("*.png")} == {
        "wide.png",
        "high.png",
        "grey.png",
    }


def test_two_photographs_of_one_name(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "more")
    files, lines = photographs([str(photos), str(tmp_path / "more")])
    assert len(files) == 3 and "wide.png: the same stem as" in lines[-1]


def test_a_run_without_weights_says_how_to_make_them(out, tmp_path, monkeypatch, capsys, cpu):
    folder = tmp_path / "bare"
    shutil.copytree(out / RUN, folder)
    (folder / "weights.pt").unlink()
    assert main([str(folder), "x.png", "--out", str(tmp_path / "x")]) == 1
    message = capsys.readouterr().err
    command = training_command(Run.read(folder))
    assert message.strip().endswith(
        f"no weights.pt (published records have none); make them with: {command}"
    )
    words = shlex.split(command.replace("build/again", str(tmp_path / "again")))
    assert words[:3] == ["python", "-m", "lib.train"] and train(words[3:]) == 0
    again = Run.read(tmp_path / "again" / RUN)
    assert again.config == Run.read(folder).config and load_network(again.folder).size == (32, 48)


def test_a_command_names_what_differs_and_the_data():
    config = TrainConfig("unet-noskip", 3, dataset="camvid", image_size=None, dice=1.0)
    record = {"variant": "unet-noskip", "seed": 3, "config": json.loads(json.dumps(asdict(config)))}
    command = training_command(Run(Path("x"), record))
    assert command == (
        "python -m lib.train --out build/again -p variant unet-noskip -p seed 3 "
        "-p dataset camvid -p image_size None -p dice 1.0 -p data_root DIR"
    )


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            lambda folder: (folder / "record.json").unlink(),
            "no record.json; expected the folder of a run",
        ),
        (lambda folder: (folder / "weights.pt").write_bytes(b"PK"), "weights.pt: not readable"),
        (
            lambda folder: torch.save({"head.weight": torch.zeros(2)}, folder / "weights.pt"),
            "of another network",
        ),
    ],
)
def test_a_folder_that_is_no_run(out, tmp_path, spoil, message, capsys):
    folder = tmp_path / "run"
    shutil.copytree(out / RUN, folder)
    spoil(folder)
    assert main([str(folder), "x.png", "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["x.png"], ["--out", "x"]])
def test_arguments_that_ask_for_nothing(out, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([str(out / RUN), *arguments])
    assert stop.value.code == 2 and "expected photographs with --out DIR" in capsys.readouterr().err


@pytest.mark.parametrize("variant", ["unet-noskip", "unet-residual-gated-attention"])
def test_onnx_computes_the_same(variant, out, tmp_path):
    """At the network's own size, one that is no multiple of 16."""
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from lib.models import build_model

    torch.manual_seed(0)
    model = build_model(variant, num_classes=4, base_channels=4).eval()
    network = replace(load_network(out / RUN), model=model, size=(40, 56))
    network.export(tmp_path / "net.onnx")
    image = torch.rand(1, 3, 40, 56)
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(["logits"], {"image": image.numpy()})
    with torch.no_grad():
        assert np.allclose(logits, model(image), atol=1e-4)


def test_onnx_without_its_package_says_what_to_install(out, tmp_path, monkeypatch, capsys):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'onnxscript'")

    monkeypatch.setattr(torch.onnx, "export", missing)
    assert main([str(out / RUN), "--onnx", str(tmp_path / "net.onnx")]) == 1
    assert "No module named 'onnxscript'; `pip install onnxscript` first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("[1-4]_*.ipynb")), ids=lambda path: path.stem
)
def test_the_last_cell_of_a_network_s_notebook_labels_a_photograph(path, out, photos):
    sources = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    (cell,) = (source for source in sources if "load_network" in source)
    assert any('photograph: str = ""  #' in source for source in sources)
    shown = []
    names = {"run": Run.read(out / RUN), "display": shown.append}
    exec(cell, names | {"photograph": ""})
    assert not shown
    exec(cell, names | {"photograph": str(photos / "wide.png")})
    assert shown[0].size == (90, 40)
