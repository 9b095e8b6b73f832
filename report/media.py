"""What notebooks show -> what the page embeds: charts, pictures, and tables set like a book's.

Charts are inlined as SVG. Their ink (text, axes, lines) follows the page's theme; filled areas keep
their colour, since a class palette is a code. A chart with a heat map in it stays on light paper
as Matplotlib made it. Text in tables may come from class and file names: only the tags
and attributes of a table get through.
"""

import base64
import io
import json
import re
from collections.abc import Callable
from html import escape
from xml.etree import ElementTree

from bs4 import BeautifulSoup, Tag
from markupsafe import Markup as Safe
from PIL import Image

from report.templates import MACROS

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
INK = re.compile(r"text_|line2d_|matplotlib\.axis_|LineCollection_")  # matplotlib's groups of ink
COLOR = re.compile(r"(fill|stroke): ?#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")

TAGS = {"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "colgroup", "col", "b",
        "strong", "i", "em", "sup", "sub", "small", "br", "code", "span", "a"}
ATTRIBUTES = {"id", "class", "colspan", "rowspan", "scope", "style", "href", "title"}
UNIT = r"\s*(%|[a-zµ]{1,6})?"
NUMBER = re.compile(
    rf"[±<>≤≥≈~]?\s*[−+-]?\d[\d.,\s]*(e[+-]?\d+)?{UNIT}"
    rf"(\s*to\s*[−+-]?\d[\d.,]*{UNIT})?(\s*[±\[(].*)?|–|—|-|nan",
    re.IGNORECASE,
)
NAME = re.compile(r"\bU-Nets?\b")  # not broken at its hyphen
SIZE = re.compile(r"\d+( × \d+)+")  # as of a tensor
SENTENCE = 48  # characters
ROLES = {
    "thead, tbody": "rowgroup",
    "tr": "row",
    "td": "cell",
    "thead th": "columnheader",
    "tbody th": "rowheader",
}
VERDICTS = {"supported": "supported", "ruled out": "ruled-out", "undecided": "undecided"}
MARKUP = re.compile(r"\$[^$]+\$|\[@\w|@(?:fig|tbl|sec|eq)-\w")


def chart(svg: str, identity: str, alt: str) -> tuple[Safe, bool]:
    """Return inline SVG, and whether it needs light paper; ids begin with that of the figure."""
    root = ElementTree.fromstring(svg)
    paper = any(e.get("id", "").startswith("QuadMesh") for e in root.iter())
    for parent in list(root.iter()):
        for child in list(parent):
            if _name(child) in ("metadata", "script", "foreignObject"):
                parent.remove(child)
    if not paper:
        _theme(root, ink=False)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            name = key.removeprefix(f"{{{XLINK}}}")
            element.attrib.update(_own(name, value, identity))
        if _name(element) == "style":  # its rules must not reach the page around it
            rules = re.sub("<", "", element.text or "")
            element.text = f"#{escape(identity)}-svg{{{rules}}}"
    text = _cards(root, identity, alt) or _whole(root, identity, alt)
    return Safe(re.sub(r">\s+<", "><", text)), paper


def _own(key: str, value: str, identity: str) -> dict[str, str]:
    """Return the attribute as the page takes it: no script, no other page, ids of this figure."""
    name = key.split("}")[-1]
    if name.startswith("on"):
        return {}
    if name == "id" and value.startswith("class."):  # a row that `figures.mark_classes` marked
        return {"data-class": value.removeprefix("class.")}
    if name == "id":
        return {key: f"{identity}.{value}"}
    value = re.sub(r"url\(#", f"url(#{identity}.", value)
    if name != "href" or value.startswith("data:image/"):
        return {key: value}
    return {key: f"#{identity}.{value[1:]}"} if value.startswith("#") else {}


def _whole(root: ElementTree.Element, identity: str, alt: str) -> str:
    width, height = (_pixels(root.get(side, "0")) for side in ("width", "height"))
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
    cards = [child for child in root if _name(child) == "svg"]
    if not cards:
        return ""
    rules = [MACROS.style(Safe(each.text)) for each in root if _name(each) == "style"]
    for card in cards:
        card.set("class", "chart")
    drawings = [Safe(ElementTree.tostring(card, encoding="unicode")) for card in cards]
    return MACROS.cards(f"{identity}-svg", alt, Safe("").join(rules), Safe("").join(drawings))


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).split("}")[-1]


