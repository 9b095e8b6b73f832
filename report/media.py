"""What notebooks show -> what the page embeds: charts that follow the theme, tables set like a book's, pictures.

Charts are inlined as SVG. Their ink (text, axes, lines) follows the page's theme; filled areas keep their colour,
since a class palette is a code. A chart with a picture or a heat map in it stays on light paper as it was drawn.
Text in tables may come from class and file names: only the tags and attributes of a table get through.
"""

import base64
import io
import json
import re
from collections.abc import Callable
from html import escape
from xml.etree import ElementTree

from bs4 import BeautifulSoup, Tag
from PIL import Image

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
INK = re.compile(r"text_|line2d_|matplotlib\.axis_|LineCollection_")  # matplotlib's groups of ink
COLOR = re.compile(r"(fill|stroke): ?#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")

TAGS = {"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "colgroup", "col", "b", "strong", "i", "em",
        "sup", "sub", "small", "br", "code", "span", "a"}
ATTRIBUTES = {"id", "class", "colspan", "rowspan", "scope", "style", "href", "title"}
NUMBER = re.compile(r"[±<>≤≥≈~]?\s*[−+-]?\d[\d.,\s]*(e[+-]?\d+)?\s*(%|[a-zµ]{1,3})?(\s*[±\[(].*)?|–|—|-|nan",
                    re.IGNORECASE)
NAME = re.compile(r"\bU-Nets?\b")  # not broken at its hyphen
SIZE = re.compile(r"\d+( × \d+)+")  # as of a tensor
SENTENCE = 48  # characters
THUMB = 5  # points: half of a slider's thumb
VERDICTS = ("supported", "contradicted", "inconclusive")
MARKUP = re.compile(r"\$[^$]+\$|\[@\w|@(?:fig|tbl|sec|eq)-\w")


def chart(svg: str, identity: str, alt: str) -> tuple[str, bool]:
    """Inline SVG, and whether it needs light paper; ids begin with that of the figure."""
    root = ElementTree.fromstring(svg)
    paper = any(_name(e) == "image" or e.get("id", "").startswith("QuadMesh") for e in root.iter())
    for parent in list(root.iter()):
        for child in list(parent):
            if _name(child) in ("metadata", "script", "foreignObject"):
                parent.remove(child)
    if not paper:
        _theme(root, ink=False)
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            name = key.split("}")[-1]
            if name.startswith("on") or name == "href" and not value.startswith(("#", "data:image/")):
                del element.attrib[key]
            elif name == "id" and value.startswith("class."):  # a row that `figures.mark_classes` marked
                del element.attrib[key]
                element.set("data-class", value.removeprefix("class."))
            elif name == "id":
                element.set(key, f"{identity}.{value}")
            else:
                value = re.sub(r"url\(#", f"url(#{identity}.", value)
                element.set(key, f"#{identity}.{value[1:]}" if name == "href" and value[0] == "#" else value)
            if key.startswith(f"{{{XLINK}}}") and key in element.attrib:
                element.set(name, element.attrib.pop(key))
        if _name(element) == "style":  # its rules must not reach the page around it
            element.text = f"#{escape(identity)}-svg{{{re.sub('<', '', element.text or '')}}}"
    text = _cards(root, identity, alt) or _whole(root, identity, alt)
    return re.sub(r">\s+<", "><", text), paper


def _whole(root: ElementTree.Element, identity: str, alt: str) -> str:
    width, height = (_pixels(root.get(side, "0")) for side in ("width", "height"))
    root.attrib |= {"id": f"{identity}-svg", "role": "img", "aria-label": alt, "class": "chart",
                    "width": f"{width:g}", "height": f"{height:g}", "style": f"--width:{width:g}px;{root.get('style', '')}"}
    return ElementTree.tostring(root, encoding="unicode")


def _cards(root: ElementTree.Element, identity: str, alt: str) -> str:
    """A drawing made of drawings, as a group that sets them side by side where there is room; else nothing."""
    cards = [child for child in root if _name(child) == "svg"]
    if not cards:
        return ""
    style = "".join(f"<style>{each.text}</style>" for each in root if _name(each) == "style")
    for card in cards:
        card.set("class", "chart")
    drawn = "".join(ElementTree.tostring(card, encoding="unicode") for card in cards)
    return f'<div id="{identity}-svg" class="cards" role="group" aria-label="{escape(alt)}">{style}{drawn}</div>'


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).split("}")[-1]


def _pixels(length: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w*)", length.strip()).groups()
    return round(float(number) * {"pt": 96 / 72, "in": 96, "cm": 96 / 2.54}.get(unit, 1), 1)


def _theme(element: ElementTree.Element, ink: bool) -> None:
    """Colours of ink -> colours that follow the theme, through the whole tree."""
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
    return {0: "var(--paper)", 100: "var(--ink)"}.get(share, f"color-mix(in srgb,var(--ink) {share}%,var(--paper))")


