"""Where the records go: back on the stream, or to the function directly. Each says what was accepted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iot_constructs._defaults import BATCH_SIZE
from iot_constructs.cli.aws_errors import AWS_ERRORS, Attempts, code_of, described, is_passing
from iot_constructs.cli.kinesis_records import (
    Record,
    event_bytes,
    event_of,
    identifier_in_event,
)
from iot_constructs.cli.recovery import Event, Recovered

# kinesis APIReference API_PutRecords.html: 500 records a call. A call takes 10 MiB, but 5 MiB until large records
# came (streams/latest/dev/large-records.html); one record above that goes alone.
MAX_RECORDS_PER_PUT = 500
MAX_BYTES_PER_PUT = 5 * 1024 * 1024
# lambda/latest/dg/gettingstarted-limits.html: 6 MB for the request of a synchronous invocation.
MAX_EVENT_BYTES = 6_000_000
_EVENT_OVERHEAD_BYTES = 100

_REFUSED_AS_A_WHOLE = ("InvalidArgumentException", "ValidationException")


@dataclass
class Outcome:
    """What became of one message's records."""

    accepted: int = 0
    problem: str | None = None
    """Why not all of them were accepted."""


class Destination(Protocol):
    """Takes records."""

    name: str

    def objection(self, found: Recovered) -> str | None:
        """Why it cannot take what was found, if it cannot."""

    def deliver(self, found: Sequence[Recovered]) -> list[Outcome]:
        """Deliver what was found for each of some messages."""


class RateLimit:
    """At most so many records in a second; without a number, no limit."""

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
        """Return when this many more records may go."""
        if self.per_second is None:
            return
        now = self._clock()
        if now < self._free_at:
            self._sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + records / self.per_second

    def largest(self, limit: int) -> int:
        """How many records may go at once: never more than those of one second."""
        return limit if self.per_second is None else min(limit, self.per_second)


class KinesisWriter(Protocol):
    """The call that is made."""

    def put_records(self, **request: Any) -> dict[str, Any]:
        """Put up to 500 records on a stream."""


class LambdaClient(Protocol):
    """The call that is made."""

    def invoke(self, **request: Any) -> dict[str, Any]:
        """Run a function and wait for its answer."""


