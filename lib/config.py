"""What is trained, on what and how: the settings of a run, where they come from, and their checks.

A user sets values in a notebook's cell of parameters, in a profile (a YAML file of
notebooks/profiles) and by `-p NAME VALUE` on a command line. All of them are read and checked here,
so that a text is the same value everywhere and a mistake ends in the same line.
"""

import argparse
import ast
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from lib import ROOT
from lib.models import NETWORKS

PROFILES = ROOT / "notebooks" / "profiles"
STOPPED = 75  # exit status of a training that stopped at an epoch's end, to be continued
PLANS = "plans.yaml"  # beside the profiles' folder: what commands alone add to a profile
CONSTANTS = {"true": True, "false": False, "null": None}
KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "True or False",
         "list": "a list", "dict": "a mapping of names to values"}  # fmt: skip
ANNOTATED = re.compile(r"\w+: \w+ = ")
MAY_BE_ZERO = ("seed", "weight_decay", "class_balance", "dice")


class UsageError(ValueError):
    """A wrong argument or setting; a notebook shows its line without a traceback."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows
        return [f"error: {self}"]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the outcome of a run; the defaults are the profile `quick`.

    Raises UsageError for a value that nothing can be trained with.
    """

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
        for name in ("image_size", "crop_size"):  # a list when it comes from YAML or JSON
            object.__setattr__(self, name, as_size(getattr(self, name), name))
        object.__setattr__(self, "scale", as_scale(self.scale))
        for field in fields(self):
            _require(field.name, getattr(self, field.name), field.type)
        _require_name("variant", self.variant, "network", NETWORKS)
        from lib.datasets import MODULES, SOURCES  # reading a record needs no data set

        if self.dataset not in SOURCES:
            _require_name("dataset", self.dataset, "data set", MODULES)

    @property
    def smaller(self) -> str:
        """The batch size, and what to try where it fills the memory."""
        halved = f"try batch_size = {self.batch_size // 2}"
        if self.batch_size == 1:
            halved = "set a smaller crop_size, image_size or base_channels"
        return f"batch_size = {self.batch_size}; {halved}"


def _require(name: str, value: object, kind: object) -> None:
    """Raise UsageError unless a number or a text is of that type, and a number is in its range."""
    if kind not in (int, float, str, int | None) or (value is None and kind == int | None):
        return
    if kind is str:
        if not isinstance(value, str):
            raise UsageError(f"{name} = {value!r}: expected a text")
        return
    whole = kind is not float
    right = type(value) is int or (type(value) is float and not whole)
    if right and (value > 0 or (value == 0 and name in MAY_BE_ZERO)):
        return
    bound = "0 or more" if name in MAY_BE_ZERO else "above 0"
    what = "a whole number" if whole else "a number"
    otherwise = ", or None for all" if kind == int | None else ""
    raise UsageError(f"{name} = {value!r}: expected {what} {bound}{otherwise}")


def _require_name(setting: str, name: str, what: str, known: Iterable[str]) -> None:
    if name not in known:
        raise UsageError(f"{setting} = {name!r}: unknown {what}; choose one of {', '.join(known)}")


def as_size(size: object, name: str = "image_size") -> tuple[int, int] | None:
    """Return (H, W) of a list or tuple, None of None; raise UsageError for anything else."""
    if size is None:
        return None
    sides = size if isinstance(size, (list, tuple)) and len(size) == 2 else [None]
    if not all(type(side) is int and side > 0 for side in sides):
        raise UsageError(
            f"{name} = {size!r}: expected height and width in pixels such as [96, 128], or None")
    return tuple(size)


def as_scale(scale: object) -> tuple[float, float]:
    """Return the two bounds of the zoom; raise UsageError unless they are above 0 and in order."""
    try:
        low, high = map(float, scale)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not 0 < low <= high:
        raise UsageError(f"scale = {scale!r}: expected two numbers above 0, the smaller first")
    return low, high


SETTINGS = {field.name: field.default for field in fields(TrainConfig)}


def complete(settings: dict) -> dict:
    """Return a record's settings as `TrainConfig` takes them today.

    A setting that is younger than the record has its default; one that is gone is left out.
    """
    return {name: settings.get(name, default) for name, default in SETTINGS.items()}


# The parameters of a notebook.


@dataclass(frozen=True)
class Parameter:
    """One annotated assignment in a notebook's cell of parameters."""

    kind: str  # a key of `KINDS`
    default: object
    optional: bool  # its comment says what None stands for


