"""The U-Net that runs in the page, in a browser, against the same network in PyTorch."""

import io
from base64 import b64decode
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from nbformat.v4 import new_markdown_cell
from PIL import Image

from lib.metrics import confusion_matrix, iou_per_class, mean_iou, nan_mean
from lib.models import DEPTH, SUBSETS
from lib.records import load_runs
from lib.structure import ratio, structure_counts
from lib.studies.quantized import restore
from report.evidence.wording import Unit
from report.figures import live
from report.figures.style import displayed
from report.pdf import find_browser
from tests.pages import code, shown
from tests.pages import page as report_page

browser = pytest.mark.skipif(not find_browser(), reason="no Chromium or Chrome")
DONE = ".live:not([aria-busy])"
percent = Unit("", 100)

# A worker of the test's own labels the images of the page under every subset of the skips. The
# coarse levels change last, so that little is computed twice.
LABEL = """async ([names, subsets]) => {
  const text = kind => document.querySelector(`.live .${kind}`).textContent;
  const worker = new Worker(URL.createObjectURL(new Blob([text("worker")])));
  const {network, height, width} = JSON.parse(text("data"));
  const canvas = new OffscreenCanvas(width, height).getContext("2d");
  const answers = [], done = Promise.withResolvers();
  worker.onmessage = ({data}) => {
    answers.push(btoa(String.fromCharCode(...data.labels)));
    if (answers.length === names.length * subsets.length) done.resolve(answers);
  };
  worker.postMessage(network);
  for (const name of names) {
    const image = document.querySelector(`.live [alt="Test image ${name}"]`);
    canvas.drawImage(image, 0, 0, width, height);
    const pixels = canvas.getImageData(0, 0, width, height).data;
    worker.postMessage({image: name, pixels, height, width});
    for (const levels of subsets) {
      const sources = [0, 1, 2, 3].map(level => levels.includes(level) ? name : null);
      worker.postMessage({image: name, sources});
    }
  }
  return done.promise;
}"""


