"""``iot-constructs verify``: options, AWS clients and output."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from iot_constructs.cli.exit_codes import ExitCodes
from iot_constructs.cli.options import add_aws_options, name, positive_integer, run_and_report

if TYPE_CHECKING:
    from iot_constructs.cli.verification.findings import Report

HELP = "check a deployed pipeline, part by part, with test messages"
DESCRIPTION = """\
Compares the parts of deployed stacks with their templates, publishes three marked readings and one bad message through
AWS IoT as a separate device, and reports for each part whether it works. Name every stack of the pipeline.

The items and dead letters of these messages are removed at the end; those of other devices are not touched. Archived
records stay. --page notifies the subscribers of the alarm topic."""
EXIT_CODES = ExitCodes(
    done="no FAIL",
    negative="a FAIL",
    failed="an error of AWS, after which the other checks did not run",
)
EPILOG = """\
PASS     the account shows that the part works
FAIL     the part is missing, differs from the template, or a message did not pass it; with likely cause and AWS page
SKIPPED  the account cannot show it, with the reason"""

# The batching window of the mapping and a cold start take seconds; the rest is for the retries of a first attempt.
TIMEOUT_SECONDS = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "stacks",
        type=name,
        nargs="*",
        metavar="STACK",
        help="name of a deployed stack; nested stacks are read as well",
    )
    parser.add_argument(
        "--timeout",
        type=positive_integer,
        default=TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for the messages; default: %(default)s. "
        "To see them in the archive, give it more than the buffering interval",
    )
    parser.add_argument(
        "--rule",
        type=name,
        metavar="NAME",
        help="IoT rule to publish to, if the stacks have several",
    )
    parser.add_argument(
        "--reading",
        type=_json_object,
        default={},
        metavar="JSON",
        help="members that your processor expects in a reading, for example '{\"temperature\": 21}'",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="set one alarm to ALARM, follow its message to a temporary queue, and set it back",
    )
    parser.add_argument(
        "--permissions",
        action="store_true",
        help="print the IAM policy that the command needs, and exit",
    )
    add_aws_options(parser, region="AWS Region of the stacks")


def _json_object(value: str) -> dict[str, Any]:
    try:
        document = json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{value!r} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise argparse.ArgumentTypeError(f"{value!r} is not a JSON object")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    if not arguments.permissions and not arguments.stacks:
        arguments.usage_error(
            "name at least one STACK; list them with: aws cloudformation list-stacks"
        )
    # Imported here so that --help works without boto3.
    from iot_constructs.cli.verification.findings import Report  # noqa: PLC0415
    from iot_constructs.cli.verification.messages import DEVICE_PREFIX  # noqa: PLC0415
    from iot_constructs.cli.verification.permissions import policy  # noqa: PLC0415

    if arguments.permissions:
        print(policy(page=arguments.page))
        return 0
    report = Report(arguments.stacks, DEVICE_PREFIX + secrets.token_hex(6))
    return run_and_report(lambda: _verify(arguments, report), report, as_json=arguments.json)


def _verify(arguments: argparse.Namespace, report: Report) -> None:
    """Create the clients and run the checks."""
    from iot_constructs.cli.progress import Progress  # noqa: PLC0415
    from iot_constructs.cli.verification.run import Verification  # noqa: PLC0415
    from iot_constructs.cli.verification.stacks import StackError  # noqa: PLC0415

    verification = Verification(
        _Clients(arguments),
        report,
        Progress(sys.stderr, 0),
        rule=arguments.rule,
        reading=arguments.reading,
        seconds=arguments.timeout,
        with_page=arguments.page,
    )
    try:
        verification.run()
    except StackError as error:
        report.error = str(error)


class _Clients:
    def __init__(self, arguments: argparse.Namespace) -> None:
        import boto3  # noqa: PLC0415

        self._session = boto3.Session(profile_name=arguments.profile, region_name=arguments.region)
        self._endpoint_url = arguments.endpoint_url
        self._created: dict[tuple[str, str | None], Any] = {}

    def create(self, service: str, endpoint_url: str | None = None) -> Any:
        from botocore.config import Config  # noqa: PLC0415

        endpoint = endpoint_url if endpoint_url is not None else self._endpoint_url
        if (service, endpoint) not in self._created:
            self._created[service, endpoint] = self._session.client(
                service,
                endpoint_url=endpoint,
                config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
            )
        return self._created[service, endpoint]
