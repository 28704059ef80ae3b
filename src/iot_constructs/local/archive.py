"""Reads the objects that Firehose delivered to the archive bucket.

On AWS, Firehose buffers records for minutes and writes few large objects. The emulator immediately
writes one object per PutRecords call, and the alarm on data freshness has no data.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

from iot_constructs.local.emulator import Emulator
from iot_constructs.local.plan import IDENTITY, Message


@dataclass(frozen=True)
class Archive:
    """The objects and records of a run in the archive bucket."""

    objects: int
    bytes: int
    records: frozenset[str]
    """The IDs of the records."""
    example_key: str | None


def read_archive(emulator: Emulator, bucket: str, plan: Sequence[Message]) -> Archive:
    """Find the records of a plan in the objects of the bucket."""
    s3 = emulator.client("s3")
    sent = {message.identity for message in plan}
    found: set[str] = set()
    keys: list[str] = []
    size = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for each in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            data = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            identities = {match.decode("ascii") for match in IDENTITY.findall(data)}
            if identities & sent:
                found |= identities & sent
                keys.append(each["Key"])
                size += len(body)
    return Archive(len(keys), size, frozenset(found), keys[0] if keys else None)
