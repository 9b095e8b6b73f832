"""What holds for any input.

Pairing, decoding, broken bytes, padding, confusion matrices, records written and read.
"""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from conftest import OWN, OWN_COLORS
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert.filters import markdown2html
from PIL import Image

from lib.datasets.folder import OwnClasses, decoder, read_classes
from lib.datasets.pairs import Wrong, inspect_pair, match_files, open_image
from lib.files import IGNORE, ClassTable, write_arrays, write_image, write_json
from lib.metrics import confusion_matrix, iou_per_class, mean_iou
from lib.models import pad_to_multiple
from lib.records import RECORD, Run
from report.evidence.wording import literal
from report.markup import Markup

FEW = settings(max_examples=60, deadline=None)
TABLE = OwnClasses(ClassTable(OWN, OWN_COLORS[:3]), {0: 0, 1: 1, 2: 2, IGNORE: IGNORE})
NAMES = st.text("aäB1.-_ []$@", min_size=1, max_size=8).filter(
    lambda name: name[0] != "." and name[-1] not in ". "
)
SHOWN = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
TEXT = st.text(SHOWN, min_size=1, max_size=20)
LABELS = st.lists(st.sampled_from([0, 1, 2, IGNORE]), min_size=12, max_size=12).map(
    lambda values: np.array(values, np.uint8).reshape(3, 4)
)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)


@FEW
@given(
    st.dictionaries(
        NAMES,
        st.tuples(st.sampled_from(["", ".png", ".JPG"]), st.sampled_from(["", ".png", ".tif"])),
        min_size=1,
        max_size=6,
    )
)
def test_images_and_labels_meet_by_their_stem(files):
    with tempfile.TemporaryDirectory() as folder:
        for part, position in (("images", 0), ("labels", 1)):
            place = Path(folder) / part
            place.mkdir()
            (place / "always there.png").touch()
            for name, suffixes in files.items():
                if suffixes[position]:
                    (place / f"{name}{suffixes[position]}").touch()
        pairs, lines = match_files(Path(folder) / "images", Path(folder) / "labels")
    assert [name for name, *_ in pairs] == sorted(
        ["always there", *(name for name, both in files.items() if all(both))]
    )
    assert all(image.stem == label.stem == name for name, image, label in pairs)
    assert len(lines) == sum(bool(image) != bool(label) for image, label in files.values())


@FEW
@given(LABELS, st.sampled_from(["index", "palette", "colours", "opaque"]))
def test_a_label_means_the_same_in_every_form(target, form):
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = OWN_COLORS[:3]
    image = Image.fromarray(target if form in ("index", "palette") else palette[target])
    if form == "palette":
        image.putpalette(palette.tobytes())
    image = image.convert("RGBA") if form == "opaque" else image
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert np.array_equal(decoder(TABLE)(Image.open(buffer), Path("label.png")), target)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"]),
    st.integers(0, 999),
    st.integers(0, 255),
    st.booleans(),
)
def test_broken_bytes_are_read_or_named(kind, place, value, cut):
    """No decoder's own exception gets through, whatever byte is changed, wherever the file ends."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    content[place % len(content)] = value
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(content[: place % len(content)] if cut else content)
        file.flush()
        try:
            image = open_image(Path(file.name))
        except Wrong as wrong:
            assert str(wrong).startswith(
                f"{file.name}: not a readable image ("
            ) and "\n" not in str(wrong)
        else:
            assert np.asarray(image).size


@FEW
@given(LABELS, st.integers(1, 9), st.integers(1, 9))
def test_resizing_makes_no_new_label(target, height, width):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("image.png", "label.png")]
        for path, pixels in zip(paths, (np.stack([target] * 3, -1), target)):
            Image.fromarray(pixels).save(path)
        pair = inspect_pair(*paths, (height, width), decoder(TABLE))
    image, resized = pair.image, pair.target
    assert (
        not pair.problems and image.shape == (height, width, 3) and resized.shape == (height, width)
    )
    assert {*np.unique(resized)} <= {*np.unique(target)}


@FEW
@given(st.integers(16, 70), st.integers(16, 70), st.sampled_from([4, 16]))
def test_padding_can_be_cut_off_again(height, width, multiple):
    image = torch.rand(1, 3, height, width)
    padded, window = pad_to_multiple(image, multiple)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0 and torch.equal(
        padded[window], image
    )
    assert padded.shape[2] - height < multiple and padded.shape[3] - width < multiple
    assert {*padded.unique().tolist()} == {*image.unique().tolist()}  # the border is repeated


@FEW
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 3, IGNORE])), min_size=1, max_size=40
    )
)
def test_absent_classes_are_nan_and_in_no_mean(pixels):
    prediction, target = torch.tensor(pixels).T
    confusion = confusion_matrix(prediction, target, 5)
    counted = [(p, t) for p, t in pixels if t != IGNORE]
    assert confusion.sum() == len(counted)
    iou, expected = iou_per_class(confusion), {}
    for k in range(5):
        union = sum(k in pair for pair in counted)
        assert bool(iou[k].isnan()) == (not union)
        if union:
            expected[k] = sum(pair == (k, k) for pair in counted) / union
            assert iou[k] == pytest.approx(expected[k])
    assert (
        mean_iou(confusion) == pytest.approx(np.mean([*expected.values()]), nan_ok=True)
        if expected
        else True
    )


@FEW
@given(
    st.lists(
        st.tuples(TEXT, COLORS), min_size=2, max_size=9, unique_by=(lambda e: e[0], lambda e: e[1])
    ),
    st.lists(st.integers(0, 2**40), min_size=4, max_size=4),
    st.floats(0, 1e6),
)
def test_a_record_reads_as_it_was_written(table, counts, loss):
    classes = [{"name": name, "color": list(color)} for name, color in table]
    record = {
        "dataset": {"classes": classes},
        "test_confusion": [counts[:2], counts[2:]],
        "test_loss": loss,
    }
    with tempfile.TemporaryDirectory() as name:
        folder, per_image = Path(name), np.array([counts]).reshape(1, 2, 2)
        write_json(folder / RECORD, record)
        write_json(folder / "classes.json", classes)
        own = read_classes(folder / "classes.json").table
        write_arrays(folder / "confusions.npz", per_image=per_image, names=np.array([table[0][0]]))
        write_image(folder / "predictions/a.png", np.array([[0, 1, IGNORE]], np.uint8), own)
        run = Run.read(folder)
        assert run.record == record and json.loads((folder / RECORD).read_text()) == record
        assert run.classes == own and own.colors == tuple(color for _, color in table)
        assert run.per_image.sum() == run.confusion.sum() == sum(counts) and run.image_names == [
            table[0][0]
        ]
        assert run.prediction("a").tolist() == [[0, 1, IGNORE]]


@FEW
@given(
    st.text(
        st.sampled_from("ab1 <>&\"'`*_~|$[]()@#!\\:;.-+=^{}/%") | SHOWN, min_size=1, max_size=25
    ).filter(lambda name: name.strip() == name and "  " not in name)
)
def test_a_name_is_shown_as_it_is(name):
    """In prose and within emphasis, under the report's Markdown and under plain Markdown."""
    markup, place = Markup(), "test.ipynb, cell 1"
    for sentence, after in (
        (f"{literal(name)} is rare.", " is rare."),
        (f"*{literal(name)}* is", " is"),
    ):
        for html in (markup.fill(markup.inline(sentence, place)), markdown2html(sentence).strip()):
            assert _text(html) == name + after


def _text(html: str) -> str:
    return BeautifulSoup(html, "html.parser").get_text()
