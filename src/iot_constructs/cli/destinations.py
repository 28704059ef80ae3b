"""The destinations of redriven records: the stream, or the function directly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iot_constructs._defaults import BATCH_SIZE
from iot_constructs.cli.aws_errors import (
    AWS_ERRORS,
    RetryPolicy,
    error_code,
    format_error,
    is_retryable,
)
from iot_constructs.cli.kinesis_records import (
    Record,
    arn_region,
    build_event,
    event_record_size,
    item_identifier,
)
from iot_constructs.cli.recovery import Event, Recovered

# PutRecords accepts 500 records per request, and 10 MiB, or 5 MiB before large records were introduced
# (kinesis APIReference API_PutRecords, streams/latest/dev/large-records.html). A larger record is sent alone.
MAX_RECORDS_PER_PUT = 500
MAX_BYTES_PER_PUT = 5 * 1024 * 1024
# The request of a synchronous invocation can have 6 MB (lambda/latest/dg/gettingstarted-limits.html).
MAX_EVENT_BYTES = 6_000_000
_EVENT_OVERHEAD_BYTES = 100

_INVALID_REQUEST = ("InvalidArgumentException", "ValidationException")


@dataclass
class Outcome:
    """The result of the delivery of one message's records."""

    accepted: int = 0
    problem: str | None = None
    """Why some records were not accepted."""


class Destination(Protocol):
    """Accepts redriven records."""

    name: str

    def validate(self, found: Recovered) -> str | None:
        """Return why the destination cannot accept the records, or None if it can."""

    def deliver(self, found: Sequence[Recovered]) -> list[Outcome]:
        """Deliver the records of several messages."""


