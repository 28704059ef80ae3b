"""Connects boto3 and botocore with a simulation: each API call takes virtual time, can fail, and is observed.

moto answers the calls. What it does not have (time, faults, and the interleaving with other invocations) is added with
botocore's events, which clients of all sessions have that are created meanwhile:

- ``before-parameter-build``: a fault is drawn; the failed entries of a batch are taken out of the request.
- ``before-call``: time passes; the call is rejected, is lost, or the process ends.
- ``after-call``: the failed entries are added to the response; time passes; the response is lost, or the process ends.

A fault is what remains after the client's own retries. A lost response takes the read timeout of the client
(``Config(read_timeout=...)``, 60 seconds by default).
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from unittest import mock

import boto3
from botocore import UNSIGNED, xform_name
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.handlers import BUILTIN_HANDLERS

from iot_constructs.testing.aws_operations import BATCHES, entry_count, writes
from iot_constructs.testing.faults import Kind
from iot_constructs.testing.observations import Observations
from iot_constructs.testing.processes import Call, Process

REGION = "us-east-1"
ACCOUNT = "123456789012"
_ENVIRONMENT = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
}
_UNSET = re.compile(r"AWS_PROFILE|AWS_DEFAULT_PROFILE|AWS_SESSION_TOKEN|AWS_ENDPOINT_URL.*")
# What the handlers keep in botocore's context of a call.
_CALL, _FAILED, _REQUEST, _WRITES = (
    f"simulated_{name}" for name in ("call", "failures", "request", "writes")
)

# What a service answers when it rejects a call for a while: the common errors in its API reference.
_CODES = {
    "dynamodb": (
        *("ProvisionedThroughputExceededException", "ThrottlingException"),
        "InternalServerError",
    ),
    "kinesis": ("ProvisionedThroughputExceededException", "InternalFailure"),
    "s3": ("SlowDown", "InternalError", "ServiceUnavailable"),
    "sns": ("Throttled", "InternalError"),
    "sqs": ("RequestThrottled", "InternalFailure"),
}
_OTHER_CODES = ("ThrottlingException", "InternalFailure", "ServiceUnavailable")


class Invocation(Protocol):
    """An invocation of the function that makes a call."""

    @property
    def process(self) -> Process:
        """The invocation."""

    def resume(self) -> None:
        """Continue after other tasks ran."""


class Observer(Protocol):
    """The running simulation."""

    @property
    def observations(self) -> Observations:
        """What it observed."""

    def current(self) -> Invocation | None:
        """Return the invocation that runs, or None."""


def runs_as_task() -> bool:
    """Whether the caller can wait in virtual time: not in a thread or an event loop of the handler."""
    if threading.current_thread() is not threading.main_thread():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


class AwsCalls:
    """The handlers of botocore's events, and moto."""

    def __init__(self) -> None:
        self.simulation: Observer | None = None
        self._keys: dict[str, list[str]] = {}
        self._services: Any = None
        self._tables: Any = None

    @contextmanager
    def connected(self, environment: Mapping[str, str]) -> Iterator[None]:
        """Connect the clients that are created meanwhile, in this process environment."""
        # Takes seconds, which the simulation of the pipeline does not need. Adds a handler to the list itself.
        mock_aws = importlib.import_module("moto").mock_aws
        self._services = mock_aws(
            config={"core": {"reset_boto3_session": False, "mock_credentials": False}}
        )
        handlers: list[tuple[str, Callable[..., Any]]] = [
            ("choose-signer", lambda **_: UNSIGNED),  # a third of the time of a call
            ("before-parameter-build", self._before_parameter_build),
            ("before-call", self._before_call),
            *((f"after-call.{name}", self._add_failures) for name in BATCHES),
            ("after-call", self._after_call),
        ]
        kept = {name: value for name, value in os.environ.items() if not _UNSET.fullmatch(name)}
        new = {**kept, **_ENVIRONMENT, **environment}
        default = boto3.DEFAULT_SESSION
        with mock.patch.dict(os.environ, new, clear=True):
            self._tables = boto3.Session().client("dynamodb")
            # As moto does: the only list that the sessions of boto3, of botocore, and of other libraries share.
            BUILTIN_HANDLERS.extend(handlers)
            try:
                boto3.setup_default_session()
                yield
            finally:
                boto3.DEFAULT_SESSION = default
                for handler in handlers:
                    BUILTIN_HANDLERS.remove(handler)

    @contextmanager
    def running(self, simulation: Observer) -> Iterator[boto3.Session]:
        """Start with empty services."""
        with self._services:
            self.simulation = simulation
            self._keys.clear()
            try:
                yield boto3.DEFAULT_SESSION
            finally:
                self.simulation = None

    def _current(self) -> Invocation | None:
        return self.simulation.current() if self.simulation is not None else None

    def _before_parameter_build(
        self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        invocation = self._current()
        if invocation is None:
            return
        name = _operation(model)
        context[_REQUEST] = dict(params)
        if not runs_as_task():
            return
        batch = BATCHES.get(name)
        rejections = _CODES.get(model.service_model.service_name, _OTHER_CODES)
        call = invocation.process.start_call(
            xform_name(model.name), rejections if batch is None else batch.codes
        )
        context[_CALL] = call
        if call.fault is None or call.fault.kind is not Kind.PARTIAL or batch is None:
            return
        failed = {n for n in range(entry_count(name, params)) if call.fault.fails(n)}
        failed.discard(0)  # a request without entries is not valid
        context[_FAILED] = (failed, call.fault.code)
        params.update(batch.remove(params, failed))  # botocore ignores what a handler returns

    def _before_call(
        self, model: Any, context: dict[str, Any], **_: Any
    ) -> tuple[AWSResponse, Any] | None:
        invocation, call = self._current(), context.get(_CALL)
        if invocation is None or _REQUEST not in context:
            return None
        done = writes(_operation(model), context[_REQUEST], self._key_names)
        context[_WRITES] = done
        if call is None or self.simulation is None:
            return None
        if call.fault is not None and call.fault.kind in (Kind.ERROR, Kind.PARTIAL):
            self.simulation.observations.affected(done)
        try:
            _wait(invocation, invocation.process.send, call, context)
        except ClientError as error:
            del context[_WRITES]
            response: Any = error.response
            status = response["ResponseMetadata"]["HTTPStatusCode"]
            return AWSResponse("https://simulated", status, {}, None), response
        return None

    def _add_failures(
        self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        if _FAILED in context and _WRITES in context and "Error" not in parsed:
            failed, code = context[_FAILED]
            name = _operation(model)
            parsed.update(BATCHES[name].add_failures(context[_REQUEST], parsed, failed, code))

    def _after_call(
        self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        invocation = self._current()
        if invocation is None or _WRITES not in context:
            return
        self._observe(invocation, _operation(model), context, parsed)
        if _CALL in context:
            _wait(invocation, invocation.process.receive, context[_CALL], context)

    def _observe(
        self,
        invocation: Invocation,
        name: str,
        context: Mapping[str, Any],
        parsed: dict[str, Any],
    ) -> None:
        assert self.simulation is not None
        request, done = context[_REQUEST], context[_WRITES]
        method = xform_name(name.partition(".")[2])
        seen = self.simulation.observations
        error = parsed.get("Error", {}).get("Code")
        if error is not None:
            if error in ("ConditionalCheckFailedException", "TransactionCanceledException"):
                seen.refused(invocation.process.name, method, done)
            else:
                seen.failed(invocation.process.name, method, error)
            return
        failed = BATCHES[name].failed(request, parsed) if name in BATCHES else set()
        seen.written(
            invocation.process.name,
            method,
            [write for index, write in enumerate(done) if index not in failed and write.content],
        )

    def _key_names(self, table: str) -> list[str]:
        if table not in self._keys:
            try:
                found = self._tables.describe_table(TableName=table)
            except ClientError:  # the call fails for the same reason
                return []
            self._keys[table] = [each["AttributeName"] for each in found["Table"]["KeySchema"]]
        return self._keys[table]


def _operation(model: Any) -> str:
    return f"{model.service_model.service_id.hyphenize()}.{model.name}"


def _wait(
    invocation: Invocation,
    wait: Callable[..., None],
    call: Call,
    context: Mapping[str, Any],
) -> None:
    try:
        wait(call, read_timeout=float(context["client_config"].read_timeout))
    finally:
        invocation.resume()
