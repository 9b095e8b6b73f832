"""What is trained, on what and how: the settings of a run, where they come from, and their checks.

A user sets values in a notebook's cell of parameters, in a profile (a YAML file of
notebooks/profiles) and by `-p NAME VALUE` on a command line. A wrong one raises UsageError.
"""

import ast
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from lib import ROOT, UsageError
from lib.models import NETWORKS

PROFILES = ROOT / "notebooks" / "profiles"
PLANS = "plans.yaml"  # beside the profiles' folder: what commands alone add to a profile
CONSTANTS = {"true": True, "false": False, "null": None}
MAY_BE_ZERO = ("seed", "weight_decay", "class_balance", "dice")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a run; the defaults are the profile `quick`."""

    variant: str = "unet"  # a key of `lib.models.NETWORKS`
    seed: int = 0  # decides initial weights, order of images and augmentation
    dataset: str = "scenes"  # a key of `lib.datasets.SOURCES`
    image_size: tuple[int, int] | None = (96, 128)  # (H, W) of all images; None: the files' own
    crop_size: tuple[int, int] | None = None  # (H, W) of a training sample; None: the whole image
    train_images: int | None = 300  # how many of each split; None: all
    val_images: int | None = 40
    test_images: int | None = 80
    base_channels: int = 16  # of the finest level
    epochs: int = 8
    batch_size: int = 4
    learning_rate: float = 0.003  # the highest of the one-cycle schedule
    weight_decay: float = 0.01
    class_balance: float = 0.02  # b in the weight 1 / ln(1 + b + share); 0: all classes alike
    validate_every: int = 1  # epochs
    scale: tuple[float, float] = (0.8, 1.5)  # smallest and largest zoom of a training sample
    dice: float = 0.0  # weight of the soft Dice loss beside the cross-entropy

    def __post_init__(self):
        from lib.datasets import MODULES, SOURCES  # reading a record needs no data set

        for field in fields(self):
            value = _checked(field.name, field.type, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.variant not in [*NETWORKS]:
            known = ", ".join(NETWORKS)
            raise UsageError(f"variant = {self.variant!r}: unknown network; choose one of {known}")
        if self.dataset not in [*SOURCES]:
            known = ", ".join(MODULES)
            raise UsageError(f"dataset = {self.dataset!r}: unknown data set; choose one of {known}")


def _checked(name: str, kind: object, value: object) -> object:
    """Return the value as the configuration stores it; raise UsageError for an impossible one."""
    from lib.datasets.dataset import as_scale, as_size

    if kind is str or (value is None and kind == int | None):
        return value
    if kind == tuple[int, int] | None:
        return as_size(value, name)
    if kind == tuple[float, float]:
        return as_scale(value, name)
    types, what = ((int, float), "a number") if kind is float else ((int,), "a whole number")
    zero = name in MAY_BE_ZERO
    if type(value) in types and (value > 0 or (value == 0 and zero)):
        return value
    bound = "0 or more" if zero else "above 0"
    more = ", or None for all" if kind == int | None else ""
    raise UsageError(f"{name} = {value!r}: expected {what} {bound}{more}")


SETTINGS = {field.name: field.default for field in fields(TrainConfig)}


def complete(settings: dict) -> dict:
    """Return a record's settings: younger ones than it have their defaults, others are left out."""
    return {name: settings.get(name, default) for name, default in SETTINGS.items()}


def check_names(names: Iterable[str], known: Iterable[str], origin: str = "") -> None:
    """Raise UsageError for the first name that is not known; `origin` says where it was set."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.5)
            advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"{origin}{name}: no such parameter; {advice}")


def _read_yaml(path: Path) -> dict:
    try:
        values = parse_value(yaml.safe_load(path.read_text()) or {})
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not readable as YAML ({reason})") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected a mapping of parameter names to values")
    return values


def read_profile(name: str, folder: Path = PROFILES) -> dict:
    """Return the parameters of folder/NAME.yaml with what the plans beside the folder add to it."""
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        there = ", ".join(known) or f"none in {folder}"
        raise UsageError(f"--profile {name}: no such profile; there are {there}")
    plans = folder.parent / PLANS
    added = _read_yaml(plans).get(name, {}) if plans.exists() else {}
    return added | _read_yaml(folder / f"{name}.yaml")


def parse_value(value: object) -> object:
    """Return the number, list, True, None, ... that Python reads in a text (also true and null).

    A list may hold bare names, and any other text stays as it is. What a YAML file holds is read as
    deep as it goes, since PyYAML takes 1e-3 for a text.
    """
    if isinstance(value, dict):
        return {name: parse_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [parse_value(each) for each in value]
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError):
        pass  # no literal: a name, a path, a list of names
    if value.startswith("[") and value.endswith("]"):
        return [parse_value(item.strip()) for item in value[1:-1].split(",")]
    return CONSTANTS.get(value.lower(), value)


def read_settings(profile: str, overrides: dict) -> dict:
    """Return a training's settings under the overrides, with data_root, seeds and extra."""
    beside = {"data_root": None, "extra": [], "seeds": [0]}
    check_names(overrides, [*SETTINGS, *beside], "-p ")
    values = read_profile(profile)
    values |= values.pop("settings", {}) | overrides
    return beside | {name: values[name] for name in values if name in SETTINGS | beside}
