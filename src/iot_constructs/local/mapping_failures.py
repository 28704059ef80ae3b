"""Creates failure records and sends them to a mapping's failure destination.

Format, S3 key, and permissions: lambda/latest/dg/kinesis-on-failure-destination.html. A queue or a
topic receives only metadata. A bucket also receives the whole event as a JSON string in ``payload``.

The guide does not document these details:

- The failure record of an expired record has no ``responseContext`` and an invocation count of at
  least 1, as in failure records from AWS (see `Condition`).
- ``functionError`` is null after a partial failure or a malformed response.
- AWS might combine adjacent failures. The simulation sends one failure record per discarded batch.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from iot_constructs.local.mapping_decisions import Condition, Discard
from iot_constructs.local.mapping_records import invocation_payload

VERSION = "1.0"


@dataclass(frozen=True)
class Failure:
    """Discarded records of a shard and the time of the discard."""

    mapping_uuid: str
    function_arn: str
    stream_arn: str
    shard_id: str
    discard: Discard
    now: float

    def document(self) -> dict[str, Any]:
        """Return the failure record for a queue or a topic."""
        batch, condition = self.discard.batch, self.discard.condition
        first, last = batch.records[0], batch.records[-1]
        response = batch.response
        if condition is Condition.RECORD_AGE_EXCEEDED:
            response = None
        document: dict[str, Any] = {
            "requestContext": {
                "requestId": response.request_id if response is not None else str(uuid.uuid4()),
                "functionArn": self.function_arn,
                "condition": condition.value,
                "approximateInvokeCount": max(1, batch.invocations),
            }
        }
        if response is not None:
            document["responseContext"] = {
                "statusCode": response.status_code,
                "executedVersion": response.executed_version,
                "functionError": response.function_error,
            }
        document["version"] = VERSION
        document["timestamp"] = iso_time(self.now)
        document["KinesisBatchInfo"] = {
            "shardId": self.shard_id,
            "startSequenceNumber": first.sequence_number,
            "endSequenceNumber": last.sequence_number,
            "approximateArrivalOfFirstRecord": iso_time(first.arrival),
            "approximateArrivalOfLastRecord": iso_time(last.arrival),
            "batchSize": len(batch),
            "streamArn": self.stream_arn,
        }
        return document

    def document_with_payload(self) -> dict[str, Any]:
        """Return the failure record for a bucket."""
        return {**self.document(), "payload": invocation_payload(self.discard.batch.records)}

    def key(self) -> str:
        """Return the S3 object key."""
        time = datetime.fromtimestamp(self.now, tz=timezone.utc)
        return (
            f"aws/lambda/{self.mapping_uuid}/{self.shard_id}/{time:%Y/%m/%d}/"
            f"{time:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        )


Destination = Callable[[Failure], None]
"""Sends a failure record. Raises an exception if that fails."""


def create_destination(arn: str | None, client: Callable[[str], Any]) -> Destination | None:
    """Return the destination with this ARN. `client` creates clients with the function's role."""
    if arn is None:
        return None
    service, resource = arn.split(":")[2], arn.split(":")[-1]
    if service == "sns":
        return _to_topic(client("sns"), arn)
    if service == "sqs":
        return _to_queue(client("sqs"), resource)
    return _to_bucket(client("s3"), resource)


def iso_time(seconds: float) -> str:
    """Format a timestamp as in failure records, such as 2019-11-14T00:38:06.021Z."""
    time = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_topic(sns: Any, arn: str) -> Destination:
    def send(failure: Failure) -> None:
        sns.publish(TopicArn=arn, Message=json.dumps(failure.document()))

    return send


def _to_queue(sqs: Any, name: str) -> Destination:
    def send(failure: Failure) -> None:
        # The role might not have permission for GetQueueUrl.
        account = failure.function_arn.split(":")[4]
        url = f"{sqs.meta.endpoint_url}/{account}/{name}"
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(failure.document()))

    return send


def _to_bucket(s3: Any, bucket: str) -> Destination:
    def send(failure: Failure) -> None:
        # Lambda requires s3:ListBucket and s3:PutObject. HeadBucket checks the former.
        s3.head_bucket(Bucket=bucket)
        body = json.dumps(failure.document_with_payload()).encode()
        s3.put_object(Bucket=bucket, Key=failure.key(), Body=body, ContentType="application/json")

    return send
