"""Simulates Lambda's event source mapping for a Kinesis stream.

**AWS.** Lambda reads the shards in order and invokes the function with batches of records. A batch is
complete when it is full, when the batching window ends, or at 6 MB. Up to ten batches of a shard run
concurrently, but never two with the same partition key (lambda/latest/dg/with-kinesis.html). Lambda
retries a failed batch with exponential backoff, from the lowest sequence number that the function
reported, or bisected after an error, until MaximumRetryAttempts or MaximumRecordAgeInSeconds
(services-kinesis-batchfailurereporting.html, services-kinesis-parameters.html). Then it sends a
failure record to the mapping's destination and continues after the failed records
(kinesis-on-failure-destination.html). Metrics: monitoring-metrics-types.html.

**Emulator.** Its poller supports only the batch size: it retries a failed batch without a limit,
treats a partial failure as a success, and never uses the failure destination (ministack 1.5.33).

**Simulation.** It pauses the emulator's poller, reads the settings of the deployed mapping, and does
what AWS documents, with the permissions of the function's role for the stream and the failure
destination. An unsupported setting (filters, tumbling windows, enhanced fan-out) is an error. The
logic without I/O is in `mapping_decisions` and `shard_batches`. The docstrings of
`mapping_decisions` and `mapping_failures` list the assumptions where AWS documents nothing.

The emulator has no quotas of the Kinesis API and no retention, so the simulation does not cover them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from iot_constructs.local.emulator import Emulator
from iot_constructs.local.mapping_configuration import (
    AT_TIMESTAMP,
    LATEST,
    TRIM_HORIZON,
    Configuration,
    UnsupportedMappingError,
    find_mapping,
    read_configuration,
    template_properties,
)
from iot_constructs.local.mapping_failures import Failure, create_destination
from iot_constructs.local.mapping_invocation import Invoker, create_invoke_client
from iot_constructs.local.mapping_loop import Intervals, MappingLoop
from iot_constructs.local.mapping_metrics import Metrics
from iot_constructs.local.mapping_records import EventTemplate
from iot_constructs.local.mapping_stream import StartPosition, StreamReader
from iot_constructs.local.rule_engine import RoleCopies
from iot_constructs.local.shard_batches import Backoff

__all__ = ["Backoff", "Intervals", "LocalEventSourceMapping", "UnsupportedMappingError"]

# More concurrent batches wait for a free thread.
MAX_CONCURRENT_CALLS = 32
DISABLED = "Disabled"


class LocalEventSourceMapping:
    """Runs a deployed mapping between `start` and `stop`, or for the duration of a ``with`` block.

    Start it before you write to the stream: the emulator's poller completes its current pass when it
    is paused, which can deliver one batch per shard twice.
    """

    def __init__(
        self,
        emulator: Emulator,
        *,
        function_name: str | None = None,
        mapping_uuid: str | None = None,
        template_only: Mapping[str, Any] | None = None,
        checkpoints: Mapping[str, str] | None = None,
        allow_disabled: bool = False,
        resume_emulator: bool = False,
        backoff: Backoff | None = None,
        intervals: Intervals | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Select a mapping. Makes no calls.

        Args:
            emulator: the emulator with the deployed mapping.
            function_name: the function, which must have exactly one Kinesis mapping. Mutually
                exclusive with `mapping_uuid`.
            mapping_uuid: the mapping's UUID.
            template_only: the properties that the emulator's Lambda API does not return
                (`mapping_configuration.TEMPLATE_ONLY_PROPERTIES`). Default: from the mapping's stack.
            checkpoints: the `checkpoints` of a previous run. Default: StartingPosition.
            allow_disabled: run a disabled mapping, such as one that another run paused.
            resume_emulator: resume the emulator's poller at the end. It continues where it was paused
                and delivers all records again.
            backoff: the pauses between attempts.
            intervals: the polling intervals.
            clock: returns seconds since the epoch.
        """
        if (function_name is None) == (mapping_uuid is None):
            raise ValueError("specify either function_name or mapping_uuid")
        self._emulator = emulator
        self._lambda = emulator.client("lambda")
        self._roles = RoleCopies(emulator)
        self._function_name = function_name
        self._uuid = mapping_uuid
        self._not_reported = template_only
        self._first_checkpoints = checkpoints
        self._allow_disabled = allow_disabled
        self._resume_emulator = resume_emulator
        self._backoff = backoff
        self._intervals = intervals
        self._clock = clock
        self._configuration: Configuration | None = None
        self._loop: MappingLoop | None = None
        self._metrics: Metrics | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._thread: threading.Thread | None = None
        self._start: StartPosition | None = None
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._error: BaseException | None = None

    @property
    def configuration(self) -> Configuration:
        """The settings of the mapping. Available after `start`."""
        assert self._configuration is not None, "not started"
        return self._configuration

    @property
    def totals(self) -> Mapping[str, float]:
        """The sum of each metric since `start`, such as ``totals["InvokedEventCount"]``."""
        return {} if self._metrics is None else self._metrics.totals

    @property
    def undelivered(self) -> list[Failure]:
        """Failure records that could not be delivered. On AWS, their records are lost."""
        return [] if self._loop is None else list(self._loop.undelivered)

    @property
    def problems(self) -> list[str]:
        """The last failed calls that were or will be retried."""
        return [] if self._loop is None else list(self._loop.problems)

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """The checkpoint of each shard."""
        if self._loop is not None:
            return self._loop.checkpoints
        return dict(self._first_checkpoints if self._first_checkpoints is not None else {})

    def start(self) -> None:
        """Read the settings, pause the emulator's poller, and start."""
        if self._thread is not None:
            raise RuntimeError("the mapping is already running")
        configuration = self._read_configuration()
        first = self._loop is None
        if first and configuration.state == DISABLED and not self._allow_disabled:
            raise UnsupportedMappingError(
                f"mapping {configuration.uuid} is disabled: AWS does not poll it"
            )
        self._pause_emulator(configuration.uuid)
        self._configuration = configuration
        self._loop = self._create_loop(configuration)
        self._stopping.clear()
        self._error = None
        self._thread = threading.Thread(target=self._work, name="event-source-mapping", daemon=True)
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Stop, after the calls in progress if `wait`. `start` continues from the checkpoints."""
        if self._thread is None:
            return
        self._stopping.set()
        self._wake.set()
        if wait:
            self._thread.join()
        assert self._pool is not None
        self._pool.shutdown(wait=wait, cancel_futures=True)
        self._thread = None
        if wait:
            self._roles.delete()
            if self._resume_emulator:
                self._lambda.update_event_source_mapping(UUID=self.configuration.uuid, Enabled=True)
            self.check()

    def check(self) -> None:
        """Raise an exception if the mapping stopped because of an error."""
        if self._error is not None:
            raise RuntimeError("the event source mapping has failed") from self._error

    @property
    def is_idle(self) -> bool:
        """Whether every record that was read is completed, and the last reads returned none."""
        return self._loop is not None and self._loop.idle_since is not None

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until every record now in the stream is completed. Returns False after `timeout`."""
        assert self._loop is not None, "not started"
        called = self._clock()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            since = self._loop.idle_since
            if since is not None and since > called:
                return True
            time.sleep(0.02)
        return False

    def __enter__(self) -> LocalEventSourceMapping:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an interrupt, do not wait for invocations in progress.
        self.stop(wait=error is None)

    def _read_configuration(self) -> Configuration:
        if self._uuid is None:
            assert self._function_name is not None
            self._uuid = find_mapping(self._lambda, self._function_name)
        reported = self._lambda.get_event_source_mapping(UUID=self._uuid)
        if self._not_reported is None:
            cloudformation = self._emulator.client("cloudformation")
            self._not_reported = template_properties(cloudformation, self._uuid)
        return read_configuration({**self._not_reported, **reported})

    def _pause_emulator(self, uuid: str) -> None:
        state = self._lambda.update_event_source_mapping(UUID=uuid, Enabled=False)["State"]
        if state != DISABLED:
            raise UnsupportedMappingError(f"cannot pause mapping {uuid}: its state is {state}")

    def _create_loop(self, configuration: Configuration) -> MappingLoop:
        function = self._lambda.get_function_configuration(FunctionName=configuration.function_arn)
        role_arn = function["Role"]

        def client(service: str) -> Any:
            return self._emulator.client(service, self._roles.credentials(role_arn))

        pool = self._pool = ThreadPoolExecutor(MAX_CONCURRENT_CALLS, "event-source-mapping")
        if self._start is None:
            self._start = self._first_position(configuration)
        template = EventTemplate(configuration.stream_arn, configuration.region, role_arn)
        invoker = Invoker(
            create_invoke_client(
                self._emulator.endpoint,
                timeout_seconds=function["Timeout"],
                connections=MAX_CONCURRENT_CALLS,
            ),
            configuration.function_arn,
            report_item_failures=configuration.rules.report_item_failures,
        )
        if self._metrics is None:
            self._metrics = Metrics(
                function_name=configuration.function_name,
                mapping_uuid=configuration.uuid,
                event_counts=configuration.event_count_metrics,
            )

        def run(call: Callable[[], None]) -> None:
            pool.submit(call).add_done_callback(lambda _: self._wake.set())

        return MappingLoop(
            configuration,
            reader=StreamReader(client("kinesis"), template),
            invoke=invoker.invoke,
            destination=create_destination(configuration.destination_arn, client),
            metrics=self._metrics,
            cloudwatch=self._emulator.client("cloudwatch"),
            start=self._start,
            run=run,
            clock=self._clock,
            checkpoints=self.checkpoints,
            undelivered=self.undelivered,
            backoff=self._backoff,
            intervals=self._intervals,
        )

    def _first_position(self, configuration: Configuration) -> StartPosition:
        if configuration.starting_position == LATEST:
            # Each read creates a new iterator, and LATEST would skip the records in between.
            return StartPosition(
                AT_TIMESTAMP, datetime.fromtimestamp(self._clock(), tz=timezone.utc)
            )
        if configuration.starting_position == AT_TIMESTAMP:
            return StartPosition(AT_TIMESTAMP, configuration.starting_timestamp)
        return StartPosition(TRIM_HORIZON)

    def _work(self) -> None:
        loop = self._loop
        assert loop is not None
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                self._wake.wait(loop.step())
            while loop.under_way and self._error is None:
                self._wake.clear()
                loop.take_results()
                self._wake.wait(0.1)
            loop.publish_metrics()
        except BaseException as error:
            self._error = error
