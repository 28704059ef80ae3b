"""The loop reads shards in order, recovers from failures, and counts metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from iot_constructs.local import mapping_loop
from iot_constructs.local.mapping_configuration import Configuration
from iot_constructs.local.mapping_decisions import (
    Failed,
    NotInvoked,
    Outcome,
    PartiallyFailed,
    Rules,
    Succeeded,
)
from iot_constructs.local.mapping_failures import Destination, Failure
from iot_constructs.local.mapping_invocation import Invoker
from iot_constructs.local.mapping_loop import MappingLoop
from iot_constructs.local.mapping_metrics import Metrics
from iot_constructs.local.mapping_records import Batch, EventTemplate, Response
from iot_constructs.local.mapping_stream import (
    FROM_TRIM_HORIZON,
    StartPosition,
    StreamReader,
)

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/readings"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:processor"
RETURNED = Response("request")
RAISED = Response("request", function_error="Unhandled")
LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()


def refusal(code: str, operation: str = "GetRecords", status: int = 400) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "no"},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
                "HostId": "",
            },
        },
        operation,
    )


class Kinesis:
    """A fake of the Kinesis API for a reader."""

    def __init__(self) -> None:
        self.listed: dict[str, dict[str, Any]] = {}
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.closed: set[str] = set()
        self.failing: list[Exception] = []
        self.expired = False
        self.iterators: list[dict[str, Any]] = []
        self.number = 0

    def shard(self, shard_id: str, *parents: str, first: str = "1") -> None:
        self.listed[shard_id] = {
            "ShardId": shard_id,
            "SequenceNumberRange": {"StartingSequenceNumber": first},
            **dict(zip(("ParentShardId", "AdjacentParentShardId"), parents, strict=False)),
        }
        self.records.setdefault(shard_id, [])

    def put(self, shard_id: str, *keys: str, arrival: float = LONG_AGO) -> None:
        for key in keys:
            self.number += 1
            self.records[shard_id].append(
                {
                    "SequenceNumber": str(self.number),
                    "PartitionKey": key,
                    "Data": key.encode(),
                    "ApproximateArrivalTimestamp": datetime.fromtimestamp(arrival, timezone.utc),
                }
            )

    def delete(self, shard_id: str) -> None:
        """Delete a parent shard, as the emulator does."""
        del self.listed[shard_id], self.records[shard_id]

    def get_paginator(self, name: str) -> Any:
        assert name == "list_shards"
        return self

    def paginate(self, *, StreamARN: str) -> list[dict[str, Any]]:  # noqa: N803
        assert StreamARN == STREAM
        self._fail()
        shards = list(self.listed.values())
        return [{"Shards": shards[:1]}, {"Shards": shards[1:]}]

    def get_shard_iterator(self, **request: Any) -> dict[str, Any]:
        self._fail()
        self.iterators.append(request)
        if request["ShardId"] not in self.listed:
            raise refusal("ResourceNotFoundException")
        return {"ShardIterator": json.dumps(request, default=str)}

    def get_records(self, *, ShardIterator: str, Limit: int, StreamARN: str) -> dict[str, Any]:  # noqa: N803
        self._fail()
        request = json.loads(ShardIterator)
        shard_id, after = request["ShardId"], int(request.get("StartingSequenceNumber", 0))
        left = [each for each in self.records[shard_id] if int(each["SequenceNumber"]) > after]
        ended = shard_id in self.closed and len(left) <= Limit
        return {
            "Records": left[:Limit],
            **({} if ended else {"NextShardIterator": "next"}),
            "MillisBehindLatest": 1 if len(left) > Limit else 0,
        }

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)


class CloudWatch:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.failing = 0

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.failing:
            self.failing -= 1
            raise refusal("InternalFailure", "PutMetricData", 500)
        self.names |= {each["MetricName"] for each in MetricData}


class World:
    """A loop with a fake stream, function, and clock."""

    def __init__(
        self,
        function: Callable[[Batch], Outcome] = lambda batch: Succeeded(RETURNED),
        destination: Destination | None = None,
        *,
        start: StartPosition = FROM_TRIM_HORIZON,
        checkpoints: dict[str, str] | None = None,
        **rules: Any,
    ) -> None:
        self.kinesis, self.cloudwatch = Kinesis(), CloudWatch()
        self.now = LONG_AGO
        self.batches: list[list[str]] = []
        self._function = function
        self.held: list[Callable[[], None]] | None = None
        configuration = Configuration(
            "mapping",
            STREAM,
            FUNCTION,
            "Enabled",
            "TRIM_HORIZON",
            None,
            Rules(**{"batch_size": 100, "batching_window": 0, **rules}),
            None,
            event_count_metrics=True,
        )
        self.metrics = Metrics(function_name="f", mapping_uuid="m", event_counts=True)
        self.loop = MappingLoop(
            configuration,
            reader=StreamReader(self.kinesis, EventTemplate(STREAM, "us-east-1", "role")),
            invoke=self._invoke,
            destination=destination,
            metrics=self.metrics,
            cloudwatch=self.cloudwatch,
            start=start,
            run=self._run,
            clock=lambda: self.now,
            checkpoints=checkpoints,
        )

    def _invoke(self, batch: Batch) -> Outcome:
        self.batches.append([each.partition_key for each in batch.records])
        return self._function(batch)

    def _run(self, call: Callable[[], None]) -> None:
        if self.held is None:
            call()
        else:
            self.held.append(call)

    def run(self, seconds: float = 5.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + max(0.01, min(0.5, self.loop.step())))
        self.loop.step()


def test_records_are_invoked_in_order_and_once() -> None:
    world = World(batch_size=2)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "2", "3")
    world.run()
    world.kinesis.put("a", "4")
    world.run()
    assert world.batches == [["1", "2"], ["3"], ["4"]]
    assert world.loop.checkpoints == {"a": "4"}
    assert world.loop.idle_since is not None


def test_more_records_than_one_read_returns() -> None:
    world = World(batch_size=10_000)
    world.kinesis.shard("a")
    world.kinesis.put("a", *(str(n) for n in range(2500)))
    world.run(0.1)
    assert [int(key) for batch in world.batches for key in batch] == list(range(2500))


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (FROM_TRIM_HORIZON, {"ShardIteratorType": "TRIM_HORIZON"}),
        (
            StartPosition("AT_TIMESTAMP", datetime(2026, 1, 1, tzinfo=timezone.utc)),
            {
                "ShardIteratorType": "AT_TIMESTAMP",
                "Timestamp": datetime(2026, 1, 1, tzinfo=timezone.utc),
            },
        ),
    ],
)
def test_the_starting_position_applies_only_to_the_first_shards(
    start: StartPosition, expected: dict[str, Any]
) -> None:
    world = World(start=start)
    world.kinesis.shard("a")
    world.run()
    world.kinesis.shard("b")
    world.run()
    first = {each["ShardId"]: each for each in reversed(world.kinesis.iterators)}
    assert first["a"] == {"ShardId": "a", "StreamARN": STREAM, **expected}
    assert first["b"]["ShardIteratorType"] == "TRIM_HORIZON"


def test_reading_continues_after_a_checkpoint() -> None:
    world = World(checkpoints={"a": "2"})
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "2", "3")
    assert world.loop.checkpoints == {"a": "2"}
    world.run()
    assert world.batches == [["3"]]


@pytest.mark.parametrize("parents", [["a"], ["a", "b"]])
def test_children_wait_until_their_parents_are_completed(parents: list[str]) -> None:
    failing = True

    def function(batch: Batch) -> Outcome:
        return Failed(RAISED) if failing else Succeeded(RETURNED)

    world = World(function)
    for parent in parents:
        world.kinesis.shard(parent)
    world.kinesis.put(parents[-1], "old")
    world.run(1.0)
    world.kinesis.closed.update(parents)
    world.kinesis.shard("child", *parents)
    world.kinesis.put("child", "new")
    world.run(10.0)
    assert ["new"] not in world.batches
    assert world.loop.idle_since is None
    failing = False
    world.run(10.0)
    assert world.batches[-2:] == [["old"], ["new"]]


def test_a_deleted_parent_has_ended() -> None:
    world = World()
    world.kinesis.shard("a")
    world.kinesis.put("a", "old")
    world.run()
    world.kinesis.delete("a")
    world.kinesis.shard("b", "a")
    world.kinesis.put("b", "new")
    world.run()
    assert world.batches == [["old"], ["new"]]
    assert world.loop.idle_since is not None


def test_a_child_does_not_wait_for_an_unknown_parent() -> None:
    world = World()
    world.kinesis.shard("b", "long-gone")
    world.kinesis.put("b", "new")
    world.run()
    assert world.batches == [["new"]]


def test_new_shards_with_the_id_of_a_known_shard_are_read() -> None:
    world = World()
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "2")
    world.run()
    world.kinesis.delete("a")
    world.kinesis.shard("b", "a")
    world.kinesis.put("b", "3")
    world.run()
    for name in ("a", "b"):  # as the emulator's UpdateShardCount does: no parents, same IDs
        world.kinesis.records.pop(name, None)
        world.kinesis.shard(name, first="4")
    world.kinesis.put("a", "4")
    world.kinesis.put("b", "5")
    world.run()
    assert sorted(key for batch in world.batches for key in batch) == ["1", "2", "3", "4", "5"]


def test_a_deleted_child_does_not_block_its_replaced_parent() -> None:
    world = World()
    world.kinesis.shard("a")
    world.kinesis.put("a", "1")
    world.run()
    world.kinesis.shard("b", "a")
    world.run(1.5)  # "b" is known but not read, because "a" has not ended
    # As the emulator's UpdateShardCount does: "a" is a new shard, and "b" is deleted.
    world.kinesis.delete("b")
    world.kinesis.records.pop("a", None)
    world.kinesis.shard("a", first="2")
    world.kinesis.put("a", "2")
    world.run()
    assert world.batches == [["1"], ["2"]]
    assert world.loop.idle_since is not None


def test_a_missing_stream_is_retried() -> None:
    world = World()
    world.kinesis.shard("a")
    world.run(1.0)
    world.kinesis.failing = [refusal("ResourceNotFoundException")] * 5
    world.run()
    world.kinesis.put("a", "1")
    world.run()
    assert world.batches == [["1"]]
    assert world.loop.problems


@pytest.mark.parametrize(
    "error",
    [
        refusal("ProvisionedThroughputExceededException"),
        refusal("ExpiredIteratorException"),
        refusal("InternalFailure", status=500),
        EndpointConnectionError(endpoint_url="https://127.0.0.1:1"),
    ],
)
@pytest.mark.parametrize("at", range(4))
def test_a_failed_call_is_retried(error: Exception, at: int) -> None:
    world = World()
    world.kinesis.shard("a")
    world.kinesis.put("a", "1")
    world.run(0.01 * at)
    world.kinesis.put("a", "2")
    world.kinesis.failing = [error] * (1 + at)
    world.run()
    assert [key for batch in world.batches for key in batch] == ["1", "2"]
    assert world.loop.problems


def test_other_exceptions_are_raised() -> None:
    world = World()
    world.kinesis.shard("a")
    world.kinesis.failing = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        world.run()


def test_a_bug_in_a_call_ends_the_loop() -> None:
    def function(batch: Batch) -> Outcome:
        raise ZeroDivisionError

    world = World(function)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1")
    with pytest.raises(ZeroDivisionError):
        world.run()


def test_idle_means_that_all_records_are_completed() -> None:
    world = World()
    world.kinesis.shard("a")
    world.run()
    first = world.loop.idle_since
    assert first is not None
    world.held = []
    world.kinesis.put("a", "1")
    world.now = added = world.now + 0.01
    world.run()
    assert world.loop.idle_since is None
    for call in world.held:
        call()
    world.held = None
    world.run()
    assert world.loop.idle_since is not None
    assert world.loop.idle_since >= added > first


def test_reading_ahead_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_loop, "READ_AHEAD_RECORDS", 1500)
    world = World()
    world.held = []
    world.kinesis.shard("a")
    world.kinesis.put("a", *(str(n) for n in range(5000)))
    world.run()
    assert world.metrics.totals["PolledEventCount"] == 2000
    monkeypatch.setattr(mapping_loop, "READ_AHEAD_BYTES", 1)
    monkeypatch.setattr(mapping_loop, "READ_AHEAD_RECORDS", 10**6)
    world.run()
    assert world.metrics.totals["PolledEventCount"] == 2000


# Discarded records and metrics


def test_discarded_records_go_to_the_destination_and_the_shard_continues() -> None:
    sent: list[Failure] = []

    def function(batch: Batch) -> Outcome:
        bad = any(each.partition_key == "bad" for each in batch.records)
        return Failed(RAISED) if bad else Succeeded(RETURNED)

    world = World(function, sent.append, bisect=True, maximum_retry_attempts=1)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "bad", "2")
    world.run(20.0)
    (failure,) = sent
    info = failure.document()["KinesisBatchInfo"]
    assert (info["startSequenceNumber"], info["endSequenceNumber"]) == ("2", "2")
    assert info["shardId"] == "a"
    assert failure.document()["requestContext"]["functionArn"] == FUNCTION
    assert failure.mapping_uuid == "mapping"
    assert world.batches == [
        ["1", "bad", "2"],
        ["1"],
        ["bad", "2"],
        ["bad"],
        ["bad"],
        ["2"],
    ]
    assert world.loop.checkpoints == {"a": "3"}
    assert world.loop.undelivered == []
    assert counts(world) == {
        "PolledEventCount": 3,
        "InvokedEventCount": 9,
        "FailedInvokeEventCount": 7,
        "OnFailureDestinationDeliveredEventCount": 1,
        "Invocations": 6,
        "Errors": 4,
    }


def counts(world: World) -> dict[str, float]:
    excluded = ("IteratorAge", "Duration")
    return {k: v for k, v in world.metrics.totals.items() if v and k not in excluded}


def test_a_failed_delivery_is_counted_and_kept() -> None:
    def destination(failure: Failure) -> None:
        raise refusal("AccessDenied", "Publish")

    world = World(lambda batch: Failed(RAISED), destination, maximum_retry_attempts=0)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "2")
    world.run()
    totals = counts(world)
    assert totals["DestinationDeliveryFailures"] == 1
    assert totals["DroppedEventCount"] == 2
    assert "OnFailureDestinationDeliveredEventCount" not in totals
    (failure,) = world.loop.undelivered
    assert len(failure.discard.batch) == 2
    assert any("AccessDenied" in problem for problem in world.loop.problems)
    assert world.loop.checkpoints == {"a": "2"}


def test_without_a_destination_records_are_dropped() -> None:
    world = World(lambda batch: Failed(RAISED), maximum_retry_attempts=0)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "2")
    world.run()
    totals = counts(world)
    assert totals["DroppedEventCount"] == 2
    assert "DestinationDeliveryFailures" not in totals
    assert len(world.loop.undelivered) == 1


def test_partial_failures_count_as_failed_events_not_errors() -> None:
    outcomes: Iterator[Outcome] = iter([PartiallyFailed(RETURNED, "2"), Succeeded(RETURNED)])
    world = World(lambda batch: next(outcomes), report_item_failures=True)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", "2", "3")
    world.run()
    assert world.batches == [["1", "2", "3"], ["2", "3"]]
    assert counts(world) == {
        "PolledEventCount": 3,
        "InvokedEventCount": 5,
        "FailedInvokeEventCount": 2,
        "Invocations": 2,
    }


def test_throttles_are_counted_but_not_as_invocations() -> None:
    outcomes: Iterator[Outcome] = iter(
        [NotInvoked("busy", throttled=True), NotInvoked("down"), Succeeded(RETURNED)]
    )
    world = World(lambda batch: next(outcomes), maximum_retry_attempts=0)
    world.kinesis.shard("a")
    world.kinesis.put("a", "1")
    world.run()
    assert counts(world) == {
        "PolledEventCount": 1,
        "InvokedEventCount": 3,
        "FailedInvokeEventCount": 2,
        "Throttles": 1,
        "Invocations": 1,
    }


def test_iterator_age_is_that_of_the_last_record() -> None:
    world = World()
    world.kinesis.shard("a")
    world.kinesis.put("a", "1", arrival=LONG_AGO - 100)
    world.kinesis.put("a", "2", arrival=LONG_AGO - 7)
    world.loop.step()
    assert world.metrics.totals["IteratorAge"] == 7000


def test_metrics_are_published_again_after_a_failure() -> None:
    world = World()
    world.kinesis.shard("a")
    world.cloudwatch.failing = 1
    world.run(1.0)
    assert world.cloudwatch.names == set()
    world.run(5.0)
    assert "PolledEventCount" in world.cloudwatch.names


# Invocations


class Lambda:
    def __init__(self, response: Any) -> None:
        self.response = response
        self.requests: list[dict[str, Any]] = []

    def invoke(self, **request: Any) -> Any:
        self.requests.append(request)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


class Payload:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self) -> bytes:
        return self._data


def invoke(response: Any) -> tuple[Outcome, dict[str, Any]]:
    template = EventTemplate(STREAM, "us-east-1", "role")
    kinesis = Kinesis()
    kinesis.shard("a")
    kinesis.put("a", "key")
    record = template.record("a", kinesis.records["a"][0])
    client = Lambda(response)
    outcome = Invoker(client, FUNCTION, report_item_failures=True).invoke(Batch((record,)))
    return outcome, client.requests[0]


def make_response(payload: bytes, **more: Any) -> dict[str, Any]:
    return {
        "StatusCode": 200,
        "ExecutedVersion": "7",
        "Payload": Payload(payload),
        "ResponseMetadata": {"RequestId": "id"},
        **more,
    }


def test_the_function_receives_the_event() -> None:
    outcome, request = invoke(make_response(b"null"))
    assert outcome == Succeeded(Response("id", 200, "7", None))
    assert request["FunctionName"] == FUNCTION
    assert request["InvocationType"] == "RequestResponse"
    (record,) = json.loads(request["Payload"])["Records"]
    assert record["eventID"] == "a:1"


def test_a_function_error_is_a_failure() -> None:
    outcome, _ = invoke(make_response(b'{"errorType": "x"}', FunctionError="Unhandled"))
    assert outcome == Failed(Response("id", 200, "7", "Unhandled"))


@pytest.mark.parametrize(
    ("error", "throttled"),
    [
        (refusal("TooManyRequestsException", "Invoke", 429), True),
        (refusal("SomethingElse", "Invoke", 429), True),
        (refusal("ServiceException", "Invoke", 500), False),
        (refusal("ResourceNotFoundException", "Invoke", 404), False),
        (refusal("AccessDeniedException", "Invoke", 403), False),
        (ReadTimeoutError(endpoint_url="https://127.0.0.1:1"), False),
        (EndpointConnectionError(endpoint_url="https://127.0.0.1:1"), False),
    ],
)
def test_a_failed_call_is_not_an_invocation(error: Exception, throttled: bool) -> None:
    outcome, _ = invoke(error)
    assert isinstance(outcome, NotInvoked)
    assert outcome.throttled is throttled
