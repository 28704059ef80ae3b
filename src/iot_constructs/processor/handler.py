"""The Lambda handler."""

from __future__ import annotations

import json
import logging
import os
import time
from functools import cached_property, lru_cache
from typing import Any, Protocol

import botocore
import botocore.session
from botocore.config import Config

from . import DEVICE_ID_MISMATCHES, NAMESPACE
from .batches import Outcome, Processor
from .records import StreamRecord
from .settings import Settings
from .time_series import WRITE_THREADS
from .transform import load_transform

# The function's log format is JSON: the runtime writes each log record as a JSON object whose members include those of
# `extra` (lambda/latest/dg/python-logging.html, and JsonFormatter in aws/aws-lambda-python-runtime-interface-client).
logger = logging.getLogger(__name__)

# If the event has this key, the handler raises an exception instead of reporting a partial failure. For whoever invokes
# the function asynchronously: Lambda ignores the response then, but retries after an exception, and sends the event to
# the DLQ topic in the end (lambda/latest/dg/invocation-async-error-handling.html). `iot-constructs redrive` invokes it
# synchronously, and reads the response.
RAISE_ON_FAILURE = "raiseOnFailure"
_DEVICES_IN_LOG = 20
_JSON = json.JSONEncoder(check_circular=False, ensure_ascii=False, separators=(",", ":"))
_WITH_OWN_BODY = {"BatchWriteItem", "BatchExecuteStatement"}
_PARAMETERS = "iot-constructs-parameters"
# This member is a string. DynamoDB answers SerializationException to anything else, which is a failure that Lambda
# retries, and not a ValidationException, after which a record is rejected.
_NOT_A_REQUEST: dict[str, Any] = {"ReturnConsumedCapacity": {}}


class BatchProcessingError(Exception):
    """Some records of an event with `raiseOnFailure` could be neither stored nor sent to the DLQ topic."""


class Context(Protocol):
    """The part of Lambda's context object that the handler uses."""

    @property
    def function_name(self) -> str:
        """The function's name."""

    def get_remaining_time_in_millis(self) -> int:
        """How much time the invocation has left."""


def handler(event: dict[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Return the checkpoint from which Lambda has to retry the batch, if any."""
    return process_event(_processor(), event, context)


def process_event(
    processor: Processor, event: dict[str, Any], context: Context
) -> dict[str, list[dict[str, str]]]:
    """Process the batch and report the outcome.

    Returns:
        The response of Lambda's partial batch responses: the checkpoint from which Lambda has to retry, if any.

    Raises:
        KeyError: the event is not a Kinesis batch; an empty response would mean success.
        BatchProcessingError: a record failed, and the event has `raiseOnFailure`.
    """
    records = [StreamRecord.from_event(raw) for raw in event["Records"]]
    outcome = processor.process(records, context.get_remaining_time_in_millis)
    raises = outcome.retry_from is not None and event.get(RAISE_ON_FAILURE)
    if raises:
        # After an exception, Lambda retries all records of the event, which counts them then.
        outcome = Outcome(records[0].sequence_number, failed=len(records), errors=outcome.errors)
    _report(outcome, len(records), context.function_name)
    if outcome.retry_from is None:
        return {"batchItemFailures": []}
    if raises:
        raise BatchProcessingError(
            f"{outcome.failed} of {len(records)} records: {dict(outcome.errors)}"
        )
    return {"batchItemFailures": [{"itemIdentifier": outcome.retry_from}]}


@lru_cache(maxsize=1)
def _processor() -> Processor:
    load_transform()  # a file that cannot be imported fails the invocation, which logs why
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
    # retries.CALL_RESERVE_MS reserves that. Lambda's retries cover longer outages.
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=WRITE_THREADS,
        # Validation takes a quarter of a batch's time, and attribute_values creates valid values.
        parameter_validation=False,
        # Otherwise, botocore composes the header twice for each call, which is a sixth of the call's own time.
        user_agent=f"Botocore/{botocore.__version__} {NAMESPACE}",
    )
    # The same client as boto3's, but the cold start is a tenth shorter without boto3's import.
    client = botocore.session.get_session().create_client(service, config=config)
    # The parameters of these operations already are what DynamoDB's protocol has as JSON, and botocore's serializer
    # takes four times as long as `json`. Both events are extension points (boto3/latest/guide/events.html). The first
    # handler is the last one of the event, so that tools that look at the parameters, or change them, have them.
    client.meta.events.register_last("before-parameter-build", _keep_parameters)
    client.meta.events.register("before-call", _write_body)
    return client


def _keep_parameters(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
    """Leave parameters without content for botocore's serializer and its endpoint rules."""
    if model.name in _WITH_OWN_BODY:
        context[_PARAMETERS] = dict(params)
        params.update({name: type(value)() for name, value in params.items()}, **_NOT_A_REQUEST)


def _write_body(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    if _PARAMETERS in context:
        params["body"] = _JSON.encode(context[_PARAMETERS]).encode()


def _report(outcome: Outcome, received: int, function_name: str) -> None:
    """Log counts and IDs only, never a payload."""
    _publish_metrics(
        function_name,
        {
            "RecordsStored": outcome.stored,
            "RecordsRejected": outcome.rejected.total(),
            "RecordsFailed": outcome.failed,
            "DuplicateReadings": outcome.duplicates,
            DEVICE_ID_MISMATCHES: len(outcome.device_id_mismatches),
        },
        # Searchable in the log and, unlike a dimension, not a metric of its own.
        {"rejectedByReason": dict(outcome.rejected)},
    )
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


def _publish_metrics(
    function_name: str, counts: dict[str, int], properties: dict[str, Any]
) -> None:
    """Write metrics in the embedded metric format, from which CloudWatch Logs extracts them.

    To standard output and not with `logging`, whose JSON format would make the document a string in its `message`.
    Lambda sends what `print` writes as it is, also with the log format JSON (lambda/latest/dg/python-logging.html), and
    CloudWatch Logs extracts the metrics of a function from that
    (AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Lambda.html). It counts as level INFO
    (lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html), so TelemetryProcessor refuses a higher level.
    """
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["FunctionName"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in counts],
    }
    document = {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
        "FunctionName": function_name,
        **counts,
        **properties,
    }
    print(json.dumps(document))
