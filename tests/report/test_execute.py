"""The command line and the execution of notebooks, with small ones.

Arguments, order, fingerprints, failures and bytes.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell
from tqdm import tqdm

from lib import ROOT
from lib.config import UsageError, read_profile
from lib.machine import processors
from report import build
from report.__main__ import company, main
from report.build import execute, execute_all
from report.plan import Execution, ReportError, chapters, plan
from report.pdf import find_browser
from tests.pages import code, write

VARIANT = """import json, pathlib
folder = pathlib.Path(out)
for file in (folder / "runs" / variant / f"seed-{seed}" / "record.json", \
folder / "figures" / "predictions" / f"{variant}.png",
             folder / "figures" / "loss_curves.png", folder / "figures" / "test_metric.png"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"variant": variant, "seed": seed, "config": {"epochs": epochs}}))
if epochs > 90: raise RuntimeError("the loss is not finite")"""


@pytest.fixture
def notebooks(tmp_path):
    """A set that executes in seconds: data, one network, analysis.

    The parameters cell is papermill's.
    """
    folder = tmp_path / "notebooks"
    write(folder / "0_data.ipynb", new_markdown_cell("# Data"))
    write(
        folder / "1_unet.ipynb",
        new_markdown_cell("# U-Net\n\nSee [the data](0_data.ipynb)."),
        code(
            'variant: str = "unet"\nseed: int = 0\nepochs: int = 2\nout: str = "out"',
            tags=["parameters"],
        ),
        code(VARIANT),
    )
    (folder / "profiles").mkdir()
    (folder / "profiles" / "quick.yaml").write_text("# A test.\nepochs: 3\nseeds: [4]\n")
    return folder


def run(notebooks, out, *arguments):
    return main(["--out", str(out), *arguments], notebooks)


def jobs(notebooks, out, values=None, **overrides):
    return plan(notebooks, out, "quick", values or {"epochs": 3, "seeds": [0, 2]}, overrides)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--profile", "quik"], ["quik", "quick"]),
        (["-p", "epoch", "3"], ["epoch", "did you mean epochs"]),
        (["-p", "epochs", "many"], ["epochs = 'many'", "expected a whole number"]),
        (["-p", "epochs", "0"], ["epochs = 0", "above 0"]),
        (["-p", "image_size", "96"], ["image_size = 96", "height and width"]),
        (["-p", "dataset", "kitti"], ["dataset = 'kitti'", "choose one of scenes, camvid"]),
        (["-p", "seed", "1"], ["seed", "seeds"]),
        (["-p", "seeds", "1"], ["seeds = 1", "[0, 1, 2]"]),
        (["-p", "extra", "[unet-wide]"], ["extra = ['unet-wide']", "unet-noskip-wide"]),
        (["-p", "extra", "unet-noskip-wide"], ["extra = 'unet-noskip-wide'", "a list"]),
        (["-p", "extra", "[unet]"], ["extra = ['unet']", "unet-residual-noskip"]),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(notebooks, tmp_path, capsys, arguments, words):
    assert run(notebooks, tmp_path / "out", *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and all(word in message for word in words)
    assert not (tmp_path / "out").exists()


def test_a_network_runs_once_a_seed_and_the_first_is_the_chapter(notebooks, tmp_path):
    write(
        notebooks / "5_analysis.ipynb",
        new_markdown_cell("# All"),
        code("seeds: list = [0]", tags=["parameters"]),
    )
    data, first, second, analysis = jobs(notebooks, tmp_path)
    assert [job.target.name for job in (first, second)] == ["1_unet.ipynb", "1_unet-seed-2.ipynb"]
    assert (second.parameters["seed"], second.parameters["epochs"]) == (2, 3)
    assert second.record == tmp_path / "runs" / "unet" / "seed-2" / "record.json"
    assert data.reads == () and analysis.reads[0] == tmp_path
    assert analysis.parameters == {"seeds": [0, 2]}


def test_networks_beyond_the_four_run_in_the_first_one_s_notebook_and_are_no_chapter(
    notebooks, tmp_path
):
    write(
        notebooks / "2_unet_noskip.ipynb",
        new_markdown_cell("# No skips"),
        code(
            'variant: str = "unet-noskip"\nseed: int = 0\nepochs: int = 2\nout: str = "out"',
            tags=["parameters"],
        ),
    )
    write(notebooks / "5_analysis.ipynb", new_markdown_cell("# All"))
    plain = jobs(notebooks, tmp_path)
    found = jobs(notebooks, tmp_path, extra=["unet-noskip-wide"])
    *four, first, second, analysis = found
    assert four == plain[:-1] and [job.target.name for job in (first, second)] == [
        "extra-unet-noskip-wide-seed-0.ipynb",
        "extra-unet-noskip-wide-seed-2.ipynb",
    ]
    assert first.source.name == "1_unet.ipynb" and second.parameters == plain[1].parameters | {
        "variant": "unet-noskip-wide",
        "seed": 2,
    }
    assert second.record == tmp_path / "runs" / "unet-noskip-wide" / "seed-2" / "record.json"
    assert analysis.reads == plain[-1].reads
    assert [job.target.name for job in found if job.target.name == job.source.name] == [
        "0_data.ipynb",
        "1_unet.ipynb",
        "2_unet_noskip.ipynb",
        "5_analysis.ipynb",
    ]
    assert jobs(
        notebooks,
        tmp_path,
        {"epochs": 3, "seeds": [0], "extra": ["unet-residual-noskip"]},
        extra=[],
    ) == jobs(notebooks, tmp_path, {"epochs": 3, "seeds": [0]})


def test_chapters_follow_their_numbers_whatever_their_digits(notebooks, tmp_path, capsys):
    """And a notebook that is no chapter is named."""
    for name in ("10_more", "2_unet_noskip", "09_cost", "00_before"):
        write(notebooks / f"{name}.ipynb", new_markdown_cell("# A chapter"))
    names = ["00_before", "0_data", "1_unet", "2_unet_noskip", "09_cost", "10_more"]
    assert [path.stem for path in chapters(notebooks)] == names
    found = jobs(notebooks, tmp_path)
    assert [job.source.stem for job in found] == [*names[:3], "1_unet", *names[3:]]
    assert [job.reads[:1] for job in found] == [(), (), (), (), *[(tmp_path,)] * 3]
    assert capsys.readouterr().err == ""
    write(notebooks / "Untitled.ipynb", new_markdown_cell("# Notes"))
    assert jobs(notebooks, tmp_path) == found
    assert f"{notebooks / 'Untitled.ipynb'}: left out, its name" in capsys.readouterr().err


def test_the_fingerprint_follows_source_parameters_and_records(notebooks, tmp_path):
    write(notebooks / "5_analysis.ipynb", new_markdown_cell("# All"))
    _, network, _, analysis = jobs(notebooks, tmp_path)
    before = network.fingerprint(), analysis.fingerprint()
    assert jobs(notebooks, tmp_path, epochs=4)[1].fingerprint() != before[0]
    moved = jobs(notebooks, tmp_path / "elsewhere")[1]
    assert moved.parameters["out"] != network.parameters["out"] and moved.fingerprint() == before[0]
    seen = {before[1]}
    for place, name in (
        (tmp_path / "runs/unet/seed-0", "record.json"),
        (tmp_path / "runs/unet-skips-0111/seed-0", "record.json"),
        (tmp_path / "runs/unet/seed-0", "studies.npz"),
        (tmp_path.parent / "scenes/runs/unet/seed-0", "doses.npz"),
    ):
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("{}")
        seen.add(analysis.fingerprint())
    assert len(seen) == 5 and network.fingerprint() == before[0]


def test_execution_failure_and_rendering_from_the_records(notebooks, tmp_path, capsys):
    """One story, since every execution starts a kernel: refuse, build, skip, fail, render again."""
    out = tmp_path / "out"
    assert run(notebooks, out, "--only", "render") == 1
    assert (
        "record" in (message := capsys.readouterr().err)
        and "python -m report --profile quick" in message
    )
    if not find_browser():
        pytest.skip("no Chromium or Chrome")
    assert run(notebooks, out) == 0
    record = json.loads((out / "runs" / "unet" / "seed-4" / "record.json").read_text())
    assert record == {"variant": "unet", "seed": 4, "config": {"epochs": 3}}
    assert "start_time" not in (out / "notebooks" / "1_unet.ipynb").read_text()
    made = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    capsys.readouterr()

    (out / "report.pdf").unlink()  # one that is there is up to date
    assert run(notebooks, out, "--only", "render") == 0
    assert capsys.readouterr().out.count("up to date") == 2
    assert {path: path.read_bytes() for path in made} == made, "the same inputs give the same bytes"

    assert run(notebooks, out, "-p", "epochs", "91") == 1
    message = capsys.readouterr().err
    assert "1_unet.ipynb" in message and "RuntimeError: the loss is not finite" in message
    assert (
        "1_unet.partial.ipynb" in message and (out / "notebooks" / "1_unet.partial.ipynb").exists()
    )
    for name in ("report.html", "report.pdf", "notebooks/1_unet.ipynb"):
        assert (out / name).read_bytes() == made[out / name]

    (out / "figures" / "predictions" / "unet.png").unlink()
    assert run(notebooks, out, "--profile", "quick", "--only", "render") == 1
    assert "predictions/unet.png" in capsys.readouterr().err


def test_the_kernel_is_this_interpreter_whatever_kernelspecs_say(tmp_path, monkeypatch):
    """A kernelspec of the user's that shadows python3 and would start nothing."""
    spec = tmp_path / "share" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["false"], "display_name": "shadow", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    source = write(tmp_path / "6_theory.ipynb", code("import sys, lib; print(sys.prefix)"))
    execute(Execution(source, tmp_path / "done.ipynb", {}))
    assert nbformat.read(tmp_path / "done.ipynb", 4).cells[0].outputs[0].text.strip() == sys.prefix


