"""One simulation: the real processor, the real redrive and the mapping's decisions on in-memory services."""

from __future__ import annotations

import io
import json
import logging
import random
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.cli.dead_letter_messages import Kind as LetterKind
from iot_constructs.local.mapping_configuration import LATEST, TRIM_HORIZON
from iot_constructs.processor.batches import Processor
from iot_constructs.processor.handler import process_event
from iot_constructs.processor.retries import RetryPolicy
from iot_constructs.processor.settings import Settings
from iot_constructs.processor.time_series import WRITE_THREADS
from iot_constructs.testing.dynamodb import DynamoDB, Item, Key
from iot_constructs.testing.event_source_mapping import EventSourceMapping
from iot_constructs.testing.faults import FaultPlan, Rate
from iot_constructs.testing.history import History
from iot_constructs.testing.kinesis import Kinesis
from iot_constructs.testing.lambda_functions import Context, Environment, Function, Handler
from iot_constructs.testing.processes import Process, World
from iot_constructs.testing.s3 import S3
from iot_constructs.testing.scheduler import Scheduler, executor
from iot_constructs.testing.sns_sqs import SNS, SQS
from tests.simulation import transform
from tests.simulation.configuration import Configuration, configuration, rules
from tests.simulation.faults import EMPTY_READS, RATES
from tests.simulation.invariants import Invariants
from tests.simulation.redrives import Operator
from tests.simulation.workload import Sent, Trouble, device_of, records

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
# A redrive cannot change the others: the processor rejects these records again.
REDRIVEN = tuple(kind for kind in LetterKind if kind is not LetterKind.REJECTED_RECORD)
# Virtual time after which a run that does not come to rest is a violation.
SETTLE_SECONDS = 6 * 3600.0

