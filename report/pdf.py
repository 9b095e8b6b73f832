"""HTML -> PDF: an installed Chromium or Chrome prints the page, spoken to through its DevTools protocol.

Figures are first moved within their chapter so that pages are full. Then the page is printed twice: CSS has no page
number of a link's target that browsers support, so the first print tells on which page each heading landed, and a
script writes these numbers into the printed contents before the second. The same page gives the same bytes: the times
that the browser stores are dropped. The PDF is A4; whoever prints the HTML chooses the paper.
"""

import base64
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import websocket
from pypdf import PdfReader, PdfWriter
from pypdf.generic import BooleanObject, DictionaryObject, NameObject, TextStringObject

from lib import ROOT
from report.build import ReportError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLAYWRIGHT = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
              "chromium_headless_shell-*/chrome-*/*headless[-_]shell")
FLAGS = ("--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-dev-shm-usage", "--remote-debugging-port=0",
         "--remote-allow-origins=*", "--font-render-hinting=none")
FILL_PAGES = ROOT / "report" / "template" / "print.js"
NODE = re.compile(rb"\(node\d{8}\)")
SOURCE = "/Source"  # where a PDF says what it was made from
MARGINS = (64 / 25.4, 51 / 25.4)  # left and right, top and bottom, as `@page` has them, inches
PAPERS = {"A4": (210 / 25.4, 297 / 25.4), "Letter": (8.5, 11)}  # width and height, inches
NUMBER_CONTENTS = """for (const link of document.querySelectorAll(".print-contents a"))
    link.dataset.page = PAGES[decodeURIComponent(link.hash.slice(1))] ?? "";"""
HEADINGS = "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => h.textContent.replace(/\\s+/g, ' ').trim())"
logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of how Chromium counts objects


def find_browser() -> Path | None:
    """$CHROME, else a Chromium or Chrome on the PATH, else one that playwright installed, else None."""
    named = os.environ.get("CHROME")
    found = [shutil.which(name) for name in ((named,) if named else NAMES)]
    if named and not found[0]:
        raise ReportError(f"CHROME={named}: no such program; name a Chromium or Chrome, or unset it")
    default = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "ms-playwright"
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", default))
    found += [path for pattern in PLAYWRIGHT for path in sorted(cache.glob(pattern), reverse=True)]
    return next((Path(path) for path in found if path), None)


def install_browser() -> Path:
    """Debian's package as root, playwright's Chromium for other users; ReportError says what to do by hand."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        steps = [["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]]
    else:
        steps = [[sys.executable, "-m", "pip", "install", "playwright"],
                 [sys.executable, "-m", "playwright", "install", "chromium"]]
    for step in steps:
        print(f"no Chromium or Chrome found: {' '.join(step)}", flush=True)
        try:
            subprocess.run(step, check=True, capture_output=True, text=True, timeout=900,
                           env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
        except (OSError, subprocess.SubprocessError) as error:
            last = ((getattr(error, "stderr", "") or str(error)).strip().splitlines() or [""])[-1]
            raise ReportError(f"the HTML is written, the PDF is not: `{' '.join(step)}` failed ({last}); install "
                              "Chromium or Chrome, or name one in the environment variable CHROME, and run again")
    if browser := find_browser():
        return browser
    raise ReportError("the HTML is written, the PDF is not: no Chromium or Chrome was found after installing it; "
                      "name one in the environment variable CHROME and run again")


class Browser:
    """A headless browser with one empty page: `with Browser(path) as page: page.call("Page.navigate", url=...)`."""

    def __init__(self, path: Path, timeout: float = 120):
        self.path, self.timeout, self.sent, self.events = path, timeout, 0, []

    def __enter__(self) -> Self:
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # root cannot use the sandbox
        self.process = subprocess.Popen(
            [self.path, *FLAGS, *sandbox, f"--user-data-dir={self.profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.socket, self.session = websocket.create_connection(self._address(), timeout=self.timeout), None
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self.call("Page.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.profile.cleanup()

    def _address(self) -> str:
        """The browser writes where it listens into its profile folder."""
        file, deadline = Path(self.profile.name) / "DevToolsActivePort", time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            lines = file.read_text().split() if file.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            if self.process.poll() is not None:
                raise ReportError(f"{self.path}: the browser ended at once with status {self.process.returncode}; "
                                  f"see what `{self.path} --headless --no-sandbox about:blank` says")
            time.sleep(0.05)
        raise ReportError(f"{self.path}: the browser did not start within {self.timeout:.0f} s")

    def call(self, method: str, **parameters) -> dict:
        """The result of one DevTools command; events that arrive meanwhile are kept in `events`."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": parameters}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while (reply := self._receive(method)).get("id") != self.sent:
            self.events.append(reply)
        if "error" in reply:
            raise ReportError(f"{self.path}: {method} failed: {reply['error'].get('message')}")
        return reply["result"]

    def _receive(self, waiting_for: str) -> dict:
        try:
            return json.loads(self.socket.recv())
        except (websocket.WebSocketException, OSError) as error:
            raise ReportError(f"{self.path}: no answer to {waiting_for} within {self.timeout:.0f} s ({error})")

    def open(self, page: Path) -> None:
        """Loads a file and waits for it and its fonts."""
        self.load("Page.navigate", url=page.resolve().as_uri())
        self.run("document.fonts.ready.then(() => true)")

    def load(self, method: str, **parameters) -> None:
        """A command that loads a page; returns when that page has been loaded."""
        self.events.clear()
        self.call(method, **parameters)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive("Page.loadEventFired"))

    def run(self, script: str) -> object:
        """The value of a script in the page."""
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise ReportError(f"{self.path}: a script failed: {reply['exceptionDetails'].get('text')}")
        return reply["result"].get("value")

    def pdf(self, paper: str = "A4") -> bytes:
        """The page on paper of that name."""
        width, height = PAPERS[paper]
        reply = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=width,
                          paperHeight=height, generateDocumentOutline=True, generateTaggedPDF=True)
        return base64.b64decode(reply["data"])


