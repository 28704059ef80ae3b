"""Adds each reading to the device's sum."""

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
        table.update_item(
            Key={"deviceId": reading["deviceId"]},
            UpdateExpression="ADD readings :one, degrees :temperature",
            ExpressionAttributeValues={":one": 1, ":temperature": reading["temperature"]},
        )
