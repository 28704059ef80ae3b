"""``iot-constructs redrive``: options, AWS clients and output."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING, Any

from iot_constructs.cli.dead_letter_messages import TOPIC_LEVEL, Kind
from iot_constructs.cli.exit_codes import ExitCodes
from iot_constructs.cli.options import add_aws_options, name, positive_integer, run_and_report, url

if TYPE_CHECKING:
    from iot_constructs.cli.report import Report

HELP = "redrive the messages of the dead-letter queue"
DESCRIPTION = """\
Receives the messages of the dead-letter queue, fetches their records (from the message, the stream or S3) and puts
them back on the stream, or invokes the function with them. Without --execute, it is a dry run.

A message is deleted only after all of its records are accepted. You can interrupt and repeat a run: a record can be put
twice, which the processor stores once, but no record is lost. The messages that stay on the queue become visible again
when the run ends; if it is killed, within twice the time that it took (5 minutes to 12 hours)."""
EXIT_CODES = ExitCodes(
    done="all messages redriven, or a dry run", negative="messages kept", failed="an error of AWS"
)
EPILOG = """\
kinds: rejected-record   a record that the processor rejected; the message contains it
       failed-batch      a batch that Lambda discarded; the message has its position on the stream
       stored-batch      a batch that Lambda discarded and stored in S3
       rule-error        a message that the IoT rule could not put on the stream
       async-failure     an asynchronous invocation that failed
       test-event        a test event of S3, without records
       unknown           any other message; it is always kept"""

# The maximum timeout of a function (lambda/latest/dg/gettingstarted-limits.html) plus the network latency.
_INVOKE_TIMEOUT_SECONDS = 910
_REGION_IN_URL = re.compile(r"https://(?:sqs\.)?([a-z]{2}(?:-[a-z]+)+-[0-9])\.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--queue-url",
        type=_queue_url,
        required=True,
        metavar="URL",
        help="URL of the dead-letter queue (output DlqQueueUrl)",
    )
    to = parser.add_mutually_exclusive_group()
    to.add_argument(
        "--stream",
        type=name,
        metavar="NAME|ARN",
        help="put the records on this stream; default: their original stream",
    )
    to.add_argument(
        "--function",
        type=name,
        metavar="NAME|ARN",
        help="invoke this function with the records instead",
    )
    parser.add_argument(
        "--execute",
        action="store_true",
        help="redrive the messages; without it, only show the effect",
    )
    parser.add_argument(
        "--rate",
        type=positive_integer,
        metavar="N",
        help="maximum number of records per second; default: no limit",
    )
    parser.add_argument(
        "--limit",
        type=positive_integer,
        metavar="N",
        help="maximum number of messages; default: all",
    )
    parser.add_argument(
        "--kind",
        action="append",
        choices=[kind.value for kind in Kind],
        metavar="KIND",
        help="redrive only messages of this kind (see below); can be repeated",
    )
    parser.add_argument(
        "--topic-level",
        type=positive_integer,
        default=TOPIC_LEVEL,
        metavar="N",
        help=f"topic level of the device ID in a rule error, without $aws/rules/<rule>; default: {TOPIC_LEVEL}",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="list every message; without it, only the groups by kind and reason and the first kept messages",
    )
    add_aws_options(
        parser,
        region="AWS Region of the queue and of everything without an ARN; default: the one in the queue URL",
    )


def _queue_url(value: str) -> str:
    try:
        return url(value)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a URL; get it with: aws sqs get-queue-url"
        ) from None


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    # Imported here so that --help works without boto3.
    from iot_constructs.cli.report import Report  # noqa: PLC0415

    report = Report(executed=arguments.execute, destination="", verbose=arguments.verbose)
    return run_and_report(lambda: _redrive(arguments, report), report, as_json=arguments.json)


def _redrive(arguments: argparse.Namespace, report: Report) -> None:
    """Create the clients and the destination, and run the redrive."""
    from iot_constructs.cli.aws_errors import RetryPolicy  # noqa: PLC0415
    from iot_constructs.cli.dead_letter_queue import DeadLetterQueue  # noqa: PLC0415
    from iot_constructs.cli.destinations import (  # noqa: PLC0415
        Destination,
        FunctionDestination,
        RateLimit,
        StreamDestination,
    )
    from iot_constructs.cli.kinesis_records import arn_region  # noqa: PLC0415
    from iot_constructs.cli.progress import Progress  # noqa: PLC0415
    from iot_constructs.cli.recovery import Recovery  # noqa: PLC0415
    from iot_constructs.cli.redrive import Redrive  # noqa: PLC0415
    from iot_constructs.cli.stream_records import StreamReader  # noqa: PLC0415

    clients = _Clients(arguments)
    retry_policy = RetryPolicy()
    queue = DeadLetterQueue(clients.create("sqs"), arguments.queue_url, retry_policy=retry_policy)
    rate = RateLimit(arguments.rate)
    destination: Destination
    if arguments.function is not None:
        destination = FunctionDestination(
            clients.create("lambda", arn_region(arguments.function)),
            arguments.function,
            rate=rate,
            retry_policy=retry_policy,
            keep_alive=queue.keep_alive,
        )
    else:
        destination = StreamDestination(
            clients.kinesis,
            arguments.stream,
            rate=rate,
            retry_policy=retry_policy,
            keep_alive=queue.keep_alive,
        )
    report.destination = destination.name
    expected = queue.waiting
    Redrive(
        queue,
        # A bucket can be in any Region: boto3 follows the redirect of S3.
        Recovery(
            StreamReader(clients.kinesis, retry_policy, queue.keep_alive), clients.create("s3")
        ),
        destination,
        report,
        kinds=[Kind(kind) for kind in arguments.kind] if arguments.kind else list(Kind),
        limit=arguments.limit,
        topic_level=arguments.topic_level,
        progress=Progress(
            sys.stderr, min(expected, arguments.limit) if arguments.limit else expected
        ),
    ).run()


class _Clients:
    def __init__(self, arguments: argparse.Namespace) -> None:
        import boto3  # noqa: PLC0415

        in_url = _REGION_IN_URL.match(arguments.queue_url)
        region = arguments.region if arguments.region is not None else in_url and in_url[1]
        self._session = boto3.Session(profile_name=arguments.profile, region_name=region)
        self._endpoint_url = arguments.endpoint_url
        self._kinesis: dict[str | None, Any] = {}

    def kinesis(self, region: str | None) -> Any:
        """Return the Kinesis client of a Region; None is the Region of the queue."""
        if region not in self._kinesis:
            self._kinesis[region] = self.create("kinesis", region)
        return self._kinesis[region]

    def create(self, service: str, region: str | None = None) -> Any:
        from botocore.config import Config  # noqa: PLC0415

        # The read timeout exceeds the longest invocation, so that no retry invokes the function a second time.
        waits = {"read_timeout": _INVOKE_TIMEOUT_SECONDS} if service == "lambda" else {}
        return self._session.client(
            service,
            region_name=region,
            endpoint_url=self._endpoint_url,
            config=Config(retries={"mode": "standard", "total_max_attempts": 4}, **waits),
        )
