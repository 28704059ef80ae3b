"""Accounts for every record by its ID: finds it in the tables, on the queues, or in the buckets.

The count does not rely on metrics, logs, or counters of the pipeline. It scans every table, reads every queue without
deleting messages, reads the objects of every bucket, and searches them for the ID of each record that was sent. A dead
letter that only refers to records (a batch that Lambda discarded) counts for the records that it refers to: the count
reads them from the stream. An object that Firehose wrote does not count, because it shows only that the record arrived.
A record in none of these places is lost.

If one TelemetryProcessor with the default settings reads everything, the place of each record is known in advance, and
any other place is an error, too.

As a program, it counts again while the emulator is still running (``--keep``). The exit code is 1 if
a record is lost::

    python -m iot_constructs.local.accounting local-out/run.json
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from decimal import Context, Decimal
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.aws_errors import RetryPolicy
from iot_constructs.cli.dead_letter_messages import Kind as LetterKind
from iot_constructs.cli.dead_letter_messages import (
    Source,
    parse_dead_letter,
    parse_stored_batch,
)
from iot_constructs.cli.exit_codes import run_to_exit_code
from iot_constructs.cli.kinesis_records import MalformedMessageError, Record
from iot_constructs.cli.recovery import Recovery
from iot_constructs.cli.stream_records import StreamReader
from iot_constructs.local.discovery import Places
from iot_constructs.local.emulator import Endpoint
from iot_constructs.local.payload import PayloadError, plan_payload, read_payload
from iot_constructs.local.plan import (
    IDENTITY,
    Fate,
    Kind,
    Message,
    make_plan,
    newest_timestamps,
)

# Longer than it takes to read the whole queue, but short enough that the messages are visible again
# when a user inspects the queue after the run.
VISIBILITY_TIMEOUT_SECONDS = 20
MESSAGES_PER_CALL = 10
IDLE_PATIENCE_SECONDS = 10.0
RULE_ERROR = "rule-error"
GZIP = b"\x1f\x8b"
_EXACT = Context(prec=60)  # a timestamp has 31 digits

Item = Mapping[str, Any]
"""An item in the format of DynamoDB's API: attribute name to {type: value}."""


@dataclass(frozen=True)
class StoredReading:
    """A record in an item of a table or in an object of a bucket."""

    identity: str
    device_id: str | None
    timestamp: Decimal | None
    place: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """A record in a message of a queue, or in an object of a failure destination."""

    identity: str
    device_id: str | None
    reason: str
    place: str = ""


@dataclass(frozen=True)
class DeadLetters:
    """The messages on the queues."""

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
    known_fates: bool
    """Whether the place of each record is known in advance, so that any other is an error."""
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
    by_place: Mapping[str, int] = field(default_factory=dict)
    """The number of records in each table, queue, and bucket."""

    @property
    def is_complete(self) -> bool:
        """Whether no record is lost and, with known fates, every record is in exactly one place."""
        together = len(self.stored) + len(self.dead_lettered)
        return not self.lost and (not self.known_fates or self.sent == together)

    @property
    def problems(self) -> list[str]:
        """The errors, one line each."""
        stale = [f"{device} ({found})" for device, found in self.stale_state.items()]
        groups: list[tuple[str, Sequence[str]]] = [
            ("lost", self.lost),
            ("devices with a stale state", stale),
        ]
        known: list[tuple[str, Sequence[str]]] = [
            ("both stored and dead-lettered", self.in_both),
            ("stored more than once", self.stored_more_than_once),
            ("stored under another device", self.wrong_device),
            ("in the wrong place for their kind", self.unexpected),
            ("unknown", self.unknown),
        ]
        groups += known if self.known_fates else []
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
    states: Mapping[str, Decimal] | None,
    *,
    known_fates: bool = True,
) -> Account:
    """Compare the sent messages with what the tables, queues, and buckets contain. Pure function.

    Args:
        plan: the sent messages.
        readings: the records in tables and buckets.
        dead_letters: the records on queues and in failure destinations.
        states: the timestamp of each device's latest state, which is compared only with known fates. None: the
            app has no table of states.
        known_fates: see `Account.known_fates`.
    """
    readings = list(readings)
    records: list[StoredReading | DeadLetter] = [*readings, *dead_letters.letters]
    sent: dict[str, Message] = {}
    for message in plan:
        # The original precedes its duplicate.
        for identity in message.identities:
            sent.setdefault(identity, message)
    times_stored = Counter(reading.identity for reading in readings)
    times_dead = Counter(letter.identity for letter in dead_letters.letters)
    stored = frozenset(times_stored.keys() & sent.keys())
    dead = frozenset(times_dead.keys() & sent.keys())
    wrong_device = {
        each.identity
        for each in records
        if each.device_id is not None
        and each.identity in sent
        and sent[each.identity].device_id != each.device_id
    }
    unexpected = [
        identity
        for identity, message in sent.items()
        if known_fates
        and (
            (identity in stored and message.expected is not Fate.STORED)
            or (identity in dead and message.expected is not Fate.DEAD_LETTERED)
        )
    ]
    unknown = sorted((times_stored.keys() | times_dead.keys()) - sent.keys())
    unknown += [f"message {text[:60]!r}" for text in dead_letters.unrecognized]
    found = {(each.place, each.identity) for each in records if each.identity in sent}
    return Account(
        sent=len(sent),
        messages=len(plan),
        stored=stored,
        dead_lettered=dead,
        lost=tuple(sorted(sent.keys() - stored - dead)),
        known_fates=known_fates,
        in_both=tuple(sorted(stored & dead)),
        stored_more_than_once=tuple(sorted(key for key in stored if times_stored[key] > 1)),
        dead_lettered_more_than_once=tuple(sorted(key for key in dead if times_dead[key] > 1)),
        wrong_device=tuple(sorted(wrong_device)),
        unexpected=tuple(unexpected),
        unknown=tuple(unknown),
        stale_state=_missing_states(sent.values(), states)
        if known_fates and states is not None
        else {},
        reasons={letter.identity: letter.reason for letter in dead_letters.letters},
        by_kind=_by_kind(plan, stored, dead, dead_letters),
        by_place=Counter(place for place, _ in found),
    )


