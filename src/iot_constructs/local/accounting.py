"""Accounts for every record by its ID: finds it in the tables or on the DLQ queue.

The count does not rely on metrics, logs, or counters of the pipeline. It scans the time-series table,
reads the DLQ queue without deleting messages, and searches both for each ID in a plan. A record in
neither is lost. A record in both is an error, too.

As a program, it counts again while the emulator is still running (``--keep``). The exit code is 1 if
a record is lost::

    python -m iot_constructs.local.accounting demo-out/run.json
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from iot_constructs.local.deployment import Deployment
from iot_constructs.local.emulator import Emulator, Endpoint
from iot_constructs.local.plan import (
    IDENTITY,
    Fate,
    Kind,
    Message,
    make_plan,
    newest_timestamps,
)
from iot_constructs.processor.dead_letters import PARTITION_KEY, decode_payload

# Longer than it takes to read the whole queue, but short enough that the messages are visible again
# when a user inspects the queue after the run.
VISIBILITY_TIMEOUT_SECONDS = 20
MESSAGES_PER_CALL = 10
RULE_ERROR = "rule-error"

Item = Mapping[str, Any]
"""An item in the format of DynamoDB's API: attribute name to {type: value}."""


@dataclass(frozen=True)
class StoredReading:
    """An item of the time-series table."""

    identity: str
    device_id: str
    timestamp: Decimal


@dataclass(frozen=True)
class DeadLetter:
    """A message on the DLQ queue with a record's payload."""

    identity: str
    device_id: str | None
    reason: str


@dataclass(frozen=True)
class DeadLetters:
    """The messages on the DLQ queue."""

    letters: tuple[DeadLetter, ...] = ()
    unrecognized: tuple[str, ...] = ()
    """The bodies of messages without the ID of a record."""


@dataclass(frozen=True)
class Account:
    """The location of every record of a plan."""

    sent: int
    """Distinct records that devices sent. A duplicate counts as its original."""
    messages: int
    """MQTT messages, including duplicates."""
    stored: frozenset[str]
    dead_lettered: frozenset[str]
    lost: tuple[str, ...]
    in_both: tuple[str, ...]
    stored_more_than_once: tuple[str, ...]
    dead_lettered_more_than_once: tuple[str, ...]
    """Allowed, because delivery to the queue is at least once."""
    wrong_device: tuple[str, ...]
    """Records stored under another device than the one that sent them."""
    unexpected: tuple[str, ...]
    """Records that are stored but should be dead-lettered, or the reverse."""
    unknown: tuple[str, ...]
    """Records in the table or on the queue that no device sent."""
    stale_state: Mapping[str, str]
    """Devices whose latest state is not their newest reading, and the actual state."""
    reasons: Mapping[str, str]
    """The reason of each dead-lettered record."""
    by_kind: Mapping[Kind, KindAccount] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every sent record is in exactly one place."""
        together = len(self.stored) + len(self.dead_lettered)
        return not self.lost and not self.in_both and self.sent == together

    @property
    def problems(self) -> list[str]:
        """The errors, one line each."""
        groups: list[tuple[str, Sequence[str]]] = [
            ("lost", self.lost),
            ("both stored and dead-lettered", self.in_both),
            ("stored more than once", self.stored_more_than_once),
            ("stored under another device", self.wrong_device),
            ("in the wrong place for their kind", self.unexpected),
            ("unknown", self.unknown),
            (
                "devices with a stale state",
                [f"{device} ({found})" for device, found in self.stale_state.items()],
            ),
        ]
        return [
            f"{len(found)} {label}: {', '.join(found[:5])}{' ...' if len(found) > 5 else ''}"
            for label, found in groups
            if found
        ]

    def summary(self) -> str:
        """Return the accounting line as JSON."""
        return json.dumps(
            {
                "sent": self.sent,
                "stored": len(self.stored),
                "dead_lettered": len(self.dead_lettered),
                "lost": len(self.lost),
            }
        )

    @property
    def exit_code(self) -> int:
        """0 if the account is complete and has no problems, else 1."""
        return 0 if self.is_complete and not self.problems else 1


@dataclass(frozen=True)
class KindAccount:
    """The location of the messages of one kind."""

    messages: int
    stored: int
    dead_lettered: int
    lost: int
    reasons: Mapping[str, int]


def account(
    plan: Sequence[Message],
    readings: Iterable[StoredReading],
    dead_letters: DeadLetters,
    states: Mapping[str, Decimal],
) -> Account:
    """Compare the sent messages with the content of the tables and the queue. Pure function."""
    readings = list(readings)
    sent: dict[str, Message] = {}
    for message in plan:
        # The original precedes its duplicate.
        sent.setdefault(message.identity, message)
    times_stored = Counter(reading.identity for reading in readings)
    times_dead = Counter(letter.identity for letter in dead_letters.letters)
    stored = frozenset(times_stored.keys() & sent.keys())
    dead = frozenset(times_dead.keys() & sent.keys())
    places = [(reading.identity, reading.device_id) for reading in readings]
    places += [
        (letter.identity, letter.device_id)
        for letter in dead_letters.letters
        if letter.device_id is not None
    ]
    wrong_device = {
        identity
        for identity, device_id in places
        if identity in sent and sent[identity].device_id != device_id
    }
    unexpected = [
        identity
        for identity, message in sent.items()
        if (identity in stored and message.expected is not Fate.STORED)
        or (identity in dead and message.expected is not Fate.DEAD_LETTERED)
    ]
    unknown = sorted((times_stored.keys() | times_dead.keys()) - sent.keys())
    unknown += [f"message {text[:60]!r}" for text in dead_letters.unrecognized]
    return Account(
        sent=len(sent),
        messages=len(plan),
        stored=stored,
        dead_lettered=dead,
        lost=tuple(sorted(sent.keys() - stored - dead)),
        in_both=tuple(sorted(stored & dead)),
        stored_more_than_once=tuple(sorted(key for key in stored if times_stored[key] > 1)),
        dead_lettered_more_than_once=tuple(sorted(key for key in dead if times_dead[key] > 1)),
        wrong_device=tuple(sorted(wrong_device)),
        unexpected=tuple(unexpected),
        unknown=tuple(unknown),
        stale_state=_find_stale_states(sent.values(), states),
        reasons={letter.identity: letter.reason for letter in dead_letters.letters},
        by_kind=_by_kind(plan, stored, dead, dead_letters),
    )


def identity_in(data: bytes) -> str | None:
    """Return the ID of the record in a payload."""
    found = IDENTITY.search(data)
    return None if found is None else found[0].decode("ascii")


def stored_reading(item: Item) -> StoredReading | None:
    """Parse a time-series item. Returns None for an item without an ID."""
    identity = identity_in(json.dumps(item, default=str).encode())
    if identity is None:
        return None
    return StoredReading(identity, item["deviceId"]["S"], Decimal(item["timestamp"]["N"]))


def dead_letter(body: str) -> DeadLetter | None:
    """Return the record in a message of the DLQ queue, or None if it contains no ID.

    Supports the processor's rejected records, the rule's error documents, and any other message that
    contains an ID, each with or without the SNS envelope.
    """
    message = _unwrap_sns(body)
    try:
        content = json.loads(message)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        content = {}
    payload, reason, device_id = _payload(content), str(content.get("reason", "?")), None
    if "base64OriginalPayload" in content:
        reason = RULE_ERROR
        levels = str(content.get("topic", "")).split("/")
        device_id = levels[1] if len(levels) > 1 else None
    elif isinstance(content.get(PARTITION_KEY), str):
        device_id = content[PARTITION_KEY]
    identity = identity_in(payload if payload is not None else message.encode())
    return None if identity is None else DeadLetter(identity, device_id, reason)


def read_time_series(dynamodb: Any, table: str) -> list[StoredReading]:
    """Scan the time-series table and return all readings."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    found = [stored_reading(item) for page in pages for item in page["Items"]]
    return [reading for reading in found if reading is not None]


