"""Records effects of a handler that calls no AWS service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from iot_constructs.testing.aws_operations import Write, as_text
from iot_constructs.testing.faults import Kind

if TYPE_CHECKING:
    from iot_constructs.testing.simulation import Simulation

_CODES = ("ThrottlingException", "InternalFailure")

_running: list[Simulation] = []
"""The simulation that runs, if any."""


@contextmanager
def recorded_by(simulation: Simulation) -> Iterator[None]:
    """Let a simulation observe the effects that are recorded meanwhile."""
    _running.append(simulation)
    try:
        yield
    finally:
        _running.pop()


class Effects:
    """Stands for a store that a handler writes to: a list of values, and a dict of values with keys.

    Each write is a call like one of an AWS service: it takes time, can fail, and can be the last one before a crash.
    A simulation starts with an empty store.
    """

    def __init__(self, name: str = "effects") -> None:
        self.name = name
        self.values: list[Any] = []
        self.items: dict[Any, Any] = {}
        self._owner: Simulation | None = None

    def append(self, value: Any) -> None:
        """Add a value, which contains the record's ID."""
        with self._written("append", None, value):
            self.values.append(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set the value of a key, either of which contains the record's ID."""
        with self._written("put", key, value):
            self.items[key] = value

    @contextmanager
    def _written(self, method: str, key: Any, value: Any) -> Iterator[None]:
        """Let a write be a call, which takes effect in the middle."""
        invocation = _running[-1].current() if _running else None
        if invocation is None:
            raise RuntimeError("effects are recorded by the handler of a simulation")
        simulation = _running[-1]
        if self._owner is not simulation:
            self._owner = simulation
            self.values.clear()
            self.items.clear()
        process = invocation.process
        write = Write(self.name, None if key is None else as_text(key), as_text([key, value]))
        call = process.start_call(method, _CODES)
        if call.fault is not None and call.fault.kind is Kind.ERROR:
            simulation.observations.affected([write])
        try:
            process.send(call)
        finally:
            invocation.resume()
        yield
        simulation.observations.written(process.name, method, [write])
        try:
            process.receive(call)
        finally:
            invocation.resume()
