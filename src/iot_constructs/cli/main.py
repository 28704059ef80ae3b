"""The console command ``iot-constructs``, which dispatches to its subcommands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

from iot_constructs.cli import (
    check_command,
    init_command,
    local_command,
    plan_command,
    redrive_command,
    verify_command,
)
from iot_constructs.cli.exit_codes import FAILED, print_error, run_to_exit_code

_COMMANDS = {
    "init": init_command,
    "check": check_command,
    "local": local_command,
    "plan": plan_command,
    "redrive": redrive_command,
    "verify": verify_command,
}
"""Subcommand -> module with HELP, DESCRIPTION, EXIT_CODES, EPILOG, ``add_arguments(parser)`` and ``run(arguments)``.

The modules must not import boto3 at the top level, so that ``--help`` works without it."""

_EXTRAS = {
    "boto3": "ops",
    "botocore": "ops",
    **dict.fromkeys(("cfnlint", "jschema_to_python", "junit_xml", "sarif_om", "yaml"), "check"),
}
"""Package -> the extra that installs it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code."""
    return run_to_exit_code(partial(_run, argv))


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    given = sys.argv[1:] if argv is None else argv
    for argument in given:
        if argument.startswith("--") and argument.endswith("=--"):
            # For argparse of some Python versions, the value is an empty list.
            parser.error(f"{argument.removesuffix('=--')} has no value")
    arguments = parser.parse_args(given)
    try:
        return int(_COMMANDS[arguments.command].run(arguments))
    except ImportError as error:
        # The formats of cfn-lint name what is missing in the error's cause.
        missing = error.name or getattr(error.__cause__, "name", None) or ""
        extra = _EXTRAS.get(missing.partition(".")[0])
        if extra is None:
            raise
        print_error(
            f"error: the package {missing!r} is not installed; "
            f"run: pip install 'iot-constructs[{extra}]'"
        )
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="iot-constructs",
        description="Start, run, check, plan and operate IoT telemetry pipelines.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('iot-constructs')}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=f"{module.EXIT_CODES.as_text()}\n\n{module.EPILOG}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(usage_error=subparser.error)
    return parser
