"""Two label maps of one image under a slider: a piece of HTML that works in the report and in JupyterLab.

Every picture is embedded once: label maps as indexed PNG of a few bits a pixel, photographs as WebP. Without a
script, and on paper, the piece is not seen, and `pictures.comparison` shows the same images.
"""

import io
import json
from base64 import b64encode
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from lib.classes import IGNORE, ClassTable
from lib.models import TITLES
from lib.records import Run
from report.figures.pictures import RIGHT, VOID, WRONG, capital, score_note
from report.figures.style import first_seeds
from report.templates import ENVIRONMENT

PHOTO, TRUTH = "image", "truth"  # the views beside those of the networks


def slider(runs: Sequence[Run], reasons: dict[str, str]) -> str:
    """HTML that lays two views of a test image over each other, divided where the reader puts the divider.

    A view is the photograph, the ground truth or what a network predicts (its first seed), or its errors; labels can
    be made transparent over the photograph. `reasons` maps the names of the images to why they are shown.
    """
    first = first_seeds(runs)
    views = {PHOTO: "Photograph", TRUTH: "Ground truth"} | {key: TITLES[key] for key in first}
    some, images = next(iter(first.values())), []
    for name, reason in reasons.items():
        target = some.target(name)
        maps = {key: run.prediction(name) for key, run in first.items()}
        images.append({
            "name": f"{capital(reason)} ({name})",
            "views": {PHOTO: _uri("webp", some.shared(name, "webp").read_bytes())}
            | {key: label_uri(labels, some.classes) for key, labels in ({TRUTH: target} | maps).items()},
            "errors": {key: error_uri(labels, target) for key, labels in maps.items()},
            "notes": {key: score_note(labels, target, some.classes) for key, labels in maps.items()},
        })
    height, width = target.shape
    template = ENVIRONMENT.get_template("slider.html")
    at_first = [*views][-max(2, len(first)):]  # the first two networks, or the ground truth and the only one
    return template.render(images=images, views=views, sides=dict(zip(("Left", "Right"), at_first)),
                           data=json.dumps(images).replace("<", "\\u003c"), height=height, width=width,
                           classes=list(zip(some.classes.names, some.classes.colors)))


def label_uri(labels: np.ndarray, classes: ClassTable) -> str:
    """uint8 (H, W) -> the data URI of an indexed PNG with one colour more than there are classes, for void."""
    return _indexed(np.where(labels == IGNORE, len(classes), labels), classes.palette[: len(classes) + 1])


def error_uri(labels: np.ndarray, target: np.ndarray) -> str:
    """The same of where prediction and target differ; transparent where they do not."""
    colors = np.array([to_rgb(name) for name in (RIGHT, WRONG, VOID)]) * 255
    return _indexed(np.where(target == IGNORE, 2, labels != target), colors.astype(np.uint8), transparency=0)


def _indexed(indices: np.ndarray, palette: np.ndarray, **options: object) -> str:
    image, buffer = Image.fromarray(indices.astype(np.uint8)), io.BytesIO()
    image.putpalette(palette.tobytes())
    image.save(buffer, "PNG", optimize=True, **options)
    return _uri("png", buffer.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
