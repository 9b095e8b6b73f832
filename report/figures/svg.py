"""The few marks that drawings are made of. Colours are CSS variables of the report, each with its value on light paper."""

from html import escape

STYLE = """text{font-family:Inter,system-ui,sans-serif;fill:var(--ink,#1d2127)}
.muted{fill:var(--muted,#59616b)}.middle{text-anchor:middle}.end{text-anchor:end}.bold{font-weight:600}
.box{fill:var(--tint,#f5f6f8);stroke:var(--ink,#1d2127)}.soft{fill:var(--paper,#fff);stroke:var(--muted,#59616b)}
.line,.stroke,.faint{fill:none;stroke:var(--muted,#59616b)}.faint{stroke-opacity:.35}.tip{fill:var(--muted,#59616b)}
.stroke{stroke:var(--own);stroke-width:1.6}.own{fill:var(--own)}.none{stroke-dasharray:2 3}.paper{fill:var(--paper,#fff)}
.ground{fill:var(--ground,#fff)}.small{font-size:11px;font-weight:400;fill:var(--muted,#59616b)}"""
THEMES = {"light": "--ground:none;--ink:#1d2127;--muted:#59616b;--tint:#f5f6f8;--paper:#fff;--lift:0%",
          "dark": "--ground:none;--ink:#e6edf3;--muted:#9198a1;--tint:#1c2128;--paper:#0d1117;--lift:35%"}
Point = tuple[float, float]


def own(color: str) -> str:
    """The declaration of a drawing's own colour, lifted on dark paper."""
    return f"--own:color-mix(in srgb,{color},#fff var(--lift,0%))"


def tag(name: str, *children: str, **attributes: object) -> str:
    """One element; `class_` and `stroke_width` stand for class and stroke-width, numbers have four digits."""
    pairs = ((key.rstrip("_").replace("_", "-"), f"{value:.4g}" if isinstance(value, float) else str(value))
             for key, value in attributes.items())
    opened = name + "".join(f' {key}="{escape(value)}"' for key, value in pairs)
    return f"<{opened}>{''.join(children)}</{name}>" if children else f"<{opened}/>"


def text(content: str, x: float, y: float, kind: str = "", size: float = 11, *more: str) -> str:
    """One line of text that starts at (x, y), or ends or is centred there if its kind says so."""
    return tag("text", escape(content), *more, x=x, y=y, font_size=size, **({"class_": kind} if kind else {}))


def line(start: Point, end: Point, kind: str = "line", **more: object) -> str:
    """A straight line of a kind that `STYLE` knows."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=kind, **more)


def arrow(*corners: Point, kind: str = "line") -> str:
    """A line through the corners, horizontal and vertical pieces, with a tip at its end."""
    (x, y), (ahead, across) = corners[-2:]
    right, down = (ahead > x) - (ahead < x), (across > y) - (across < y)
    tip = f"M{ahead:.1f} {across:.1f}l{-6 * right - 3 * down:.1f} {-6 * down - 3 * right:.1f}l{6 * down:.1f} {6 * right:.1f}z"
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
    return tag("path", d=path, class_=kind) + tag("path", d=tip, class_="own" if "stroke" in kind else "tip")


def document(body: str, width: float, height: float, style: str) -> str:
    """A whole drawing of that size in pixels."""
    ground = tag("rect", width=width, height=height, class_="ground")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
            f'viewBox="0 0 {width:g} {height:g}" style="{style}"><style>{STYLE}</style>{ground}{body}</svg>\n')
