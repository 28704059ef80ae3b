"""The functions that ours is compared with; that of Powertools is in a module of its own, for its imports."""

from __future__ import annotations

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

_THREADS = 8
_DYNAMODB = boto3.resource("dynamodb", config=Config(max_pool_connections=_THREADS))
SERIES = _DYNAMODB.Table(os.environ["TIME_SERIES_TABLE_NAME"])
STATES = _DYNAMODB.Table(os.environ["DEVICE_STATE_TABLE_NAME"])


def batch_writer(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """boto3's `batch_writer` for the readings, and a conditional put for the newest reading of each device.

    Stores the records before the first one that cannot be read; Lambda retries from there.
    """
    items, failures = [], []
    for record in event["Records"]:
        try:
            items.append(parse(record["kinesis"]["data"]))
        except (ValueError, KeyError, TypeError):
            failures = [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]
            break
    try:
        with SERIES.batch_writer(overwrite_by_pkeys=["deviceId", "timestamp"]) as writer:
            for item in items:
                writer.put_item(Item=item)
        ascending = sorted(items, key=lambda item: item["timestamp"])
        newest = {item["deviceId"]: item for item in ascending}
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(put_state, newest.values()))
    except Exception:
        failures = [{"itemIdentifier": event["Records"][0]["kinesis"]["sequenceNumber"]}]
    return {"batchItemFailures": failures}


def three_puts(event: dict[str, Any], _context: object) -> None:
    """The usual function: for each record, its state whatever is there, and a row for each of its two metrics.

    The second metric has the key of the first and replaces it, as in the pipeline that many have copied.
    """
    for record in event["Records"]:
        item = parse(record["kinesis"]["data"])
        STATES.put_item(Item=item["reading"])
        for name, value in item["reading"]["metrics"].items():
            key = {each: item[each] for each in ("deviceId", "timestamp", "ttl")}
            SERIES.put_item(Item={**key, "metricName": name, "value": value})


def two_puts(event: dict[str, Any], _context: object) -> None:
    """The shortest function: for each record, the reading and the state of its device, whatever is there."""
    for record in event["Records"]:
        reading = parse(record["kinesis"]["data"])["reading"]
        SERIES.put_item(Item=reading)
        STATES.put_item(Item=reading)


def parse(data_base64: str) -> dict[str, Any]:
    """The item of a reading."""
    reading = json.loads(base64.b64decode(data_base64), parse_float=Decimal)
    retention_seconds = int(os.environ["TIME_SERIES_RETENTION_SECONDS"])
    ttl = reading["timestamp"] // 1000 + retention_seconds
    key = {name: reading[name] for name in ("deviceId", "timestamp")}
    return {**key, "ttl": ttl, "reading": reading}


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
