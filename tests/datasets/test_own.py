"""A user's own images, with names that mean harm, from files to the report.

Parameters alone change, and nothing is fetched.
"""

import json
import re
import shutil
import socket
from pathlib import Path

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from conftest import make_own, save_label, write_classes
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

from lib import ROOT
from lib.records import load_runs
from report.__main__ import main
from report.plan import chapters

NAMES = ("<script>alert(1)</script>", "a|b $x$ [@y] @fig-z", "_background_ **b**", "`never`")
TITLE, ABOUT = (
    "Cells <b>[@x]</b>",
    "Seen under *my* microscope [@nobody2020] @fig-none, $5 a slide.",
)
STEM = "<i>$p$ [@q] @tbl-x "
NO_NETWORK = """import socket
connect = socket.socket.connect
def refuse(self, address, *more):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        open({log!r}, "a").write(repr(address))
        raise OSError("no network here")
    return connect(self, address, *more)
socket.socket.connect = refuse
"""


@pytest.fixture
def evil(tmp_path) -> Path:
    """Three classes that occur and one that may not; file names, title and words like markup."""
    root = make_own(tmp_path / "evil", NAMES, (4, 2, 3), prefix=STEM)
    classes = json.loads((root / "classes.json").read_text())
    classes[3]["optional"] = True
    write_classes(root, {"name": TITLE, "about": ABOUT, "classes": classes})
    for path in root.rglob("labels/*.png"):
        target = np.array(Image.open(path).convert("L"))  # whatever form it has, as three classes
        save_label(path, np.where(target == 255, 255, target % 3).astype(np.uint8))
    return root


@pytest.fixture
def no_network(tmp_path, monkeypatch) -> Path:
    """Refuses every connection to other machines, here and in the kernels, and lists them."""
    log = tmp_path / "connections"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(NO_NETWORK.format(log=str(log)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)  # put back at the end
    exec(NO_NETWORK.format(log=str(log)), {})
    return log


@pytest.fixture
def notebooks(tmp_path) -> Path:
    """The data, one network and the analysis; of the other chapters the headings referred to."""
    folder, headings = tmp_path / "notebooks", []
    shutil.copytree(ROOT / "notebooks/profiles", folder / "profiles")
    smoke = folder / "profiles/smoke.yaml"
    smoke.write_text(
        re.sub("^measure_.*\n", "", smoke.read_text(), flags=re.MULTILINE)
    )  # of the chapter on cost
    for source in chapters(ROOT / "notebooks"):
        if source.stem in ("0_data", "1_unet", "5_analysis"):
            shutil.copy(source, folder)
        else:
            text = "\n\n".join(
                c.source for c in nbformat.read(source, 4).cells if c.cell_type == "markdown"
            )
            headings += re.findall(r"^#+ .*(?:\n<!--.*-->)?", text, re.MULTILINE)
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("\n\n".join(headings))]), folder / "6_theory.ipynb"
    )
    return folder


def test_the_report_of_a_user_s_own_images(evil, notebooks, no_network, tmp_path, monkeypatch):
    out = tmp_path / "out"
    own = {
        "dataset": "folder",
        "data_root": str(evil),
        "image_size": "[32, 48]",
        "study_images": "0",
    }
    monkeypatch.setattr(
        "report.pdf.print_pdf", lambda page: b""
    )  # tests/test_notebooks.py prints one
    assert main(["check", "--dataset", "folder", "--data-root", str(evil)]) == 0
    assert (
        main(
            [
                "--profile",
                "smoke",
                "--out",
                str(out),
                *(x for name in own.items() for x in ("-p", *name)),
            ],
            notebooks,
        )
        == 0
    )
    assert not no_network.exists(), no_network.read_text()

    (run,) = load_runs(out)
    assert run.classes.names == NAMES and run.record["dataset"]["pixels"]["test"][3] == 0
    assert run.record["dataset"]["counts"] == {"train": 4, "val": 2, "test": 3}
    soup = BeautifulSoup((out / "report.html").read_text(), "html.parser")
    assert not [tag for tag in soup.find_all("script") if "alert(1)" in tag.get_text()]
    assert not [tag for tag in soup.find_all("i") if "$p$" in tag.get_text()]
    assert not [
        tag for tag in soup.find_all(True) if any(key.startswith("on") for key in tag.attrs)
    ]
    prose, tables = (
        " ".join(tag.get_text() for tag in soup.select(kind)) for kind in ("p, figcaption", "td")
    )
    assert all(name in prose and name in tables for name in NAMES[:3])
    assert f"No training pixel belongs to {NAMES[3]}." in prose and f"{STEM}test 0" in prose
    assert TITLE in prose and ABOUT in prose
    charts = [tag.get_text() for tag in soup.select("svg text")]
    assert all(any(name in text for text in charts) for name in NAMES[:3]), charts