def read_states(dynamodb: Any, table: str) -> dict[str, Decimal]:
    """Return the timestamp of each device's latest state."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return {
        item["deviceId"]["S"]: Decimal(item["timestamp"]["N"])
        for page in pages
        for item in page["Items"]
    }


class DeadLetterReader:
    """Reads a DLQ queue without deleting messages.

    A received message is invisible for the visibility timeout. The reader stores messages by ID, so
    that reading the queue again only adds new ones.
    """

    def __init__(self, sqs: Any, queue_url: str, visibility_timeout: int) -> None:
        """Select a queue.

        Args:
            sqs: the SQS client.
            queue_url: the queue.
            visibility_timeout: in seconds. Must exceed the time to read the whole queue. Otherwise,
                messages become visible again and are read repeatedly before the others.
        """
        self._sqs = sqs
        self._queue_url = queue_url
        self._hidden_seconds = visibility_timeout
        self._bodies: dict[str, str] = {}

    def read(self) -> DeadLetters:
        """Return all messages that are or were on the queue."""
        known_calls = 0
        # Known messages can be visible again before new ones, so stop only after as many calls with
        # known messages as a whole queue of them takes.
        while known_calls <= len(self._bodies) // MESSAGES_PER_CALL:
            response = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=MESSAGES_PER_CALL,
                VisibilityTimeout=self._hidden_seconds,
                WaitTimeSeconds=0,
            )
            messages = response.get("Messages", [])
            if not messages:
                break
            if all(each["MessageId"] in self._bodies for each in messages):
                known_calls += 1
            self._bodies.update((each["MessageId"], each["Body"]) for each in messages)
        letters, unrecognized = [], []
        for body in self._bodies.values():
            letter = dead_letter(body)
            if letter is None:
                unrecognized.append(body)
            else:
                letters.append(letter)
        return DeadLetters(tuple(letters), tuple(unrecognized))


@dataclass(frozen=True)
class Run:
    """The parameters to count a run, even later from another program."""

    devices: int
    readings: int
    seed: int
    now_ms: int
    endpoint: str
    authority: str
    time_series_table: str
    state_table: str
    queue_url: str

    @classmethod
    def create(
        cls, emulator: Emulator, deployment: Deployment, *, devices: int, readings: int, seed: int
    ) -> Run:
        """Create a run against a deployed example, starting now."""
        return cls(
            devices=devices,
            readings=readings,
            seed=seed,
            now_ms=time.time_ns() // 1_000_000,
            endpoint=emulator.endpoint.url,
            authority=emulator.endpoint.authority,
            time_series_table=deployment.output("TimeSeriesTableName"),
            state_table=deployment.output("DeviceStateTableName"),
            queue_url=deployment.output("DlqQueueUrl"),
        )

    def plan(self) -> list[Message]:
        """Return the messages of the run. Deterministic."""
        return make_plan(
            devices=self.devices, readings=self.readings, seed=self.seed, now_ms=self.now_ms
        )

    def save(self, file: Path) -> None:
        """Write the run to a file."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, file: Path) -> Run:
        """Read a run from a file."""
        return cls(**json.loads(file.read_text("utf-8")))


