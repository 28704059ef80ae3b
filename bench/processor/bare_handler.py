"""The least that a function with boto3 can be: what a cold start is compared with."""

from __future__ import annotations

from typing import Any

import boto3

CLIENT = boto3.client("dynamodb")


def handler(_event: dict[str, Any], _context: Any) -> None:
    """Does nothing."""
