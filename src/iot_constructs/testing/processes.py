"""A program that calls AWS services: an invocation of a function, the poller of a mapping, an operator's command.

Each call goes through `Process.call`, which lets time pass, so that other tasks come in between, injects the fault of
the plan, and ends the process if it crashes or exceeds its deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from iot_constructs.testing.calls import describe_call, is_described
from iot_constructs.testing.faults import Fault, FaultPlan, Kind
from iot_constructs.testing.history import History
from iot_constructs.testing.scheduler import Scheduler

Model = Any
"""An in-memory service: it has a method for each operation, which takes the request of boto3 and returns the response.

A method of a batch operation has the parameter ``fails``: index of an entry -> error code, or None.
"""


class ProcessEnded(BaseException):
    """The process does not exist any more. Not an Exception: no handler of the program must catch it."""


def aws_error(code: str, message: str = "", status: int = 400) -> ClientError:
    """Return the error that boto3 raises for an error response."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "simulated",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "Simulated",
    )


_SERVER_ERRORS = ("InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable")
# The read timeout of the function's clients (processor/handler.py), after which boto3 gives up.
_READ_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Call:
    """A call of a service."""

    fault: Fault | None
    latency: float
    """In seconds. The call takes effect in the middle of it."""


class World:
    """What all processes of a simulation share."""

    def __init__(self, scheduler: Scheduler, faults: FaultPlan, history: History) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.history = history
        self.services: dict[str, Model] = {}
        """Name of the boto3 client -> the service."""
        self.latencies: dict[str, float] = {}
        """Role of a process -> the longest latency of its calls, if they take longer than usual."""
        self.caller: Process | None = None
        """The process whose call takes effect at this moment."""
        self.on_call: Callable[[Process, str, Mapping[str, Any]], None] = (
            lambda process, operation, request: None
        )
        """Called before each call, with the operation and the request."""

    def log(self, actor: str, content: str | Callable[[], str]) -> None:
        """Add an event to the history, with its text or a function that returns it."""
        self.history.add(self.scheduler.now, actor, content)


class Process:
    """A program with a name, which may have a deadline."""

    def __init__(
        self, world: World, role: str, name: str, *, deadline: float | None = None
    ) -> None:
        self.world = world
        self.role = role
        """What the process is: the fault plan has rates for its calls, such as ``function.put_item``."""
        self.name = name
        self.deadline = deadline
        self.ended = ""
        """Why the process ended, or empty."""
        self.faulty = False
        """Whether a fault was injected into one of its calls."""
        self.slowest_call = 0.0
        """The seconds of its longest call, also of one that it did not survive."""
        self.caller: Process | None = None
        """The process that invoked it, if it is an invocation of a function that waits for the response."""

    def client(self, service: str) -> Client:
        """Return the client of a service."""
        return Client(lambda: self, service)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass, up to the deadline."""
        self._check()
        scheduler = self.world.scheduler
        if self.deadline is not None and scheduler.now + seconds >= self.deadline:
            scheduler.sleep(self.deadline - scheduler.now)
            self.end("timed out")
        scheduler.sleep(seconds)
        self._check()

    def end(self, reason: str) -> None:
        """End the process: what called this, and each later call, raises `ProcessEnded`."""
        if not self.ended:
            self.ended = reason
            self.world.log(self.name, reason)
        self._check()

    def call(self, service: str, operation: str, request: dict[str, Any]) -> Any:
        """Call an operation of a service."""
        began = self.world.scheduler.now
        try:
            return self._call(service, operation, request)
        finally:
            self.slowest_call = max(self.slowest_call, self.world.scheduler.now - began)

    def _call(self, service: str, operation: str, request: dict[str, Any]) -> Any:
        self._check()
        self.world.on_call(self, operation, request)
        call = self.start_call(operation)
        self.send(call)
        self.world.caller = self
        method: Callable[..., Any] = getattr(self.world.services[service], operation)
        if call.fault is not None and call.fault.kind is Kind.PARTIAL:
            response = method(fails=partial(_entry_code, call.fault), **request)
        else:
            response = method(**request)
        if is_described(operation, response):
            self.world.log(self.name, partial(describe_call, operation, request, response))
        self.receive(call)
        return response

    def start_call(self, operation: str, codes: Sequence[str] = ("",)) -> Call:
        """Draw the fault and the latency of a call, which `send` and `receive` apply.

        Args:
            operation: the method of a boto3 client.
            codes: what an error has of these, if its rate has no codes.
        """
        self._check()
        world = self.world
        fault = world.faults.next(f"{self.role}.{operation}")
        draw = world.scheduler.random.random()
        latency = 0.002 + 0.03 * draw**2
        if self.role in world.latencies:
            latency = world.latencies[self.role] * (0.5 + draw / 2)
        if fault is not None:
            if fault.kind in (Kind.ERROR, Kind.PARTIAL) and not fault.code:
                fault = replace(fault, code=codes[fault.seed % len(codes)])
            self.faulty = True
            world.log(self.name, f"{operation}: {fault.kind.value} {fault.code}".rstrip())
        return Call(fault, latency)

    def send(self, call: Call, *, read_timeout: float = _READ_TIMEOUT_SECONDS) -> None:
        """Let the time before the effect of a call pass.

        Raises:
            ClientError, ReadTimeoutError: the call fails without an effect.
            ProcessEnded: the process crashes, or exceeds its deadline.
        """
        fault = call.fault
        if fault is not None:
            if fault.kind is Kind.CRASH_BEFORE:
                self.end("crashed")
            if fault.kind is Kind.SLOW:
                self.sleep(fault.seconds)
            if fault.kind is Kind.ERROR:
                self.sleep(call.latency)
                status = 500 if fault.code in _SERVER_ERRORS else 400
                raise aws_error(fault.code, "injected", status)
            if fault.kind is Kind.NO_REQUEST:
                self.sleep(read_timeout)
                raise ReadTimeoutError(endpoint_url="https://simulated")
        self.sleep(call.latency / 2)

    def receive(self, call: Call, *, read_timeout: float = _READ_TIMEOUT_SECONDS) -> None:
        """Let the time after the effect of a call pass.

        Raises:
            ReadTimeoutError: the response is lost.
            ProcessEnded: the process crashes, or exceeds its deadline.
        """
        self.sleep(call.latency / 2)
        if call.fault is None:
            return
        if call.fault.kind is Kind.NO_RESPONSE:
            self.sleep(read_timeout)
            raise ReadTimeoutError(endpoint_url="https://simulated")
        if call.fault.kind is Kind.CRASH_AFTER:
            self.end("crashed")

    def _check(self) -> None:
        if self.ended:
            raise ProcessEnded(self.ended)


def _entry_code(fault: Fault, entry: int) -> str | None:
    return fault.code if fault.fails(entry) else None


class Client:
    """Has a method for each operation, as a boto3 client does."""

    def __init__(self, process: Callable[[], Process], service: str) -> None:
        self._process = process
        self._service = service

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation.startswith("_"):
            raise AttributeError(operation)

        def call(**request: Any) -> Any:
            return self._process().call(self._service, operation, request)

        return call

    def get_paginator(self, operation: str) -> Paginator:
        """Return a paginator, whose only page is the response of the operation."""
        return Paginator(getattr(self, operation))


class Paginator:
    """The paginator of an operation whose response has one page."""

    def __init__(self, call: Callable[..., Mapping[str, Any]]) -> None:
        self._call = call

    def paginate(self, **request: Any) -> list[Mapping[str, Any]]:
        """Return the only page."""
        return [self._call(**request)]
