"""Stores each reading once, keeps the latest one of each device, and stops at the first failure."""

import base64
import json
import os
from decimal import Decimal
from typing import Any

import boto3
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

dynamodb = boto3.resource("dynamodb")
readings = dynamodb.Table(os.environ["READINGS"])
devices = dynamodb.Table(os.environ["DEVICES"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    for record in event["Records"]:
        try:
            data = base64.b64decode(record["kinesis"]["data"])
            try:
                reading = json.loads(data, parse_float=Decimal)
            except ValueError:
                continue  # no retry makes it valid
            store(reading)
        except Exception:
            return {"batchItemFailures": [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]}
    return {"batchItemFailures": []}


def store(reading: dict[str, Any]) -> None:
    readings.put_item(Item=reading)
    newer = Attr("timestamp").not_exists() | Attr("timestamp").lt(reading["timestamp"])
    try:
        devices.put_item(Item=reading, ConditionExpression=newer)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
