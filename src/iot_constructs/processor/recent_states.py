"""Leaves out the writes of device states that are recent enough, as told by one read for 100 devices.

A write of up to 1 KB takes a write unit, and an eventually consistent read of up to 4 KB half a read unit, also for a
device without an item, and whatever attributes are returned
(amazondynamodb/latest/developerguide/read-write-operations.html). Of $0.625 and $0.125 a million units
(aws.amazon.com/dynamodb/pricing/on-demand), a read costs a tenth of a write. A write that its condition rejects costs
the same as one that takes effect, so the read also saves those of late data.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any

from .readings import Reading
from .retries import Deadline, error_code
from .time_series import DynamoDBClient

MAX_KEYS_PER_CALL = 100  # amazondynamodb/latest/APIReference/API_BatchGetItem.html
_EXACT = Context(prec=60)  # a sort key has 31 digits
# TIMESTAMP is a reserved word (developerguide/ReservedWords.html).
_PROJECTION = {
    "ProjectionExpression": "#device, #timestamp",
    "ExpressionAttributeNames": {"#device": "deviceId", "#timestamp": "timestamp"},
}

logger = logging.getLogger(__name__)


class RecentStates:
    """Finds the states that are at most `interval_seconds` older than a reading.

    The processor never sets the timestamp of a state back, so an eventually consistent read returns this state or an
    older one, which causes a write that was not necessary. After somebody deletes a state, a read can still find it for
    about a second; the next reading of the device creates it again.
    """

    def __init__(self, client: DynamoDBClient, table: str, interval_seconds: int | None) -> None:
        self._client = client
        self._table = table
        self._interval_ms = None if interval_seconds is None else Decimal(interval_seconds * 1000)

    def leave_out(self, readings: Sequence[Reading], deadline: Deadline) -> list[Reading]:
        """Return `readings`, one of each device, without those that have a recent state.

        What could not be read remains, because a write is correct anyway.

        Args:
            readings: the newest of each device.
            deadline: leaves the time that all writes take.
        """
        if self._interval_ms is None:
            return list(readings)
        remaining: list[Reading] = []
        states: dict[str, Decimal] | None = {}
        for start in range(0, len(readings), MAX_KEYS_PER_CALL):
            part = readings[start : start + MAX_KEYS_PER_CALL]
            if states is not None:  # after a read that failed, the next ones would only take time
                states = self._read(part, deadline)
            remaining += [each for each in part if not self._is_recent(states, each)]
        return remaining

    def _is_recent(self, states: Mapping[str, Decimal] | None, reading: Reading) -> bool:
        state = states.get(reading.device_id) if states is not None else None
        if state is None or self._interval_ms is None:
            return False
        return state >= _EXACT.subtract(reading.sort_key, self._interval_ms)

    def _read(self, readings: Sequence[Reading], deadline: Deadline) -> dict[str, Decimal] | None:
        """Return the timestamps of the states that were found; None if there is no time, or an error."""
        if not deadline.has_time():
            return None
        keys = [{"deviceId": {"S": reading.device_id}} for reading in readings]
        request: dict[str, Any] = {self._table: {"Keys": keys, **_PROJECTION}}
        try:
            with deadline.call():
                response = self._client.batch_get_item(RequestItems=request)
        except Exception as error:
            logger.warning("cannot read the device states", extra={"error": error_code(error)})
            return None
        # Without the UnprocessedKeys of a throttled table, whose retry could take longer than the writes.
        return {
            item["deviceId"]["S"]: Decimal(item["timestamp"]["N"])
            for item in response["Responses"].get(self._table, [])
            if "N" in item.get("timestamp", {})
        }
