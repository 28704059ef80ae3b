"""``iot-constructs redrive``: its options, its clients, and what it prints."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from iot_constructs.cli.dead_letter_messages import TOPIC_LEVEL, Kind

if TYPE_CHECKING:
    from iot_constructs.cli.report import Report

HELP = "bring back what is on the dead-letter queue"
DESCRIPTION = """\
Reads the dead-letter queue, recovers the records behind its messages (from the message, the stream or S3) and puts
them back on the stream, or hands them to the function. Without --execute it only shows what it would do.

A message is deleted only after all of its records were accepted. A run can be interrupted and repeated: a record can
be put twice, which the processor stores once, but none is lost."""
EPILOG = """\
exit code: 0 everything was redriven, or it was a dry run; 1 something was kept, or an error; 2 wrong usage;
130 interrupted (143 by SIGTERM)

kinds: rejected-record   the processor refused the record; the message holds it
       failed-batch      Lambda gave up; the message says where on the stream the records are
       stored-batch      Lambda gave up; S3 holds the records, and told so
       rule-error        the IoT rule could not put the message on the stream
       async-failure     an asynchronous invocation was given up
       test-event        S3 tried out its notifications; there is nothing behind it
       unknown           anything else; it is always kept"""

INTERRUPTED = 130
TERMINATED = 143
# The longest that a function can run (lambda/latest/dg/gettingstarted-limits.html), and the way to it and back.
_INVOKE_TIMEOUT_SECONDS = 910
_REGION_IN_URL = re.compile(r"https://(?:sqs\.)?([a-z]{2}(?:-[a-z]+)+-[0-9])\.")


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same end as Ctrl-C, with another exit code."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which options there are."""
    parser.add_argument(
        "--queue-url", required=True, metavar="URL", help="the dead-letter queue (DlqQueueUrl)"
    )
    to = parser.add_mutually_exclusive_group()
    to.add_argument(
        "--stream",
        metavar="NAME|ARN",
        help="put the records on this stream; without it, on the one that they came from",
    )
    to.add_argument(
        "--function", metavar="NAME|ARN", help="invoke this function with them instead, and wait"
    )
    parser.add_argument(
        "--execute", action="store_true", help="do it; without this, only show what would happen"
    )
    parser.add_argument(
        "--rate", type=_positive, metavar="N", help="at most N records a second; default: no limit"
    )
    parser.add_argument(
        "--limit", type=_positive, metavar="N", help="at most N messages; default: all"
    )
    parser.add_argument(
        "--kind",
        action="append",
        choices=[kind.value for kind in Kind],
        metavar="KIND",
        help="only messages of this kind (see below); can be given several times",
    )
    parser.add_argument(
        "--topic-level",
        type=_positive,
        default=TOPIC_LEVEL,
        metavar="N",
        help=f"where the device id is in the topic of a rule error; default: {TOPIC_LEVEL}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document, no table")
    parser.add_argument("--region", metavar="NAME", help="default: that of the queue's URL")
    parser.add_argument("--profile", metavar="NAME", help="of your AWS configuration")
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="for all services; for an emulator of AWS"
    )


def _positive(value: str) -> int:
    number = int(value) if value.isascii() and value.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number of 1 or more")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the answer is the exit code."""
    if not re.match(r"https?://", arguments.queue_url):
        arguments.usage_error(
            f"--queue-url {arguments.queue_url!r} is not a URL; see: aws sqs get-queue-url"
        )
    # Here and not at the top: --help must work without boto3.
    from iot_constructs.cli.aws_errors import AWS_ERRORS, described  # noqa: PLC0415
    from iot_constructs.cli.report import Report  # noqa: PLC0415

    report = Report(executed=arguments.execute, destination="")
    code = None
    try:
        with _terminated_like_interrupted():
            _redrive(arguments, report)
    except KeyboardInterrupt as stop:
        report.interrupted = True
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    except AWS_ERRORS as error:
        report.error = described(error)
    _show(report, arguments.json)
    return code if code is not None else report.exit_code


def _redrive(arguments: argparse.Namespace, report: Report) -> None:
    """Put a run together and let it run."""
    from iot_constructs.cli.aws_errors import Attempts  # noqa: PLC0415
    from iot_constructs.cli.dead_letter_queue import DeadLetterQueue  # noqa: PLC0415
    from iot_constructs.cli.destinations import (  # noqa: PLC0415
        Destination,
        FunctionDestination,
        RateLimit,
        StreamDestination,
    )
    from iot_constructs.cli.progress import Progress  # noqa: PLC0415
    from iot_constructs.cli.recovery import Recovery  # noqa: PLC0415
    from iot_constructs.cli.redrive import Redrive  # noqa: PLC0415
    from iot_constructs.cli.stream_records import StreamReader  # noqa: PLC0415

    clients = _Clients(arguments)
    attempts = Attempts()
    kinesis = clients.of("kinesis")
    queue = DeadLetterQueue(clients.of("sqs"), arguments.queue_url, attempts=attempts)
    if not queue.waiting and queue.in_flight:
        print(
            f"about {queue.in_flight} messages are in flight: another run or reader has them; "
            "they come back within 5 minutes of its end",
            file=sys.stderr,
        )
    rate = RateLimit(arguments.rate)
    destination: Destination
    if arguments.function is not None:
        destination = FunctionDestination(
            clients.of("lambda"),
            arguments.function,
            rate=rate,
            attempts=attempts,
            keep_alive=queue.keep_alive,
        )
    else:
        destination = StreamDestination(
            kinesis,
            arguments.stream,
            rate=rate,
            attempts=attempts,
            keep_alive=queue.keep_alive,
        )
    report.destination = destination.name
    expected = queue.waiting
    Redrive(
        queue,
        Recovery(StreamReader(kinesis, attempts, queue.keep_alive), clients.of("s3")),
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

    def of(self, service: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415

        # A function that runs for long is waited for, and not started a second time meanwhile.
        waits = {"read_timeout": _INVOKE_TIMEOUT_SECONDS} if service == "lambda" else {}
        return self._session.client(
            service,
            endpoint_url=self._endpoint_url,
            config=Config(retries={"mode": "standard", "total_max_attempts": 4}, **waits),
        )


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does: what is held is made visible first."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(report: Report, as_json: bool) -> None:
    if report.error is not None:
        print(f"error: {report.error}", file=sys.stderr)
    if as_json:
        print(report.as_json())
    else:
        for line in report.as_table():
            print(line)
