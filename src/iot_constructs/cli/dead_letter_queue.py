"""Receives and deletes messages of the dead-letter queue.

A received message is invisible to other consumers until its visibility timeout expires
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html). So two
concurrent runs never process the same message, and the messages of a killed run become visible again. The timeout is
extended while a message is processed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

from iot_constructs.cli.aws_errors import AWS_ERRORS, RetryPolicy, error_code, format_error

VISIBILITY_SECONDS = 300
RENEW_AFTER_SECONDS = VISIBILITY_SECONDS / 3
# Long polling queries all servers of the queue: an empty response means an empty queue
# (sqs-short-and-long-polling.html).
WAIT_SECONDS = 1
MAX_MESSAGES_PER_CALL = 10
# After 10,000 consecutive messages that were sent after the run began, messages arrive faster than they are received.
MAX_RECEIVES_WITHOUT_WORK = 1000

_Item = TypeVar("_Item")


class SQSClient(Protocol):
    """The SQS calls that `DeadLetterQueue` uses."""

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        """Get the approximate number of messages."""

    def receive_message(self, **request: Any) -> dict[str, Any]:
        """Receive up to 10 messages."""

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        """Change the visibility timeout of messages."""

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        """Delete messages."""


@dataclass(frozen=True)
class Message:
    """A received message."""

    id: str
    body: str
    receipt_handle: str
    sent: float | None
    """The time at which it was sent to the queue, in epoch seconds."""


class DeadLetterQueue:
    """Receives once each message that was on the queue when the run began.

    A redriven record that fails again returns as a new message. To avoid an endless loop, messages that were sent after
    the run began are left for the next run.
    """

    def __init__(
        self,
        client: SQSClient,
        url: str,
        *,
        retry_policy: RetryPolicy,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._url = url
        self._retry_policy = retry_policy
        self._clock = clock
        self._handles: dict[str, str] = {}
        self._seen: set[str] = set()
        self._current: list[Message] = []
        self._renewed = 0.0
        self.newer = 0
        """The number of messages that were sent after the run began."""
        self.read_to_end = True
        """False if the run stopped before it received every message."""
        self.waiting = self.in_flight = 0
        self.began = self._begin()
        """The start time of the run by the clock of SQS, in epoch seconds."""

    def _begin(self) -> float:
        response = self._client.get_queue_attributes(
            QueueUrl=self._url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )
        attributes = response.get("Attributes", {})
        self.waiting = int(attributes.get("ApproximateNumberOfMessages", 0))
        self.in_flight = int(attributes.get("ApproximateNumberOfMessagesNotVisible", 0))
        # SentTimestamp is the time of SQS, from which the local clock can differ. The header has whole seconds:
        # messages that were sent within this second count as sent before.
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        try:
            return parsedate_to_datetime(date).timestamp() + 1.0
        except (TypeError, ValueError):
            return self._clock()

    def receive(self, at_most: int) -> list[Message]:
        """Receive messages to process; an empty list means that there are no more."""
        for _ in range(MAX_RECEIVES_WITHOUT_WORK):
            self._renewed = self._clock()
            try:
                response = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(at_most, MAX_MESSAGES_PER_CALL),
                    WaitTimeSeconds=WAIT_SECONDS,
                    VisibilityTimeout=VISIBILITY_SECONDS,
                    MessageSystemAttributeNames=["SentTimestamp"],
                )
            except AWS_ERRORS as error:
                if not error_code(error).endswith("OverLimit"):
                    raise
                # A queue can have 120,000 in-flight messages (AWSSimpleQueueService APIReference API_ReceiveMessage).
                self.read_to_end = False
                return []
            received = [_message(raw) for raw in response.get("Messages", [])]
            if not received:
                return []
            self._current = [message for message in received if self._is_due(message)]
            self._handles.update((message.id, message.receipt_handle) for message in received)
            if self._current:
                return self._current
        self.read_to_end = False
        return []

    def _is_due(self, message: Message) -> bool:
        # A message is received again if the run holds it for longer than its visibility timeout.
        if message.id in self._seen:
            return False
        self._seen.add(message.id)
        if message.sent is not None and message.sent >= self.began:
            self.newer += 1
            return False
        return True

    def keep_alive(self) -> None:
        """Extend the visibility timeout of the current messages if necessary; call it between any two steps."""
        if self._clock() - self._renewed < RENEW_AFTER_SECONDS:
            return
        self._renewed = self._clock()
        held = [message.id for message in self._current if message.id in self._handles]
        # If it fails, another run can process the message as well: its records are put twice, but not lost.
        with suppress(*AWS_ERRORS):
            self._change_visibility(held, VISIBILITY_SECONDS)

    def delete(self, messages: Iterable[Message]) -> dict[str, str]:
        """Delete messages; return the errors by the id of the messages that could not be deleted."""
        problems: dict[str, str] = {}
        for group in _batches_of_10([message.id for message in messages]):
            pending = group
            for _ in self._retry_policy:
                response = self._client.delete_message_batch(
                    QueueUrl=self._url, Entries=self._entries(pending)
                )
                failed = {pending[int(f["Id"])]: f for f in response.get("Failed", [])}
                for id in pending:
                    if id not in failed:
                        problems.pop(id, None)
                        del self._handles[id]
                problems.update((id, str(f.get("Code"))) for id, f in failed.items())
                pending = [id for id, f in failed.items() if not f.get("SenderFault")]
                if not pending:
                    break
        return problems

    def release(self) -> str | None:
        """Make all held messages visible again; return the error, if any.

        Messages that cannot be released become visible when their visibility timeout expires.
        """
        held = list(self._handles)
        self._current = []
        try:
            self._change_visibility(held, 0)
        except AWS_ERRORS as error:
            return format_error(error)
        self._handles.clear()
        return None

    def _change_visibility(self, ids: Iterable[str], seconds: int) -> None:
        for group in _batches_of_10(list(ids)):
            # A failed entry is a message that another consumer has received or deleted.
            self._client.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[{**entry, "VisibilityTimeout": seconds} for entry in self._entries(group)],
            )

    def _entries(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {"Id": str(position), "ReceiptHandle": self._handles[id]}
            for position, id in enumerate(ids)
        ]


def _message(raw: dict[str, Any]) -> Message:
    sent = raw.get("Attributes", {}).get("SentTimestamp")
    return Message(
        id=raw["MessageId"],
        body=raw["Body"],
        receipt_handle=raw["ReceiptHandle"],
        sent=int(sent) / 1000 if sent is not None else None,
    )


def _batches_of_10(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), MAX_MESSAGES_PER_CALL):
        yield items[start : start + MAX_MESSAGES_PER_CALL]
