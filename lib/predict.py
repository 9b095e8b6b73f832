"""Labels for anybody's photographs by a trained network.

    python -m lib.predict build/quick/runs/unet/seed-0 PHOTO... --out DIR

A PHOTO is a file, a folder (of a film's frames, say) or a pattern such as "trip/*.jpg". Of each,
DIR/NAME.png is the label map at the photograph's own size, indexed and with the classes' colours,
DIR/NAME-overlay.webp shows it over the photograph, and DIR/shares.csv has the share of each class.
Exit status: 0, or 1 where something is wrong; a photograph that cannot be read stops no other.

A photograph is scaled as the training images were: to as many pixels, and with the same change of
the aspect ratio, so that one of the training images' own shape comes to exactly their size and no
other is stretched more than they were. Logits are scaled back, and the largest one is the label.
"""

import argparse
import glob
import shlex
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lib.config import TrainConfig
from lib.data import as_image
from lib.datasets.pairs import Size, Wrong, by_stem, photograph
from lib.evaluation import WEIGHTS, load_model
from lib.files import ClassTable, write_atomically, write_image
from lib.machine import Machine
from lib.models import UNet
from lib.records import RECORD, Run

SMALLEST = 16  # pixels a side, what the network needs
ROWS = 20  # of the printed table


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
    def label(self, photo: str | Path | np.ndarray) -> np.ndarray:
        """Return the class index of every pixel, uint8 (H, W), of a file or uint8 (H, W, 3).

        Raises `lib.datasets.pairs.Wrong`, a ValueError, for a file that is not a readable image.
        """
        image = _read(photo)
        height, width = self.input_size((image.height, image.width))
        scaled = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(scaled).permute(2, 0, 1)[None].to(self.machine.device)
        logits = self.machine.logits(self.model, as_image(pixels))[0]  # (K, h, w)
        return _largest(logits, (image.height, image.width)).cpu().numpy()

    def overlay(
        self, photo: str | Path | np.ndarray, labels: np.ndarray | None = None
    ) -> Image.Image:
        """Return the photograph with the colours of its labels laid over it."""
        labels = self.label(photo) if labels is None else labels
        return Image.blend(_read(photo), Image.fromarray(self.classes.palette[labels]), 0.5)

    def input_size(self, size: Size) -> Size:
        """Return the size (h, w) at which the network sees a photograph of (H, W) pixels."""
        stretch = self.size[0] / self.size[1] * self.original_size[1] / self.original_size[0]
        ratio = size[0] / size[1] * stretch
        width = (self.size[0] * self.size[1] / ratio) ** 0.5
        return max(SMALLEST, round(width * ratio)), max(SMALLEST, round(width))

    def shares(self, labels: np.ndarray) -> np.ndarray:
        """Return the share of each class among labels uint8 (H, W), float64 (K,)."""
        return np.bincount(labels.ravel(), minlength=len(self.classes)) / labels.size

    def export(self, path: Path) -> None:
        """Write the network in ONNX: image float32 (1, 3, h, w) in [0, 1] -> logits (1, K, h, w).

        (h, w) is the size of the training images. Raises ValueError where a package is missing.
        """
        image = torch.zeros(1, 3, *self.size)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.onnx.export(
                deepcopy(self.model).cpu(), (image,), path, verbose=False, external_data=False,
                input_names=["image"], output_names=["logits"],
            )
        except ImportError as error:
            raise ValueError(f"{path}: {error}; `pip install onnxscript` first") from error

    def write(self, photo: Path, out: Path) -> np.ndarray:
        """Write the label map and the overlay of a photograph into `out`; return its shares."""
        pixels = np.array(_read(photo))
        labels = self.label(pixels)
        write_image(out / f"{photo.stem}.png", labels, self.classes)
        write_image(out / f"{photo.stem}-overlay.webp", np.array(self.overlay(pixels, labels)))
        return self.shares(labels)


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
    base_channels, dataset = run.config["base_channels"], run.record["dataset"]
    try:
        model = load_model(folder, run.variant, base_channels, len(run.classes))
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS}: the weights of another network ({error})") from error
    machine = Machine.detect()
    original = dataset.get("original_size", dataset["size"])
    size = tuple(dataset["size"])
    return Network(machine.place(model), run.classes, size, tuple(original), machine)


def training_command(run: Run) -> str:
    """Return the command that trains the network of a record again, under build/again."""
    usual = TrainConfig()
    settings = {"variant": run.variant, "seed": run.seed}
    for name, value in run.config.items():
        default = getattr(usual, name)
        if value != (list(default) if isinstance(default, tuple) else default):
            settings[name] = value
    words = ["python", "-m", "lib.train", "--out", "build/again"]
    for name, value in settings.items():
        words += ["-p", name, str(value)]
    place = "" if run.config["dataset"].startswith("scenes") else " -p data_root DIR"
    return shlex.join(words) + place


def photographs(places: list[str]) -> tuple[dict[str, Path], list[str]]:
    """Return the files of paths, folders and patterns by stem, and a line for what is wrong."""
    files, lines = {}, []
    for place in places:
        path = Path(place)
        more = [path] if path.is_file() else [Path(name) for name in sorted(glob.glob(place))]
        if path.is_dir():
            try:
                images, strange = by_stem(path)
            except FileNotFoundError as error:
                images, strange = {}, [str(error)]
            more, lines = list(images.values()), lines + strange
        elif not more:
            lines.append(f"{place}: no such file; expected a photograph, a folder or a pattern")
        for file in more:
            if file.stem in files:
                first = files[file.stem]
                lines.append(f"{file}: the same stem as {first}; give each another --out")
            files.setdefault(file.stem, file)
    return files, lines


def _read(photo: str | Path | np.ndarray) -> Image.Image:
    if isinstance(photo, np.ndarray):
        return Image.fromarray(photo).convert("RGB")
    return photograph(Path(photo))


def _largest(logits: Tensor, size: Size) -> Tensor:
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


def predict(network: Network, places: list[str], out: Path) -> int:
    """Label all photographs, print and write the shares; return how many things were wrong."""
    files, lines = photographs(places)
    rows = {}
    for name, path in files.items():
        try:
            rows[name] = network.write(path, out)
        except Wrong as wrong:
            lines.append(str(wrong))
    if rows:
        table = pd.DataFrame.from_dict(rows, orient="index", columns=network.classes.names)
        write_atomically(out / "shares.csv", table.to_csv(index_label="name").encode())
        cells = table.iloc[:ROWS].map("{:.1%}".format)
        print(cells.to_string())
        print(f"{len(table)} of {len(table) + len(files) - len(rows)} photographs are in {out}")
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return len(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    description = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m lib.predict", description=description)
    parser.add_argument("run", help="the folder of a run with its weights")
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="a file, a folder or a pattern")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where labels go")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="write the network in ONNX")
    options = parser.parse_args(arguments)
    if bool(options.photos) != bool(options.out) or not (options.photos or options.onnx):
        parser.error("expected photographs with --out DIR, or --onnx FILE, or both")
    try:
        network = load_network(options.run)
        wrong = predict(network, options.photos, options.out) if options.photos else 0
        if options.onnx:
            network.export(options.onnx)
            print(f"{options.onnx}: image float32 (1, 3, {network.size[0]}, {network.size[1]})")
    except (ValueError, OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
