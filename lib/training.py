"""One training loop for all networks, from a configuration to a run record.

AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019), cross-entropy without void, the
epoch with the best validation mIoU tested once. Precision and memory format are chosen by what the machine has:
bfloat16 where it has units for it (tensor cores; AMX), float32 elsewhere; the loss is always float32.

Every epoch's order and augmentation are drawn from (seed, epoch) alone and are the same for all networks; together
with the checkpoint after every epoch this makes an interrupted run continue as if nothing had happened.
"""

import io
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lib.data import Augment, Dataset, load_dataset
from lib.evaluation import BEST, evaluate, loss_of, write_record
from lib.gradients import GradientLog
from lib.machine import Machine
from lib.metrics import mean_iou
from lib.models import build_model
from lib.runs import RECORD, Run, run_folder, write_arrays, write_atomically

CHECKPOINT = "last.pt"


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a run, and nothing else.

    `image_size` and `crop_size` are (H, W): what images are brought to (None: the files' own size), and what a
    training sample shows (None: all of it). `train_images`, ... limit the splits (None: all).
    `class_balance` b weighs class k by 1 / ln(1 + b + p_k), p_k its share of the training pixels (Paszke et al.
    2016 use b = 0.02), and 0 weighs all alike.
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

    def __post_init__(self):
        for name in ("base_channels", "epochs", "batch_size", "validate_every", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected a number above 0")
        for name in ("image_size", "crop_size"):  # a list when it comes from YAML or JSON
            object.__setattr__(self, name, tuple(getattr(self, name)) if getattr(self, name) else None)

    def load(self, split: str, data_root: str | Path | None = None) -> Dataset:
        """That split of the configured data set."""
        return load_dataset(self.dataset, data_root, split, self.image_size, getattr(self, f"{split}_images"))


def class_weights(dataset: Dataset, balance: float) -> Tensor:
    """float32 (K,): see `TrainConfig`; scaled so that a pixel of the split weighs 1 on average."""
    share = torch.from_numpy(dataset.pixels_per_class() / dataset.pixels_per_class().sum())
    weight = 1 / torch.log(1 + balance + share) if balance else torch.ones_like(share)
    return (weight / (weight * share).sum()).float()


def fit(config: TrainConfig, out: str | Path, data_root: str | Path | None = None) -> Run:
    """Trains, tests and records the configured network under `out`, or reads the record when it is there.

    Continues from the last finished epoch after an interruption. Raises ValueError when `out` holds a run with
    other settings, FloatingPointError when the loss is no longer finite.
    """
    folder = run_folder(out, config.variant, config.seed)
    if (folder / RECORD).exists():
        run = Run.read(folder)
        _same_settings(run.config, config, folder)
        print(f"recorded: {run.title}, seed {run.seed}, {config.epochs} epochs on {run.record['device']}")
        return run
    train, val, test = (config.load(split, data_root) for split in ("train", "val", "test"))
    machine = Machine.here()
    trainer = Trainer(config, folder, machine, train, val)
    trainer.run()
    write_arrays(folder / "gradients.npz", **trainer.gradients.arrays())
    splits = {"train": train, "val": val, "test": test}
    write_record(config, folder, machine, trainer.history, trainer.weights, splits)
    (folder / CHECKPOINT).unlink()
    return Run.read(folder)


def _same_settings(found: dict, config: TrainConfig, folder: Path) -> None:
    wanted = json.loads(json.dumps(asdict(config)))
    if different := [f"{name} = {found.get(name)} there, {wanted[name]} now" for name in wanted
                     if found.get(name) != wanted[name]]:
        raise ValueError(f"{folder}: holds a run with other settings ({'; '.join(different)}); "
                         "choose another `out`, or delete that folder to train anew")


class Trainer:
    """The state of one training run: network, optimiser, schedule, history, and the best epoch so far."""

    def __init__(self, config: TrainConfig, folder: Path, machine: Machine, train: Dataset, val: Dataset):
        self.config, self.folder, self.machine, self.train, self.val = config, folder, machine, train, val
        torch.manual_seed(config.seed)
        model = build_model(config.variant, num_classes=len(train.classes), base_channels=config.base_channels)
        self.model = model.to(machine.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay, fused=True)
        self.steps = max(1, len(train) // config.batch_size)  # the last, partial batch is dropped
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.epochs * self.steps, pct_start=0.2
        )
        self.weights = class_weights(train, config.class_balance).to(machine.device)
        self.augment = Augment(config.crop_size or tuple(train.targets.shape[1:]))
        self.gradients = GradientLog(model, config.epochs * self.steps)
        self.history: list[dict] = []
        self._resume()

    def run(self) -> None:
        """All epochs that are left."""
        config = self.config
        for epoch in range(len(self.history) + 1, config.epochs + 1):
            start = time.perf_counter()
            row = {"epoch": epoch, "train_loss": self._epoch(epoch), "val_loss": None, "val_miou": None,
                   "learning_rate": self.schedule.get_last_lr()[0]}
            row["seconds"] = time.perf_counter() - start
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                confusions, row["val_loss"], _ = evaluate(self.model, self.val, self.weights, self.machine)
                row["val_miou"] = float(mean_iou(confusions.sum(0)))
                if row["val_miou"] >= self.best_miou:
                    self._save(BEST, self.model.state_dict())
                print(f"epoch {epoch:3d}/{config.epochs}  loss {row['train_loss']:.3f}, validation "
                      f"{row['val_loss']:.3f}  mIoU {row['val_miou']:.1%}  {row['seconds']:.0f} s", flush=True)
            self.history.append(row)
            self._save(CHECKPOINT, self._state())

    @property
    def best_miou(self) -> float:
        return max((row["val_miou"] for row in self.history if row["val_miou"] is not None), default=-1.0)

    def _epoch(self, epoch: int) -> float:
        """One pass over the training split; the mean loss in nats per pixel."""
        device, batch_size = self.machine.device, self.config.batch_size
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.train), generator=generator)
        total = torch.zeros((), device=device)
        self.model.train()
        for step in tqdm(range(self.steps), f"epoch {epoch}", leave=False, disable=None):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            image, target = self.augment(
                self.train.images[chosen].to(device), self.train.targets[chosen].to(device), generator
            )
            loss = loss_of(self.machine.logits(self.model, image), target, self.weights)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            with self.gradients.step((epoch - 1) * self.steps + step):
                self.optimiser.step()
            self.schedule.step()
            total += loss.detach()
        mean = total.item() / self.steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"{self.folder}: the training loss is {mean} in epoch {epoch}; "
                                     f"lower learning_rate (now {self.config.learning_rate}) and run again")
        return mean

    def _state(self) -> dict:
        return {"config": json.dumps(asdict(self.config)), "history": self.history, "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict(),
                "gradients": self.gradients.state_dict()}

    def _save(self, name: str, state: dict) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.folder / name, buffer.getvalue())

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
        self.history = state["history"]
        print(f"continuing after epoch {len(self.history)} of {self.config.epochs}")
