"""Simulates S3: the bucket of a mapping's failed batches, which notifies a queue of each new object.

Behavior: AmazonS3/latest/API, API_PutObject and API_GetObject;
AmazonS3/latest/userguide/notification-content-structure.html (the event, with its URL-encoded key) and
EventNotifications.html (at-least-once delivery).
"""

# ruff: noqa: N803  # the parameters have the names of the API

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from iot_constructs.testing.processes import aws_error


class S3:
    """A Region with one bucket."""

    def __init__(self, bucket: str, notify: Callable[[str], object]) -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self._notify = notify

    def head_bucket(self, *, Bucket: str) -> dict[str, Any]:
        """HeadBucket."""
        self._check_bucket(Bucket)
        return {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:
        """PutObject."""
        self._check_bucket(Bucket)
        self.objects[Key] = Body
        entity = {"bucket": {"name": Bucket}, "object": {"key": quote_plus(Key, safe="/")}}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}
        self._notify(json.dumps({"Records": [record]}))
        return {}

    def get_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        """GetObject."""
        self._check_bucket(Bucket)
        if Key not in self.objects:
            raise aws_error("NoSuchKey", "The specified key does not exist.", 404)
        return {"Body": io.BytesIO(self.objects[Key])}

    def _check_bucket(self, bucket: str) -> None:
        if bucket != self.bucket:
            raise aws_error("NoSuchBucket", f"no bucket {bucket}", 404)
