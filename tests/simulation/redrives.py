"""The operator of a simulation: redrives that are killed and started again, and replays by asynchronous invocations."""

from __future__ import annotations

import io
import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.cli.aws_errors import RetryPolicy
from iot_constructs.cli.dead_letter_messages import TOPIC_LEVEL, Kind
from iot_constructs.cli.dead_letter_queue import DeadLetterQueue
from iot_constructs.cli.destinations import (
    Destination,
    FunctionDestination,
    RateLimit,
    StreamDestination,
)
from iot_constructs.cli.progress import Progress
from iot_constructs.cli.recovery import Recovery
from iot_constructs.cli.redrive import Redrive
from iot_constructs.cli.report import Report
from iot_constructs.cli.stream_records import StreamReader
from iot_constructs.local.mapping_records import EventTemplate
from iot_constructs.testing.processes import Process, ProcessEnded

if TYPE_CHECKING:
    from tests.simulation.pipeline import Pipeline

_MAX_RUNS = 20
# What an asynchronous invocation takes, with room for the record that its destination gets.
_MAX_REPLAY_BYTES = 100_000
_REPLAYED_RECORDS = 8


class Operator:
    """Runs the commands of a pipeline's operator."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._started = self._redrives = self._running = 0
        self.last_started = 0.0
        """When the last redrive started."""

    def redrive(
        self, kinds: Collection[Kind], *, to_function: bool = False, stream: str | None = None
    ) -> None:
        """Redrive until a run is not killed. Without a stream, records go to the one that they are from."""
        pipeline = self._pipeline
        pipeline.count(f"redrive to the {'function' if to_function else 'stream'}")
        if self._running:
            pipeline.count("two redrives at once")
        for _ in range(_MAX_RUNS):
            process = self._process("redrive")
            self.last_started = pipeline.scheduler.now
            self._running += 1
            self._redrives += 1
            try:
                self._run(process, kinds, to_function, stream)
            except ProcessEnded:
                pipeline.count("killed redrive")
                pipeline.scheduler.sleep(pipeline.random.choice((1.0, 400.0)))
                continue
            except (ClientError, BotoCoreError) as error:
                pipeline.world.log(process.name, f"failed: {type(error).__name__}")
            finally:
                self._running -= 1
            return

    def _run(
        self, process: Process, kinds: Collection[Kind], to_function: bool, stream: str | None
    ) -> None:
        pipeline = self._pipeline
        waiting = pipeline.invariants.waiting(kinds)
        redrives, alone = self._redrives, self._running == 1
        clock = pipeline.scheduler.time
        retries = RetryPolicy(process.sleep, pipeline.random.random)
        queue = DeadLetterQueue(
            process.client("sqs"), pipeline.sqs.url, retry_policy=retries, clock=clock
        )
        settings: dict[str, Any] = {
            "rate": RateLimit(None, clock=clock, sleep=process.sleep),
            "retry_policy": retries,
            "keep_alive": queue.keep_alive,
        }
        kinesis = process.client("kinesis")
        destination: Destination
        if to_function:
            function = pipeline.function.name
            destination = FunctionDestination(process.client("lambda"), function, **settings)
        else:
            destination = StreamDestination(lambda region: kinesis, stream, **settings)
        report = Report(executed=True, destination=destination.name)
        Redrive(
            queue,
            Recovery(
                StreamReader(lambda region: kinesis, retries, queue.keep_alive),
                process.client("s3"),
            ),
            destination,
            report,
            kinds=kinds,
            limit=None,
            topic_level=TOPIC_LEVEL,
            progress=Progress(io.StringIO(), 0),
        ).run()
        pipeline.world.log(process.name, f"{len(report.rows)} messages, {len(report.kept)} kept")
        alone = alone and redrives == self._redrives
        pipeline.invariants.check_redrive(process, report, waiting if alone else [])

    def replay(self) -> None:
        """Invoke the function asynchronously with some records of a shard, as an operator does by hand."""
        pipeline = self._pipeline
        shards = [shard for shard in pipeline.kinesis.shards.values() if shard.records]
        if not shards:
            return
        shard = pipeline.random.choice(shards)
        start = int(pipeline.random.random() * len(shard.records))
        process = self._process("replay")
        kinesis, stream = process.client("kinesis"), pipeline.kinesis.arn
        try:
            iterator = kinesis.get_shard_iterator(
                StreamARN=stream,
                ShardId=shard.id,
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                StartingSequenceNumber=str(shard.records[start].sequence_number),
            )["ShardIterator"]
            read = kinesis.get_records(
                StreamARN=stream, ShardIterator=iterator, Limit=_REPLAYED_RECORDS
            )["Records"]
            template = EventTemplate(stream, stream.split(":")[3], "none")
            events = [template.record(shard.id, record).event for record in read]
            payload = json.dumps({"Records": events, "raiseOnFailure": True}).encode()
            if events and len(payload) <= _MAX_REPLAY_BYTES:
                pipeline.count("asynchronous invocation")
                process.client("lambda").invoke(
                    FunctionName=pipeline.function.name, InvocationType="Event", Payload=payload
                )
        except (ClientError, BotoCoreError, ProcessEnded) as error:
            pipeline.world.log(process.name, f"failed: {type(error).__name__}")

    def _process(self, command: str) -> Process:
        self._started += 1
        return Process(self._pipeline.world, "operator", f"{command} {self._started}")
