"""From the acceptance of a record by the stream to its storage, by batching window, in virtual time.

The stream, the mapping and its polling are those of `iot_constructs.testing`; an invocation takes what was measured.
"""

from __future__ import annotations

import io
import json
from typing import Any

from bench.processor.workload import STREAM
from iot_constructs.local.mapping_configuration import read_configuration
from iot_constructs.testing.event_source_mapping import EventSourceMapping
from iot_constructs.testing.faults import FaultPlan
from iot_constructs.testing.history import History
from iot_constructs.testing.kinesis import Kinesis
from iot_constructs.testing.processes import World
from iot_constructs.testing.scheduler import Scheduler

FUNCTION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:bench"
BATCH_SIZE = 100
RECORDS_PER_SECOND = 20
RECORDS = 4_000


class _Function:
    """Takes the same time for each batch."""

    def __init__(self, scheduler: Scheduler, seconds: float) -> None:
        self.arrivals: dict[str, float] = {}
        self.delays: list[float] = []
        self._scheduler, self._seconds = scheduler, seconds

    def invoke(self, *, Payload: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        """Invoke."""
        self._scheduler.sleep(self._seconds)
        numbers = [each["kinesis"]["sequenceNumber"] for each in json.loads(Payload)["Records"]]
        self.delays += [self._scheduler.now - self.arrivals[number] for number in numbers]
        payload = io.BytesIO(b'{"batchItemFailures": []}')
        return {"StatusCode": 200, "Payload": payload, "ResponseMetadata": {}}


def delays(window_seconds: int, invocation_seconds: float) -> list[float]:
    """Return the seconds of each record of a shard with `RECORDS_PER_SECOND`."""
    scheduler = Scheduler(1)
    world = World(scheduler, FaultPlan(1, ()), History())
    kinesis = Kinesis(scheduler, STREAM)
    function = _Function(scheduler, invocation_seconds)
    world.services = {"kinesis": kinesis, "lambda": function}
    settings = {
        **{"UUID": "bench", "EventSourceArn": STREAM, "FunctionArn": FUNCTION_ARN},
        **{"StartingPosition": "TRIM_HORIZON", "BatchSize": BATCH_SIZE},
        "MaximumBatchingWindowInSeconds": window_seconds,
    }
    rules = read_configuration(settings).rules
    mapping = EventSourceMapping(
        world, stream_arn=STREAM, function_arn=FUNCTION_ARN, rules=rules, destination_arn=None
    )

    def send() -> None:
        mapping.start()
        for number in range(RECORDS):
            scheduler.sleep(scheduler.random.expovariate(RECORDS_PER_SECOND))
            record = {"Data": b"{}", "PartitionKey": f"d{number}"}
            [result] = kinesis.put_records(StreamARN=STREAM, Records=[record])["Records"]
            function.arrivals[result["SequenceNumber"]] = scheduler.now
        while len(function.delays) < RECORDS:
            scheduler.sleep(1.0)
        mapping.stop()

    scheduler.run(send)
    return function.delays
