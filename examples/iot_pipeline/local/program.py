"""What the demo and the chaos run share as programs: exit codes, and an end that leaves nothing behind."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from examples.iot_pipeline.local.screen import Screen

FAILED = 2
INTERRUPTED = 130


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which has to be as tidy as Ctrl-C."""


def run_program(
    work: Callable[[Screen], int], expected: tuple[type[Exception], ...], screen: Screen
) -> int:
    """Do the work; returns the exit code. An expected error is one line, and no traceback."""
    # Set, not assumed: a shell starts background jobs with interrupts ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return work(screen)
    except KeyboardInterrupt as interrupt:
        screen.print()
        screen.print("interrupted: the emulator is stopped and its files are removed")
        return 128 + signal.SIGTERM if isinstance(interrupt, _Terminated) else INTERRUPTED
    except expected as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


def count(text: str) -> int:
    """A command line's whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated
