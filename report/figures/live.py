"""The U-Net that runs in the page: one trained network in eight bits, and test images.

The network is that of `live/unet.npz` in the records, which `lib.studies.quantized` writes; without
that file, a trained U-Net whose weights are at hand. The page's part is in `template/live/`. On
paper, and where no script runs, stands a figure of what the first image shows.
"""

import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from lib import ROOT
from lib.data import as_image
from lib.files import IGNORE, read_arrays
from lib.models import DEPTH, UNet
from lib.records import WEIGHTS, Run, load_runs
from lib.structure import boundary_width, outline
from lib.studies.interventions import leaving
from lib.studies.quantized import VARIANT, quantise, restore
from report.evidence.closed_forms import receptive_fields
from report.evidence.loading import PUBLISHED
from report.evidence.readings import by_frequency
from report.evidence.wording import listed, percent
from report.figures.drawing import data_uri
from report.figures.pictures import class_legend, grid, image_miou, large_photograph, paint
from report.figures.show import Exhibit
from report.figures.style import displayed
from report.template import ENVIRONMENT

NETWORK = "live/unet.npz"  # in the folder of the records
IMAGES = 4
MOST_WEIGHTS, MOST_MULTIPLY_ADDS = 2.5e6, 1.5e9  # what a page carries, and computes in a second
WIDE, SMALLER, GAP = 64, 0.78, 11  # of the drawing's finest pictures, of the next level's, between


@dataclass(frozen=True)
class Live:
    """The network in the page, its run, and a run of the same network trained without skips."""

    run: Run
    without: Run
    stored: dict[str, np.ndarray]  # as `lib.studies.quantized` writes it

    @property
    def names(self) -> list[str]:
        """The test images: of those on record the ones with the longest outlines."""
        names = [name for name in self.run.examples if name in self.without.examples]
        return sorted(names, key=lambda name: -outline(self.run.target(name)).sum())[:IMAGES]


def find_network(runs: Sequence[Run], out: str | Path) -> Live | None:
    """Return the network for the page of these runs, or None where no page can carry one.

    The published network stands for runs on its data set whose own weights are not at hand.
    """
    datasets = {run.record["dataset"]["name"] for run in runs}
    published = [run for run in load_runs(PUBLISHED) if run.record["dataset"]["name"] in datasets]
    for folder, group in ((ROOT / out, runs), (ROOT / PUBLISHED, published)):
        without = [run for run in group if run.variant == "unet-noskip"]
        for run in filter(_fits, group if without else ()):
            stored = _weights_of(run, folder / NETWORK)
            if stored:
                same_seed = [other for other in without if other.seed == run.seed]
                return Live(run, (same_seed or without)[0], stored)
    return None


def _fits(run: Run) -> bool:
    """Tell whether this is a U-Net that a page can carry, and its images need no padding."""
    record = run.record
    light = record["parameters"] <= MOST_WEIGHTS and record["multiply_adds"] <= MOST_MULTIPLY_ADDS
    padded = any(side % 2**DEPTH for side in record["dataset"]["size"])
    return run.variant == VARIANT and light and not padded


def _weights_of(run: Run, path: Path) -> dict[str, np.ndarray] | None:
    """Return the network of a run from its file or else from its weights, or None."""
    if path.exists():
        stored = read_arrays(path)
        return stored if stored["seed"] == run.seed else None
    return quantise(run)[1] if (run.folder / WEIGHTS).exists() else None


