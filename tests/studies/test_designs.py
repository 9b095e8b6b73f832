"""The designs: complete, in their order, resumable, and collected without what is heavy."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from lib.files import write_json
from lib.models import NETWORKS
from lib.records import RECORD, Run
from lib.structure import pack, unpack
from lib.studies import designs
from lib.studies.designs import CAMVID, DESIGNS, ENOUGH, Training, main, queue
from lib.train import fit


def test_the_designs_have_the_trainings_that_the_statements_need():
    assert [len(queue([name])) for name in DESIGNS] == [48, 32, 10, 20, 32]
    assert len(queue([*DESIGNS])) == 48 + 28 + 10 + 20 + 32, "what two designs share is trained once"
    cells = {(NETWORKS[t.variant].block, NETWORKS[t.variant].skip) for t in queue(["D1"])}
    assert len(cells) == 6
    assert {t.seed for t in queue([*DESIGNS])} == set(range(10, 18))


def test_all_cells_of_a_seed_come_before_the_next():
    seeds = [training.seed for training in queue(["D1"])]
    assert seeds == sorted(seeds) and len({t.variant for t in queue(["D1"])[:6]}) == 6


def test_what_is_recorded_is_skipped_and_a_seed_keeps_its_precision(tmp_path, monkeypatch, capsys):
    folder = Training(CAMVID, "unet", 10).folder(tmp_path)
    write_json(folder / RECORD, {"precision": "float32"})
    other = Training(CAMVID, "unet-noskip", 10)
    assert other.precision(tmp_path) == "float32" and Training(CAMVID, "unet", 11).precision(tmp_path) is None
    called = []

    def start(command, **more):
        called.append((command, more["env"]))
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])

    monkeypatch.setattr(designs, "subprocess", SimpleNamespace(Popen=start, STDOUT=subprocess.STDOUT))
    assert designs.train(Training(CAMVID, "unet", 10), tmp_path, None, 1) and not called
    assert not designs.train(other, tmp_path, "/data", 1)
    (command, environment), = called
    assert command[-3:] == ["-p", "data_root", "/data"]
    assert environment["SEGMENTATION_PRECISION"] == "float32" and environment["OMP_NUM_THREADS"] == "1"
    assert "unet-noskip, seed 10: failed with status 1" in capsys.readouterr().err


def test_failures_one_after_the_other_end_the_work(tmp_path, monkeypatch, capsys):
    tried = []
    monkeypatch.setattr(designs, "train", lambda training, *more: tried.append(training) or False)
    assert main(["D3", "--out", str(tmp_path), "--workers", "1"]) == 1
    assert len(tried) == ENOUGH and "nothing more is started" in capsys.readouterr().err


def test_records_are_collected_without_weights_and_predictions(tiny, tmp_path, capsys):
    fit(tiny(seed=10), tmp_path / "out" / "camvid")
    assert main(["D1", "--out", str(tmp_path / "out"), "--collect", str(tmp_path / "records")]) == 0
    assert "1 of 48 trainings are on record" in capsys.readouterr().out
    run = Run.read(tmp_path / "records" / "camvid" / "runs" / "unet" / "seed-10")
    assert run.miou >= 0 and len(run.examples) == 3 and run.image(run.examples[0]).shape == (32, 48, 3)
    names = {path.name for path in Path(tmp_path / "records").rglob("*") if path.is_file()}
    assert not {name for name in names if name.endswith((".pt", ".lock"))} and "predictions.npz" not in names


def test_packed_counts_come_back_as_they_were():
    random = np.random.default_rng(0)
    counts = {"boundary": random.integers(0, 70_000, (5, 3, 2)).astype(np.int32),
              "contours": random.integers(0, 200, (5, 3, 2, 4)).astype(np.int32), "maps": random.random((5, 2))}
    packed = pack(counts)
    assert [array.dtype for array in packed.values()] == [np.uint32, np.uint8, np.float64]
    back = unpack(packed)
    assert back.keys() == counts.keys()
    assert all(np.array_equal(back[name], counts[name]) and back[name].dtype == counts[name].dtype for name in counts)
    assert all(np.array_equal(unpack(counts)[name], counts[name]) for name in counts), "the first edition's form"
