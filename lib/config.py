"""What is trained, on what and how: the settings of a run, and where they come from.

A user sets values in a profile, a YAML file of notebooks/profiles, and by `-p NAME VALUE` on a command
line. All commands read both here, so that a text is the same value everywhere. Numbers are what Python
and YAML 1.2 call numbers: YAML 1.1, which PyYAML follows, takes 1e-3 for a text.
"""

import ast
import re
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import yaml

from lib import ROOT

PROFILES = ROOT / "notebooks" / "profiles"
CONSTANTS = {"true": True, "false": False, "null": None}


def as_size(size: object, name: str = "image_size") -> tuple[int, int] | None:
    """Return (H, W) of a list or tuple, None of None; raise ValueError for anything else."""
    if size is None:
        return None
    sides = size if isinstance(size, (list, tuple)) and len(size) == 2 else [None]
    if not all(type(side) is int and side > 0 for side in sides):
        raise ValueError(
            f"{name} = {size!r}: expected height and width in pixels such as [96, 128], or None")
    return tuple(size)


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
    scale: tuple[float, float] = (0.8, 1.5)
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


def complete(settings: dict) -> dict:
    """A record's settings as `TrainConfig` takes them today.

    A setting that is younger than the record has its default, which means "as before"; one that is gone is left out.
    """
    known = {field.name: field.default for field in fields(TrainConfig)}
    return {name: settings.get(name, default) for name, default in known.items()
            if name in settings or default is not MISSING}


class UsageError(ValueError):
    """A wrong argument: exit status 2 of the report, 1 of a training."""


class _Loader(yaml.SafeLoader):
    """YAML with numbers such as 1e-3."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_profile(name: str, folder: Path) -> dict:
    """Return the parameters of folder/NAME.yaml; UsageError names the profiles there are."""
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    path = folder / f"{name}.yaml"
    if name not in known:
        there = ", ".join(known) or f"none in {folder}"
        raise UsageError(f"--profile {name}: no such profile; there are {there}")
    try:
        values = yaml.load(path.read_text(), _Loader) or {}
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not readable as YAML ({reason})") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected a mapping of parameter names to values")
    return values


def parse_value(text: str) -> object:
    """Return the number, list, True, None, ... that Python reads in the text (also true and null).

    A list may hold bare names, as in a profile; any other text is returned as it is.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        pass  # no literal: a name, a path, a list of names
    if text.startswith("[") and text.endswith("]"):
        return [parse_value(item.strip()) for item in text[1:-1].split(",")]
    return CONSTANTS.get(text.lower(), text)


def read_settings(profile: str, overrides: dict) -> dict:
    """Return a training's settings of the profile under the overrides, with data_root, seeds and extra.

    Raises UsageError for a profile that is not there, ValueError for a name that is no setting.
    """
    settings = {"data_root": None, "extra": [], "seeds": [0]}
    known = {field.name for field in fields(TrainConfig)} | settings.keys()
    values = read_profile(profile, PROFILES)
    settings |= {name: value for name, value in values.items() if name in known}
    settings |= overrides
    wrong = sorted(settings.keys() - known)
    if wrong:
        raise ValueError(f"-p {wrong[0]}: no such setting; there are {', '.join(sorted(known))}")
    return settings
