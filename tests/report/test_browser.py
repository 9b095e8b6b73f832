"""The whole report in a browser: it asks for nothing, is silent, quick, steady and accessible."""

from importlib.resources import files

import pytest
from pypdf import PdfReader

from lib import ROOT
from report.pdf import find_browser

MEGABYTE = 1_000_000
PUBLISHED = ROOT / "report" / "published" / "camvid"
# What moves in the contents alone is the open chapter that follows the reader, and is no shift of
# the text.
OBSERVE = """window.seen = {shift: 0, paint: Infinity};
const text = source => source.node && !source.node.parentElement?.closest("nav.contents");
new PerformanceObserver(list => list.getEntries().forEach(e => {
  if (!e.hadRecentInput && e.sources.some(text)) seen.shift += e.value })).\
observe({type: "layout-shift", buffered: true});
new PerformanceObserver(list => list.getEntries().forEach(e => {
  if (e.name === "first-contentful-paint") seen.paint = e.startTime })).\
observe({type: "paint", buffered: true});"""
SCROLL = """(async () => { \
for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) {
  scrollTo({top: y, behavior: "instant"});
  for (const frame of [1, 2]) await new Promise(requestAnimationFrame) } })()"""

pytestmark = pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome")


class Listener:
    """Notes what a page asks for and what it says in the console."""

    def __init__(self, page):
        self.asked, self.said = [], []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(message.text[:300]))
        page.on("pageerror", lambda error: self.said.append(error.message[:300]))


@pytest.mark.parametrize("name", ["report.html", "report.pdf"])
def test_what_is_built_and_what_is_published_are_light(report, name):
    for folder in (report, PUBLISHED):
        assert (folder / name).stat().st_size <= 8.5 * MEGABYTE, folder / name


@pytest.mark.parametrize("published", [False, True])
def test_nothing_is_asked_for_and_the_console_is_silent(report, visit, published):
    path = (PUBLISHED if published else report) / "report.html"
    heard = []
    page = visit(path, before=lambda page: heard.append(Listener(page)), offline=True)
    page.evaluate(SCROLL)
    (listener,) = heard
    assert listener.asked[0] == path.resolve().as_uri()
    assert [url[:80] for url in listener.asked[1:] if not url.startswith(("data:", "blob:"))] == []
    assert listener.said == []


def test_a_request_would_be_noticed(visit, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<p>text<img src='https://example.org/x.png'><script>undefined.x</script>")
    heard = []
    visit(path, before=lambda page: heard.append(Listener(page)))
    assert len(heard[0].asked) == 2 and any("undefined" in text for text in heard[0].said)


def observe(page) -> None:
    page.add_init_script(OBSERVE)


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_painted_within_a_second_and_stays_where_it_is(report, visit, width):
    paints = []
    for _ in range(3):  # the best of three, since other work may keep the processor busy
        page = visit(report / "report.html", width, before=observe)
        page.evaluate(SCROLL)
        paints.append(page.evaluate("seen.paint"))
        assert page.evaluate("seen.shift") < 0.02
    assert 0 < min(paints) < 1000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(report, visit, width, theme):
    page = visit(report / "report.html", width, theme)
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text() + "; true")
    violations = page.evaluate("""axe.run({resultTypes: ["violations"]}).then(result =>
        result.violations.map(each => [each.id, each.nodes.slice(0, 5).map(node =>
            `${node.target.join(" ")} ${node.html.slice(0, 120)}`)]))""")
    assert violations == []


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_hangs_over_the_edge(report, visit, width):
    page = visit(report / "report.html", width)
    excess, inner = page.evaluate("""var edge = document.documentElement;
        [edge.scrollWidth - edge.clientWidth, innerWidth]""")
    assert (excess, inner) == (0, width)


