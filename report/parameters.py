"""The parameters of a notebook: what its cell of parameters declares, and checks of values."""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from lib.config import SETTINGS, TrainConfig, UsageError, check_names
from lib.models import EXTRA

KINDS = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "True or False",
         "list": "a list", "dict": "a mapping of names to values"}  # fmt: skip
OWN = ("seed", "variant", "out")  # what the report sets in each notebook
ANNOTATED = re.compile(r"\w+: \w+ = ")


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


def declared_by(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook, by name."""
    cells = nbformat.read(notebook, 4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    return declared(tagged[0].source) if tagged else {}


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


def checked_values(
    notebooks: Iterable[Mapping[str, Parameter]], profile: str, values: dict, overrides: dict
) -> dict:
    """Return the profile's values under the overrides, for notebooks that declare parameters.

    Raise UsageError for a name that is not known and for a value that cannot be used.
    """
    own = {"seeds": [0], "extra": []}
    known = {name: Parameter("", default, False) for name, default in (SETTINGS | own).items()}
    for parameters in notebooks:
        known |= parameters
    for origin, given in ((f"profile {profile}: ", values), ("-p ", overrides)):
        for name in given.keys() & OWN:
            advice = "set --out, -p seeds '[3]' and -p extra instead"
            raise UsageError(f"{origin}{name}: the report sets this one itself; {advice}")
        check_names(given, known, origin)
        check_types(given, known, origin)
        check_names(given.get("settings", {}), SETTINGS, f"{origin}settings: ")
    values = own | values | values.get("settings", {}) | overrides | overrides.get("settings", {})
    values.pop("settings", None)
    TrainConfig(**{name: value for name, value in values.items() if name in SETTINGS})
    seeds, extra = values["seeds"], values["extra"]
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise UsageError(f"seeds = {seeds!r}: expected a list of whole numbers such as [0, 1, 2]")
    if not isinstance(extra, list) or not set(map(str, extra)) <= EXTRA.keys():
        names = ", ".join(EXTRA)
        raise UsageError(f"extra = {extra!r}: expected a list, which may be empty, of {names}")
    return values
