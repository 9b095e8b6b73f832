"""Outlines and components: hand-checked cases and slow literal versions of the definitions."""

import numpy as np
import pytest
from scipy import ndimage

from lib.metrics import iou_per_class
from lib.structure import boundary_width, ratio, structure_counts
from report.evidence.scores import boundary_f1, trimap_iou

SHAPES = {
    "boundary": (3, 2),
    "trimap": (20, 3, 2),
    "contours": (3, 2, 22),
    "components": (3, 5, 4),
    "false_components": (3, 5, 2),
    "index_maps": (2,),
}


def empty(size: int = 40) -> np.ndarray:
    return np.zeros((size, size), np.uint8)


def square(size: int, top: int, left: int, side: int, label: int = 1) -> np.ndarray:
    labels = empty(size)
    labels[top : top + side, left : left + side] = label
    return labels


def blobs(seed: int, size: tuple[int, int] = (50, 60)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(3, *size))
    return ndimage.gaussian_filter(noise, (0, 3, 3)).argmax(0).astype(np.uint8)


def test_shapes_and_types():
    counts = structure_counts(blobs(0), blobs(1), 3)
    assert {name: count.shape for name, count in counts.items()} == SHAPES
    assert all(count.dtype == np.int32 for name, count in counts.items() if name != "index_maps")


def test_a_perfect_prediction():
    target = blobs(0)
    counts = structure_counts(target, target, 3)
    assert (ratio(counts["boundary"]) == 1).all()
    assert np.nanmin(trimap_iou(counts["trimap"])) == 1
    assert (boundary_f1(counts["contours"], 0) == 1).all()
    assert counts["components"][:, :, 1].sum() == 0 and counts["false_components"].sum() == 0
    assert (counts["components"][..., 2] == counts["components"][..., 3]).all()
    assert counts["components"][..., 2].sum() == target.size


def test_boundary_iou_by_hand():
    """Width 1 on a 40 x 40 image.

    The ring of a 10 x 10 square holds 36 pixels; moved by one, 18 are shared.
    """
    assert boundary_width((40, 40)) == 1 and boundary_width((360, 480)) == 12
    counts = structure_counts(square(40, 10, 10, 10), square(40, 10, 11, 10), 3)["boundary"]
    assert counts[1].tolist() == [18, 54]
    assert counts[2].tolist() == [0, 0] and np.isnan(ratio(counts)[2])


@pytest.mark.parametrize("seed", range(3))
def test_boundary_iou_is_the_published_erosion(seed):
    """Mask less its erosion by a 3 x 3 square, d times, on an image padded with background."""
    prediction, target = blobs(seed, (120, 110)), blobs(seed + 9, (120, 110))
    width = boundary_width(target.shape)
    assert width == 3
    for index, (intersection, union) in enumerate(
        structure_counts(prediction, target, 3)["boundary"]
    ):
        bands = [
            mask & ~ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3)), width)[1:-1, 1:-1]
            for mask in (prediction == index, target == index)
        ]
        assert intersection == (bands[0] & bands[1]).sum() and union == (bands[0] | bands[1]).sum()


def test_trimap_by_hand():
    """A vertical edge: less than w px from it lie w columns on each side."""
    target, prediction = empty(), empty()
    target[:, 20:], prediction[:, 23:] = 1, 1
    scores = trimap_iou(structure_counts(prediction, target, 3)["trimap"])
    for band in range(1, 21):
        wrong = min(band, 3)
        assert scores[band - 1, 0] == pytest.approx(band / (band + wrong))
        assert scores[band - 1, 1] == pytest.approx((band - wrong) / band)
    assert np.isnan(scores[:, 2]).all()


def test_the_widest_trimap_bands_approach_the_iou():
    prediction, target = blobs(1), blobs(2)
    counts = structure_counts(prediction, target, 3)["trimap"].sum(0)
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (target, prediction), 1)
    assert np.allclose(ratio(counts), iou_per_class(confusion))


def test_contours_by_hand():
    """Edges three columns apart: every contour pixel of class 0 and of class 1 is 3 px away."""
    target, prediction = empty(), empty()
    target[:, 20:], prediction[:, 23:] = 1, 1
    counts = structure_counts(prediction, target, 3)["contours"]
    assert counts[:2, :, 3].tolist() == [[40, 40], [40, 40]] and counts.sum() == 160
    assert boundary_f1(counts, 2)[:2].tolist() == [0, 0] and boundary_f1(counts, 3)[
        :2
    ].tolist() == [1, 1]
    assert np.isnan(boundary_f1(counts, 3)[2])


def test_f1_weighs_precision_and_recall():
    """The target has two squares, the prediction one of them.

    Precision is 1, recall 1/2, F1 2/3; 20 px is never near.
    """
    one = square(80, 5, 5, 6)
    counts = structure_counts(one, one + square(80, 60, 60, 6), 3)["contours"]
    assert counts[1, 0, 0] == 20 and counts[1, 1, [0, 21]].tolist() == [20, 20]
    assert boundary_f1(counts, 20)[1] == pytest.approx(2 / 3)
    nothing = structure_counts(empty(80), one, 3)["contours"]
    assert nothing[1, 1, 21] == 20 and boundary_f1(nothing, 20)[1] == 0


@pytest.mark.parametrize("tolerance", [0, 1, 2, 5])
def test_contours_against_a_distance_transform(tolerance):
    prediction, target = blobs(3), blobs(4)
    counts = structure_counts(prediction, target, 3)["contours"]
    cross = ndimage.generate_binary_structure(2, 1)
    for index in range(3):
        edges = [
            m & ndimage.binary_dilation(~m, cross) for m in (prediction == index, target == index)
        ]
        for side, (own, other) in enumerate((edges, edges[::-1])):
            near = ndimage.distance_transform_edt(~other)[own] <= tolerance
            assert (
                counts[index, side, : tolerance + 1].sum() == near.sum()
                and counts[index, side].sum() == own.sum()
            )


