"""HTML -> PDF: playwright has an installed Chromium or Chrome print the page on A4.

Figures are first moved within their chapter so that pages are full. Then the page is printed twice:
CSS has no page number of a link's target that browsers support, so the first print tells on which
page each heading landed, and a script writes these numbers into the printed contents before the
second. The same page gives the same bytes: the times that the browser stores are dropped.
"""

import asyncio
import hashlib
import io
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.async_api import Error, async_playwright
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from lib import ROOT
from report.plan import ReportError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--disable-gpu", "--font-render-hinting=none"]
NO_BROWSER = (
    "the HTML is written, the PDF is not: no Chromium or Chrome was found; install one, name it in "
    "the environment variable CHROME, or add --install-browser"
)
TIMEOUT = 300  # seconds
SCRIPT = ROOT / "report" / "template" / "page" / "print.js"
NODE = re.compile(rb"\(node\d{8}\)")
SOURCE = "/Source"  # where a PDF says what it was made from
PAPER = {
    "width": f"{210 / 25.4}in",
    "height": f"{297 / 25.4}in",
    "print_background": True,
    "prefer_css_page_size": True,
    "outline": True,
    "tagged": True,
}
TEXT = {"width": int(96 * (210 - 50) / 25.4), "height": int(96 * (297 - 38) / 25.4)}  # pixels
NUMBER_CONTENTS = """pages => {
    for (const link of document.querySelectorAll(".print-contents a"))
        link.dataset.page = pages[decodeURIComponent(link.hash.slice(1))] ?? "";
}"""
HEADINGS = """() => [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")]
    .map(heading => heading.textContent.replace(/\\s+/g, " ").trim())"""
logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of how Chromium counts objects


def find_browser() -> Path | None:
    """Return $CHROME, else a Chromium or Chrome on the PATH or playwright's own, else None."""
    named = os.environ.get("CHROME")
    if named and not shutil.which(named):
        raise ReportError(
            f"CHROME={named}: no such program; name a Chromium or Chrome, or unset it"
        )
    for name in [named] if named else NAMES:
        if program := shutil.which(name):
            return Path(program)
    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


def install_browser() -> None:
    """Install Debian's package as root, playwright's Chromium for other users.

    Raise ReportError, which says what to do by hand, if that fails.
    """
    steps = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
        steps = [["apt-get", "update"], install]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in steps:
        command = " ".join(step)
        print(f"no Chromium or Chrome was found: {command}", flush=True)
        done = subprocess.run(step, capture_output=True, text=True, timeout=900, env=environment)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [""])[-1]
            raise ReportError(f"`{command}` failed ({said}); {NO_BROWSER}")
    if not find_browser():
        raise ReportError(NO_BROWSER)


def print_pdf(page: Path) -> bytes:
    """Return the PDF of an HTML file, tagged, with an outline and page numbers in its contents.

    Raise ReportError if the browser fails or gives no answer in time.
    """
    browser = find_browser()
    if not browser:
        raise ReportError(NO_BROWSER)
    try:
        return asyncio.run(asyncio.wait_for(_print(browser, page), TIMEOUT))
    except TimeoutError:
        raise ReportError(f"{browser}: no answer within {TIMEOUT} s; run again")
    except Error as error:
        raise ReportError(
            f"{browser}: {error.message.splitlines()[0]}; see what "
            f"`{browser} --headless --no-sandbox about:blank` says"
        )


async def _print(program: Path, file: Path) -> bytes:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=FLAGS,
            chromium_sandbox=os.geteuid() != 0,  # root cannot use the sandbox
        )
        page = await browser.new_page(device_scale_factor=1)
        page.set_default_timeout(0)  # the limit is that of `print_pdf`, on a busy machine too
        await page.goto(file.resolve().as_uri())
        await page.emulate_media(media="print")
        await page.set_viewport_size(TEXT)
        await page.evaluate("() => document.fonts.ready.then(() => true)")
        await page.evaluate(SCRIPT.read_text().strip(), TEXT["height"])
        await page.emulate_media(media="null")
        pages = _pages(await page.pdf(**PAPER))
        await page.evaluate(NUMBER_CONTENTS, pages)
        headings = await page.evaluate(HEADINGS)
        return _tidy(await page.pdf(**PAPER), headings, _source(file))


def up_to_date(page: Path, printed: Path) -> bool:
    """Return whether the PDF was made by this module from the HTML file as it is."""
    return printed.exists() and PdfReader(printed).metadata.get(SOURCE) == _source(page)


def _source(page: Path) -> str:
    """Return a checksum of the page and of how it is printed."""
    files = (page, SCRIPT, Path(__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _pages(pdf: bytes) -> dict[str, int]:
    """Return the page of each link's target."""
    reader = PdfReader(io.BytesIO(pdf))
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def _tidy(pdf: bytes, headings: list[str], source: str) -> bytes:
    """Return the PDF without times, set to show its title and outline.

    The outline's entries are the headings: the browser repeats words of them.
    """
    reader = PdfReader(io.BytesIO(pdf))
    writer = PdfWriter(clone_from=reader)
    writer.pdf_header = reader.pdf_header
    writer.metadata = {"/Title": reader.metadata.title, "/Producer": "Chromium", SOURCE: source}
    writer.create_viewer_preferences().display_doctitle = True
    writer.page_mode = "/UseOutlines"
    for entry, heading in zip(_entries(writer.root_object["/Outlines"]), headings, strict=True):
        entry[NameObject("/Title")] = TextStringObject(heading)
    buffer = io.BytesIO()
    writer.write(buffer)
    return _renumbered(buffer.getvalue())


def _renumbered(pdf: bytes) -> bytes:
    """Number the names that cells of tables have for each other anew.

    The browser counts on from what else it has made.
    """
    found = sorted(set(NODE.findall(pdf)))
    names = {name: b"(node%08d)" % place for place, name in enumerate(found)}
    return NODE.sub(lambda match: names[match[0]], pdf)


def _entries(parent: DictionaryObject) -> Iterator[DictionaryObject]:
    """Yield an outline's entries in the order of the document."""
    entry = parent.get("/First")
    while entry:
        entry = entry.get_object()
        yield entry
        yield from _entries(entry)
        entry = entry.get("/Next")
