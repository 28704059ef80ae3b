"""Simulates SNS topics with SQS subscriptions, and SQS standard queues.

Behavior: sns/latest/api/API_PublishBatch (10 entries, 256 KiB, failed entries in the response),
sns/latest/dg/sns-large-payload-raw-message-delivery.html (the envelope), and of standard queues
AWSSimpleQueueService/latest/SQSDeveloperGuide: at-least-once delivery (standard-queues-at-least-once-delivery.html),
no order, the visibility timeout (sqs-visibility-timeout.html), batches of 10 with failed entries, and a receipt handle
for each receive, of which the latest is needed to delete (sqs-queue-message-identifiers.html).
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from iot_constructs.testing.processes import aws_error
from iot_constructs.testing.scheduler import Scheduler

_MAX_ENTRIES = 10
_MAX_BYTES = 262_144
Fails = Callable[[int], "str | None"]


@dataclass
class StoredMessage:
    """A message on a queue."""

    id: str
    body: str
    sent: float
    visible_at: float = 0.0
    handle: str = ""
    receives: int = 0


class SQS:
    """A Region with one queue."""

    def __init__(self, scheduler: Scheduler, url: str, *, duplicates: float = 0.0) -> None:
        self.url = url
        self.messages: dict[str, StoredMessage] = {}
        self.deleted: list[StoredMessage] = []
        self.on_send: Callable[[StoredMessage], None] = lambda message: None
        self.on_delete: Callable[[StoredMessage], None] = lambda message: None
        self.delivered_twice = 0
        self._duplicates = duplicates
        self._scheduler = scheduler
        self._number = 0

    def send(self, body: str) -> StoredMessage:
        """Put a message on the queue."""
        self._number += 1
        message = StoredMessage(f"message-{self._number:06d}", body, self._scheduler.now)
        self.messages[message.id] = message
        self.on_send(message)
        return message

    def send_message(self, *, QueueUrl: str, MessageBody: str) -> dict[str, Any]:
        """SendMessage."""
        self._check_url(QueueUrl)
        return {"MessageId": self.send(MessageBody).id}

    def get_queue_attributes(
        self,
        *,
        QueueUrl: str,
        AttributeNames: Sequence[str] = (),
    ) -> dict[str, Any]:
        """GetQueueAttributes, with the approximate numbers of messages."""
        self._check_url(QueueUrl)
        visible = sum(each.visible_at <= self._scheduler.now for each in self.messages.values())
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(visible),
                "ApproximateNumberOfMessagesNotVisible": str(len(self.messages) - visible),
            },
            "ResponseMetadata": {
                "HTTPHeaders": {"date": formatdate(self._scheduler.now, usegmt=True)}
            },
        }

    def receive_message(
        self,
        *,
        QueueUrl: str,
        MaxNumberOfMessages: int = 1,
        VisibilityTimeout: float = 30,
        WaitTimeSeconds: int = 0,
        MessageSystemAttributeNames: Sequence[str] = (),
    ) -> dict[str, Any]:
        """ReceiveMessage. With long polling, an empty response means an empty queue."""
        self._check_url(QueueUrl)
        if not 1 <= MaxNumberOfMessages <= _MAX_ENTRIES:
            raise aws_error("InvalidParameterValue", "MaxNumberOfMessages is 1 to 10")
        now = self._scheduler.now
        visible = [each for each in self.messages.values() if each.visible_at <= now]
        start = int(self._scheduler.random.random() * len(visible))
        received = (visible[start:] + visible[:start])[:MaxNumberOfMessages]
        for message in received:
            message.receives += 1
            message.handle = f"{message.id}#{message.receives}"
            message.visible_at = now + VisibilityTimeout
            if self._scheduler.random.random() < self._duplicates:
                self.delivered_twice += 1
                message.visible_at = now  # at-least-once delivery
        return {
            "Messages": [
                {
                    "MessageId": message.id,
                    "Body": message.body,
                    "ReceiptHandle": message.handle,
                    "Attributes": {"SentTimestamp": str(int(message.sent * 1000))},
                }
                for message in received
            ]
        }

    def change_message_visibility_batch(
        self,
        *,
        QueueUrl: str,
        Entries: Sequence[Mapping[str, Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """ChangeMessageVisibilityBatch."""

        def change(message: StoredMessage, entry: Mapping[str, Any]) -> None:
            message.visible_at = self._scheduler.now + entry["VisibilityTimeout"]

        return self._each(QueueUrl, Entries, change, fails)

    def delete_message_batch(
        self,
        *,
        QueueUrl: str,
        Entries: Sequence[Mapping[str, Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """DeleteMessageBatch."""

        def delete(message: StoredMessage, entry: Mapping[str, Any]) -> None:
            self.on_delete(message)
            self.deleted.append(self.messages.pop(message.id))

        return self._each(QueueUrl, Entries, delete, fails)

    def _each(
        self,
        url: str,
        entries: Sequence[Mapping[str, Any]],
        action: Callable[[StoredMessage, Mapping[str, Any]], None],
        fails: Fails | None,
    ) -> dict[str, Any]:
        self._check_url(url)
        _check_entries(entries)
        done, failed = [], []
        for index, entry in enumerate(entries):
            id, _, receive = entry["ReceiptHandle"].partition("#")
            message = self.messages.get(id)
            code = fails(index) if fails is not None else None
            if code is not None:
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": False})
            elif message is None or message.receives != int(receive):
                failed.append(
                    {"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": True}
                )
            else:
                action(message, entry)
                done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

    def _check_url(self, url: str) -> None:
        if url != self.url:
            raise aws_error("AWS.SimpleQueueService.NonExistentQueue", f"no queue {url}")


class SNS:
    """A Region with one topic, to which one queue is subscribed."""

    def __init__(
        self, scheduler: Scheduler, topic_arn: str, queue: SQS, *, duplicates: float = 0.0
    ) -> None:
        self.topic_arn = topic_arn
        self._scheduler = scheduler
        self._queue = queue
        self._duplicates = duplicates
        self._number = 0
        self.published = 0
        self.delivered_twice = 0

    def publish(self, *, TopicArn: str, Message: str) -> dict[str, Any]:
        """Publish."""
        self._check_topic(TopicArn)
        if len(Message.encode()) > _MAX_BYTES:
            raise aws_error("InvalidParameter", "Message too long")
        self._deliver(Message)
        return {"MessageId": "simulated"}

    def publish_batch(
        self,
        *,
        TopicArn: str,
        PublishBatchRequestEntries: Sequence[Mapping[str, Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """PublishBatch."""
        self._check_topic(TopicArn)
        entries = PublishBatchRequestEntries
        _check_entries(entries)
        if sum(_message_bytes(entry) for entry in entries) > _MAX_BYTES:
            raise aws_error("BatchRequestTooLong", "over 256 KiB")
        done, failed = [], []
        for index, entry in enumerate(entries):
            code = fails(index) if fails is not None else None
            if code is not None:
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": False})
            else:
                self._deliver(entry["Message"])
                done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

    def _deliver(self, message: str) -> None:
        self.published += 1
        envelope = json.dumps(
            {
                "Type": "Notification",
                "MessageId": f"published-{self.published:06d}",
                "TopicArn": self.topic_arn,
                "Message": message,
            }
        )
        self._queue.send(envelope)
        if self._scheduler.random.random() < self._duplicates:
            self.delivered_twice += 1
            self._queue.send(envelope)

    def _check_topic(self, arn: str) -> None:
        if arn != self.topic_arn:
            raise aws_error("NotFoundException", f"no topic {arn}")


def _check_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    if not 1 <= len(entries) <= _MAX_ENTRIES:
        raise aws_error("TooManyEntriesInBatchRequest", "1 to 10 entries")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise aws_error("BatchEntryIdsNotDistinct", "the ids must be distinct")


def _message_bytes(entry: Mapping[str, Any]) -> int:
    attributes = entry.get("MessageAttributes", {}).items()
    return len(entry["Message"].encode()) + sum(
        len((name + value["DataType"] + value["StringValue"]).encode())
        for name, value in attributes
    )
