"""Reports every failed record to Lambda, or with ONLY_LAST the last one."""

import base64
import json
import os
from decimal import Decimal
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    failures = []
    for record in event["Records"]:
        try:
            reading = json.loads(base64.b64decode(record["kinesis"]["data"]), parse_float=Decimal)
            table.put_item(Item=reading)
        except Exception:
            failures.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
    return {"batchItemFailures": failures[-1:] if os.environ.get("ONLY_LAST") else failures}
