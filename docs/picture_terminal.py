"""`make demo` as a terminal shows it: drawn by rich from the text of a run (`picture_runs.py`)."""

from __future__ import annotations

import re
from html import escape
from io import StringIO

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

_WIDTH = 118
"""Of src/iot_constructs/local/screen.py, for a log."""

# A picture of all of it would be too long to read. What is left out is said in the picture.
LEFT_OUT = (
    "Alarms",  # the dashboard has them
    "Resources removed from the template for the emulator",
    "Chart and query",
    "Limitations of the emulator",
)
_NUMBERS = re.compile(r'^\{"sent".*\}$')

_THEME = TerminalTheme(
    background=(13, 17, 23),
    foreground=(201, 209, 217),
    normal=[
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
    bright=[
        (139, 148, 158),
        (255, 161, 152),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (240, 246, 252),
    ],
)
# rich's own without the font from a CDN: a picture fetches nothing.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" \
role="img" aria-labelledby="title description">
<title id="title">make demo in a terminal</title>
<desc id="description">DESCRIPTION</desc>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; \
font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: Helvetica, Arial, 'DejaVu Sans', sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(text: str) -> str:
    """The picture."""
    console = Console(
        width=_WIDTH,
        record=True,
        file=StringIO(),
        color_system="truecolor",
        force_terminal=True,
        legacy_windows=False,
    )
    console.print(Text("$ make demo", style="bold cyan"))
    for heading, lines in _sections(text):
        if heading in LEFT_OUT:
            console.print(Text(f"\n[… not in this picture: {heading}]", style="bright_black"))
            continue
        if heading:
            console.print(Text(f"\n{heading}", style="bold"))
        for line in lines:
            console.print(_coloured(line))
    accounting = text.strip().splitlines()[-1]
    description = f"The steps of a run, where every record is. {accounting}"
    drawn = console.export_svg(
        title="make demo", theme=_THEME, code_format=_FORMAT, unique_id="demo"
    )
    return drawn.replace("DESCRIPTION", escape(description), 1)


def _sections(text: str) -> list[tuple[str, list[str]]]:
    """Headings, each after an empty line, with the lines under them; the steps have none."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    previous_empty = False
    for line in text.rstrip().splitlines():
        if line and previous_empty and not line.endswith(" ..."):
            sections.append((line, []))
        elif line and previous_empty:
            sections.append(("", ["", line]))
        elif line:
            sections[-1][1].append(line)
        previous_empty = not line
    return sections


def _coloured(line: str) -> Text:
    """The colours that say how it went; the run itself, which was no terminal's, has none."""
    shown = Text(line)
    shown.highlight_regex(r"[│┃━╇]", "bright_black")
    if _NUMBERS.match(line):
        shown.stylize("bold green")
    return shown
