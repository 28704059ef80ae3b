"""IOT_17: the stream keeps a record longer than the function may retry it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from iot_constructs.rules.finding import Finding
from iot_constructs.rules.pipeline_parts import Pipeline
from iot_constructs.rules.references import UNKNOWN
from iot_constructs.rules.template import Resource

RULE = "IOT_17_RETENTION_ABOVE_AGE"

_DEFAULT_HOURS: Final = 24  # FACTS 8
_SECONDS: Final = 3600


def check(pipeline: Pipeline) -> Iterator[Finding]:
    """Streams that forget a record before, or when, its mapping gives it up: its payload is gone then (FACTS 2)."""
    app = pipeline.app
    for mapping in pipeline.mappings:
        if not isinstance(mapping.stream, Resource):
            continue
        age = mapping.resource.properties.get("MaximumRecordAgeInSeconds")
        if age is None:
            continue  # unbounded, which is IOT_14
        seconds = app.number(age, mapping.resource.template)
        written = mapping.stream.properties.get("RetentionPeriodHours", _DEFAULT_HOURS)
        hours = app.number(written, mapping.stream.template)
        if seconds is UNKNOWN or hours is UNKNOWN:
            continue
        if hours * _SECONDS <= seconds:
            yield Finding(
                RULE,
                mapping.stream.template.path,
                mapping.stream.logical_id,
                f"the stream keeps a record {hours:g} h and {mapping.resource.logical_id} retries it for up to "
                f"{seconds / _SECONDS:g} h: what is given up last can no longer be read",
                "Properties/RetentionPeriodHours",
            )
