"""Two label maps of one image under a slider: HTML that works in the report and in JupyterLab.

Every picture is embedded once: label maps as indexed PNG of a few bits a pixel, photographs as
WebP. Without a script, and on paper, it is absent; `pictures.comparisons` shows the same images.
"""

import io
import json
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lib.files import IGNORE, ClassTable
from lib.models import TITLES
from lib.records import Run, first_seeds
from report.figures.pictures import ERRORS, capital, errors, score_note
from report.figures.show import Exhibit
from report.templates import ENVIRONMENT

PHOTO, TRUTH = "image", "truth"  # the views beside those of the networks


def slider(runs: Sequence[Run], reasons: dict[str, str]) -> Exhibit:
    """Two views of a test image over each other, divided where the reader puts the divider.

    A view is the photograph, the ground truth or what a network predicts (its first seed), or its
    errors; labels can be made transparent over the photograph. `reasons` maps the names of the
    images to why they are shown.
    """
    return Exhibit(
        _html(first_seeds(runs), reasons),
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
    views = {PHOTO: "Photograph", TRUTH: "Ground truth"} | {key: TITLES[key] for key in first}
    sides = [*first][:2] if len(first) > 1 else [TRUTH, *first]
    return ENVIRONMENT.get_template("slider.html").render(
        images=images,
        views=views,
        sides=dict(zip(("Left", "Right"), sides)),
        data=json.dumps(images).replace("<", "\\u003c"),
        height=height,
        width=width,
        classes=list(zip(some.classes.names, some.classes.colors)),
    )


def _image(first: dict[str, Run], name: str, reason: str) -> dict:
    """Every view of one test image."""
    some = next(iter(first.values()))
    target, classes = some.target(name), some.classes
    predictions = {key: run.prediction(name) for key, run in first.items()}
    views = {
        PHOTO: _uri("webp", some.shared(name, "webp").read_bytes()),
        TRUTH: label_uri(target, classes),
    }
    for key, labels in predictions.items():
        views[key] = label_uri(labels, classes)
    return {
        "name": f"{capital(reason)} ({name})",
        "views": views,
        "errors": {key: error_uri(labels, target) for key, labels in predictions.items()},
        "notes": {key: score_note(labels, target, classes) for key, labels in predictions.items()},
    }


def label_uri(labels: np.ndarray, classes: ClassTable) -> str:
    """Return labels, uint8 (H, W), as the data URI of an indexed PNG; void is one colour more."""
    indices = np.where(labels == IGNORE, len(classes), labels)
    return _indexed(indices, classes.palette[: len(classes) + 1])


def error_uri(labels: np.ndarray, target: np.ndarray) -> str:
    """Return where labels and target differ as the data URI of a PNG, transparent elsewhere."""
    return _indexed(errors(labels, target), ERRORS, transparency=0)


def _indexed(indices: np.ndarray, palette: np.ndarray, **options: object) -> str:
    image, buffer = Image.fromarray(indices.astype(np.uint8)), io.BytesIO()
    image.putpalette(palette.tobytes())
    image.save(buffer, "PNG", optimize=True, **options)
    return _uri("png", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
