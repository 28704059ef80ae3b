"""The dead-letter queue: nobody else sees a message while it is in hand, and none is lost.

A message that was received is invisible to other readers for a while, and comes back by itself
(AWSSimpleQueueService developer guide sqs-visibility-timeout.html). So two operators never work on one message,
and a run that is killed leaves nothing behind. The time is extended while a message is worked on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

from iot_constructs.cli.aws_errors import AWS_ERRORS, Attempts, code_of, described

VISIBILITY_SECONDS = 300
RENEW_AFTER_SECONDS = VISIBILITY_SECONDS / 3
# Long polling asks every server of the queue: an empty answer means an empty queue
# (sqs-short-and-long-polling.html).
WAIT_SECONDS = 1
MAX_MESSAGES_PER_CALL = 10
# 10,000 messages in a row that were sent after the run began: they are coming faster than they can be looked at.
MAX_RECEIVES_WITHOUT_WORK = 1000

_Item = TypeVar("_Item")


class SQSClient(Protocol):
    """The calls that are made."""

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        """Roughly how many messages there are."""

    def receive_message(self, **request: Any) -> dict[str, Any]:
        """Up to 10 messages."""

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        """Extend or end the time for which messages are invisible."""

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        """Delete messages."""


@dataclass(frozen=True)
class Message:
    """One message in hand."""

    id: str
    body: str
    receipt_handle: str
    sent: float | None
    """When it was sent to the queue, in epoch seconds."""


class DeadLetterQueue:
    """Gives out each message once, of those that were on the queue when the run began.

    A record that is put back and fails again comes back as a new message. Taking that up in the same run could go
    on for ever, so messages that were sent after the run began are left for the next one.
    """

    def __init__(
        self,
        client: SQSClient,
        url: str,
        *,
        attempts: Attempts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._url = url
        self._attempts = attempts
        self._clock = clock
        self._handles: dict[str, str] = {}
        self._seen: set[str] = set()
        self._in_hand: list[Message] = []
        self._renewed = 0.0
        self.newer = 0
        """Messages that were sent after the run began."""
        self.read_to_end = True
        """False when the run stopped before it had seen every message."""
        self.waiting = self.in_flight = 0
        self.began = self._begin()
        """When the run began, by the clock of SQS, in epoch seconds."""

    def _begin(self) -> float:
        answer = self._client.get_queue_attributes(
            QueueUrl=self._url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )
        attributes = answer.get("Attributes", {})
        self.waiting = int(attributes.get("ApproximateNumberOfMessages", 0))
        self.in_flight = int(attributes.get("ApproximateNumberOfMessagesNotVisible", 0))
        # SentTimestamp is SQS's time, and an operator's clock may be minutes off. The header has whole seconds: the
        # rest of this one still belongs to what was there before.
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        try:
            return parsedate_to_datetime(date).timestamp() + 1.0
        except (TypeError, ValueError):
            return self._clock()

    def receive(self, at_most: int) -> list[Message]:
        """Some messages to work on; none means that there are no more."""
        for _ in range(MAX_RECEIVES_WITHOUT_WORK):
            self._renewed = self._clock()
            try:
                answer = self._client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=min(at_most, MAX_MESSAGES_PER_CALL),
                    WaitTimeSeconds=WAIT_SECONDS,
                    VisibilityTimeout=VISIBILITY_SECONDS,
                    MessageSystemAttributeNames=["SentTimestamp"],
                )
            except AWS_ERRORS as error:
                if not code_of(error).endswith("OverLimit"):
                    raise
                # 120,000 messages can be in flight (APIReference API_ReceiveMessage).
                self.read_to_end = False
                return []
            received = [_message(raw) for raw in answer.get("Messages", [])]
            if not received:
                return []
            self._in_hand = [message for message in received if self._is_due(message)]
            self._handles.update((message.id, message.receipt_handle) for message in received)
            if self._in_hand:
                return self._in_hand
        self.read_to_end = False
        return []

    def _is_due(self, message: Message) -> bool:
        # It comes back within a run that holds it for longer than its visibility timeout.
        if message.id in self._seen:
            return False
        self._seen.add(message.id)
        if message.sent is not None and message.sent >= self.began:
            self.newer += 1
            return False
        return True

    def keep_alive(self) -> None:
        """Hold the messages in hand for longer, if it is time to; called between any two steps."""
        if self._clock() - self._renewed < RENEW_AFTER_SECONDS:
            return
        self._renewed = self._clock()
        held = [message.id for message in self._in_hand if message.id in self._handles]
        # If it fails, another run may take the message up too: put twice, not lost.
        with suppress(*AWS_ERRORS):
            self._change_visibility(held, VISIBILITY_SECONDS)

    def delete(self, messages: Iterable[Message]) -> dict[str, str]:
        """Delete these messages; the answer has those that are still there, and why."""
        problems: dict[str, str] = {}
        for group in _tens([message.id for message in messages]):
            pending = group
            for _ in self._attempts:
                answer = self._client.delete_message_batch(
                    QueueUrl=self._url, Entries=self._entries(pending)
                )
                failed = {pending[int(f["Id"])]: f for f in answer.get("Failed", [])}
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
        """Make every message visible that is still held; the answer is what went wrong, if anything did.

        What cannot be released comes back by itself when its time is over.
        """
        held = list(self._handles)
        self._in_hand = []
        try:
            self._change_visibility(held, 0)
        except AWS_ERRORS as error:
            return described(error)
        self._handles.clear()
        return None

    def _change_visibility(self, ids: Iterable[str], seconds: int) -> None:
        for group in _tens(list(ids)):
            # A failed entry is a message that somebody else has by now, or that is gone: neither is ours any more.
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


def _tens(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), MAX_MESSAGES_PER_CALL):
        yield items[start : start + MAX_MESSAGES_PER_CALL]
