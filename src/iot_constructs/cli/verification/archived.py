"""Looks for records in the objects of the archive bucket."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

_EXPRESSION = re.compile(r"!\{([^}]*)\}")
_FORMATS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}
"""The patterns of ``!{timestamp:...}`` that StreamArchive uses
(https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html)."""


def prefixes(template: str, began: datetime, now: datetime) -> list[str]:
    """Return the prefixes of the objects that Firehose wrote in a period, in UTC.

    An expression that is not known here ends the prefix, so that more objects are looked at.
    """
    hours = int((now - began).total_seconds() // 3600) + 2
    return list(dict.fromkeys(_prefix(template, began + timedelta(hours=n)) for n in range(hours)))


def _prefix(template: str, time: datetime) -> str:
    prefix = ""
    end = 0
    for match in _EXPRESSION.finditer(template):
        prefix += template[end : match.start()]
        kind, _, pattern = match[1].partition(":")
        if kind != "timestamp" or pattern not in _FORMATS:
            return prefix
        prefix += time.strftime(_FORMATS[pattern])
        end = match.end()
    return prefix + template[end:]


class ArchiveReader:
    """Reads each object of an archive once."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._already_read: set[str] = set()

    def find(
        self, marks: Collection[bytes], since: datetime, until: datetime
    ) -> Iterator[tuple[bytes, str]]:
        """Return the marks that new objects of a period contain, each with the key of its object."""
        for prefix in prefixes(self._prefix, since, until):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for each in (each for page in pages for each in page.get("Contents", [])):
                if each["LastModified"] >= since and each["Key"] not in self._already_read:
                    self._already_read.add(each["Key"])
                    data = _read(self._s3, self._bucket, each["Key"])
                    yield from ((mark, each["Key"]) for mark in marks if mark in data)


def _read(s3: Any, bucket: str, key: str) -> bytes:
    data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return data
