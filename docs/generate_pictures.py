"""Draws docs/pictures: ``python -m docs.generate_pictures``.

`architecture.svg` comes from `architecture.mmd`, `demo.svg` from `demo.txt`, which is the output of ``make demo | cat``
without the path of the temporary folder. Neither fetches anything, nor needs a browser.
"""

from __future__ import annotations

import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parent / "pictures"
PACKAGES = Path(sys.prefix) / "cdk"
"""Where `make setup` installs packages of npm."""

_RENDER = """
import { readFileSync } from "node:fs";
import { renderMermaidSVG } from "beautiful-mermaid";
process.stdout.write(renderMermaidSVG(readFileSync(0, "utf8"), { bg: "BG", fg: "FG" }));
"""
_COLORS = """
  svg { --bg: #fff; --fg: #1f2328; --muted: #57606a; --line: #6e7781; --border: #8c959f; background: var(--bg); }
  @media (prefers-color-scheme: dark) {
    svg { --bg: #0d1117; --fg: #e6edf3; --muted: #adb5bd; --line: #8b949e; --border: #656d76; }
  }
"""
_FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def architecture() -> str:
    """The diagram, in the colors of the reader's system."""
    text = (PICTURES / "architecture.mmd").read_text(encoding="utf-8")
    node = ("node", "--input-type=module", "--eval", _RENDER)
    run = subprocess.run(node, cwd=PACKAGES, input=text, capture_output=True, text=True, check=True)
    drawn = re.sub(r'(<svg[^>]*) style="[^"]*"', r"\1", run.stdout, count=1)
    return re.sub(r"\s*@import [^\n]*", _COLORS.rstrip(), drawn, count=1) + "\n"


def demo() -> str:
    """A run in a terminal, from the sent messages to where they are."""
    lines = (PICTURES / "demo.txt").read_text(encoding="utf-8").splitlines()
    shown = lines[lines.index("send from 20 devices ...") : lines.index("Raw archive")]
    console = Console(record=True, width=118, file=StringIO(), force_terminal=True)
    console.print(Text("$ make demo\n[…]", style="bold cyan"))
    console.print(Text("\n".join([*shown, "[…]", lines[-1], ""])))
    drawn = console.export_svg(title="make demo", unique_id="demo")
    # The fonts come from a CDN. The lines are clipped for them: others have underscores below.
    drawn = re.sub(
        r'@font-face \{.*?\}\s*| clip-path="url\(#demo-line-\d+\)"', "", drawn, flags=re.S
    )
    return drawn.replace("Fira Code, monospace", _FONT) + "\n"


if __name__ == "__main__":
    (PICTURES / "architecture.svg").write_text(architecture(), encoding="utf-8")
    (PICTURES / "demo.svg").write_text(demo(), encoding="utf-8")
