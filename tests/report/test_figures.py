"""What a chart hands to the page beside its picture: values of its lines, rows of its classes."""

import re
from base64 import b64decode
from io import BytesIO
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.text import Text
from PIL import Image

from lib.files import ClassTable
from lib.datasets.camvid import CLASSES as CAMVID
from lib.models import TITLES
from lib.scenes.stage import CLASSES as SCENES
from report.evidence.wording import percent, points
from report.figures import show as display
from report.figures.show import Exhibit, show
from report.figures.style import KNOWN, displayed, label_ends, legible, looks, mark_classes
from tests.pages import svg_of

# OKLab (Ottosson 2020), and what is seen without one kind of cone (Machado et al. 2009), linear RGB
TO_LMS = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
TO_LAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
DEUTAN = np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]])
PROTAN = np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]])


@pytest.fixture
def shown(monkeypatch):
    """The outputs of a notebook: data and metadata of each."""
    outputs = []
    monkeypatch.setattr(
        display,
        "display",
        lambda data, raw, metadata=None: outputs.append((data, (metadata or {}).get("report"))),
    )
    return outputs


def test_values_and_places_of_named_lines(shown):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2))
    left.plot([1, 2, 3], [0.5, np.nan, 0.25], label="loss")
    left.plot([1, 3], [0, 1])  # without a name
    left.set(xlabel="epoch", ylabel="nats")
    right.plot([0, 1], [1500, 2], label="missed")
    right.plot([0], [3], "o", ls="None", label="a mark, no line")
    right.set_xticks([0, 1], ["small", "large"])
    show(Exhibit(figure, "fig-x", "C.", "A."))
    first, second = shown[0][1]["curves"]
    (line,) = first["lines"]
    assert (first["x"], first["title"], first["width"], line["name"]) == (
        "epoch",
        "nats",
        504,
        "loss",
    )
    assert [place[:2] for place in line["at"]] == [["1", "0.500"], ["3", "0.250"]]
    (x, y), (other, below) = (place[2:] for place in line["at"])
    start, end, top, bottom = first["box"]
    assert start < x < other < end and top < y < below < bottom < 144
    assert [[place[:2] for place in line["at"]] for line in second["lines"]] == [
        [["small", "1,500"], ["large", "2.00"]]
    ]


def test_places_between_ticks_have_the_name_of_the_nearest(shown):
    figure, axes = plt.subplots()
    axes.plot([-0.1, 0.9], [1, 2], label="U-Net")
    axes.set(xticks=range(2))
    show(Exhibit(figure, "fig-x", "C.", "A."))
    assert [place[0] for place in shown[0][1]["curves"][0]["lines"][0]["at"]] == ["0", "1"]


def test_pictures_are_embedded_as_they_are_and_have_no_values(shown):
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    labels = np.zeros((6, 8, 4), np.uint8)
    labels[2:] = 213, 94, 0, 255
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(noise)
    right.imshow(labels)
    right.set_title("labels of one image")
    right.plot([1, 2])
    show(Exhibit(figure, "fig-x", "C.", "A."))
    data, report = shown[0]
    svg = svg_of(data)
    assert "curves" not in report and 'id="patch_1"' in svg and "#ffffff" in svg, (
        "paper in JupyterLab"
    )
    assert ">labels of one image</text>" in svg, "text is text"
    photograph, picture = (
        Image.open(BytesIO(b64decode(uri))) for uri in re.findall(r'base64,([^"]+)"', svg)
    )
    assert (photograph.format, photograph.size, picture.format, picture.size) == (
        "JPEG",
        (40, 30),
        "PNG",
        (8, 6),
    )
    assert np.array_equal(picture.convert("RGBA"), labels), "exact, with what paper shows through"
    assert svg.count("image-rendering") == 2, "of the labels alone"


