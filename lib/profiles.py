"""Read what a user sets: the values of a profile, a YAML file, and those of `-p NAME VALUE`.

`report`, `lib.train` and `lib.studies.ablation` read both here, so that a text is the same value in
every command. Numbers are what Python and YAML 1.2 call numbers: YAML 1.1, which PyYAML follows,
takes 1e-3 for a text.
"""

import ast
import re
from pathlib import Path

import yaml

CONSTANTS = {"true": True, "false": False, "null": None}


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