def declared(cell: str) -> dict[str, Parameter]:
    """Return the parameters that the text of a cell declares: `epochs: int = 8  # a comment`."""
    lines, parameters = cell.splitlines(), {}
    for node in ast.parse(cell).body:
        if isinstance(node, ast.AnnAssign) and node.value:
            optional = "None:" in lines[node.end_lineno - 1]
            kind, default = ast.unparse(node.annotation), ast.literal_eval(node.value)
            parameters[ast.unparse(node.target)] = Parameter(kind, default, optional)
    return parameters


def check_names(names: Iterable[str], known: Iterable[str], origin: str = "") -> None:
    """Raise UsageError for the first name that is not known; `origin` says where it was set."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.5)
            advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"{origin}{name}: no such parameter; {advice}")


def check_types(values: Mapping, parameters: Mapping[str, Parameter], origin: str = "") -> None:
    """Raise UsageError for a value of another type than declared; `TrainConfig` checks its own."""
    for name in values.keys() - SETTINGS.keys():
        value, kind = values[name], parameters[name].kind
        if (value is None and parameters[name].optional) or kind not in KINDS:
            continue
        allowed = ("int", "float") if kind == "float" else (kind,)
        if type(value).__name__ not in allowed:
            raise UsageError(f"{origin}{name} = {value!r}: expected {KINDS[kind]}")


def check_parameters(namespace: dict) -> TrainConfig:
    """Check what was set in a running notebook and return the configuration that it describes.

    `namespace` is the notebook's `globals()`, in which IPython holds the text of every executed
    cell as `In`: annotated assignments declare parameters, and what papermill sets stands in a
    cell that begins with "# Parameters". `settings`, where there is such a parameter, has further
    settings. A notebook that trains nothing takes whatever else a profile may hold, and ignores it.
    Raises UsageError for a name that is not known and for a value that cannot be used.
    """
    parameters, set_by_papermill = {}, []
    for cell in namespace["In"]:
        if cell.startswith("# Parameters\n"):
            set_by_papermill += [node.targets[0].id for node in ast.parse(cell).body]
        elif ANNOTATED.match(cell):
            parameters |= declared(cell)
    if "variant" not in parameters:
        of_profiles = {*SETTINGS, "settings", "study_images", "study_steps"}
        set_by_papermill = [name for name in set_by_papermill if name not in of_profiles]
    check_names(set_by_papermill, parameters)
    values = {name: namespace[name] for name in parameters}
    check_types(values, parameters)
    own = {name: value for name, value in values.items() if name in SETTINGS}
    others = values.get("settings", {})
    check_names(others, [name for name in SETTINGS if name not in own], "settings: ")
    return TrainConfig(**own, **others)


# Profiles and command lines.


class _Loader(yaml.SafeLoader):
    """YAML with numbers such as 1e-3, which YAML 1.1 and so PyYAML take for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _read_yaml(path: Path) -> dict:
    try:
        values = yaml.load(path.read_text(), _Loader) or {}
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not readable as YAML ({reason})") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected a mapping of parameter names to values")
    return values


def read_profile(name: str, folder: Path = PROFILES) -> dict:
    """Return the parameters of folder/NAME.yaml with what the plans beside the folder add to it.

    Raises UsageError, with the profiles that exist, for a name that is none of them.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        there = ", ".join(known) or f"none in {folder}"
        raise UsageError(f"--profile {name}: no such profile; there are {there}")
    plans = folder.parent / PLANS
    added = _read_yaml(plans).get(name) if plans.exists() else None
    return (added or {}) | _read_yaml(folder / f"{name}.yaml")


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
    """Return a training's settings of the profile under the overrides, with data_root, seeds,
    extra.

    Raises UsageError for a profile that does not exist and for a name that is no setting.
    """
    beside = {"data_root": None, "extra": [], "seeds": [0]}
    check_names(overrides, [*SETTINGS, *beside], "-p ")
    values = read_profile(profile)
    values |= values.pop("settings", {}) | overrides
    return beside | {name: values[name] for name in values if name in SETTINGS | beside}


def parser(program: str, text: str) -> argparse.ArgumentParser:
    """Return the options that all commands that train have in common."""
    options = argparse.ArgumentParser(prog=f"python -m {program}", description=text.splitlines()[0])
    options.add_argument(
        "--profile", default="quick", metavar="NAME", help="a file of notebooks/profiles")
    options.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="where records go")
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
    return 0
