"""One simulation: the real processor, the real redrive and the mapping's decisions on in-memory services."""

from __future__ import annotations

import base64
import io
import json
import logging
import random
import tracemalloc
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.cli.aws_errors import RetryPolicy as OperatorRetryPolicy
from iot_constructs.cli.dead_letter_messages import TOPIC_LEVEL
from iot_constructs.cli.dead_letter_messages import Kind as LetterKind
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
from iot_constructs.local.mapping_configuration import LATEST, TRIM_HORIZON
from iot_constructs.processor.batches import Processor
from iot_constructs.processor.handler import process_event
from iot_constructs.processor.retries import RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.testing.dynamodb import DynamoDB, Item
from iot_constructs.testing.event_source_mapping import EventSourceMapping
from iot_constructs.testing.faults import FaultPlan, Rate
from iot_constructs.testing.history import History
from iot_constructs.testing.kinesis import Kinesis
from iot_constructs.testing.lambda_functions import Context, Environment, Function, Handler
from iot_constructs.testing.processes import Process, ProcessEnded, World
from iot_constructs.testing.s3 import S3
from iot_constructs.testing.scheduler import Scheduler, executor
from iot_constructs.testing.sns_sqs import SNS, SQS
from tools.simulate.configuration import BATCH_SIZES, Configuration, configuration
from tools.simulate.faults import RATES
from tools.simulate.invariants import Invariants
from tools.simulate.workload import Sent, Workload

ACCOUNT, REGION = "123456789012", "eu-central-1"
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/iot-sensor-data-stream-dev"
FUNCTION = "iot-stream-processor-dev"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:iot-pipeline-dlq-dev"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/iot-pipeline-dlq-dev"
BUCKET = "iot-failed-batches-dev"
SERIES, STATE = "iot-sensor-metrics-dev", "iot-device-state-dev"
SETTINGS = Settings(
    dlq_topic_arn=TOPIC_ARN,
    time_series_table=SERIES,
    device_state_table=STATE,
    retention_seconds=365 * 86_400,
)
RETENTION_SECONDS = 7 * 86_400.0
STATE_WRITE_THREADS = 8
# What a redrive cannot change: the processor rejects these records again.
REJECTED = LetterKind.REJECTED_RECORD
REDRIVEN = tuple(kind for kind in LetterKind if kind is not REJECTED)
# Virtual time after which a run that does not come to rest is a violation.
SETTLE_SECONDS = 3 * 86_400.0

DUPLICATES = 0.01
"""The share of messages that SNS or SQS deliver twice."""


@dataclass(frozen=True)
class Options:
    """One run. The defaults are everything that the seed has; a shortened history leaves some of it out."""

    seed: int
    records: int = 500
    skipped_records: frozenset[int] = frozenset()
    disabled_faults: frozenset[str] = frozenset()
    rates: Sequence[Rate] = RATES
    configuration: Configuration | None = None


@dataclass
class Result:
    """What a run found."""

    options: Options
    configuration: Configuration
    violations: list[str]
    history: History
    faults: Mapping[tuple[str, str], int]
    fault_ids: Sequence[str]
    events: Mapping[str, int]
    accepted: int
    stored: int
    dead_lettered: int
    virtual_seconds: float
    invocations: int