def probes(curves: list[dict]) -> str:
    """Under a chart, for each panel a slider along its x axis and what the lines are worth there; works by script alone."""
    parts, columns, end = [], [], 0.0
    for panel in curves:
        line = max((line["at"] for line in panel["lines"]), key=len)
        start, stop = line[0][2] - THUMB, line[-1][2] + THUMB  # so that the slider stands where the crosshair does
        columns += [f"{start - end:.1f}fr", f"{stop - start:.1f}fr"]
        end = stop
        rows = 2 if len(panel["lines"]) > 2 else 1
        label = escape(f"{panel['title']}: {panel['x']}")
        parts.append(f'<div class="probe"><input type="range" min="0" max="{len(line) - 1}" value="{len(line) - 1}" '
                     f'autocomplete="off" aria-label="{label}"><output style="--rows:{rows}"></output></div>')
    columns = " ".join([*columns, f"{max(0, curves[0]['width'] - end):.1f}fr"])
    data = json.dumps(curves, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    parts.append(f'<script type="application/json">{data}</script>')
    return f'<div class="probes" style="grid-template-columns:{columns}">{"".join(parts)}</div>'


def picture(data: str, kind: str, alt: str) -> str:
    """An <img> of base64 data, with its size so that the page does not jump."""
    data = "".join(data.split())
    width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
    return f'<img src="data:{kind};base64,{data}" alt="{escape(alt)}" width="{width}" height="{height}" decoding="async">'


def unbroken(text: str) -> str:
    """Text as HTML, in which the networks' name stays on one line."""
    return NAME.sub(r'<span class="nowrap">\g<0></span>', escape(text, quote=False))


def table(html: str, identity: str, inline: Callable[[str], str]) -> str:
    """Tables of pandas, cleaned: numbers to the right, headers with their scope, Markdown in cells rendered."""
    if own := re.search(r'id="(T_[^"]*?)"', html):  # two notebooks may show tables of one name
        html = re.sub(rf"\b{re.escape(own[1])}(?=[_\"\s,{{])", f"{identity}-table", html)
    soup = BeautifulSoup(html, "html.parser")
    styles = "".join(each.text for each in soup.find_all("style") if not re.search(r"[<@\\]|url", each.text.lower()))
    styles = re.sub(r"[^{}]*\{\s*text-align:[^}]*\}", "", styles)  # how columns align is decided below
    for tag in soup.find_all(["style", "script", "iframe", "object", "template"]):
        tag.decompose()
    for tag in soup.find_all(True):
        if tag.name not in TAGS:
            tag.unwrap()
        tag.attrs = {key: value for key, value in tag.attrs.items() if key in ATTRIBUTES and _harmless(key, value)}
    for each in soup.find_all("table"):
        _set(each)
    for text in soup.find_all(string=NAME):
        text.replace_with(BeautifulSoup(unbroken(text), "html.parser"))
    for text in soup.find_all(string=MARKUP):
        text.replace_with(BeautifulSoup(inline(str(text)), "html.parser"))
    return (f"<style>{styles}</style>" if styles.strip() else "") + str(soup)


def _harmless(key: str, value: str | list) -> bool:
    text = str(value).lower()
    if key == "href":
        return text.startswith(("#", "https://"))
    return key != "style" or not ("url" in text or "text-align" in text)


def _set(table: Tag) -> None:
    """One header row where the index has a name of its own, scopes, and classes for columns of numbers."""
    table.attrs.pop("border", None)
    heads, rows = table.select("thead tr"), table.select("tbody tr")
    if len(heads) == 2 and not any(cell.get_text(strip=True) for cell in [_cells(heads[0])[0], *_cells(heads[1])[1:]]):
        _cells(heads[0])[0].replace_with(_cells(heads[1])[0].extract())
        heads.pop().decompose()
    _stackable(table, heads, rows)
    for row in [*heads, *rows]:
        for cell in row.find_all("th"):
            if not cell.get_text(strip=True):
                cell.name = "td"
            else:
                cell["scope"] = "col" if row in heads else "row"
    for column in range(1, 1 + max((len(_cells(row)) for row in rows), default=0)):
        below, above = ([cells[-column] for row in part if len(cells := _cells(row)) >= column]  # from the right, since
                        for part in (rows, heads[-1:]))  # a header of several rows stands at the left of the first only
        for cell in below:
            if verdict := _verdict(cell):
                cell["class"] = [*cell.get("class", []), "verdict", verdict]
            elif SIZE.fullmatch(cell.get_text()):
                cell["class"] = [*cell.get("class", []), "nowrap"]
        texts = [text for cell in below if cell.name == "td" and (text := cell.get_text(strip=True))]
        if texts and sum(bool(NUMBER.fullmatch(text)) for text in texts) > len(texts) / 2:
            for cell in above + below:
                cell["class"] = [*cell.get("class", []), "number"]
            for text in (text for cell in below for text in cell.find_all(string=re.compile(r"^\s*-\d"))):
                text.replace_with(text.replace("-", "−", 1))


def _stackable(table: Tag, heads: list[Tag], rows: list[Tag]) -> None:
    """A table of sentences that ends in verdicts: its cells stand below each other on a narrow screen, and say what they are."""
    sentences = any(len(cell.get_text(strip=True)) > SENTENCE for row in rows for cell in _cells(row))
    if len(heads) != 1 or not sentences or not any(_verdict(_cells(row)[-1]) for row in rows):
        return
    names = [cell.get_text(strip=True) for cell in _cells(heads[0])]
    table["class"] = [*table.get("class", []), "sentences"]
    for part, role in (("table", "table"), ("thead", "rowgroup"), ("tbody", "rowgroup"), ("tr", "row"), ("td", "cell"),
                       ("thead th", "columnheader"), ("tbody th", "rowheader")):
        for each in [table] if part == "table" else table.select(part):
            each["role"] = role  # a cell that is no table cell on the screen stays one for those who listen
    for cell, name in ((cell, name) for row in rows for cell, name in zip(_cells(row), names)):
        cell["data-label"] = name


def _verdict(cell: Tag) -> str:
    word = cell.get_text(strip=True).split(" (")[0]
    return word if word in VERDICTS else ""


def _cells(row: Tag) -> list[Tag]:
    return row.find_all(["th", "td"])