class StreamDestination:
    """Puts the records back on a stream, under the partition keys that they had.

    They go in the order in which the stream took them before, as far as that is possible: PutRecords keeps no order
    within a call when some records of it fail (API_PutRecords.html), and nothing else is sent before those were
    tried again. The processor does not depend on the order: late data never overwrites newer data.
    """

    def __init__(
        self,
        client: KinesisWriter,
        stream: str | None,
        *,
        rate: RateLimit,
        attempts: Attempts,
        keep_alive: Callable[[], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._rate = rate
        self._attempts = attempts
        self._keep_alive = keep_alive
        self.name = f"stream {stream}" if stream is not None else "the stream they came from"

    def objection(self, found: Recovered) -> str | None:
        """An event cannot go on a stream, nor can a record without one."""
        if found.event is not None:
            return "not a kinesis event: only the function can take it, see --function"
        if self._stream is None and any(record.stream_arn is None for record in found.records):
            return "an IoT rule's error does not say the stream: name it with --stream"
        return None

    def deliver(self, found: Sequence[Recovered]) -> list[Outcome]:
        """Put the records of several messages together, so that small ones share a call."""
        outcomes = [Outcome() for _ in found]
        targets: dict[str, list[tuple[Outcome, Record]]] = {}
        for outcome, recovered in zip(outcomes, found, strict=True):
            for record in recovered.records:
                target = self._stream if self._stream is not None else record.stream_arn
                assert target is not None  # see objection()
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
        """Put a group, and what of it was refused again, in the same order."""
        named = {"StreamARN" if target.startswith("arn:") else "StreamName": target}
        pending, problem = group, ""
        for _ in self._attempts:
            self._keep_alive()
            self._rate.wait_for(len(pending))
            try:
                answer = self._client.put_records(
                    **named,
                    Records=[
                        {"Data": record.data, "PartitionKey": record.partition_key}
                        for _, record in pending
                    ],
                )
            except AWS_ERRORS as error:
                problem = described(error)
                if is_passing(error):
                    continue
                if code_of(error) in _REFUSED_AS_A_WHOLE and len(pending) > 1:
                    # One record that is too large for this stream must not hold up the others.
                    half = len(pending) // 2
                    self._put(target, pending[:half])
                    self._put(target, pending[half:])
                    return
                break
            refused = []
            for (outcome, record), result in zip(pending, answer["Records"], strict=True):
                if result.get("ErrorCode"):
                    problem = str(result["ErrorCode"])
                    refused.append((outcome, record))
                else:
                    outcome.accepted += 1
            pending = refused
            if not pending:
                return
        for outcome, _ in pending:
            outcome.problem = f"the stream did not accept every record ({problem}); run it again"


class FunctionDestination:
    """Invokes the function with events made of the records, and waits for its answer.

    Synchronously: of an asynchronous invocation nobody reads `batchItemFailures`, so records that failed would count
    as done (lambda/latest/dg/invocation-async.html). One message at a time, so that what cannot be processed keeps
    no other message on the queue; and the records of one shard at a time, in their order, as Lambda does it.
    """

    def __init__(
        self,
        client: LambdaClient,
        function: str,
        *,
        rate: RateLimit,
        attempts: Attempts,
        keep_alive: Callable[[], None],
    ) -> None:
        self._client = client
        self._function = function
        self._rate = rate
        self._attempts = attempts
        self._keep_alive = keep_alive
        self.name = f"function {function}"

    def objection(self, found: Recovered) -> str | None:
        """An invocation takes 6 MB."""
        largest = max(map(event_bytes, found.records), default=0)
        if found.event is not None:
            largest = len(json.dumps(found.event.value))
        if largest + _EVENT_OVERHEAD_BYTES > MAX_EVENT_BYTES:
            return f"an invocation takes 6 MB and this is {largest} bytes; see --stream"
        return None

    def deliver(self, found: Sequence[Recovered]) -> list[Outcome]:
        """Deliver one message after the other."""
        return [self._deliver(recovered) for recovered in found]

    def _deliver(self, found: Recovered) -> Outcome:
        if found.event is not None:
            return self._deliver_event(found.event)
        outcome = Outcome()
        for group in self._groups(found.records):
            accepted, problem = self._invoke(event_of(group), len(group))
            if problem is None:
                outcome.accepted += len(group)
                continue
            outcome.accepted += _before_failure(group, accepted)
            outcome.problem = problem
            break  # the records after a failed one wait for it, as on the stream
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
                record_size = event_bytes(record)
                if group and (len(group) == most or size + record_size > MAX_EVENT_BYTES):
                    yield group
                    group, size = [], _EVENT_OVERHEAD_BYTES
                group.append(record)
                size += record_size
            yield group

    def _invoke(self, event: Any, records: int) -> tuple[list[Any], str | None]:
        """What the function says has failed, and the problem; no problem means that it took everything."""
        payload = json.dumps(event).encode()
        problem = ""
        for _ in self._attempts:
            self._keep_alive()
            self._rate.wait_for(records)
            try:
                answer = self._client.invoke(
                    FunctionName=self._function,
                    InvocationType="RequestResponse",
                    Payload=payload,
                )
                said = answer["Payload"].read()
            except AWS_ERRORS as error:
                problem = f"the function could not be invoked ({described(error)})"
                if is_passing(error):
                    continue
                break
            return _failures(answer.get("FunctionError"), said)
        return [], problem


def _failures(function_error: str | None, said: bytes) -> tuple[list[Any], str | None]:
    """What counts as success: lambda/latest/dg/services-kinesis-batchfailurereporting.html."""
    try:
        answer = json.loads(said) if said.strip() else None
    except ValueError:
        return [], "the function's answer is not JSON"
    if function_error is not None:
        details = answer if isinstance(answer, dict) else {}
        what = f"{details.get('errorType', 'no type')}: {details.get('errorMessage', 'no message')}"
        return [], f"the function failed ({function_error}: {what[:200]})"
    if answer is None:
        return [], None
    if not isinstance(answer, dict):
        return [], "the function's answer is not an object"
    failures = answer.get("batchItemFailures")
    if failures is None or failures == []:
        return [], None
    if not isinstance(failures, list):
        return [], "the function's batchItemFailures is not a list"
    return failures, f"the function reported {len(failures)} failed; read its log"


def _before_failure(group: Sequence[Record], failures: Sequence[Any]) -> int:
    """How many records come before the lowest sequence number that failed.

    None of them do if a name is not one of this batch: Lambda then takes the whole batch for failed (FACTS 3).
    """
    positions = {identifier_in_event(n, record): n for n, record in enumerate(group, 1)}
    failed = [
        positions.get(str(failure.get("itemIdentifier")), 0) if isinstance(failure, dict) else 0
        for failure in failures
    ]
    return max(min(failed, default=0) - 1, 0)
