"""Simulates a Lambda function: environments, cold starts, timeouts, crashes, and concurrency.

Pages, in lambda/latest:

- dg/lambda-runtime-environment.html: an environment handles one invocation at a time and is used again; after a timeout
  or a crash, the next invocation is in a new one.
- api/API_Invoke.html: a function error has the status 200 and FunctionError. A payload has up to 6 MB
  (dg/gettingstarted-limits.html). dg/python-exceptions.html: the response to an exception.
- dg/troubleshooting-invocation.html: the message of a timeout.
- dg/lambda-concurrency.html: status 429 above the reserved concurrency.
- dg/invocation-async-error-handling.html: an event (`InvocationType="Event"`) is tried two more times after a function
  error, after one minute and after two, and for up to 6 hours while the function is throttled.
  dg/invocation-async-retain-records.html: the record that a destination gets afterwards.
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from botocore.exceptions import ClientError

from iot_constructs.testing.calls import describe_records, short_number
from iot_constructs.testing.processes import Client, Process, ProcessEnded, World, aws_error

_MAX_PAYLOAD_BYTES = 6 * 2**20
_ASYNC_ATTEMPTS = 3
_MAX_ASYNC_PAUSE_SECONDS = 300.0
_MAX_ASYNC_AGE_SECONDS = 21_600.0

Handler = Callable[[Any, "Context"], Any]
Text = str | Callable[[], str]
"""What `History.add` takes."""


class CreateHandler(Protocol):
    """Creates the handler of a new environment, as a cold start does."""

    def __call__(self, environment: Environment) -> Handler:
        """Return the handler."""


class Environment:
    """An execution environment: what module-level code creates lives as long as it."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.invocation: Process | None = None
        self.handler: Handler | None = None

    def client(self, service: str) -> Client:
        """Return a client, whose calls are part of the current invocation."""
        return Client(self._current, service)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass. Has the signature of `time.sleep`."""
        self._current().sleep(seconds)

    def _current(self) -> Process:
        if self.invocation is None:
            raise RuntimeError("a call outside of an invocation")
        return self.invocation


class Context:
    """Lambda's context object."""

    def __init__(self, function_name: str, request_id: str, process: Process) -> None:
        self.function_name = function_name
        self.aws_request_id = request_id
        self._process = process

    def get_remaining_time_in_millis(self) -> int:
        """Return how much time the invocation has left."""
        deadline = self._process.deadline
        assert deadline is not None
        return max(0, int((deadline - self._process.world.scheduler.now) * 1000))


