"""What a training costs on the machine at hand: timed once, and read from the record ever after.

    OUT/cost/cost.json    settings, device, precision, versions, and an entry for each of `PARTS`

    limit        side of a square matrix product, and its seconds
    bandwidth    bytes that a copy in the device's memory reads and writes, and its seconds
    networks     for each network its sizes, parameters, multiply-adds of a training step on one
                 image, bytes that a step moves, and the step's seconds
    loops        seconds of whole epochs in this project's loop, in the textbook's, and in that one
                 with networks of other libraries

Seconds are lists with one number a repeat. What is compared takes turns within every repeat, so
that whatever else the machine does meets all of it. Pixels and labels are noise, since sizes alone
decide how long a step takes.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lib import ROOT
from lib.config import TrainConfig
from lib.data import Dataset
from lib.datasets import MODULES, family
from lib.datasets.pairs import Inspected, Source
from lib.files import ClassTable, write_json
from lib.machine import Machine, provenance
from lib.models import VARIANTS, UNet, build_model, multiply_adds
from lib.scenes.stage import CLASSES as SCENES
from lib.studies.designs import COST, DesignPart
from lib.studies.textbook import installed, peer, textbook
from lib.train import Trainer

MATRIX = {"cuda": 8192, "cpu": 1024}  # side of the matrices whose product sets the limit
COPIED = {"cuda": 2**30, "cpu": 2**27}  # bytes that are copied: more than caches hold
STEPS = {"cuda": 16, "cpu": 2}  # batches of an epoch that is timed as a whole
OPTIMISER = 28  # bytes per parameter: AdamW reads four numbers and writes three
EPOCHS = 10**5  # more than are ever timed
WHOLE = (360, 480)  # pixels of an image where a profile leaves the files' own size
OWN, BARE = "this project's loop", "bare steps"
Call = Callable[[], object]


@dataclass(frozen=True)
class Settings:
    """What is measured: the sizes of a training, and for how long each repeat lasts at least."""

    dataset: str  # decides the number of classes
    image_size: tuple[int, int]
    base_channels: int
    batch_size: int
    seconds: float
    repeats: int

    @property
    def classes(self) -> int:
        return len(getattr(MODULES[family(self.dataset)], "CLASSES", SCENES))

    def model(self, variant: str) -> UNet:
        """Return the network of that name in these sizes."""
        return build_model(variant, num_classes=self.classes, base_channels=self.base_channels)

    def trainer(self, variant: str, machine: Machine, images: int) -> Trainer:
        """Return a training of that many images of noise, at its beginning."""
        data = noise_split(images, self.image_size, self.classes)
        config = TrainConfig(
            variant=variant, image_size=self.image_size, base_channels=self.base_channels,
            batch_size=self.batch_size, epochs=EPOCHS)
        return Trainer(config, Path("/nowhere"), machine, data, data)


def noise_split(images: int, size: tuple[int, int], classes: int) -> Dataset:
    """Return a split of random pixels and labels."""
    random = np.random.default_rng(0)
    names = tuple(map(str, range(max(images, classes))))
    table = ClassTable(names[:classes], ((0, 0, 0),) * classes)
    pixels = random.integers(0, 256, (images, *size, 3), np.uint8)
    labels = random.integers(0, classes, (images, *size), np.uint8)
    source = Source(table, names[:images], lambda i: Inspected(pixels[i], labels[i]))
    return Dataset("noise", "train", source)


def bare_step(trainer: Trainer) -> Call:
    """Return a training step on one batch that lies ready on the device."""
    batch = next(iter(trainer.feed.epoch(0, 1)))
    trainer.model.train()

    def step() -> None:
        loss, _ = trainer.loss(*batch)
        trainer.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        trainer.optimiser.step()

    return step


def side_by_side(calls: dict[str, Call], machine: Machine, settings: Settings) -> dict[str, list]:
    """Return the seconds of each call, one for each repeat, the calls taking turns."""
    machine.choose_kernels(training=True)
    often, taken = {}, {name: [] for name in calls}
    for name, call in calls.items():
        _timed(call, machine)  # compiles, chooses kernels, allocates
        often[name] = max(1, round(settings.seconds / _timed(call, machine)))
    for _ in range(settings.repeats):
        for name, call in calls.items():
            taken[name].append(_timed(call, machine, often[name]))
    return taken


def _timed(call: Call, machine: Machine, often: int = 1) -> float:
    """Return the seconds of one call, the mean of so many."""
    wait = torch.cuda.synchronize if machine.device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(often):
        call()
    wait()
    return (time.perf_counter() - start) / often


class Traffic(TorchDispatchMode):
    """Add up the bytes that operations have to move beside the convolutions, as if fused well.

    A convolution moves its maps while it computes and counts nothing. An elementwise operation
    joins the pass over its first operand and counts what else it reads. Everything else reads its
    inputs and writes its results; a normalisation reads them once more, for its statistics.
    """

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        inputs = [leaf.nbytes for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        name = operation.name()
        if torch.Tag.pointwise in operation.tags:
            self.bytes += sum(inputs[1:])
        elif not operation.is_view and "convolution" not in name:
            self.bytes += sum(inputs) + sum(outputs)
        if "batch_norm" in name:
            self.bytes += sum(inputs)
        return result


def moved_bytes(model: UNet, batch: int, size: tuple[int, int], classes: int, short: bool) -> int:
    """Return the bytes that a training step moves beside its convolutions; see `Traffic`.

    Images are (H, W); `short` keeps maps in bfloat16. The step is run on tensors without content.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    kind = torch.bfloat16 if short else torch.float32
    model = model.to("meta", kind).train()
    image = torch.empty(batch, 3, *size, device="meta", dtype=kind)
    target = torch.empty(batch, *size, device="meta", dtype=torch.int64)
    with Traffic() as traffic:
        F.cross_entropy(model(image).float(), target).backward()
    return traffic.bytes + OPTIMISER * parameters


