"""One training, from a configuration to a run record.

    python -m lib.train --profile camvid --out DIR         every network, every seed
    torchrun --nproc-per-node 8 -m lib.train --profile camvid --out DIR -p variant unet -p seed 0

AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019) descends the
weighted cross-entropy, with soft Dice where that is configured. The network after the last epoch is
tested. Order and augmentation of an epoch come from (seed, epoch) alone: an interrupted training
continues as if nothing had happened.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from copy import deepcopy
from dataclasses import asdict
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from lib.config import TrainConfig, parse_value, read_settings
from lib.data import Augment, Dataset, Feed, Root, load_splits
from lib.datasets.processes import World
from lib.evaluation import GradientLog, evaluate, write_record
from lib.files import locked, read_state, write_arrays, write_state
from lib.machine import Machine, compiled, enough_memory
from lib.metrics import class_weights, cross_entropy, mean_iou, soft_dice
from lib.models import VARIANTS, build_model, multiply_adds
from lib.records import ANEW, RECORD, WEIGHTS, Run, edition_of, require_same, run_folder

CHECKPOINT = "last.pt"  # the state after the last finished epoch, until the run is on record
PARTS = ("model", "optimiser", "schedule")  # of that state
UNTIL = "SEGMENTATION_UNTIL"  # seconds since 1970: no epoch is begun that would end later
STOPPED = 75  # exit status of a training that stopped at an epoch's end, to be continued
PATIENCE = 5  # seconds for a process that is being ended to unlock a run's folder
SAVE_EVERY = 20  # seconds that an interruption may cost, beside the epoch that is cut short
COMPILE_FROM = 4e15  # multiply-adds of a training from which the compiler's minute is won back


class Trainer:
    """The state of one training, which continues a checkpoint."""

    def __init__(
        self, config: TrainConfig, folder: Path, machine: Machine, train: Dataset, val: Dataset,
        world: World = World(),
    ):
        self.config, self.folder, self.machine, self.world = config, folder, machine, world
        # 1. Data: batches on the device, class weights, augmentation.
        machine.choose_kernels(training=True)
        self.val = val
        self.feed = Feed(train, config.batch_size, machine, world)
        weights = class_weights(train.pixels_per_class(), config.class_balance)
        self.weights = weights.to(machine.device)
        self.augment = Augment(config.crop_size or tuple(train.targets.shape[1:]), config.scale)
        self.checksums = [train.checksum, val.checksum]

        # 2. The network, from the seed.
        torch.manual_seed(config.seed)
        model = build_model(
            config.variant, num_classes=len(train.classes), base_channels=config.base_channels)
        self.model = machine.place(model)
        self.network = world.join(self.model, machine.device)

        # 3. Optimiser and schedule.
        steps = config.epochs * self.feed.steps
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), weight_decay=config.weight_decay, fused=True)
        rise = 0.25 if steps == 5 else 0.2  # a fifth of five steps would divide by zero
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=steps, pct_start=rise)

        # 4. What is recorded on the way, and where an interrupted training goes on.
        self.gradients = GradientLog(self.model, steps)
        self.history: list[dict] = []  # one row per epoch
        self.bar = tqdm(disable=True)
        self.loss = self._compiled() if machine.compiled and world.size == 1 else self._loss
        self._resume()

    def run(self) -> None:
        """Train all epochs that are left; raise TimeoutError, with a checkpoint, at `UNTIL`."""
        config, done, steps = self.config, len(self.history), self.feed.steps
        saved, seconds = time.time(), 0.0  # when the checkpoint was written, and of an epoch
        full = (f"{self.folder}: no memory left with batch_size = {config.batch_size}; set a "
                "smaller one, or a smaller crop_size, image_size or base_channels")
        self.bar = tqdm(
            desc=f"{config.variant}, seed {config.seed}", total=config.epochs * steps,
            initial=done * steps, unit="step", disable=None if self.world.rank == 0 else True)
        for epoch in range(done + 1, config.epochs + 1):
            start = time.time()
            if start + seconds > float(os.environ.get(UNTIL, "inf")):
                self._save()
                raise TimeoutError(
                    f"{self.folder}: stopped after epoch {epoch - 1} of {config.epochs}; the same "
                    "command goes on from there")
            with enough_memory(full):
                loss = self._epoch(epoch)
            row = {
                "epoch": epoch, "train_loss": loss, "val_loss": None, "val_miou": None,
                "learning_rate": self.schedule.get_last_lr()[0], "seconds": time.time() - start,
            }
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                row |= self._validate()
                self._tell(row)
            self.history.append(row)
            seconds = time.time() - start
            if time.time() - saved >= SAVE_EVERY or epoch == config.epochs:
                self._save()
                saved = time.time()
        self.bar.close()

    def _epoch(self, epoch: int) -> float:
        """Train on every batch once; return the mean cross-entropy in nats per pixel."""
        steps, first = self.feed.steps, (epoch - 1) * self.feed.steps
        losses = torch.zeros(steps, device=self.machine.device)  # read at the epoch's end alone
        self.model.train()
        for step, batch in enumerate(self.feed.epoch(self.config.seed, epoch)):
            loss, losses[step] = self.loss(*batch)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            with self.gradients.step(first + step):
                self.optimiser.step()
            self.schedule.step()
            self.bar.update()
        losses = self.world.total(losses).cpu() / self.world.size
        wrong = (~losses.isfinite()).nonzero().flatten().tolist()
        if wrong:
            raise FloatingPointError(
                f"{self.folder}: the training loss is {losses[wrong[0]]} in epoch {epoch}, step "
                f"{wrong[0] + 1} of {steps}; lower learning_rate (now {self.config.learning_rate}) "
                "and choose another `out` or delete that folder")
        return losses.double().mean().item()

    def _loss(self, images: Tensor, targets: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss to descend and its cross-entropy in nats per pixel, both ()."""
        image, target = self.augment.apply(images, targets, uniform)
        logits = self.machine.logits(self.network, image)
        loss = nats = cross_entropy(logits, target, self.weights)
        if self.config.dice:
            loss = nats + self.config.dice * (1 - soft_dice(logits, target))
        return loss, nats.detach()

    def _compiled(self) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return `_loss`, compiled where that pays and the compiler can, tried on one batch."""
        images = self.feed.batch * self.feed.steps * self.config.epochs
        forward = multiply_adds(self.model.eval(), self.augment.crop)
        if 3 * forward * images < COMPILE_FROM:
            return self._loss
        self.model.train()  # which the compiler makes another form of
        before = deepcopy(self.model.state_dict())
        loss = compiled(self._loss, *next(self.feed.epoch(0, 1)))
        self.model.load_state_dict(before)  # the trial moved the statistics of batch normalisation
        return loss

    def _validate(self) -> dict[str, float]:
        """Return loss and mIoU of the validation split."""
        share = slice(self.world.rank, None, self.world.size)
        confusions, losses, _ = evaluate(self.model, self.val, self.weights, self.machine, share)
        confusion = self.world.total(confusions.sum(0).to(self.machine.device))
        nats, weight = self.world.total(losses.sum(0).to(self.machine.device)).tolist()
        return {"val_loss": nats / weight, "val_miou": float(mean_iou(confusion))}

    def _tell(self, row: dict) -> None:
        """Say how the epoch went: in the bar of a terminal, elsewhere in a line."""
        losses = f"loss {row['train_loss']:.3f}, validation {row['val_loss']:.3f}"
        line = f"epoch {row['epoch']:3d}/{self.config.epochs}  {losses}  mIoU {row['val_miou']:.1%}"
        self.bar.set_postfix_str(line)
        if self.world.rank == 0 and self.bar.disable:
            print(f"{line}  {row['seconds']:.1f} s", flush=True)

    def _save(self) -> None:
        """Write the checkpoint, once an epoch is finished."""
        if self.world.rank == 0 and self.history:
            parts = {name: getattr(self, name).state_dict() for name in PARTS}
            write_state(self.folder / CHECKPOINT, parts | {
                "edition": edition_of(self.config.variant), "data": self.checksums,
                "config": json.dumps(asdict(self.config)), "history": self.history,
                "gradients": {"taken": self.gradients.taken}})

    def _resume(self) -> None:
        """Continue the checkpoint in the folder, if there is one that can be read."""
        try:
            state = read_state(self.folder / CHECKPOINT, self.machine.device)
        except FileNotFoundError:
            return
        except ValueError as error:
            print(f"{error}; going back to the beginning", flush=True)
            return
        require_same(state.get("edition", 1), json.loads(state["config"]), self.config, self.folder)
        if state["data"] != self.checksums:
            raise ValueError(f"{self.folder}: its training began on other images or labels; {ANEW}")
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.history = state["history"]
        self.gradients.taken = state["gradients"]["taken"]
        if self.world.rank == 0:
            print(f"continuing after epoch {len(self.history)} of {self.config.epochs}")


def fit(config: TrainConfig, out: str | Path, data_root: Root = None, load=load_splits) -> Run:
    """Train, test and record the configured network under `out`, or read the record that is there.

    load(config, data_root) returns the data set's splits by name. Continues an interrupted call.
    Raises ValueError for a record or checkpoint with other settings, of other data or another
    edition, BlockingIOError when another process trains it.
    """
    folder, world = run_folder(out, config.variant, config.seed), World.detect()
    if (folder / RECORD).exists():
        return _recorded(config, folder, data_root, world)
    splits = load(config, data_root)
    work = f"trains {config.variant} with seed {config.seed}"
    with locked(folder, work, PATIENCE) if world.rank == 0 else nullcontext():
        if world.size == 1 and (folder / RECORD).exists():  # by a process that was quicker
            return _recorded(config, folder, data_root, world)
        machine = Machine.detect()
        trainer = Trainer(config, folder, machine, splits["train"], splits["val"], world)
        trainer.run()
        if world.rank == 0:
            machine.choose_kernels(training=False)
            write_state(folder / WEIGHTS, trainer.model.state_dict())
            write_arrays(folder / "gradients.npz", **trainer.gradients.arrays())
            write_record(
                config, folder, machine, trainer.model, trainer.history, trainer.weights, splits)
            (folder / CHECKPOINT).unlink(missing_ok=True)
        if world.size > 1:
            dist.barrier()
    return Run.read(folder)


def _recorded(config: TrainConfig, folder: Path, data_root: Root, world: World) -> Run:
    """Return the run that is on record, after comparing it with what is asked for."""
    run = Run.read(folder)
    require_same(run.edition, run.config, config, folder)
    with suppress(FileNotFoundError):  # a record can be read without the data set
        splits = load_splits(config, data_root) if data_root else {}
        seen = run.record["dataset"]["checksums"]
        if other := [name for name, split in splits.items() if split.checksum != seen[name]]:
            where = f"{', '.join(other)} in {data_root} are not what it saw"
            raise ValueError(f"{folder}: holds a run on other data ({where}); {ANEW}")
    if world.rank == 0:
        (folder / CHECKPOINT).unlink(missing_ok=True)
        setting = f"{config.epochs} epochs on {run.record['device']}"
        print(f"recorded: {run.title}, seed {run.seed}, {setting}")
    return run


def train(settings: dict, out: Path) -> None:
    """Train every network with every seed, or what `variant` and `seed` choose.

    A GPU trains the seeds of a network in turn, which compile it once, a CPU seed by seed.
    """
    data_root, seeds, extra = (settings.pop(name) for name in ("data_root", "seeds", "extra"))
    seeds = [settings.pop("seed")] if "seed" in settings else seeds
    variants = [settings.pop("variant")] if "variant" in settings else [*VARIANTS, *extra]
    pairs = [(variant, seed) for variant in variants for seed in seeds]
    if not torch.cuda.is_available():
        pairs.sort(key=lambda pair: seeds.index(pair[1]))
    loaded = cache(lambda: load_splits(TrainConfig(**settings), data_root))
    for variant, seed in pairs:
        config = TrainConfig(variant=variant, seed=seed, **settings)
        fit(config, out, data_root, lambda *_: loaded())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status; a SIGTERM ends it after the epoch."""
    signal.signal(signal.SIGTERM, lambda number, frame: os.environ.update({UNTIL: "0"}))
    parser = argparse.ArgumentParser("python -m lib.train", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--profile", default="quick", metavar="NAME", help="a file of notebooks/profiles")
    add("--out", required=True, type=Path, metavar="DIR", help="where records go")
    add("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
        help="another value for a setting; variant and seed choose one network and one seed")
    options = parser.parse_args(arguments)
    try:
        overrides = {name: parse_value(value) for name, value in options.parameters}
        train(read_settings(options.profile, overrides), options.out.resolve())
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return STOPPED
    except (ValueError, TypeError, OSError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
