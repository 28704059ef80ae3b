"""The stream processor's entry point: every reading into the tables, the rest to the DLQ topic.

- `processor_settings`: the environment variables
- `stream_records`: a Kinesis record
- `telemetry_reading`: a record becomes a reading, or there is a reason why it cannot
  (`invalid_records`, `dynamodb_values`)
- `table_writes`: readings go to the time-series table
- `state_writes`: the newest reading of each device goes to the device-state table
- `dead_letters`: rejected records go to the SNS topic
- `batch_processor`: all of it for one batch, and from where the batch has to be retried
- `retry_policy`: how long and how often to try
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

if TYPE_CHECKING:  # importing these costs a tenth of a second at a cold start
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
metrics = Metrics()

# An event with this key set is answered with an exception instead of a partial failure. For a batch
# that an operator replays by an asynchronous invocation: nobody reads the answer of one, while an
# exception leads to Lambda's retries and then to the DLQ topic (FACTS 1).
RAISE_ON_FAILURE = "raiseOnFailure"
_DEVICES_IN_LOG = 20


class BatchProcessingError(Exception):
    """Some records of a replayed batch could be neither stored nor sent to the DLQ topic."""


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Answers with the checkpoint from which Lambda has to deliver the batch again, if any.

    An event that is not a Kinesis batch raises: an empty answer would mean success (FACTS 3).
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
    """Most functions never see a dead letter, and a client takes longer than all our imports."""

    @cached_property
    def _client(self) -> Any:
        return _client("sns")

    def publish_batch(self, **request: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.publish_batch(**request)
        return answer


def _client(service: str) -> Any:
    # Two attempts of 1 s to connect and 3 s to answer, and a pause of up to 1 s: a hanging service
    # takes 9 s, which retry_policy.CALL_RESERVE_MS leaves. What lasts longer is for the mapping.
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=STATE_WRITE_THREADS,
        # A quarter of a batch's time, and the values were made by our own types just before.
        parameter_validation=False,
    )
    # Not by way of boto3: the same client, without a tenth of a bare function's cold start.
    return botocore.session.get_session().create_client(service, config=config)


def _report(outcome: Outcome, received: int) -> None:
    """Counts and ids only: a payload never gets into the logs."""
    counts = {
        "RecordsStored": outcome.stored,
        "RecordsRejected": outcome.rejected.total(),
        "RecordsFailed": outcome.failed,
        "DuplicateReadings": outcome.duplicates,
        "DeviceIdMismatches": len(outcome.forged),
    }
    for name, count in counts.items():
        metrics.add_metric(name=name, unit=MetricUnit.Count, value=count)
    # Metadata can be searched in the log and, unlike a dimension, makes no metric of its own.
    metrics.add_metadata("rejectedByReason", dict(outcome.rejected))
    metrics.flush_metrics()
    if outcome.forged:
        devices = sorted(set(outcome.forged))[:_DEVICES_IN_LOG]
        logger.warning("payload claims another device id", extra={"deviceIds": devices})
    if outcome.rejected:
        logger.warning("records rejected", extra={"rejectedByReason": dict(outcome.rejected)})
    if outcome.retry_from is not None:
        logger.error(
            "records left for a retry",
            extra={
                "retryFrom": outcome.retry_from,
                "recordsFailed": outcome.failed,
                "recordsReceived": received,
                "errors": dict(outcome.errors),
            },
        )
