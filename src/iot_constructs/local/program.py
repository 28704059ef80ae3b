"""What the local run and the chaos run have in common: errors, signals, deployment, and logs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.cli.exit_codes import (
    FAILED,
    ending_signals,
    interrupted_exit_code,
    print_error,
)
from iot_constructs.local.deployment import Deployer, Deployment
from iot_constructs.local.emulator import Emulator, EmulatorError
from iot_constructs.local.screen import Screen


def run_program(
    work: Callable[[Screen], int], expected: tuple[type[Exception], ...], screen: Screen
) -> int:
    """Run `work` and return the exit code. Prints an expected error without a traceback."""
    try:
        # A second Ctrl-C must not end the clean-up.
        with ending_signals(signal.SIGINT):
            return work(screen)
    except KeyboardInterrupt as interrupt:
        # After SIGHUP, there might be nobody to read it.
        with suppress(OSError):
            screen.print()
            screen.print("interrupted: stopped the emulator and removed its files")
        return interrupted_exit_code(interrupt)
    except BrokenPipeError:
        raise  # the reader of the output ended
    except expected as error:
        print_error(f"error: {error}")
        return FAILED


def deploy(deployer: Deployer, suffix: str, screen: Screen) -> Deployment:
    """Deploy the app and show the progress."""
    with screen.step("cdk bootstrap, cdk synth"):
        assembly = deployer.prepare(suffix)
    with screen.step(f"cdk deploy (suffix {suffix})") as report:
        return deployer.deploy(assembly, on_progress=report)


@contextmanager
def save_logs_on_error(emulator: Emulator, deployer: Deployer, directory: Path) -> Iterator[None]:
    """Copy the logs to a folder if the block raises an exception."""
    try:
        yield
    except Exception as error:
        deployer.save_logs(directory)
        # If the emulator stopped, report that instead of the first failed call.
        emulator.check()
        if isinstance(error, (BotoCoreError, ClientError)):
            raise EmulatorError(f"a call to the emulator failed: {error}") from error
        raise
