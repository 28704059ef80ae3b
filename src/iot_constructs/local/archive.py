"""Reads the objects that Firehose delivered.

On AWS, Firehose buffers records for minutes and writes few large objects. The emulator immediately
writes one object per PutRecords call, and the alarm on data freshness has no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iot_constructs.local.accounting import Finder
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.plan import Message


@dataclass(frozen=True)
class Archive:
    """The objects and records of a run in one place of a bucket."""

    objects: int
    bytes: int
    records: frozenset[str]
    """The IDs of the records."""
    example_key: str | None


def read_archive(emulator: Emulator, place: str, plan: Sequence[Message]) -> Archive:
    """Find the records of a plan in the objects below ``bucket/prefix``."""
    s3, finder = emulator.client("s3"), Finder(plan)
    bucket, _, prefix = place.partition("/")
    found: set[str] = set()
    keys: list[str] = []
    size = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            if records := finder.find(body):
                found.update(records)
                keys.append(each["Key"])
                size += len(body)
    return Archive(len(keys), size, frozenset(found), keys[0] if keys else None)
