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
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from iot_constructs.cli.exit_codes import run_to_exit_code
from iot_constructs.cli.options import integer, name, positive_integer
from iot_constructs.local.deployment import AppError, Deployer, UnresolvedError
from iot_constructs.local.emulator import EmulatorError, running_emulator
from iot_constructs.local.event_source_mapping import UnsupportedMappingError
from iot_constructs.local.program import deploy, run_program, save_logs_on_error
from iot_constructs.local.screen import Screen
from iot_constructs.local.toolchain import ToolError
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.faults import Faults
from tests.chaos.run import Chaos, ChaosError

OUT = Path("chaos-out")

_EXPECTED = (
    AppError,
    ChaosError,
    EmulatorError,
    OSError,
    ToolError,
    UnresolvedError,
    UnsupportedMappingError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chaos run. Returns the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    return run_program(partial(_run, options), _EXPECTED, Screen())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
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
    options = parser.parse_args(arguments)
    options.readings = -(-options.records // options.devices)  # of each device, rounded up
    return options


def _run(options: argparse.Namespace, screen: Screen) -> int:
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
            result = Chaos(emulator, deployment, faults, proxy, screen).run(
                seed=options.seed, devices=options.devices, readings=options.readings
            )
            if result.exit_code:
                deployer.save_logs(OUT)
    screen.print(f"Total time: {time.monotonic() - start:.0f} s")
    for problem in result.problems:
        print(problem)
    print(result.summary(), flush=True)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(run_to_exit_code(main))
