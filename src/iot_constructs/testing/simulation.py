"""Simulates a Kinesis stream and its event source mapping around a Lambda handler, in virtual time.

`simulate` sends records to a stream, delivers them as Lambda does, lets calls fail, and reports which records were
lost, doubled, or reordered. The same seed is the same history.
"""

from __future__ import annotations

import json
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import time_machine
from botocore import xform_name
from botocore.loaders import create_loader
from botocore.model import ServiceModel

from iot_constructs.local import mapping_loop
from iot_constructs.local.mapping_configuration import TRIM_HORIZON, read_configuration
from iot_constructs.local.mapping_decisions import NotInvoked, Outcome
from iot_constructs.local.mapping_records import Batch
from iot_constructs.testing import effects
from iot_constructs.testing.aws_calls import ACCOUNT, REGION, AwsCalls, runs_as_task
from iot_constructs.testing.aws_operations import BATCHES
from iot_constructs.testing.event_source_mapping import EventSourceMapping
from iot_constructs.testing.faults import FaultPlan, Kind, Rate
from iot_constructs.testing.function_code import FunctionCode, Handler, Modules
from iot_constructs.testing.history import History
from iot_constructs.testing.kinesis import Kinesis
from iot_constructs.testing.lambda_functions import Context, Environment, Function
from iot_constructs.testing.observations import Observations
from iot_constructs.testing.processes import Process, World
from iot_constructs.testing.records import Given, Records, RecordSource
from iot_constructs.testing.report import Report, Run, findings
from iot_constructs.testing.scheduler import START, Scheduler
from iot_constructs.testing.template import CdkTemplate, Deployed, read_template

FUNCTION = "function"
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/stream"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{FUNCTION}"
_DESTINATION_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:failure-destination"

# The records arrive within about this time, during which calls fail.
_SENDING_SECONDS = 60.0
# Then no call fails any more, and every record has to be processed within this time.
_SETTLE_SECONDS = 900.0
_LONGEST_BURST = 25

RATES = (
    Rate("function.*", Kind.ERROR, 0.02),
    Rate("function.*", Kind.NO_RESPONSE, 0.008),
    Rate("function.*", Kind.NO_REQUEST, 0.004),
    Rate("function.*", Kind.SLOW, 0.004),
    Rate("function.*", Kind.CRASH_BEFORE, 0.004),
    Rate("function.*", Kind.CRASH_AFTER, 0.008),
    *(
        Rate(f"function.{xform_name(name.partition('.')[2])}", Kind.PARTIAL, 0.1)
        for name in BATCHES
    ),
    Rate("mapping.invoke", Kind.ERROR, 0.05, ("TooManyRequestsException", "ServiceException")),
    Rate("mapping.invoke", Kind.NO_RESPONSE, 0.1),
)
"""How often which call fails, by default. A call of the function is ``function.`` and the method of boto3's client."""


@dataclass(frozen=True)
class Resources:
    """What the handler writes to, by name."""

    tables: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Name -> partition key, or partition key and sort key. ``timestamp:N`` is a number."""
    queues: Collection[str] = ()
    topics: Collection[str] = ()
    buckets: Collection[str] = ()
    setup: Callable[[boto3.Session], object] | None = None

    def create(self, session: boto3.Session) -> None:
        """Create the resources."""
        for name, key in self.tables.items():
            _create_table(session, name, [key] if isinstance(key, str) else key)
        for name in sorted(self.queues):
            session.client("sqs").create_queue(QueueName=name)
        for name in sorted(self.topics):
            session.client("sns").create_topic(Name=name)
        for name in sorted(self.buckets):
            session.client("s3").create_bucket(Bucket=name)
        if self.setup is not None:
            self.setup(session)


def _create_table(session: boto3.Session, name: str, key: Sequence[str]) -> None:
    attributes = [(each.partition(":")[0], each.partition(":")[2] or "S") for each in key]
    session.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": attribute, "KeyType": kind}
            for (attribute, _), kind in zip(attributes, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": type} for attribute, type in attributes
        ],
        BillingMode="PAY_PER_REQUEST",
    )


@dataclass(frozen=True)
class _Options:
    """What all seeds have in common."""

    code: FunctionCode
    calls: AwsCalls
    records: RecordSource
    resources: Resources
    mapping: Mapping[str, Any]
    timeout: float
    shards: int
    rates: Sequence[Rate]
    targets: Sequence[str]
    stored: Callable[[boto3.Session], Iterable[str]] | None


class LambdaContext(Context):
    """Lambda's context object (lambda/latest/dg/python-context.html)."""

    function_version = "$LATEST"
    invoked_function_arn = FUNCTION_ARN
    memory_limit_in_mb = "128"
    log_group_name = f"/aws/lambda/{FUNCTION}"
    log_stream_name = "2027/01/15/[$LATEST]simulated"
    identity = None
    client_context = None


