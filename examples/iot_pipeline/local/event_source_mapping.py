"""A stand-in for Lambda's event source mapping of a Kinesis stream.

**What AWS does.** Lambda reads the stream's shards in order and invokes the function with batches
of records: a batch closes when it is full, when the batching window ends or at 6 MB, and up to ten
batches of a shard run at once as long as no two hold the same partition key
(lambda/latest/dg/with-kinesis.html). What fails is retried with exponential pauses: from the lowest
sequence number that the function reported, or in two halves after an error if the mapping says so,
as often as MaximumRetryAttempts and until MaximumRecordAgeInSeconds
(services-kinesis-batchfailurereporting.html, services-kinesis-parameters.html). Then a failure
record goes to the mapping's destination, and the shard goes on behind the records that failed
(kinesis-on-failure-destination.html). Each step shows in CloudWatch (monitoring-metrics-types.html).

**What the emulator lacks.** Its poller knows the batch size, and nothing else: a function that
raises is invoked with the same batch for ever, a reported partial failure counts as success, and
the failure destination of a Kinesis mapping is never used (ministack 1.5.33, FACTS 16).

**What this stands in for.** It pauses the emulator's poller, reads the settings of the mapping as it
is deployed, and does what AWS documents, with the permissions of the function's role for reading
the stream and for the failure destination. A setting that is not modelled (filters, tumbling
windows, enhanced fan-out) is refused instead of being ignored. The rules are in
`mapping_decisions` and `shard_batches`, which do no I/O; where AWS does not say what happens,
`mapping_decisions` and `mapping_failures` say what was chosen here.

Not modelled, because the emulator has no counterpart: the limits of the Kinesis API, and records
that the stream itself drops when its retention ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from examples.iot_pipeline.local.emulator import Emulator
from examples.iot_pipeline.local.mapping_configuration import (
    AT_TIMESTAMP,
    LATEST,
    TRIM_HORIZON,
    Configuration,
    UnsupportedMappingError,
    find_mapping,
    read_configuration,
    template_properties,
)
from examples.iot_pipeline.local.mapping_failures import Failure, create_destination
from examples.iot_pipeline.local.mapping_invocation import Invoker, create_invoke_client
from examples.iot_pipeline.local.mapping_loop import Intervals, MappingLoop
from examples.iot_pipeline.local.mapping_metrics import Metrics
from examples.iot_pipeline.local.mapping_records import EventTemplate
from examples.iot_pipeline.local.mapping_stream import StartPosition, StreamReader
from examples.iot_pipeline.local.rule_engine import RoleCopies
from examples.iot_pipeline.local.shard_batches import Backoff

__all__ = ["Backoff", "Intervals", "LocalEventSourceMapping", "UnsupportedMappingError"]

# Enough for every concurrent batch of the shards that fit on one machine; further batches wait.
MAX_CONCURRENT_CALLS = 32
DISABLED = "Disabled"


class LocalEventSourceMapping:
    """Runs one deployed mapping, between `start` and `stop` or for as long as a ``with`` runs.

    Start it before anything is written to the stream: the emulator's poller may be in the middle of
    a pass when it is paused, and finishes it (at most one batch of each shard, delivered twice
    then, which a consumer of a stream has to bear anyway).
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
        """Choose a mapping; nothing is called yet.

        Args:
            emulator: where it is deployed.
            function_name: its function, which must have one Kinesis mapping only; or
            mapping_uuid: the mapping itself.
            template_only: settings that the emulator's Lambda API does not return
                (`mapping_configuration.TEMPLATE_ONLY_PROPERTIES`). Default: from the stack that made the mapping.
            checkpoints: where another run left off (`checkpoints`). Default: as StartingPosition says.
            allow_disabled: run a mapping that is disabled, such as one that another run has paused.
                AWS would not poll it.
            resume_emulator: let the emulator's poller go on at the end. It then begins where it was
                paused and delivers everything again.
            backoff: the pauses between attempts.
            intervals: how often the stream is read and metrics are published.
            clock: seconds since the epoch.
        """
        if (function_name is None) == (mapping_uuid is None):
            raise ValueError("give either function_name or mapping_uuid")
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
        """The settings of the mapping; known after `start`."""
        assert self._configuration is not None, "not started"
        return self._configuration

    @property
    def totals(self) -> Mapping[str, float]:
        """The sum of each metric since `start`, such as ``totals["InvokedEventCount"]``."""
        return {} if self._metrics is None else self._metrics.totals

    @property
    def undelivered(self) -> list[Failure]:
        """Discarded records whose failure record reached nobody: on AWS these are lost."""
        return [] if self._loop is None else list(self._loop.undelivered)

    @property
    def problems(self) -> list[str]:
        """The last calls that failed and were or will be tried again."""
        return [] if self._loop is None else list(self._loop.problems)

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Of each shard the sequence number up to which all records are done with."""
        if self._loop is not None:
            return self._loop.checkpoints
        return dict(self._first_checkpoints if self._first_checkpoints is not None else {})

    def start(self) -> None:
        """Read the settings, pause the emulator's poller, and begin."""
        if self._thread is not None:
            raise RuntimeError("it is running already")
        configuration = self._read_configuration()
        first = self._loop is None
        if first and configuration.state == DISABLED and not self._allow_disabled:
            raise UnsupportedMappingError(
                f"mapping {configuration.uuid} is disabled: AWS would not poll it"
            )
        self._pause_emulator(configuration.uuid)
        self._configuration = configuration
        self._loop = self._make_loop(configuration)
        self._stopping.clear()
        self._error = None
        self._thread = threading.Thread(target=self._work, name="event-source-mapping", daemon=True)
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """End it, after the calls that are under way if `wait`. `start` goes on from there."""
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
        """Raise when it has ended because of an error."""
        if self._error is not None:
            raise RuntimeError("the event source mapping has failed") from self._error

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until every record that is in the stream now is done with; False: it took too long."""
        assert self._loop is not None, "not started"
        asked = self._clock()
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            since = self._loop.idle_since
            if since is not None and since > asked:
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
        # Interrupted: do not wait for an invocation that nobody is going to look at.
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
            raise UnsupportedMappingError(f"mapping {uuid} did not pause: it is {state}")

    def _make_loop(self, configuration: Configuration) -> MappingLoop:
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
                self._lambda,
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
            # Iterators are made anew for each read, and LATEST would skip what came in between.
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
