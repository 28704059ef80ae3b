"""Determines the outcome of a batch from the function's response.

"Success and failure conditions" (lambda/latest/dg/services-kinesis-batchfailurereporting.html): an
empty or null list and an empty or null response are a success. An empty, null, or misnamed
itemIdentifier and any other malformed response are a complete failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from iot_constructs.local.mapping_decisions import (
    Failed,
    Outcome,
    PartiallyFailed,
    Succeeded,
)
from iot_constructs.local.mapping_records import Batch, Response


class _MalformedResponseError(ValueError):
    """The response does not have the documented format."""


def parse_response(
    batch: Batch, response: Response, payload: bytes, *, report_item_failures: bool
) -> Outcome:
    """Return the outcome of an invocation."""
    if response.function_error is not None:
        return Failed(response)
    if not report_item_failures:
        return Succeeded(response)
    try:
        reported = _failed_identifiers(payload)
    except _MalformedResponseError:
        return Failed(response)
    if not reported:
        return Succeeded(response)
    if reported - {record.sequence_number for record in batch.records}:
        return Failed(response)
    return PartiallyFailed(response, min(reported, key=int))


def _failed_identifiers(payload: bytes) -> set[str]:
    try:
        result = json.loads(payload) if payload else None
    except ValueError as error:
        raise _MalformedResponseError from error
    if result in (None, "", [], {}):
        return set()
    if not isinstance(result, Mapping):
        raise _MalformedResponseError
    failures = result.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        raise _MalformedResponseError
    return {_item_identifier(failure) for failure in failures}


def _item_identifier(failure: object) -> str:
    identifier = failure.get("itemIdentifier") if isinstance(failure, Mapping) else None
    if not isinstance(identifier, str) or not identifier:
        raise _MalformedResponseError
    return identifier
