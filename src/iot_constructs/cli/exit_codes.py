"""The exit codes of all commands, and the signals that end one (docs/guide/exit-codes.md)."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import NamedTuple, NoReturn, TextIO

DONE = 0
NEGATIVE = 1
"""The command did its work, and the answer is no."""
FAILED = 2
"""The command could not do its work, or could not look at something."""
BY_SIGNAL = 128
"""Added to the number of the signal, as a shell reports it."""
INTERRUPTED = BY_SIGNAL + signal.SIGINT
EX_SIGPIPE = BY_SIGNAL + 13  # signal.SIGPIPE, which Windows doesn't have
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class ExitCodes(NamedTuple):
    """What the exit codes of a command mean."""

    done: str
    negative: str | None = None
    failed: str | None = None
    """Beside a usage error."""

    def as_text(self) -> str:
        """Return the text for ``--help``."""
        failed = f"usage error, or {self.failed}" if self.failed is not None else "usage error"
        meanings = {DONE: self.done, NEGATIVE: self.negative, FAILED: failed}
        lines = [f"  {code}      {text}" for code, text in meanings.items() if text is not None]
        ended = "  128+N  ended by signal N: 130 by Ctrl-C, 143 by SIGTERM"
        return "\n".join(["exit codes:", *lines, ended])


class Ended(KeyboardInterrupt):
    """A signal, which ends the run like Ctrl-C with another exit code."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = BY_SIGNAL + number


def interrupted_exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code after an interrupt."""
    return interrupt.exit_code if isinstance(interrupt, Ended) else INTERRUPTED


@contextmanager
def ending_signals(*more: int) -> Iterator[None]:
    """Raise `Ended` in the block for SIGTERM, SIGHUP and ``more``, so that it cleans up.

    Only the first one is raised: a closed terminal sends SIGHUP twice, and the second must not end the clean-up.
    """
    numbers = [*_ENDING, *more]
    first: list[int] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        first.append(number)
        raise Ended(number)

    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        # `nohup` ignores SIGHUP. A shell ignores SIGINT for a background job, which can still be interrupted.
        if handler is not signal.SIG_IGN or number in more:
            signal.signal(number, end)
    try:
        yield
    except OSError:
        if not first:
            raise
        # The clean-up cannot print to a closed terminal.
        raise Ended(first[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_to_exit_code(work: Callable[[], int]) -> int:
    """Run a program and return its exit code, whatever ends it.

    After an unexpected exception, it prints the traceback: Python would exit with 1, which means "no" here.
    """
    _prepare_standard_streams()
    try:
        with ending_signals():
            return _run_and_flush(work)
    except KeyboardInterrupt as interrupt:
        print_error("interrupted")
        return interrupted_exit_code(interrupt)
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        return EX_SIGPIPE
    except OSError as error:
        output = "cannot write the output: " if error.errno in _CANNOT_WRITE else ""
        print_error(f"error: {output}{error if error.filename else error.strerror or error}")
        return FAILED
    except Exception:
        print_error(traceback.format_exc().rstrip())
        return FAILED
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush_or_discard(stream)


def print_error(text: str) -> None:
    """Print to stderr, unless it is a closed terminal or pipe."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _run_and_flush(work: Callable[[], int]) -> int:
    try:
        code = work()
    except SystemExit:  # argparse, which can have printed the help
        sys.stdout.flush()
        raise
    if code < BY_SIGNAL:
        sys.stdout.flush()
    return code


def _prepare_standard_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: `>&-`
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            # A locale can lack characters of the output.
            stream.reconfigure(errors="backslashreplace")


def _flush_or_discard(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError:
        # Otherwise, Python fails again when it flushes the stream at the end, and exits with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
