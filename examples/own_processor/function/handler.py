"""Counts the readings of machines that run hot, in a metric that an alarm can watch."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord

HOTTEST = float(os.environ["HOTTEST"])  # degrees Celsius

logger = Logger()
metrics = Metrics()
# When every record fails, Powertools would raise. Reported one by one they end on the dead-letter queue as well, and
# the function's errors are those that it did not expect.
processor = BatchProcessor(
    event_type=EventType.KinesisDataStreams, raise_on_entire_batch_failure=False
)


def look_at(record: KinesisStreamRecord) -> None:
    """One reading; an exception means that it could not be processed."""
    # The device by the topic it published on; a name in the payload is what the device claims.
    device = record.kinesis.partition_key
    temperature = record.kinesis.data_as_json()["temperature"]
    hot = temperature > HOTTEST
    if hot:
        logger.warning("runs hot", device=device, temperature=temperature)
    # 0 counts as well: the metric's sum is how many ran hot, its average is the share of them.
    metrics.add_metric(name="HotReadings", unit=MetricUnit.Count, value=int(hot))


@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Reports what failed and nothing else; Lambda tries it again, and all after it in the shard."""
    response = process_partial_response(
        event=event, record_handler=look_at, processor=processor, context=context
    )
    for _, error, _ in processor.exceptions:
        logger.error("could not be processed", exc_info=error)
    return dict(response)
