"""Powertools' BatchProcessor, with a put and a conditional put in its record handler.

docs.powertools.aws.dev/lambda/python/latest/utilities/batch, "Processing messages from Kinesis".
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import batch
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord

from bench.processor.contenders import SERIES, parse, put_state

_PROCESSOR = batch.BatchProcessor(event_type=batch.EventType.KinesisDataStreams)
logger = Logger()


def _store(record: KinesisStreamRecord) -> None:
    item = parse(record.kinesis.data)
    SERIES.put_item(Item=item)
    put_state(item)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> Any:
    """Store each record, and report those that failed."""
    return batch.process_partial_response(
        event=event, record_handler=_store, processor=_PROCESSOR, context=context
    )
