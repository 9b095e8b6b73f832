"""Two label maps of one image under a slider: HTML that works in the report and in JupyterLab.

Every picture is embedded once: label maps as indexed PNG of a few bits a pixel, photographs as
JPEG. Without a script, and on paper, it is absent; `pictures.comparisons` shows the same images.
"""

import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lib.files import IGNORE, ClassTable
from lib.models import TITLES
from lib.records import Run
from report.evidence.wording import capitalised, percent
from report.figures.drawing import JPEG, data_uri, indexed
from report.figures.palette import by_frequency, displayed
from report.figures.pictures import ERRORS, errors, image_miou, photograph
from report.figures.show import Exhibit
from report.figures.style import without_subsets
from report.template import ENVIRONMENT

PHOTO, TRUTH = "image", "truth"  # the views beside those of the networks


def slider(runs: Sequence[Run], reasons: dict[str, str]) -> Exhibit:
    """Two views of a test image over each other, divided where the reader puts the divider.

    A view is the photograph, the ground truth or what a network predicts (its first seed), or its
    errors; labels can be made transparent over the photograph. `reasons` maps the names of the
    images to why they are shown.
    """
    first = {key: group[0] for key, group in without_subsets(runs).items()}
    return Exhibit(
        _html(first, reasons),
        "fig-slider",
        "*Compare them yourself.* Choose an image and what to see at the left and at the right, "
        "and move the divider with the pointer or the arrow keys; page up and down change the "
        "image, E shows the errors. Void is black, among errors grey.",
        "Two views of one test image with a divider that can be moved.",
        interactive=True,
    )


def _html(first: dict[str, Run], reasons: dict[str, str]) -> str:
    some = next(iter(first.values()))
    images = [_image(first, name, reason) for name, reason in reasons.items()]
    height, width = some.target(next(iter(reasons))).shape
    classes = displayed(some.classes)
    views = {PHOTO: "Photograph", TRUTH: "Ground truth"} | {key: TITLES[key] for key in first}
    right = "unet-noskip" if "unet-noskip" in first else next(iter(first))
    return ENVIRONMENT.get_template("slider.html").render(
        images=images,
        views=views,
        sides={"Left": PHOTO, "Right": right},
        data=json.dumps(images).replace("<", "\\u003c"),
        height=height,
        width=width,
        classes=[(classes.names[index], classes.colors[index]) for index in by_frequency(some)],
    )


def _image(first: dict[str, Run], name: str, reason: str) -> dict:
    """Every view of one test image."""
    some = next(iter(first.values()))
    target, classes = some.target(name), some.classes
    predictions = {key: run.prediction(name) for key, run in first.items()}
    views = {
        PHOTO: data_uri(Image.fromarray(photograph(some, name)), "jpeg", **JPEG),
        TRUTH: label_uri(target, classes),
    }
    for key, labels in predictions.items():
        views[key] = label_uri(labels, classes)
    return {
        "name": f"{capitalised(reason)} ({name})",
        "views": views,
        "errors": {key: error_uri(labels, target) for key, labels in predictions.items()},
        "notes": {
            key: f"mIoU {percent(image_miou(labels, target, classes))}"
            for key, labels in predictions.items()
        },
    }


def label_uri(labels: np.ndarray, classes: ClassTable) -> str:
    """Return labels, uint8 (H, W), as the data URI of an indexed PNG; void is black."""
    indices = np.where(labels == IGNORE, len(classes), labels)
    return indexed(indices, _opaque(displayed(classes).palette[: len(classes) + 1]))


def error_uri(labels: np.ndarray, target: np.ndarray) -> str:
    """Return where labels and target differ as the data URI of a PNG, transparent elsewhere."""
    return indexed(errors(labels, target), ERRORS * np.array([[0], [1], [1]], np.uint8))


def _opaque(palette: np.ndarray) -> np.ndarray:
    return np.insert(palette, 3, 255, axis=1)