class Finder:
    """Finds the records of a plan in data: by their IDs or, without an ID, by their bytes as a value or a line."""

    def __init__(self, plan: Iterable[Message]) -> None:
        self._without_id = {
            each.payload: each.identity for each in plan if not IDENTITY.search(each.payload)
        }

    def find(self, value: Any) -> list[str]:
        """Return the records in a value: bytes, text, or the content of a JSON document or an item."""
        found: dict[str, None] = {}
        for text in _texts(value):
            found.update((match.decode("ascii"), None) for match in IDENTITY.findall(text))
            if self._without_id:
                lines = {text, *text.splitlines()} & self._without_id.keys()
                found.update((self._without_id[line], None) for line in lines)
        return list(found)


def stored_readings(item: Item, finder: Finder, table: str) -> list[StoredReading]:
    """Return the records in an item."""
    device_id = item.get("deviceId", {}).get("S")
    timestamp = item.get("timestamp", {}).get("N")
    moment = Decimal(timestamp) if timestamp is not None else None
    return [StoredReading(each, device_id, moment, table) for each in finder.find(item)]


def dead_letters(
    body: str, finder: Finder, records_of: Callable[[Source], Sequence[Record]], place: str
) -> list[DeadLetter]:
    """Return the records in a message of a queue.

    Supports what ``iot-constructs redrive`` does, and any other message that contains the ID of a record. Each can be
    in an SNS envelope.
    """
    letter = parse_dead_letter(body)
    reason = letter.reason.partition(":")[0]
    if letter.kind is LetterKind.RULE_ERROR:
        reason = RULE_ERROR
    records = records_of(letter.source)
    if not records:
        unwrapped = _unwrap_sns(body)
        return [DeadLetter(each, None, reason, place) for each in finder.find(unwrapped)]
    return [
        DeadLetter(each, record.partition_key, reason, place)
        for record in records
        for each in finder.find(record.data)
    ]


def read_readings(dynamodb: Any, table: str, finder: Finder) -> list[StoredReading]:
    """Scan a table and return the records in it."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [
        reading
        for page in pages
        for item in page["Items"]
        for reading in stored_readings(item, finder, table)
    ]


def read_states(dynamodb: Any, table: str) -> dict[str, Decimal]:
    """Return the timestamp of each device's latest state."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return {
        item["deviceId"]["S"]: Decimal(item["timestamp"]["N"])
        for page in pages
        for item in page["Items"]
    }


def find_stale_states(
    readings: Iterable[StoredReading], states: Mapping[str, Decimal], interval_ms: int = 0
) -> dict[str, str]:
    """Return the devices whose state is not their newest stored reading, or older by no more than the interval."""
    newest: dict[str, Decimal] = {}
    for reading in readings:
        if reading.device_id is not None and reading.timestamp is not None:
            newest[reading.device_id] = max(
                reading.timestamp, newest.get(reading.device_id, reading.timestamp)
            )
    return {
        device: f"{states.get(device, 'no state')} instead of {newest.get(device, 'none')}"
        for device in sorted(newest.keys() | states.keys())
        if not _is_current(states.get(device), newest.get(device), interval_ms)
    }


