"""Keeps the latest reading of each device, as it thinks."""

import base64
import json
import os
from decimal import Decimal
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], context: object) -> None:
    for record in event["Records"]:
        reading = json.loads(base64.b64decode(record["kinesis"]["data"]), parse_float=Decimal)
        table.put_item(Item=reading)
