"""Runs a program and writes how many requests it sent to jsii's Node process: ``count_round_trips.py FILE program``."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from jsii._kernel.providers import process


def main(counted: Path, program: str) -> None:
    """Run ``program``, counting."""
    sent = 0
    send = process._NodeProcess.send

    def counting(self: Any, request: Any, response_type: Any) -> Any:
        nonlocal sent
        sent += 1
        return send(self, request, response_type)

    process._NodeProcess.send = counting  # type: ignore[method-assign]
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(program).resolve().parent)
    runpy.run_path(program, run_name="__main__")
    counted.write_text(str(sent))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
