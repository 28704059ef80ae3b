"""The few shapes that the pictures are made of, in colours for a light and for a dark page.

A picture is shown by an `img` element: it has no fonts but the reader's, and no styles but its own. So text widths are
estimates, and `prefers-color-scheme` is asked inside of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

SANS = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

_LIGHT = {
    "page": "fill: #ffffff",
    "card": "fill: #f6f8fa; stroke: #8c959f",
    "ink": "fill: #1f2328",
    "soft": "fill: #59636e",
    "bad": "fill: #b42318",
    "flow": "stroke: #0969da; fill: none",
    "flow-end": "fill: #0969da",
    "fail": "stroke: #b42318; fill: none",
    "fail-end": "fill: #b42318",
    "watch": "stroke: #8a5a00; fill: none",
    "watch-end": "fill: #8a5a00",
    "badge": "fill: #fff1d6; stroke: #8a5a00",
    "badge-ink": "fill: #6b4600",
    "grid": "stroke: #d1d9e0; fill: none",
    "ok": "fill: #1a7f37",
    "none": "fill: #818b98",
}
_DARK = {
    "page": "fill: #0d1117",
    "card": "fill: #161b22; stroke: #6e7681",
    "ink": "fill: #e6edf3",
    "soft": "fill: #9198a1",
    "bad": "fill: #ff7b72",
    "flow": "stroke: #58a6ff; fill: none",
    "flow-end": "fill: #58a6ff",
    "fail": "stroke: #ff7b72; fill: none",
    "fail-end": "fill: #ff7b72",
    "watch": "stroke: #e3b341; fill: none",
    "watch-end": "fill: #e3b341",
    "badge": "fill: #3a2d0c; stroke: #e3b341",
    "badge-ink": "fill: #f2cc60",
    "grid": "stroke: #30363d; fill: none",
    "ok": "fill: #3fb950",
    "none": "fill: #6e7681",
}


def document(width: int, height: int, title: str, description: str, parts: Iterable[str]) -> str:
    """A whole picture."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-labelledby="title description">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            "<style>",
            f"text {{ font-family: {SANS}; font-size: 11px }}",
            f".mono {{ font-family: {MONO}; font-size: 10px }}",
            ".bold { font-weight: bold }",
            ".small { font-size: 10px }",
            ".middle { text-anchor: middle }",
            ".end { text-anchor: end }",
            ".dashed { stroke-dasharray: 5 3 }",
            *_rules(_LIGHT),
            "@media (prefers-color-scheme: dark) {",
            *_rules(_DARK),
            "}",
            "</style>",
            rect(0, 0, width, height, classes="page"),
            *parts,
            "</svg>",
            "",
        ]
    )


def text(x: float, y: float, content: str, classes: str = "ink", size: int | None = None) -> str:
    """A line of text; y is its base line."""
    style = f' style="font-size: {size}px"' if size else ""
    return f'<text x="{x:g}" y="{y:g}" class="{classes}"{style}>{escape(content)}</text>'


def rect(
    x: float, y: float, width: float, height: float, *, classes: str, radius: float = 0
) -> str:
    """A box."""
    rounded = f' rx="{radius:g}"' if radius else ""
    box = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect {box}{rounded} class="{classes}"/>'


def line(points: Iterable[tuple[float, float]], classes: str, width: float = 1.5) -> str:
    """A line through points."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" class="{classes}" stroke-width="{width:g}"/>'


def dot(x: float, y: float, radius: float, classes: str) -> str:
    """A filled circle."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" class="{classes}"/>'


def arrow(points: list[tuple[float, float]], colour: str, dashed: bool = False) -> list[str]:
    """A line along the axes that ends in a head: no markers, which not every program draws."""
    (fx, fy), (x, y) = points[-2:]
    dx, dy = (x > fx) - (x < fx), (y > fy) - (y < fy)
    base = (x - 7 * dx, y - 7 * dy)
    head = [(x, y), (base[0] + 4 * dy, base[1] + 4 * dx), (base[0] - 4 * dy, base[1] - 4 * dx)]
    path = " ".join(f"{px:g},{py:g}" for px, py in head)
    return [
        line([*points[:-1], base], f"{colour} dashed" if dashed else colour),
        f'<polygon points="{path}" class="{colour}-end"/>',
    ]


def _rules(colours: Mapping[str, str]) -> list[str]:
    return [f".{name} {{ {style} }}" for name, style in colours.items()]
