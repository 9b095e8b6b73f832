"""What training costs on the machine at hand: timed, put on record, and read from the record ever after.

    OUT/cost/cost.json     settings, device, versions, and one entry for each part of `Measurement`

Times are seconds a step or an epoch, one for each repeat. Cases that are compared take turns within every repeat, so
that whatever else the machine does meets all of them. The arithmetic of a training step is counted as three forward
passes; it is held against a large matrix product in the same precision, the fastest thing such hardware does.
"""

import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from lib import ROOT
from lib.files import write_json
from lib.machine import Machine, commit, versions
from lib.models import VARIANTS, multiply_adds
from lib.studies.cases import Case, Settings, noise
from lib.studies.textbook import Textbook, installed, peer
from lib.train import Trainer, cross_entropy

RECORD = Path("cost") / "cost.json"
MATRIX = {"cuda": 8192, "cpu": 1024}  # side of the matrices whose product sets the limit
STEPS = {"cuda": 16, "cpu": 2}  # batches of an epoch that is timed as a whole
PARTS = ("limit", "sweeps", "networks", "loops", "images", "operators")
REFERENCE = "not compiled"  # the form that every other is compared with


def bare_step(trainer: Trainer) -> Callable[[], None]:
    """Forward pass, loss, backward pass and update on one batch that lies ready."""
    images, targets, drawn = next(iter(trainer.feed.epoch(0, 1)))
    image, target = trainer.augment.apply(images, targets, drawn)
    image = image.contiguous(memory_format=trainer.machine.memory_format)
    trainer.model.train()
    loss = trainer.machine.compile(
        lambda image, target: cross_entropy(trainer.machine.logits(trainer.model, image), target, trainer.weights))

    def step() -> None:
        trainer.optimiser.zero_grad(set_to_none=True)
        loss(image, target).backward()
        trainer.optimiser.step()

    return step


def _epoch(case: Case, form: Machine, images: int) -> Callable[[], float]:
    """A whole epoch of our loop on that many images."""
    trainer = case.trainer(form, images)
    trainer.loss, numbers = form.compile(trainer._loss), count(2)
    return lambda: trainer._epoch(next(numbers))


def side_by_side(calls: dict[str, tuple[Machine, Callable[[], object]]], settings: Settings) -> dict[str, list[float]]:
    """Seconds of each call, one for each repeat, the calls taking turns."""
    often = {}
    for name, (machine, call) in calls.items():
        machine.switch_on()
        first = _timed(call, machine, 1)  # compiles, chooses kernels, allocates
        if first < settings.seconds or machine.device.type == "cuda":
            first = _timed(call, machine, 1)
        often[name] = max(1, round(settings.seconds / first))
    taken = {name: [] for name in calls}
    for _ in range(settings.repeats):
        for name, (machine, call) in calls.items():
            machine.switch_on()
            taken[name].append(_timed(call, machine, often[name]))
    return taken


def _timed(call: Callable[[], object], machine: Machine, often: int) -> float:
    machine.synchronise()
    start = time.perf_counter()
    for _ in range(often):
        call()
    machine.synchronise()
    return (time.perf_counter() - start) / often


