"""Splits a sequence into the batches that an AWS API accepts in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def split_chunks(
    items: Iterable[T],
    size: Callable[[T], int],
    *,
    max_items: int,
    max_bytes: int,
    count: Callable[[T], int] = lambda item: 1,
) -> Iterator[list[T]]:
    """Yield chunks in order. An item that exceeds a limit on its own is a chunk of its own.

    `count` is for an item that counts as several.
    """
    chunk: list[T] = []
    total = counted = 0
    for item in items:
        item_size, item_count = size(item), count(item)
        if chunk and (counted + item_count > max_items or total + item_size > max_bytes):
            yield chunk
            chunk, total, counted = [], 0, 0
        chunk.append(item)
        total += item_size
        counted += item_count
    if chunk:
        yield chunk
