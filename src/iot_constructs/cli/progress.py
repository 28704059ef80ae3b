"""How far a run is: one line that is written over and over on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

from typing import Protocol

_WIDTH = 24
_LINES = 10


class Output(Protocol):
    """A text stream, such as standard error."""

    def write(self, text: str, /) -> object:
        """Write some text."""

    def flush(self) -> object:
        """Show what was written."""

    def isatty(self) -> bool:
        """Whether a person is looking."""


class Progress:
    """A bar over messages. The number to expect is SQS's estimate, so the bar can end early or late."""

    def __init__(self, output: Output, expected: int) -> None:
        self._output = output
        self._bar = output.isatty()
        self._expected = expected
        self._shown = 0
        self._open = False

    def update(self, messages: int, records: int) -> None:
        """Show how many messages and records are done."""
        expected = max(self._expected, messages)
        text = f"{messages} of about {expected} messages, {records} records"
        if self._bar:
            filled = _WIDTH * messages // expected if expected else 0
            self._write(f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {text}\x1b[K")
            self._open = True
        elif messages * _LINES // expected > self._shown if expected else False:
            self._shown = messages * _LINES // expected
            self._write(f"{text}\n")

    def close(self) -> None:
        """Leave the bar's line."""
        if self._open:
            self._write("\n")
            self._open = False

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()
