"""Precision at matched recall: counts by hand and by a slow flood fill.

And what is read from their sums.
"""

import numpy as np
import pytest

from lib.studies import matched
from lib.studies.matched import grouped, matched_counts, small_classes, steps_passed
from report.evidence.scores import precision_at_recall


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """The components of a mask, 8 neighbours, pixel by pixel."""
    left, found = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)))), []
    while left:
        waiting, component = [left.pop()], set()
        while waiting:
            row, column = waiting.pop()
            component.add((row, column))
            for neighbour in [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if neighbour in left:
                    left.remove(neighbour)
                    waiting.append(neighbour)
        found.append(component)
    return found


def slow_counts(
    probability: np.ndarray, target: np.ndarray, label: int, threshold: float
) -> list[int]:
    mask = probability >= threshold
    truth = {pixel for pixel in np.ndindex(target.shape) if target[pixel] == label}
    known = {pixel for pixel in np.ndindex(target.shape) if target[pixel] != 255}
    predicted = [component for component in flood(mask) if component & known]
    there = flood(target == label)
    reached = {pixel for pixel in np.ndindex(target.shape) if mask[pixel]}
    return [
        len(predicted),
        sum(bool(component & truth) for component in predicted),
        len(there),
        sum(bool(component & reached) for component in there),
        len(reached & truth),
        len(reached & known - truth),
        len(truth - reached),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_a_flood_fill(seed):
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 2, 255], (18, 23), p=[0.6, 0.15, 0.1, 0.15]).astype(np.uint8)
    logits = rng.normal(size=(3, 18, 23)) + 2 * (np.arange(3)[:, None, None] == target)
    probabilities = np.exp(logits) / np.exp(logits).sum(0)
    classes = np.array([2, 1])
    found = matched_counts(steps_passed(probabilities[classes]), target, classes)
    assert found.shape == (2, 19, 7) and found.dtype == np.int32
    for row, label in zip(found, classes):
        for column in (0, 4, 9, 13, 18):
            assert row[column].tolist() == slow_counts(
                probabilities[label], target, label, matched.THRESHOLDS[column]
            )


def test_void_never_counts():
    target = np.zeros((8, 8), np.uint8)
    target[:, 4:] = 255
    target[0, 0] = 1
    probability = np.zeros((1, 8, 8))
    probability[0, 0, 0] = 0.7  # right
    probability[0, 4, 3:6] = 0.7  # wrong, and runs into the void
    probability[0, 7, 6:] = 0.7  # on void alone
    counts = matched_counts(steps_passed(probability), target, np.array([1]))[0]
    assert matched.THRESHOLDS[12] == pytest.approx(0.65) and counts[12].tolist() == [
        2,
        1,
        1,
        1,
        1,
        1,
        0,
    ]
    assert counts[14].tolist() == [0, 0, 1, 0, 0, 0, 1]  # at 0.75 nothing is predicted
    nothing = matched_counts(
        steps_passed(probability), np.full((8, 8), 255, np.uint8), np.array([1])
    )
    assert nothing.sum() == 0


def test_a_probability_reaches_a_threshold_that_it_equals():
    assert steps_passed(np.array([0.0, 0.05, 0.0501, 0.95, 1.0])).tolist() == [0, 1, 1, 19, 19]


def test_classes_with_few_pixels():
    assert small_classes(np.array([970, 14, 0, 16])).tolist() == [1]
    assert small_classes(np.array([500, 300, 200])).tolist() == [2]  # none is small: the rarest


def test_precision_at_a_recall_between_two_thresholds():
    counts = np.zeros((1, 3, 7), int)
    counts[0, :, :4] = [
        [10, 5, 10, 8],
        [6, 4, 10, 6],
        [2, 2, 10, 2],
    ]  # precision 1/2, 2/3, 1; recall 0.8, 0.6, 0.2
    assert precision_at_recall(counts) == pytest.approx(2 / 3 + (1 - 2 / 3) / 4)  # at 0.5
    assert np.isnan(precision_at_recall(counts[:, 2:])) and np.isnan(
        precision_at_recall(counts[:, :2])
    )


def test_groups_of_consecutive_images_stay_within_a_drive(monkeypatch):
    assert grouped(["a"] * 3 + ["b"]).tolist() == [0, 1, 2, 3]
    assert np.bincount(grouped([""] * 2000)).tolist() == [17] * 117 + [11]
    monkeypatch.setattr(matched, "MOST_GROUPS", 3)
    assert grouped(["a"] * 4 + ["b"] * 3).tolist() == [0, 0, 0, 1, 2, 2, 2]
