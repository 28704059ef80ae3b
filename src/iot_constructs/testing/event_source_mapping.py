"""Runs the event source mapping of `iot_constructs.local` in virtual time, against the simulated services.

All decisions (batches, retries, bisecting, discarding) are those of `local.mapping_loop`, `local.shard_batches` and
`local.mapping_decisions`, whose docstrings name Lambda's pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from iot_constructs.local.mapping_configuration import (
    AT_TIMESTAMP,
    LATEST,
    TRIM_HORIZON,
    Configuration,
)
from iot_constructs.local.mapping_decisions import Outcome, Rules
from iot_constructs.local.mapping_failures import Destination, Failure, create_destination
from iot_constructs.local.mapping_invocation import Invoker
from iot_constructs.local.mapping_loop import Intervals, MappingLoop
from iot_constructs.local.mapping_metrics import Metrics
from iot_constructs.local.mapping_records import Batch, EventTemplate
from iot_constructs.local.mapping_stream import StartPosition, StreamReader
from iot_constructs.local.shard_batches import Backoff
from iot_constructs.testing.calls import describe_records, short_number
from iot_constructs.testing.processes import Process, ProcessEnded, World

INTERVALS = Intervals(read=1.0, shards=10.0, metrics=60.0)
BACKOFF = Backoff(first=1.0, longest=60.0)


class _NoMetrics:
    """CloudWatch, whose metrics nobody reads."""

    def put_metric_data(self, **request: Any) -> None:
        """Drop the metrics."""


class EventSourceMapping:
    """Runs a mapping as tasks of the scheduler."""

    def __init__(
        self,
        world: World,
        *,
        stream_arn: str,
        function_arn: str,
        rules: Rules,
        destination_arn: str | None,
        starting_position: str = TRIM_HORIZON,
    ) -> None:
        self.world = world
        self.undelivered: list[Failure] = []
        self.on_outcome: Callable[[Batch, Outcome], None] = lambda batch, outcome: None
        self.on_discard: Callable[[Failure], None] = lambda failure: None
        """Called after the failure record was sent."""
        self.on_start: Callable[[Rules], None] = lambda rules: None
        self._configuration = Configuration(
            uuid="00000000-0000-0000-0000-000000000001",
            stream_arn=stream_arn,
            function_arn=function_arn,
            state="Enabled",
            starting_position=starting_position,
            starting_timestamp=None,
            rules=rules,
            destination_arn=destination_arn,
            event_count_metrics=True,
        )
        self._start = self._first_position(starting_position)
        self._checkpoints: Mapping[str, str] = {}
        self._loop: MappingLoop | None = None
        self._process: Process | None = None

    def start(self) -> None:
        """Start, or continue from the checkpoints. Does nothing if it runs."""
        if self._loop is not None:
            return
        world, of = self.world, self._configuration
        process = Process(world, "mapping", "mapping")
        template = EventTemplate(
            of.stream_arn, of.region, "arn:aws:iam::123456789012:role/function"
        )
        invoker = Invoker(
            process.client("lambda"),
            of.function_arn,
            report_item_failures=of.rules.report_item_failures,
        )

        def invoke(batch: Batch) -> Outcome:
            outcome = invoker.invoke(batch)
            self.on_outcome(batch, outcome)
            return outcome

        def run(call: Callable[[], None]) -> None:
            def until_the_poller_ends() -> None:
                try:
                    call()
                except ProcessEnded:
                    return
                world.scheduler.wake(poller)

            world.scheduler.spawn("mapping call", until_the_poller_ends)

        loop = MappingLoop(
            of,
            reader=StreamReader(process.client("kinesis"), template),
            invoke=invoke,
            destination=self._log_discards(create_destination(of.destination_arn, process.client)),
            metrics=Metrics(
                function_name=of.function_name, mapping_uuid=of.uuid, event_counts=True
            ),
            cloudwatch=_NoMetrics(),
            start=self._start,
            run=run,
            clock=world.scheduler.time,
            checkpoints=self._checkpoints,
            undelivered=self.undelivered,
            backoff=BACKOFF,
            intervals=INTERVALS,
        )
        self._process, self._loop = process, loop

        def work() -> None:
            try:
                while True:
                    process.sleep(max(loop.step(), 0.01))
            except ProcessEnded:
                pass

        poller = world.scheduler.spawn("mapping", work)
        self.on_start(of.rules)
        checkpoints = dict(self._checkpoints)
        world.log("mapping", partial(_describe_start, checkpoints))

    def stop(self) -> None:
        """End the poller at once. Invocations go on, and their records are delivered again after `start`.

        Does nothing if it is stopped.
        """
        if self._loop is None or self._process is None:
            return
        self._checkpoints = dict(self._loop.checkpoints)
        self.undelivered = self._loop.undelivered
        try:
            self._process.end("stopped")
        except ProcessEnded:
            self._loop = self._process = None

    def update(self, rules: Rules) -> None:
        """Change the settings of a stopped mapping: UpdateEventSourceMapping keeps the checkpoints."""
        self._configuration = replace(self._configuration, rules=rules)

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """The checkpoint of each shard."""
        return self._checkpoints if self._loop is None else self._loop.checkpoints

    @property
    def idle_since(self) -> float | None:
        """Since when every record that was read is completed."""
        return None if self._loop is None else self._loop.idle_since

    @property
    def totals(self) -> Mapping[str, float]:
        """The sums of the mapping's metrics since `start`."""
        return {} if self._loop is None else self._loop._metrics.totals

    def _log_discards(self, destination: Destination | None) -> Destination | None:
        if destination is None:
            return None

        def send(failure: Failure) -> None:
            self.world.log("mapping", partial(_describe_discard, failure))
            destination(failure)
            self.on_discard(failure)

        return send

    def _first_position(self, starting_position: str) -> StartPosition:
        if starting_position == LATEST:
            # Each read creates an iterator, and LATEST would skip the records in between.
            moment = datetime.fromtimestamp(self.world.scheduler.now, tz=timezone.utc)
            return StartPosition(AT_TIMESTAMP, moment)
        return StartPosition(TRIM_HORIZON)


def _describe_start(checkpoints: Mapping[str, str]) -> str:
    shards = [f"{shard} after {short_number(number)}" for shard, number in checkpoints.items()]
    return f"starts {', '.join(shards)}" if shards else "starts"


def _describe_discard(failure: Failure) -> str:
    records = [record.event for record in failure.discard.batch.records]
    return f"discards {describe_records(records)} ({failure.discard.condition.value})"