def unet(runs: Sequence[Run], out: str | Path) -> Exhibit | None:
    """A U-Net to take apart: its skips are cut, or fed another image's features.

    None where `find_network` finds no network.
    """
    live = find_network(runs, out)
    if live is None:
        return None
    name, classes = live.names[0], live.run.classes
    image, target, model = live.run.image(name), live.run.target(name), restore(live.stored)
    maps = {
        "U-Net": labels(model, image),
        "finest skip cut": labels(model, image, cut=(0,)),
        "all skips cut": labels(model, image, cut=tuple(range(DEPTH))),
        "trained without skips": live.without.prediction(name),
    }
    scores = {title: percent(image_miou(found, target, classes)) for title, found in maps.items()}
    titles = ["photograph", "ground truth", *(f"{key}: {score}" for key, score in scores.items())]
    painted = [paint(each, classes) for each in (target, *maps.values())]
    figure = grid([large_photograph(live.run, name), *painted], 3, titles, foot=0.4)
    class_legend(figure, classes, by_frequency(live.run))
    return Exhibit(
        figure,
        "fig-live",
        f"*A U-Net to take apart.* On this test image it reaches an mIoU of {scores['U-Net']}, "
        f"{scores['finest skip cut']} with its finest skip cut and {scores['all skips cut']} with "
        "all four cut; a network *trained* without skips reaches "
        f"{scores['trained without skips']}. On a screen the network runs inside this page. One "
        f"value of level 0, 1, … of its encoder sees {listed([*map(str, fields())])} pixels in "
        "each direction.",
        "One test image as the U-Net labels it, with skips cut, and as a network trained without "
        "skips does.",
        stack=True,
        live=html(live),
    )


@torch.inference_mode()
def labels(model: UNet, image: np.ndarray, cut: Sequence[int] = ()) -> np.ndarray:
    """Return the labels, uint8 (H, W), of an image, uint8 (H, W, 3), some skips cut."""
    batch = as_image(torch.from_numpy(image).permute(2, 0, 1)[None])
    with leaving(model, tuple(cut), torch.zeros_like):
        return model(batch).argmax(1)[0].byte().numpy()


def html(live: Live) -> str:
    """Return the network and its controls as HTML, style and scripts in it."""
    height, width = live.run.target(live.names[0]).shape
    stored, classes, base = live.stored, live.run.classes, int(live.stored["base_channels"])
    parameters = np.concatenate([stored["scales"], stored["biases"]]).astype("<f4")
    images = [_test_image(live, name) for name in live.names]
    levels = _levels(base, height, width)
    return ENVIRONMENT.get_template("live/live.html").render(
        images=images,
        levels=levels,
        drawing=levels[-1]["bottom"] + 4,
        height=height,
        width=width,
        data={
            "network": {
                "weights": _base64(zlib.compress(stored["weights"].tobytes(), 9)),
                "parameters": _base64(parameters.tobytes()),
                "base": base,
                "classes": len(classes),
                "depth": DEPTH,
            },
            "tests": images,
            "classes": classes.names,
            "colors": displayed(classes).colors,
            "fields": fields(),
            "height": height,
            "width": width,
            "band": boundary_width((height, width)),
        },
    )


def fields() -> list[int]:
    """Return the sides in pixels of the encoder's receptive fields, finest level first."""
    return receptive_fields(VARIANT)


def _levels(base: int, height: int, width: int) -> list[dict]:
    """Return what each level has and where the drawing, 320 units wide, puts its picture."""
    levels, top = [], 4.0
    for level in range(DEPTH + 1):
        wide = WIDE * SMALLER**level
        tall = wide * height / width
        x = 32 + 6 * level if level < DEPTH else 160
        levels.append({
            "channels": base * 2**level,
            "rows": height >> level,
            "columns": width >> level,
            "width": round(wide, 1),
            "x": x,
            "y": round(top + tall / 2, 1),
            "bottom": round(top + tall, 1),
            "inner": round(x + wide / 2 + 4, 1),  # where the skip begins
        })
        top += tall + GAP
    return levels


def _test_image(live: Live, name: str) -> dict:
    """Return the pictures of a test image as data URIs, and where void takes its label from.

    A label is the brightness of its pixel. `nearest` has for each void pixel, row by row, the
    index of the nearest pixel that is not void.
    """
    target = live.run.target(name)
    void = target == IGNORE
    _, (rows, columns) = ndimage.distance_transform_edt(void, return_indices=True)
    stored = live.run.shared(name, "webp").read_bytes()
    return {
        "name": name,
        "photo": f"data:image/webp;base64,{_base64(stored)}",
        "truth": data_uri(Image.fromarray(target), "png"),
        "without": data_uri(Image.fromarray(live.without.prediction(name)), "png"),
        "nearest": (rows * target.shape[1] + columns)[void].tolist(),
    }


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