class _Invocation:
    """The invocations of one environment."""

    def __init__(
        self, simulation: Simulation, environment: Environment, handler: Handler, modules: Modules
    ) -> None:
        self._simulation = simulation
        self._environment = environment
        self._handler = handler
        self._modules = modules

    @property
    def process(self) -> Process:
        """The invocation that runs in the environment."""
        assert self._environment.invocation is not None
        return self._environment.invocation

    def resume(self) -> None:
        """Continue after other tasks ran."""
        self._simulation.active = self
        self._simulation.options.code.activate(self._modules)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        try:
            self.process.sleep(seconds)
        finally:
            self.resume()

    def run(self, event: dict[str, Any], context: Context) -> Any:
        """Call the handler."""
        process, simulation = self.process, self._simulation
        self.resume()
        try:
            response = self._handler(
                event, LambdaContext(FUNCTION, context.aws_request_id, process)
            )
            json.dumps(response)  # Lambda does, and an error is one of the function
        except Exception as error:
            frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
            simulation.error = "".join(traceback.format_exception(type(error), error, frames))
            raise
        finally:
            simulation.active = None
        return response


class _FailureDestination:
    """The topic of the mapping's failure records."""

    def __init__(self, discard: Callable[[Mapping[str, Any]], None]) -> None:
        self._discard = discard

    def publish(self, *, TopicArn: str, Message: str) -> dict[str, Any]:  # noqa: N803
        """Publish."""
        self._discard(json.loads(Message)["KinesisBatchInfo"])
        return {"MessageId": "simulated"}


