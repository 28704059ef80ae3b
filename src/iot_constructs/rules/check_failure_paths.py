"""IOT_12: topics for failures have subscriptions."""

from __future__ import annotations

from collections.abc import Iterator

from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding

SUBSCRIBER = "IOT_12_DLQ_SUBSCRIBER"


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find topics for failures without a subscription."""
    for topic, path in pipeline.failure_topics.items():
        if topic not in pipeline.subscribed_topics:
            yield Finding(
                SUBSCRIBER,
                topic.template.path,
                topic.logical_id,
                f"this topic receives {path.description} and has no subscription: its messages are lost",
            )
