"""What a chart hands to the page beside its picture: the values of its lines, and the rows of its classes."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.models import TITLES
from report.figures import show as display
from report.figures.show import Exhibit, show
from report.figures.style import KNOWN, legible, looks, mark_classes


@pytest.fixture
def shown(monkeypatch):
    """The outputs of a notebook: data and metadata of each."""
    outputs = []
    monkeypatch.setattr(display, "display", lambda data, raw, metadata: outputs.append((data, metadata["report"])))
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
    assert (first["x"], first["title"], first["width"], line["name"]) == ("epoch", "nats", 504, "loss")
    assert [place[:2] for place in line["at"]] == [["1", "0.500"], ["3", "0.250"]]
    (x, y), (other, below) = (place[2:] for place in line["at"])
    start, end, top, bottom = first["box"]
    assert start < x < other < end and top < y < below < bottom < 144
    assert [[place[:2] for place in line["at"]] for line in second["lines"]] == [[["small", "1,500"], ["large", "2.00"]]]


def test_places_between_ticks_have_the_name_of_the_nearest(shown):
    figure, axes = plt.subplots()
    axes.plot([-0.1, 0.9], [1, 2], label="U-Net")
    axes.set(xticks=range(2))
    show(Exhibit(figure, "fig-x", "C.", "A."))
    assert [place[0] for place in shown[0][1]["curves"][0]["lines"][0]["at"]] == ["0", "1"]


def test_pictures_and_plain_charts_have_no_values(shown):
    for photograph in (True, False):
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        show(Exhibit(figure, "fig-x", "C.", "A.", photograph=photograph))
    assert not any("curves" in report for _, report in shown)
    assert [next(iter(data)) for data, _ in shown[::2]] == ["image/webp", "image/svg+xml"]
    svg = shown[2][0]["image/svg+xml"]
    assert 'id="patch_1"' in svg and "#ffffff" in svg, "paper in a dark JupyterLab"


def test_rows_of_classes_are_marked(shown):
    figure, axes = plt.subplots()
    mark_classes(axes, ["Road", "Traffic sign"])
    show(Exhibit(figure, "fig-x", "C.", "A."))
    svg = shown[0][0]["image/svg+xml"]
    assert svg.count('id="class.') == 2 and 'id="class.Traffic sign"' in svg


def test_drawings_are_shown_as_they_are(shown):
    show(Exhibit("<svg/>", "fig-x", "C.", "A."), place="front")
    assert shown[0] == ({"image/svg+xml": "<svg/>", "text/plain": "A."}, {
        "label": "fig-x", "caption": "C.", "alt": "A.", "place": "front"})


def test_text_in_the_colour_of_a_network_is_legible():
    assert legible("#0072B2") == pytest.approx((0, 0x72 / 255, 0xB2 / 255))  # it is dark enough
    red, green, blue = legible("#009E73")
    assert (red, green, blue) == pytest.approx((0, green, green * 0x73 / 0x9E)) and 0.45 < green < 0.53


def test_tables_and_what_works_on_a_screen_alone(shown):
    table = pd.DataFrame({"Network": ["<b>"], "Loss": [0.12345], "Sentence": ["x" * 30]})
    html = Exhibit("<p>", "fig-y", "C.", "A.", interactive=True)
    show(Exhibit(table, "tbl-x", "C.", formats={"Loss": "{:.2f}"}), html)
    (data, report), _, (page, interactive), _ = shown
    assert report == {"label": "tbl-x", "caption": "C."} and interactive["interactive"]
    assert "0.12<" in data["text/html"] and "&lt;b&gt;" in data["text/html"] and page["text/html"] == "<p>"
    assert data["text/html"].count("text-align: left") == 2  # of head and cells


def test_what_is_missing_is_said_and_nothing_is_shown_for_nothing(shown):
    show(None, "*Not measured: no run.*")
    assert [data["text/markdown"] for data, _ in shown] == ["*Not measured: no run.*"]


def test_a_file_is_saved_where_a_folder_is_given(shown, tmp_path):
    for folder in (None, tmp_path):
        show(Exhibit(plt.figure(), "fig-x", "C.", "A.", file="a/b.png"), folder=folder)
        assert (tmp_path / "a/b.png").exists() == bool(folder)


def test_a_network_without_a_row_of_style_looks_like_no_other():
    looks_of_all = [(look.color, look.marker, look.line) for look in looks(TITLES).values()]
    assert len(set(looks_of_all)) == len(TITLES) > len(KNOWN)
    variants = [*KNOWN, "unet-new", "unet-other-one"]
    table = looks(variants)
    assert list(table) == variants and table["unet-other-one"].short == "other one"
    assert len({(look.color, look.marker, look.line) for look in table.values()}) == len(variants)
    assert len({look.color for look in KNOWN.values()} | {table[key].color for key in variants[-2:]}) == 6


def test_the_same_contours_give_the_same_bytes(shown):
    values = np.hypot(*np.meshgrid(np.linspace(-1, 1.1, 9), np.linspace(-1.2, 1.3, 9)))
    for error in (0, 1e-8):
        figure, axes = plt.subplots()
        axes.contourf(values + error)
        axes.plot([1, 2], [3 + error, 4], "o")
        show(Exhibit(figure, "fig-x", "C.", "A."))
    (first, _), _, (second, _), _ = shown
    svg = first["image/svg+xml"]
    assert svg == second["image/svg+xml"]
    names = re.findall(r'id="([^"]*)"', svg)
    assert len(names) == len(set(names)) and set(re.findall(r"#([mpC][^\")]*-fig-x-\d+)", svg)) <= set(names)
    assert "-fig-x-0" in svg and not re.search(r' d="[^"]*\d\.\d{4}', svg) and "scale(0.0" in svg
