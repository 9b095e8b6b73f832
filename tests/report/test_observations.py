"""The objects that the text points at: chosen by the rule, and what is said of them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lib.records import Run, load_runs
from report.figures import comparisons, observations
from report.figures.observations import Segment, choose_objects, fate, object_iou, region, sentences

NAMES = ("Road", "Pole", "Car")


class Painted(Run):
    """A run of an image whose labels and prediction are given."""

    def target(self, name):
        return self.record["target"]

    def prediction(self, name):
        return self.record["prediction"]


def scene() -> np.ndarray:
    """A pole of 20 pixels, a car of 24, a car that the frame cuts, and void, on a road."""
    target = np.zeros((30, 40), np.uint8)
    target[5:15, 10:12], target[20:24, 20:26], target[25:, 35:], target[0] = 1, 2, 2, 255
    return target


def painted(variant: str, seed: int, prediction: np.ndarray) -> Painted:
    table = [{"name": name, "color": [index, 0, 0]} for index, name in enumerate(NAMES)]
    confusion = np.eye(3, dtype=int) * 10
    record = {
        "variant": variant,
        "seed": seed,
        "target": scene(),
        "prediction": prediction,
        "dataset": {"classes": table},
        "test_confusion": confusion.tolist(),
    }
    return Painted(None, record)


def without_pole() -> np.ndarray:
    prediction = np.where(scene() == 255, 0, scene())
    prediction[prediction == 1] = 0
    return prediction


def grown_car() -> np.ndarray:
    prediction = np.where(scene() == 255, 0, scene())
    prediction[18:26, 18:28] = 2
    return prediction


def study() -> list[Painted]:
    perfect = np.where(scene() == 255, 0, scene())
    return [painted("unet", 0, perfect), painted("unet-noskip", 0, without_pole())]


def test_an_object_is_compared_with_the_prediction_that_touches_it():
    target = scene()
    pole, car = target == 1, (target == 2) & (np.arange(40) < 30)
    assert object_iou(without_pole(), target, 1, pole) == 0
    assert object_iou(grown_car(), target, 2, car) == pytest.approx(24 / 80)
    far = grown_car()
    far[2:4, 30:34] = 2  # another blob of its class
    assert object_iou(far, target, 2, car) == pytest.approx(24 / 80)
    joined = grown_car()
    joined[24:, 26:] = 2  # it runs into the other car, whose own pixels do not count
    assert not region(joined, target, 2, car)[25:, 35:].any()
    assert region(joined, target, 2, car)[26, 30]


def test_the_rule_takes_what_differs_most_of_each_class_and_the_other_side():
    runs = study()
    (pole,) = choose_objects(runs, ["i"])
    assert (pole.index, pole.size, pole.number, pole.advantage) == (1, 20, 1, 1.0)
    assert pole.box == (4, 9, 16, 13)
    worse = [painted("unet", 0, grown_car()), runs[1]]
    assert [(each.index, each.number) for each in choose_objects(worse, ["i"])] == [(1, 1), (2, 2)]
    assert choose_objects(worse, ["i"])[1].advantage == pytest.approx(24 / 80 - 1), (
        "no skips are better"
    )
    assert choose_objects(runs[:1], ["i"]) == []


def test_an_object_that_the_frame_cuts_is_left_out():
    runs = [painted("unet", 0, scene() % 255), painted("unet-noskip", 0, np.zeros((30, 40), int))]
    assert [each.size for each in choose_objects(runs, ["i"])] == [20, 24]


@pytest.mark.parametrize(
    "kept, said",
    [
        (slice(0, 0), "is lost"),
        (slice(5, 8), "is mostly lost, with 30 % of its pixels labelled"),
        (slice(5, 12), "shrinks to 70 % of its pixels"),
        (slice(5, 15), "is found with 100 % of its pixels"),
    ],
)
def test_what_happens_to_an_object_is_said(kept, said):
    prediction = np.zeros((30, 40), np.uint8)
    prediction[kept, 10:12] = 1
    pole = Segment("i", 1, scene() == 1, {})
    assert fate(painted("unet", 0, prediction), pole).replace("\N{NO-BREAK SPACE}", " ") == said


def test_pieces_growth_and_edges_are_counted():
    pole = Segment("i", 1, scene() == 1, {})
    broken = np.zeros((30, 40), np.uint8)
    broken[5:8, 10:12] = broken[11:15, 10:12] = 1
    assert "breaks into 2 pieces with 70" in fate(painted("unet", 0, broken), pole)
    car = Segment("i", 2, (scene() == 2) & (np.arange(40) < 30), {})
    assert "grows to 3.3 times its size" in fate(painted("unet", 0, grown_car()), car)
    predictions = scene() % 255, grown_car()
    predicted = [observations.made_of(painted("unet", 0, each), car) for each in predictions]
    errors = [observations.edge_error(each, car.mask) for each in predicted]
    assert errors == pytest.approx([0, 2])


def test_sentences_hold_the_numbers_that_confirm_or_limit_them():
    runs = [*study(), painted("unet", 1, grown_car()), painted("unet-noskip", 1, without_pole())]
    runs.append(painted("unet-residual", 0, grown_car()))
    text = sentences(runs, choose_objects(runs, ["i"])).replace("\N{NO-BREAK SPACE}", " ")
    pole, car = text.split("\n")
    assert pole.startswith(
        "1. *Pole*, 20 pixels, in [the comparison](#fig-comparison-1): under the U-Net it is found"
    )
    assert "without skips it is lost" in pole and "Every pair of seeds puts the U-Net ahead" in pole
    assert "Its IoU is 100 % under the U-Net and 0 % without; elsewhere 100 % (residual)." in pole
    assert "65 % (30 to 100) under the U-Net and 100 % without" in car
    assert "In 2 of 4 pairs of seeds the network without skips is ahead" in car
    assert "0.0 points higher without skips than with them" in car


def test_comparisons_have_a_row_for_each_object_and_every_run(trained):
    runs = load_runs(trained)
    some = runs[0]
    name = some.examples[0]
    mask = np.zeros(some.target(name).shape, bool)
    mask[10:14, 20:24] = True
    segment = Segment(name, 2, mask, {"unet": np.array([0.5]), "unet-noskip": np.array([0.25])}, 1)
    figure = comparisons.objects(runs, [segment, replace(segment, number=2)]).content
    assert len(figure.axes) == 8
    strip = figure.axes[3]
    assert sorted(line.get_xdata()[0] for line in strip.lines) == [25, 25, 50, 50]
    assert [label.get_text() for label in strip.get_yticklabels()] == ["U-Net", "no skips"]
    across, down = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert across[0] < 20 and across[1] > 24 and down[1] < 10 and down[0] > 14
    assert comparisons.objects(runs, []) is None
    assert re.match(
        "With skips the mean IoU is higher for 2 of these 2 objects",
        comparisons.objects(runs, [segment] * 2).caption,
    )
    comparisons.plt.close("all")
