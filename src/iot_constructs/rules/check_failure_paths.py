"""IOT_12 and IOT_23: topics for failures have subscriptions, and stream functions have an asynchronous failure path."""

from __future__ import annotations

from collections.abc import Iterator

from iot_constructs.rules.graph import UNKNOWN
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Resource

SUBSCRIBER = "IOT_12_DLQ_SUBSCRIBER"
ASYNC = "IOT_23_ASYNC_FAILURE_PATH"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find topics for failures without a subscription, and stream functions without an asynchronous failure path."""
    for topic, path in pipeline.failure_topics.items():
        if topic not in pipeline.subscribed_topics:
            yield Finding(
                SUBSCRIBER,
                topic.template.path,
                topic.logical_id,
                f"this topic receives {path.description} and has no subscription: its messages are lost",
            )
    for function in pipeline.stream_functions:
        if not _has_async_failure_path(pipeline, function):
            yield Finding(
                ASYNC,
                function.template.path,
                function.logical_id,
                "a failed asynchronous invocation of this stream function (an operator's redrive) is lost: "
                "neither EventInvokeConfig with OnFailure nor DeadLetterConfig is set",
            )


def _has_async_failure_path(pipeline: Pipeline, function: Resource) -> bool:
    graph = pipeline.graph
    if any(
        value is not None
        for value in graph.at(function.properties, "DeadLetterConfig", "TargetArn")
    ):
        return True
    for config in graph.of_type("AWS::Lambda::EventInvokeConfig"):
        target = pipeline.function(config.properties.get("FunctionName"), config)
        if target is not function and target is not UNKNOWN:
            continue
        destinations = graph.at(config.properties, "DestinationConfig", "OnFailure", "Destination")
        if any(value is not None for value in destinations):
            return True
    return False
