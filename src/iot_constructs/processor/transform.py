"""The user's own step: maps or enriches a parsed reading before it is validated and stored.

TelemetryProcessor puts the user's file beside this package and its module name into `TRANSFORM_MODULE`.
"""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from .attribute_values import exact
from .records import StreamRecord
from .rejections import InvalidRecordError, Reason

Transform = Callable[[dict[str, Any], Mapping[str, Any]], Any]


class TransformError(Exception):
    """A bug in the user's function. Lambda retries the record, so that a fixed deployment stores it.

    The text has the exception's class and place, but not its message, which can contain payload.
    """


@lru_cache(maxsize=1)
def load_transform() -> Transform | None:
    """Import the user's function, once per execution environment."""
    module = os.environ.get("TRANSFORM_MODULE")
    if not module:
        return None
    transform: Transform = importlib.import_module(module).transform
    return transform


def transform_reading(
    reading: dict[str, Any], partition_key: str, record: StreamRecord
) -> dict[str, Any]:
    """Return the reading to store: the same one if the user has no step.

    Raises:
        InvalidRecordError: the user's function raised a ValueError, or its result is not JSON.
        TransformError: it raised anything else.
    """
    transform = load_transform()
    if transform is None:
        return reading
    try:
        result = transform(reading, _describe(partition_key, record))
    except ValueError as error:
        raise InvalidRecordError(Reason.REJECTED_BY_TRANSFORM, str(error)) from None
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__, limit=2)[-1]  # the line of `transform`
        where = f"{Path(place.filename).name}:{place.lineno}"
        raise TransformError(f"transform: {type(error).__name__} at {where}") from error
    if not isinstance(result, dict):
        raise _invalid(result)
    try:
        reading = _json_value(result)
    except RecursionError:  # it contains itself
        raise InvalidRecordError(Reason.TOO_DEEP) from None
    return reading


def _describe(partition_key: str, record: StreamRecord) -> dict[str, Any]:
    """The second argument of the user's function, by the names of a Kinesis event."""
    return {
        "partitionKey": partition_key,
        "approximateArrivalTimestamp": record.arrival,
        "sequenceNumber": record.sequence_number if record.is_on_stream else None,
        "shardId": record.shard_id if record.is_on_stream else None,
        "streamArn": record.stream_arn if record.is_on_stream else None,
    }


def _json_value(value: Any) -> Any:
    """What the parser would have returned: each number as an exact Decimal."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (Decimal, int, float)):
        return exact(value)
    if isinstance(value, (list, tuple)):
        return [_json_value(member) for member in value]
    if not isinstance(value, dict):
        raise _invalid(value)
    for name in value:
        if not isinstance(name, str):
            raise _invalid(name)
        if not name:
            raise InvalidRecordError(Reason.EMPTY_NAME)
    return {name: _json_value(member) for name, member in value.items()}


def _invalid(value: Any) -> InvalidRecordError:
    return InvalidRecordError(
        Reason.INVALID_TRANSFORM_RESULT, f"it returned {type(value).__name__}"
    )
