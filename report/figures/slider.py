"""Two label maps of one image under a slider: HTML that works in the report and in JupyterLab.

Every picture is embedded once: label maps as indexed PNG of a few bits a pixel, photographs as
JPEG. Without a script, and on paper, it is absent; `comparisons.images` shows the same images.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lib.files import IGNORE
from lib.models import TITLES
from lib.records import Run
from report.evidence.readings import by_frequency
from report.evidence.wording import capitalised, percent
from report.figures.drawing import JPEG, data_uri, indexed_png
from report.figures.pictures import ERRORS, errors, image_miou, large_photograph
from report.figures.show import Exhibit
from report.figures.style import displayed, of_the_study
from report.template import ENVIRONMENT

PHOTO, TRUTH = "image", "truth"  # the views beside those of the networks
CLEAR = np.array([[0], [1], [1]], np.uint8)  # what is right is transparent


def slider(runs: Sequence[Run], reasons: dict[str, str]) -> Exhibit:
    """Two views of a test image over each other, divided where the reader puts the divider.

    A view is the photograph, the ground truth or what a network predicts (its first seed), or its
    errors; labels can be made transparent over the photograph. `reasons` maps the names of the
    images to why they are shown.
    """
    first = {key: group[0] for key, group in of_the_study(runs).items()}
    some = runs[0]
    images = [_image(first, name, reason) for name, reason in reasons.items()]
    height, width = some.target(next(iter(reasons))).shape
    classes = displayed(some.classes)
    html = ENVIRONMENT.get_template("slider.html").render(
        images=images,
        views={PHOTO: "Photograph", TRUTH: "Ground truth"} | {key: TITLES[key] for key in first},
        sides={"Left": PHOTO, "Right": "unet-noskip" if "unet-noskip" in first else some.variant},
        data=images,
        height=height,
        width=width,
        classes=[(classes.names[index], classes.colors[index]) for index in by_frequency(some)],
    )
    return Exhibit(
        html,
        "fig-slider",
        "*Compare them yourself.* Choose an image and what to see at the left and at the right, "
        "and move the divider with the pointer or the arrow keys; page up and down change the "
        "image, E shows the errors. Void is black, among errors grey.",
        "Two views of one test image with a divider that can be moved.",
        interactive=True,
    )


def _image(first: dict[str, Run], name: str, reason: str) -> dict:
    """Every view of one test image."""
    some = next(iter(first.values()))
    target, classes = some.target(name), some.classes
    palette = np.insert(displayed(classes).palette[: len(classes) + 1], 3, 255, axis=1)
    views = {PHOTO: data_uri(Image.fromarray(large_photograph(some, name)), "jpeg", **JPEG)}
    wrong, notes = {}, {}
    predictions = {key: run.prediction(name) for key, run in first.items()}
    for key, labels in {TRUTH: target, **predictions}.items():
        views[key] = indexed_png(np.where(labels == IGNORE, len(classes), labels), palette)
    for key, labels in predictions.items():
        wrong[key] = indexed_png(errors(labels, target), ERRORS * CLEAR)
        notes[key] = f"mIoU {percent(image_miou(labels, target, classes))}"
    title = f"{capitalised(reason)} ({name})"
    return {"name": title, "views": views, "errors": wrong, "notes": notes}
