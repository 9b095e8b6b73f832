"""A trained network on anybody's photographs: their labels at their own size.

A photograph is scaled as the training images were: to as many pixels, and with the same change of
the aspect ratio, so that one of the training images' own shape comes to exactly their size and no
other is stretched more than they were. Logits are scaled back, and the largest one is the label.
"""

import shlex
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lib.config import SETTINGS
from lib.data import as_image
from lib.datasets.pairs import Size, read_photograph
from lib.files import ClassTable, write_image
from lib.machine import Machine
from lib.models import UNet
from lib.records import RECORD, WEIGHTS, Run
from lib.studies import trained_network

SMALLEST = 16  # pixels a side, what the network needs
Photo = str | Path | np.ndarray  # a file, or uint8 (H, W, 3)


@dataclass(frozen=True)
class Network:
    """A trained network with its classes and the size (H, W) of its training images.

    `original_size` is that of the first one's file, before it was brought to `size`.
    """

    model: UNet
    classes: ClassTable
    size: Size
    original_size: Size
    machine: Machine

    @torch.inference_mode()
    def label(self, photo: Photo) -> np.ndarray:
        """Return the class index of every pixel, uint8 (H, W).

        Raises `lib.datasets.pairs.Wrong`, a ValueError, for a file that is not a readable image.
        """
        image = _opened(photo)
        height, width = self.input_size((image.height, image.width))
        scaled = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(scaled).permute(2, 0, 1)[None].to(self.machine.device)
        logits = self.machine.logits(self.model, as_image(pixels))[0]  # (K, h, w)
        return largest_logit(logits, (image.height, image.width)).cpu().numpy()

    def overlay(self, photo: Photo, labels: np.ndarray | None = None) -> Image.Image:
        """Return the photograph with the colours of its labels laid over it."""
        labels = self.label(photo) if labels is None else labels
        return Image.blend(_opened(photo), Image.fromarray(self.classes.palette[labels]), 0.5)

    def input_size(self, size: Size) -> Size:
        """Return the size (h, w) at which the network sees a photograph of (H, W) pixels."""
        stretch = self.size[0] / self.size[1] * self.original_size[1] / self.original_size[0]
        ratio = size[0] / size[1] * stretch
        width = (self.size[0] * self.size[1] / ratio) ** 0.5
        return max(SMALLEST, round(width * ratio)), max(SMALLEST, round(width))

    def shares(self, labels: np.ndarray) -> np.ndarray:
        """Return the share of each class among labels uint8 (H, W), float64 (K,)."""
        return np.bincount(labels.ravel(), minlength=len(self.classes)) / labels.size

    def write(self, photo: Path, out: Path) -> np.ndarray:
        """Write the label map and the overlay of a photograph into `out`; return its shares."""
        pixels = np.array(_opened(photo))
        labels = self.label(pixels)
        write_image(out / f"{photo.stem}.png", labels, self.classes)
        write_image(out / f"{photo.stem}-overlay.webp", np.array(self.overlay(pixels, labels)))
        return self.shares(labels)

    def export(self, path: Path) -> None:
        """Write the network in ONNX: image float32 (1, 3, h, w) in [0, 1] -> logits (1, K, h, w).

        (h, w) is the size of the training images. Raises ValueError where a package is missing.
        """
        image = torch.zeros(1, 3, *self.size)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.onnx.export(
                deepcopy(self.model).cpu(), (image,), path, verbose=False, external_data=False,
                input_names=["image"], output_names=["logits"])
        except ImportError as error:
            raise ValueError(f"{path}: {error}; `pip install onnxscript` first") from error


def _opened(photo: Photo) -> Image.Image:
    if isinstance(photo, np.ndarray):
        return Image.fromarray(photo).convert("RGB")
    return read_photograph(Path(photo))


def largest_logit(logits: Tensor, size: Size) -> Tensor:
    """Return the class of the largest logit after scaling, (K, h, w) -> uint8 (H, W).

    One class at a time: all of them would fill the memory for a large photograph.
    """
    labels = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    best = torch.full(size, -torch.inf, device=logits.device)
    for index, plane in enumerate(logits):
        plane = F.interpolate(plane[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        labels[plane > best] = index
        best = torch.maximum(best, plane)
    return labels


def load_network(folder: str | Path) -> Network:
    """Return the network of a run's folder, such as build/quick/runs/unet/seed-0.

    Raises FileNotFoundError for a folder that holds no run or a run without weights, with the
    command that trains it; ValueError for weights that are damaged or of another network.
    """
    folder = Path(folder)
    if not (folder / RECORD).exists():
        expected = "expected the folder of a run, such as build/quick/runs/unet/seed-0"
        raise FileNotFoundError(f"{folder}: no {RECORD}; {expected}")
    run = Run.read(folder)
    if not (folder / WEIGHTS).exists():
        text = f"{folder}: no {WEIGHTS} (published records have none); make them with"
        raise FileNotFoundError(f"{text}: {training_command(run)}")
    machine, dataset = Machine.detect(), run.record["dataset"]
    size = tuple(dataset["size"])
    original_size = tuple(dataset.get("original_size", size))
    model = trained_network(run, machine)
    return Network(model, run.classes, size, original_size, machine)


def training_command(run: Run) -> str:
    """Return the command that trains the network of a record again, under build/again."""
    words = ["python", "-m", "lib.train", "--out", "build/again"]
    words += ["-p", "variant", run.variant, "-p", "seed", str(run.seed)]
    for name, value in run.config.items():
        usual = SETTINGS[name]
        usual = list(usual) if isinstance(usual, tuple) else usual
        if name not in ("variant", "seed") and value != usual:
            words += ["-p", name, str(value)]
    place = "" if run.config["dataset"].startswith("scenes") else " -p data_root DIR"
    return shlex.join(words) + place