class Function:
    """A function, with the `invoke` of a boto3 client."""

    def __init__(
        self,
        world: World,
        name: str,
        create_handler: CreateHandler,
        *,
        timeout_seconds: float = 60.0,
        concurrency: int = 1000,
    ) -> None:
        self.name = name
        self.timeout_seconds = timeout_seconds
        self.concurrency = concurrency
        self.invocations = self.cold_starts = self.timeouts = self.crashes = 0
        self.running = 0
        self.pending_events = 0
        """The number of asynchronous invocations that have not ended."""
        self.on_begin: Callable[[Process, Mapping[str, Any]], None] = lambda process, event: None
        self.describe_event: Callable[[Any, int], Text] = partial(partial, _describe_event)
        """Returns the line of the history for an event, and the number of its environment."""
        self.describe_response: Callable[[Any], Text] = partial(partial, _describe_response)
        self.on_async_failure: Callable[[dict[str, Any]], object] = lambda record: None
        """Called with the invocation record of an asynchronous invocation that failed in the end."""
        self.on_end: Callable[[Process, Mapping[str, Any], Any], None] = (
            lambda process, event, response: None
        )
        """Called after an invocation with the event, and the response or None."""
        self._world = world
        self._create_handler = create_handler
        self._idle: list[Environment] = []

    def update(self) -> None:
        """Apply a configuration change: the next invocations are in new environments."""
        self._idle.clear()

    def invoke(
        self,
        *,
        FunctionName: str,
        Payload: bytes,
        InvocationType: str = "RequestResponse",
    ) -> dict[str, Any]:
        """Invoke the function, and wait for its response unless the type is Event."""
        if self.name not in (FunctionName, *FunctionName.split(":")[6:7]):
            raise aws_error("ResourceNotFoundException", f"no function {FunctionName}", 404)
        if len(Payload) > _MAX_PAYLOAD_BYTES:
            raise aws_error("RequestTooLargeException", "the payload is larger than 6 MB", 413)
        event = json.loads(Payload)
        if InvocationType == "Event":
            self.pending_events += 1
            self._world.scheduler.spawn(f"event of {self.name}", partial(self._run_later, event))
            return {"StatusCode": 202, "Payload": io.BytesIO(b"")}
        return self._invoke(event, self._world.caller)

    def _run_later(self, event: Any) -> None:
        scheduler = self._world.scheduler
        accepted, attempts, pause = scheduler.now, 0, 1.0
        condition, response = "EventAgeExceeded", None
        while scheduler.now - accepted < _MAX_ASYNC_AGE_SECONDS:
            try:
                response = self._invoke(event, None)
            except ClientError:
                scheduler.sleep(pause)
                pause = min(2 * pause, _MAX_ASYNC_PAUSE_SECONDS)
                continue
            if "FunctionError" not in response:
                self.pending_events -= 1
                return
            attempts += 1
            if attempts == _ASYNC_ATTEMPTS:
                condition = "RetriesExhausted"
                break
            scheduler.sleep(60.0 * attempts)
        self.on_async_failure(_invocation_record(self.name, event, response, condition, attempts))
        self.pending_events -= 1

    def _invoke(self, event: Any, caller: Process | None) -> dict[str, Any]:
        if self.running >= self.concurrency:
            raise aws_error("TooManyRequestsException", "Rate Exceeded.", 429)
        self.invocations += 1
        number = self.invocations
        self.running += 1
        try:
            return self._run(number, event, caller)
        finally:
            self.running -= 1

    def _run(self, number: int, event: Any, caller: Process | None) -> dict[str, Any]:
        world = self._world
        environment = self._take_environment()
        process = Process(
            world,
            "function",
            f"invocation {number}",
            deadline=world.scheduler.now + self.timeout_seconds,
        )
        process.caller = caller
        environment.invocation = process
        self.on_begin(process, event)
        world.log(process.name, self.describe_event(event, environment.number))
        request_id = f"request-{number:06d}"
        error: dict[str, str] | None = None
        response: Any = None
        try:
            if environment.handler is None:
                self.cold_starts += 1
                process.sleep(0.2)
                environment.handler = self._create_handler(environment)
            response = environment.handler(event, Context(self.name, request_id, process))
            if process.ended:  # the handler caught what ended it
                raise ProcessEnded(process.ended)
            world.log(process.name, self.describe_response(response))
            self._idle.append(environment)
        except ProcessEnded as ended:
            if str(ended) == "timed out":
                self.timeouts += 1
                seconds = f"{self.timeout_seconds:.2f} seconds"
                error = {"errorMessage": f"{request_id} Task timed out after {seconds}"}
            else:
                self.crashes += 1
                error = {"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited"}
            response = None
        except Exception as raised:
            world.log(process.name, f"raised {type(raised).__name__}")
            error = {"errorType": type(raised).__name__, "errorMessage": str(raised)}
            self._idle.append(environment)
        environment.invocation = None
        self.on_end(process, event, response if error is None else None)
        payload = json.dumps(response if error is None else error).encode()
        return {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "ResponseMetadata": {"RequestId": request_id, "HTTPStatusCode": 200},
            "Payload": io.BytesIO(payload),
            **({"FunctionError": "Unhandled"} if error is not None else {}),
        }

    def _take_environment(self) -> Environment:
        if self._idle:
            index = int(self._world.scheduler.random.random() * len(self._idle))
            return self._idle.pop(index)
        return Environment(self._world, self.cold_starts + 1)


def _invocation_record(
    name: str, event: Any, response: Mapping[str, Any] | None, condition: str, attempts: int
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "version": "1.0",
        "requestContext": {
            "functionArn": name,
            "condition": condition,
            "approximateInvokeCount": attempts,
        },
        "requestPayload": event,
    }
    if response is not None:
        record["responseContext"] = {
            "statusCode": response["StatusCode"],
            "executedVersion": response["ExecutedVersion"],
            "functionError": response["FunctionError"],
        }
        record["responsePayload"] = json.loads(response["Payload"].read())
    return record


def _describe_event(event: Any, environment: int) -> str:
    records = event.get("Records") if isinstance(event, dict) else None
    text = "begins"
    if records and all("kinesis" in record for record in records):
        text = describe_records(records)
    return f"{text} (environment {environment})"


def _describe_response(response: Any) -> str:
    failures = response.get("batchItemFailures") if isinstance(response, dict) else None
    if not failures:
        return "returns no failures"
    numbers = [short_number(str(failure["itemIdentifier"])) for failure in failures]
    return f"returns the failures {', '.join(numbers)}"
