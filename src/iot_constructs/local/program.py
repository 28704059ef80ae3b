"""Exit codes and signal handling of the local run and the chaos run."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.local.deployment import Deployer, Deployment
from iot_constructs.local.emulator import Emulator, EmulatorError
from iot_constructs.local.screen import Screen

FAILED = 2
INTERRUPTED = 128 + signal.SIGINT


class _Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP, handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def run_program(
    work: Callable[[Screen], int], expected: tuple[type[Exception], ...], screen: Screen
) -> int:
    """Run `work` and return the exit code. Prints an expected error without a traceback."""
    # A shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    # A closed terminal. Not on Windows.
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _end)
    try:
        return work(screen)
    except KeyboardInterrupt as interrupt:
        # After SIGHUP, there might be nobody to read it.
        with suppress(OSError):
            screen.print()
            screen.print("interrupted: stopped the emulator and removed its files")
        return interrupt.exit_code if isinstance(interrupt, _Ended) else INTERRUPTED
    except BrokenPipeError:
        raise  # the reader of the output ended
    except expected as error:
        print(f"error: {error}", file=sys.stderr)
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


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended(number)
