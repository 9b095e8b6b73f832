"""One training loop for all networks, from a configuration to a run record.

AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019), cross-entropy without void. The
network after the last epoch is the one that is tested: validation is a curve to look at and selects nothing. `lib.machine` chooses the form in which that runs, and `lib.recipe` has
what a configuration may add to it.

Every epoch's order and augmentation are drawn from (seed, epoch) alone (`lib.feed`) and are the same for all networks;
together with a checkpoint now and then this makes an interrupted run continue as if nothing had happened. In the step
nothing waits for the device; it is waited for once an epoch.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lib.checkpoint import remove, restore, save, write_state
from lib.config import TrainConfig, complete
from lib.data import SPLITS, Augment, Dataset
from lib.distributed import World
from lib.evaluation import WEIGHTS, evaluate, mean_loss, write_record
from lib.feed import Feed
from lib.files import held, write_arrays
from lib.gradients import GradientLog
from lib.machine import Machine, enough_memory
from lib.metrics import mean_iou
from lib.models import build_model, multiply_adds
from lib.recipe import class_weights, cross_entropy, soft_dice
from lib.runs import EDITION, RECORD, Run, run_folder

ANY_EDITION = "SEGMENTATION_ANY_EDITION"  # set to anything: read records of other editions too, to render them
PATIENCE = 5  # seconds for a process that is being ended to let go of a run's folder
SAVING = 0.05  # share of the time that may go into checkpoints: at least every epoch that takes 20 times as long


def fit(config: TrainConfig, out: str | Path, data_root: str | Path | None = None) -> Run:
    """Trains, tests and records the configured network under `out`, or reads the record when it is there.

    Continues where it was after an interruption. Under `torchrun` its processes train together. Raises ValueError when
    `out` holds a run with other settings, on other data or of another edition of the training, BlockingIOError when another process trains it,
    FloatingPointError when the loss is no longer finite, MemoryError with the batch size to try.
    """
    folder, world = run_folder(out, config.variant, config.seed), World.here()
    if not (folder / RECORD).exists():
        splits = {split: config.load(split, data_root) for split in SPLITS}
        work = f"trains {config.variant} with seed {config.seed}"
        with held(folder, work, PATIENCE) if world.first else nullcontext():
            if not (world.alone and (folder / RECORD).exists()):  # which another process may just have written
                return _train(config, folder, splits, world)
    run = Run.read(folder)
    _same_edition(run.edition, folder)
    _same_settings(run.config, config, folder)
    _same_data(run, config, data_root)
    if world.first:
        remove(folder)
        print(f"recorded: {run.title}, seed {run.seed}, {config.epochs} epochs on {run.record['device']}")
    return run


def _train(config: TrainConfig, folder: Path, splits: dict[str, Dataset], world: World) -> Run:
    machine = Machine.here()
    if machine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # of an earlier training of this process
    trainer = Trainer(config, folder, machine, splits["train"], splits["val"], world)
    trainer.run()
    if world.first:
        write_state(folder / WEIGHTS, trainer.model.state_dict())
        write_arrays(folder / "gradients.npz", **trainer.gradients.arrays())
        write_record(config, folder, machine, trainer.history, trainer.weights, splits)
        remove(folder)
    world.wait()
    return Run.read(folder)


def _same_edition(found: int, folder: Path) -> None:
    """Raises ValueError for what another edition of the training left, unless documents alone are made anew."""
    if found != EDITION and not os.environ.get(ANY_EDITION):
        raise ValueError(f"{folder}: begun by edition {found} of the training, and this is edition {EDITION}, which gives "
                         "other results; choose another `out`, or delete that folder to train anew")


def _same_settings(found: dict, config: TrainConfig, folder: Path) -> None:
    """ValueError unless equal."""
    wanted, found = (json.loads(json.dumps(settings)) for settings in (asdict(config), complete(found)))
    if different := [f"{name} = {found.get(name)} there, {wanted[name]} now" for name in wanted
                     if found.get(name) != wanted[name]]:
        raise ValueError(f"{folder}: holds a run with other settings ({'; '.join(different)}); "
                         "choose another `out`, or delete that folder to train anew")


def _same_data(run: Run, config: TrainConfig, data_root: str | Path | None) -> None:
    """Where the data set is named and there, it has to be the one that the run saw."""
    try:
        found = {split: config.load(split, data_root).checksum for split in SPLITS} if data_root else {}
    except FileNotFoundError:  # a record can be read without the data set
        return
    if other := [split for split, checksum in found.items() if checksum != run.record["dataset"]["checksums"][split]]:
        raise ValueError(f"{run.folder}: holds a run on other data ({', '.join(other)} in {data_root} are not what it "
                         "saw); choose another `out`, or delete that folder to train anew")


class Trainer:
    """The state of one training run: network, optimiser, schedule, history."""

    def __init__(self, config: TrainConfig, folder: Path, machine: Machine, train: Dataset, val: Dataset,
                 world: World = World()):
        self.config, self.folder, self.machine, self.val, self.world = config, folder, machine, val, world
        machine.switch_on()
        torch.manual_seed(config.seed)
        model = build_model(config.variant, num_classes=len(train.classes), base_channels=config.base_channels)
        self.model = machine.place(model)
        self.network = world.join(self.model, machine.device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=config.weight_decay,
                                           fused=machine.fused)
        self.feed = Feed(train, config.batch_size, machine, world)
        self.steps, self.data = self.feed.steps, [train.checksum, val.checksum]
        total = config.epochs * self.steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=total,
            pct_start=0.25 if total == 5 else 0.2,  # a fifth of five steps is one too few for it: it divides by zero
        )
        self.weights = class_weights(train, config.class_balance).to(machine.device)
        self.augment = Augment(config.crop_size or tuple(train.targets.shape[1:]), config.scale)
        self.loss = self._compiled()
        self.gradients = GradientLog(self.model, total)
        self.history = []  # a row an epoch
        self.saved, self.saving = time.monotonic(), 0.0  # when the last checkpoint was finished, and how long it took
        self._resume()

    def _compiled(self) -> Callable[..., tuple[Tensor, Tensor]]:
        """`_loss`, compiled where this training is long enough; processes that train together do without."""
        if not (self.machine.compiled and self.world.alone):
            return self._loss
        work = 3 * multiply_adds(self.model.eval(), self.augment.crop) * self.steps * self.feed.batch
        return self.machine.compiling(work * self.config.epochs).compile(self._loss)

    def _loss(self, images: Tensor, targets: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Of a batch of `Feed`: the loss to descend, and its cross-entropy in nats per pixel to record, () both."""
        image, target = self.augment.apply(images, targets, drawn)
        logits = self.machine.logits(self.network, image)
        nats, dice = cross_entropy(logits, target, self.weights, self.world), self.config.dice
        return nats + dice * (1 - soft_dice(logits, target, self.world)) if dice else nats, nats.detach()

    def run(self) -> None:
        """All epochs that are left."""
        config = self.config
        advice = (f"try batch_size = {config.batch_size // 2}" if config.batch_size > 1 else
                  "set a smaller crop_size, image_size or base_channels")
        for epoch in range(len(self.history) + 1, config.epochs + 1):
            start = time.perf_counter()
            with enough_memory(f"{self.folder}: no memory left with batch_size = {config.batch_size}; {advice}"):
                loss = self._epoch(epoch)
            row = {"epoch": epoch, "train_loss": loss, "val_loss": None, "val_miou": None,
                   "learning_rate": self.schedule.get_last_lr()[0]}
            row["seconds"] = time.perf_counter() - start
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                row |= self._validate()
                if self.world.first:
                    print(f"epoch {epoch:3d}/{config.epochs}  loss {row['train_loss']:.3f}, validation "
                          f"{row['val_loss']:.3f}  mIoU {row['val_miou']:.1%}  {row['seconds']:.1f} s", flush=True)
            self.history.append(row)
            if SAVING * (time.monotonic() - self.saved) >= self.saving or epoch == config.epochs:
                self._save()

    def _validate(self) -> dict[str, float]:
        share = slice(self.world.rank, None, self.world.size)
        confusions, losses, _ = evaluate(self.model, self.val, self.weights, self.machine, share)
        confusion = self.world.total(confusions.sum(0).to(self.machine.device))
        losses = self.world.total(losses.sum(0, keepdim=True).to(self.machine.device))
        return {"val_loss": mean_loss(losses), "val_miou": float(mean_iou(confusion))}

    def _epoch(self, epoch: int) -> float:
        """One pass over the training split; the mean cross-entropy in nats per pixel."""
        losses = torch.zeros(self.steps, device=self.machine.device)  # read once: no step waits for the device
        self.model.train()
        batches = self.feed.epoch(self.config.seed, epoch)
        for step, batch in enumerate(tqdm(batches, f"epoch {epoch}", self.steps, leave=False, disable=None)):
            loss, losses[step] = self.loss(*batch)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            with self.gradients.step((epoch - 1) * self.steps + step):
                self.optimiser.step()
            self.schedule.step()
        losses = losses.cpu()
        for step in (~losses.isfinite()).nonzero()[:1].flatten().tolist():
            raise FloatingPointError(
                f"{self.folder}: the training loss is {losses[step]} in epoch {epoch}, step {step + 1} of {self.steps};"
                f" lower learning_rate (now {self.config.learning_rate}) and choose another `out` or delete that folder")
        return losses.double().mean().item()

    def _state(self) -> dict:
        return {"edition": EDITION, "config": json.dumps(asdict(self.config)), "history": self.history,
                "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(), "gradients": self.gradients.state_dict(), "data": self.data}

    def _save(self) -> None:
        start = time.monotonic()
        if self.world.first:
            save(self.folder, self._state())
        self.saved = time.monotonic()
        self.saving = self.saved - start

    def _resume(self) -> None:
        state = restore(self.folder, self.machine.device)
        if not state:
            return
        _same_edition(state.get("edition", 1), self.folder)
        _same_settings(json.loads(state["config"]), self.config, self.folder)
        if state.get("data") != self.data:
            raise ValueError(f"{self.folder}: its training began on other images or labels; choose another `out`, or "
                             "delete that folder to train anew")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.gradients.load_state_dict(state["gradients"])
        self.history = state["history"]
        if self.world.first:
            print(f"continuing after epoch {len(self.history)} of {self.config.epochs}")
