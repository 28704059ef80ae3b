"""Progress of a run: a progress bar on a terminal, a few lines otherwise."""

from __future__ import annotations

from typing import Protocol

_WIDTH = 24
_LINES = 10


class Output(Protocol):
    """A text stream, such as standard error."""

    def write(self, text: str, /) -> object:
        """Write some text."""

    def flush(self) -> object:
        """Flush the stream."""

    def isatty(self) -> bool:
        """Return whether it is a terminal."""


class Progress:
    """A progress bar. The expected number of messages is an estimate of SQS, so the bar can end early or late."""

    def __init__(self, output: Output, expected: int) -> None:
        self._output = output
        self._bar = output.isatty()
        self._expected = expected
        self._shown = 0
        self._open = False

    def update(self, messages: int, records: int) -> None:
        """Show the number of processed messages and records."""
        expected = max(self._expected, messages)
        self.show(messages, expected, f"{messages} of about {expected} messages, {records} records")

    def show(self, done: int, expected: int, text: str) -> None:
        """Show a text with a bar that is ``done`` of ``expected`` long."""
        if self._bar:
            filled = _WIDTH * done // expected if expected else 0
            self._write(f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {text}\x1b[K")
            self._open = True
        elif done * _LINES // expected > self._shown if expected else False:
            self._shown = done * _LINES // expected
            self._write(f"{text}\n")

    def close(self) -> None:
        """End the line of the bar."""
        if self._open:
            self._write("\n")
            self._open = False

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