class Accountant:
    """Counts the records of a run."""

    def __init__(self, run: Run, visibility_timeout: int | None = None) -> None:
        """Select a run and the visibility timeout of its dead letters. Default: 20 seconds."""
        self._run = run
        self._plan = run.plan()
        endpoint = Endpoint(run.endpoint, run.authority)
        self._dynamodb = endpoint.client("dynamodb")
        self._reader = DeadLetterReader(
            endpoint.client("sqs"),
            run.queue_url,
            visibility_timeout if visibility_timeout is not None else VISIBILITY_TIMEOUT_SECONDS,
        )

    def count(self) -> Account:
        """Count once."""
        return account(
            self._plan,
            read_time_series(self._dynamodb, self._run.time_series_table),
            self._reader.read(),
            read_states(self._dynamodb, self._run.state_table),
        )

    def count_until_settled(
        self,
        *,
        patience: float,
        on_progress: Callable[[Account], None] | None = None,
        pause: float = 0.5,
    ) -> Account:
        """Count until every record is found, or nothing has changed for `patience` seconds."""
        last: tuple[int, int, int] | None = None
        changed = time.monotonic()
        while True:
            result = self.count()
            if on_progress is not None:
                on_progress(result)
            state = (len(result.stored), len(result.dead_lettered), len(result.stale_state))
            if state != last:
                last, changed = state, time.monotonic()
            done = not result.lost and not result.stale_state
            if done or time.monotonic() - changed > patience:
                return result
            time.sleep(pause)


def print_result(result: Account) -> int:
    """Print the problems and the accounting line. Returns the exit code."""
    for problem in result.problems:
        print(problem)
    print(result.summary(), flush=True)
    return result.exit_code


def main(arguments: Sequence[str]) -> int:
    """Count a saved run again."""
    if len(arguments) != 1:
        print("usage: python -m iot_constructs.local.accounting RUN.JSON", file=sys.stderr)
        return 2
    # The dead letters can be invisible because the run just read them.
    accountant = Accountant(Run.load(Path(arguments[0])))
    return print_result(accountant.count_until_settled(patience=VISIBILITY_TIMEOUT_SECONDS + 2))


def _unwrap_sns(body: str) -> str:
    """Return the message in an SNS envelope, or the body itself."""
    try:
        content = json.loads(body)
    except ValueError:
        return body
    if isinstance(content, dict) and content.get("Type") == "Notification":
        message = content.get("Message")
        if isinstance(message, str):
            return message
    return body


def _payload(content: Mapping[str, Any]) -> bytes | None:
    try:
        if "base64OriginalPayload" in content:
            return base64.b64decode(content["base64OriginalPayload"], validate=True)
        return decode_payload(content)
    except (TypeError, ValueError):
        return None


def _find_stale_states(sent: Iterable[Message], states: Mapping[str, Decimal]) -> dict[str, str]:
    stale: dict[str, str] = {}
    for device_id, newest in newest_timestamps(sent).items():
        state = states.get(device_id)
        # The state's timestamp has an additional fraction of a millisecond.
        if state is None:
            stale[device_id] = "no state"
        elif int(state) != newest:
            stale[device_id] = f"{int(state)} instead of {newest}"
    return stale


def _by_kind(
    plan: Sequence[Message],
    stored: frozenset[str],
    dead: frozenset[str],
    dead_letters: DeadLetters,
) -> dict[Kind, KindAccount]:
    reasons = {letter.identity: letter.reason for letter in dead_letters.letters}
    result: dict[Kind, KindAccount] = {}
    for kind in Kind:
        identities = [message.identity for message in plan if message.kind is kind]
        result[kind] = KindAccount(
            messages=len(identities),
            stored=sum(identity in stored for identity in identities),
            dead_lettered=sum(identity in dead for identity in identities),
            lost=sum(identity not in stored and identity not in dead for identity in identities),
            reasons=Counter(reasons[identity] for identity in identities if identity in dead),
        )
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
