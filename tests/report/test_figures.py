"""What a chart hands to the page beside its picture: the values of its lines, and the rows of its classes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from report.figures import style as figures


@pytest.fixture
def shown(monkeypatch):
    """The outputs of a notebook: data and metadata of each."""
    outputs = []
    monkeypatch.setattr(figures, "display", lambda data, raw, metadata: outputs.append((data, metadata["report"])))
    return outputs


def test_values_and_places_of_named_lines(shown):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2))
    left.plot([1, 2, 3], [0.5, np.nan, 0.25], label="loss")
    left.plot([1, 3], [0, 1])  # without a name
    left.set(xlabel="epoch", ylabel="nats")
    right.plot([0, 1], [1500, 2], label="missed")
    right.plot([0], [3], "o", ls="None", label="a mark, no line")
    right.set_xticks([0, 1], ["small", "large"])
    figures.show(figure, "fig-x", "C.", "A.")
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
    figures.show(figure, "fig-x", "C.", "A.")
    assert [place[0] for place in shown[0][1]["curves"][0]["lines"][0]["at"]] == ["0", "1"]


def test_pictures_and_plain_charts_have_no_values(shown):
    for photograph in (True, False):
        figure, axes = plt.subplots()
        axes.plot([1, 2])
        figures.show(figure, "fig-x", "C.", "A.", photograph=photograph)
    assert not any("curves" in report for _, report in shown)
    assert [next(iter(data)) for data, _ in shown[::2]] == ["image/webp", "image/svg+xml"]
    svg = shown[2][0]["image/svg+xml"]
    assert 'id="patch_1"' in svg and "#ffffff" in svg, "paper in a dark JupyterLab"


def test_rows_of_classes_are_marked(shown):
    figure, axes = plt.subplots()
    figures.mark_classes(axes, ["Road", "Traffic sign"])
    figures.show(figure, "fig-x", "C.", "A.")
    svg = shown[0][0]["image/svg+xml"]
    assert svg.count('id="class.') == 2 and 'id="class.Traffic sign"' in svg


def test_drawings_are_shown_as_they_are(shown):
    figures.show_drawing("<svg/>", "fig-x", "C.", "A.", place="front")
    assert shown[0] == ({"image/svg+xml": "<svg/>", "text/plain": "A."}, {
        "label": "fig-x", "caption": "C.", "alt": "A.", "place": "front"})


def test_text_in_the_colour_of_a_network_is_legible():
    assert figures.legible("#0072B2") == pytest.approx((0, 0x72 / 255, 0xB2 / 255))  # it is dark enough
    red, green, blue = figures.legible("#009E73")
    assert (red, green, blue) == pytest.approx((0, green, green * 0x73 / 0x9E)) and 0.45 < green < 0.53
