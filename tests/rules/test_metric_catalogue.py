"""The list of what AWS emits."""

from __future__ import annotations

import pytest

from iot_constructs.rules.metric_catalogue import (
    SERVICES,
    closest_metric_name,
    emitted,
    is_unknown_metric,
)


@pytest.mark.parametrize("namespace", sorted(SERVICES))
def test_every_service_has_its_page(namespace: str) -> None:
    service = SERVICES[namespace]
    assert service.page.startswith("https://docs.aws.amazon.com/")
    assert service.page.endswith(".html")
    assert service.metrics
    assert all(service.metrics.values())


@pytest.mark.parametrize(
    ("namespace", "metric", "dimensions", "expected"),
    [
        # docs/FACTS.md 4
        ("AWS/DynamoDB", "UserErrors", [], True),
        ("AWS/DynamoDB", "UserErrors", ["TableName"], False),
        ("AWS/DynamoDB", "ThrottledRequests", ["TableName"], False),
        ("AWS/DynamoDB", "ThrottledRequests", ["Operation", "TableName"], True),
        ("AWS/DynamoDB", "ReadThrottleEvents", ["TableName"], True),
        ("AWS/DynamoDB", "WriteKeyRangeThroughputThrottleEvents", ["TableName"], True),
        # docs/FACTS.md 5
        ("AWS/Lambda", "Errors", [], True),
        ("AWS/Lambda", "DroppedEventCount", ["EventSourceMappingUUID"], True),
        ("AWS/Lambda", "DroppedEventCount", ["FunctionName"], False),
        # docs/FACTS.md 14
        ("AWS/Firehose", "DeliveryToS3.DataFreshness", ["DeliveryStreamName"], True),
        ("AWS/Firehose", "DeliveryToS3.DataFreshness", [], False),
        ("AWS/Firehose", "DeliveryToIceberg.AnythingNew", ["DeliveryStreamName"], True),
        ("AWS/Kinesis", "IncomingBytes", ["StreamName", "ShardId"], True),
        ("AWS/Kinesis", "GetRecords.Bytes", ["StreamName", "ShardId"], False),
        ("AWS/S3", "BucketSizeBytes", ["BucketName", "StorageType"], True),
        ("AWS/S3", "BucketSizeBytes", ["BucketName"], False),
        ("AWS/Location", "CallCount", ["OperationName"], True),
        ("AWS/Location", "CallCount", ["OperationName", "OperationVersion", "ApiKeyName"], True),
        ("AWS/Location", "CallCount", ["ResourceName"], False),
        ("AWS/Location", "CallCount", [], False),
    ],
)
def test_dimensions(namespace: str, metric: str, dimensions: list[str], expected: bool) -> None:
    known = emitted(namespace, metric)
    assert known is not None
    assert known.has(dimensions) is expected


def test_what_is_not_in_it() -> None:
    assert emitted("AWS/EC2", "CPUUtilization") is None
    assert emitted("AWS/SQS", "Nothing") is None
    assert not is_unknown_metric("AWS/EC2", "Anything")
    assert not is_unknown_metric("AWS/SQS", "NumberOfMessagesSent")
    # A complete list calls every other name wrong, an incomplete one only a misspelling.
    assert is_unknown_metric("AWS/SQS", "SomethingElse")
    assert is_unknown_metric("AWS/Location", "RequestCount")
    assert not is_unknown_metric("AWS/Lambda", "SomethingElse")
    assert is_unknown_metric("AWS/Lambda", "Invocation")
    assert not is_unknown_metric("AWS/Firehose", "DeliveryToSnowflake.Success")


def test_the_closest_name() -> None:
    assert closest_metric_name("AWS/Lambda", "Throttle") == "Throttles"
    assert closest_metric_name("AWS/Kinesis", "getrecords.iteratoragemilliseconds") == (
        "GetRecords.IteratorAgeMilliseconds"
    )
    assert closest_metric_name("AWS/Lambda", "Whatever") is None
    assert closest_metric_name("AWS/EC2", "CPU") is None


def test_cdks_own_names_are_known() -> None:
    """What the L2s' metric methods ask for: an alarm made by one of them is never called unknown."""
    for namespace, names in {
        "AWS/DynamoDB": "ConditionalCheckFailedRequests ConsumedReadCapacityUnits SuccessfulRequestLatency",
        "AWS/Kinesis": "PutRecords.FailedRecords PutRecords.ThrottledRecords GetRecords.Success",
        "AWS/Lambda": "Invocations Duration Errors Throttles ConcurrentExecutions",
        "AWS/SNS": "PublishSize NumberOfNotificationsFilteredOut SMSSuccessRate",
        "AWS/SQS": "SentMessageSize ApproximateAgeOfOldestMessage NumberOfEmptyReceives",
        "AWS/Firehose": "BackupToS3.DataFreshness IncomingPutRequests",
    }.items():
        for name in names.split():
            assert emitted(namespace, name) is not None, (namespace, name)
