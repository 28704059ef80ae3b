"""Keeps the positions of vehicles. Needs nothing but what the Lambda runtime has."""

from __future__ import annotations

import base64
import json
import os
from decimal import Decimal
from typing import Any

# Without types, unless you install them.
import boto3  # type: ignore[import-untyped,unused-ignore]

dynamodb: Any = boto3.resource("dynamodb")
table = dynamodb.Table(os.environ["TABLE_NAME"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    failed = []
    for record in event["Records"]:
        try:
            store(record["kinesis"])
        except Exception as error:
            # Only this record and those after it are tried again; given up, it is on the dead-letter queue.
            print(f"could not store {record['eventID']}: {error!r}")
            failed.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
    return {"batchItemFailures": failed}


def store(record: dict[str, Any]) -> None:
    position = json.loads(base64.b64decode(record["data"]), parse_float=Decimal)
    # Records come again after a retry or a redrive: the same position has the same key, and so is stored once.
    table.put_item(Item={**position, "vehicle": record["partitionKey"]})