@pytest.fixture(scope="module")
def published():
    """The network in the published records."""
    return live.find_network(load_runs(live.PUBLISHED), live.PUBLISHED)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A report of the published network alone."""
    folder = tmp_path_factory.mktemp("live")
    exhibit = live.unet(load_runs(live.PUBLISHED), live.PUBLISHED)
    report = {name: getattr(exhibit, name) for name in ("label", "caption", "alt", "live")}
    output = shown(exhibit.data(), **report)
    html = report_page(folder, new_markdown_cell("# T"), code("", output, tags=["hide-input"]))
    (folder / "report.html").write_text(html)
    return folder / "report.html"


@pytest.fixture
def opened(path, visit):
    """That page, with the first image labelled."""

    def open_page(*args, **options):
        page = visit(path, *args, **options)
        page.locator(DONE).wait_for()
        return page

    return open_page


def press(page, selector, times=1):
    for _ in range(times):
        page.click(selector)
    page.locator(DONE).wait_for()


def said(page):
    return page.inner_text(".live .said")


def predicted(page, classes):
    """What the page shows as its prediction, uint8 (H, W)."""
    height, width, values = page.evaluate("""() => {
        const canvas = document.querySelector(".live .prediction canvas"), {height, width} = canvas;
        const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
        return [height, width, [...data]] }""")
    colors = np.array(values).reshape(height, width, 4)[..., None, :3]
    return (colors == np.array(displayed(classes).colors)).all(-1).argmax(-1).astype(np.uint8)


def test_the_network_of_a_run_whose_weights_are_at_hand(trained):
    runs = load_runs(trained)
    exhibit = live.unet(runs, trained)
    assert "mIoU" in exhibit.caption
    assert 'aria-busy="true" hidden' in exhibit.live
    assert len(exhibit.live) < 250_000
    found = live.find_network(runs, trained)
    assert (found.run.variant, found.without.variant) == ("unet", "unet-noskip")
    assert len(found.names) == 4
    outlines = [live.outline(found.run.target(name)).sum() for name in found.names]
    assert outlines == sorted(outlines, reverse=True)


def test_without_weights_or_partner_there_is_no_figure(trained, tmp_path):
    runs = load_runs(trained)
    moved = [replace(run, folder=tmp_path / run.variant) for run in runs]
    assert live.unet(moved, tmp_path) is None
    assert live.unet([run for run in runs if run.variant == "unet"], trained) is None
    assert live.unet([], trained) is None


def test_a_network_too_heavy_for_a_page_is_left_out(trained):
    runs = load_runs(trained)
    heavy = [replace(run, record=run.record | {"parameters": 31_000_000}) for run in runs]
    assert live.unet(heavy, trained) is None


def test_records_of_the_same_data_set_show_the_published_network(published, tmp_path):
    moved = [replace(run, folder=tmp_path / run.variant) for run in load_runs(live.PUBLISHED)]
    found = live.find_network(moved, tmp_path)
    assert found.run.folder == published.run.folder and found.without.seed == found.run.seed


def test_receptive_fields_of_the_encoder():
    assert live.fields() == [5, 14, 32, 68, 140]


@browser
def test_the_page_labels_as_pytorch_does_under_every_subset_of_skips(opened, published):
    coarse_first = [*reversed(range(DEPTH))]
    subsets = sorted(SUBSETS, key=lambda levels: [level in levels for level in coarse_first])
    answers = iter(opened().evaluate(LABEL, [published.names, subsets]))
    model = restore(published.stored)
    for name in published.names:
        image = published.run.image(name)
        for levels in subsets:
            cut = [level for level in range(DEPTH) if level not in levels]
            expected = live.labels(model, image, cut)
            found = np.frombuffer(b64decode(next(answers)), np.uint8).reshape(expected.shape)
            assert (found == expected).mean() >= 0.999, (name, levels)


@browser
@torch.inference_mode()
def test_other_features_labels_and_scores_are_those_of_python(opened, published):
    page = opened()
    press(page, ".presets button >> nth=1")
    first, second, *_ = published.names
    run, classes = published.run, published.run.classes
    both = np.stack([run.image(name) for name in (first, second)])
    model = restore(published.stored)
    batch = torch.from_numpy(both).permute(0, 3, 1, 2) / 255
    with live.leaving(model, tuple(range(DEPTH)), lambda x: x.flip(0)):
        expected = model(batch).argmax(1)[0].byte().numpy()
    found, target = predicted(page, classes), run.target(first)
    assert (found == expected).mean() >= 0.999
    rows = [line.split("\t") for line in page.inner_text(".live tbody").splitlines()]
    columns = (found, live.labels(model, both[0]), published.without.prediction(first))
    for column, labels in enumerate(columns):
        counts = confusion_matrix(labels, target, len(classes))
        boundary = structure_counts(labels, target, len(classes), ["boundary"])["boundary"]
        scores = {"mIoU": mean_iou(counts), "boundary IoU": nan_mean(ratio(boundary))}
        scores |= dict(zip(classes.names, iou_per_class(counts).numpy()))
        assert {name for name, *_ in rows} == scores.keys()
        for name, *cells in rows:
            value = "–" if np.isnan(scores[name]) else percent(scores[name])
            assert cells[column] == value, (name, column)
    assert said(page).startswith(f"All skips carrying another image; mIoU {rows[0][1]} %")


@browser
def test_a_cut_shows_within_a_second_and_a_half(opened):
    page = opened()
    seconds = page.evaluate("""async () => {
        const block = document.querySelector(".live"), taken = [];
        for (const button of block.querySelectorAll("button.connection")) {
            const start = performance.now();
            button.click();
            while (block.hasAttribute("aria-busy")) await new Promise(requestAnimationFrame);
            taken.push((performance.now() - start) / 1000);
        }
        return taken }""")
    assert len(seconds) == DEPTH
    assert sorted(seconds)[1] < 1.5, seconds  # other work may keep the processor busy
    assert said(page).startswith("All skips cut; mIoU ")


@browser
def test_keys_do_what_the_pointer_does(opened):
    page = opened()
    assert said(page).startswith("All skips intact; mIoU ")
    button = page.locator("button.connection >> nth=2")
    button.focus()
    states = (
        "cut. Press to feed it another image.",
        "other image. Press to restore it.",
        "intact. Press to cut it.",
    )
    for state in states:
        page.keyboard.press("Enter")
        page.locator(DONE).wait_for()
        assert button.get_attribute("aria-label") == f"Skip 2, 64 channels at 24 × 32: {state}"
    page.locator(".live .photo .frame").focus()
    before = page.inner_text(".live .at")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    after = page.inner_text(".live .at")
    assert before.startswith("Pixel 64, 48: ") and after.startswith("Pixel 65, 49: ")
    boxes = page.evaluate("""() => [...document.querySelectorAll(".fields rect")].map(outline =>
        ["x", "y", "width"].map(name => +outline.getAttribute(name)))""")
    assert boxes == [[63, 47, 5], [58, 42, 14], [50, 34, 32], [34, 18, 68], [2, -14, 140]]
    page.keyboard.press("Tab")
    assert not page.inner_text(".live .at")


@browser
def test_ones_own_photograph_stays_in_the_page(opened, published):
    asked = []

    def listen(page):
        page.on("request", lambda request: asked.append(request.url))

    page = opened(before=listen)
    image = published.run.image(published.names[2])
    pixels = image.repeat(4, 0).repeat(4, 1)
    wide = np.pad(pixels, ((0, 0), (64, 64), (0, 0)))  # its middle has the network's proportions
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    file = {"name": "street.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.set_input_files(".live input", file)
    page.locator(".live.own:not([aria-busy])").wait_for()
    expected = live.labels(restore(published.stored), image)
    assert (predicted(page, published.run.classes) == expected).mean() > 0.97
    assert page.locator(".live .truth").is_hidden() and "IoU" not in said(page)
    press(page, "button.connection >> nth=0")
    assert said(page).startswith("Skip 0 cut; ") and said(page).endswith("of the labels changed.")
    page.set_input_files(".live input", file | {"name": "notes.txt", "buffer": b"words"})
    page.get_by_text("notes.txt is no picture that this browser can read.").wait_for()
    assert not [url for url in asked[1:] if not url.startswith(("blob:", "data:"))]


@browser
def test_without_a_script_and_on_paper_the_figure_stands_still(opened, path, visit):
    silent = visit(path, java_script_enabled=False)
    still = "figure.fig > .visual"
    assert silent.locator(".live").is_hidden() and silent.locator(still).is_visible()
    page = opened()
    assert page.locator(".live").is_visible() and page.locator(still).is_hidden()
    page.emulate_media(media="print")
    assert page.locator(".live").is_hidden() and page.locator(still).is_visible()


@browser
@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (820, "light"), (1440, "dark")])
def test_it_fits_and_axe_finds_nothing(opened, width, theme):
    page = opened(width, theme)
    press(page, "button.connection >> nth=0")
    press(page, "button.connection >> nth=1", times=2)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text() + "; true")
    violations = page.evaluate("""axe.run(".live", {resultTypes: ["violations"]}).then(result =>
        result.violations.map(each => [each.id, each.nodes.map(node => node.html)]))""")
    assert violations == []