def _pixels(length: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", length.strip()).groups()
    return round(float(number) * {"pt": 96 / 72, "in": 96, "cm": 96 / 2.54}.get(unit, 1), 1)


def _theme(element: ElementTree.Element, ink: bool) -> None:
    """Replace colours of ink by colours that follow the theme, through the whole tree."""
    starts = not ink and INK.match(element.get("id", ""))
    ink = ink or bool(starts)
    style = element.get("style", "")
    if style:
        style = COLOR.sub(lambda m: f"{m[1]}:{_color(m[2], m[1] == 'stroke' or ink)}", style)
    if starts and "fill:" not in style:
        style = f"fill:var(--ink);{style}"  # matplotlib leaves black out
    if style:
        element.set("style", style)
    for child in element:
        _theme(child, ink)


def _color(code: str, ink: bool) -> str:
    code = code if len(code) == 6 else "".join(2 * digit for digit in code)
    red, green, blue = (int(code[i:i + 2], 16) for i in (0, 2, 4))
    if not ink and code.lower() != "ffffff":
        return f"#{code}"
    if max(red, green, blue) - min(red, green, blue) > 12:
        return f"color-mix(in srgb,#{code},#fff var(--lift))"
    share = round(100 * (1 - green / 255))
    if share in (0, 100):
        return "var(--ink)" if share else "var(--paper)"
    return f"color-mix(in srgb,var(--ink) {share}%,var(--paper))"


def readings(curves: list[dict]) -> Safe:
    """Return the values of a chart's lines for the script that shows them."""
    if not curves:
        return Safe()
    data = json.dumps(curves, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return MACROS.readings(Safe(data))


def picture(data: str, kind: str, alt: str) -> Safe:
    """Return base64 data as a picture, with its size so that the page does not jump."""
    data = "".join(data.split())
    size = Image.open(io.BytesIO(base64.b64decode(data))).size
    return MACROS.picture(f"data:{kind};base64,{data}", alt, *size)


def unbroken(text: str) -> Safe:
    """Return text as HTML, in which the networks' name stays on one line."""
    return Safe(NAME.sub(lambda match: MACROS.nowrap(match[0]), escape(text, quote=False)))


def table(html: str, identity: str, inline: Callable[[str], str]) -> Safe:
    """Return pandas' table with numbers to the right and scopes; Markdown in cells is rendered."""
    if own := re.search(r'id="(T_[^"]*?)"', html):  # two notebooks may show tables of one name
        html = re.sub(rf"\b{re.escape(own[1])}(?=[_\"\s,{{])", f"{identity}-table", html)
    soup = BeautifulSoup(html, "html.parser")
    styles = [each.text for each in soup.find_all("style")]
    rules = "".join(each for each in styles if not re.search(r"[<@\\]|url", each.lower()))
    rules = re.sub(r"[^{}]*\{\s*text-align:[^}]*\}", "", rules)  # `_set` aligns columns
    for tag in soup.find_all(["style", "script", "iframe", "object", "template"]):
        tag.decompose()
    for tag in soup.find_all(True):
        if tag.name not in TAGS:
            tag.unwrap()
        attributes = tag.attrs.items()
        tag.attrs = {key: value for key, value in attributes if _harmless(key, value)}
    for each in soup.find_all("table"):
        _set(each)
    for text in soup.find_all(string=NAME):
        text.replace_with(BeautifulSoup(unbroken(text), "html.parser"))
    for text in soup.find_all(string=MARKUP):
        text.replace_with(BeautifulSoup(inline(str(text)), "html.parser"))
    style = MACROS.style(Safe(rules)) if rules.strip() else ""
    return Safe(style + Safe(soup))


def _harmless(key: str, value: str | list) -> bool:
    text = str(value).lower()
    if key not in ATTRIBUTES:
        return False
    if key == "href":
        return text.startswith(("#", "https://"))
    return key != "style" or not ("url" in text or "text-align" in text)


def _set(table: Tag) -> None:
    """Set scopes and the classes of columns; give the header one row if the index has a name."""
    table.attrs.pop("border", None)
    heads, rows = table.select("thead tr"), table.select("tbody tr")
    if len(heads) == 2:
        corner, *others = [_cells(heads[0])[0], *_cells(heads[1])[1:]]
        if not any(cell.get_text(strip=True) for cell in (corner, *others)):
            corner.replace_with(_cells(heads[1])[0].extract())
            heads.pop().decompose()
    _stackable(table, heads, rows)
    for row in [*heads, *rows]:
        for cell in row.find_all("th"):
            if not cell.get_text(strip=True):
                cell.name = "td"
            else:
                cell["scope"] = "col" if row in heads else "row"
    width = max((len(_cells(row)) for row in rows), default=0)
    for column in range(1, 1 + width):
        _set_column(_column(heads[-1:], column), _column(rows, column))


def _column(rows: list[Tag], column: int) -> list[Tag]:
    """Return the cells that stand in this column from the right.

    A header of several rows stands at the left of the first of them only.
    """
    cells = [_cells(row) for row in rows]
    return [each[-column] for each in cells if len(each) >= column]


def _set_column(above: list[Tag], below: list[Tag]) -> None:
    """Mark verdicts and sizes; a column is one of numbers if more than half of its cells are."""
    for cell in below:
        if verdict := _verdict(cell):
            _mark(cell, "verdict", verdict)
        elif SIZE.fullmatch(cell.get_text()):
            _mark(cell, "nowrap")
    texts = [cell.get_text(strip=True) for cell in below if cell.name == "td"]
    texts = [text for text in texts if text]
    numbers = [text for text in texts if NUMBER.fullmatch(text)]
    if len(numbers) <= len(texts) / 2:
        return
    for cell in above + below:
        _mark(cell, "number")
    for cell in below:
        for text in cell.find_all(string=re.compile(r"^\s*-\d")):
            text.replace_with(text.replace("-", "−", 1))


def _mark(tag: Tag, *classes: str) -> None:
    tag["class"] = [*tag.get("class", []), *classes]


def _stackable(table: Tag, heads: list[Tag], rows: list[Tag]) -> None:
    """Let the cells of a table of sentences with verdicts stand below each other if it is narrow.

    Such a cell says what it is, and its role, as it is no table cell on the screen then.
    """
    cells = [cell for row in rows for cell in _cells(row)]
    sentences = any(len(cell.get_text(strip=True)) > SENTENCE for cell in cells)
    if len(heads) != 1 or not sentences or not any(_verdict(_cells(row)[-1]) for row in rows):
        return
    _mark(table, "sentences")
    table["role"] = "table"
    for selector, role in ROLES.items():
        for each in table.select(selector):
            each["role"] = role
    names = [cell.get_text(strip=True) for cell in _cells(heads[0])]
    for row in rows:
        for cell, name in zip(_cells(row), names):
            cell["data-label"] = name


def _verdict(cell: Tag) -> str:
    word = cell.get_text(strip=True).split(" (")[0]
    return VERDICTS.get(word, "")


def _cells(row: Tag) -> list[Tag]:
    return row.find_all(["th", "td"])