def _is_current(state: Decimal | None, newest: Decimal | None, interval_ms: int) -> bool:
    if state is None or newest is None:
        return False
    return _EXACT.subtract(newest, Decimal(interval_ms)) <= state <= newest


def superseded(
    plan: Iterable[Message],
    found: Iterable[StoredReading | DeadLetter],
    states: Mapping[str, Decimal],
    table: str,
    interval_ms: int = 0,
) -> list[StoredReading]:
    """Return the readings that a table without history replaced with newer ones, each once.

    Nothing shows that they were there: they are those that are nowhere else, and not newer than the device's state by
    more than the interval in which it is not written.
    """
    there = {each.identity for each in found}
    place = f"{table}, replaced by a newer reading"
    replaced = {
        each.identity: StoredReading(each.identity, each.device_id, None, place)
        for each in plan
        if each.timestamp is not None
        and states.get(each.device_id, -1 - interval_ms) >= each.timestamp - interval_ms
    }
    return [reading for identity, reading in replaced.items() if identity not in there]


class QueueReader:
    """Reads a queue without deleting messages.

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

    def read(self) -> list[str]:
        """Return the bodies of all messages that are or were on the queue."""
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
        return list(self._bodies.values())


class BucketReader:
    """Reads the objects of a bucket, each once, except for those that Firehose writes."""

    def __init__(self, s3: Any, bucket: str, archives: Sequence[str], finder: Finder) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._archives = tuple(archives)
        self._finder = finder
        self._found: dict[tuple[str, str], list[StoredReading | DeadLetter]] = {}

    def read(self) -> list[StoredReading | DeadLetter]:
        """Return the records in all objects. Those of a batch that Lambda discarded are dead letters."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            for each in page.get("Contents", []):
                name = (each["Key"], each["ETag"])
                archived = f"{self._bucket}/{each['Key']}".startswith(self._archives)
                if name not in self._found and not (self._archives and archived):
                    self._found[name] = list(self._records(each["Key"]))
        return [record for found in self._found.values() for record in found]

    def _records(self, key: str) -> Iterator[StoredReading | DeadLetter]:
        body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        place = f"s3://{self._bucket}"
        try:
            batch = parse_stored_batch(body.decode())
        except (MalformedMessageError, UnicodeDecodeError):
            yield from (StoredReading(each, None, None, place) for each in self._finder.find(body))
            return
        for record in batch:
            for each in self._finder.find(record.data):
                yield DeadLetter(each, record.partition_key, LetterKind.STORED_BATCH.value, place)


