"""Receives and deletes messages of the dead-letter queue.

A received message is invisible to other consumers until its visibility timeout expires
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html). So two
concurrent runs never process the same message, and the messages of a killed run become visible again. The timeout is
extended while a message is processed.

A run holds the messages that it keeps until it ends: otherwise it would receive them again and again, and a dry run
over a long queue would never end. The visibility timeout of each receive is twice the time since the run began, so a
message that becomes visible again returns at most after 3, 9 and 27 times that time, and a run receives each message
at most 1.5 times on average. It is at least 5 minutes and at most 12 hours, the maximum of SQS.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

from iot_constructs.cli.aws_errors import (
    AWS_ERRORS,
    MAX_ATTEMPTS,
    RetryPolicy,
    error_code,
    format_error,
    is_retryable,
)

VISIBILITY_SECONDS = 300
# The maximum, which counts from the receive, also after an extension (sqs-visibility-timeout.html).
MAX_VISIBILITY_SECONDS = 43_200
_HOLD_FACTOR = 2
# The messages that are processed are extended when this is left of their visibility timeout.
RENEW_BEFORE_SECONDS = VISIBILITY_SECONDS * 2 / 3
# Long polling queries all servers of the queue: an empty response means an empty queue
# (sqs-short-and-long-polling.html).
WAIT_SECONDS = 1
MAX_MESSAGES_PER_CALL = 10
# After 10,000 consecutive messages that were sent after the run began, messages arrive faster than they are received.
MAX_RECEIVES_WITHOUT_WORK = 1000
# A queue can have about 120,000 in-flight messages. Beyond, long polling returns no error but an empty response
# (quotas-queues.html), which must not look like the end of the queue, and other consumers receive nothing.
MAX_IN_FLIGHT = 100_000

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
    """Returns once each message that was on the queue when the run began.

    A redriven record that fails again returns as a new message. To avoid an endless loop, messages that were sent after
    the run began are left for the next run. The memory per message is its id and its receipt handle.
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
        self._current: list[str] = []
        self._visible_at = 0.0
        self._longest_hold = 0.0
        self.newer = 0
        """The number of messages that were sent after the run began."""
        self.read_to_end = True
        """False if the run stopped before it received every message."""
        self.waiting = self.in_flight = 0
        self._started = self._clock()
        self.began = self._begin()
        """The start time of the run by the clock of SQS, in epoch seconds."""

    @property
    def held(self) -> int:
        """The number of messages that the run received and neither deleted nor made visible again."""
        return len(self._handles)

    @property
    def held_seconds(self) -> int:
        """The time after which all held messages are visible again in any case."""
        return max(0, math.ceil(self._longest_hold - self._clock())) if self._handles else 0

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
        """Receive messages to process; an empty list means that there are no more.

        The end is certain: every receive either returns new messages, or adds to those that the run holds, of which
        there are at most `MAX_IN_FLIGHT`, or returns held messages, which happens ever more seldom.
        """
        without_work = 0
        while without_work < MAX_RECEIVES_WITHOUT_WORK and self.held < MAX_IN_FLIGHT:
            received = self._receive(at_most)
            if received is None:
                break
            if not received:
                # With as many in flight, an empty response does not mean an empty queue.
                self.read_to_end = self.held + self.in_flight < MAX_IN_FLIGHT
                return []
            newer = self.newer
            due = [message for message in received if self._is_due(message)]
            self._current = [message.id for message in due]
            if due:
                return due
            without_work += self.newer > newer
        self.read_to_end = False
        return []

    def _receive(self, at_most: int) -> list[Message] | None:
        """Receive messages and hold them; None if too many are in flight."""
        now, timeout = self._clock(), self._hold_seconds()
        try:
            response = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(at_most, MAX_MESSAGES_PER_CALL),
                WaitTimeSeconds=WAIT_SECONDS,
                VisibilityTimeout=timeout,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        except AWS_ERRORS as error:
            if not error_code(error).endswith("OverLimit"):
                raise
            return None
        received = [_message(raw) for raw in response.get("Messages", [])]
        self._handles.update((message.id, message.receipt_handle) for message in received)
        self._visible_at = now + timeout
        # The timeout began at the latest when the response arrived.
        self._longest_hold = max(self._longest_hold, self._clock() + timeout)
        return received

    def _hold_seconds(self) -> int:
        """Return the visibility timeout of what is received now."""
        elapsed = int(self._clock() - self._started)
        return min(max(VISIBILITY_SECONDS, _HOLD_FACTOR * elapsed), MAX_VISIBILITY_SECONDS)

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
        now = self._clock()
        if self._visible_at - now > RENEW_BEFORE_SECONDS:
            return
        held = [id for id in self._current if id in self._handles]
        self._visible_at = now + VISIBILITY_SECONDS
        # If it fails, as 12 hours after the receive, another run can process the message as well: its records are put
        # twice, but not lost.
        with suppress(*AWS_ERRORS):
            for group in _batches_of_10(held):
                self._change_visibility(group, VISIBILITY_SECONDS)
        self._longest_hold = max(self._longest_hold, self._clock() + VISIBILITY_SECONDS)

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

        Messages that cannot be released become visible when their visibility timeout expires; see `held_seconds`.
        """
        self._current = []
        for group in _batches_of_10(list(self._handles)):
            try:
                self._release(group)
            except AWS_ERRORS as error:
                return format_error(error)
        return None

    def _release(self, ids: Sequence[str]) -> None:
        pending = ids
        for attempt in self._retry_policy:
            try:
                failed = self._change_visibility(pending, 0)
            except AWS_ERRORS as error:
                if attempt == MAX_ATTEMPTS - 1 or not is_retryable(error):
                    raise
                continue
            # An entry of which the caller is at fault is a message that another consumer has received or deleted.
            retried = [id for id, entry in failed.items() if not entry.get("SenderFault")]
            for id in pending:
                if id not in retried:
                    del self._handles[id]
            pending = retried
            if not pending:
                return

    def _change_visibility(self, ids: Sequence[str], seconds: int) -> dict[str, dict[str, Any]]:
        """Change the visibility timeout of up to 10 messages; return the failed entries by message id."""
        response = self._client.change_message_visibility_batch(
            QueueUrl=self._url,
            Entries=[{**entry, "VisibilityTimeout": seconds} for entry in self._entries(ids)],
        )
        return {ids[int(entry["Id"])]: entry for entry in response.get("Failed", [])}

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
