"""The slider that compares images, in a browser."""

import pytest
from nbformat.v4 import new_markdown_cell

from lib.records import load_runs
from report.figures.slider import slider
from report.figures.style import first_seeds
from report.pdf import Browser, find_browser
from tests.pages import code, page, shown


def slider_page(runs, out):
    """A report of the slider alone."""
    reasons = dict(zip(runs[0].examples, ("</script> & first", "second")))
    report = {"label": "fig-slider", "caption": "Move the divider.", "alt": "Two maps.", "interactive": True}
    output = shown({"text/html": slider(runs, reasons)}, **report)
    (out / "report.html").write_text(page(out, new_markdown_cell("# T"), code("", output, tags=["hide-input"])))
    return out / "report.html"


def test_every_picture_is_embedded_once(trained):
    runs = load_runs(trained)
    html = slider(runs, dict.fromkeys(runs[0].examples[:2], "a reason"))
    assert html.count("data:image/png") == 2 * (1 + 2 * len(first_seeds(runs))) and html.count("data:image/webp") == 2
    assert 'class="compare" hidden' in html and len(html) < 60_000


@pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome")
def test_the_slider_in_a_browser(trained, tmp_path):
    runs = load_runs(trained)
    with Browser(find_browser()) as browser:
        browser.open(slider_page(runs, tmp_path))
        browser.run("var [photo, below, above] = document.querySelectorAll('.compare img'),"
                    "range = document.querySelector('.compare input');"
                    "var [picture, left, right] = document.querySelectorAll('.compare select');"
                    "var choose = (select, value) => { select.value = value; select.dispatchEvent(new Event('change')) }")
        assert browser.run("[picture, left, right].map(s => s.selectedOptions[0].text)") == [
            f"</script> & first ({runs[0].examples[0]})", "U-Net", "U-Net without skip connections"]
        assert browser.run("[below, above].map(view => view.style.clipPath)") == [
            "inset(0px 50% 0px 0px)", "inset(0px 0px 0px 50%)"]
        browser.run("range.focus()")
        press(browser, "End", 35)
        assert browser.run("above.style.clipPath") == "inset(0px 0px 0px 100%)"
        assert browser.run("range.getAttribute('aria-valuetext')") == "100 % U-Net, 0 % U-Net without skip connections"
        width, left, top = browser.run("range.scrollIntoView({behavior: 'instant', block: 'center'});"
                                       "var box = range.getBoundingClientRect(); [box.width, box.left, box.top]")
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, x=left + width / 4, y=top + 9, button="left", clickCount=1)
        assert abs(browser.run("+range.value") - 25) < 1
        before = browser.run("[below.src, above.src]")
        browser.run("choose(left, 'truth')")
        after = browser.run("[below.src, above.src]")
        assert after[0] != before[0] and after[1] == before[1] and all(uri.startswith("data:image/png") for uri in after)
        browser.run("choose(picture, 1); choose(right, 'image')")
        assert browser.run("above.src").startswith("data:image/webp") and browser.run("below.src") != after[0]
        assert browser.run("below.alt") == f"Second ({runs[0].examples[1]}): Ground truth"
        assert browser.run("below.decode().then(() => [below.naturalHeight, below.naturalWidth])") == [32, 48]
        overlay(browser, runs)
        display = "getComputedStyle(document.querySelector('.interactive')).display"
        assert browser.run(display) == "block"
        browser.call("Emulation.setEmulatedMedia", media="print")
        assert browser.run(display) == "none"
        browser.call("Emulation.setEmulatedMedia", media="")
        browser.call("Emulation.setScriptExecutionDisabled", value=True)
        browser.load("Page.reload")
        assert hidden(browser)


def press(browser, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def overlay(browser, runs) -> None:
    """Errors over the photograph, faded labels, and the images in turn, all by keys."""
    browser.run("choose(picture, 0); choose(left, 'unet'); choose(right, 'truth'); range.focus()")
    labels = browser.run("below.src")
    press(browser, "e", 69)
    assert browser.run("below.src") not in (labels, "") and browser.run("below.alt").endswith(": errors of U-Net")
    assert browser.run("photo.src").startswith("data:image/webp") and browser.run("above.alt").endswith("Ground truth")
    press(browser, "e", 69)
    assert browser.run("below.src") == labels
    browser.run("var fade = document.querySelector('.overlay [type=range]'); fade.value = 30; fade.dispatchEvent(new Event('input'))")
    assert browser.run("[below, above].map(view => view.style.opacity)") == ["0.3", "0.3"]
    press(browser, "PageUp", 33)
    assert browser.run("picture.value") == "1" and browser.run("below.alt") == f"Second ({runs[0].examples[1]}): U-Net"


def hidden(browser) -> bool:
    """Whether the page without scripts gives the figure no box."""
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector=".interactive")["nodeId"]
    browser.call("DOM.enable")
    browser.call("CSS.enable")
    style = browser.call("CSS.getComputedStyleForNode", nodeId=node)["computedStyle"]
    return {"name": "display", "value": "none"} in style
