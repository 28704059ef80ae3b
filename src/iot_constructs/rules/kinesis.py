"""Rules for Kinesis streams."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import ClassVar, Final

from iot_constructs.rules.graph import UNKNOWN, Graph
from iot_constructs.rules.pipeline import STREAM, Pipeline, StreamReader
from iot_constructs.rules.remediations import set_properties
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource

_DEFAULT_HOURS: Final = 24
_SECONDS: Final = 3600


class RetentionAboveAge(Rule):
    """Reports streams whose records expire before their readers discard them."""

    id = "IOT_17_RETENTION_ABOVE_AGE"
    info = (
        "The retention period of a stream is longer than the maximum record age of its event source "
        "mappings and pipes."
    )
    explanation = (
        "A failure record contains only the position of the batch, so records that have expired "
        "cannot be redriven."
    )
    # One hour more than the highest record age that Lambda and EventBridge accept.
    remediations: ClassVar = {
        STREAM: set_properties("retention_period=Duration.hours(169)", "RetentionPeriodHours: 169")
    }
    source_url = f"{DOCS}/streams/latest/dev/kinesis-extended-retention.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find streams with a reader whose record age is not below the retention."""
        for reader in pipeline.stream_readers:
            stream = reader.stream
            if not isinstance(stream, Resource):
                continue
            hours = _longest_retention(pipeline.graph, stream)
            age = _shortest_age(pipeline.graph, reader)
            if hours * _SECONDS <= age:
                yield self.finding(
                    stream,
                    f"the stream retains a record for {hours:g} h and {reader.resource.logical_id} "
                    f"retries it for up to {age / _SECONDS:g} h: a record that is discarded last has "
                    "expired",
                    "Properties/RetentionPeriodHours",
                )


def _longest_retention(graph: Graph, stream: Resource) -> float:
    """Return the longest possible retention in hours; infinity if unknown."""
    values = graph.at(stream.properties, "RetentionPeriodHours")
    numbers = [_DEFAULT_HOURS if it is None else graph.number(it, stream.template) for it in values]
    return max(inf if it is UNKNOWN else it for it in numbers)


def _shortest_age(graph: Graph, reader: StreamReader) -> float:
    """Return the shortest possible record age in seconds; -1 if unknown, or not limited, which IOT_14 reports."""
    values = graph.at(reader.resource.properties, *reader.settings, "MaximumRecordAgeInSeconds")
    numbers = [-1 if it is None else graph.number(it, reader.resource.template) for it in values]
    return min(-1 if it is UNKNOWN else it for it in numbers)


RULES: Final = (RetentionAboveAge(),)
