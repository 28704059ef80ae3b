"""The console command ``iot-constructs``, which dispatches to its subcommands."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from iot_constructs.cli import (
    check_command,
    init_command,
    local_command,
    plan_command,
    redrive_command,
    verify_command,
)
from iot_constructs.cli.interrupts import INTERRUPTED

_COMMANDS = {
    "init": init_command,
    "check": check_command,
    "local": local_command,
    "plan": plan_command,
    "redrive": redrive_command,
    "verify": verify_command,
}
"""Subcommand -> module with HELP, DESCRIPTION, EPILOG, ``add_arguments(parser)`` and ``run(arguments)``.

The modules must not import boto3 at the top level, so that ``--help`` works without it."""

_EXTRAS = {
    "boto3": "ops",
    "botocore": "ops",
    **dict.fromkeys(("cfnlint", "jschema_to_python", "junit_xml", "sarif_om", "yaml"), "check"),
}
"""Package -> the extra that installs it."""
USAGE_ERROR = 2
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
EX_SIGPIPE = 141
"""The exit code of a command that SIGPIPE ended: 128 + 13."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code = int(_COMMANDS[arguments.command].run(arguments))
        if sys.stdout is not None:  # closed by the shell: `>&-`
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        # Before the command handles it itself, such as during its imports.
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        _discard_stdout()
        return EX_SIGPIPE
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        _discard_stdout()
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        return USAGE_ERROR
    except ImportError as error:
        # The formats of cfn-lint name what is missing in the error's cause.
        missing = error.name or getattr(error.__cause__, "name", None) or ""
        extra = _EXTRAS.get(missing.partition(".")[0])
        if extra is None:
            raise
        print(
            f"error: the package {missing!r} is not installed; "
            f"run: pip install 'iot-constructs[{extra}]'",
            file=sys.stderr,
        )
        return USAGE_ERROR


def _discard_stdout() -> None:
    # Without the redirect, Python fails again when it flushes stdout at the end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="iot-constructs",
        description="Start, run, check, plan and operate IoT telemetry pipelines.",
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
