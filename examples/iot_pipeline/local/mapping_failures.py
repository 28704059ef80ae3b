"""Failure records: what Lambda sends to a mapping's failure destination, and where.

Shape, S3 key and permissions: "Retain discarded batch records for a Kinesis Data Streams event
source in Lambda" (lambda/latest/dg/kinesis-on-failure-destination.html, FACTS 2). A queue or a
topic gets metadata only; a bucket also gets the whole event, as a string of JSON in ``payload``.

Three details are not in the guide. A record that got too old has no ``responseContext`` and an
invocation count of at least 1: so it is in recordings of real failure records (see `Condition`).
After an invocation that failed without a function error (a partial failure, a malformed answer)
``functionError`` is null here. And AWS may put neighbouring failures into one record; here each
discarded batch has its own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from examples.iot_pipeline.local.mapping_decisions import Condition, Discard
from examples.iot_pipeline.local.mapping_records import event_of

VERSION = "1.0"


@dataclass(frozen=True)
class Failure:
    """Discarded records of a shard, at the moment at which they were given up."""

    mapping_uuid: str
    function_arn: str
    stream_arn: str
    shard_id: str
    discard: Discard
    now: float

    def document(self) -> dict[str, Any]:
        """The failure record as a queue or a topic gets it."""
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
        """The failure record as a bucket gets it."""
        return {**self.document(), "payload": event_of(self.discard.batch.records)}

    def key(self) -> str:
        """The name of the object in a bucket."""
        moment = datetime.fromtimestamp(self.now, tz=timezone.utc)
        return (
            f"aws/lambda/{self.mapping_uuid}/{self.shard_id}/{moment:%Y/%m/%d}/"
            f"{moment:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        )


Destination = Callable[[Failure], None]
"""Sends a failure record; raises when that fails."""


def create_destination(arn: str | None, client: Callable[[str], Any]) -> Destination | None:
    """The destination of this ARN. `client` makes one with the permissions of the function's role."""
    if arn is None:
        return None
    service, resource = arn.split(":")[2], arn.split(":")[-1]
    if service == "sns":
        return _to_topic(client("sns"), arn)
    if service == "sqs":
        return _to_queue(client("sqs"), resource)
    return _to_bucket(client("s3"), resource)


def iso_time(seconds: float) -> str:
    """A moment as failure records write it, such as 2019-11-14T00:38:06.021Z."""
    moment = datetime.fromtimestamp(seconds, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _to_topic(sns: Any, arn: str) -> Destination:
    def send(failure: Failure) -> None:
        sns.publish(TopicArn=arn, Message=json.dumps(failure.document()))

    return send


def _to_queue(sqs: Any, name: str) -> Destination:
    def send(failure: Failure) -> None:
        # Built, not asked for: the role may send to the queue, and need not be able to find it.
        account = failure.function_arn.split(":")[4]
        url = f"{sqs.meta.endpoint_url}/{account}/{name}"
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(failure.document()))

    return send


def _to_bucket(s3: Any, bucket: str) -> Destination:
    def send(failure: Failure) -> None:
        # Lambda asks for s3:ListBucket as well as s3:PutObject; HeadBucket is what needs the first.
        s3.head_bucket(Bucket=bucket)
        body = json.dumps(failure.document_with_payload()).encode()
        s3.put_object(Bucket=bucket, Key=failure.key(), Body=body, ContentType="application/json")

    return send
