"""One training loop for all networks, from a configuration to a run record.

AdamW (Loshchilov and Hutter 2019) under a one-cycle schedule (Smith and Topin 2019), cross-entropy without void, the
epoch with the best validation mIoU tested once. Precision and memory format are chosen by what the machine has:
bfloat16 where it has units for it (tensor cores; AMX), float32 elsewhere; the loss is always float32.

Every epoch's order and augmentation are drawn from (seed, epoch) alone and are the same for all networks; together
with the checkpoint after every epoch this makes an interrupted run continue as if nothing had happened.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from lib.checkpoint import remove, restore, save, write_state
from lib.data import SPLITS, Augment, Dataset, as_size, load_dataset
from lib.evaluation import BEST, evaluate, loss_of, write_record
from lib.files import held
from lib.gradients import GradientLog
from lib.machine import Machine, enough_memory
from lib.metrics import mean_iou
from lib.models import build_model
from lib.runs import RECORD, Run, run_folder, write_arrays

PATIENCE = 5  # seconds for a process that is being ended to let go of a run's folder


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
        for name in ("weight_decay", "class_balance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected 0 or more")
        for name in ("image_size", "crop_size"):  # a list when it comes from YAML or JSON
            object.__setattr__(self, name, as_size(getattr(self, name), name))

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
    other settings or on other data, BlockingIOError when another process trains it, FloatingPointError when the loss
    is no longer finite, MemoryError with the batch size to try.
    """
    folder = run_folder(out, config.variant, config.seed)
    if not (folder / RECORD).exists():
        splits = {split: config.load(split, data_root) for split in SPLITS}
        with held(folder, f"trains {config.variant} with seed {config.seed}", PATIENCE):
            if not (folder / RECORD).exists():  # which another process may just have written
                return _train(config, folder, splits)
    run = Run.read(folder)
    _same_settings(run.config, config, folder)
    _same_data(run, config, data_root)
    remove(folder)
    print(f"recorded: {run.title}, seed {run.seed}, {config.epochs} epochs on {run.record['device']}")
    return run


def _train(config: TrainConfig, folder: Path, splits: dict[str, Dataset]) -> Run:
    machine = Machine.here()
    trainer = Trainer(config, folder, machine, splits["train"], splits["val"])
    trainer.run()
    write_state(folder / BEST, trainer.best)
    write_arrays(folder / "gradients.npz", **trainer.gradients.arrays())
    write_record(config, folder, machine, trainer.history, trainer.weights, splits)
    remove(folder)
    return Run.read(folder)


def _same_settings(found: dict, config: TrainConfig, folder: Path) -> None:
    wanted = json.loads(json.dumps(asdict(config)))
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
    """The state of one training run: network, optimiser, schedule, history, and the best epoch so far."""

    def __init__(self, config: TrainConfig, folder: Path, machine: Machine, train: Dataset, val: Dataset):
        self.config, self.folder, self.machine, self.train, self.val = config, folder, machine, train, val
        torch.manual_seed(config.seed)
        model = build_model(config.variant, num_classes=len(train.classes), base_channels=config.base_channels)
        self.model = model.to(machine.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay, fused=True)
        self.steps = max(1, len(train) // config.batch_size)  # the last, partial batch is dropped
        total = config.epochs * self.steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=total,
            pct_start=0.25 if total == 5 else 0.2,  # a fifth of five steps is one too few for it: it divides by zero
        )
        self.weights = class_weights(train, config.class_balance).to(machine.device)
        self.augment = Augment(config.crop_size or tuple(train.targets.shape[1:]))
        self.gradients = GradientLog(model, config.epochs * self.steps)
        self.history: list[dict] = []
        self.best: dict[str, Tensor] = {}  # the weights of the best epoch; on disk they are part of the checkpoint
        self._resume()

    def run(self) -> None:
        """All epochs that are left."""
        config = self.config
        for epoch in range(len(self.history) + 1, config.epochs + 1):
            start = time.perf_counter()
            with enough_memory(f"{self.folder}: no memory left with batch_size = {config.batch_size}; " + (
                    f"try batch_size = {config.batch_size // 2}" if config.batch_size > 1 else
                    "set a smaller crop_size, image_size or base_channels")):
                loss = self._epoch(epoch)
            row = {"epoch": epoch, "train_loss": loss, "val_loss": None, "val_miou": None,
                   "learning_rate": self.schedule.get_last_lr()[0]}
            row["seconds"] = time.perf_counter() - start
            if epoch % config.validate_every == 0 or epoch == config.epochs:
                confusions, row["val_loss"], _ = evaluate(self.model, self.val, self.weights, self.machine)
                row["val_miou"] = float(mean_iou(confusions.sum(0)))
                if row["val_miou"] >= self.best_miou:
                    self.best = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
                print(f"epoch {epoch:3d}/{config.epochs}  loss {row['train_loss']:.3f}, validation "
                      f"{row['val_loss']:.3f}  mIoU {row['val_miou']:.1%}  {row['seconds']:.0f} s", flush=True)
            self.history.append(row)
            save(self.folder, self._state())

    @property
    def best_miou(self) -> float:
        return max((row["val_miou"] for row in self.history if row["val_miou"] is not None), default=-1.0)

    def _epoch(self, epoch: int) -> float:
        """One pass over the training split; the mean loss in nats per pixel."""
        device, batch_size = self.machine.device, self.config.batch_size
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.train), generator=generator)
        losses = torch.zeros(self.steps, device=device)  # read once an epoch: no step waits for the device
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
            losses[step] = loss.detach()
        losses = losses.cpu()
        for step in (~losses.isfinite()).nonzero()[:1].flatten().tolist():
            raise FloatingPointError(
                f"{self.folder}: the training loss is {losses[step]} in epoch {epoch}, step {step + 1} of {self.steps};"
                f" lower learning_rate (now {self.config.learning_rate}) and choose another `out` or delete that folder")
        return losses.double().mean().item()

    def _state(self) -> dict:
        return {"config": json.dumps(asdict(self.config)), "history": self.history, "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(), "schedule": self.schedule.state_dict(),
                "gradients": self.gradients.state_dict(), "best": self.best,
                "data": [self.train.checksum, self.val.checksum]}

    def _resume(self) -> None:
        state = restore(self.folder, self.machine.device)
        if not state:
            return
        _same_settings(json.loads(state["config"]), self.config, self.folder)
        if state.get("data") != [self.train.checksum, self.val.checksum]:
            raise ValueError(f"{self.folder}: its training began on other images or labels; choose another `out`, or "
                             "delete that folder to train anew")
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.gradients.load_state_dict(state["gradients"])
        self.history, self.best = state["history"], state["best"]
        print(f"continuing after epoch {len(self.history)} of {self.config.epochs}")
