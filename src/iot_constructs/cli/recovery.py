"""Fetches the records of a dead-letter message from the message, the stream or S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.aws_errors import AWS_ERRORS, error_code, format_error
from iot_constructs.cli.dead_letter_messages import (
    InlineRecords,
    NoRecords,
    OpaqueEvent,
    S3Location,
    Source,
    StoredObject,
    StreamRange,
    Unreadable,
    parse_stored_batch,
)
from iot_constructs.cli.kinesis_records import MalformedMessageError, Record
from iot_constructs.cli.stream_records import StreamReader


class S3Client(Protocol):
    """The S3 call that `Recovery` uses."""

    def get_object(self, **request: Any) -> dict[str, Any]:
        """Get an object."""


@dataclass(frozen=True)
class Event:
    """An event that is not a Kinesis event; only its function can process it."""

    value: Any


@dataclass(frozen=True)
class Recovered:
    """The records of one message, as far as they are available."""

    records: tuple[Record, ...] = ()
    event: Event | None = None
    origin: str = "message"
    missing: int = 0
    """The number of records that have expired."""
    problem: str | None = None
    """Why the message must stay on the queue."""
    covered: StreamRange | None = None
    """The range of the stream of which every record is accepted once these records are."""

    @property
    def count(self) -> int:
        """The number of records; an event counts as one."""
        return len(self.records) + (self.event is not None)


class Recovery:
    """Fetches records from the message, the stream or the bucket."""

    def __init__(self, stream: StreamReader, s3: S3Client) -> None:
        self._stream = stream
        self._s3 = s3

    def recover(self, source: Source, accepted: AcceptedRanges) -> Recovered:
        """Fetch the records of a message. An AWS error is reported as the problem of this message.

        Records of the stream that are in an accepted range are left out. Copies in a message or a bucket are not: only
        the stream shows which record has a sequence number.
        """
        if isinstance(source, InlineRecords):
            return Recovered(source.records)
        if isinstance(source, StreamRange):
            read = self._stream.read(source, accepted)
            return Recovered(
                read.records,
                origin=f"stream {source.shard_id}",
                missing=read.missing,
                problem=read.problem,
                covered=read.covered,
            )
        if isinstance(source, S3Location):
            return self._stored(source)
        if isinstance(source, OpaqueEvent):
            return Recovered(event=Event(source.event))
        if isinstance(source, Unreadable):
            return Recovered(problem=source.problem, origin="")
        assert isinstance(source, NoRecords)
        return Recovered(origin="")

    def _stored(self, source: S3Location) -> Recovered:
        records: list[Record] = []
        problems: list[str] = []
        places = [f"s3://{stored.bucket}/{stored.key}" for stored in source.objects]
        for stored, place in zip(source.objects, places, strict=True):
            try:
                records += parse_stored_batch(self._body(stored))
            except AWS_ERRORS as error:
                problems.append(_format_s3_error(error, place))
            except (MalformedMessageError, UnicodeDecodeError) as error:
                problems.append(f"{place}: {error}")
        return Recovered(
            tuple(records),
            origin=", ".join(places),
            problem="; ".join(problems) if problems else None,
        )

    def _body(self, stored: StoredObject) -> str:
        version = {"VersionId": stored.version} if stored.version is not None else {}
        response = self._s3.get_object(Bucket=stored.bucket, Key=stored.key, **version)
        body: bytes = response["Body"].read()
        return body.decode()


def _format_s3_error(error: BaseException, place: str) -> str:
    if error_code(error) in ("NoSuchKey", "NoSuchVersion"):
        return f"the stored batch does not exist: {place}"
    return f"could not read {place}: {format_error(error)}"