@dataclass(frozen=True)
class Run:
    """The parameters to count a run, even later from another program."""

    devices: int
    readings: int
    seed: int
    now_ms: int
    endpoint: str
    authority: str
    places: Places
    payload: str | None = None
    """The file of the user's own messages."""

    @property
    def known_fates(self) -> bool:
        """See `Account.known_fates`."""
        return self.places.known_fates and self.payload is None

    def plan(self) -> list[Message]:
        """Return the messages of the run. Deterministic.

        Raises:
            PayloadError: the file of the messages can't be used.
        """
        if self.payload is None:
            return make_plan(
                devices=self.devices, readings=self.readings, seed=self.seed, now_ms=self.now_ms
            )
        return plan_payload(
            read_payload(Path(self.payload)),
            devices=self.devices,
            readings=self.readings,
            seed=self.seed,
            now_ms=self.now_ms,
        )

    def save(self, file: Path) -> None:
        """Write the run to a file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, file: Path) -> Run:
        """Read a run from a file."""
        saved = json.loads(file.read_text("utf-8"))
        return cls(**{**saved, "places": Places.load(saved["places"])})


class Accountant:
    """Counts the records of a run."""

    def __init__(self, run: Run, visibility_timeout: int | None = None) -> None:
        """Select a run and the visibility timeout of its dead letters. Default: 20 seconds."""
        self._run = run
        self._plan = run.plan()
        self._finder = Finder(self._plan)
        endpoint = Endpoint(run.endpoint, run.authority)
        self._dynamodb = endpoint.client("dynamodb")
        s3, sqs, kinesis = (endpoint.client(name) for name in ("s3", "sqs", "kinesis"))
        stream = StreamReader(lambda region: kinesis, RetryPolicy(), lambda: None)
        self._recovery = Recovery(stream, s3)
        timeout = (
            visibility_timeout if visibility_timeout is not None else VISIBILITY_TIMEOUT_SECONDS
        )
        self._queues = {url: QueueReader(sqs, url, timeout) for url in run.places.queues}
        self._buckets = [
            BucketReader(s3, bucket, run.places.archives, self._finder)
            for bucket in run.places.buckets
        ]

    def count(self) -> Account:
        """Count once."""
        places = self._run.places
        # The newest reading of a device is in both tables of a processor: only one of them counts.
        twice = {each.state for each in places.telemetry if each.time_series is not None}
        readings = [
            reading
            for table in places.tables
            if table not in twice
            for reading in read_readings(self._dynamodb, table, self._finder)
        ]
        letters: list[DeadLetter] = []
        unrecognized: list[str] = []
        for url, reader in self._queues.items():
            for body in reader.read():
                found = dead_letters(body, self._finder, self._records_of, url.rsplit("/", 1)[-1])
                letters += found
                unrecognized += [] if found else [body]
        for bucket in self._buckets:
            for each in bucket.read():
                if isinstance(each, DeadLetter):
                    letters.append(each)
                else:
                    readings.append(each)
        states: dict[str, Decimal] | None = None
        stale: dict[str, str] = {}
        for tables in places.telemetry:
            if tables.state is None:
                continue
            found_states = read_states(self._dynamodb, tables.state)
            states = {**(states if states is not None else {}), **found_states}
            if tables.time_series is None:
                found_records: list[StoredReading | DeadLetter] = [*readings, *letters]
                readings += superseded(
                    self._plan, found_records, found_states, tables.state, tables.interval_ms
                )
            else:
                own = (each for each in readings if each.place == tables.time_series)
                stale |= find_stale_states(own, found_states, tables.interval_ms)
        result = account(
            self._plan,
            readings,
            DeadLetters(tuple(letters), tuple(unrecognized)),
            states,
            known_fates=self._run.known_fates,
        )
        return result if self._run.known_fates else replace(result, stale_state=stale)

    def _records_of(self, source: Source) -> Sequence[Record]:
        return self._recovery.recover(source, AcceptedRanges()).records

    def count_until_settled(
        self,
        *,
        patience: float,
        on_progress: Callable[[Account], None] | None = None,
        is_idle: Callable[[], bool] = lambda: False,
        pause: float = 0.5,
    ) -> Account:
        """Count until every record is found, or nothing has changed for `patience` seconds.

        If `is_idle`, every record was processed, and a few seconds suffice.
        """
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
            limit = min(patience, IDLE_PATIENCE_SECONDS) if is_idle() else patience
            if done or time.monotonic() - changed > limit:
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
    start = "start a run that stays: iot-constructs local --keep"
    try:
        run = Run.load(Path(arguments[0]))
    except (OSError, ValueError, KeyError, TypeError):
        print(f"error: {arguments[0]} is not the file of a run; {start}", file=sys.stderr)
        return 2
    try:
        accountant = Accountant(run)
        # The dead letters can be invisible because the run just read them.
        result = accountant.count_until_settled(patience=VISIBILITY_TIMEOUT_SECONDS + 2)
    except (OSError, PayloadError, BotoCoreError, ClientError) as error:
        print(f"error: can't count {arguments[0]}: {error}; {start}", file=sys.stderr)
        return 2
    return print_result(result)


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


def _texts(value: Any) -> Iterator[bytes]:
    """Yield every text and binary in nested data. JSON and Base64 in a text are decoded, too."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple, set)):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        yield data
        with suppress(ValueError, RecursionError):
            content = json.loads(value)
            if isinstance(content, (dict, list)):
                yield from _texts(content)
        with suppress(ValueError):
            yield base64.b64decode(data, validate=True)
    elif isinstance(value, bytes):
        yield value
        if value.startswith(GZIP):
            with suppress(OSError, EOFError, zlib.error):
                yield gzip.decompress(value)


def _missing_states(sent: Iterable[Message], states: Mapping[str, Decimal]) -> dict[str, str]:
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
        messages = [message for message in plan if message.kind is kind]
        if not messages:
            continue
        # A line without an ID is one record, however often it was sent.
        identities = {identity for message in messages for identity in message.identities}
        result[kind] = KindAccount(
            messages=len(messages),
            stored=sum(identity in stored for identity in identities),
            dead_lettered=sum(identity in dead for identity in identities),
            lost=sum(identity not in stored and identity not in dead for identity in identities),
            reasons=Counter(reasons[identity] for identity in identities if identity in dead),
        )
    return result


if __name__ == "__main__":
    sys.exit(run_to_exit_code(partial(main, sys.argv[1:])))
