"""Command line options, and the run, that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from iot_constructs.cli.exit_codes import interrupted_exit_code, print_error

_LARGEST_INTEGER = 1_000_000_000


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
    parser.add_argument("--region", type=name, metavar="NAME", help=region)
    parser.add_argument(
        "--profile", type=name, metavar="NAME", help="profile of your AWS configuration"
    )
    parser.add_argument(
        "--endpoint-url",
        type=url,
        metavar="URL",
        help="endpoint of all services, for an AWS emulator",
    )


def positive_integer(value: str) -> int:
    """The type of an option, for argparse."""
    digits = value.isascii() and value.isdigit() and len(value) <= len(str(_LARGEST_INTEGER))
    number = int(value) if digits else 0
    if not 1 <= number <= _LARGEST_INTEGER:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a positive integer, at most {_LARGEST_INTEGER}"
        )
    return number


def integer(value: str) -> int:
    """The type of an option, for argparse."""
    try:
        return int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not an integer; specify for example 1"
        ) from None


def name(value: str) -> str:
    """The type of an option, for argparse. An empty value is an unset variable of a script."""
    if not value or not value.isprintable():
        raise argparse.ArgumentTypeError(f"{value!r} is not a name")
    return value


def path(value: str) -> Path:
    """The type of an option, for argparse. ``Path("")`` would be the current folder."""
    if not value:
        raise argparse.ArgumentTypeError("'' is not a path; the current folder is .")
    return Path(value)


def url(value: str) -> str:
    """The type of an option, for argparse."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and value.isascii()
        _ = parts.port
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a URL; specify for example https://localhost:4566"
        )
    return value


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
