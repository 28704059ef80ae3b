"""One chaos run against a deployed example."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from iot_constructs.local.accounting import (
    Accountant,
    Finder,
    Run,
    find_stale_states,
    read_readings,
    read_states,
)
from iot_constructs.local.deployment import Deployment
from iot_constructs.local.discovery import discover
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.event_source_mapping import (
    Backoff,
    Intervals,
    LocalEventSourceMapping,
)
from iot_constructs.local.mapping_metrics import DELIVERED
from iot_constructs.local.plan import Message
from iot_constructs.local.screen import Report, Screen
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.faults import Faults
from tests.chaos.result import Result, show_faults, show_records

# The number of devices that send concurrently. A larger number only makes the run slower: the function
# writes one state per device in a batch, and the emulator's writes dominate the run time.
CONCURRENT_DEVICES = 20
# Messages are shuffled within a window of this size, across devices and batches.
SHUFFLE_WINDOW = 4000
RECORDS_PER_PUT = 500
BACKOFF = Backoff(first=0.05, longest=0.2)
# Longer than the default: each read makes the emulator scan all records and all recent iterators.
INTERVALS = Intervals(read=2.0, shards=2.0)
IDLE_TIMEOUT_SECONDS = 1800.0
POLL_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
# Long enough to read thousands of dead letters on a slow machine.
DLQ_VISIBILITY_TIMEOUT_SECONDS = 3600

# The position of each event as a fraction of all messages.
RESHARD_AT = 0.15
STOP_AT, START_AT = 0.30, 0.40
RESTART_AT = 0.60
OUTAGE_AT = 0.75
# The outage lasts until the mapping discards the batches, so it affects only some records.
OUTAGE_SHARE, OUTAGE_MAX_RECORDS = 0.10, 1500

# Rejected records stay on the queue because they would be rejected again.
REDRIVEN = ("failed-batch", "stored-batch", "async-failure", "rule-error")


class ChaosError(RuntimeError):
    """The run could not be completed. Not an error of the pipeline."""


class Chaos:
    """One run against a deployed example."""

    def __init__(
        self,
        emulator: Emulator,
        deployment: Deployment,
        faults: Faults,
        proxy: FaultProxy,
        screen: Screen,
    ) -> None:
        self._emulator = emulator
        self._deployment = deployment
        self._faults = faults
        self._proxy = proxy
        self._screen = screen
        self._kinesis = emulator.client("kinesis")
        self._lambda = emulator.client("lambda")
        self._function = deployment.output("FunctionName")
        self._stream = deployment.output("StreamName")
        self._messages: Sequence[Message] = ()
        self._put = 0
        """How many of them are on the stream."""
        self._mapping = LocalEventSourceMapping(
            emulator, function_name=self._function, backoff=BACKOFF, intervals=INTERVALS
        )

    def run(self, *, seed: int, devices: int, readings: int) -> Result:
        """Send all records, redrive, and count."""
        emulator, screen = self._emulator, self._screen
        run = Run(
            devices=devices,
            readings=readings,
            seed=seed,
            now_ms=time.time_ns() // 1_000_000,
            endpoint=emulator.endpoint.url,
            authority=emulator.endpoint.authority,
            places=discover(emulator).places,
        )
        self._messages = shuffled(run.plan(), seed)
        self._configure_function()
        with self._mapping:
            self._send_under_faults()
            self._faults.stop()
            discarded = int(self._mapping.totals.get(DELIVERED, 0))
            with screen.step("redrive"):
                redriven = self._redrive()
            with screen.step("process the redriven records"):
                self._wait_until_idle()
            undelivered = len(self._mapping.undelivered)
        with screen.step("account for every record") as report:
            account = Accountant(run, DLQ_VISIBILITY_TIMEOUT_SECONDS).count_until_settled(
                patience=PATIENCE_SECONDS,
                on_progress=lambda each: report(each.sent - len(each.lost), each.sent),
            )
            dynamodb, output = emulator.client("dynamodb"), self._deployment.output
            readings_stored = read_readings(
                dynamodb, output("TimeSeriesTableName"), Finder(self._messages)
            )
            states = read_states(dynamodb, output("DeviceStateTableName"))
            stale = find_stale_states(readings_stored, states)
        show_faults(screen, self._faults, self._proxy)
        show_records(screen, account, self._messages, discarded, redriven)
        return Result(account, {**stale, **account.stale_state}, undelivered)

    def _send_under_faults(self) -> None:
        screen, total = self._screen, len(self._messages)
        with screen.step("send records, inject faults") as report:
            self._put_until(RESHARD_AT * total, report)
        with screen.step("reshard the stream"):
            self._reshard()
        with screen.step("stop and start the mapping") as report:
            self._put_until(STOP_AT * total, report)
            self._mapping.stop()
            self._put_until(START_AT * total, report)
            self._mapping.start()
        with screen.step("restart the function") as report:
            self._put_until(RESTART_AT * total, report)
            self._configure_function()
            self._put_until(OUTAGE_AT * total, report)
            self._wait_until_idle()
        with screen.step("outage, until the mapping discards batches") as report:
            self._faults.start_outage()
            self._put_until(self._put + min(OUTAGE_SHARE * total, OUTAGE_MAX_RECORDS), report)
            self._wait_until_idle()
            self._faults.end_outage()
        with screen.step("send records, inject faults") as report:
            self._put_until(total, report)
            self._wait_until_idle()

    def _put_until(self, end: float, report: Report) -> None:
        """Put the messages up to `end` on the stream."""
        while self._put < round(end):
            batch = self._messages[self._put : min(round(end), self._put + RECORDS_PER_PUT)]
            self._put_records(batch)
            self._put += len(batch)
            report(self._put, len(self._messages))
            self._mapping.check()

    def _put_records(self, messages: Sequence[Message]) -> None:
        pending = list(messages)
        while pending:
            response = self._kinesis.put_records(
                StreamName=self._stream,
                Records=[{"Data": m.payload, "PartitionKey": m.device_id} for m in pending],
            )
            # The results are in the order of the request. Retry the failed records.
            results = zip(pending, response["Records"], strict=True)
            pending = [message for message, each in results if "ErrorCode" in each]

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + IDLE_TIMEOUT_SECONDS
        while not self._mapping.wait_until_idle(POLL_SECONDS):
            self._emulator.check()
            if time.monotonic() > deadline:
                raise ChaosError(f"the mapping is not idle: {self._mapping.problems[-3:]}")

    def _configure_function(self) -> None:
        """Route the function's calls through the proxy. The change also restarts its processes."""
        configuration = self._lambda.get_function_configuration(FunctionName=self._function)
        variables = dict(configuration["Environment"]["Variables"])
        variables["AWS_ENDPOINT_URL_DYNAMODB"] = self._proxy.url
        variables["AWS_ENDPOINT_URL_SNS"] = self._proxy.url
        variables["CONFIGURED_AT"] = str(self._put)
        self._lambda.update_function_configuration(
            FunctionName=self._function, Environment={"Variables": variables}
        )
        waiter = self._lambda.get_waiter("function_updated_v2")
        waiter.wait(FunctionName=self._function, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def _reshard(self) -> None:
        # Unlike AWS, the emulator deletes a parent shard and its records when it is split. So all
        # records must be processed, and none may need a redrive.
        self._wait_until_idle()
        if self._mapping.totals.get(DELIVERED, 0):
            raise ChaosError(
                "the mapping discarded a batch before the reshard, and the emulator would delete its "
                "records; use another seed"
            )
        shards = self._kinesis.list_shards(StreamName=self._stream)["Shards"]
        hash_keys = shards[0]["HashKeyRange"]
        first, last = int(hash_keys["StartingHashKey"]), int(hash_keys["EndingHashKey"])
        self._kinesis.split_shard(
            StreamName=self._stream,
            ShardToSplit=shards[0]["ShardId"],
            NewStartingHashKey=str((first + last + 1) // 2),
        )

    def _redrive(self) -> dict[str, Any]:
        """Run ``iot-constructs redrive`` once against the emulator. Returns its report."""
        kinds = [argument for kind in REDRIVEN for argument in ("--kind", kind)]
        passed_on = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
        command = [
            *[sys.executable, "-m", "iot_constructs.cli", "redrive", "--json"],
            *["--queue-url", self._deployment.output("DlqQueueUrl"), *kinds, "--execute"],
        ]
        finished = subprocess.run(
            command,
            env={**passed_on, **self._emulator.environment()},
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            # Continue: the count finds records that were not redriven.
            self._screen.print(f"the redrive exited with {finished.returncode}: {finished.stderr}")
        try:
            found: dict[str, Any] = json.loads(finished.stdout)
        except ValueError:
            raise ChaosError(f"the redrive printed no JSON: {finished.stderr}") from None
        for kept in found["kept"]:
            self._screen.print(f"  kept: {kept['kind']}: {kept['reason']}")
        return found


def shuffled(messages: Sequence[Message], seed: int) -> list[Message]:
    """Return the messages grouped by `CONCURRENT_DEVICES` devices and shuffled within a window."""
    randomness = random.Random(seed)
    devices = sorted({message.device_id for message in messages})
    randomness.shuffle(devices)
    group = {device: index // CONCURRENT_DEVICES for index, device in enumerate(devices)}
    by_group = sorted(messages, key=lambda message: group[message.device_id])
    result: list[Message] = []
    for start in range(0, len(by_group), SHUFFLE_WINDOW):
        part = by_group[start : start + SHUFFLE_WINDOW]
        randomness.shuffle(part)
        result += part
    return result
