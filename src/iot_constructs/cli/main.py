"""The console command ``iot-constructs``: hands over to one of its subcommands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from iot_constructs.cli import check_command, plan_command, redrive_command

_COMMANDS = {"check": check_command, "plan": plan_command, "redrive": redrive_command}
"""By name: a module with HELP, DESCRIPTION, ``add_arguments(parser)`` and ``run(arguments)``, the exit code.

A module must be importable without boto3, so that ``--help`` always works."""

_AWS_PACKAGES = ("boto3", "botocore")
WRONG_USAGE = 2
READER_LEFT = 141
"""What a shell says of a command that was ended by SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the answer is the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code = int(_COMMANDS[arguments.command].run(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read, like `head`, has enough. Python would complain once more when it closes its output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _AWS_PACKAGES:
            raise
        print(
            f"error: the package {error.name!r} is not installed; "
            "type: pip install 'iot-constructs[ops]'",
            file=sys.stderr,
        )
        return WRONG_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="iot-constructs", description="For the operators of an IoT telemetry pipeline."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(usage_error=subparser.error)
    return parser
