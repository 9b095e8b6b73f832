"""Small notebooks as papermill leaves them, and pages made of them, for the tests of the report."""

import os
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Browser, sync_playwright

from report.page import DRAWING, render
from report.pdf import FLAGS, find_browser

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="504pt" height="180pt" viewBox="0 0 504 180">'
    '<defs><path id="a" d="M0 0h1"/><style>*{stroke-linejoin:round}</style></defs>'
    '<g id="text_1"><use xlink:href="#a" style="fill: #000000"/></g>'
    '<g id="patch_1"><path d="M0 0h9v9z" style="fill: #464646; stroke: #ffffff"/></g></svg>'
)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shown(data, **report):
    return new_output("display_data", data, metadata={"report": report})


def figure(label, caption="What to see.", alt="A chart.", **report):
    return code(
        "draw()", shown({"image/svg+xml": SVG}, label=label, caption=caption, alt=alt, **report)
    )


def svg_of(data: dict[str, str]) -> str:
    """Return the drawing that a notebook holds as an image."""
    return b64decode(DRAWING.match(data["text/html"])[1]).decode()


def write(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, cell in enumerate(cells):
        cell.id = f"c{index}"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def page(tmp_path, *cells):
    """The rendered page of one notebook with these cells."""
    return render([write(tmp_path / "5_analysis.ipynb", *cells)])


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield the browser that prints, without a window."""
    with sync_playwright() as playwright:
        sandbox = os.geteuid() != 0
        program = playwright.chromium.launch(
            executable_path=find_browser(), args=FLAGS, chromium_sandbox=sandbox
        )
        yield program
        program.close()
