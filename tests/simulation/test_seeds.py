"""Seeds of 500 records: each is another order of everything, other faults, and another pipeline.

Without ``--full`` it is one seed in ten.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.simulation.faults import RATES
from tests.simulation.pipeline import Options, simulate

SEEDS, RECORDS, SEEDS_PER_TEST = 200, 500, 10
EVENTS = {
    "asynchronous invocation",
    "bug of the user's step",
    "cold start",
    "concurrency limit 1",
    "crash",
    "expired and reported",
    "expired stream",
    "killed by a record",
    "killed redrive",
    "message delivered twice",
    "outage",
    "reconfigure",
    "records that decompress to 10 MiB",
    "redrive to the function",
    "redrive to the stream",
    "redrive_while_data_flows",
    "refused item",
    "replay",
    "reshard",
    "reshard while records wait",
    "restart",
    "rule error",
    "slow calls",
    "start at LATEST",
    "start at TRIM_HORIZON",
    "state with an interval",
    "throttled partition",
    "timeout",
    "two invocations for one device",
    "two redrives at once",
    "update",
}


@cache
def _happens(seed: int, records: int = RECORDS) -> set[object]:
    """What happens in a run of the seed, in which no invariant is violated."""
    result = simulate(Options(seed, records=records))
    assert not result.violations, (
        f"seed {seed}: {result.violations[0]}; repeat it with: "
        f"python -m tests.simulation --seed {seed} --records {records}"
    )
    assert result.accepted >= 0.9 * records
    assert result.stored > 0
    faults = {(operation, kind.partition(" (")[0]) for operation, kind in result.faults}
    return {*result.events, *faults}


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SEEDS_PER_TEST))
def test_no_record_is_lost_doubled_or_stale(first: int, full: bool) -> None:
    for seed in range(first, first + (SEEDS_PER_TEST if full else 1)):
        assert _happens(seed)


def test_every_fault_and_every_event_happens() -> None:
    missing = {(rate.operation, rate.kind.value) for rate in RATES} | EVENTS
    for first in range(1, SEEDS + 1, SEEDS_PER_TEST):
        missing -= _happens(first)
    for seed in range(2, SEEDS + 1):
        if not missing:
            break
        missing -= _happens(seed, 100)
    assert not missing