def test_values_are_read_off_a_curve_by_pointer_and_keys(report, visit):
    page = visit(report / "report.html")
    x, y = page.evaluate("""var figure = document.querySelector("#fig-loss .visual");
        var chart = figure.querySelector("svg.chart");
        chart.scrollIntoView({behavior: "instant", block: "center"});
        var [start, , above] = JSON.parse(figure.querySelector("script").text)[0].box;
        var corner = new DOMPoint(start, above).matrixTransform(chart.getScreenCTM());
        [corner.x, corner.y]""")
    said = "[...document.querySelectorAll('.reading:not([hidden])')].map(note => note.textContent)"
    assert page.evaluate(said) == []
    page.mouse.move(x + 2, y + 9)
    (first,) = page.evaluate(said)
    assert first.startswith("epoch 1") and "U-Net" in first and "residual" in first
    assert page.evaluate("figure.querySelectorAll('svg.chart circle').length") >= 4
    page.mouse.move(0, 0)
    assert page.evaluate(said) == []
    page.evaluate("chart.focus({preventScroll: true})")
    page.keyboard.press("ArrowRight")
    (second,) = page.evaluate(said)
    assert second.startswith("epoch 2")


def test_a_reference_shows_its_target(report, visit):
    page = visit(report / "report.html")
    link = page.locator("main a.ref[href='#fig-loss']").first
    link.scroll_into_view_if_needed()
    link.hover()
    caption = page.evaluate("document.querySelector('#fig-loss-caption').textContent")
    assert caption in page.evaluate("document.querySelector('.preview:not([hidden])').textContent")
    page.mouse.move(0, 0)
    assert page.evaluate("document.querySelector('.preview').hidden")
    page.locator("main a.cite").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("!document.querySelector('.preview').hidden")
    page.keyboard.press("Escape")
    assert page.evaluate("document.querySelector('.preview').hidden")


def test_a_class_is_lit_in_every_chart_at_once(report, visit):
    page = visit(report / "report.html")
    page.evaluate("""var button = document.querySelector("tr[data-class] button");
        var lit = button.textContent; button.focus({preventScroll: true})""")
    page.keyboard.press("Enter")
    lit = page.evaluate("""[...document.querySelectorAll(".lit")].map(
        mark => [mark.tagName, mark.dataset.class === lit])""")
    assert all(same for _, same in lit) and {"g", "TR", "LI"} <= {tag for tag, _ in lit}
    rows = page.evaluate(
        "[...document.querySelectorAll('g[data-class]')]"
        ".filter(row => row.dataset.class === lit).length"
    )
    assert sum(tag == "g" for tag, _ in lit) == rows > 4
    assert page.evaluate("button.getAttribute('aria-pressed')") == "true"
    page.evaluate("button.click()")
    assert page.evaluate("document.querySelectorAll('.lit').length") == 0


def test_the_paper_holds_the_whole_page(report):
    for page in PdfReader(report / "report.pdf").pages:
        assert [float(side) for side in page.mediabox[2:]] == pytest.approx((595, 842), abs=1)
        places, scales = [], set()
        page.extract_text(
            visitor_text=lambda text, outer, inner, *_: (
                text.strip()
                and (
                    scales.add(round(outer[0], 2)),
                    places.append(inner[4] * outer[0] + inner[5] * outer[2] + outer[4]),
                )
            )
        )
        assert min(places) > 70 and max(places) < 595 - 70
        assert max(scales) == 0.75, "something too wide has shrunk the page"  # points in a pixel


def test_no_page_of_the_pdf_is_half_empty(report):
    document = PdfReader(report / "report.pdf")
    *pages, _ = document.pages
    title, below = document.outline
    chapters = [entry for entry in below if not isinstance(entry, list)]
    starts = {document.get_destination_page_number(entry) for entry in chapters}
    assert len(starts) > 5
    for number, page in enumerate(pages, 1):
        if number in starts:  # the next page, counted from 0, opens a chapter
            continue  # this one may end early
        lowest = []
        page.extract_text(
            visitor_text=lambda text, outer, inner, *_: (
                text.strip() and lowest.append(inner[4] * outer[1] + inner[5] * outer[3] + outer[5])
            )
        )
        height, footer = float(page.mediabox.height), 60
        assert min(y for y in lowest if y > footer) < 0.5 * height, f"page {number}"