def test_panels_that_stack_are_drawings_of_their_own(shown):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2))
    left.plot([1, 2], "o")
    right.plot([3, 4], "o")
    show(Exhibit(figure, "fig-x", "C.", "A.", stack=True))
    root = ElementTree.fromstring(svg_of(shown[0][0]))
    first, second = [child for child in root if child.tag.endswith("svg")]
    assert float(first.get("x")) + float(first.get("width")) < float(second.get("x"))
    assert [len(panel.findall("{*}g")) for panel in (first, second)] == [1, 1]
    assert first.find("{*}defs") is not None and second.find("{*}defs") is None, "once for both"


def test_rows_of_classes_are_marked(shown):
    figure, axes = plt.subplots()
    mark_classes(axes, ["Road", "Traffic sign"])
    show(Exhibit(figure, "fig-x", "C.", "A."))
    svg = svg_of(shown[0][0])
    assert svg.count('id="class.') == 2 and 'id="class.Traffic sign"' in svg


def test_drawings_are_shown_as_they_are(shown):
    show(Exhibit("<svg/>", "fig-x", "C.", "A."))
    data, report = shown[0]
    assert svg_of(data) == "<svg/>" and data["text/plain"] == "A."
    assert report == {"label": "fig-x", "caption": "C.", "alt": "A."}


def test_text_in_the_colour_of_a_network_is_legible():
    assert legible("#0072B2") == pytest.approx((0, 0x72 / 255, 0xB2 / 255))  # it is dark enough
    red, green, blue = legible("#009E73")
    assert (red, green, blue) == pytest.approx(
        (0, green, green * 0x73 / 0x9E)
    ) and 0.45 < green < 0.53


def test_tables_and_what_works_on_a_screen_alone(shown):
    table = pd.DataFrame(
        {"Network": ["<b>"], "Loss": [0.12345], "Count": [12345], "Sentence": ["x" * 30]}
    )
    html = Exhibit("<p>", "fig-y", "C.", "A.", interactive=True)
    show(Exhibit(table, "tbl-x", "C."), html)
    (data, report), _, (page, interactive), _ = shown
    assert report == {"label": "tbl-x", "caption": "C."} and interactive["interactive"]
    assert (
        "0.123<" in data["text/html"]
        and "12,345<" in data["text/html"]
        and "&lt;b&gt;" in data["text/html"]
        and page["text/html"] == "<p>"
    )
    assert data["text/html"].count("text-align: left") == 2  # of head and cells


def test_units_that_all_cells_share_go_into_the_head(shown):
    table = pd.DataFrame(
        {
            "mIoU": [percent(0.5), "–", percent(0.25)],
            "Mixed": [percent(0.5), points(0.1), "–"],
            "95 % interval": ["–", points.range(-0.01, 0.02), "–"],
            "Words": ["not reached", percent(1), "–"],
            "Effect": ["–", "+0.5\N{NO-BREAK SPACE}points (−1.1 to 2.3)", points.signed(0.02)],
        }
    )
    show(Exhibit(table, "tbl-x", "C."))
    soup = BeautifulSoup(shown[0][0]["text/html"], "html.parser")
    heads = [cell.get_text(strip=True) for cell in soup.select("thead th")]
    assert heads == ["mIoU (%)", "Mixed", "95 % interval (points)", "Words", "Effect (points)"]
    cells = [cell.get_text(strip=True) for cell in soup.select("tbody tr")[0].find_all("td")]
    assert cells[0] == "50.0" and cells[1] == percent(0.5) and cells[3] == "not reached"
    assert soup.select("tbody tr")[1].find_all("td")[2].get_text(strip=True) == "−1.0 to 2.0"
    effects = [row.find_all("td")[4].get_text(strip=True) for row in soup.select("tbody tr")]
    assert effects == ["–", "+0.5 (−1.1 to 2.3)", "+2.0"]
    assert table.columns[0] == "mIoU", "the table itself is as it was"


