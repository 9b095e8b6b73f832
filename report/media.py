"""What notebooks show -> what the page embeds: charts, pictures, and tables set like a book's.

Charts are inlined as SVG. Their ink (text, axes, lines) follows the page's theme; filled areas keep
their colour, since a class palette is a code. A chart with a heat map in it stays on light paper
as Matplotlib made it. The names of classes and files are escaped where charts and tables are made.
"""

import re
from xml.etree import ElementTree

from bs4 import BeautifulSoup, Tag
from markupsafe import Markup as Safe

from report.markup import NAME, curled, unbroken
from report.template import MACROS

SVG = "{http://www.w3.org/2000/svg}svg"
ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
INKED = re.compile(r'<(g|text|tspan|use)\b(?!.*"#C\d)')  # letters and marks of lines, not dots
COLOR = re.compile(r"(fill|stroke): ?#([0-9a-fA-F]{6})\b")
NUMBER = re.compile(  # with a unit, an interval or what stands in brackets
    r"[±<>≤≥≈~−+-]*\s*\d[\d.,\s]*(%|[a-zµ]{1,6})?(\s*(to\b|[±\[(]).*)?|–|nan", re.IGNORECASE
)
SIZE = re.compile(r"\d+( × \d+)+")  # as of a tensor
SET_ANEW = re.compile(rf"{NAME.pattern}|['\"]")  # what `unbroken` and `curled` set in another way
SENTENCE = 48  # characters
VERDICTS = {"supported": "supported", "ruled out": "ruled-out", "undecided": "undecided"}


def chart(svg: str, identity: str, alt: str) -> tuple[Safe, bool]:
    """Return inline SVG, and whether it needs light paper.

    Its identifiers begin with that of the figure, and its rules do not reach the page around it.
    """
    paper = 'id="QuadMesh' in svg
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    if not paper:
        svg = re.sub(r"<\w[^>]*>", _themed, svg)
    svg = re.sub(r'\bid="class\.', 'data-class="', svg)  # a row that `figures.mark_classes` marked
    svg = re.sub(r'\bid="', f'id="{identity}.', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{identity}.", svg.replace("xlink:href", "href"))
    svg = re.sub(r"(?s)(<style[^>]*>)(.*?)</style>", rf"\1#{identity}-svg{{\2}}</style>", svg)
    root = ElementTree.fromstring(svg)
    text = _cards(root, identity, alt) or _whole(root, identity, alt)
    text = re.sub(r">[^<>{}]+<", lambda match: curled(match[0]), text)  # not in a rule of style
    return Safe(re.sub(r">\s+<", "><", text)), paper


def _whole(root: ElementTree.Element, identity: str, alt: str) -> str:
    width, height = (_css_pixels(root.get(side, "0")) for side in ("width", "height"))
    root.attrib |= {
        "id": f"{identity}-svg",
        "role": "img",
        "aria-label": alt,
        "class": "chart",
        "width": f"{width:g}",
        "height": f"{height:g}",
        "style": f"--width:{width:g}px;{root.get('style', '')}",
    }
    return ElementTree.tostring(root, encoding="unicode")


def _cards(root: ElementTree.Element, identity: str, alt: str) -> str:
    """Return a drawing made of drawings as a group, which stand side by side where there is room.

    Return nothing if the drawing is a single one.
    """
    cards = [child for child in root if child.tag == SVG]
    for card in cards:
        card.set("class", "chart")
    parts = [child for child in root if child.tag in (SVG, SVG.replace("svg}svg", "svg}style"))]
    drawings = "".join(ElementTree.tostring(part, encoding="unicode") for part in parts)
    return MACROS.cards(f"{identity}-svg", alt, Safe(drawings)) if cards else ""


def _css_pixels(length: str) -> float:
    points = length.endswith("pt")
    number = float(length.removesuffix("pt").removesuffix("px"))
    return round(number * 96 / 72, 1) if points else number


def _themed(match: re.Match) -> str:
    """Return an element whose colours of ink follow the theme."""
    element, inked = match[0], bool(INKED.match(match[0]))
    return COLOR.sub(lambda m: f"{m[1]}:{_color(m[2], inked or m[1] == 'stroke')}", element)


def _color(code: str, ink: bool) -> str:
    """Return the colour that stands for this one, six hexadecimal digits, in either theme."""
    red, green, blue = bytes.fromhex(code)
    if not ink and code.lower() != "ffffff":
        return f"#{code}"
    if max(red, green, blue) - min(red, green, blue) > 12:
        return f"color-mix(in srgb,#{code},#fff var(--lift))"
    share = round(100 * (1 - green / 255))
    if share in (0, 100):
        return "var(--ink)" if share else "var(--paper)"
    return f"color-mix(in srgb,var(--ink) {share}%,var(--paper))"


def typeset(html: str) -> Safe:
    """Return pandas' table with scopes, and with numbers to the right."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all("style"):  # it aligns columns in JupyterLab
        tag.decompose()
    for tag in soup.find_all(True):
        tag.attrs = {key: value for key, value in tag.attrs.items() if key.endswith("span")}
    for each in soup.find_all("table"):
        _set_table(each)
    for text in soup.find_all(string=SET_ANEW):
        text.replace_with(BeautifulSoup(unbroken(curled(text)), "html.parser"))
    return Safe(soup)


def _set_table(table: Tag) -> None:
    """Set scopes, and the classes of columns and of verdicts."""
    heads, rows = table.select("thead tr"), table.select("tbody tr")
    for cell in table.find_all("th"):
        cell["scope"] = "col" if cell.find_parent("thead") else "row"
        if not cell.get_text(strip=True):
            cell.name = "td"
            del cell["scope"]
    for column in zip(*map(_row_cells, heads[-1:] + rows)):
        _set_column(column)
    _stackable(table, heads, rows)


def _row_cells(row: Tag) -> list[Tag]:
    return row.find_all(["th", "td"])


def _set_column(column: tuple[Tag, ...]) -> None:
    """Mark verdicts and sizes; a column is one of numbers if more than half of its cells are."""
    texts = [cell.get_text(strip=True) for cell in column]
    numbers = 0
    for cell, text in zip(column, texts):
        if SIZE.fullmatch(text):
            cell["class"] = ["nowrap"]
        elif NUMBER.fullmatch(text):
            numbers += 1
        elif text.split(" (")[0] in VERDICTS:
            cell["class"] = ["verdict", VERDICTS[text.split(" (")[0]]]
    if numbers > len(list(filter(None, texts[1:]))) / 2:
        for cell in column:
            cell["class"] = ["number"]


def _verdict(text: str) -> str:
    """Return "supported" of "supported", "supported (3 seeds)" and "+1.3 points: supported"."""
    return text.split(": ")[-1].split(" (")[0]


def _stackable(table: Tag, heads: list[Tag], rows: list[Tag]) -> None:
    """Let a table of sentences with verdicts show its cells below each other where it is narrow."""
    cells = [cell for row in rows for cell in _row_cells(row)]
    texts = [cell.get_text(strip=True) for cell in cells]
    sentences = any(len(text) > SENTENCE for text in texts)
    if not sentences or not any(_verdict(text) in VERDICTS for text in texts):
        return
    table["class"] = ["sentences"]
    names = [cell.get_text(strip=True) for cell in _row_cells(heads[-1])]
    for row in rows:
        for cell, name in zip(_row_cells(row), names):
            cell["data-label"] = name