class Pipeline:
    """A pipeline with its devices and its operator."""

    def __init__(self, options: Options) -> None:
        self.options = options
        seed = options.seed
        self.configuration = (
            options.configuration if options.configuration is not None else configuration(seed)
        )
        of = self.configuration
        self.scheduler = Scheduler(seed)
        self.faults = FaultPlan(seed, options.rates, options.disabled_faults)
        self.history = History()
        self.world = World(self.scheduler, self.faults, self.history)
        self.random = random.Random(f"events {seed}")
        self.events: dict[str, int] = {}
        self.workload = Workload(seed, options.records, of)
        self.sent = [
            each for each in self.workload.sent if each.number not in options.skipped_records
        ]
        self.kinesis = Kinesis(
            self.scheduler, STREAM_ARN, shards=of.shards, retention_seconds=RETENTION_SECONDS
        )
        self.dynamodb = DynamoDB()
        self.dynamodb.create_table(SERIES, "deviceId", "timestamp")
        self.dynamodb.create_table(STATE, "deviceId")
        self.series = self.dynamodb.tables[SERIES].items
        self.states = self.dynamodb.tables[STATE].items
        self.sqs = SQS(self.scheduler, QUEUE_URL, duplicates=DUPLICATES)
        self.sns = SNS(self.scheduler, TOPIC_ARN, self.sqs, duplicates=DUPLICATES)
        self.s3 = S3(BUCKET, self.sqs.send)
        self.function = Function(
            self.world,
            FUNCTION,
            self._create_handler,
            timeout_seconds=of.timeout_seconds,
            # One at a time where the memory of an invocation is measured.
            concurrency=1 if of.heavy else of.concurrency,
        )
        self.world.services = {
            "kinesis": self.kinesis,
            "dynamodb": self.dynamodb,
            "sqs": self.sqs,
            "sns": self.sns,
            "s3": self.s3,
            "lambda": self.function,
        }
        self.mapping = EventSourceMapping(
            self.world,
            stream_arn=STREAM_ARN,
            function_arn=FUNCTION_ARN,
            rules=of.rules,
            destination_arn=f"arn:aws:s3:::{BUCKET}" if of.to_bucket else TOPIC_ARN,
            starting_position=LATEST if of.use_latest else TRIM_HORIZON,
        )
        self.poison = self._choose_poison()
        self.hot_device = "device-0" if of.hot_device else None
        self.refused = self.workload.refused
        self.dynamodb.throttles = self._throttles
        self.dynamodb.refuses = self._refuses
        self.invariants = Invariants(self)
        self._operators = 0

    def run(self) -> Result:
        """Run until every record is stored or dead-lettered, and check the invariants."""
        metrics = io.StringIO()
        logging.disable(logging.CRITICAL)
        if self.configuration.heavy:
            tracemalloc.start()
            self.dynamodb.keep = _without_samples
        try:
            with redirect_stdout(metrics):
                self.scheduler.run(self._main)
        finally:
            logging.disable(logging.NOTSET)
            tracemalloc.stop()
        self.invariants.check_end(metrics.getvalue())
        return Result(
            self.options,
            self.configuration,
            self.invariants.violations,
            self.history,
            self.faults.injected,
            self.faults.injected_ids,
            self.events,
            accepted=len(self.kinesis.accepted),
            stored=len(self.series),
            dead_lettered=len(self.sqs.messages),
            virtual_seconds=self.scheduler.now - self.history_start,
            invocations=self.function.invocations,
        )

    # --- what happens in a run

    def _main(self) -> None:
        self.history_start = self.scheduler.now
        of = self.configuration
        self.mapping.start()
        self.scheduler.sleep(0.5)
        producer = self.scheduler.spawn("producer", self._send)
        happenings = [
            (of.reshards, self._reshard),
            (of.restarts, self._restart),
            (of.updates, self._update),
            (of.outages, self._outage),
            (of.redrives, self._redrive_while_data_flows),
        ]
        tasks = [
            self.scheduler.spawn(action.__name__, partial(self._at_some_time, action))
            for times, action in happenings
            for _ in range(times)
        ]
        self.scheduler.wait_for([producer, *tasks])
        self.faults.active = False
        self.poison = self.hot_device = None
        self.refused = set()
        self._log("operator", "the faults end")
        self._settle()

    def _at_some_time(self, action: Callable[[], None]) -> None:
        self.scheduler.sleep(self.random.random() * self.configuration.minutes * 60)
        self._count(action.__name__.lstrip("_"))
        action()

    def _send(self) -> None:
        process = Process(self.world, "producer", "producer")
        client = process.client("kinesis")
        pending = list(self.sent)
        pause = self.configuration.minutes * 60 / max(1, len(pending))
        position = 0
        while position < len(pending):
            group = pending[position : position + 1 + int(self.random.random() * 20)]
            position += len(group)
            process.sleep(2 * pause * len(group) * self.random.random())
            self._put(client, process, group)

    def _put(self, client: Any, process: Process, group: Sequence[Sent]) -> None:
        for each in group:
            if each.number in self.workload.rule_errors:
                self._count("rule error")
                self.sqs.send(_rule_error(each))
        group = [each for each in group if each.number not in self.workload.rule_errors]
        while group:
            entries = [{"Data": each.payload, "PartitionKey": each.device_id} for each in group]
            try:
                response = client.put_records(StreamARN=STREAM_ARN, Records=entries)
            except (ClientError, BotoCoreError):
                process.sleep(1.0)
                continue
            results = zip(group, response["Records"], strict=True)
            group = [each for each, result in results if "ErrorCode" in result]

    def _reshard(self) -> None:
        shards = self.kinesis.open_shards()
        if len(shards) > 1 and self.random.random() < 0.5:
            index = int(self.random.random() * (len(shards) - 1))
            self.kinesis.merge_shards(shards[index].id, shards[index + 1].id)
            self._log("operator", f"merge {shards[index].id} and {shards[index + 1].id}")
        else:
            shard = shards[int(self.random.random() * len(shards))]
            self.kinesis.split_shard(shard.id)
            self._log("operator", f"split {shard.id}")

    def _restart(self) -> None:
        self.mapping.stop()
        self.scheduler.sleep(self.random.choice((0.0, 30.0)))
        self.mapping.rules = replace(self.mapping.rules, batch_size=self.random.choice(BATCH_SIZES))
        self.mapping.start()
        self._log("mapping", "started")

    def _update(self) -> None:
        self.function.update()
        self.function.timeout_seconds = self.random.choice((3.0, 10.0, 60.0))
        self._log("operator", f"timeout {self.function.timeout_seconds:.0f} s")

    def _outage(self) -> None:
        operations, code = self.random.choice(
            (
                (("function.batch_write_item", "function.put_item"), "AccessDeniedException"),
                (("function.batch_execute_statement",), "InternalServerError"),
                (("function.publish_batch",), "AuthorizationError"),
                (("mapping.invoke",), "TooManyRequestsException"),
            )
        )
        seconds = self.random.choice((10.0, 120.0, 1200.0))
        self._log("outage", f"{operations[0]} fails for {seconds:.0f} s")
        self.faults.outages.update(dict.fromkeys(operations, code))
        self.invariants.outages.append((self.scheduler.now, self.scheduler.now + seconds))
        self.scheduler.sleep(seconds)
        for operation in operations:
            self.faults.outages.pop(operation, None)

    def _redrive_while_data_flows(self) -> None:
        kinds = self.random.choice((tuple(LetterKind), REDRIVEN))
        stream = self.random.choice((None, STREAM_ARN, STREAM_ARN.rpartition("/")[2]))
        self._redrive(kinds, stream=stream, to_function=self.random.random() < 0.3)

    def _redrive(
        self,
        kinds: Collection[LetterKind],
        *,
        stream: str | None = STREAM_ARN,
        to_function: bool = False,
    ) -> None:
        """Redrive until a run is not killed."""
        while True:
            self._operators += 1
            process = Process(self.world, "operator", f"redrive {self._operators}")
            try:
                self._run_redrive(process, kinds, stream, to_function)
            except ProcessEnded:
                self._count("killed redrive")
                self.scheduler.sleep(self.random.choice((1.0, 400.0)))
                continue
            except (ClientError, BotoCoreError) as error:
                self._log(process.name, f"failed: {type(error).__name__}")
            return

    def _run_redrive(
        self,
        process: Process,
        kinds: Collection[LetterKind],
        stream: str | None,
        to_function: bool,
    ) -> None:
        retries = OperatorRetryPolicy(process.sleep, self.random.random)
        queue = DeadLetterQueue(
            process.client("sqs"), QUEUE_URL, retry_policy=retries, clock=self.scheduler.time
        )
        settings: dict[str, Any] = {
            "rate": RateLimit(None, clock=self.scheduler.time, sleep=process.sleep),
            "retry_policy": retries,
            "keep_alive": queue.keep_alive,
        }
        kinesis = process.client("kinesis")
        destination: Destination
        if to_function:
            destination = FunctionDestination(process.client("lambda"), FUNCTION, **settings)
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
        self._count("redrive to the function" if to_function else "redrive to the stream")
        self._log(process.name, f"{len(report.rows)} messages, {len(report.kept)} kept")

    def _settle(self) -> None:
        """Wait until all records are processed, and redrive what can be redriven."""
        limit = self.scheduler.now + SETTLE_SECONDS
        redriven = False
        while self.scheduler.now < limit:
            self._wait_until_idle(limit)
            if self.configuration.expires and not redriven:
                self.mapping.stop()
                self.scheduler.sleep(RETENTION_SECONDS)
                self.mapping.start()
                limit += RETENTION_SECONDS
            waiting = self.invariants.redrivable()
            if not waiting or (self.configuration.expires and redriven):
                return
            # A killed redrive's messages become visible again later.
            self._redrive(tuple(LetterKind) if self.workload.refused else REDRIVEN)
            redriven = True
            self.scheduler.sleep(1.0)
        self.invariants.violated("progress", "the run does not come to rest")

    def _wait_until_idle(self, limit: float) -> None:
        """Wait until every record that is on the stream now is processed."""
        called = self.scheduler.now
        while self.scheduler.now < limit:
            idle = self.mapping.idle_since
            if not self.function.running and idle is not None and idle > called:
                return
            self.scheduler.sleep(5.0)

    # --- parts

    def _create_handler(self, environment: Environment) -> Handler:
        processor = Processor(
            environment.client("dynamodb"),
            environment.client("sns"),
            SETTINGS,
            RetryPolicy(environment.sleep, self.scheduler.random.random),
            executor=partial(executor, self.scheduler, STATE_WRITE_THREADS),
        )

        def handler(event: dict[str, Any], context: Context) -> Any:
            self._die_of_poison(event, environment)
            return process_event(processor, event, context)

        return handler

    def _throttles(self, table: str, item: Item) -> bool:
        return str(item["deviceId"]["S"]) == self.hot_device

    def _refuses(self, table: str, item: Item) -> bool:
        return bool(self.refused) and item["reading"]["M"]["id"]["S"] in self.refused

    def _choose_poison(self) -> Sent | None:
        valid = [each for each in self.sent if each.readings]
        return self.random.choice(valid) if self.configuration.poison and valid else None

    def _die_of_poison(self, event: Mapping[str, Any], environment: Environment) -> None:
        """End the process as a record does that needs more memory than the function has."""
        if self.poison is None:
            return
        for record in event["Records"]:
            if self.invariants.content(record) == self.poison.content:
                assert environment.invocation is not None
                self._count("killed by a record")
                environment.invocation.end("killed by a record")

    def _log(self, actor: str, text: str) -> None:
        self.history.add(self.scheduler.now, actor, text)

    def _count(self, event: str) -> None:
        self.events[event] = self.events.get(event, 0) + 1


def _without_samples(item: Item) -> Item:
    members = {name: value for name, value in item["reading"]["M"].items() if name != "samples"}
    return {**item, "reading": {"M": members}}


def _rule_error(sent: Sent) -> str:
    """Return the message of an IoT rule's error action (iot/latest/developerguide/rule-error-handling.html)."""
    failure = {"failedAction": "KinesisAction", "failedResource": STREAM_ARN, "errorMessage": "no"}
    document = {
        "ruleName": "iot_telemetry_dev",
        "topic": f"device/{sent.device_id}/telemetry",
        "clientId": sent.device_id,
        "base64OriginalPayload": base64.b64encode(sent.payload).decode(),
        "failures": [failure],
    }
    return json.dumps(document)


def simulate(options: Options) -> Result:
    """Run one seed."""
    return Pipeline(options).run()
