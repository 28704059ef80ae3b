"""The usual function behind such a stream: each record becomes two writes, one after the other."""

from __future__ import annotations

import base64
import json
import os
from decimal import Decimal
from typing import Any

import boto3

_DYNAMODB = boto3.resource("dynamodb")
_STATE = _DYNAMODB.Table(os.environ["DEVICE_STATE_TABLE_NAME"])
_METRICS = _DYNAMODB.Table(os.environ["METRICS_TABLE_NAME"])


def handler(event: dict[str, Any], context: object) -> None:
    """Stores each record as a reading and as its device's latest state."""
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"])
        reading = json.loads(data, parse_float=Decimal)
        _METRICS.put_item(Item=reading)
        _STATE.put_item(Item=reading)
