"""The same three puts in Powertools' BatchProcessor, as its documentation has it.

docs.powertools.aws.dev/lambda/python/latest/utilities/batch, "Processing messages from Kinesis".
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord

from bench.processor.three_puts import store

_PROCESSOR = BatchProcessor(event_type=EventType.KinesisDataStreams)
logger = Logger()


def _store(record: KinesisStreamRecord) -> None:
    store(record.kinesis.data)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> Any:
    """Stores each record, and reports those that failed."""
    return process_partial_response(
        event=event, record_handler=_store, processor=_PROCESSOR, context=context
    )