def test_no_two_kernels_share_a_socket(tmp_path):
    """Two that start at once in one folder would answer each other: `Invalid Signature`."""
    where = (
        "from ipykernel.connect import get_connection_info; "
        "print(get_connection_info(unpack=True)['ip'])"
    )
    write(tmp_path / "0_data.ipynb", code(where))
    sockets = []
    for name in "ab":
        execute(Execution(tmp_path / "0_data.ipynb", tmp_path / f"{name}.ipynb", {}))
        (output,) = nbformat.read(tmp_path / f"{name}.ipynb", 4).cells[0].outputs
        sockets.append(Path(output.text.strip()))
    assert len(set(sockets)) == 2 and all(
        path.is_absolute() and not path.parent.exists() for path in sockets
    )


MEETING = """import os, time
from pathlib import Path
folder = Path({folder!r})
(folder / name).touch()
deadline = time.monotonic() + 60
while len([*folder.iterdir()]) < 2:
    assert time.monotonic() < deadline, "the other one did not come"
    time.sleep(0.05)
print(os.environ["OMP_NUM_THREADS"])"""


@pytest.mark.skipif(processors() < 2, reason="one processor runs one notebook at a time")
def test_notebooks_run_side_by_side_and_one_that_fails_costs_no_other(tmp_path, monkeypatch):
    """Two wait for each other, which they could not do in turn; a third fails at once."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(build, "processors", lambda: 3)
    (tmp_path / "meeting").mkdir()
    meet = MEETING.format(folder=str(tmp_path / "meeting"))
    cells = code('name: str = "a"', tags=["parameters"]), code(meet)
    source = write(tmp_path / "1_unet.ipynb", *cells)
    jobs = [Execution(source, tmp_path / f"{name}.ipynb", {"name": name}) for name in "ab"]
    broken = write(tmp_path / "2_broken.ipynb", code("1 / 0"))
    jobs.append(Execution(broken, tmp_path / "c.ipynb", {}))
    outcomes = {job.target.stem: outcome for job, outcome in execute_all(jobs)}
    assert isinstance(outcomes["c"], ReportError) and "ZeroDivisionError" in str(outcomes["c"])
    assert outcomes["a"] > 0 and outcomes["b"] > 0
    for name in "ab":
        (output,) = nbformat.read(tmp_path / f"{name}.ipynb", 4).cells[-1].outputs
        assert output.text.strip() == "1"


def test_the_network_with_the_most_arithmetic_is_begun_first():
    variants = ["unet", "unet-noskip", "unet-residual", "unet-gated-attention"]
    jobs = [Execution(Path("a"), Path("a"), {"variant": variant}) for variant in variants]
    jobs.append(Execution(Path("a"), Path("a"), {"out": "build"}))
    order = [job.parameters.get("variant") for job in sorted(jobs, key=build.arithmetic)]
    assert order == [None, "unet-noskip", "unet", "unet-gated-attention", "unet-residual"]


def test_what_measures_time_runs_alone(tmp_path):
    every = plan(ROOT / "notebooks", tmp_path, "quick", read_profile("quick"), {})
    together = [[job.target.stem[0] for job in group] for _, group in groupby(every, company)]
    assert together == [["0"], ["1", "2", "3", "4"], ["5", "6"], ["7"]]


@pytest.mark.skipif(processors() < 2, reason="one processor runs one notebook at a time")
def test_ctrl_c_ends_the_notebooks_that_run_side_by_side(tmp_path):
    """The signal reaches the command alone, as `kill -INT` sends it; no kernel outlives it."""
    wait = f"import os, time; open({str(tmp_path)!r} + '/' + name, 'w').write(str(os.getpid()))"
    cells = code('name: str = "a"', tags=["parameters"]), code(f"{wait}; time.sleep(600)")
    source = write(tmp_path / "1_unet.ipynb", *cells)
    jobs = [Execution(source, tmp_path / f"{name}.ipynb", {"name": name}) for name in "ab"]
    script = f"""from pathlib import PosixPath
