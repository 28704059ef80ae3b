"""Writes docs/pictures: ``python -m docs.generate_pictures``.

The architecture and the dashboard come from the example's template, the terminal and the dashboard's values from two
files beside the pictures. ``--capture`` makes the first of them again, from ``make demo`` (a minute); ``--measure`` the
second, from a slow run (ten minutes).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from docs import picture_architecture, picture_dashboard, picture_runs, picture_terminal
from docs.picture_runs import PICTURES, POINTS, TEXT
from docs.picture_template import example, read_parts


def pictures() -> Mapping[str, str]:
    """The text of each picture, by the name of its file."""
    parts = read_parts(example())
    run = json.loads(POINTS.read_text(encoding="utf-8"))
    return {
        "architecture.svg": picture_architecture.draw(parts),
        "dashboard.svg": picture_dashboard.draw(parts, run),
        "demo.svg": picture_terminal.draw(TEXT.read_text(encoding="utf-8")),
    }


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate_pictures")
    parser.add_argument("--capture", action="store_true", help="run the demo for its text")
    parser.add_argument("--measure", action="store_true", help="run it slowly for its metrics")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    if options.capture:
        TEXT.write_text(picture_runs.capture_text(), encoding="utf-8")
    if options.measure:
        POINTS.write_text(picture_runs.as_json(picture_runs.measure()), encoding="utf-8")
    for name, text in pictures().items():
        (PICTURES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
