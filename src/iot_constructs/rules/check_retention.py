"""IOT_17: the retention period of a stream is longer than the maximum record age of its mappings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iot_constructs.rules.graph import UNKNOWN
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Resource

RULE = "IOT_17_RETENTION_ABOVE_AGE"

_DEFAULT_HOURS: Final = 24
_SECONDS: Final = 3600


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Find streams whose records expire before their mappings discard them, so that they cannot be redriven."""
    graph = pipeline.graph
    for mapping in pipeline.mappings:
        if not isinstance(mapping.stream, Resource):
            continue
        age = mapping.resource.properties.get("MaximumRecordAgeInSeconds")
        if age is None:
            continue  # unlimited, which IOT_14 reports
        seconds = graph.number(age, mapping.resource.template)
        written = mapping.stream.properties.get("RetentionPeriodHours", _DEFAULT_HOURS)
        hours = graph.number(written, mapping.stream.template)
        if seconds is UNKNOWN or hours is UNKNOWN:
            continue
        if hours * _SECONDS <= seconds:
            yield Finding(
                RULE,
                mapping.stream.template.path,
                mapping.stream.logical_id,
                f"the stream retains a record for {hours:g} h and {mapping.resource.logical_id} retries it for up to "
                f"{seconds / _SECONDS:g} h: a record that is discarded last has expired",
                "Properties/RetentionPeriodHours",
            )
