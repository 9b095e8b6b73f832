"""The slider that compares images, in a browser."""

import pytest
from nbformat.v4 import new_markdown_cell

from lib.records import by_variant, load_runs
from report.figures.slider import slider
from report.pdf import find_browser
from tests.pages import code, shown
from tests.pages import page as report_page


def slider_page(runs, out):
    """A report of the slider alone."""
    reasons = dict(zip(runs[0].examples, ("</script> & first", "second")))
    report = {
        "label": "fig-slider",
        "caption": "Move the divider.",
        "alt": "Two maps.",
        "interactive": True,
    }
    output = shown({"text/html": slider(runs, reasons).content}, **report)
    (out / "report.html").write_text(
        report_page(out, new_markdown_cell("# T"), code("", output, tags=["hide-input"]))
    )
    return out / "report.html"


def test_every_picture_is_embedded_once(trained):
    runs = load_runs(trained)
    html = slider(runs, dict.fromkeys(runs[0].examples[:2], "a reason")).content
    assert (
        html.count("data:image/png") == 2 * (1 + 2 * len(by_variant(runs)))
        and html.count("data:image/jpeg") == 2
    )
    assert 'class="compare" hidden' in html and len(html) < 60_000


@pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome")
def test_the_slider_in_a_browser(trained, tmp_path, visit):
    runs = load_runs(trained)
    path = slider_page(runs, tmp_path)
    page = visit(path)
    page.evaluate("""var [photo, below, above] = document.querySelectorAll(".compare img");
        var range = document.querySelector(".compare input");
        var [picture, left, right] = document.querySelectorAll(".compare select");
        var choose = (select, value) => {
            select.value = value;
            select.dispatchEvent(new Event("change"));
        }""")
    assert page.evaluate("[picture, left, right].map(s => s.selectedOptions[0].text)") == [
        f"</script> & first ({runs[0].examples[0]})",
        "Photograph",
        "U-Net without skip connections",
    ]
    assert page.evaluate("[below, above].map(view => view.style.clipPath)") == [
        "inset(0px 50% 0px 0px)",
        "inset(0px 0px 0px 50%)",
    ]
    page.evaluate("range.focus()")
    page.keyboard.press("End")
    assert page.evaluate("above.style.clipPath") == "inset(0px 0px 0px 100%)"
    said = page.evaluate("range.getAttribute('aria-valuetext')")
    assert said == "100 % Photograph, 0 % U-Net without skip connections"
    width, left, top = (
        page.evaluate("""range.scrollIntoView({behavior: "instant", block: "center"});
        var box = range.getBoundingClientRect(); [box.width, box.left, box.top]""")
    )
    page.mouse.click(left + width / 4, top + 9)
    assert abs(page.evaluate("+range.value") - 25) < 1
    before = page.evaluate("[below.src, above.src]")
    page.evaluate("choose(left, 'truth')")
    after = page.evaluate("[below.src, above.src]")
    assert after[0] != before[0] and after[1] == before[1]
    assert all(uri.startswith("data:image/png") for uri in after)
    page.evaluate("choose(picture, 1); choose(right, 'image')")
    assert page.evaluate("above.src").startswith("data:image/jpeg")
    assert page.evaluate("below.src") != after[0]
    assert page.evaluate("below.alt") == f"Second ({runs[0].examples[1]}): Ground truth"
    size = page.evaluate("below.decode().then(() => [below.naturalHeight, below.naturalWidth])")
    assert size == [32, 48]
    overlay(page, runs)
    display = "getComputedStyle(document.querySelector('.interactive')).display"
    assert page.evaluate(display) == "block"
    page.emulate_media(media="print")
    assert page.evaluate(display) == "none"
    without_scripts = visit(path, java_script_enabled=False)
    assert without_scripts.locator(".interactive").count() == 1
    assert without_scripts.locator(".interactive").is_hidden()


def overlay(page, runs) -> None:
    """Show errors over the photograph, fade labels, and go through the images, all by keys."""
    page.evaluate("choose(picture, 0); choose(left, 'unet'); choose(right, 'truth'); range.focus()")
    labels = page.evaluate("below.src")
    page.keyboard.press("e")
    assert page.evaluate("below.src") not in (labels, "")
    assert page.evaluate("below.alt").endswith(": errors of U-Net")
    assert page.evaluate("photo.src").startswith("data:image/jpeg")
    assert page.evaluate("above.alt").endswith("Ground truth")
    page.keyboard.press("e")
    assert page.evaluate("below.src") == labels
    page.evaluate("""var fade = document.querySelector(".overlay [type=range]");
        fade.value = 30; fade.dispatchEvent(new Event("input"))""")
    assert page.evaluate("[below, above].map(view => view.style.opacity)") == ["0.3", "0.3"]
    page.keyboard.press("PageUp")
    assert page.evaluate("picture.value") == "1"
    assert page.evaluate("below.alt") == f"Second ({runs[0].examples[1]}): U-Net"
