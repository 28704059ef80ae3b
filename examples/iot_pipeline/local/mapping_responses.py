"""What the answer of a function says about a batch.

"Success and failure conditions" of services-kinesis-batchfailurereporting.html: an empty or null
list and an empty or null answer are success; an empty, null or misnamed itemIdentifier is a
complete failure, and so is whatever else is not of the documented form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from examples.iot_pipeline.local.mapping_decisions import (
    Failed,
    Outcome,
    PartiallyFailed,
    Succeeded,
)
from examples.iot_pipeline.local.mapping_records import Batch, Response


class _MalformedResponseError(ValueError):
    """The answer is not of the documented form."""


def parse_response(
    batch: Batch, response: Response, payload: bytes, *, report_item_failures: bool
) -> Outcome:
    """The outcome of an invocation that took place."""
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
        answer = json.loads(payload) if payload else None
    except ValueError as error:
        raise _MalformedResponseError from error
    if answer in (None, "", [], {}):
        return set()
    if not isinstance(answer, Mapping):
        raise _MalformedResponseError
    failures = answer.get("batchItemFailures")
    if failures is None:
        return set()
    if not isinstance(failures, list):
        raise _MalformedResponseError
    return {_identifier(failure) for failure in failures}


def _identifier(failure: object) -> str:
    identifier = failure.get("itemIdentifier") if isinstance(failure, Mapping) else None
    if not isinstance(identifier, str) or not identifier:
        raise _MalformedResponseError
    return identifier
