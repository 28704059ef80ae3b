"""Simulates S3: the bucket of a mapping's failed batches, which notifies a queue of each new object.

Pages, in AmazonS3/latest: API/API_PutObject.html, API_GetObject.html, API_HeadBucket.html ("a generic 404"),
and userguide/notification-content-structure.html (the event, with its URL-encoded key).
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
        # The response to HEAD has no body, so the code is the status.
        self._check_bucket(Bucket, "404")
        return {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:
        """PutObject."""
        self._check_bucket(Bucket)
        self.objects[Key] = Body
        stored = {"key": quote_plus(Key, safe="/"), "size": len(Body)}
        entity = {"bucket": {"name": Bucket}, "object": stored}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}
        self._notify(json.dumps({"Records": [record]}))
        return {}

    def get_object(self, *, Bucket: str, Key: str, **_: Any) -> dict[str, Any]:
        """GetObject."""
        self._check_bucket(Bucket)
        if Key not in self.objects:
            raise aws_error("NoSuchKey", "The specified key does not exist.", 404)
        return {"Body": io.BytesIO(self.objects[Key])}

    def _check_bucket(self, bucket: str, code: str = "NoSuchBucket") -> None:
        if bucket != self.bucket:
            raise aws_error(code, f"no bucket {bucket}", 404)