class Simulation:
    """The simulation of one seed."""

    def __init__(self, options: _Options, seed: int) -> None:
        self.options = options
        self.seed = seed
        self.active: _Invocation | None = None
        self.error = ""
        self.history = History()
        self.scheduler = Scheduler(seed)
        self.faults = FaultPlan(seed, options.rates)
        self.world = World(self.scheduler, self.faults, self.history)
        self.records: Records = options.records.create(random.Random(f"records {seed}"))
        self.observations = Observations(self.records.all, self.history, self.world.log)
        self._numbers: dict[str, int] = {}
        self._discarded: set[int] = set()
        self._function = Function(
            self.world, FUNCTION, self._cold_start, timeout_seconds=options.timeout
        )
        self._function.on_begin = self._receives
        self._function.describe_response = self._describe_response
        self._kinesis = Kinesis(self.scheduler, STREAM_ARN, shards=options.shards)
        self._mapping = self._create_mapping()
        self.world.services = {
            "kinesis": self._kinesis,
            "lambda": self._function,
            "sns": _FailureDestination(self._discard),
        }

    def current(self) -> _Invocation | None:
        """Return the invocation that runs, or None."""
        return self.active

    def run(self, session: boto3.Session) -> Run:
        """Run until every record is processed, or time is up."""
        self.options.resources.create(session)
        self.options.code.load()  # an import error is the caller's, not one of an invocation
        with _virtual_time(self.scheduler, self.current, self.seed):
            self.scheduler.run(self._main)
        self.active = None
        return Run(
            self.seed,
            len(self.records.all),
            self._function.invocations,
            self._function.cold_starts,
            dict(self.faults.injected),
            self.history,
            findings(
                self.seed,
                self.observations,
                stored=self._count_stored(session),
                targets=self.options.targets,
                unfinished=self._unfinished(),
                discarded=self._discarded,
            ),
            self.error,
            _items(session),
        )

    # --- what happens

    def _main(self) -> None:
        self._mapping.start()
        self._send()
        self.faults.active = False
        self.world.log("simulation", "the faults end")
        limit = self.scheduler.now + _SETTLE_SECONDS
        while self.scheduler.now < limit and not self._is_at_rest():
            self.scheduler.sleep(1.0)

    def _send(self) -> None:
        rng = random.Random(f"sending {self.seed}")
        pending = list(self.records.all)
        pause = 2 * _SENDING_SECONDS / max(1.0, len(pending) / _LONGEST_BURST * 2)
        while pending:
            length = rng.randint(1, _LONGEST_BURST)
            burst, pending = pending[:length], pending[length:]
            accepted = self._kinesis.put_records(
                StreamARN=STREAM_ARN,
                Records=[{"Data": each.data, "PartitionKey": each.partition_key} for each in burst],
            )
            for record, result in zip(burst, accepted["Records"], strict=True):
                self._numbers[result["SequenceNumber"]] = record.number
                self.observations.accepted(record.number, result["SequenceNumber"])
            self.scheduler.sleep(pause * rng.random())

    def _is_at_rest(self) -> bool:
        idle = self._mapping.idle_since
        last = self._kinesis.accepted[-1].arrival if self._kinesis.accepted else 0.0
        return not self._function.running and idle is not None and idle > last

    # --- parts

    def _create_mapping(self) -> EventSourceMapping:
        settings = {
            "StartingPosition": TRIM_HORIZON,
            **self.options.mapping,
            "UUID": "simulated",
            "EventSourceArn": STREAM_ARN,
            "FunctionArn": FUNCTION_ARN,
        }
        on_failure = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
        has_destination = bool(on_failure.get("Destination"))
        settings["DestinationConfig"] = {}
        mapping = EventSourceMapping(
            self.world,
            stream_arn=STREAM_ARN,
            function_arn=FUNCTION_ARN,
            rules=read_configuration(settings).rules,
            destination_arn=_DESTINATION_ARN if has_destination else None,
        )
        mapping.on_outcome = self._outcome
        return mapping

    def _outcome(self, batch: Batch, outcome: Outcome) -> None:
        if not isinstance(outcome, NotInvoked):
            return
        numbers = [self._number(each.sequence_number) for each in batch.records]
        self.observations.lines[len(self.history)] = frozenset(numbers)
        cause = "throttled" if outcome.throttled else "no response"
        self.world.log("mapping", f"{cause}: it invokes the function again")

    def _cold_start(self, environment: Environment) -> Callable[[Any, Context], Any]:
        self.active = None  # the calls of a module that is imported take effect at once
        handler, modules = self.options.code.load()
        return _Invocation(self, environment, handler, modules).run

    def _receives(self, process: Process, event: Mapping[str, Any]) -> None:
        numbers = [self._number(each["kinesis"]["sequenceNumber"]) for each in event["Records"]]
        text = self.observations.received(process.name, numbers)
        self._function.describe_event = lambda event, environment: text

    def _describe_response(self, response: Any) -> str:
        failures = response.get("batchItemFailures") if isinstance(response, dict) else None
        if not failures:
            return "returns a success"
        reported = [self._numbers.get(each.get("itemIdentifier")) for each in failures]
        return f"reports as failed: {reported}"

    def _discard(self, info: Mapping[str, Any]) -> None:
        first, last = int(info["startSequenceNumber"]), int(info["endSequenceNumber"])
        numbers = {
            self._number(str(each.sequence_number))
            for each in self._kinesis.shards[info["shardId"]].records
            if first <= each.sequence_number <= last
        }
        self._discarded |= numbers
        self.observations.lines[len(self.history)] = frozenset(numbers)
        self.world.log("mapping", f"sends {len(numbers)} records to the failure destination")

    def _number(self, sequence_number: str) -> int:
        return self._numbers[sequence_number]

    def _unfinished(self) -> set[int]:
        if self._is_at_rest():
            return set()
        checkpoints = self._mapping.checkpoints
        return {
            self._number(str(each.sequence_number))
            for shard in self._kinesis.shards.values()
            for each in shard.records
            if each.sequence_number > int(checkpoints.get(shard.id, "0"))
        }

    def _count_stored(self, session: boto3.Session) -> Mapping[int, int] | None:
        if self.options.stored is None:
            return None
        return Counter(
            self.records.by_id[id]
            for id in self.options.stored(session)
            if id in self.records.by_id
        )


@contextmanager
def _virtual_time(
    scheduler: Scheduler, current: Callable[[], _Invocation | None], seed: int
) -> Iterator[None]:
    """Let the handler see virtual time, and the same random numbers for a seed."""
    sleep = time.sleep

    def pass_time(seconds: float) -> None:
        invocation = current()
        if invocation is None or not runs_as_task():
            sleep(seconds)
        else:
            invocation.sleep(seconds)

    state = random.getstate()
    random.seed(f"handler {seed}")
    try:
        with (
            mock.patch("time.sleep", pass_time),
            time_machine.travel(START, tick=False) as clock,
        ):
            scheduler.on_time = clock.move_to
            yield
    finally:
        random.setstate(state)


def _items(session: boto3.Session) -> dict[str, list[dict[str, Any]]]:
    tables = session.resource("dynamodb").tables.all()
    return {table.name: _scan(table) for table in tables}


def _scan(table: Any) -> list[dict[str, Any]]:
    page = table.scan()
    items = list(page["Items"])
    while "LastEvaluatedKey" in page:
        page = table.scan(ExclusiveStartKey=page["LastEvaluatedKey"])
        items += page["Items"]
    return items


