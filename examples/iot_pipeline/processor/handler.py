"""The Lambda handler: stores readings in the tables and publishes invalid records to the DLQ topic.

- `processor_settings`: the environment variables
- `stream_records`: a Kinesis record
- `telemetry_reading`: parses and validates a record (`invalid_records`, `dynamodb_values`)
- `table_writes`: writes readings to the time-series table
- `state_writes`: writes the latest reading of each device to the device-state table
- `dead_letters`: publishes invalid records to the SNS topic
- `batch_processor`: processes one batch and determines the checkpoint
- `retry_policy`: bounds retries by attempts and time
"""

from __future__ import annotations

import os
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import botocore.session  # type: ignore[import-untyped,unused-ignore]
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from batch_processor import Outcome, Processor
from botocore.config import Config  # type: ignore[import-untyped,unused-ignore]
from processor_settings import Settings
from state_writes import STATE_WRITE_THREADS
from stream_records import StreamRecord

if TYPE_CHECKING:  # these imports would extend the cold start by 0.1 s
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
metrics = Metrics()

# If the event has this key, the handler raises an exception instead of reporting a partial failure.
# A redrive sets it because it invokes the function asynchronously: Lambda ignores the response, but
# retries an exception and then sends the event to the DLQ topic
# (lambda/latest/dg/invocation-async-error-handling.html).
RAISE_ON_FAILURE = "raiseOnFailure"
_DEVICES_IN_LOG = 20


class BatchProcessingError(Exception):
    """Some records of a redriven batch could be neither stored nor sent to the DLQ topic."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the checkpoint from which Lambda has to retry the batch, if any.

    Raises KeyError for an event that is not a Kinesis batch: an empty response would mean success.
    """
    records = [StreamRecord.from_event(raw) for raw in event["Records"]]
    outcome = _processor().process(records, context.get_remaining_time_in_millis)
    _report(outcome, len(records))
    if outcome.retry_from is None:
        return {"batchItemFailures": []}
    if event.get(RAISE_ON_FAILURE):
        raise BatchProcessingError(
            f"{outcome.failed} of {len(records)} records: {dict(outcome.errors)}"
        )
    return {"batchItemFailures": [{"itemIdentifier": outcome.retry_from}]}


@lru_cache(maxsize=1)
def _processor() -> Processor:
    return Processor(
        dynamodb=_client("dynamodb"),
        sns=_LazySNSClient(),
        settings=Settings.from_environment(os.environ),
    )


class _LazySNSClient:
    """Creates the client for the first dead letter: that takes longer than all other imports."""

    @cached_property
    def _client(self) -> Any:
        return _client("sns")

    def publish_batch(self, **request: Any) -> dict[str, Any]:
        response: dict[str, Any] = self._client.publish_batch(**request)
        return response


def _client(service: str) -> Any:
    # Two attempts of 1 s to connect and 3 s to read, and a pause of up to 1 s, take up to 9 s.
    # retry_policy.CALL_RESERVE_MS reserves that. Lambda's retries cover longer outages.
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=STATE_WRITE_THREADS,
        # Validation takes a quarter of a batch's time, and dynamodb_values creates valid values.
        parameter_validation=False,
    )
    # The same client as boto3's, but the cold start is a tenth shorter without boto3's import.
    return botocore.session.get_session().create_client(service, config=config)


def _report(outcome: Outcome, received: int) -> None:
    """Log counts and IDs only, never a payload."""
    counts = {
        "RecordsStored": outcome.stored,
        "RecordsRejected": outcome.rejected.total(),
        "RecordsFailed": outcome.failed,
        "DuplicateReadings": outcome.duplicates,
        "DeviceIdMismatches": len(outcome.device_id_mismatches),
    }
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    # Metadata is searchable in the log and, unlike a dimension, does not create a metric.
    metrics.add_metadata("rejectedByReason", dict(outcome.rejected))
    metrics.flush_metrics()
    if outcome.device_id_mismatches:
        devices = sorted(set(outcome.device_id_mismatches))[:_DEVICES_IN_LOG]
        logger.warning("device ID mismatch", extra={"deviceIds": devices})
    if outcome.rejected:
        logger.warning("records rejected", extra={"rejectedByReason": dict(outcome.rejected)})
    if outcome.retry_from is not None:
        logger.error(
            "batch partially failed",
            extra={
                "retryFrom": outcome.retry_from,
                "recordsFailed": outcome.failed,
                "recordsReceived": received,
                "errors": dict(outcome.errors),
            },
        )
