"""Counts what a function asks of AWS, below whatever it uses to ask.

Each HTTP request counts, retries included. Write units follow from the items in the requests by
AWS's rule: one for each started KB of each item, and a condition that fails costs what a write
costs (dynamodb/latest/developerguide/read-write-operations.html). The emulator reports
ConsumedCapacity too, but of a PartiQL batch it says 1 for each statement whatever its size; a test
holds the two together where the emulator does count.
"""

from __future__ import annotations

import functools
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import botocore.session

WRITE_UNIT_BYTES = 1024
Items = list[Mapping[str, Any]]


class Calls:
    """The calls of every client that this process makes after `listen`."""

    def __init__(self, latency_ms: float = 0) -> None:
        """Each call is held up for `latency_ms`, as by the way to AWS and back."""
        self.operations: Counter[str] = Counter()
        self.write_units = 0
        self.largest_item_bytes = 0
        self._latency_seconds = latency_ms / 1000
        self._lock = threading.Lock()

    def listen(self) -> None:
        """From now on. boto3's clients and resources are botocore's clients underneath."""
        create = botocore.session.Session.create_client

        @functools.wraps(create)
        def create_and_listen(session: Any, *arguments: Any, **options: Any) -> Any:
            client = create(session, *arguments, **options)
            client.meta.events.register("before-send", self._count)
            return client

        botocore.session.Session.create_client = create_and_listen

    def reset(self) -> None:
        """Begin at zero."""
        with self._lock:
            self.operations.clear()
            self.write_units = 0

    def _count(self, request: Any, event_name: str, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        items = _ITEMS[operation](json.loads(request.body)) if operation in _ITEMS else []
        sizes = [item_size(item) for item in items]
        with self._lock:
            self.operations[operation] += 1
            self.write_units += sum(math.ceil(size / WRITE_UNIT_BYTES) for size in sizes)
            self.largest_item_bytes = max([self.largest_item_bytes, *sizes])
        if self._latency_seconds:
            time.sleep(self._latency_seconds)


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes of an item: dynamodb/latest/developerguide/CapacityUnitCalculations.html."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        # "approximately (number of significant digits / 2) + 1", a byte more for a minus.
        number = Decimal(content)
        return math.ceil(len(number.normalize().as_tuple().digits) / 2) + 1 + number.is_signed()
    if kind in {"BOOL", "NULL"}:
        return 1
    if kind == "L":
        return 3 + sum(1 + _value_size(member) for member in content)
    if kind == "M":
        return 3 + sum(1 + len(n.encode()) + _value_size(member) for n, member in content.items())
    raise ValueError(f"no contender writes a value of the type {kind!r}; add it here")


def _of_batch_write(body: Mapping[str, Any]) -> Items:
    return [put["PutRequest"]["Item"] for puts in body["RequestItems"].values() for put in puts]


def _of_statements(body: Mapping[str, Any]) -> Items:
    """The parameters of a statement, which hold its item: the first three or the last three."""
    found: Items = []
    for statement in body["Statements"]:
        parameters = statement["Parameters"]
        is_insert = statement["Statement"].startswith("INSERT")
        names = ("deviceId", "timestamp", "reading") if is_insert else _UPDATED
        found.append(dict(zip(names, parameters, strict=False)))
    return found


_UPDATED = ("timestamp", "reading", "deviceId")
_ITEMS: Mapping[str, Callable[[Mapping[str, Any]], Items]] = {
    "PutItem": lambda body: [body["Item"]],
    "BatchWriteItem": _of_batch_write,
    "BatchExecuteStatement": _of_statements,
}
