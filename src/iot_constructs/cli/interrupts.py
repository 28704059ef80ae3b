"""Ctrl-C and SIGTERM, after which a command cleans up and reports what it has done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the run like Ctrl-C with another exit code."""


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that the command cleans up."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted_exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code after an interrupt."""
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
