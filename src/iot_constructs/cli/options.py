"""Command line options, and the run, that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Protocol

from iot_constructs.cli.exit_codes import interrupted_exit_code, print_error


class Report(Protocol):
    """The report of a command that calls AWS."""

    interrupted: bool
    error: str | None

    @property
    def exit_code(self) -> int:
        """The exit code of a run that was not interrupted."""

    def as_json(self) -> str:
        """Return a JSON document."""

    def as_table(self) -> Iterable[str]:
        """Return the lines for a person."""


def add_aws_options(parser: argparse.ArgumentParser, *, region: str) -> None:
    """Add the options of a command that calls AWS.

    Args:
        parser: of the command.
        region: help for ``--region``.
    """
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--region", metavar="NAME", help=region)
    parser.add_argument("--profile", metavar="NAME", help="profile of your AWS configuration")
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="endpoint of all services, for an AWS emulator"
    )


def positive_integer(value: str) -> int:
    """The type of an option, for argparse."""
    number = int(value) if value.isascii() and value.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a positive integer")
    return number


def run_and_report(work: Callable[[], None], report: Report, *, as_json: bool) -> int:
    """Run a command that calls AWS, print its report also after an interrupt or an error, and return the exit code."""
    # Imported here so that --help works without boto3.
    from iot_constructs.cli.aws_errors import AWS_ERRORS, format_error  # noqa: PLC0415

    code = None
    try:
        work()
    except KeyboardInterrupt as interrupt:
        report.interrupted = True
        code = interrupted_exit_code(interrupt)
    except AWS_ERRORS as error:
        report.error = format_error(error)
    if report.error is not None:
        print_error(f"error: {report.error}")
    for line in [report.as_json()] if as_json else report.as_table():
        print(line)
    return code if code is not None else report.exit_code
