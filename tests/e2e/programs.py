"""Starts a program and checks that it cleans up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from iot_constructs.local.emulator import DIRECTORY
from tests.e2e.processes import wait_until_gone

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "iot_pipeline"


def start(
    tmp_path: Path, module: str, *arguments: str, terminal: int | None = None
) -> subprocess.Popen[str]:
    """Start a module as a program, on a terminal or with a pipe.

    `tmp_path` is in the command line of its child processes.
    """
    files = tmp_path / "tmp"
    files.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(files), "COLUMNS": "120"},
        stdin=terminal,
        stdout=terminal if terminal is not None else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def interrupt(process: subprocess.Popen[str], step: str, number: signal.Signals) -> str:
    """Send a signal in the middle of a step. Returns the output."""
    lines: list[str] = []
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if step in line:
                break
        time.sleep(1.5)
        process.send_signal(number)
        return "".join([*lines, process.stdout.read()])


def assert_nothing_remains(tmp_path: Path) -> None:
    assert wait_until_gone(str(tmp_path), 10) == []
    assert list((tmp_path / "tmp").glob(f"{DIRECTORY}*")) == []
