"""Fine structure counted anew from stored predictions, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lib import structure
from lib.files import read_arrays, write_arrays
from lib.records import RECORD, STRUCTURE, Run
from lib.studies import recount
from report.plan import Execution
from tests.pages import code, write

PREDICTIONS = recount.PREDICTIONS


@pytest.fixture
def out(trained, tmp_path) -> Path:
    """A copy of two runs that a test may damage."""
    shutil.copytree(trained, tmp_path / "out")
    return tmp_path / "out"


def _folder(out: Path, variant: str = "unet") -> Path:
    return out / "runs" / variant / "seed-0"


def _bytes(out: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_altered_and_lost_counts_come_back_and_nothing_else_changes(out, capsys):
    before = _bytes(out)
    altered, lost = _folder(out) / STRUCTURE, _folder(out, "unet-noskip") / STRUCTURE
    counts = read_arrays(altered)
    write_arrays(altered, **{name: array + 1 for name, array in counts.items()})
    lost.unlink()
    assert recount.main([str(out)]) == 0
    assert "2 of 2 runs: recounted" in capsys.readouterr().out
    found = read_arrays(altered)
    assert found.keys() == counts.keys()
    for name, array in counts.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert _bytes(out) == before


def test_a_changed_measure_is_counted(out, monkeypatch):
    monkeypatch.setattr(structure, "_boundary", lambda drawn, *_: np.full((2, 2), drawn.size))
    assert recount.main([str(out.parent)]) == 0, "runs are found wherever they are below the folder"
    assert (Run.read(_folder(out)).structure["boundary"] == 32 * 48).all()


def _other_predictions(out: Path) -> None:
    shutil.copy(_folder(out, "unet-noskip") / PREDICTIONS, _folder(out) / PREDICTIONS)


def _one_pixel(out: Path) -> None:
    stored = read_arrays(_folder(out) / PREDICTIONS)
    # A pixel that counts: the scenes have no void.
    stored["labels"][4, 10, 10] = (stored["labels"][4, 10, 10] + 1) % 13
    write_arrays(_folder(out) / PREDICTIONS, **stored)


def _other_names(out: Path) -> None:
    stored = read_arrays(_folder(out) / PREDICTIONS)
    write_arrays(_folder(out) / PREDICTIONS, **stored | {"names": stored["names"][::-1]})


def _other_settings(out: Path, **settings: object) -> None:
    record = json.loads((_folder(out) / RECORD).read_text())
    record["config"] |= settings
    (_folder(out) / RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize("change, words", [
    (_other_predictions, "pixels, differ from those on record"), (_one_pixel, "by 2 pixels"),
    (_other_names, "names of the images"),
    (lambda out: _other_settings(out, image_size=[64, 96]), "sizes of the images"),
    (lambda out: _other_settings(out, test_images=8), "names of the images"),
    (lambda out: (_folder(out) / PREDICTIONS).write_bytes(b"damaged"), "not readable"),
])  # fmt: skip
def test_other_predictions_and_other_data_are_refused(out, capsys, change, words):
    change(out)
    (_folder(out) / STRUCTURE).write_bytes(b"as it was")
    assert recount.main([str(out)]) == 1
    printed = capsys.readouterr()
    assert words in printed.err and str(_folder(out)) in printed.err
    assert printed.err.count("\n") == 1
    assert (_folder(out) / STRUCTURE).read_bytes() == b"as it was"
    assert "1 of 2 runs: recounted" in printed.out, "the other run is not held up"


def test_runs_without_predictions_are_named_and_skipped(out, capsys):
    (_folder(out) / PREDICTIONS).unlink()
    before = _bytes(out)
    assert recount.main([str(out)]) == 1
    printed = capsys.readouterr()
    assert f"{_folder(out)}: it has no predictions.npz, so nothing" in printed.err
    assert f"{_folder(out, 'unet-noskip')}: recounted" in printed.out and _bytes(out) == before
    assert recount.main([str(out / "none")]) == 1 and "no finished runs" in capsys.readouterr().err


def test_the_analysis_is_stale_after_a_recount_that_changed_something(out, tmp_path):
    source = write(tmp_path / "5_analysis.ipynb", code("1 + 1"))
    job = Execution(source, tmp_path / "done.ipynb", {}, reads=(out,))
    before = job.fingerprint()
    recount.main([str(out)])
    assert job.fingerprint() == before
    (_folder(out) / STRUCTURE).write_bytes(b"other counts")
    assert job.fingerprint() != before