def simulate(
    handler: str | Handler,
    *,
    code: Path | str | None = None,
    environment: Mapping[str, str] | None = None,
    records: int | Iterable[Given] | Callable[[random.Random], Iterable[Given]] = 100,
    devices: int = 5,
    malformed: int = 0,
    record_id: Callable[[bytes], str | None] | None = None,
    seed: int = 0,
    seeds: Iterable[int] | None = None,
    event_source_mapping: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    shards: int = 1,
    template: Mapping[str, Any] | CdkTemplate | Path | str | None = None,
    faults: Collection[Kind | Rate] | None = None,
    tables: Mapping[str, str | Sequence[str]] | None = None,
    queues: Collection[str] = (),
    topics: Collection[str] = (),
    buckets: Collection[str] = (),
    setup: Callable[[boto3.Session], object] | None = None,
    targets: Sequence[str] = (),
    stored: Callable[[boto3.Session], Iterable[str]] | None = None,
) -> Report:
    """Deliver the records of a Kinesis stream to a Lambda handler, with faults, in virtual time.

    Args:
        handler: as in the function's configuration, such as ``app.handler``: it is imported anew in each execution
            environment. Or a callable, whose globals all environments share.
        code: the folder with the handler's modules, as Lambda gets it.
        environment: the function's environment variables.
        records: how many readings in JSON, or the records as (partition key, data), or a function that returns them
            for a `random.Random`. Data is bytes, a string, or a JSON object.
        devices: how many devices send the readings.
        malformed: how many records among the readings are not JSON.
        record_id: returns what is unique in a record's data, or None if the data is not valid and can be dropped. By
            default the member ``id`` of a JSON object.
        seed: selects the records, the order of events, and the faults.
        seeds: simulate each of these, instead of one seed.
        event_source_mapping: the properties of ``AWS::Lambda::EventSourceMapping``, such as
            ``{"BisectBatchOnFunctionError": True}``; otherwise Lambda's defaults.
        timeout: the function's timeout in seconds; by default 3, as of Lambda.
        shards: how many shards the stream has.
        template: a CloudFormation template, `aws_cdk.assertions.Template`, or the path of a JSON file, from which the
            mapping, the timeout, the environment, and the tables, queues, topics, and buckets come. Arguments win.
        faults: the kinds of faults, or rates; all kinds by default, and ``()`` for none.
        tables: DynamoDB tables: name -> partition key, or (partition key, sort key). ``timestamp:N`` is a number.
        queues: names of SQS queues.
        topics: names of SNS topics.
        buckets: names of S3 buckets.
        setup: creates other resources with a boto3 session.
        targets: the tables, queues, topics, streams, and buckets that each record has to reach; by default any one.
        stored: returns the IDs of the stored records in the end, as often as they are stored, for a handler whose
            writes do not contain them.

    Raises:
        ImportError, AttributeError: there is no such handler.
        UnsupportedMappingError: the mapping has a setting that the simulation does not support.
        ValueError: an argument is not valid.
    """
    deployed = Deployed() if template is None else read_template(template, handler)
    calls = AwsCalls()
    options = _Options(
        code=FunctionCode(handler, code),
        calls=calls,
        records=RecordSource(records, devices, malformed, record_id),
        resources=Resources(
            {**deployed.tables, **(tables or {})},
            {*deployed.queues, *queues},
            {*deployed.topics, *topics},
            {*deployed.buckets, *buckets},
            setup,
        ),
        mapping={**deployed.mapping, **_mapping_properties(event_source_mapping or {})},
        timeout=deployed.timeout if timeout is None else timeout,
        shards=shards,
        rates=_rates(faults),
        targets=targets,
        stored=stored,
    )
    runs = []
    with ExitStack() as stack:
        stack.enter_context(calls.connected({**deployed.environment, **(environment or {})}))
        stack.enter_context(options.code.importable())
        # The history has what it logs.
        stack.enter_context(mock.patch.object(mapping_loop.LOG, "disabled", True))
        for each in (seed,) if seeds is None else seeds:
            simulation = Simulation(options, each)
            with calls.running(simulation) as session, effects.recorded_by(simulation):
                runs.append(simulation.run(session))
    notes = (
        ["The handler is a callable: its globals survive crashes."] if options.code.is_warm else []
    )
    return Report(runs, notes)


def _rates(faults: Collection[Kind | Rate] | None) -> Sequence[Rate]:
    if faults is None:
        return RATES
    kinds = [each for each in faults if isinstance(each, Kind)]
    return [
        *(each for each in faults if isinstance(each, Rate)),
        *(each for each in RATES if each.kind in kinds),
    ]


def _mapping_properties(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    model = ServiceModel(create_loader().load_service_model("lambda", "service-2"))
    known = model.operation_model("CreateEventSourceMapping").input_shape.members
    unknown = sorted(properties.keys() - known.keys())
    if unknown:
        raise ValueError(f"event_source_mapping: no property {', '.join(unknown)}")
    return properties
