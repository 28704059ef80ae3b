"""Chaos run: deploys the example, injects faults, redrives once, and accounts for every record.

    python -m tests.chaos --help

The run puts messages directly on the stream, out of order, with the device ID as the partition key. It
does not use the IoT rule, which `make demo` covers. `LocalEventSourceMapping` invokes the function, and
`FaultProxy` handles its calls to DynamoDB and SNS. During the run, the stream is resharded, the mapping
is stopped and started, the function's configuration changes, and an outage makes the mapping send
batches to its failure destination. Then the faults stop and ``iot-constructs redrive`` runs once.

The run uses the deployed settings. Only the mapping's backoff is shorter than on AWS, so that ten
retries take seconds instead of minutes.

The last line of the output is ``{"sent":N,"stored":N,"dead_lettered":N,"lost":0,"duplicated":0,
"stale_state":0}``. A duplicated record is stored with more than one key; a stale state is not the
device's newest reading. The exit code is 1 unless the last three are 0 and every sent record is in
exactly one place.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from iot_constructs.cli.exit_codes import run_to_exit_code
from iot_constructs.cli.options import integer, name, positive_integer
from iot_constructs.local.accounting import (
    Account,
    Accountant,
    Finder,
    Run,
    find_stale_states,
    read_readings,
    read_states,
)
from iot_constructs.local.deployment import AppError, Deployer, Deployment, UnresolvedError
from iot_constructs.local.discovery import discover
from iot_constructs.local.emulator import Emulator, EmulatorError, running_emulator
from iot_constructs.local.event_source_mapping import (
    Backoff,
    Intervals,
    LocalEventSourceMapping,
    UnsupportedMappingError,
)
from iot_constructs.local.mapping_metrics import DELIVERED
from iot_constructs.local.plan import Kind, Message
from iot_constructs.local.program import deploy, run_program, save_logs_on_error
from iot_constructs.local.screen import Report, Screen
from iot_constructs.local.toolchain import ToolError
from tests.chaos.fault_proxy import CAN_CRASH, FaultProxy
from tests.chaos.faults import Fault, Faults

OUT = Path("chaos-out")

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


_EXPECTED = (
    AppError,
    ChaosError,
    EmulatorError,
    OSError,
    ToolError,
    UnresolvedError,
    UnsupportedMappingError,
)


@dataclass(frozen=True)
class Options:
    """Command-line options."""

    seed: int
    records: int
    devices: int
    suffix: str

    @property
    def readings(self) -> int:
        """Records per device, rounded up."""
        return -(-self.records // self.devices)


@dataclass(frozen=True)
class Redriven:
    """The result of the redrive."""

    messages: int
    """Redriven messages."""
    records: int
    """Records put on the stream."""
    kept: int
    """Messages whose records could not be redriven."""


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    account: Account
    stale_state: Mapping[str, str]
    undelivered: int
    """Failure records that could not be delivered."""

    @property
    def duplicated(self) -> int:
        """The number of records stored with more than one key."""
        return len(self.account.stored_more_than_once)

    @property
    def problems(self) -> list[str]:
        """The errors, one line each."""
        found = list(self.account.problems)
        known = self.account.stale_state
        stale = {key: text for key, text in self.stale_state.items() if key not in known}
        if stale:
            found.append(f"{len(stale)} devices with a stale state: {stale}")
        if self.undelivered:
            found.append(f"{self.undelivered} failure records not delivered")
        return found

    def summary(self) -> str:
        """Return the last line of the output."""
        account = self.account
        numbers = {
            "sent": account.sent,
            "stored": len(account.stored),
            "dead_lettered": len(account.dead_lettered),
            "lost": len(account.lost),
            "duplicated": self.duplicated,
            "stale_state": len(self.stale_state),
        }
        return json.dumps(numbers, separators=(",", ":"))

    @property
    def exit_code(self) -> int:
        """0 if the run found no errors, else 1."""
        return int(bool(self.problems or self.stale_state or not self.account.is_complete))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chaos run. Returns the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    return run_program(partial(_run, options), _EXPECTED, Screen())


def parse(arguments: Sequence[str]) -> Options:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Deploy the example to a local AWS emulator, inject faults, redrive once, and "
        "account for every record.",
    )
    parser.add_argument(
        "--seed",
        type=integer,
        default=os.environ.get("SEED") or "1",
        metavar="N",
        help="seed of the messages, their order, and the faults; default: $SEED or 1",
    )
    parser.add_argument(
        "--records", type=positive_integer, default=50_000, metavar="N", help="default: 50000"
    )
    parser.add_argument(
        "--devices", type=positive_integer, default=200, metavar="N", help="default: 200"
    )
    parser.add_argument(
        "--suffix", type=name, default="dev", help="environment suffix; default: dev"
    )
    return Options(**vars(parser.parse_args(arguments)))


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


def _run(options: Options, screen: Screen) -> int:
    start = time.monotonic()
    with ExitStack() as stack:
        with screen.step("start the emulator"):
            emulator = stack.enter_context(running_emulator())
        deployer = Deployer(emulator, app_directory=Path("examples", "iot_pipeline"))
        with save_logs_on_error(emulator, deployer, OUT):
            deployment = deploy(deployer, options.suffix, screen)
            faults = Faults(options.seed)
            proxy = FaultProxy(emulator.endpoint, faults, group=emulator.process.pid)
            stack.enter_context(proxy)
            chaos = _Chaos(
                emulator,
                deployment,
                faults=faults,
                proxy=proxy,
                options=options,
                screen=screen,
            )
            result = chaos.run()
            if result.exit_code:
                deployer.save_logs(OUT)
    screen.print(f"Total time: {time.monotonic() - start:.0f} s")
    for problem in result.problems:
        print(problem)
    print(result.summary(), flush=True)
    return result.exit_code


class _Chaos:
    """One run against a deployed example."""

    def __init__(
        self,
        emulator: Emulator,
        deployment: Deployment,
        *,
        faults: Faults,
        proxy: FaultProxy,
        options: Options,
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
        self._run = Run(
            devices=options.devices,
            readings=options.readings,
            seed=options.seed,
            now_ms=time.time_ns() // 1_000_000,
            endpoint=emulator.endpoint.url,
            authority=emulator.endpoint.authority,
            places=discover(emulator).places,
        )
        self._messages = shuffled(self._run.plan(), options.seed)
        self._put = 0
        self._configured = 0
        self._mapping = LocalEventSourceMapping(
            emulator, function_name=self._function, backoff=BACKOFF, intervals=INTERVALS
        )

    def run(self) -> Result:
        """Send all records, redrive, and count."""
        self._configure_function()
        total = len(self._messages)
        outage = min(int(total * OUTAGE_SHARE), OUTAGE_MAX_RECORDS)
        with self._mapping:
            with self._screen.step("send records, inject faults") as report:
                self._put_until(RESHARD_AT, report)
            with self._screen.step("reshard the stream"):
                self._reshard()
            with self._screen.step("stop and start the mapping") as report:
                self._put_until(STOP_AT, report)
                self._mapping.stop()
                self._put_until(START_AT, report)
                self._mapping.start()
            with self._screen.step("restart the function") as report:
                self._put_until(RESTART_AT, report)
                self._configure_function()
                self._put_until(OUTAGE_AT, report)
                self._wait_until_idle()
            with self._screen.step("outage, until the mapping discards batches"):
                self._faults.start_outage()
                self._put_up_to(self._put + outage)
                self._wait_until_idle()
                self._faults.end_outage()
            with self._screen.step("send records, inject faults") as report:
                self._put_until(1.0, report)
                self._wait_until_idle()
            self._faults.stop()
            discarded = int(self._mapping.totals.get(DELIVERED, 0))
            with self._screen.step("redrive"):
                redriven = self._redrive()
            with self._screen.step("process the redriven records"):
                self._wait_until_idle()
            undelivered = len(self._mapping.undelivered)
        with self._screen.step("account for every record") as report:
            account = Accountant(self._run, DLQ_VISIBILITY_TIMEOUT_SECONDS).count_until_settled(
                patience=PATIENCE_SECONDS,
                on_progress=lambda each: report(each.sent - len(each.lost), each.sent),
            )
            dynamodb = self._emulator.client("dynamodb")
            stale = find_stale_states(
                read_readings(
                    dynamodb,
                    self._deployment.output("TimeSeriesTableName"),
                    Finder(self._messages),
                ),
                read_states(dynamodb, self._deployment.output("DeviceStateTableName")),
            )
        self._show(account, discarded, redriven)
        return Result(account, {**stale, **account.stale_state}, undelivered)

    def _put_until(self, part: float, report: Report) -> None:
        self._put_up_to(round(part * len(self._messages)), report)

    def _put_up_to(self, end: int, report: Report | None = None) -> None:
        """Put the messages up to `end` on the stream."""
        while self._put < end:
            batch = self._messages[self._put : min(end, self._put + RECORDS_PER_PUT)]
            self._put_records(batch)
            self._put += len(batch)
            if report is not None:
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
        self._configured += 1
        configuration = self._lambda.get_function_configuration(FunctionName=self._function)
        variables = dict(configuration["Environment"]["Variables"])
        variables["AWS_ENDPOINT_URL_DYNAMODB"] = self._proxy.url
        variables["AWS_ENDPOINT_URL_SNS"] = self._proxy.url
        variables["CONFIGURED"] = str(self._configured)
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

    def _redrive(self) -> Redriven:
        """Run ``iot-constructs redrive`` once against the emulator."""
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
        return Redriven(found["messages"], found["records_put"], len(found["kept"]))

    def _show(self, account: Account, discarded: int, redriven: Redriven) -> None:
        self._screen.heading("Faults")
        injected = self._faults.injected
        rows = [
            (fault.value, operation, str(injected[fault, operation]))
            for fault, operation in sorted(injected, key=lambda each: (each[0].name, each[1]))
        ]
        self._screen.table(["fault", "calls of", "times"], rows)
        totals: Counter[Fault] = Counter()
        for (fault, _), times in injected.items():
            totals[fault] += times
        missing = [each.value for each in Fault if not totals[each]]
        if missing:
            self._screen.print(f"never injected: {', '.join(missing)}")
        if not CAN_CRASH:
            self._screen.print("no process was killed or stopped: this requires Linux")
        elif self._proxy.not_found:
            self._screen.print(f"{self._proxy.not_found} processes to kill or stop were not found")
        self._screen.heading("Records")
        duplicates = sum(message.kind is Kind.DUPLICATE for message in self._messages)
        repeated = len(account.dead_lettered_more_than_once)
        rows_of_records = [
            ("sent, distinct", account.sent, f"{duplicates} of them twice"),
            ("stored", len(account.stored), ""),
            ("dead-lettered", len(account.dead_lettered), f"{repeated} of them more than once"),
            ("discarded by the mapping", discarded, "records, sent to the failure destination"),
            ("batches on the DLQ queue", redriven.messages, "messages, redriven"),
            ("redriven", redriven.records, "records, put on the stream"),
            ("messages kept", redriven.kept, ""),
        ]
        self._screen.table(
            ["records", "number", "note"], [(a, str(b), c) for a, b, c in rows_of_records]
        )


if __name__ == "__main__":
    sys.exit(run_to_exit_code(main))
