"""How often Python asks jsii's Node process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from jsii._kernel.providers import process


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Counts inside the block; the answer is a function that says how many so far."""
    send = process._NodeProcess.send
    sent = 0

    def counting(self: Any, request: Any, response_type: Any) -> Any:
        nonlocal sent
        sent += 1
        return send(self, request, response_type)

    with mock.patch.object(process._NodeProcess, "send", counting):
        yield lambda: sent