class RateLimit:
    """Limits the number of records per second; None is unlimited."""

    def __init__(
        self,
        per_second: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.per_second = per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    def wait_for(self, records: int) -> None:
        """Wait until this number of records can be sent."""
        if self.per_second is None:
            return
        now = self._clock()
        if now < self._free_at:
            self._sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + records / self.per_second

    def largest(self, limit: int) -> int:
        """Return the maximum number of records per request: not more than the limit per second."""
        return limit if self.per_second is None else min(limit, self.per_second)


class KinesisWriter(Protocol):
    """The Kinesis call that `StreamDestination` uses."""

    def put_records(self, **request: Any) -> dict[str, Any]:
        """Put up to 500 records on a stream."""


class LambdaClient(Protocol):
    """The Lambda call that `FunctionDestination` uses."""

    def invoke(self, **request: Any) -> dict[str, Any]:
        """Invoke a function and wait for its response."""


class StreamDestination:
    """Puts the records back on a stream with their partition keys.

    Records are sent in their original order where possible: PutRecords does not preserve the order if some records of a
    request fail, and these are retried before others are sent
    (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html). The processor does not depend on the
    order: late data never overwrites newer data.

    ``client_in`` returns the client of a Region: of the ARN's, or None for a stream that is given by its name.
    """

    def __init__(
        self,
        client_in: Callable[[str | None], KinesisWriter],
        stream: str | None,
        *,
        rate: RateLimit,
        retry_policy: RetryPolicy,
        keep_alive: Callable[[], None],
    ) -> None:
        self._client_in = client_in
        self._stream = stream
        self._rate = rate
        self._retry_policy = retry_policy
        self._keep_alive = keep_alive
        self.name = f"stream {stream}" if stream is not None else "their original stream"

    def validate(self, found: Recovered) -> str | None:
        """Reject events, and records without a stream."""
        if found.event is not None:
            return "not a Kinesis event: only the function can process it; use --function"
        if self._stream is None and any(record.stream_arn is None for record in found.records):
            return "a record that never reached the stream, as of an IoT rule error; use --stream"
        return None

    def deliver(self, found: Sequence[Recovered]) -> list[Outcome]:
        """Put the records of several messages with as few requests as possible."""
        outcomes = [Outcome() for _ in found]
        targets: dict[str, list[tuple[Outcome, Record]]] = {}
        for outcome, recovered in zip(outcomes, found, strict=True):
            for record in recovered.records:
                target = self._stream if self._stream is not None else record.stream_arn
                assert target is not None  # see validate()
                targets.setdefault(target, []).append((outcome, record))
        for target, entries in targets.items():
            entries.sort(key=lambda entry: entry[1].position)
            for group in self._groups(entries):
                self._put(target, group)
        return outcomes

    def _groups(
        self, entries: Sequence[tuple[Outcome, Record]]
    ) -> Iterator[list[tuple[Outcome, Record]]]:
        most = self._rate.largest(MAX_RECORDS_PER_PUT)
        group: list[tuple[Outcome, Record]] = []
        size = 0
        for entry in entries:
            record_size = entry[1].size
            if group and (len(group) == most or size + record_size > MAX_BYTES_PER_PUT):
                yield group
                group, size = [], 0
            group.append(entry)
            size += record_size
        if group:
            yield group

    def _put(self, target: str, group: list[tuple[Outcome, Record]]) -> None:
        """Put records, and retry those that failed in the same order."""
        named = {"StreamARN" if target.startswith("arn:") else "StreamName": target}
        pending, problem = group, ""
        for _ in self._retry_policy:
            self._keep_alive()
            self._rate.wait_for(len(pending))
            try:
                response = self._client_in(arn_region(target)).put_records(
                    **named,
                    Records=[
                        {"Data": record.data, "PartitionKey": record.partition_key}
                        for _, record in pending
                    ],
                )
            except AWS_ERRORS as error:
                problem = format_error(error)
                if is_retryable(error):
                    continue
                if error_code(error) in _INVALID_REQUEST and len(pending) > 1:
                    # One record that is too large for this stream must not block the others.
                    half = len(pending) // 2
                    self._put(target, pending[:half])
                    self._put(target, pending[half:])
                    return
                break
            refused = []
            for (outcome, record), result in zip(pending, response["Records"], strict=True):
                if result.get("ErrorCode"):
                    problem = str(result["ErrorCode"])
                    refused.append((outcome, record))
                else:
                    outcome.accepted += 1
            pending = refused
            if not pending:
                return
        for outcome, _ in pending:
            outcome.problem = (
                f"the stream did not accept every record ({problem}); run the command again"
            )


class FunctionDestination:
    """Invokes the function synchronously with events that contain the records.

    Lambda ignores ``batchItemFailures`` of an asynchronous invocation, so failed records would count as processed
    (https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html). Messages are delivered one at a time, so that
    a failing record keeps no other message on the queue, and the records of each shard in order, as Lambda does.
    """

    def __init__(
        self,
        client: LambdaClient,
        function: str,
        *,
        rate: RateLimit,
        retry_policy: RetryPolicy,
        keep_alive: Callable[[], None],
    ) -> None:
        self._client = client
        self._function = function
        self._rate = rate
        self._retry_policy = retry_policy
        self._keep_alive = keep_alive
        self.name = f"function {function}"

    def validate(self, found: Recovered) -> str | None:
        """Reject what exceeds the 6 MB of a synchronous invocation, and records without a time of arrival.

        TelemetryProcessor compares timestamps with that time, and stores it with ``use_arrival_time``.
        """
        largest = max(map(event_record_size, found.records), default=0)
        if found.event is not None:
            largest = len(json.dumps(found.event.value))
        if largest + _EVENT_OVERHEAD_BYTES > MAX_EVENT_BYTES:
            return f"{largest} bytes exceed the 6 MB of an invocation; use --stream"
        if any(record.arrival is None for record in found.records):
            return "the time of arrival on the stream is not known; use --stream"
        return None

    def deliver(self, found: Sequence[Recovered]) -> list[Outcome]:
        """Deliver the messages one at a time."""
        return [self._deliver(recovered) for recovered in found]

    def _deliver(self, found: Recovered) -> Outcome:
        if found.event is not None:
            return self._deliver_event(found.event)
        outcome = Outcome()
        for group in self._groups(found.records):
            accepted, problem = self._invoke(build_event(group), len(group))
            if problem is None:
                outcome.accepted += len(group)
                continue
            outcome.accepted += _count_before_failure(group, accepted)
            outcome.problem = problem
            break  # records after a failed one wait, as on the stream
        return outcome

    def _deliver_event(self, event: Event) -> Outcome:
        _, problem = self._invoke(event.value, 1)
        return Outcome(0 if problem is not None else 1, problem)

    def _groups(self, records: Sequence[Record]) -> Iterator[list[Record]]:
        shards: dict[tuple[str | None, str | None], list[Record]] = {}
        for record in records:
            shards.setdefault((record.stream_arn, record.shard_id), []).append(record)
        most = self._rate.largest(BATCH_SIZE)
        for shard in shards.values():
            group: list[Record] = []
            size = _EVENT_OVERHEAD_BYTES
            for record in sorted(shard, key=lambda record: record.position):
                record_size = event_record_size(record)
                if group and (len(group) == most or size + record_size > MAX_EVENT_BYTES):
                    yield group
                    group, size = [], _EVENT_OVERHEAD_BYTES
                group.append(record)
                size += record_size
            yield group

    def _invoke(self, event: Any, records: int) -> tuple[list[Any], str | None]:
        """Invoke the function; return its batch item failures and the problem, which is None on success."""
        payload = json.dumps(event).encode()
        problem = ""
        for _ in self._retry_policy:
            self._keep_alive()
            self._rate.wait_for(records)
            try:
                response = self._client.invoke(
                    FunctionName=self._function,
                    InvocationType="RequestResponse",
                    Payload=payload,
                )
                returned = response["Payload"].read()
            except AWS_ERRORS as error:
                problem = f"the function could not be invoked ({format_error(error)})"
                if is_retryable(error):
                    continue
                break
            return _failures(response.get("FunctionError"), returned)
        return [], problem


def _failures(function_error: str | None, payload: bytes) -> tuple[list[Any], str | None]:
    """Return the batch item failures in a response, and the problem, which is None on success.

    See https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html.
    """
    try:
        response = json.loads(payload) if payload.strip() else None
    except ValueError:
        return [], "the function's response is not JSON"
    if function_error is not None:
        details = response if isinstance(response, dict) else {}
        what = f"{details.get('errorType', 'no type')}: {details.get('errorMessage', 'no message')}"
        return [], f"the function failed ({function_error}: {what[:200]})"
    if response is None:
        return [], None
    if not isinstance(response, dict):
        return [], "the function's response is not an object"
    failures = response.get("batchItemFailures")
    if failures is None or failures == []:
        return [], None
    if not isinstance(failures, list):
        return [], "the function's batchItemFailures is not a list"
    return failures, f"the function reported {len(failures)} batch item failures; see its log"


def _count_before_failure(group: Sequence[Record], failures: Sequence[Any]) -> int:
    """Return the number of records before the lowest sequence number that failed.

    It is 0 if an identifier is not in this batch: Lambda then treats the whole batch as failed
    (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html).
    """
    # Records that never reached a stream can have the same identifier: it then stands for the first of them.
    positions = {item_identifier(each): n for n, each in reversed([*enumerate(group, 1)])}
    failed = [
        positions.get(str(failure.get("itemIdentifier")), 0) if isinstance(failure, dict) else 0
        for failure in failures
    ]
    return max(min(failed, default=0) - 1, 0)
