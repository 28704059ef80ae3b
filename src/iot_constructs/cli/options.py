"""Command line options that several commands have."""

from __future__ import annotations

import argparse


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
