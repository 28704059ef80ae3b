"""Records what happened in a simulation, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from iot_constructs.testing.scheduler import START


@dataclass(frozen=True)
class Event:
    """One line of a history."""

    time: float
    """Virtual time, in epoch seconds."""
    actor: str
    content: str | Callable[[], str]
    """The text, or a function that returns it: most histories are never printed."""

    @property
    def text(self) -> str:
        """What happened."""
        return self.content if isinstance(self.content, str) else self.content()

    def __str__(self) -> str:
        return f"{self.time - START:10.3f}  {self.actor:<18} {self.text}"


class History:
    """The events of one simulation."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, time: float, actor: str, content: str | Callable[[], str]) -> None:
        """Append an event with its text, or a function that returns it."""
        self._events.append(Event(time, actor, content))

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def fingerprint(self) -> str:
        """Return a hash of all events: equal for two equal histories."""
        digest = hashlib.sha256()
        for event in self._events:
            digest.update(f"{event}\n".encode())
        return digest.hexdigest()
