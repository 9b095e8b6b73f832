"""Confusion matrices, mIoU and its relatives: by hand, against torchmetrics and plain Python."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU

from lib.metrics import confusion_matrix, iou_per_class, mean_iou
from lib.structure import misread_index_maps
from report.evidence.scores import area_under_curve, miou_definitions

K = 4
settings.register_profile("here", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("here")


def maps(
    seed: int, images: int = 5, size: tuple[int, int] = (7, 9)
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    prediction, target = rng.integers(0, K, (2, images, *size))
    target[rng.random(target.shape) < 0.1] = 255
    return torch.from_numpy(prediction), torch.from_numpy(target)


def per_image(prediction: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    return np.stack([confusion_matrix(p, t, K).numpy() for p, t in zip(prediction, target)])


def naive_miou(prediction: torch.Tensor, target: torch.Tensor) -> float:
    pairs = Counter(zip(prediction.flatten().tolist(), target.flatten().tolist()))
    scores = []
    for c in range(K):
        union = sum(n for (p, t), n in pairs.items() if t != 255 and c in (p, t))
        if union:
            scores.append(pairs[c, c] / union)
    return sum(scores) / len(scores)


def test_by_hand():
    prediction = torch.tensor([[0, 0, 1], [1, 1, 0]])
    target = torch.tensor([[0, 1, 1], [1, 255, 255]])
    confusion = confusion_matrix(prediction, target, 3)
    assert confusion.dtype == torch.int64
    assert confusion.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    iou = iou_per_class(confusion)
    assert iou.dtype == torch.float64 and iou[:2].tolist() == [1 / 2, 2 / 3] and iou[2].isnan()
    assert isinstance(mean_iou(confusion), float) and mean_iou(confusion) == pytest.approx(7 / 12)
    assert np.array_equal(iou_per_class(confusion.numpy()), iou.numpy(), equal_nan=True)


def test_a_class_only_predicted_counts_as_zero():
    confusion = confusion_matrix(torch.tensor([0, 0, 2]), torch.tensor([0, 0, 0]), 3)
    assert iou_per_class(confusion)[2] == 0 and iou_per_class(confusion)[1].isnan()
    assert mean_iou(confusion) == pytest.approx(1 / 3)


def test_leading_dimensions_and_nothing_at_all():
    counts = per_image(*maps(0)).reshape(5, 1, K, K)
    assert mean_iou(counts).shape == (5, 1)
    assert mean_iou(counts)[3, 0] == mean_iou(counts[3, 0])
    assert np.isnan(mean_iou(np.zeros((K, K), int)))


@given(st.integers(0, 10**6))
def test_agrees_with_plain_python_and_torchmetrics(seed):
    prediction, target = maps(seed)
    ours = mean_iou(confusion_matrix(prediction, target, K))
    assert ours == pytest.approx(naive_miou(prediction, target), abs=1e-12)
    theirs = MulticlassJaccardIndex(K, average="macro", ignore_index=255)(prediction, target)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_torchmetrics_per_class_with_an_absent_class():
    prediction, target = maps(3)
    prediction[prediction == 2], target[target == 2] = 1, 1
    theirs = MulticlassJaccardIndex(K, average="none", ignore_index=255)(
        prediction, target
    ).double()
    ours = iou_per_class(confusion_matrix(prediction, target, K))
    assert ours[2].isnan()
    assert torch.allclose(ours[[0, 1, 3]], theirs[[0, 1, 3]], atol=1e-6)


@given(st.integers(0, 10**6), st.permutations(range(5)), st.integers(1, 5))
def test_order_and_batches_do_not_matter(seed, order, batch):
    prediction, target = maps(seed)
    whole = confusion_matrix(prediction, target, K)
    prediction, target = prediction[list(order)], target[list(order)]
    parts = [
        confusion_matrix(p, t, K) for p, t in zip(prediction.split(batch), target.split(batch))
    ]
    assert torch.equal(sum(parts), whole)
    assert torch.equal(confusion_matrix(prediction.byte().flatten(), target.flatten(), K), whole)


@given(st.integers(0, 10**6), st.permutations(range(K)))
def test_relabelling_permutes_iou(seed, order):
    prediction, target = maps(seed)
    table = torch.arange(256)
    table[:K] = torch.tensor(order)
    before = iou_per_class(confusion_matrix(prediction, target, K))
    after = iou_per_class(confusion_matrix(table[prediction], table[target], K))
    assert torch.equal(after[list(order)], before)


@given(st.integers(0, 10**6))
def test_prediction_at_void_does_not_count(seed):
    prediction, target = maps(seed)
    other = torch.where(target == 255, 77, prediction)
    assert torch.equal(confusion_matrix(other, target, K), confusion_matrix(prediction, target, K))


@pytest.mark.parametrize(
    "prediction, target, words",
    [
        (
            torch.zeros(2, 3).long(),
            torch.full((2, 3), 9),
            "target has label 9 in 6 pixels, expected 0 to 3",
        ),
        (torch.full((2, 3), -1), torch.zeros(2, 3).long(), "prediction has label -1 in 6 pixels"),
        (torch.zeros(2, 3).long(), torch.zeros(3, 2).long(), "same size"),
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), "argmax"),
    ],
)
def test_bad_labels_are_named(prediction, target, words):
    with pytest.raises(ValueError, match=words):
        confusion_matrix(prediction, target, K)


def test_definitions_of_miou_by_hand():
    """Three images, three classes.

    Class 2 is absent from the first two, so that 0, 1 and nothing differ.
    """
    counts = np.array(
        [
            [[3, 1, 0], [0, 0, 0], [0, 0, 0]],  # IoU 3/4, 0, absent
            [[2, 0, 0], [1, 1, 0], [0, 0, 0]],  # IoU 2/3, 1/2, absent
            [[1, 0, 0], [2, 1, 0], [0, 0, 4]],  # IoU 1/3, 1/3, 1
        ]
    )
    batch = (5 / 7, 1 / 3)  # of the first two images together, class 2 absent
    last = (1 / 3 + 1 / 3 + 1) / 3
    scores = miou_definitions(
        counts, batch_size=2, index_maps=np.array([[1.0, 2], [0.5, 1], [0, 3]])
    )
    assert list(scores.values()) == pytest.approx(
        [
            (6 / 10 + 2 / 6 + 1) / 3,
            ((3 / 4 + 0 + 0) / 3 + (2 / 3 + 1 / 2 + 0) / 3 + last) / 3,
            ((sum(batch) + 1) / 3 + last) / 2,
            (sum(batch) / 2 + last) / 2,
            1.5 / 6,
        ]
    )


def test_misread_index_maps_is_what_torchmetrics_prints():
    prediction, target = maps(5)
    target[target == 255] = 0
    sums = np.sum([misread_index_maps(p.numpy(), t.numpy()) for p, t in zip(prediction, target)], 0)
    assert sums[0] / sums[1] == pytest.approx(float(MeanIoU()(prediction, target)), abs=1e-6)
    assert sums[0] / sums[1] > naive_miou(prediction, target) + 0.05


def test_curves():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4, 5],
            "train_loss": [4.0, 2.0, 1.0, 1.0, 1.0],
            "val_miou": [np.nan, 0.2, np.nan, 0.6, 0.5],
            "seconds": [10.0, 20.0, 10.0, 10.0, 10.0],
        }
    )
    assert area_under_curve(history, "train_loss") == pytest.approx((3 + 1.5 + 1 + 1) / 4)
    assert area_under_curve(history, "val_miou") == pytest.approx((0.4 * 2 + 0.55) / 3)
