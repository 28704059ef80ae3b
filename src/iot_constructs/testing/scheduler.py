"""Runs tasks in virtual time, in an order that depends only on a seed.

A task is a function that runs until it waits: for time to pass, or for another task. Exactly one task runs at a time,
and waiting costs no real time. Tasks that continue at the same moment do so in a random order, so a seed is one
interleaving of everything that happens concurrently, and the same seed is the same interleaving.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import greenlet

T = TypeVar("T")
R = TypeVar("R")

START = 1_800_000_000.0
"""The virtual time at which every simulation starts, in epoch seconds."""


class Time(Protocol):
    """What a model needs to know of time: a `Scheduler`, or the clock of a test."""

    now: float
    """In epoch seconds."""
    random: random.Random
    """Decides what a service leaves open, such as the order of messages."""


class DeadlockError(RuntimeError):
    """Every task waits for another one."""


class Task(Generic[T]):
    """A function that the scheduler runs."""

    def __init__(self, name: str, function: Callable[[], T]) -> None:
        self.name = name
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._function = function
        self._waiting: list[Task[Any]] = []
        self._greenlet: Any = None
        self._continued = 0

    def _run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:  # is raised again by whoever waits for the task
            self.error = error
        self.done = True


class Scheduler:
    """Virtual time and the tasks that wait for it."""

    def __init__(self, seed: object) -> None:
        self.random = random.Random(f"schedule {seed}")
        self.now = START
        self.steps = 0
        """How many times a task was continued."""
        self.on_time: Callable[[float], object] = lambda now: None
        """Called with the virtual time whenever it passes."""
        # The last two are the task, and how often it had been continued: an entry of an earlier wait is out of date.
        self._queue: list[tuple[float, float, int, Task[Any], int]] = []
        self._number = 0
        self._current: Task[Any] | None = None
        self._unfinished: dict[Task[Any], None] = {}
        """The tasks that have started, in this order."""
        self._hub: Any = None

    def time(self) -> float:
        """Return the virtual time in epoch seconds. Has the signature of `time.time`."""
        return self.now

    def spawn(self, name: str, function: Callable[[], T]) -> Task[T]:
        """Start a task at the current moment."""
        task = Task(name, function)
        self._schedule(task, self.now)
        return task

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass. Has the signature of `time.sleep`."""
        self._schedule(self._running(), self.now + max(0.0, seconds))
        self._switch_to_hub()

    def wake(self, task: Task[Any]) -> None:
        """End the `sleep` of a task now."""
        if not task.done:
            self._schedule(task, self.now)

    def wait_for(self, tasks: Iterable[Task[Any]]) -> None:
        """Wait until the tasks are done. Does not raise their errors."""
        current = self._running()
        for task in tasks:
            while not task.done:
                task._waiting.append(current)
                self._switch_to_hub()

    def run(self, main: Callable[[], T]) -> T:
        """Run a task, and all the tasks that it starts, until this one is done.

        The other tasks are abandoned then. An exception of a task that nobody waits for ends the run.
        """
        task = self.spawn("main", main)
        self._hub = greenlet.getcurrent()
        while not task.done:
            if not self._queue:
                raise DeadlockError("every task waits for another one")
            moment, _, _, following, continued = heapq.heappop(self._queue)
            if continued == following._continued and not following.done:
                if moment > self.now:
                    self.now = moment
                    self.on_time(moment)
                self._continue(following)
        self._queue.clear()
        self._end_unfinished()
        if task.error is not None:
            raise task.error
        return task.result  # type: ignore[return-value]

    def _continue(self, task: Task[Any]) -> None:
        self.steps += 1
        task._continued += 1
        if task._greenlet is None:
            task._greenlet = greenlet.greenlet(task._run)
            self._unfinished[task] = None
        self._current = task
        task._greenlet.switch()
        self._current = None
        if not task.done:
            return
        task._greenlet = None
        del self._unfinished[task]
        if task.error is not None and not task._waiting and task.name != "main":
            raise task.error
        for waiting in task._waiting:
            self._schedule(waiting, self.now)

    def _end_unfinished(self) -> None:
        """End the abandoned tasks: the garbage collector does not see what a suspended greenlet refers to."""
        for task in self._unfinished:
            task._greenlet.throw()  # GreenletExit, which is the task's error then
        self._unfinished.clear()

    def _schedule(self, task: Task[Any], moment: float) -> None:
        self._number += 1
        entry = (moment, self.random.random(), self._number, task, task._continued)
        heapq.heappush(self._queue, entry)

    def _running(self) -> Task[Any]:
        if self._current is None:
            raise RuntimeError("only a task can wait: call Scheduler.run")
        return self._current

    def _switch_to_hub(self) -> None:
        current = self._current
        self._hub.switch()
        self._current = current


class Executor:
    """Runs the calls of `map` as tasks, with the interface of a ThreadPoolExecutor that the processor uses."""

    def __init__(self, scheduler: Scheduler, workers: int) -> None:
        self._scheduler = scheduler
        self._workers = workers

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Call the function with each item, with up to `workers` calls at a time."""
        pending = list(enumerate(items))[::-1]
        results: dict[int, R] = {}
        errors: list[BaseException] = []

        def work() -> None:
            while pending and not errors:
                index, item = pending.pop()
                try:
                    results[index] = function(item)
                except BaseException as error:  # is raised below
                    errors.append(error)

        tasks = [
            self._scheduler.spawn(f"worker {n}", work)
            for n in range(min(self._workers, len(pending)))
        ]
        self._scheduler.wait_for(tasks)
        if errors:
            raise errors[0]
        return iter([results[index] for index in sorted(results)])


@contextmanager
def executor(scheduler: Scheduler, workers: int) -> Iterator[Executor]:
    """Return an executor as a context manager."""
    yield Executor(scheduler, workers)
