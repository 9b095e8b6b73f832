"""The report's HTML: `page/` is that of the page, the other files that of figures which move.

Values are escaped unless they are `Markup`, which says of a string that it is HTML already.
"""

from base64 import b64encode
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib import ROOT

FOLDER = Path(__file__).parent


def text_of(name: str) -> Markup:
    """Return a style sheet or script of the folder as it is."""
    return Markup((FOLDER / name).read_text())


def embedded(name: str) -> str:
    """Return a font as a data URI."""
    data = (ROOT / "report" / "fonts" / name).read_bytes()
    return f"data:font/woff2;base64,{b64encode(data).decode()}"


ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals |= {"source": text_of, "embedded": embedded}
MACROS = ENVIRONMENT.get_template("page/macros.html").module
