"""Failure records have the documented format and go to the mapping's destination."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from iot_constructs.local.mapping_decisions import Condition, Discard
from iot_constructs.local.mapping_failures import Failure, create_destination, iso_time
from iot_constructs.local.mapping_records import (
    Batch,
    EventTemplate,
    Response,
    batch_length,
    invocation_payload,
)

STREAM = "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
FUNCTION = "arn:aws:lambda:us-east-2:123456789012:function:myfunction"
ROLE = "arn:aws:iam::123456789012:role/lambda-role"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TEMPLATE = EventTemplate(STREAM, "us-east-2", ROLE)


def timestamp(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def read(number: int, arrival: str, data: bytes = b"Hello, this is a test.") -> dict[str, Any]:
    return {
        "SequenceNumber": str(number),
        "PartitionKey": "1",
        "Data": data,
        "ApproximateArrivalTimestamp": timestamp(arrival),
    }


RECORDS = (
    TEMPLATE.record("shardId-000000000001", read(4960118965, "2019-11-14T00:38:04.835")),
    TEMPLATE.record("shardId-000000000001", read(4960118966, "2019-11-14T00:38:05.580")),
)


def failure(
    condition: Condition = Condition.RETRY_ATTEMPTS_EXHAUSTED,
    *,
    response: Response | None = Response("an-id", function_error="Unhandled"),  # noqa: B008
    invocations: int = 3,
) -> Failure:
    return Failure(
        "a-mapping",
        FUNCTION,
        STREAM,
        "shardId-000000000001",
        Discard(Batch(RECORDS, 2, invocations, response), condition),
        timestamp("2019-11-14T00:38:06.021").timestamp(),
    )


def test_a_record_in_an_event_is_as_documented() -> None:
    # The example in lambda/latest/dg/with-kinesis.html
    number = 49590338271490256608559692538361571095921575989136588898
    arrival = datetime.fromtimestamp(1545084650.987, tz=timezone.utc)
    record = EventTemplate(
        "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream", "us-east-2", ROLE
    ).record(
        "shardId-000000000006",
        {**read(number, "2018-12-17"), "ApproximateArrivalTimestamp": arrival},
    )
    assert record.event == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": str(number),
            "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
            "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000006:{number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
    }
    assert json.loads(invocation_payload([record])) == {"Records": [record.event]}


def test_record_sizes_equal_the_size_of_the_event() -> None:
    event = invocation_payload(RECORDS)
    sizes = [record.size for record in RECORDS]
    assert batch_length(sizes, 100, len(event)) == 2
    assert batch_length(sizes, 100, len(event) - 1) == 1
    assert batch_length(sizes, 1, len(event)) == 1
    assert batch_length(sizes, 100, 1) == 1
    assert batch_length([], 100) == 0


def test_a_failure_record_is_as_documented() -> None:
    # The example in lambda/latest/dg/kinesis-on-failure-destination.html
    assert failure().document() == {
        "requestContext": {
            "requestId": "an-id",
            "functionArn": FUNCTION,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000001",
            "startSequenceNumber": "4960118965",
            "endSequenceNumber": "4960118966",
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
            "batchSize": 2,
            "streamArn": STREAM,
        },
    }


@pytest.mark.parametrize("response", [None, Response("an-id", function_error="Unhandled")])
def test_an_expired_record_has_no_response_context(response: Response | None) -> None:
    document = failure(Condition.RECORD_AGE_EXCEEDED, response=response, invocations=0).document()
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert document["requestContext"]["approximateInvokeCount"] == 1
    assert re.fullmatch(UUID, document["requestContext"]["requestId"])
    assert "responseContext" not in document


def test_a_bucket_receives_the_event_as_a_string() -> None:
    document = failure().document_with_payload()
    assert isinstance(document["payload"], str)
    assert json.loads(document["payload"]) == {"Records": [each.event for each in RECORDS]}
    del document["payload"]
    assert document == failure().document()


def test_an_object_key_is_as_documented() -> None:
    expected = r"aws/lambda/a-mapping/shardId-000000000001/2019/11/14/2019-11-14T00\.38\.06-" + UUID
    assert re.fullmatch(expected, failure().key())
    assert failure().key() != failure().key()


def test_timestamps_have_milliseconds() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00.000Z"


class Recorder:
    """A client that records its calls."""

    meta = SimpleNamespace(endpoint_url="https://127.0.0.1:1")

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **request: self.calls.append((name, request))


def sent(arn: str) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    client, services = Recorder(), []

    def make(service: str) -> Recorder:
        services.append(service)
        return client

    destination = create_destination(arn, make)
    assert destination is not None
    destination(failure())
    return services, client.calls


def test_a_topic_receives_the_failure_record() -> None:
    arn = "arn:aws:sns:us-east-2:123456789012:dlq"
    services, ((name, request),) = sent(arn)
    assert (services, name, request["TopicArn"]) == (["sns"], "publish", arn)
    assert json.loads(request["Message"]) == failure().document()


def test_a_queue_receives_the_failure_record() -> None:
    services, ((name, request),) = sent("arn:aws:sqs:us-east-2:123456789012:dlq")
    assert (services, name) == (["sqs"], "send_message")
    assert request["QueueUrl"] == "https://127.0.0.1:1/123456789012/dlq"
    assert json.loads(request["MessageBody"]) == failure().document()


def test_a_bucket_receives_an_object_after_head_bucket() -> None:
    services, (head, (name, request)) = sent("arn:aws:s3:::failed-batches")
    assert services == ["s3"]
    assert head == ("head_bucket", {"Bucket": "failed-batches"})
    assert (name, request["Bucket"]) == ("put_object", "failed-batches")
    assert request["Key"].startswith("aws/lambda/a-mapping/shardId-000000000001/2019/11/14/")
    assert json.loads(request["Body"]) == failure().document_with_payload()


def test_no_destination_is_none() -> None:
    assert create_destination(None, lambda service: Recorder()) is None
