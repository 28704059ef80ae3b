"""A pipeline's leftovers on fakes, and a run over them that is put together as the command does it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

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
from iot_constructs.testing.sns_sqs import StoredMessage

from .aws_fakes import (
    QUEUE_URL,
    REGION,
    STREAM,
    TEST_EVENT,
    Calls,
    Clock,
    FakeKinesis,
    FakeLambda,
    FakeS3,
    FakeSQS,
    async_failure,
    failed_batch,
    in_envelope,
    kinesis_event,
    object_created,
    random_bytes,
    rejected,
    rule_error,
    stored_batch,
)

Content = tuple[str, bytes]


@dataclass
class World:
    clock: Clock = field(default_factory=Clock)
    behind: dict[str, list[Content]] = field(default_factory=dict)
    """Of each message that can be redriven: the records behind it."""
    hopeless: list[str] = field(default_factory=list)
    """Messages that have to stay."""

    def __post_init__(self) -> None:
        self.calls = Calls(self.clock)
        self.sqs = FakeSQS(self.calls)
        self.kinesis = FakeKinesis(self.calls)
        self.regions = {REGION: self.kinesis, "us-west-2": FakeKinesis(self.calls, "us-west-2")}
        self.s3 = FakeS3(self.calls)
        self.function = FakeLambda(self.calls)
        self.sqs.on_delete = self._all_accepted

    def _all_accepted(self, message: StoredMessage) -> None:
        """No message may ever be deleted before all of its records were accepted."""
        id = message.id
        assert id not in self.hopeless, f"{id} was deleted"
        accepted = [kinesis.put_counts for kinesis in self.regions.values()]
        accepted.append(self.function.stored_counts)
        for content, count in Counter(self.behind[id]).items():
            assert sum(counts[content] for counts in accepted) >= count, (
                f"{id} was deleted too early"
            )

    def accepted(self) -> Counter[Content]:
        put = (kinesis.counts() for kinesis in self.regions.values())
        return sum(put, self.function.counts())

    def kinesis_in(self, region: str | None) -> FakeKinesis:
        """The client of a Region; what has only a name is in the Region of the queue."""
        return self.regions[region if region is not None else REGION]

    def expected(self) -> Counter[Content]:
        return Counter(content for records in self.behind.values() for content in records)

    def add(self, body: object, *behind: Content) -> str:
        id = self.sqs.add(body)
        self.behind[id] = list(behind)
        return id

    def add_hopeless(self, body: object) -> str:
        id = self.sqs.add(body)
        self.hopeless.append(id)
        return id

    def add_rejected(self, count: int, name: str = "rejected") -> list[str]:
        ids = []
        for number in range(count):
            record = self.kinesis.accept(f"d{number % 3}", random_bytes(f"{name} {number}"))
            ids.append(self.add(in_envelope(rejected(record)), (record.partition_key, record.data)))
        return ids

    def add_every_kind(self) -> World:
        """Each kind, raw or in SNS's envelope, with some that cannot be redriven between them."""
        on = self.kinesis.accept
        batch = [on(f"d{n % 3}", random_bytes(f"batch {n}")) for n in range(7)]
        contents = [(record.partition_key, record.data) for record in batch]
        alone, large = on("d4", random_bytes("alone")), on("d5", random_bytes("large"))
        stored = [on(f"d{n}", random_bytes(f"stored {n}")) for n in range(4)]
        given_up = [on(f"d{n}", random_bytes(f"given up {n}")) for n in range(3)]
        child = self.kinesis.reshard()
        after = on("d6", random_bytes("after resharding"))
        self.s3.objects["aws/lambda/a b/1"] = json.dumps(stored_batch(*stored)).encode()

        self.add(
            in_envelope(failed_batch(batch[0].sequence_number, batch[-1].sequence_number, 7)),
            *contents,
        )
        self.add(in_envelope(rejected(alone)), (alone.partition_key, alone.data))
        self.add_hopeless("not JSON at all")
        self.add(rejected(large, "none"), (large.partition_key, large.data))
        self.add(
            in_envelope(object_created("aws/lambda/a+b/1")),
            *((record.partition_key, record.data) for record in stored),
        )
        self.add_hopeless(object_created("aws/lambda/gone"))
        self.add(TEST_EVENT)
        self.add(rule_error("device/d7/telemetry", b"from the rule"), ("d7", b"from the rule"))
        self.add(
            in_envelope(async_failure(kinesis_event(*given_up))),
            *((record.partition_key, record.data) for record in given_up),
        )
        self.add_hopeless(in_envelope({"some": "other message"}))
        self.add_hopeless(failed_batch("1", "2", 2))
        self.add(
            failed_batch(after.sequence_number, after.sequence_number, 1, child),
            (after.partition_key, after.data),
        )
        return self

    def redrive(
        self,
        *,
        execute: bool = True,
        stream: str | None = STREAM,
        to_function: bool = False,
        kinds: Collection[Kind] = tuple(Kind),
        limit: int | None = None,
        rate: int | None = None,
        topic_level: int = TOPIC_LEVEL,
        report: Report | None = None,
    ) -> Report:
        retry_policy = RetryPolicy(self.clock.sleep, lambda: 1.0)
        queue = DeadLetterQueue(self.sqs, QUEUE_URL, retry_policy=retry_policy, clock=self.clock)
        settings: dict[str, Any] = {
            "rate": RateLimit(rate, clock=self.clock, sleep=self.clock.sleep),
            "retry_policy": retry_policy,
            "keep_alive": queue.keep_alive,
        }
        destination: Destination
        if to_function:
            destination = FunctionDestination(self.function, "processor", **settings)
        else:
            destination = StreamDestination(self.kinesis_in, stream, **settings)
        report = report if report is not None else Report(execute, destination.name)
        Redrive(
            queue,
            Recovery(StreamReader(self.kinesis_in, retry_policy, queue.keep_alive), self.s3),
            destination,
            report,
            kinds=kinds,
            limit=limit,
            topic_level=topic_level,
            progress=Progress(io.StringIO(), queue.waiting),
        ).run()
        return report
