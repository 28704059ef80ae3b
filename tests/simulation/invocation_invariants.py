"""What has to be true of each invocation of the function: progress, counters, and bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iot_constructs._defaults import MEMORY_MB
from iot_constructs.testing.dynamodb import item_bytes
from iot_constructs.testing.processes import Process
from tests.simulation.workload import Fate, Sent, Trouble

if TYPE_CHECKING:
    from tests.simulation.pipeline import Pipeline

Violated = Callable[[str, str], None]

# A text is in memory up to four times (as it came, decoded, as the canonical form for its key, and in the request), and
# each character has up to 4 bytes (https://peps.python.org/pep-0393/).
MAX_SLICE_BYTES = MEMORY_MB * 2**20 // 16
# No call starts in the last 10 s, or in the second half of a shorter time, and a pause after a call takes up to 1 s.
_RESERVE_SECONDS, _PAUSE_SECONDS, _COLD_START_SECONDS = 10.0, 1.0, 0.2
# What one call of the time series takes.
_READINGS_PER_CALL, _BYTES_PER_CALL = 25, 1_000_000


@dataclass
class _Running:
    began: float
    numbers: Sequence[str]
    """The sequence numbers."""
    sent: Sequence[Sent]
    troubled: Sequence[bool]
    """Whether the function cannot process the record at the moment."""
    keys: frozenset[str]
    slice: dict[tuple[str, str], int] = field(default_factory=dict)
    """The size of each item of the slice."""
    is_writing: bool = False
    """Whether its last call wrote to the time series."""


class InvocationInvariants:
    """Follows the invocations of one function.

    Progress: an invocation never times out unless a call takes longer than the time that is reserved for one. Without
    a fault in its calls, it acknowledges every record before the first one that cannot be processed at the moment (a
    throttled device, a bug in the user's step): at least the first record if one call takes all of its readings, and
    the others as long as there is time for the calls that complete a record, each as slow as the slowest so far.

    Counters: RecordsStored and RecordsRejected of the line in embedded metric format are the records that the response
    acknowledges, and RecordsFailed the others. So over all lines each record counts once for each acknowledgment. An
    invocation that raises an exception or ends early counts nothing. RecordsRejected and DeviceIdMismatches agree with
    what the devices sent.

    Bounded memory: the items that are written to the time series before the state (a slice) fit into the function's
    memory with everything that the interpreter makes of them, however many records a batch has.
    """

    def __init__(
        self, pipeline: Pipeline, sent: Callable[[Mapping[str, Any]], Sent], violated: Violated
    ) -> None:
        self._pipeline = pipeline
        self._sent = sent
        self._violated = violated
        self._running: dict[str, _Running] = {}
        self._keys: Counter[str] = Counter()
        self.acknowledged = 0
        self.counted = 0
        if pipeline.configuration.heavy:
            pipeline.world.on_call = self._call

    def begin(self, process: Process, event: Mapping[str, Any]) -> None:
        """An invocation begins."""
        records = event["Records"]
        sent = [self._sent(record) for record in records]
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        keys = frozenset(each.device_id for each in sent)
        if any(self._keys[key] for key in keys):
            self._pipeline.count("two invocations for one device")
        self._keys.update(keys)
        troubled = [self._pipeline.is_troubled(each) for each in sent]
        self._running[process.name] = _Running(self._now, numbers, sent, troubled, keys)

    def end(self, process: Process, response: Any) -> Sequence[Sent]:
        """An invocation ends. Returns the records that it acknowledges."""
        running = self._running.pop(process.name)
        self._keys.subtract(running.keys)
        done = 0
        if response is not None:
            failed = [failure["itemIdentifier"] for failure in response["batchItemFailures"]]
            # Lambda treats a batch with another number as failed.
            positions = {number: n for n, number in enumerate(running.numbers)}
            done = min([positions.get(number, 0) for number in failed], default=len(positions))
        self._check_progress(process, running, response, done)
        self._check_counters(process, running, response, done)
        return running.sent[:done]

    def check_end(self) -> None:
        """All lines together count each acknowledgment once."""
        if self.counted != self.acknowledged:
            text = f"{self.counted} records counted, {self.acknowledged} acknowledged"
            self._violated("counters", text)

    def _check_progress(
        self, process: Process, running: _Running, response: Any, done: int
    ) -> None:
        assert process.deadline is not None
        time = process.deadline - running.began
        reserve = min(_RESERVE_SECONDS, (time - _COLD_START_SECONDS) / 2)
        if process.ended == "timed out" and process.slowest_call < reserve - _PAUSE_SECONDS:
            text = f"{process.name} timed out, its slowest call took {process.slowest_call:.1f} s"
            self._violated("progress", text)
        if process.faulty or process.ended:
            return
        troubled = running.troubled
        # To the time series, three to the state, and one for each ten messages.
        calls = 5 + len(troubled) // 10
        left = process.deadline - self._now - calls * process.slowest_call
        has_time = left > min(_RESERVE_SECONDS, time / 2)
        if response is None:  # an asynchronous invocation fails as a whole
            if not any(troubled) and has_time:
                self._violated("progress", f"{process.name} failed without a fault")
            return
        has_to = has_time or (not done and _fits(running.sent[0]))
        if done < len(troubled) and not troubled[done] and has_to:
            text = f"{process.name} stopped at record {done + 1} of {len(troubled)}"
            self._violated("progress", text)

    def _check_counters(
        self, process: Process, running: _Running, response: Any, done: int
    ) -> None:
        metrics = self._pipeline.metrics
        lines = metrics.getvalue().splitlines()
        metrics.seek(0)
        metrics.truncate()
        self.acknowledged += done
        if response is None and not lines:
            return
        if len(lines) != 1:
            self._violated("counters", f"{process.name} printed {len(lines)} lines")
            return
        line = json.loads(lines[0])
        counted = line["RecordsStored"] + line["RecordsRejected"]
        self.counted += counted
        failed = line["RecordsFailed"]
        if (counted, failed) != (done, len(running.sent) - done):
            text = f"{process.name} counted {counted} records and {failed} failed, not {done}"
            self._violated("counters", text)
            return
        acknowledged = running.sent[:done]
        least = sum(each.fate is Fate.DEAD_LETTERED for each in acknowledged)
        most = least + sum(each.trouble is Trouble.REFUSED for each in acknowledged)
        if not least <= line["RecordsRejected"] <= most:
            text = f"{process.name} rejected {line['RecordsRejected']} records, not {least}"
            self._violated("counters", text)
        mismatches = sum(each.mismatch for each in acknowledged)
        if line["DeviceIdMismatches"] != mismatches:
            text = f"{process.name} has {line['DeviceIdMismatches']} mismatches, not {mismatches}"
            self._violated("counters", text)

    def _call(self, process: Process, operation: str, request: Mapping[str, Any]) -> None:
        running = self._running.get(process.name)
        if running is None:
            return
        if operation != "batch_write_item":
            running.is_writing = operation == "put_item"
            return
        if not running.is_writing:
            running.slice.clear()
        running.is_writing = True
        for puts in request["RequestItems"].values():
            for put in puts:
                item = put["PutRequest"]["Item"]
                key = item["deviceId"]["S"], item["timestamp"]["N"]
                if key not in running.slice:
                    running.slice[key] = item_bytes(item)
        total = sum(running.slice.values())
        if total > MAX_SLICE_BYTES:
            text = f"{process.name} holds {total} bytes, {MAX_SLICE_BYTES} allowed"
            self._violated("bounded memory", text)

    @property
    def _now(self) -> float:
        return self._pipeline.scheduler.now


def _fits(sent: Sent) -> bool:
    return len(sent.readings) <= _READINGS_PER_CALL and len(sent.payload) <= _BYTES_PER_CALL