def fill_pages(browser: Browser, paper: str = "A4") -> None:
    """Moves figures of the open page so that the pages of that paper are full; what is too wide is made smaller."""
    width, height = (96 * (side - margin) for side, margin in zip(PAPERS[paper], MARGINS))
    browser.call("Emulation.setEmulatedMedia", media="print")
    browser.call("Emulation.setDeviceMetricsOverride", width=int(width), height=int(height), deviceScaleFactor=1, mobile=True)
    browser.run(f"({FILL_PAGES.read_text().strip()})({height})")
    browser.call("Emulation.clearDeviceMetricsOverride")
    browser.call("Emulation.setEmulatedMedia", media="")


def print_pdf(page: Path) -> bytes:
    """The PDF of an HTML file, tagged, with an outline and with page numbers in its contents."""
    with Browser(find_browser() or install_browser()) as browser:
        browser.open(page)
        fill_pages(browser)
        browser.run(NUMBER_CONTENTS.replace("PAGES", json.dumps(_pages(browser.pdf()))))
        return _tidy(browser.pdf(), browser.run(HEADINGS), _source(page))


def up_to_date(page: Path, printed: Path) -> bool:
    """Whether the PDF was made from the HTML file as it is, in the way that this module makes it."""
    return printed.exists() and PdfReader(printed).metadata.get(SOURCE) == _source(page)


def _source(page: Path) -> str:
    """A checksum of the page and of how it is printed."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in (page, FILL_PAGES, Path(__file__)))).hexdigest()


def _pages(pdf: bytes) -> dict[str, int]:
    """The page of each link's target."""
    reader = PdfReader(io.BytesIO(pdf))
    return {name.lstrip("/"): reader.get_destination_page_number(place) + 1
            for name, place in reader.named_destinations.items()}


def _tidy(pdf: bytes, headings: list[str], source: str) -> bytes:
    """Without times, and set to show its title and outline; the browser repeats words of headings in the outline."""
    reader = PdfReader(io.BytesIO(pdf))
    writer = PdfWriter(clone_from=reader)
    title, writer.pdf_header = reader.metadata.title, reader.pdf_header
    writer.metadata = None
    writer.add_metadata({"/Title": title or "", "/Producer": "Chromium", SOURCE: source})
    writer.root_object[NameObject("/ViewerPreferences")] = DictionaryObject(
        {NameObject("/DisplayDocTitle"): BooleanObject(True)})
    writer.page_mode = "/UseOutlines"
    entries = list(_entries(writer.root_object["/Outlines"]))
    for entry, heading in zip(entries, headings if len(entries) == len(headings) else []):
        entry[NameObject("/Title")] = TextStringObject(heading)
    buffer = io.BytesIO()
    writer.write(buffer)
    return _renumbered(buffer.getvalue())


def _renumbered(pdf: bytes) -> bytes:
    """The names that cells of tables have for each other, in order: the browser counts on from what else it has made."""
    names = {name: b"(node%08d)" % place for place, name in enumerate(sorted(set(NODE.findall(pdf))))}
    return NODE.sub(lambda match: names[match[0]], pdf)


def _entries(parent: DictionaryObject) -> Iterator[DictionaryObject]:
    """An outline's entries in the order of the document."""
    entry = parent.get("/First")
    while entry:
        yield (entry := entry.get_object())
        yield from _entries(entry)
        entry = entry.get("/Next")
