"""What is trained, on what and how: the settings of a run."""

from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from lib.data import Augment, Dataset, as_size, load_dataset


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a run, and nothing else.

    `image_size` and `crop_size` are (H, W): what images are brought to (None: the files' own size), and what a
    training sample shows (None: all of it). `train_images`, ... limit the splits (None: all).
    `class_balance` b weighs class k by 1 / ln(1 + b + p_k), p_k its share of the training pixels (Paszke et al.
    2016 use b = 0.02), and 0 weighs all alike. `scale` bounds the zoom of a training sample, `dice` weighs a soft Dice
    loss beside the cross-entropy.
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

    def __post_init__(self):
        for name in ("base_channels", "epochs", "batch_size", "validate_every", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected a number above 0")
        for name in ("weight_decay", "class_balance", "dice"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: expected 0 or more")
        for name in ("image_size", "crop_size"):  # a list when it comes from YAML or JSON
            object.__setattr__(self, name, as_size(getattr(self, name), name))
        object.__setattr__(self, "scale", tuple(map(float, self.scale)))
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]):
            raise ValueError(f"scale = {list(self.scale)}: expected two numbers above 0, the smaller first")

    def load(self, split: str, data_root: str | Path | None = None) -> Dataset:
        """That split of the configured data set."""
        return load_dataset(self.dataset, data_root, split, self.image_size, getattr(self, f"{split}_images"))


def complete(settings: dict) -> dict:
    """A record's settings as `TrainConfig` takes them today.

    A setting that is younger than the record has its default, which means "as before"; one that is gone is left out.
    """
    known = {field.name: field.default for field in fields(TrainConfig)}
    return {name: settings.get(name, default) for name, default in known.items()
            if name in settings or default is not MISSING}