def _limit(s: Settings, machine: Machine) -> dict:
    """Time a matrix product."""
    side = MATRIX[machine.device.type]
    kind = torch.bfloat16 if machine.bfloat16 else torch.float32
    a, b = (torch.randn(side, side, device=machine.device).to(kind) for _ in range(2))
    return {"side": side, **side_by_side({"seconds": lambda: a @ b}, machine, s)}


def _bandwidth(s: Settings, machine: Machine) -> dict:
    """Time a copy."""
    size = COPIED[machine.device.type]
    source = torch.zeros(size, dtype=torch.uint8, device=machine.device)
    target = torch.zeros_like(source)
    taken = side_by_side({"seconds": lambda: target.copy_(source)}, machine, s)
    return {"bytes": 2 * size, **taken}


def _networks(s: Settings, machine: Machine) -> list[dict]:
    """Time a training step of each network, in the form in which this machine trains."""
    steps = {name: bare_step(s.trainer(name, machine, s.batch_size)) for name in VARIANTS}
    taken, rows = side_by_side(steps, machine, s), []
    for variant in VARIANTS:
        model = s.model(variant)
        arithmetic = 3 * multiply_adds(model.eval(), s.image_size)  # of three forward passes
        parameters = sum(parameter.numel() for parameter in model.parameters())
        moved = moved_bytes(model, s.batch_size, s.image_size, s.classes, machine.bfloat16)
        rows.append({
            "variant": variant, "base_channels": s.base_channels, "classes": s.classes,
            "size": list(s.image_size), "batch": s.batch_size, "parameters": parameters,
            "arithmetic": arithmetic, "bytes": moved, "seconds": taken[variant]})
    return rows


def _loops(s: Settings, machine: Machine) -> dict:
    """Time whole epochs in every loop, and as many bare steps."""
    steps, epochs = STEPS[machine.device.type], count(2)
    trainer = s.trainer("unet", machine, steps * s.batch_size)
    step = bare_step(s.trainer("unet", machine, s.batch_size))
    calls = {
        OWN: lambda: trainer._epoch(next(epochs)),
        BARE: lambda: [step() for _ in range(steps)],
    }
    forward = multiply_adds(s.model("unet").eval(), s.image_size)
    networks = {"textbook, float32": s.model("unet")}
    if machine.bfloat16:
        networks["textbook, mixed precision"] = s.model("unet")
    for name in installed():
        networks[name] = peer(name, s.classes, s.image_size, forward)
    data, arithmetic = noise_split(steps * s.batch_size, s.image_size, s.classes), {}
    for name, model in networks.items():
        arithmetic[name] = 3 * multiply_adds(model.eval(), s.image_size)
        mixed = machine.bfloat16 and name != "textbook, float32"
        calls[name] = textbook(model, data, s.batch_size, machine.device, mixed)
    return {
        "images": len(data), "seconds": side_by_side(calls, machine, s),
        "arithmetic": arithmetic, "installed": installed(),
    }


PARTS = {"limit": _limit, "bandwidth": _bandwidth, "networks": _networks, "loops": _loops}


def measure(settings: Settings, out: str | Path) -> dict:
    """Return the record under `out`, after measuring what it lacks, part by part.

    Raises ValueError where it was made with other settings, or was begun on another device.
    """
    path = ROOT / out / COST
    record = json.loads(path.read_text()) if path.exists() else {}
    wanted = json.loads(json.dumps(asdict(settings)))
    recorded = record.get("settings", wanted)
    if recorded != wanted:
        raise ValueError(
            f"{path}: holds measurements with other settings ({recorded}); choose another `out`, "
            "or delete it to measure anew")
    missing = [part for part in PARTS if part not in record]
    if not missing:
        return record
    machine = Machine.detect()
    device = record.setdefault("device", machine.name)
    if threads := re.match(r"CPU, (\d+) thread", device):  # it goes on as it was begun
        torch.set_num_threads(int(threads[1]))
    if device != machine.name:
        raise ValueError(
            f"{path}: begun on {device}, and this is {machine.name}; go on there, or delete it")
    for part in missing:
        record |= {
            "settings": wanted, part: PARTS[part](settings, machine),
            "precision": machine.precision, **provenance(),
        }
        write_json(path, record)
    return record


def main(arguments: list[str] | None = None) -> int:
    """Measure what a profile's networks cost and return the exit status."""
    text = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser("python -m lib.studies.cost", description=text)
    parser.add_argument("--profile", required=True, metavar="NAME", help="notebooks/profiles")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where records are")
    options = parser.parse_args(arguments)
    try:
        values = DesignPart("", options.profile).values()
        settings = Settings(
            values["dataset"], tuple(values["image_size"] or WHOLE), values["base_channels"],
            values["batch_size"], values["measure_seconds"], values["measure_repeats"])
        measure(settings, options.out.resolve())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
