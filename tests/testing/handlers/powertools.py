"""Uses the batch processor of Powertools for AWS Lambda."""

import os
from decimal import Decimal
from typing import Any

import boto3
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

processor = BatchProcessor(event_type=EventType.KinesisDataStreams)
table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def store(record: KinesisStreamRecord) -> None:
    reading = record.kinesis.data_as_json()
    table.put_item(Item={**reading, "temperature": Decimal(str(reading["temperature"]))})


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return process_partial_response(
        event=event, record_handler=store, processor=processor, context=context
    )
