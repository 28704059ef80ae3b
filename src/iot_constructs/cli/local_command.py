"""``iot-constructs local``: the options of the local run."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from iot_constructs.cli.exit_codes import FAILED, ExitCodes, print_error
from iot_constructs.cli.options import integer, name, path, positive_integer

HELP = "run a CDK app in a local AWS emulator, with simulated devices"
DESCRIPTION = """\
Deploys the CDK app of a folder to an AWS emulator on this machine, sends telemetry from simulated devices, and accounts
for every record: stored, dead-lettered, or lost. Nothing reaches AWS: the emulator listens only on 127.0.0.1.

The app can be any that reads a Kinesis stream with a Lambda function. Its IoT rules with a Kinesis action receive the
messages over MQTT; a stream without a rule gets the records directly.

The first run installs the CDK CLI with npm into your cache folder; later ones need no internet access."""
EXIT_CODES = ExitCodes(
    done="every record is accounted for",
    negative="records are lost, or in a wrong place",
    failed="the app can't be run",
)
EPILOG = """\
payload:   a file with one message a line. JSON objects, also those in arrays, get a member messageId. The strings
           "$nowMs" (epoch milliseconds), "$nowIso" (ISO 8601) and "$deviceId" are replaced."""

_PACKAGES = ("boto3", "cryptography", "ministack", "paho", "rich")
_LARGEST_PORT = 65_535
_SMALLEST, _LARGEST = 0.001, 1_000_000
"""Of numbers of messages per second, and of seconds."""
_MOST_RECORDS = 1_000_000
"""All messages of a run are in memory, about a kilobyte each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "app",
        nargs="?",
        type=path,
        default=Path(),
        metavar="APP",
        help="folder with the cdk.json of the app; default: the current one",
    )
    parser.add_argument(
        "-c",
        "--context",
        action="append",
        default=[],
        type=_context,
        metavar="KEY=VALUE",
        help="context of the app; can be repeated",
    )
    parser.add_argument(
        "--suffix",
        type=name,
        default="dev",
        help="environment suffix (context environmentSuffix); default: dev",
    )
    parser.add_argument(
        "--devices", type=positive_integer, default=20, metavar="N", help="default: 20"
    )
    parser.add_argument(
        "--readings",
        type=positive_integer,
        default=60,
        metavar="N",
        help="records per device; default: 60",
    )
    parser.add_argument(
        "--rate",
        type=_positive,
        default=150.0,
        metavar="N",
        help="messages per second; default: 150",
    )
    parser.add_argument(
        "--seed", type=integer, default=1, metavar="N", help="seed of the messages; default: 1"
    )
    parser.add_argument(
        "--payload",
        type=path,
        metavar="FILE.jsonl",
        help="send the lines of this file in turn, instead of generated messages (see below)",
    )
    parser.add_argument(
        "--basic-ingest",
        action="store_true",
        help="the devices publish to the IoT rules themselves, on $aws/rules/<rule>/<topic>; default: only to rules "
        "without FROM",
    )
    parser.add_argument(
        "--out",
        type=path,
        default=Path("local-out"),
        metavar="DIR",
        help="folder of the logs and of the run's parameters; default: local-out",
    )
    parser.add_argument(
        "--patience",
        type=_positive,
        default=30.0,
        metavar="SECONDS",
        help="time without progress until missing records count as lost; default: 30",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the emulator running until Ctrl-C"
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="port of the emulator; default: any free port"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    if arguments.devices * arguments.readings > _MOST_RECORDS:
        arguments.usage_error(
            f"--devices times --readings is more than {_MOST_RECORDS} records; specify for example "
            "--devices 1000 --readings 60"
        )
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            print_error(
                f"error: the package {package!r} is not installed; "
                "run: pip install 'iot-constructs[local]'"
            )
            return FAILED
    # Imported here so that --help works without the extra.
    from iot_constructs.local.run import Options, run  # noqa: PLC0415

    names = Options.__dataclass_fields__
    return run(Options(**{name: getattr(arguments, name) for name in names}))


def _context(text: str) -> str:
    if not text.partition("=")[1] or text.startswith("="):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return text


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _SMALLEST <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number from {_SMALLEST} to {_LARGEST}; specify for example 1.5"
        )
    return value


def _port(text: str) -> int:
    number = positive_integer(text)
    if number > _LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is not a port: at most {_LARGEST_PORT}")
    return number
