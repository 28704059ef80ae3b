"""Runs tests in a process that has CDK loaded already: loading it takes longer than most tests.

Started by mutant_runner in a copy of the repository, one process for some dozens of mutants. Each line of its input
names test files, as JSON; each line of its output, after a first one, says how they went.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import pytest

_OURS: Final = ("iot_constructs", "tests", "examples", "bench", "docs")
_OPTIONS: Final = ("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0")
_SHOWN: Final = 3000
"""Characters of pytest's output that are worth a look when it could not run at all."""


class _FailFast:
    """Runs first what failed before, then what is quick, and notes the first failure."""

    def __init__(self, failed_before: Sequence[str], seconds: Mapping[str, float]) -> None:
        self.failed = ""
        self.seconds: dict[str, float] = {}
        self._rank = {test: rank for rank, test in enumerate(failed_before)}
        self._known = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(
            key=lambda item: (
                self._rank.get(item.nodeid, len(self._rank)),
                self._known.get(item.nodeid, 0),
            )
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def main(copy: Path, answers: TextIO) -> None:
    """Say that the process is there, and answer every line of the input until it ends."""
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        task = json.loads(line)
        with _surroundings():
            answer = _run(task["tests"], task["failed_before"], task["seconds"])
            _check_that_the_copy_was_tested(copy)
        answers.write(json.dumps({**answer, "spoilt": not _engine_answers()}) + "\n")
        answers.flush()


def _run(
    tests: Sequence[str], failed_before: Sequence[str], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """File by file: most mutants need only the first."""
    _forget_our_modules()
    took: dict[str, float] = {}
    for test in tests:
        plugin = _FailFast(failed_before, seconds)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = pytest.main([*_OPTIONS, test], plugins=[plugin])
        if code != pytest.ExitCode.OK:
            return {"code": int(code), "failed": plugin.failed, "said": said.getvalue()[-_SHOWN:]}
        took |= plugin.seconds
    return {"code": 0, "seconds": took}


def _forget_our_modules() -> None:
    for name in list(sys.modules):
        if name.split(".", maxsplit=1)[0] in _OURS:
            del sys.modules[name]
    importlib.invalidate_caches()


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """What a test may leave changed in its process."""
    path, variables, folder = list(sys.path), dict(os.environ), Path.cwd()
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)


def _check_that_the_copy_was_tested(copy: Path) -> None:
    """The library is installed from the work tree as well, which must not be what the tests import."""
    module = sys.modules.get("iot_constructs")
    if module is None:
        module = importlib.import_module("iot_constructs")
    assert Path(str(module.__file__)).is_relative_to(copy), module.__file__


def _engine_answers() -> bool:
    """Whether CDK's engine is still there: a value that it cannot read ends it, and every later test would fail."""
    cdk = sys.modules.get("aws_cdk")
    try:
        return cdk is None or cdk.Duration.seconds(1) is not None
    except Exception:  # whatever a dead engine makes of it
        return False


def _end_with_the_runner() -> None:
    """A test that never ends must not outlive who would have ended it; CDK's engine is in the same group."""
    runner = os.getppid()
    while os.getppid() == runner:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    # Answers go where nothing that a test prints can get between.
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    main(Path(sys.argv[1]), private)
