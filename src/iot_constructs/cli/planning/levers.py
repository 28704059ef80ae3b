"""The levers that lower the cost, with what each saves and gives up, and the cheapest of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from iot_constructs import _defaults as defaults
from iot_constructs.cli.planning import DAY_SECONDS
from iot_constructs.cli.planning.costs import monthly_cost
from iot_constructs.cli.planning.limits import list_limits
from iot_constructs.cli.planning.usage import (
    DEVICE_STATE,
    FULL_SHARE,
    TIME_SERIES,
    estimate_usage,
    provisioned_shards,
)
from iot_constructs.cli.planning.workload import Workload

LARGER_BATCH: Final = 500  # a slice of the processor
LONGER_WINDOW_SECONDS: Final = 30
STATE_INTERVAL_SECONDS: Final = 15 * 60
COLD_AFTER_SECONDS: Final = 30 * DAY_SECONDS
SHORTER_RETENTION_SECONDS: Final = 30 * DAY_SECONDS
ARCHIVE_RETENTION_SECONDS: Final = 365 * DAY_SECONDS
COMBINED_READINGS: Final = 5
LEAST_SAVING: Final = 1.0
"""In dollars per month: a lever that saves less is not worth what it gives up."""


@dataclass(frozen=True)
class Lever:
    """A change of one setting."""

    name: str
    line: Callable[[Workload], str]
    """The arguments to type, for a workload that has the lever applied."""
    gives_up: str
    apply: Callable[[Workload], Workload]
    """Returns the same workload if the lever is applied. May raise ValueError if it is not possible."""


@dataclass(frozen=True)
class Step:
    """A lever that is applied after others."""

    lever: Lever
    line: str
    saved: float
    """Dollars per month."""
    cost: float
    """Dollars per month with this lever and all before it."""
    workload: Workload


def _larger_batch(workload: Workload) -> Workload:
    return _fit(replace(workload, batch_size=max(workload.batch_size, LARGER_BATCH)))


def _longer_window(workload: Workload) -> Workload:
    window = max(workload.batching_window_seconds, LONGER_WINDOW_SECONDS)
    return _fit(replace(workload, batching_window_seconds=window))


def _provision_shards(workload: Workload) -> Workload:
    if workload.shard_count is not None:
        return workload
    return _fit(replace(workload, shard_count=provisioned_shards(workload)))


def _fit(workload: Workload) -> Workload:
    """Raise the parallelization factor until each concurrent batch has time left."""
    for factor in range(workload.parallelization_factor, defaults.MAX_PARALLELIZATION_FACTOR):
        fitted = replace(workload, parallelization_factor=factor)
        if estimate_usage(fitted).busy_share < FULL_SHARE:
            return fitted
    return replace(workload, parallelization_factor=defaults.MAX_PARALLELIZATION_FACTOR)


def _write_states_less(workload: Workload) -> Workload:
    if not workload.device_state or workload.device_state_interval_seconds is not None:
        return workload
    return replace(workload, device_state_interval_seconds=STATE_INTERVAL_SECONDS)


def _move_archive(workload: Workload) -> Workload:
    if workload.archive_transition_seconds is not None:
        return workload
    return replace(workload, archive_transition_seconds=COLD_AFTER_SECONDS)


def _buffer_longer(workload: Workload) -> Workload:
    return replace(workload, buffering_interval_seconds=defaults.LONGEST_BUFFERING_INTERVAL_SECONDS)


def _combine_readings(workload: Workload) -> Workload:
    count = max(workload.readings_per_message, COMBINED_READINGS)
    return replace(workload, readings_per_message=count)


def _drop_states(workload: Workload) -> Workload:
    return replace(workload, device_state=False, device_state_interval_seconds=None)


def _keep_readings_shorter(workload: Workload) -> Workload:
    kept = min(workload.retention_seconds, SHORTER_RETENTION_SECONDS)
    return replace(workload, retention_seconds=kept)


def _keep_archive_shorter(workload: Workload) -> Workload:
    if workload.archive_retention_seconds is not None:
        return workload
    return replace(workload, archive_retention_seconds=ARCHIVE_RETENTION_SECONDS)


def _capacity_line(workload: Workload) -> str:
    capacity = {table.name: table for table in estimate_usage(workload).tables}
    names = {TIME_SERIES: "TimeSeriesTable", DEVICE_STATE: "DeviceStateTable"}
    return "\n".join(
        f"{names[name]}(billing=...)  # {table.write_capacity:,} write, {table.read_capacity:,} read units"
        for name, table in capacity.items()
    )


def _shards_line(workload: Workload) -> str:
    return (
        f"MonitoredStream(shard_count={workload.shard_count})\n"
        f"TelemetryProcessor(parallelization_factor={workload.parallelization_factor})"
    )


OPTIMIZED: Final = (
    Lever(
        "Basic Ingest",
        lambda workload: "TelemetryRule(basic_ingest=True)",
        "subscribers of the topic; devices publish to another topic",
        lambda workload: replace(workload, basic_ingest=True),
    ),
    Lever(
        "device states every 15 minutes",
        lambda workload: "TelemetryProcessor(device_state_interval=Duration.minutes(15))",
        "a state can be up to 15 minutes old",
        _write_states_less,
    ),
    Lever(
        "larger batches",
        lambda workload: f"TelemetryProcessor(batch_size={workload.batch_size})",
        "a batch that fails has more records to retry",
        _larger_batch,
    ),
    Lever(
        "longer batching window",
        lambda workload: "TelemetryProcessor(max_batching_window=Duration.seconds(30))",
        "a reading is stored up to 30 seconds after it arrives",
        _longer_window,
    ),
    Lever(
        "provisioned stream",
        _shards_line,
        "growth by itself: update shard_count with the fleet",
        _provision_shards,
    ),
    Lever(
        "provisioned tables",
        _capacity_line,
        "capacity for sudden peaks: auto scaling takes minutes",
        lambda workload: replace(workload, provisioned_tables=True),
    ),
    Lever(
        "table class Standard-IA",
        lambda workload: "TimeSeriesTable(table_class=TableClass.STANDARD_INFREQUENT_ACCESS)",
        "writes and reads cost a quarter more, for storage at 40 % of the price",
        lambda workload: replace(workload, infrequent_access=True),
    ),
    Lever(
        "no traces",
        lambda workload: "TelemetryProcessor(tracing=Tracing.DISABLED)",
        "X-Ray traces of the function",
        lambda workload: replace(workload, tracing=False),
    ),
    Lever(
        "fewer log lines",
        lambda workload: "TelemetryProcessor(system_log_level_v2=SystemLogLevel.WARN)",
        "the log lines of Lambda for each invocation; its metrics remain",
        lambda workload: replace(workload, system_logs=False),
    ),
    Lever(
        "archive in Glacier Instant Retrieval",
        lambda workload: "StreamArchive(transitions=[...])  # after 30 days",
        "$0.03 per GB that a query reads of older records",
        _move_archive,
    ),
    Lever(
        "larger objects in the archive",
        lambda workload: "StreamArchive(buffering_interval=Duration.minutes(15))",
        "a record is archived up to 15 minutes after it arrives",
        _buffer_longer,
    ),
)
"""What ``--optimize`` chooses from: nothing that devices do except for their topic, and no data that is kept."""

OTHERS: Final = (
    Lever(
        f"{COMBINED_READINGS} readings per message",
        lambda workload: f"devices send arrays of {COMBINED_READINGS} readings",
        "a reading waits on the device for the others",
        _combine_readings,
    ),
    Lever(
        "readings by key for 30 days",
        lambda workload: "TimeSeriesTable(retention=Duration.days(30))",
        "older readings by key; the archive has them",
        _keep_readings_shorter,
    ),
    Lever(
        "records in the archive for a year",
        lambda workload: "StreamArchive(retention=Duration.days(365))",
        "older records",
        _keep_archive_shorter,
    ),
    Lever(
        "stream retention of 24 hours",
        lambda workload: "MonitoredStream(retention_period=Duration.hours(24))",
        "six of seven days to redrive what failed, and to replay",
        lambda workload: replace(workload, stream_retention_seconds=DAY_SECONDS),
    ),
    Lever(
        "no device-state table",
        lambda workload: "TelemetryProcessor() without device_state_table=",
        "the latest state by key; query the newest reading instead",
        _drop_states,
    ),
)
"""What changes the devices, or what data is kept for how long."""


def optimize(workload: Workload, levers: Sequence[Lever] = OPTIMIZED) -> list[Step]:
    """Return the levers of the cheapest configuration, at each step the one that saves most.

    No limit is used by `FULL_SHARE` or more that is not before, and each lever saves `LEAST_SAVING` or more.
    """
    allowed = _full_limits(workload)
    useful = [lever for lever in levers if _apply(workload, [lever]) != workload]

    def price(some: Sequence[Lever]) -> float:
        applied = _apply(workload, some)
        if not _full_limits(applied) <= allowed:
            return inf
        return monthly_cost(applied) + LEAST_SAVING * len(some)

    chosen = min((_improve(start, useful, price) for start in ([], useful)), key=price)
    return list(_rank(workload, chosen, least=-inf))


def _improve(
    chosen: Sequence[Lever], levers: Sequence[Lever], price: Callable[[Sequence[Lever]], float]
) -> Sequence[Lever]:
    """Add and remove single levers until none of them lowers the price."""
    while True:
        changed = [
            [each for each in levers if (each in chosen) != (each is lever)] for lever in levers
        ]
        best = min(changed, key=price, default=chosen)
        if price(best) >= price(chosen):
            return chosen
        chosen = best


def rank_others(workload: Workload, levers: Sequence[Lever] = OTHERS) -> list[Step]:
    """Return the levers that save `LEAST_SAVING` or more, at each step the one that saves most."""
    return list(_rank(workload, levers, least=LEAST_SAVING))


def _apply(workload: Workload, levers: Sequence[Lever]) -> Workload:
    for lever in levers:
        with suppress(ValueError):
            workload = lever.apply(workload)
    return workload


def _rank(workload: Workload, levers: Sequence[Lever], least: float) -> Iterator[Step]:
    """Apply the levers in their order, whichever comes first here, so that the last step has the same settings."""
    applied: list[Lever] = []
    cost = monthly_cost(workload)
    while len(applied) < len(levers):
        costs: dict[str, tuple[float, Workload]] = {}
        for lever in levers:
            if lever not in applied:
                some = [each for each in levers if each in applied or each is lever]
                after = _apply(workload, some)
                costs[lever.name] = monthly_cost(after), after
        name = min(costs, key=lambda name: costs[name][0])
        [lever] = [lever for lever in levers if lever.name == name]
        new_cost, after = costs[name]
        if cost - new_cost < least:
            return
        applied.append(lever)
        yield Step(lever, lever.line(after), cost - new_cost, new_cost, after)
        cost = new_cost


def _full_limits(workload: Workload) -> set[str]:
    return {limit.name for limit in list_limits(estimate_usage(workload)) if limit.is_full}
