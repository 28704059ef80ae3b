"""IOT_07: alarms monitor the delays, failures and throttling of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iot_constructs.rules.graph import UNKNOWN
from iot_constructs.rules.pipeline import STREAM, TABLES, Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Resource

RULE = "IOT_07_PIPELINE_ALARMS"

_DELIVERY_STREAM: Final = "AWS::KinesisFirehose::DeliveryStream"
_S3_DESTINATIONS: Final = ("ExtendedS3DestinationConfiguration", "S3DestinationConfiguration")

_ITERATOR_AGE: Final = frozenset({"GetRecords.IteratorAgeMilliseconds"})
_FUNCTION_AGE: Final = frozenset({"IteratorAge"})
_CONSUMER_AGE: Final = frozenset({"SubscribeToShardEvent.MillisBehindLatest"})
_FIREHOSE_AGE: Final = frozenset({"KinesisMillisBehindLatest"})
_ERRORS: Final = frozenset({"Errors"})
_FRESHNESS: Final = frozenset({"DeliveryToS3.DataFreshness"})
_PUBLISHED: Final = frozenset({"NumberOfMessagesPublished"})
# NumberOfMessagesSent does not count messages that a redrive policy moves to the queue.
_MESSAGES_WAITING: Final = frozenset(
    {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}
)
_THROTTLES: Final = frozenset(
    {"ReadThrottleEvents", "WriteThrottleEvents", "ThrottledRequests"}
    | {
        f"{operation}{cause}ThrottleEvents"
        for operation in ("Read", "Write")
        for cause in (
            "ProvisionedThroughput",
            "MaxOnDemandThroughput",
            "KeyRangeThroughput",
            "AccountLimit",
        )
    }
)


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find resources of a pipeline that no alarm monitors."""
    yield from _streams(pipeline)
    yield from _functions(pipeline)
    yield from _dead_letters(pipeline)
    yield from _tables(pipeline)
    yield from _delivery_streams(pipeline)


def _missing(resource: Resource, detail: str) -> Finding:
    return Finding(RULE, resource.template.path, resource.logical_id, detail)


def _streams(pipeline: Pipeline) -> Iterator[Finding]:
    alarms = pipeline.alarms
    functions: dict[Resource, list[Resource]] = {}
    firehoses: dict[Resource, list[Resource]] = {}
    for mapping in pipeline.mappings:
        if isinstance(mapping.stream, Resource):
            readers = functions.setdefault(mapping.stream, [])
            readers += [mapping.function] if isinstance(mapping.function, Resource) else []
    for delivery in pipeline.graph.of_type(_DELIVERY_STREAM):
        for source in pipeline.graph.at(
            delivery.properties, "KinesisStreamSourceConfiguration", "KinesisStreamARN"
        ):
            stream = pipeline.stream(source, delivery) if source is not UNKNOWN else UNKNOWN
            if isinstance(stream, Resource):
                firehoses.setdefault(stream, []).append(delivery)
    for stream in pipeline.graph.of_type(STREAM):
        if stream not in functions and stream not in firehoses:
            continue  # its consumers, which emit the metric, are in another app
        if (
            alarms.monitors(stream, "AWS/Kinesis", _ITERATOR_AGE, "StreamName")
            or alarms.monitors(stream, "AWS/Kinesis", _CONSUMER_AGE, "StreamName")
            or any(
                alarms.monitors(it, "AWS/Lambda", _FUNCTION_AGE, "FunctionName")
                for it in functions.get(stream, ())
            )
            or any(
                alarms.monitors(it, "AWS/Firehose", _FIREHOSE_AGE, "DeliveryStreamName")
                for it in firehoses.get(stream, ())
            )
        ):
            continue
        yield _missing(
            stream,
            "no alarm that receives data on GetRecords.IteratorAgeMilliseconds of this stream, or on IteratorAge of "
            "its function: consumers can fall behind until records expire",
        )


def _functions(pipeline: Pipeline) -> Iterator[Finding]:
    for function in pipeline.stream_functions:
        if not pipeline.alarms.monitors(function, "AWS/Lambda", _ERRORS, "FunctionName"):
            yield _missing(function, "no alarm on Errors of this stream function")


def _dead_letters(pipeline: Pipeline) -> Iterator[Finding]:
    alarms = pipeline.alarms
    watched_topics = {
        topic
        for topic in pipeline.failure_topics
        if alarms.monitors(topic, "AWS/SNS", _PUBLISHED, "TopicName")
    }
    for queue, path in pipeline.failure_queues.items():
        if alarms.monitors(queue, "AWS/SQS", _MESSAGES_WAITING, "QueueName"):
            continue
        if watched_topics & pipeline.source_topics(queue):
            continue
        yield _missing(
            queue,
            f"no alarm on ApproximateNumberOfMessagesVisible of this queue, which receives {path.description}",
        )
    for topic, path in pipeline.failure_topics.items():
        # A subscriber other than a queue is notified.
        if topic not in watched_topics and topic not in pipeline.subscribed_topics:
            yield _missing(
                topic,
                f"no alarm on NumberOfMessagesPublished of this topic, which receives {path.description}, "
                "or on a subscribed queue",
            )


def _tables(pipeline: Pipeline) -> Iterator[Finding]:
    if not (pipeline.mappings or pipeline.graph.of_type("AWS::IoT::TopicRule")):
        return
    for table in pipeline.graph.of_type(*TABLES):
        if not pipeline.alarms.monitors(table, "AWS/DynamoDB", _THROTTLES, "TableName"):
            yield _missing(
                table,
                "no alarm that receives data on throttling of this table (WriteThrottleEvents or ReadThrottleEvents by "
                "TableName, ThrottledRequests by TableName and Operation)",
            )


def _delivery_streams(pipeline: Pipeline) -> Iterator[Finding]:
    for delivery in pipeline.graph.of_type(_DELIVERY_STREAM):
        if not any(name in delivery.properties for name in _S3_DESTINATIONS):
            continue
        if not pipeline.alarms.monitors(delivery, "AWS/Firehose", _FRESHNESS, "DeliveryStreamName"):
            yield _missing(delivery, "no alarm on DeliveryToS3.DataFreshness of this stream")