DUPLICATES = 0.01
"""The share of messages that SNS or SQS deliver twice."""
# AWS IoT Core accepts messages of up to 128 KB (general/latest/gr/iot-core.html).
_MAX_MQTT_BYTES = 128 * 1024
_RULE_ERRORS = 0.03
# In half of the timeout, a record takes five calls, one after another.
_CALLS_PER_TIMEOUT = 12


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

    @property
    def sent(self) -> int:
        """How many records the devices send."""
        return self.options.records - len(self.options.skipped_records)


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
        self.metrics = io.StringIO()
        """Standard output of the function, where the processor prints its metrics."""
        self.sent = [
            each
            for each in records(seed, options.records, of.devices, heavy=of.heavy)
            if each.number not in options.skipped_records
        ]
        self.kinesis = Kinesis(
            self.scheduler, STREAM_ARN, shards=of.shards, retention_seconds=RETENTION_SECONDS
        )
        self.kinesis.reads_nothing = lambda: self.scheduler.random.random() < EMPTY_READS
        self.dynamodb = DynamoDB()
        self.series = self.dynamodb.create_table(SERIES, "deviceId", "timestamp").items
        self.states: dict[Key, Item] = self.dynamodb.create_table(STATE, "deviceId").items
        self.dynamodb.refuses = self._refuses
        self.dynamodb.throttles = self._throttles
        self.sqs = SQS(self.scheduler, QUEUE_URL, duplicates=DUPLICATES)
        self.sns = SNS(self.scheduler, TOPIC_ARN, self.sqs, duplicates=DUPLICATES)
        self.s3 = S3(BUCKET, self.sqs.send)
        self.function = Function(
            self.world,
            FUNCTION,
            self._create_handler,
            timeout_seconds=of.timeout_seconds,
            concurrency=of.concurrency,
        )
        self.world.services = {
            "kinesis": self.kinesis,
            "dynamodb": self.dynamodb,
            "sqs": self.sqs,
            "sns": self.sns,
            "s3": self.s3,
            "lambda": self.function,
        }
        if of.slow:
            self.world.latencies["function"] = of.timeout_seconds / _CALLS_PER_TIMEOUT
        self.mapping = EventSourceMapping(
            self.world,
            stream_arn=STREAM_ARN,
            function_arn=FUNCTION_ARN,
            rules=of.rules,
            destination_arn=f"arn:aws:s3:::{BUCKET}" if of.to_bucket else TOPIC_ARN,
            starting_position=LATEST if of.use_latest else TRIM_HORIZON,
        )
        self.function.on_async_failure = lambda record: self.sns.publish(
            TopicArn=TOPIC_ARN, Message=json.dumps(record)
        )
        self.poison = self._choose_poison()
        devices = sorted({each.device_id for each in self.sent})
        self.hot_device = self.random.choice(devices) if of.hot_device and devices else None
        self.refusing = of.refusing
        """Which tables refuse some items at the moment."""
        self.transform_has_bug = of.transform
        self.operator = Operator(self)
        self.invariants = Invariants(self)

    def run(self) -> Result:
        """Run until every record is stored or dead-lettered, and check the invariants."""
        logging.disable(logging.CRITICAL)
        try:
            with redirect_stdout(self.metrics), transform.deployed(lambda: self.transform_has_bug):
                self.scheduler.run(self._main)
        finally:
            logging.disable(logging.NOTSET)
        self.invariants.check_end()
        self._count_events()
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

    def is_troubled(self, sent: Sent) -> bool:
        """Whether the function cannot process a record at the moment, although its calls have no faults."""
        return (
            (self.poison is not None and sent.content == self.poison.content)
            or (self.transform_has_bug and sent.trouble is Trouble.TRANSFORM)
            or (self.hot_device is not None and self.hot_device in map(device_of, sent.readings))
        )

    def count(self, event: str) -> None:
        """Count an event of the run."""
        self.events[event] = self.events.get(event, 0) + 1

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
            (of.reconfigurations, self._reconfigure),
            (of.replays, self.operator.replay),
        ]
        tasks = [
            self.scheduler.spawn(action.__name__, partial(self._at_some_time, action))
            for times, action in happenings
            for _ in range(times)
        ]
        self.scheduler.wait_for([producer, *tasks])
        self.faults.active = False
        self.poison = self.hot_device = None
        self.refusing, self.transform_has_bug = "", False
        self.function.update()
        self._log("operator", "the faults end")
        self._settle()

    def _at_some_time(self, action: Callable[[], None]) -> None:
        self.scheduler.sleep(self.random.random() * self.configuration.minutes * 60)
        self.count(action.__name__.lstrip("_"))
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
            if self.configuration.rule_errors and self.random.random() < _RULE_ERRORS:
                group = [each for each in group if not self._publish_rule_error(each)]
            self._put(client, process, group)

    def _put(self, client: Any, process: Process, group: Sequence[Sent]) -> None:
        while group:
            entries = [{"Data": each.payload, "PartitionKey": each.device_id} for each in group]
            try:
                response = client.put_records(StreamARN=STREAM_ARN, Records=entries)
            except (ClientError, BotoCoreError):
                process.sleep(1.0)
                continue
            results = zip(group, response["Records"], strict=True)
            group = [each for each, result in results if "ErrorCode" in result]

    def _publish_rule_error(self, sent: Sent) -> bool:
        """Do what the error action does if IoT cannot put a message on the stream."""
        if sent.aggregate or len(sent.payload) > _MAX_MQTT_BYTES:
            return False  # not from the rule
        self.count("rule error")
        prefix = self.random.choice(("", "$aws/rules/telemetry_dev/"))
        document = {
            "ruleName": "telemetry_dev",
            "topic": f"{prefix}device/{sent.device_id}/telemetry",
            "base64OriginalPayload": b64encode(sent.payload).decode(),
            "failures": [{"failedAction": "KinesisAction", "errorMessage": "injected"}],
        }
        self.sns.publish(TopicArn=TOPIC_ARN, Message=json.dumps(document))
        return True

    def _reshard(self) -> None:
        shards = self.kinesis.open_shards()
        if self.mapping.idle_since is None:
            self.count("reshard while records wait")
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
        self.mapping.start()

    def _reconfigure(self) -> None:
        self.mapping.stop()
        self.mapping.update(rules(self.random))
        self.mapping.start()

    def _update(self) -> None:
        self.function.update()
        if not self.configuration.slow:
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
        seconds = self.random.choice((10.0, 60.0, 300.0))
        self._log("outage", f"{operations[0]} fails for {seconds:.0f} s")
        self.faults.outages.update(dict.fromkeys(operations, code))
        self.scheduler.sleep(seconds)
        for operation in operations:
            self.faults.outages.pop(operation, None)

    def _redrive_while_data_flows(self) -> None:
        kinds = self.random.choice((tuple(LetterKind), REDRIVEN))
        to_function = self.random.random() < 0.3
        stream = self.random.choice((None, self.kinesis.name))
        self.operator.redrive(kinds, to_function=to_function, stream=stream)

    def _settle(self) -> None:
        """Wait until all records are processed and redriven."""
        limit = self.scheduler.now + SETTLE_SECONDS
        expires = self.configuration.expires
        while self.scheduler.now < limit:
            if self._is_busy():
                self.scheduler.sleep(5.0)
                continue
            if expires:
                expires = False
                limit += self._expire()
                continue
            redrivable = self.invariants.redrivable()
            if not redrivable:
                return
            if redrivable.keys().isdisjoint(self.sqs.visible()):
                # A killed redrive's messages become visible again after five minutes.
                self.scheduler.sleep(5.0)
                continue
            rejected = LetterKind.REJECTED_RECORD in redrivable.values()
            kinds = tuple(LetterKind) if rejected else REDRIVEN
            self.operator.redrive(kinds, stream=self.kinesis.name)
        self.invariants.violated("progress", "the run does not come to rest")

    def _is_busy(self) -> bool:
        last = self.kinesis.accepted[-1].arrival if self.kinesis.accepted else 0.0
        idle = self.mapping.idle_since
        working = self.function.running or self.function.pending_events
        return bool(working) or idle is None or idle <= max(last, self.operator.last_started)

    def _expire(self) -> float:
        """Let all records of the stream expire before the first redrive, and one redrive report them."""
        seconds = RETENTION_SECONDS + 60.0
        self.mapping.stop()
        self.scheduler.sleep(seconds)
        self.mapping.start()
        self.count("expired stream")
        self.operator.redrive(tuple(LetterKind), stream=self.kinesis.name)
        return seconds

    # --- parts

    def _create_handler(self, environment: Environment) -> Handler:
        processor = Processor(
            environment.client("dynamodb"),
            environment.client("sns"),
            replace(
                SETTINGS, device_state_interval_seconds=self.configuration.state_interval or None
            ),
            RetryPolicy(environment.sleep, self.scheduler.random.random),
            executor=partial(executor, self.scheduler, WRITE_THREADS),
        )

        def handler(event: dict[str, Any], context: Context) -> Any:
            self._die_of_poison(event, environment)
            return process_event(processor, event, context)

        return handler

    def _choose_poison(self) -> Sent | None:
        valid = [each for each in self.sent if each.readings]
        return self.random.choice(valid) if self.configuration.poison and valid else None

    def _die_of_poison(self, event: Mapping[str, Any], environment: Environment) -> None:
        """End the process as a record does that needs more memory than the function has."""
        if self.poison is None:
            return
        for record in event["Records"]:
            if self.invariants.sent_of(record).content == self.poison.content:
                assert environment.invocation is not None
                self.count("killed by a record")
                environment.invocation.end("killed by a record")

    def _refuses(self, table: str, item: Item) -> bool:
        refusing = {"": (), "series": (SERIES,), "state": (STATE,), "both": (SERIES, STATE)}
        if table not in refusing[self.refusing] or Trouble.REFUSED not in item["reading"]["M"]:
            return False
        self.count("refused item")
        return True

    def _throttles(self, table: str, item: Item) -> bool:
        if self.hot_device is None or item["deviceId"]["S"] != self.hot_device:
            return False
        self.count("throttled partition")
        return True

    def _count_events(self) -> None:
        counts = {
            "cold start": self.function.cold_starts,
            "timeout": self.function.timeouts,
            "crash": self.function.crashes,
            "message delivered twice": self.sns.delivered_twice + self.sqs.delivered_twice,
            "start at LATEST": int(self.configuration.use_latest),
            "start at TRIM_HORIZON": int(not self.configuration.use_latest),
            "concurrency limit 1": int(self.configuration.concurrency == 1),
            "bug of the user's step": int(self.configuration.transform),
            "records that decompress to 10 MiB": int(self.configuration.heavy),
            "slow calls": int(self.configuration.slow),
            "state with an interval": int(self.configuration.state_interval > 0),
        }
        for event, number in counts.items():
            if number:
                self.events[event] = self.events.get(event, 0) + number

    def _log(self, actor: str, text: str) -> None:
        self.history.add(self.scheduler.now, actor, text)


def simulate(options: Options) -> Result:
    """Run one seed."""
    return Pipeline(options).run()