def kept_bytes(step: Callable[[], None]) -> int:
    """Bytes that the forward pass of a step keeps for the backward pass, every stored tensor counted once."""
    stored: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        stored[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(stored.values())


class Measurement:
    """The parts of a record, each a method that returns what it found; `fill` measures those that are missing."""

    def __init__(self, settings: Settings, machine: Machine):
        self.settings, self.machine = settings, machine
        self.eager, self.on_gpu = replace(machine, compiled=False), machine.device.type == "cuda"

    def limit(self) -> dict:
        """The matrix product: its side, and seconds for each repeat."""
        side = MATRIX[self.machine.device.type]
        kind = torch.bfloat16 if self.machine.bfloat16 else torch.float32
        a, b = (torch.randn(side, side, device=self.machine.device).to(kind) for _ in range(2))
        taken = side_by_side({"product": (self.machine, lambda: a @ b)}, self.settings)
        return {"side": side, "seconds": taken["product"]}

    def sweeps(self) -> list[dict]:
        """The bare step, one size at a time changed by each of the factors; without the compiler, which would take longer."""
        s, rows = self.settings, []
        for factor in s.factors:
            sides = [max(16, round(side * factor**0.5 / 16) * 16) for side in s.image_size]
            cases = {"batch": s.case(batch=max(1, round(s.batch_size * factor))),
                     "pixels": s.case(size=s.image_size if factor == 1 else tuple(sides)),
                     "width": s.case(base_channels=max(1, round(s.base_channels * factor))),
                     "classes": s.case(classes=min(255, max(2, round(s.classes * factor))))}
            rows += [{"of": name} | self.bare(case) for name, case in cases.items()]
        return rows

    def networks(self) -> list[dict]:
        """The bare step of each of the four networks, side by side."""
        rows = [self._row(self.settings.case(variant=variant)) for variant in VARIANTS]
        steps = {row["variant"]: (self.eager, row.pop("step")) for row in rows}
        for name, seconds in side_by_side(steps, self.settings).items():
            next(row for row in rows if row["variant"] == name)["seconds"] = seconds
        return rows

    @cache
    def bare(self, case: Case) -> dict:
        """Times and memory of one case; no times where it does not fit into the device's memory."""
        try:
            row = self._row(case)
            step = {"step": (self.eager, row.pop("step"))}
            return row | {"seconds": side_by_side(step, self.settings)["step"]}
        except torch.OutOfMemoryError:
            print(f"{case}: more than the device's memory")
            return asdict(case) | {"arithmetic": case.arithmetic(), "seconds": [], "kept": None, "peak": None}

    def _row(self, case: Case) -> dict:
        """One case with its memory and, in place of times, its step."""
        gc.collect()  # of the case before, whose network and compiled functions refer to each other
        if self.on_gpu:
            torch.cuda.empty_cache()
        step = bare_step(case.trainer(self.eager))
        kept, peak = kept_bytes(step), None
        if self.on_gpu:  # of a second step: the first tried kernels
            torch.cuda.reset_peak_memory_stats()
            step()
            peak = torch.cuda.max_memory_allocated()
        return asdict(case) | {"arithmetic": case.arithmetic(), "kept": kept, "peak": peak, "step": step}

    def forms(self) -> dict[str, Machine]:
        """The machine without its compiler, with it, and without it and with one more ingredient changed."""
        eager = self.eager
        changed = {"compiled": self.machine, "float32": replace(eager, bfloat16=False),
                   "channels first": replace(eager, channels_last=False), "not fused": replace(eager, fused=False)}
        if self.on_gpu:
            changed |= {"beside the device": replace(eager, resident=False),
                        "deterministic": replace(eager, deterministic=True)}
        return {REFERENCE: eager} | {name: form for name, form in changed.items() if form != eager}

    def loops(self) -> dict:
        """Seconds of whole epochs in every form and in the textbook loops, and of as many bare steps, side by side."""
        case, best = self.settings.case(), self.machine
        steps = STEPS[best.device.type]
        data = noise(steps * case.batch, case.size, case.classes)
        calls = {name: (form, _epoch(case, form, len(data))) for name, form in self.forms().items()}
        step = bare_step(case.trainer(best))
        calls["bare steps"] = best, lambda: [step() for _ in range(steps)]
        plain = replace(self.eager, bfloat16=False)
        networks = {"textbook, float32": (case.model(), False)}
        if best.bfloat16:
            networks["textbook, mixed precision"] = case.model(), True
        for name in installed():
            networks[name] = peer(name, case.classes, case.size, case.arithmetic() // 3), best.bfloat16
        arithmetic = {name: 3 * multiply_adds(model.eval(), case.size) for name, (model, _) in networks.items()}
        for name, (model, mixed) in networks.items():
            calls[name] = plain, Textbook(model, data, case.batch, best.device, mixed)
        return {"images": len(data), "seconds": side_by_side(calls, self.settings), "arithmetic": arithmetic,
                "installed": installed()}

    def images(self) -> list[dict]:
        """Whole epochs of more and more images."""
        case, counts = self.settings.case(), [count * self.settings.batch_size for count in (1, 2, 4)]
        calls = {str(images): (self.eager, _epoch(case, self.eager, images)) for images in counts}
        taken = side_by_side(calls, self.settings)
        return [{"images": images, "seconds": taken[str(images)]} for images in counts]

    def operators(self) -> list[dict]:
        """The operators that take most of a bare step, microseconds, as the profiler sees them."""
        step, kinds = bare_step(self.settings.case().trainer(self.eager)), torch.profiler.ProfilerActivity
        step()
        activities = [kinds.CPU, kinds.CUDA] if self.on_gpu else [kinds.CPU]
        with torch.profiler.profile(activities=activities) as profile:
            step()
            self.machine.synchronise()
        column = "self_device_time_total" if self.on_gpu else "self_cpu_time_total"
        spent = {event.key: getattr(event, column) for event in profile.key_averages()}
        return [{"operator": name, "microseconds": spent[name]} for name in sorted(spent, key=spent.get, reverse=True)[:40]]

    def fill(self, path: Path) -> None:
        """Measures what the record lacks and writes it after every part."""
        record, here = _found(path, self.settings), self.machine.name
        if (there := record.get("device", here)) != here:
            raise ValueError(f"{path}: begun on {there}, and this is {here}; go on there, or delete that file")
        record |= {"settings": asdict(self.settings), "device": here}
        for part in PARTS:
            if part not in record:
                record |= {part: getattr(self, part)(), "precision": self.machine.precision, "memory": self.machine.memory(),
                           "versions": versions(), "commit": commit()}
                write_json(path, record)


def _found(path: Path, settings: Settings) -> dict:
    """The record as far as it goes; ValueError when it is of other settings."""
    record = json.loads(path.read_text()) if path.exists() else {}
    if record and record["settings"] != json.loads(json.dumps(asdict(settings))):
        raise ValueError(f"{path}: holds measurements with other settings ({record['settings']}); choose another `out`, "
                         "or delete that file to measure anew")
    return record


def measure(settings: Settings, out: str | Path) -> dict:
    """The record under `out`; what it lacks is measured here and now."""
    path = ROOT / out / RECORD
    if not set(PARTS) <= _found(path, settings).keys():
        Measurement(settings, Machine.detect()).fill(path)
    return _found(path, settings)
