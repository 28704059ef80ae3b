"""Logs every exception and goes on."""

import base64
import json
import logging
import os
from decimal import Decimal
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], context: object) -> None:
    for record in event["Records"]:
        try:
            data = base64.b64decode(record["kinesis"]["data"])
            table.put_item(Item=json.loads(data, parse_float=Decimal))
        except Exception as error:
            logging.warning("not stored: %s", error)
