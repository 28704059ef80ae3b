"""One run of the command on one template."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final, NamedTuple

NOT_JUDGED: Final = ("IOT_00_NOT_JUDGED", "W9300")
SUFFIXES: Final = (".yaml", ".yml", ".json", ".template", ".cfn")

_RESOURCES: Final = re.compile(r"""^[\s{]*["']?Resources["']?\s*:""", re.MULTILINE)
_TYPE: Final = re.compile(r"""["']?Type["']?\s*:\s*["']?(AWS|Custom)::""")
_CANNOT_BE_EXAMINED: Final = re.compile(
    r"""AWS::Include|Fn::Transform|!Transform|::MODULE\b|AWS::Serverless::Application
    |TemplateURL["']?\s*:(?!\s*["']?[\w./-]+["']?,?\s*$)
    |^["'\s]*Transform["']?\s*:\s*["']?(?!AWS::)\w""",
    re.MULTILINE | re.VERBOSE,
)

Finding = tuple[str, str]
"""A rule and a logical id."""


class Outcome(NamedTuple):
    """What a run came to; the problem is empty if there was none."""

    template: Path
    seconds: float
    mebibytes: float
    exit_code: int
    findings: list[Finding]
    not_judged: list[Finding]
    problem: str


def find_templates(folder: Path) -> list[Path]:
    """The files below ``folder`` that look like templates."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    return [file for file in files if _RESOURCES.search(_text_of(file.read_bytes()))]


def run(command: Sequence[str], template: Path, timeout: float) -> Outcome:
    """Run ``command`` with ``template`` as its last argument."""
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        started = time.monotonic()
        # A session of its own: the children of a run that takes too long are stopped with it.
        process = subprocess.Popen(
            [*command, str(template)], stdout=stdout, stderr=stderr, start_new_session=True
        )
        timer = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        # wait4 and not wait: it has the memory of this process alone.
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        out, err = _text_of(stdout.read()), _text_of(stderr.read())
    entries, elsewhere, problem = _read_output(out, err, template)
    if process.returncode == -signal.SIGKILL and seconds >= timeout:
        problem = f"not done in {timeout:g} s"
    elif not problem:
        total = len(entries) + elsewhere
        problem = _why_not(process.returncode, total, _text_of(template.read_bytes()))
    memory = usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
    findings = [each for each in entries if each[0] not in NOT_JUDGED]
    not_judged = [each for each in entries if each[0] in NOT_JUDGED]
    return Outcome(template, seconds, memory, process.returncode, findings, not_judged, problem)


def _read_output(out: str, err: str, template: Path) -> tuple[list[Finding], int, str]:
    """Return the entries of the template, the number of those of its nested stacks, and the problem."""
    if "Traceback (most recent call last)" in out + err:
        return [], 0, "traceback"
    if not out.strip() and err.strip():
        return [], 0, ""  # an error in one line, as for a file that cannot be read
    try:
        entries = json.loads(out)
        own = [each for each in entries if _is_of(each.get("template"), template)]
        found = [(str(each["rule"]), str(each.get("resource") or "")) for each in own]
        return found, len(entries) - len(own), ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return [], 0, "the output is no list of findings"


def _is_of(name: str | None, template: Path) -> bool:
    return name is None or Path(name).resolve() == template.resolve()


def _why_not(exit_code: int, entries: int, text: str) -> str:
    """Why the exit code cannot be right; empty if it can."""
    if exit_code not in (0, 1, 2) or (exit_code < 2 and exit_code != min(entries, 1)):
        return f"exit code {exit_code} with {entries} entries"
    if exit_code:
        return ""
    if not _TYPE.search(text):
        return "clean, but nothing was examined"
    part = _CANNOT_BE_EXAMINED.search(text)
    return f"clean, but not judged: {part.group().strip()}" if part else ""


def _text_of(data: bytes) -> str:
    return data.decode("utf-8-sig", errors="replace")
