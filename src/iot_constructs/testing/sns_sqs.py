"""Simulates SNS topics with SQS subscriptions, and SQS standard queues.

Pages, for SNS:

- sns/latest/api/API_PublishBatch.html: 10 entries with distinct ids of up to 80 characters, 256 KiB in all, and failed
  entries in the response. API_MessageAttributeValue.html: names, types, and values of attributes count.
- sns/latest/dg/sns-sqs-as-subscriber.html: the envelope. sns-message-delivery-retries.html: a message can be delivered
  more than once.

And for SQS, in AWSSimpleQueueService/latest:

- SQSDeveloperGuide/standard-queues-at-least-once-delivery.html: no order, and messages that are delivered twice.
- SQSDeveloperGuide/sqs-visibility-timeout.html: 30 seconds unless a call says otherwise, up to 12 hours from the
  receive, whatever is changed since.
- APIReference/API_ChangeMessageVisibility.html: only of a message in flight. API_DeleteMessage.html: an old receipt
  handle is a success, but the message is not deleted. No page tells what happens to the handle of a deleted message:
  the model treats it in the same way, and the emulator refuses it.
- SQSDeveloperGuide/quotas-messages.html: 1 MiB, batches of 10 with distinct ids. quotas-queues.html: 120,000 in-flight
  messages, above which short polling fails and long polling returns nothing.

SQS does not deduplicate messages of a standard queue.
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import heapq
import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any

from iot_constructs.testing.processes import aws_error
from iot_constructs.testing.scheduler import Time

_MAX_ENTRIES = 10
_MAX_PUBLISHED_BYTES = 262_144
_MAX_MESSAGE_BYTES = 2**20
_MAX_VISIBILITY_SECONDS = 43_200
_MAX_WAIT_SECONDS = 20
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SQS = "AWS.SimpleQueueService."
Fails = Callable[[int], "str | None"]


@dataclass
class StoredMessage:
    """A message on a queue."""

    id: str
    body: str
    sent: float
    visible_at: float = 0.0
    received_at: float = 0.0
    receives: int = 0

    @property
    def handle(self) -> str:
        """The receipt handle of the last receive."""
        return f"{self.id}#{self.receives}"


class SQS:
    """A Region with one queue. The time of a call does not depend on the length of the queue."""

    def __init__(self, time: Time, url: str, *, duplicates: float = 0.0) -> None:
        self.url = url
        self.messages: dict[str, StoredMessage] = {}
        self.deleted: list[str] = []
        """The ids of deleted messages."""
        self.on_send: Callable[[StoredMessage], None] = lambda message: None
        self.on_delete: Callable[[StoredMessage], None] = lambda message: None
        self.duplicates = duplicates
        """The probability that a received message stays visible."""
        self.delivered_twice = 0
        self.max_in_flight = 120_000
        self.skew = 0.0
        """How many seconds the clock of SQS is ahead."""
        self._time = time
        self._number = 0
        # Entries are out of date if the message is gone, or was received or changed since.
        self._ready: deque[str] = deque()
        self._hidden: list[tuple[float, str]] = []

    def send(self, body: str, id: str | None = None) -> StoredMessage:
        """Put a message on the queue."""
        if not 1 <= len(body.encode()) <= _MAX_MESSAGE_BYTES:
            raise aws_error("InvalidParameterValue", "a message has 1 byte to 1 MiB")
        self._number += 1
        id = id if id is not None else f"message-{self._number:06d}"
        message = StoredMessage(id, body, self._time.now + self.skew)
        self.messages[id] = message
        self._ready.append(id)
        self.on_send(message)
        return message

    def visible(self) -> list[str]:
        """Return the ids of the messages that can be received now."""
        return [each.id for each in self.messages.values() if each.visible_at <= self._time.now]

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
        visible = len(self.visible())
        date = formatdate(self._time.now + self.skew, usegmt=True)
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(visible),
                "ApproximateNumberOfMessagesNotVisible": str(len(self.messages) - visible),
            },
            "ResponseMetadata": {"HTTPHeaders": {"date": date}},
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
        if not (
            1 <= MaxNumberOfMessages <= _MAX_ENTRIES
            and 0 <= VisibilityTimeout <= _MAX_VISIBILITY_SECONDS
            and 0 <= WaitTimeSeconds <= _MAX_WAIT_SECONDS
        ):
            raise aws_error("InvalidParameterValue", "a parameter is out of range")
        free = self._free()
        if not free and not WaitTimeSeconds:
            raise aws_error("OverLimit", "too many in-flight messages")
        received = self._take(min(MaxNumberOfMessages, free))
        now = self._time.now
        for message in received:
            message.receives += 1
            message.received_at = now
            if self._time.random.random() < self.duplicates:
                self.delivered_twice += 1
                self._hide(message, 0.0)
            else:
                self._hide(message, VisibilityTimeout)
        if not received:
            return {}
        names = set(MessageSystemAttributeNames)
        return {
            "Messages": [
                {
                    "MessageId": message.id,
                    "Body": message.body,
                    "ReceiptHandle": message.handle,
                    "Attributes": {
                        name: value
                        for name, value in {"SentTimestamp": str(int(message.sent * 1000))}.items()
                        if names & {name, "All"}
                    },
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

        def change(message: StoredMessage | None, entry: Mapping[str, Any]) -> str | None:
            seconds = entry["VisibilityTimeout"]
            if message is None or message.visible_at <= self._time.now:
                return "MessageNotInflight"
            total = self._time.now + seconds - message.received_at
            if seconds < 0 or total > _MAX_VISIBILITY_SECONDS:
                return "InvalidParameterValue"
            self._hide(message, seconds)
            return None

        return self._each(QueueUrl, Entries, change, fails)

    def delete_message_batch(
        self,
        *,
        QueueUrl: str,
        Entries: Sequence[Mapping[str, Any]],
        fails: Fails | None = None,
    ) -> dict[str, Any]:
        """DeleteMessageBatch."""

        def delete(message: StoredMessage | None, entry: Mapping[str, Any]) -> None:
            if message is not None:
                self.on_delete(message)
                del self.messages[message.id]
                self.deleted.append(message.id)

        return self._each(QueueUrl, Entries, delete, fails)

    def _each(
        self,
        url: str,
        entries: Sequence[Mapping[str, Any]],
        action: Callable[[StoredMessage | None, Mapping[str, Any]], str | None],
        fails: Fails | None,
    ) -> dict[str, Any]:
        """Call the action with the message of each entry, or None for the handle of an earlier receive."""
        self._check_url(url)
        _check_entries(entries, _SQS)
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for index, entry in enumerate(entries):
            code = fails(index) if fails is not None else None
            if code is not None:
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": False})
                continue
            handle = entry["ReceiptHandle"]
            id, mark, _ = handle.partition("#")
            message = self.messages.get(id)
            if message is not None and message.handle != handle:
                message = None
            error = action(message, entry) if mark else "ReceiptHandleIsInvalid"
            if error is not None:
                failed.append({"Id": entry["Id"], "Code": error, "SenderFault": True})
            else:
                done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

    def _take(self, at_most: int) -> list[StoredMessage]:
        """Remove messages from those that are ready, from a random place on."""
        now, hidden, ready = self._time.now, self._hidden, self._ready
        while hidden and hidden[0][0] <= now:
            ready.append(heapq.heappop(hidden)[1])
        ready.rotate(-int(self._time.random.random() * len(ready)))
        taken: dict[str, StoredMessage] = {}
        while ready and len(taken) < at_most:
            message = self.messages.get(ready.popleft())
            if message is not None and message.visible_at <= now:
                taken[message.id] = message
        return list(taken.values())

    def _hide(self, message: StoredMessage, seconds: float) -> None:
        message.visible_at = self._time.now + seconds
        heapq.heappush(self._hidden, (message.visible_at, message.id))

    def _free(self) -> int:
        """Return how many more messages can be in flight."""
        if len(self.messages) <= self.max_in_flight:
            return self.max_in_flight
        return max(0, self.max_in_flight - len(self.messages) + len(self.visible()))

    def _check_url(self, url: str) -> None:
        if url != self.url:
            raise aws_error(_SQS + "NonExistentQueue", f"no queue {url}")


class SNS:
    """A Region with one topic, to which one queue is subscribed."""

    def __init__(self, time: Time, topic_arn: str, queue: SQS, *, duplicates: float = 0.0) -> None:
        self.topic_arn = topic_arn
        self.published = 0
        self.delivered_twice = 0
        self._time = time
        self._queue = queue
        self.duplicates = duplicates

    def publish(self, *, TopicArn: str, Message: str) -> dict[str, Any]:
        """Publish."""
        self._check_topic(TopicArn)
        if len(Message.encode()) > _MAX_PUBLISHED_BYTES:
            raise aws_error("InvalidParameter", "Message too long")
        return {"MessageId": self._deliver({"Message": Message})}

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
        if sum(_message_bytes(entry) for entry in entries) > _MAX_PUBLISHED_BYTES:
            raise aws_error("BatchRequestTooLong", "over 256 KiB")
        done, failed = [], []
        for index, entry in enumerate(entries):
            code = fails(index) if fails is not None else None
            if code is not None:
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": False})
            else:
                done.append({"Id": entry["Id"], "MessageId": self._deliver(entry)})
        return {"Successful": done, "Failed": failed}

    def _deliver(self, entry: Mapping[str, Any]) -> str:
        """Return the id of the message."""
        self.published += 1
        id = f"published-{self.published:06d}"
        moment = datetime.fromtimestamp(self._time.now, timezone.utc)
        attributes = {
            name: {"Type": value["DataType"], "Value": value["StringValue"]}
            for name, value in entry.get("MessageAttributes", {}).items()
        }
        envelope = json.dumps(
            {
                "Type": "Notification",
                "MessageId": id,
                "TopicArn": self.topic_arn,
                "Message": entry["Message"],
                "Timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                **({"MessageAttributes": attributes} if attributes else {}),
            }
        )
        self._queue.send(envelope)
        if self._time.random.random() < self.duplicates:
            self.delivered_twice += 1
            self._queue.send(envelope)
        return id

    def _check_topic(self, arn: str) -> None:
        if arn != self.topic_arn:
            raise aws_error("NotFound", f"no topic {arn}", 404)


def _check_entries(entries: Sequence[Mapping[str, Any]], prefix: str = "") -> None:
    if not entries:
        raise aws_error(prefix + "EmptyBatchRequest", "no entries")
    if len(entries) > _MAX_ENTRIES:
        raise aws_error(prefix + "TooManyEntriesInBatchRequest", "1 to 10 entries")
    if not all(_ENTRY_ID.fullmatch(entry["Id"]) for entry in entries):
        raise aws_error(prefix + "InvalidBatchEntryId", "not a valid id")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise aws_error(prefix + "BatchEntryIdsNotDistinct", "the ids must be distinct")


def _message_bytes(entry: Mapping[str, Any]) -> int:
    attributes = entry.get("MessageAttributes", {}).items()
    return len(entry["Message"].encode()) + sum(
        len((name + value["DataType"] + value["StringValue"]).encode())
        for name, value in attributes
    )