from report.build import execute_all
from report.plan import Execution
if __name__ == "__main__":
    print(*execute_all({jobs!r}))"""
    (tmp_path / "start.py").write_text(script)
    command = [sys.executable, tmp_path / "start.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not all((tmp_path / name).exists() for name in "ab"):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        kernels = [int((tmp_path / name).read_text() or 0) for name in "ab"]
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=60)[1].decode()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{kernel}").exists() for kernel in kernels):
        assert time.monotonic() < deadline, "a kernel lives on"
        time.sleep(0.1)


def test_unknown_profile_values_name_the_profile(notebooks, tmp_path):
    with pytest.raises(UsageError, match="profile quick: epoch"):
        jobs(notebooks, tmp_path, values={"epoch": 3})


def test_a_training_shows_a_bar_and_nothing_else_does(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(
        build, "tqdm", lambda **options: tqdm(**options | {"disable": False, "file": shown})
    )
    progress = build.Progress("1_unet.ipynb")
    progress.write("a line of another kind\n")
    assert progress.bar.n == 0
    progress.write("epoch   3/60  loss 0.512, validation 0.610  mIoU 45.0%  3.1 s\n")
    assert (progress.bar.n, progress.bar.total) == (3, 60)
    assert "loss 0.512, validation 0.610 mIoU 45.0%" in progress.bar.postfix
    progress.bar.refresh()
    assert (
        "1_unet.ipynb" in shown.getvalue()
        and "3/60 epochs" in shown.getvalue()
        and "left" in shown.getvalue()
    )
