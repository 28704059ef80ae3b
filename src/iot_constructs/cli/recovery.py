"""From what a message says to the records themselves, wherever they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from iot_constructs.cli.aws_errors import AWS_ERRORS, code_of, described
from iot_constructs.cli.dead_letter_messages import (
    InBucket,
    InMessage,
    Nothing,
    OnlyEvent,
    OnStream,
    Source,
    StoredObject,
    Unreadable,
    records_of_stored_batch,
)
from iot_constructs.cli.kinesis_records import Malformed, Record
from iot_constructs.cli.stream_records import StreamReader


class S3Client(Protocol):
    """The call that is made."""

    def get_object(self, **request: Any) -> dict[str, Any]:
        """An object and its contents."""


@dataclass(frozen=True)
class Event:
    """An event that is not made of records; only the function that it was for can take it."""

    value: Any


@dataclass(frozen=True)
class Recovered:
    """All that could be had of one message."""

    records: tuple[Record, ...] = ()
    event: Event | None = None
    origin: str = "message"
    missing: int = 0
    """Records that are out of retention."""
    problem: str | None = None
    """Why the message has to be kept, whatever becomes of the records."""

    @property
    def count(self) -> int:
        """How many records there are; an event counts as one."""
        return len(self.records) + (self.event is not None)


class Recovery:
    """Gets the records from the message, the stream or the bucket."""

    def __init__(self, stream: StreamReader, s3: S3Client) -> None:
        self._stream = stream
        self._s3 = s3

    def recover(self, source: Source) -> Recovered:
        """What there is of one message's records. An AWS error is a problem of this message."""
        if isinstance(source, InMessage):
            return Recovered(source.records)
        if isinstance(source, OnStream):
            read = self._stream.read(source)
            return Recovered(
                read.records,
                origin=f"stream {source.shard_id}",
                missing=read.missing,
                problem=read.problem,
            )
        if isinstance(source, InBucket):
            return self._stored(source)
        if isinstance(source, OnlyEvent):
            return Recovered(event=Event(source.event))
        if isinstance(source, Unreadable):
            return Recovered(problem=source.problem, origin="")
        assert isinstance(source, Nothing)
        return Recovered(origin="")

    def _stored(self, source: InBucket) -> Recovered:
        records: list[Record] = []
        problems: list[str] = []
        places = [f"s3://{stored.bucket}/{stored.key}" for stored in source.objects]
        for stored, place in zip(source.objects, places, strict=True):
            try:
                records += records_of_stored_batch(self._body(stored))
            except AWS_ERRORS as error:
                problems.append(f"{_explained(error)}: {place}")
            except (Malformed, UnicodeDecodeError) as error:
                problems.append(f"{place}: {error}")
        return Recovered(
            tuple(records),
            origin=", ".join(places),
            problem="; ".join(problems) if problems else None,
        )

    def _body(self, stored: StoredObject) -> str:
        version = {"VersionId": stored.version} if stored.version is not None else {}
        answer = self._s3.get_object(Bucket=stored.bucket, Key=stored.key, **version)
        body: bytes = answer["Body"].read()
        return body.decode()


def _explained(error: BaseException) -> str:
    if code_of(error) in ("NoSuchKey", "NoSuchVersion", "NoSuchBucket"):
        return "the stored batch is gone"
    return f"the stored batch could not be read ({described(error)})"
