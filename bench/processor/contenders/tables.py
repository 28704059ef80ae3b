"""What the contenders share: the tables as boto3 resources, and a record as the item of a reading."""

from __future__ import annotations

import base64
import json
import os
from decimal import Decimal
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

THREADS = 8
_DYNAMODB = boto3.resource("dynamodb", config=Config(max_pool_connections=THREADS))
SERIES = _DYNAMODB.Table(os.environ["TIME_SERIES_TABLE_NAME"])
STATES = _DYNAMODB.Table(os.environ["DEVICE_STATE_TABLE_NAME"])
_RETENTION_SECONDS = int(os.environ["TIME_SERIES_RETENTION_SECONDS"])


def parse(data_base64: str) -> dict[str, Any]:
    """Return the item of a reading."""
    reading = json.loads(base64.b64decode(data_base64), parse_float=Decimal)
    return {
        "deviceId": reading["deviceId"],
        "timestamp": reading["timestamp"],
        "ttl": reading["timestamp"] // 1000 + _RETENTION_SECONDS,
        "reading": reading,
    }


def put_state(item: dict[str, Any]) -> None:
    """Store the device's state, unless the table has a newer one.

    With the resource's client, which takes Python values as the resource does and is safe for threads
    (boto3/latest/guide/clients.html).
    """
    try:
        STATES.meta.client.put_item(
            TableName=STATES.name,
            Item={name: item[name] for name in ("deviceId", "timestamp", "reading")},
            ConditionExpression="attribute_not_exists(deviceId) OR #timestamp < :timestamp",
            ExpressionAttributeNames={"#timestamp": "timestamp"},
            ExpressionAttributeValues={":timestamp": item["timestamp"]},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
