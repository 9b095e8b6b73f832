"""Studies of trained networks, and what they share: which runs, which data, which images, hooks.

    theory         the theory chapter's measurements, put on the record of a run, by means of
                   interventions, gates, probes, landscape, matched (precision), depth
    doses          tests at other doses of clutter and noise
    cost           what a training costs, beside the loop of tutorials (textbook)
    quantized      the network that runs in the report's page
    recount        fine structure counted anew
    designs, queue which trainings decide the report's statements, and the command that makes them
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lib.config import TrainConfig
from lib.data import Dataset, as_image, evenly_spaced, load_split
from lib.evaluation import evaluate
from lib.files import read_state
from lib.machine import Machine
from lib.models import UNet, build_model
from lib.records import RECORD, WEIGHTS, Run

BATCH = 8
Arrays = dict[str, np.ndarray]
Batches = list[tuple[Tensor, Tensor]]  # images uint8 (B, 3, H, W), targets uint8 (B, H, W)
Change = Callable[[Tensor], Tensor | None]  # of features; None leaves them as they are


# Commands that measure recorded runs.


def runs_parser(program: str, text: str) -> argparse.ArgumentParser:
    """Return the options that these commands have in common; `text` is the module's docstring."""
    options = argparse.ArgumentParser(f"python -m {program}", description=text.splitlines()[0])
    options.add_argument(
        "out", type=Path, nargs="+", metavar="OUT", help="a run's folder, or one above runs")
    options.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help="these alone (default: all)")
    options.add_argument("--data-root", metavar="DIR", help="the folder that holds the data set")
    return options


def for_each_run(options: argparse.Namespace, work: Callable[[Run], object], done: str) -> int:
    """Do the work on every chosen run; return 0, or 1 when one failed or there is none.

    A ValueError or OSError of the work is printed and the next run taken up.
    """
    records = [path for out in options.out for path in sorted(out.resolve().rglob(RECORD))]
    folders = list(dict.fromkeys(path.parent for path in records))
    if options.seeds:
        names = {f"seed-{seed}" for seed in options.seeds}
        folders = [folder for folder in folders if folder.name in names]
    if not folders:
        places = ", ".join(map(str, options.out))
        expected = f"<variant>/seed-<k>/{RECORD} below it"
        print(f"error: {places}: no finished runs; expected {expected}", file=sys.stderr)
        return 1
    failed = 0
    for folder in folders:
        try:
            work(Run.read(folder))
            print(f"{folder}: {done}", flush=True)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            failed += 1
    print(f"{len(folders) - failed} of {len(folders)} runs: {done}")
    return 1 if failed else 0


# A run's data and network.


def split_of(run: Run, split: str, data_root: str | Path | None, **changes: object) -> Dataset:
    """Return a split of the run's data set, under other settings (`changes`), loaded once."""
    # Without network and seed the settings are alike for all runs on the same images.
    config = run.config | {"variant": "unet", "seed": 0} | changes
    return _load(TrainConfig(**config), split, data_root)


_load = lru_cache(maxsize=4)(load_split)


def load_model(folder: Path, variant: str, base_channels: int, num_classes: int) -> UNet:
    """Return the trained network in evaluation mode, on the CPU, channels last.

    Raises ValueError for a file that is damaged or holds other weights.
    """
    model = build_model(variant, num_classes=num_classes, base_channels=base_channels)
    try:
        model.load_state_dict(read_state(folder / WEIGHTS))
    except RuntimeError as error:
        raise ValueError(
            f"{folder / WEIGHTS}: the weights of another network than {variant} with "
            f"{base_channels} base channels is today; train it anew") from error
    return model.to(memory_format=torch.channels_last).eval()


def trained_network(run: Run, machine: Machine) -> UNet:
    """Return the run's network on the device, in evaluation mode."""
    width = run.config["base_channels"]
    return machine.place(load_model(run.folder, run.variant, width, len(run.classes)))


def test_again(model: nn.Module, test: Dataset, machine: Machine) -> tuple[np.ndarray, np.ndarray]:
    """Return the confusion matrices (N, K, K) of all test images and their labels (N, H, W)."""
    weights = torch.ones(len(test.classes), device=machine.device)  # of a loss that nobody reads
    confusions, _, labels = evaluate(model, test, weights, machine)
    return confusions.numpy(), labels


def chosen(data: Dataset, number: int, size: int = BATCH) -> Batches:
    """Return that many images, evenly spaced, in batches of nearly equal size, none of one."""
    index = torch.from_numpy(evenly_spaced(len(data), number))
    parts = index.chunk(-(-len(index) // size))
    return [(data.images[part], data.targets[part]) for part in parts]


def on_device(images: Tensor, machine: Machine) -> Tensor:
    """Return uint8 (B, 3, H, W) as networks take it: float32 in [0, 1], channels last."""
    return as_image(images.to(machine.device)).contiguous(memory_format=machine.memory_format)


# Networks that are changed for a while.


def at_outputs(modules: Iterable[nn.Module], change: Change) -> AbstractContextManager:
    """Change what these modules return."""
    def hook(module, inputs, output):
        return change(output)

    return _hooked(module.register_forward_hook(hook) for module in modules)


def at_inputs(modules: Iterable[nn.Module], change: Change) -> AbstractContextManager:
    """Change the first argument of these modules."""
    def hook(module, inputs):
        changed = change(inputs[0])
        return None if changed is None else (changed, *inputs[1:])

    return _hooked(module.register_forward_pre_hook(hook) for module in modules)


@contextmanager
def _hooked(handles: Iterable) -> Iterator[None]:
    """Register hooks, which the iterable makes one by one, and remove them at the end."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@contextmanager
def without_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Let these parameters need no gradient, which saves a part of every backward pass."""
    needed = nn.ParameterList(parameter for parameter in parameters if parameter.requires_grad)
    needed.requires_grad_(False)
    try:
        yield
    finally:
        needed.requires_grad_(True)
