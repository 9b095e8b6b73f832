"""One training loop for all networks, from a configuration to a run record.

AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019), cross-entropy without void, the
epoch with the best validation mIoU tested once. `lib.machine` chooses the form in which that runs, and `lib.recipe` has
what a configuration may add to it.

Every epoch's order and augmentation are drawn from (seed, epoch) alone (`lib.feed`) and are the same for all networks;
together with a checkpoint now and then this makes an interrupted run continue as if nothing had happened. In the step
nothing waits for the device; it is waited for once an epoch.
"""

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lib.data import Augment, Dataset, load_dataset
from lib.distributed import World
from lib.evaluation import BEST, evaluate, write_record
from lib.feed import Feed
from lib.gradients import GradientLog
from lib.machine import Machine
from lib.metrics import mean_iou
from lib.models import UNet, build_model
from lib.recipe import Average, class_weights, objective
from lib.runs import RECORD, Run, run_folder, write_arrays, write_atomically
from lib.theory import multiply_adds

CHECKPOINT = "last.pt"
SAVE_EVERY = 60  # seconds of work that an interruption may cost


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a run, and nothing else.

    `image_size` and `crop_size` are (H, W): what images are brought to (None: the files' own size), and what a
    training sample shows (None: all of it). `train_images`, ... limit the splits (None: all).
    `class_balance` b weighs class k by 1 / ln(1 + b + p_k), p_k its share of the training pixels (Paszke et al.
    2016 use b = 0.02), and 0 weighs all alike. The last four are ingredients of the recipe, left out by default:
    `scale` bounds the zoom of a training sample, `dice` weighs a soft Dice loss beside the cross-entropy, `ema` is the
    decay of an average of the weights that is tested in their place, `flip_test` tests on mirrored images too.
    """

    variant: str
    seed: int
    dataset: str
    image_size: tuple[int, int] | None
    crop_size: tuple[int, int] | None
    train_images: int | None
    val_images: int | None
    test_images: int | None
    base_channels: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    class_balance: float
    validate_every: int
    scale: tuple[float, float] = Augment.scale
    dice: float = 0.0
    ema: float = 0.0
    flip_test: bool = False

    def __post_init__(self):
        for name in ("base_channels", "epochs", "batch_size", "validate_every", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected a number above 0")
        for name in ("image_size", "crop_size"):  # a list when it comes from YAML or JSON
            object.__setattr__(self, name, tuple(getattr(self, name)) if getattr(self, name) else None)
        object.__setattr__(self, "scale", tuple(map(float, self.scale)))
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]):
            raise ValueError(f"scale = {list(self.scale)}: expected two numbers above 0, the smaller first")
        if not (self.dice >= 0 and 0 <= self.ema < 1):
            raise ValueError(f"dice = {self.dice}, ema = {self.ema}: expected dice from 0 and ema from 0 to below 1")

    def load(self, split: str, data_root: str | Path | None = None) -> Dataset:
        """That split of the configured data set."""
        return load_dataset(self.dataset, data_root, split, self.image_size, getattr(self, f"{split}_images"))


def fit(config: TrainConfig, out: str | Path, data_root: str | Path | None = None) -> Run:
    """Trains, tests and records the configured network under `out`, or reads the record when it is there.

    Continues where it was after an interruption. Under `torchrun` its processes train together. Raises ValueError when
    `out` holds a run with other settings, FloatingPointError when the loss is no longer finite.
    """
    folder, world = run_folder(out, config.variant, config.seed), World.here()
    if (folder / RECORD).exists():
        run = Run.read(folder)
        _same_settings(run.config, config, folder)
        if world.first:
            print(f"recorded: {run.title}, seed {run.seed}, {config.epochs} epochs on {run.record['device']}")
        return run
    train, val, test = (config.load(split, data_root) for split in ("train", "val", "test"))
    trainer = Trainer(config, folder, Machine.here(), train, val, world)
    trainer.run()
    if world.first:
        write_arrays(folder / "gradients.npz", **trainer.gradients.arrays())
        splits = {"train": train, "val": val, "test": test}
        write_record(config, folder, trainer.machine, trainer.history, trainer.weights, splits)
        (folder / CHECKPOINT).unlink()
    world.wait()
    return Run.read(folder)


def _same_settings(found: dict, config: TrainConfig, folder: Path) -> None:
    """ValueError unless equal; what a record does not name had its default, which means "as before"."""
    wanted = json.loads(json.dumps(asdict(config)))
    defaults = {f.name: f.default for f in fields(config) if f.default is not MISSING}
    found = json.loads(json.dumps(defaults)) | found
    if different := [f"{name} = {found.get(name)} there, {wanted[name]} now" for name in wanted
                     if found.get(name) != wanted[name]]:
        raise ValueError(f"{folder}: holds a run with other settings ({'; '.join(different)}); "
                         "choose another `out`, or delete that folder to train anew")


class Trainer:
    """The state of one training run: network, optimiser, schedule, history, and the best epoch so far."""

    def __init__(self, config: TrainConfig, folder: Path, machine: Machine, train: Dataset, val: Dataset,
                 world: World = World()):
        self.config, self.folder, self.machine, self.val, self.world = config, folder, machine, val, world
        machine.switch_on()
        torch.manual_seed(config.seed)
        model = build_model(config.variant, num_classes=len(train.classes), base_channels=config.base_channels)
        self.model = model.to(machine.device, memory_format=machine.memory_format)
        self.average = Average(self.model, config.ema) if config.ema else None
        self.network = world.join(self.model, machine.device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=config.weight_decay,
                                           fused=machine.fused)
        self.feed = Feed(train, config.batch_size, machine, world)
        self.steps = self.feed.steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.epochs * self.steps, pct_start=0.2
        )
        self.weights = class_weights(train, config.class_balance).to(machine.device)
        self.augment = Augment(config.crop_size or tuple(train.targets.shape[1:]), config.scale)
        self.loss = self._compiled()
        self.gradients = GradientLog(self.model, config.epochs * self.steps)
        self.history, self.best = [], {}  # rows of epochs; the weights of the best of them
        self.saved = time.monotonic()
        self._resume()

    def _compiled(self) -> Callable[..., Tensor]:
        """`_loss`, compiled where this training is long enough; processes that train together do without."""
        if not (self.machine.compiled and self.world.alone):
            return self._loss
        work = 3 * multiply_adds(self.model.eval(), self.augment.crop) * self.steps * self.feed.batch
        return self.machine.compiling(work * self.config.epochs).compile(self._loss)

    def _loss(self, images: Tensor, targets: Tensor, drawn: Tensor) -> Tensor:
        """Of a batch of `Feed`: augmentation, forward pass and loss, ()."""
        image, target = self.augment.apply(images, targets, drawn)
        logits = self.machine.logits(self.network, image)
        return objective(logits, target, self.weights, self.config.dice, self.world)

    @property
    def tested(self) -> UNet:
        """The network as it is validated and tested."""
        return self.average.model if self.average else self.model

    def run(self) -> None:
        """All epochs that are left; then the best weights are on disk."""
        config = self.config
        for epoch in range(len(self.history) + 1, config.epochs + 1):
            start = time.perf_counter()
            row = {"epoch": epoch, "train_loss": self._epoch(epoch), "val_loss": None, "val_miou": None,
                   "learning_rate": self.schedule.get_last_lr()[0]}
            row["seconds"] = time.perf_counter() - start
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                row |= self._validate()
                if row["val_miou"] >= self.best_miou:
                    self.best = {name: value.clone() for name, value in self.tested.state_dict().items()}
                if self.world.first:
                    print(f"epoch {epoch:3d}/{config.epochs}  loss {row['train_loss']:.3f}, validation "
                          f"{row['val_loss']:.3f}  mIoU {row['val_miou']:.1%}  {row['seconds']:.1f} s", flush=True)
            self.history.append(row)
            if time.monotonic() - self.saved >= SAVE_EVERY or epoch == config.epochs:
                self._save(CHECKPOINT, self._state())
        self._save(BEST, self.best)

    @property
    def best_miou(self) -> float:
        return max((row["val_miou"] for row in self.history if row["val_miou"] is not None), default=-1.0)

    def _validate(self) -> dict[str, float]:
        share = slice(self.world.rank, None, self.world.size)
        confusions, loss, _ = evaluate(self.tested, self.val, self.weights, self.machine, self.config.flip_test, share)
        confusion = confusions.sum(0).to(self.machine.device)
        weight = (confusion.sum(1) * self.weights.double()).sum()
        nats, weight = self.world.total(torch.stack([torch.nan_to_num(loss * weight), weight]))
        return {"val_loss": (nats / weight).item(), "val_miou": float(mean_iou(self.world.total(confusion)))}

    def _epoch(self, epoch: int) -> float:
        """One pass over the training split; the mean loss in nats per pixel."""
        total = torch.zeros((), device=self.machine.device)
        self.model.train()
        batches = self.feed.epoch(self.config.seed, epoch)
        for step, batch in enumerate(tqdm(batches, f"epoch {epoch}", self.steps, leave=False, disable=None)):
            loss = self.loss(*batch)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            with self.gradients.step((epoch - 1) * self.steps + step):
                self.optimiser.step()
            self.schedule.step()
            if self.average:
                self.average.update()
            total += loss.detach()
        mean = total.item() / self.steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"{self.folder}: the training loss is {mean} in epoch {epoch}; "
                                     f"lower learning_rate (now {self.config.learning_rate}) and run again")
        return mean

    def _state(self) -> dict:
        return {"config": json.dumps(asdict(self.config)), "history": self.history, "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict(),
                "gradients": self.gradients.state_dict(), "best": self.best,
                "average": self.average.state_dict() if self.average else None}

    def _save(self, name: str, state: dict) -> None:
        if self.world.first:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            write_atomically(self.folder / name, buffer.getvalue())
        self.saved = time.monotonic()

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, map_location=self.machine.device, weights_only=True)
        _same_settings(json.loads(state["config"]), self.config, self.folder)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.gradients.load_state_dict(state["gradients"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.best, self.history = state["best"], state["history"]
        if self.world.first:
            print(f"continuing after epoch {len(self.history)} of {self.config.epochs}")
