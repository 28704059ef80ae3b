"""The monthly cost of other pipelines for the same fleet, with the same data kept for the same time.

* **The usual pipeline**: an IoT rule, a stream in on-demand mode, a function with three PutItem calls for each reading,
  one after another, a batching window of 5 seconds, and Firehose.
* **AWS Solutions Constructs**, as bench/peers joins its patterns: provisioned shards, since their default is one, a
  function with two PutItem calls for each reading, traces, and objects of 5 MB.

Both have a stream retention of 24 hours, tables in on-demand mode with point-in-time recovery, AWS managed keys, and a
function with CDK's defaults: 128 MB and x86. Their readings are stored in the size of ours, which is more than the
usual function keeps: of the two metrics of a reading, the second replaces the first. No alarms, dashboards or metrics.

A pipeline whose concurrent batches are busy by more than 100 % falls behind, until it has so many times the shards or
the parallelization factor. The cost does not include them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from iot_constructs.cli.planning import DAY_SECONDS, MB, MONTH_SECONDS, prices
from iot_constructs.cli.planning.assumptions import (
    CALL_MILLISECONDS,
    INVOCATION_MILLISECONDS,
    LOG_BYTES,
    METRIC_LOG_BYTES,
    PEER_MEMORY_MB,
    READING_MILLISECONDS,
    SOLUTIONS_PUTS,
    USUAL_PUTS,
)
from iot_constructs.cli.planning.batches import write_units
from iot_constructs.cli.planning.costs import (
    CLOUDWATCH,
    DYNAMODB,
    KMS,
    LAMBDA,
    S3,
    Cost,
    list_costs,
)
from iot_constructs.cli.planning.usage import Usage, estimate_usage, provisioned_shards
from iot_constructs.cli.planning.workload import MOST_SHARDS, Workload

_OURS = ("alarms", "composite alarms", "dashboards", "custom metrics")


@dataclass(frozen=True)
class Peer:
    """Another pipeline."""

    name: str
    puts: int
    """PutItem calls for a reading."""
    full_puts: int
    """Those with the whole reading; the others have one metric."""
    window_seconds: float
    provisioned: bool
    tracing: bool
    object_mb: float | None
    """The size of the buffer of Firehose; None is that of StreamArchive."""


USUAL = Peer("the usual pipeline", USUAL_PUTS, 1, 5, False, False, None)
SOLUTIONS = Peer("AWS Solutions Constructs", SOLUTIONS_PUTS, 2, 0, True, True, 5)
PEERS = (USUAL, SOLUTIONS)


def peer_usage(peer: Peer, workload: Workload) -> Usage:
    """Estimate the usage of a peer for the fleet and the retention of ``workload``."""
    shards = provisioned_shards(workload)
    of_peer = Workload(
        devices=workload.devices,
        every_seconds=workload.every_seconds,
        reading_bytes=workload.reading_bytes,
        readings_per_message=workload.readings_per_message,
        stored_bytes=workload.stored_bytes,
        peak=workload.peak,
        age_seconds=workload.age_seconds,
        retention_seconds=workload.retention_seconds,
        archive_retention_seconds=workload.archive_retention_seconds,
        queries_per_day=workload.queries_per_day,
        dashboard_seconds=workload.dashboard_seconds,
        stream_retention_seconds=DAY_SECONDS,
        shard_count=shards if peer.provisioned and shards <= MOST_SHARDS else None,
        batch_size=100,  # CDK's default
        batching_window_seconds=peer.window_seconds,
        parallelization_factor=1,
        memory_mb=PEER_MEMORY_MB,
        tracing=peer.tracing,
    )
    readings = estimate_usage(of_peer).average.records * workload.readings_per_message
    per_reading = READING_MILLISECONDS + CALL_MILLISECONDS * peer.puts
    duration = INVOCATION_MILLISECONDS + per_reading * readings
    return estimate_usage(replace(of_peer, invocation_milliseconds=min(duration, 900_000)))


def peer_costs(peer: Peer, workload: Workload) -> list[Cost]:
    """Return the line items of a peer."""
    usage = peer_usage(peer, workload)
    costs = list_costs(usage)
    readings = usage.workload.readings_per_second * MONTH_SECONDS
    small = peer.puts - peer.full_puts
    states = write_units(usage.state_bytes)
    quantities = {
        (DYNAMODB, "device-state writes"): readings * states,
        (DYNAMODB, "time-series writes"): readings * (small or usage.item_units),
    }
    if peer.object_mb is not None:
        in_time = usage.objects * MONTH_SECONDS
        by_size = usage.messages * usage.workload.message_bytes / (peer.object_mb * MB)
        quantities[S3, "objects"] = max(in_time, by_size)
    without_metrics = (LOG_BYTES - METRIC_LOG_BYTES) / LOG_BYTES
    for what in ("logs", "log storage"):
        [logged] = (cost.quantity for cost in costs if cost.what == what)
        quantities[CLOUDWATCH, what] = logged * without_metrics
    return [
        replace(
            cost,
            quantity=quantities.get((cost.service, cost.what), cost.quantity),
            price=prices.LAMBDA_GB_SECONDS_X86
            if (cost.service, cost.what) == (LAMBDA, "duration")
            else cost.price,
        )
        for cost in costs
        if cost.service != KMS and cost.what not in _OURS
    ]
