"""Gives each item a key of its own."""

import base64
import json
import os
import uuid
from decimal import Decimal
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], context: object) -> None:
    with table.batch_writer() as batch:
        for record in event["Records"]:
            reading = json.loads(base64.b64decode(record["kinesis"]["data"]), parse_float=Decimal)
            batch.put_item(Item={**reading, "pk": str(uuid.uuid4())})
