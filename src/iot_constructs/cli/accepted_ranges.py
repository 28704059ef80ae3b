"""The ranges of the stream of which a run has delivered every record.

With a parallelization factor, the batches of a shard are made by partition key, so a failed batch has only some of the
records in its range, and nothing says which (https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html).
The ranges of ten batches can be nearly the same: without a note of what was delivered, a run would deliver a record ten
times. A pipeline that cannot keep up would fail again, and each run would make more failed batches.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace

from iot_constructs.cli.dead_letter_messages import StreamRange


@dataclass
class _Ranges:
    """Disjoint, inclusive ranges in ascending order."""

    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)

    def add(self, first: int, last: int) -> None:
        # The ranges from `start` to before `end` have a number in common with the new one.
        start, end = bisect_left(self.last, first), bisect_right(self.first, last)
        if start < end:
            first, last = min(first, self.first[start]), max(last, self.last[end - 1])
        self.first[start:end] = [first]
        self.last[start:end] = [last]

    def end_at(self, number: int) -> int | None:
        """Return the end of the range that has the number, or None."""
        index = bisect_left(self.last, number)
        if index < len(self.first) and self.first[index] <= number:
            return self.last[index]
        return None


class AcceptedRanges:
    """Ranges of sequence numbers per shard. There are at most as many as messages, however many records they have."""

    def __init__(self) -> None:
        self._shards: dict[tuple[str, str], _Ranges] = {}

    def add(self, accepted: StreamRange) -> None:
        """Note that every record of the range was accepted in this run."""
        self._of(accepted).add(int(accepted.first), int(accepted.last))

    def has(self, shard: StreamRange, number: int) -> bool:
        """Return whether the record with this sequence number in the shard of a range was accepted."""
        return self._of(shard).end_at(number) is not None

    def remaining(self, wanted: StreamRange) -> StreamRange | None:
        """Return the range from its last record that was accepted at its beginning on, or None if all were."""
        end = self._of(wanted).end_at(int(wanted.first))
        if end is None:
            return wanted
        return replace(wanted, first=str(end)) if end < int(wanted.last) else None

    def _of(self, wanted: StreamRange) -> _Ranges:
        return self._shards.setdefault((wanted.stream_arn, wanted.shard_id), _Ranges())