def test_components_by_hand():
    target, prediction = empty(), empty()
    target[2, 2] = target[3, 3] = 1  # one component of 2 px across a corner, missed
    target[10:14, 10:14] = 1  # 16 px, touched by one pixel
    prediction[13, 13] = 1
    target[20:28, 20:28] = 2  # 64 px, found but for one row
    prediction[21:28, 20:28] = 2
    prediction[35, 35:38] = 2  # false, 3 px
    prediction[10, 10] = 2  # false, 1 px: class 1 is there, but not class 2
    counts = structure_counts(prediction, target, 3)
    assert counts["components"][1].tolist() == [
        [1, 1, 2, 0],
        [1, 0, 16, 1],
        [0] * 4,
        [0] * 4,
        [0] * 4,
    ]
    assert counts["components"][2].tolist() == [[0] * 4, [0] * 4, [1, 0, 64, 56], [0] * 4, [0] * 4]
    assert counts["components"][0, 4].tolist() == [1, 0, 1518, 1515]
    assert counts["false_components"][2].tolist() == [[2, 4]] + [[0, 0]] * 4
    assert counts["false_components"][:2].sum() == 0
    total = counts["components"].sum((0, 1))
    assert ratio(total, 1, 0) == 1 / 4 and ratio(total, 3, 2) == 1572 / 1600


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Return the pixels of every component of 8 neighbours, by walking from pixel to pixel."""
    left, parts = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        edge = [left.pop()]
        part = set(edge)
        while edge:
            y, x = edge.pop()
            near = {(y + down, x + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            part |= near
            edge += near
        parts.append(part)
    return parts


@pytest.mark.parametrize("seed", range(3))
def test_components_against_a_flood_fill(seed):
    """Number, missed, pixels and those recalled; then predicted components that touch nothing."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 3, (24, 30)).astype(np.uint8) * (blobs(seed, (24, 30)) > 0)
    prediction = random.integers(0, 3, (24, 30)).astype(np.uint8) * (blobs(seed + 3, (24, 30)) > 0)
    target[random.random(target.shape) < 0.1] = 255
    counts = structure_counts(prediction, target, 3, ("components", "false_components"))
    components, false = np.zeros((3, 5, 4), int), np.zeros((3, 5, 2), int)
    for label in range(3):
        for part in flood(target == label):
            recalled = sum(prediction[pixel] == label for pixel in part)
            size = sum(len(part) >= bound for bound in (16, 64, 256, 1024))
            components[label, size] += [1, recalled == 0, len(part), recalled]
        for part in flood(prediction == label):
            known = [pixel for pixel in part if target[pixel] != 255]
            if known and not any(target[pixel] == label for pixel in known):
                size = sum(len(known) >= bound for bound in (16, 64, 256, 1024))
                false[label, size] += [1, len(known)]
    np.testing.assert_array_equal(counts["components"], components)
    np.testing.assert_array_equal(counts["false_components"], false)
    assert components[:, :2, 1].sum() and false.sum()


def test_void_makes_no_outline_and_counts_nowhere():
    """A void square in one class changes only the number of pixels, whatever is predicted there."""
    target, prediction = empty(), empty()
    target[:, 20:], prediction[:, 22:] = 1, 1
    reference = structure_counts(prediction, target, 3)
    target[5:9, 30:34], prediction[5:9, 30:34] = 255, 2
    counts = structure_counts(prediction, target, 3)
    for name in ("boundary", "contours", "false_components"):
        assert np.array_equal(counts[name], reference[name]), name
    assert np.array_equal(counts["trimap"][:10], reference["trimap"][:10])
    assert (reference["trimap"] - counts["trimap"])[:, 1].sum(0).tolist() == [16, 16]
    assert counts["components"][1, 3].tolist() == [1, 0, 784, 704]


def test_an_outline_under_void_runs_through_its_middle():
    target, prediction = empty(), empty()
    target[:, 20:] = prediction[:, 20:] = 1
    target[:, 18:22] = 255
    counts = structure_counts(prediction, target, 3)
    assert counts["contours"].sum() == 0
    assert counts["trimap"][:2].sum() == 0 and (counts["trimap"][2, :2] == 40).all()
    prediction[:, 14:] = 1  # columns 14 to 17 are wrong: 2 to 5 px from the middle
    scores = trimap_iou(structure_counts(prediction, target, 3)["trimap"])
    assert scores[[2, 5, 9], 0].tolist() == pytest.approx([0, 0, 4 / 8])


def test_all_void_and_one_class():
    void = np.full((30, 30), 255, np.uint8)
    assert all(count.sum() == 0 for count in structure_counts(empty(30), void, 3).values())
    plain = structure_counts(empty(30), empty(30), 3)
    assert (
        plain["trimap"].sum() == 0
        and plain["contours"].sum() == 0
        and plain["components"].sum() == 1801
    )


def test_relabelling_permutes_the_counts():
    prediction, target = blobs(5), blobs(6)
    target[:4] = 255
    table = np.arange(256, dtype=np.uint8)
    order = table[:3] = [2, 0, 1]
    before, after = (
        structure_counts(prediction, target, 3),
        structure_counts(table[prediction], table[target], 3),
    )
    for name in ("boundary", "contours", "components", "false_components"):
        assert np.array_equal(after[name][order], before[name]), name
    assert np.array_equal(after["trimap"][:, order], before["trimap"])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="prediction has label 3"):
        structure_counts(np.full((5, 5), 3, np.uint8), empty(5), 3)
