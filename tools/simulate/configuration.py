"""What a seed decides besides faults: the settings of the pipeline, and what happens in a run."""

from __future__ import annotations

import random
from dataclasses import dataclass

from iot_constructs import _defaults
from iot_constructs.local.mapping_decisions import UNLIMITED, Rules

BATCH_SIZES = (_defaults.BATCH_SIZE,) * 3 + (1, 10, 500)


@dataclass(frozen=True)
class Configuration:
    """One pipeline and what happens to it."""

    rules: Rules
    devices: int
    shards: int
    timeout_seconds: float
    concurrency: int
    to_bucket: bool
    """Whether failed batches go to a bucket instead of the topic."""
    use_latest: bool
    """Whether the mapping starts at LATEST, before the first record."""
    minutes: float
    """How long the devices send."""
    reshards: int = 0
    restarts: int = 0
    """How often the mapping's pollers restart from their checkpoints, with another batch size."""
    updates: int = 0
    """How often the function's configuration changes."""
    outages: int = 0
    redrives: int = 0
    """How many redrives start while data flows, several of them at a time."""
    hot_device: bool = False
    """Whether the writes of one device are throttled until the faults end."""
    poison: bool = False
    """Whether one record ends each invocation that receives it, until the faults end."""
    refused: bool = False
    """Whether the tables refuse the readings of some records until the faults end."""
    rule_errors: bool = False
    """Whether some records do not reach the stream: the IoT rule's error action puts them on the queue."""
    heavy: bool = False
    """Whether there are records that need much memory."""
    expires: bool = False
    """Whether the stream's retention ends before the failed batches are redriven."""


def configuration(seed: object) -> Configuration:
    """Return the configuration of a seed."""
    draw = random.Random(f"configuration {seed}")
    some = draw.random
    to_bucket = some() < 0.3
    return Configuration(
        rules=Rules(
            batch_size=draw.choice(BATCH_SIZES),
            batching_window=draw.choice((5.0, 5.0, 0.0, 30.0)),
            parallelization_factor=draw.choice((1, 1, 2, 10)),
            maximum_retry_attempts=draw.choice((10, 2, 5, UNLIMITED)),
            maximum_record_age=draw.choice((UNLIMITED, 86_400.0, 3600.0, 300.0)),
            bisect=some() < 0.8,
            report_item_failures=True,
        ),
        devices=draw.choice((3, 20, 60)),
        shards=draw.choice((1, 2, 4)),
        timeout_seconds=draw.choice((3.0, 10.0, 60.0, 60.0)),
        concurrency=draw.choice((1, 3, 1000)),
        to_bucket=to_bucket,
        use_latest=some() < 0.2,
        minutes=draw.choice((0.5, 3.0, 15.0)),
        reshards=draw.choice((0, 1, 2)),
        restarts=draw.choice((0, 1, 3)),
        updates=draw.choice((0, 1, 2)),
        outages=draw.choice((0, 0, 1, 2)),
        redrives=draw.choice((0, 1, 3)),
        hot_device=some() < 0.15,
        poison=some() < 0.2,
        refused=some() < 0.15,
        rule_errors=some() < 0.2,
        heavy=some() < 0.01,
        expires=some() < 0.1 and not to_bucket,
    )