def test_nothing_is_shown_for_nothing(shown):
    show(None)
    display.say("")
    display.say("*Not measured.*")
    assert [data["text/markdown"] for data, _ in shown] == ["*Not measured.*"]


def test_decimals_show_three_digits_of_a_column_s_median():
    columns = (
        [0.434, 0.01],
        [1.94, 0.5],
        [51.34, 0.61],
        [434.5, 435.1],
        [1234.5, 0.42],
        [0.0, np.nan],
    )
    assert [display.digits(pd.Series(column)) for column in columns] == [3, 2, 1, 0, 1, 0]


def test_a_file_is_saved_where_a_folder_is_given(shown, tmp_path):
    for folder in (None, tmp_path):
        show(Exhibit(plt.figure(), "fig-x", "C.", "A.", file="a/b.png"), folder=folder)
        assert (tmp_path / "a/b.png").exists() == bool(folder)


def test_a_network_without_a_row_of_style_looks_like_no_other():
    for attribute in ("color", "marker"):
        assert len({getattr(look, attribute) for look in KNOWN.values()}) == len(KNOWN), attribute
    subsets = {
        (look.color, look.marker)
        for key, look in looks(TITLES).items()
        if key.startswith("unet-skips")
    }
    assert len(subsets) == 1, "no chart compares them"
    variants = [*KNOWN, "unet-new", "unet-other-one"]
    table = looks(variants)
    assert list(table) == variants
    assert len({(look.color, look.marker, look.line) for look in table.values()}) == len(variants)
    assert len({look.color for look in table.values()}) == len(variants)


def test_names_of_lines_keep_apart_and_near_their_ends():
    figure, axes = plt.subplots(figsize=(3.5, 2))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ends = {
        "a": (1, 0.5, "#0072B2"),
        "b": (1, 0.5, "#D55E00"),
        "c": (1, 0.51, "#009E73"),
        "d": (1, 0.9, "#AA3377"),
    }
    label_ends(axes, ends)
    figure.draw_without_rendering()
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    names = sorted("abc", key=lambda name: boxes[name].y0)
    assert all(boxes[low].y1 <= boxes[high].y0 for low, high in zip(names, names[1:]))
    places = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert places["d"] == pytest.approx(0.9) and np.mean(
        [places[name] for name in "abc"]
    ) == pytest.approx(0.503, abs=0.01)


def test_classes_can_be_told_apart_in_normal_and_colour_blind_sight():
    for classes in (CAMVID, SCENES):
        colors = np.array(displayed(classes).colors) / 255
        linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
        for sight, least in ((np.eye(3), 0.12), (DEUTAN, 0.08), (PROTAN, 0.08)):
            lab = np.cbrt(np.clip(linear @ sight.T, 0, 1) @ TO_LMS.T) @ TO_LAB.T
            distance = np.linalg.norm(lab[:, None] - lab, axis=-1)
            assert distance[~np.eye(len(lab), dtype=bool)].min() > least
    own = ClassTable.of(("Sky", 1, 2, 3), ("Car", 4, 5, 6))
    assert displayed(own) == own, "a user's colours are theirs"


def test_the_same_contours_give_the_same_bytes(shown):
    values = np.hypot(*np.meshgrid(np.linspace(-1, 1.1, 9), np.linspace(-1.2, 1.3, 9)))
    for error in (0, 1e-8):
        figure, axes = plt.subplots()
        axes.contourf(values + error)
        axes.plot([1, 2], [3 + error, 4], "o")
        show(Exhibit(figure, "fig-x", "C.", "A."))
    (first, _), _, (second, _), _ = shown
    svg = svg_of(first)
    assert svg == svg_of(second)
    names = re.findall(r'id="([^"]*)"', svg)
    assert len(names) == len(set(names)) and set(
        re.findall(r"#([mpC][^\")]*-fig-x-\d+)", svg)
    ) <= set(names)
    assert "-fig-x-0" in svg and not re.search(r' d="[^"]*\d\.\d{4}', svg)
