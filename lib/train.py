"""One training, from a configuration to a run record.

    python -m lib.train --profile camvid --out build/camvid                  every network, every seed
    torchrun --nproc-per-node 8 -m lib.train --profile camvid --out build/camvid -p variant unet -p seed 0

AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019) descends the
weighted cross-entropy, with soft Dice beside it where that is configured. The network after the
last epoch is the one that is tested: validation is a curve to look at and selects nothing.

The order and the augmentation of every epoch are drawn from (seed, epoch) alone and are the same
for all networks. Together with checkpoints this makes an interrupted training continue as if nothing
had happened. No step waits for the device: it is waited for once an epoch.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lib.config import TrainConfig, complete, parse_value, read_settings
from lib.data import SPLITS, Augment, Dataset, Feed, load_split
from lib.evaluation import WEIGHTS, GradientLog, evaluate, mean_loss, write_record
from lib.files import IGNORE, locked, read_state, write_arrays, write_state
from lib.machine import Machine, World, enough_memory
from lib.metrics import mean_iou
from lib.models import VARIANTS, build_model, multiply_adds
from lib.records import EDITION, RECORD, Run, run_folder

CHECKPOINT = "last.pt"  # the state after the last finished epoch, until the run is on record
ANY_EDITION = "SEGMENTATION_ANY_EDITION"  # set to anything: records of other editions are read too
UNTIL = "SEGMENTATION_UNTIL"  # seconds since 1970: no epoch is begun that would end later
STOPPED = 75  # exit status of a training that stopped at an epoch's end, to be continued
PATIENCE = 5  # seconds for a process that is being ended to let go of a run's folder
SAVING = 0.05  # share of the time that may go into checkpoints


# The loss.


def class_weights(dataset: Dataset, balance: float) -> Tensor:
    """Return the weight of each class in the loss, float32 (K,).

    Class k with a share p_k of the training pixels weighs 1 / ln(1 + balance + p_k) (Paszke et al.
    2016), or as much as any other where `balance` is 0; a pixel of the split weighs 1 on average.
    """
    pixels = dataset.pixels_per_class()
    share = torch.from_numpy(pixels / pixels.sum())
    weight = 1 / torch.log(1 + balance + share) if balance else torch.ones_like(share)
    return (weight / (weight * share).sum()).float()


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy of a batch in nats per pixel, ().

    logits float32 (B, K, H, W), target int64 (B, H, W), weights float32 (K,). Void counts nowhere: a
    batch of void alone has the loss 0.
    """
    nats = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none").sum()
    weight = F.pad(weights, (0, IGNORE + 1 - len(weights)))[target].sum()
    return nats / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return 2 |prediction and target| / (|prediction| + |target|), the mean over classes, ().

    Probabilities are partial members of the predicted set, and classes without a pixel in the batch
    are left out. The denominator is the plain sum; V-Net's (Milletari et al. 2016) has squares.
    """
    classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = target[:, None] == classes  # (B, K, H, W)
    probability = logits.softmax(1) * (target != IGNORE)[:, None]
    both = (probability * truth).sum((0, 2, 3))  # (K,)
    total = probability.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    present = truth.any(dim=3).any(dim=2).any(dim=0)
    return (present * 2 * both / total.clamp(min=1)).sum() / present.sum().clamp(min=1)


# The training.


class Trainer:
    """The state of one training: network, optimiser, schedule and history; continues a checkpoint."""

    def __init__(
        self, config: TrainConfig, folder: Path, machine: Machine, train: Dataset, val: Dataset,
        world: World = World(),
    ):
        self.config, self.folder = config, folder
        self.machine, self.world, self.val = machine, world, val
        machine.switch_on()

        # 1. Data: batches on the device, class weights, augmentation.
        self.feed = Feed(train, config.batch_size, machine, world)
        self.weights = class_weights(train, config.class_balance).to(machine.device)
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
            self.model.parameters(), weight_decay=config.weight_decay, fused=machine.fused)
        rise = 0.25 if steps == 5 else 0.2  # a fifth of five steps is one, and it divides by that less one
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=steps, pct_start=rise)

        # 4. What is recorded on the way, and where an interrupted training goes on.
        self.gradients = GradientLog(self.model, steps)
        self.history: list[dict] = []  # one row per epoch
        self.saved, self.saving = time.monotonic(), 0.0  # when the last checkpoint ended; its seconds
        self.loss = self._compiled()
        self._resume()

    def run(self) -> None:
        """Train all epochs that are left; raise TimeoutError, with a checkpoint, where time ends first."""
        seconds = 0.0  # of the epoch before, with its validation
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            self._require_time(seconds)
            start = time.monotonic()
            self.history.append(self._train_and_validate(epoch))
            seconds = time.monotonic() - start
            since = time.monotonic() - self.saved
            if SAVING * since >= self.saving or epoch == self.config.epochs:
                self._save()

    def _require_time(self, seconds: float) -> None:
        """Save and raise TimeoutError unless an epoch of that many seconds ends before `UNTIL`."""
        if time.time() + seconds > float(os.environ.get(UNTIL, "inf")):
            if self.history:
                self._save()
            raise TimeoutError(
                f"{self.folder}: stopped after epoch {len(self.history)} of {self.config.epochs}; "
                "the same command goes on from there")

    def _train_and_validate(self, epoch: int) -> dict:
        """Return the epoch's row of the history; see `lib.records.Run.history`."""
        config, start = self.config, time.perf_counter()
        smaller = f"try batch_size = {config.batch_size // 2}"
        if config.batch_size == 1:
            smaller = "set a smaller crop_size, image_size or base_channels"
        full = f"{self.folder}: no memory left with batch_size = {config.batch_size}; {smaller}"
        with enough_memory(full):
            loss = self._epoch(epoch)
        row = {
            "epoch": epoch, "train_loss": loss, "val_loss": None, "val_miou": None,
            "learning_rate": self.schedule.get_last_lr()[0], "seconds": time.perf_counter() - start,
        }
        if epoch % config.validate_every == 0 or epoch == config.epochs:
            row |= self._validate()
            if self.world.first:
                print(
                    f"epoch {epoch:3d}/{config.epochs}  loss {row['train_loss']:.3f}, "
                    f"validation {row['val_loss']:.3f}  mIoU {row['val_miou']:.1%}  "
                    f"{row['seconds']:.1f} s", flush=True)
        return row

    def _epoch(self, epoch: int) -> float:
        """Train on every batch once; return the mean cross-entropy in nats per pixel."""
        steps, first = self.feed.steps, (epoch - 1) * self.feed.steps
        losses = torch.zeros(steps, device=self.machine.device)  # read at the end of the epoch alone
        self.model.train()
        batches = self.feed.epoch(self.config.seed, epoch)
        for step, batch in enumerate(tqdm(batches, f"epoch {epoch}", steps, leave=False, disable=None)):
            loss, losses[step] = self.loss(*batch)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            with self.gradients.step(first + step):
                self.optimiser.step()
            self.schedule.step()
        losses = self.world.total(losses).cpu() / self.world.size
        self._require_finite(losses, epoch)
        return losses.double().mean().item()

    def _loss(self, images: Tensor, targets: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss to descend and its cross-entropy in nats per pixel, () both, of a batch of `Feed`."""
        image, target = self.augment.apply(images, targets, uniform)
        logits = self.machine.logits(self.network, image)
        loss = nats = cross_entropy(logits, target, self.weights)
        if self.config.dice:
            loss = nats + self.config.dice * (1 - soft_dice(logits, target))
        return loss, nats.detach()

    def _compiled(self) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return `_loss`, compiled where this training is long enough to win the compiler's minute back."""
        if not (self.machine.compiled and self.world.alone):
            return self._loss
        forward = multiply_adds(self.model.eval(), self.augment.crop)
        work = 3 * forward * self.feed.batch * self.feed.steps * self.config.epochs
        return self.machine.compiling(work).compile(self._loss)

    def _require_finite(self, losses: Tensor, epoch: int) -> None:
        """Raise FloatingPointError for the first loss of the epoch that is no number."""
        wrong = (~losses.isfinite()).nonzero().flatten().tolist()
        if wrong:
            raise FloatingPointError(
                f"{self.folder}: the training loss is {losses[wrong[0]]} in epoch {epoch}, step "
                f"{wrong[0] + 1} of {len(losses)}; lower learning_rate (now "
                f"{self.config.learning_rate}) and choose another `out` or delete that folder")

    def _validate(self) -> dict[str, float]:
        """Return loss and mIoU of the validation split."""
        share = slice(self.world.rank, None, self.world.size)
        confusions, losses, _ = evaluate(self.model, self.val, self.weights, self.machine, share)
        confusion = self.world.total(confusions.sum(0).to(self.machine.device))
        losses = self.world.total(losses.sum(0, keepdim=True).to(self.machine.device))
        return {"val_loss": mean_loss(losses), "val_miou": float(mean_iou(confusion))}

    def _save(self) -> None:
        """Write the checkpoint."""
        start = time.monotonic()
        if self.world.first:
            write_state(self.folder / CHECKPOINT, {
                "edition": EDITION, "config": json.dumps(asdict(self.config)), "data": self.checksums,
                "history": self.history, "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict(),
                "gradients": self.gradients.state_dict(),
            })
        self.saved = time.monotonic()
        self.saving = self.saved - start

    def _resume(self) -> None:
        """Continue the checkpoint in the folder, if there is one that can be read."""
        try:
            state = read_state(self.folder / CHECKPOINT, self.machine.device)
        except FileNotFoundError:
            return
        except ValueError as error:
            print(f"{error}; going back to the beginning", flush=True)
            return
        require_edition(state.get("edition", 1), self.folder)
        require_settings(json.loads(state["config"]), self.config, self.folder)
        if state.get("data") != self.checksums:
            raise ValueError(
                f"{self.folder}: its training began on other images or labels; choose another `out`, "
                "or delete that folder to train anew")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.gradients.load_state_dict(state["gradients"])
        self.history = state["history"]
        if self.world.first:
            print(f"continuing after epoch {len(self.history)} of {self.config.epochs}")


# The run, on record.


def fit(config: TrainConfig, out: str | Path, data_root: str | Path | None = None) -> Run:
    """Train, test and record the configured network under `out`, or read the record that is there.

    Continues where an earlier call was interrupted. Under `torchrun` its processes train together.
    Raises ValueError when `out` holds a run with other settings, on other data or of another edition
    of the training, BlockingIOError when another process trains it, FloatingPointError when the loss
    is no longer finite, MemoryError with the batch size to try.
    """
    folder, world = run_folder(out, config.variant, config.seed), World.detect()
    if not (folder / RECORD).exists():
        splits = {split: load_split(config, split, data_root) for split in SPLITS}
        work = f"trains {config.variant} with seed {config.seed}"
        with locked(folder, work, PATIENCE) if world.first else nullcontext():
            recorded = world.alone and (folder / RECORD).exists()  # by a process that was quicker
            if not recorded:
                return _train(config, folder, splits, world)
    run = Run.read(folder)
    require_edition(run.edition, folder)
    require_settings(run.config, config, folder)
    if data_root:
        _require_data(run, config, data_root)
    if world.first:
        (folder / CHECKPOINT).unlink(missing_ok=True)
        device = run.record["device"]
        print(f"recorded: {run.title}, seed {run.seed}, {config.epochs} epochs on {device}")
    return run


def _train(config: TrainConfig, folder: Path, splits: dict[str, Dataset], world: World) -> Run:
    machine = Machine.detect()
    machine.forget_peak_memory()
    trainer = Trainer(config, folder, machine, splits["train"], splits["val"], world)
    trainer.run()
    if world.first:
        write_state(folder / WEIGHTS, trainer.model.state_dict())
        write_arrays(folder / "gradients.npz", **trainer.gradients.arrays())
        write_record(config, folder, machine, trainer.history, trainer.weights, splits)
        (folder / CHECKPOINT).unlink(missing_ok=True)
    world.wait()
    return Run.read(folder)


def require_edition(edition: int, folder: Path) -> None:
    """Raise ValueError for another edition of the training, unless documents alone are made anew."""
    if edition != EDITION and not os.environ.get(ANY_EDITION):
        raise ValueError(
            f"{folder}: begun by edition {edition} of the training, and this is edition {EDITION}, "
            "which gives other results; choose another `out`, or delete that folder to train anew")


def require_settings(recorded: dict, config: TrainConfig, folder: Path) -> None:
    """Raise ValueError unless the recorded settings are those of `config`."""
    wanted = json.loads(json.dumps(asdict(config)))
    recorded = json.loads(json.dumps(complete(recorded)))
    different = [
        f"{name} = {recorded.get(name)} there, {value} now"
        for name, value in wanted.items() if recorded.get(name) != value
    ]
    if different:
        raise ValueError(
            f"{folder}: holds a run with other settings ({'; '.join(different)}); "
            "choose another `out`, or delete that folder to train anew")


def _require_data(run: Run, config: TrainConfig, data_root: str | Path) -> None:
    """Raise ValueError when the named data set is there and is not the one of the run."""
    try:
        present = {split: load_split(config, split, data_root).checksum for split in SPLITS}
    except FileNotFoundError:  # a record can be read without the data set
        return
    recorded = run.record["dataset"]["checksums"]
    other = [name for name, checksum in present.items() if checksum != recorded[name]]
    if other:
        raise ValueError(
            f"{run.folder}: holds a run on other data ({', '.join(other)} in {data_root} are not what "
            "it saw); choose another `out`, or delete that folder to train anew")


# The command.


def parser(program: str, text: str) -> argparse.ArgumentParser:
    """Return the options that all commands that train have in common."""
    options = argparse.ArgumentParser(prog=f"python -m {program}", description=text.splitlines()[0])
    options.add_argument("--profile", default="quick", metavar="NAME",
                         help="a file of notebooks/profiles")
    options.add_argument("--out", required=True, type=Path, metavar="DIR", help="where records go")
    options.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
        help="another value for a setting; variant and seed choose one network and one seed")
    return options


def command(work: Callable[[dict, Path], object], options: argparse.Namespace) -> int:
    """Do the work with settings and folder and return the exit status.

    That is 0, 1 after one line that says what failed, or `STOPPED` where time ended after an epoch.
    """
    try:
        overrides = {name: parse_value(value) for name, value in options.parameters}
        work(read_settings(options.profile, overrides), options.out.resolve())
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return STOPPED
    except (ValueError, TypeError, OSError, ArithmeticError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        World.leave()
    return 0


def train(settings: dict, out: Path) -> None:
    """Train every network with every seed, unless `variant` or `seed` chooses one."""
    data_root, seeds, extra = (settings.pop(name) for name in ("data_root", "seeds", "extra"))
    seeds = [settings.pop("seed")] if "seed" in settings else seeds
    variants = [settings.pop("variant")] if "variant" in settings else [*VARIANTS, *extra]
    for seed in seeds:
        for variant in variants:
            fit(TrainConfig(variant=variant, seed=seed, **settings), out, data_root)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status; a SIGTERM ends it after the epoch."""
    signal.signal(signal.SIGTERM, lambda number, frame: os.environ.update({UNTIL: "0"}))
    return command(train, parser("lib.train", __doc__).parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
