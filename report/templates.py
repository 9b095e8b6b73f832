"""The report's HTML is in report/template/; this module loads it.

Values are escaped unless they are `Markup`, which says of a string that it is HTML already.
"""

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib import ROOT

FOLDER = ROOT / "report" / "template"
RULES = {
    "autoescape": True,
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
}


def source(name: str) -> Markup:
    """Return a style sheet or script of the folder as it is."""
    return Markup((FOLDER / name).read_text())


ENVIRONMENT = Environment(loader=FileSystemLoader(FOLDER), **RULES)
ENVIRONMENT.globals["source"] = source
MACROS = ENVIRONMENT.get_template("macros.html").module
