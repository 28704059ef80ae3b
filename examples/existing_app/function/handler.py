"""Keeps the last position of each vehicle. Needs nothing but what the Lambda runtime has."""

import base64
import json
import os
from decimal import Decimal

import boto3
from botocore.exceptions import ClientError

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def handler(event: dict, context: object) -> dict:  # type: ignore[type-arg]  # the event of a stream, any JSON
    failed = []
    for record in event["Records"]:
        try:
            store(record["kinesis"])
        except Exception as error:
            # Only this record and those after it are tried again; given up, it is on the dead-letter queue.
            print(f"could not store {record['eventID']}: {error!r}")
            failed.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
    return {"batchItemFailures": failed}


def store(record: dict) -> None:  # type: ignore[type-arg]  # a part of the same
    position = json.loads(base64.b64decode(record["data"]), parse_float=Decimal)
    try:
        # Records come again after a retry or a redrive, and then late: an older position never wins.
        table.put_item(
            Item={
                "vehicle": record["partitionKey"],
                "time": position["time"],
                "latitude": position["latitude"],
                "longitude": position["longitude"],
            },
            ConditionExpression="attribute_not_exists(vehicle) OR #time < :time",
            ExpressionAttributeNames={"#time": "time"},
            ExpressionAttributeValues={":time": position["time"]},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
