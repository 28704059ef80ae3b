"""What a seed decides besides faults: the settings of the pipeline, and the events of a run."""

from __future__ import annotations

import random
from dataclasses import dataclass

from iot_constructs import _defaults
from iot_constructs.local.mapping_decisions import UNLIMITED, Rules


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
    reshards: int
    restarts: int
    """How often the mapping's pollers restart from their checkpoints."""
    updates: int
    """How often the function's configuration changes."""
    outages: int
    redrives: int
    """How many redrives start while data flows."""
    hot_device: bool
    """Whether the writes of one device are throttled until the faults end."""
    poison: bool
    """Whether one record ends each invocation that receives it, until the faults end."""
    minutes: float
    """How long the devices send."""
    reconfigurations: int = 0
    """How often the mapping's settings change."""
    replays: int = 0
    """How often an operator invokes the function asynchronously with records of the stream."""
    refusing: str = ""
    """Which tables refuse some items until the faults end: series, state, both, or none if empty."""
    transform: bool = False
    """Whether the user's own step has a bug until the faults end."""
    rule_errors: bool = False
    """Whether the IoT rule sends some messages to the topic instead of the stream."""
    expires: bool = False
    """Whether nobody redrives until all records of the stream have expired."""
    slow: bool = False
    """Whether the function's calls take up to a twelfth of its timeout, so that few fit into an invocation."""
    heavy: bool = False
    """Whether there are records that decompress to much more than they have."""
    state_interval: int = 0
    """How much older than its newest reading the state of a device may be, in seconds; 0 if it has no interval."""


def configuration(seed: object) -> Configuration:
    """Return the configuration of a seed."""
    draw = random.Random(f"configuration {seed}")
    some = draw.random
    return Configuration(
        rules=rules(draw),
        devices=draw.choice((3, 20, 60)),
        shards=draw.choice((1, 2, 4)),
        timeout_seconds=draw.choice((3.0, 10.0, 60.0, 60.0)),
        concurrency=draw.choice((1, 3, 1000)),
        to_bucket=some() < 0.3,
        use_latest=some() < 0.2,
        reshards=draw.choice((0, 1, 2)),
        restarts=draw.choice((0, 1, 3)),
        updates=draw.choice((0, 1, 2)),
        outages=draw.choice((0, 0, 1, 2)),
        redrives=draw.choice((0, 1, 3)),
        hot_device=some() < 0.15,
        poison=some() < 0.2,
        minutes=draw.choice((0.5, 2.0, 6.0)),
        reconfigurations=draw.choice((0, 0, 0, 1)),
        replays=draw.choice((0, 0, 1, 2)),
        refusing=draw.choice(("", "", "", "", "series", "state", "both")),
        transform=some() < 0.15,
        rule_errors=some() < 0.3,
        expires=some() < 0.1,
        heavy=some() < 0.04,
        slow=some() < 0.15,
        # Drawn by a generator of its own: a seed without an interval is the history that it was before.
        state_interval=random.Random(f"interval of the state {seed}").choice((0, 0, 0, 1, 20, 600)),
    )


def rules(draw: random.Random) -> Rules:
    """Return the settings of a mapping."""
    return Rules(
        batch_size=draw.choice((_defaults.BATCH_SIZE,) * 3 + (1, 10, 500)),
        batching_window=draw.choice((5.0, 5.0, 0.0, 30.0)),
        parallelization_factor=draw.choice((1, 1, 2, 10)),
        maximum_retry_attempts=draw.choice((10, 2, 5, UNLIMITED)),
        maximum_record_age=draw.choice((UNLIMITED, 86_400.0, 3600.0, 300.0)),
        bisect=draw.random() < 0.8,
        report_item_failures=True,
    )
