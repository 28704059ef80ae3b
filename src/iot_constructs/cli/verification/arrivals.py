"""Concludes from the arrivals of the marked messages which part works.

The parts are judged in the order of the data flow. The first part that a message did not pass is a FAIL; the parts
behind it are SKIPPED, because nothing reached them.
"""

from __future__ import annotations

from collections.abc import Iterator

from iot_constructs.cli.dead_letter_messages import InlineRecords, Kind
from iot_constructs.cli.verification.findings import Finding, Status
from iot_constructs.cli.verification.messages import (
    ARCHIVE_MARGIN_SECONDS,
    READINGS,
    Route,
    Seen,
    is_awaited,
)
from iot_constructs.cli.verification.parts import DOCS

MESSAGES = "messages"
SENT = READINGS + 1


def not_published(route: Route | None, reason: str) -> Iterator[Finding]:
    """Return the checks of a run that published nothing."""
    names = (
        "rule",
        "event source mapping",
        "time series table",
        "device state table",
        "queue",
        "archive",
    )
    resources = _resources(route) if route is not None else dict.fromkeys(names, "")
    for name, resource in resources.items():
        yield Finding(
            name, resource or "", MESSAGES, Status.SKIPPED, f"no message was published: {reason}"
        )


def judge(route: Route, seen: Seen, bad: bytes, seconds: float) -> Iterator[Finding]:
    """Return a finding for each part that messages pass.

    Args:
        route: where they go.
        seen: where they arrived.
        bad: the mark of the message that no processor accepts.
        seconds: how long the run waited.
    """
    resources = _resources(route)
    broken = ""
    for name, check in (
        ("rule", _rule(seen)),
        ("event source mapping", _mapping(route, seen)),
        ("time series table", _time_series(route, seen, bad)),
        ("device state table", _device_state(route, seen)),
        ("queue", _queue(route, seen, bad)),
        ("archive", _archive(route, seen, seconds)),
    ):
        status, text, cause, page = check
        # The archive reads the stream by itself.
        behind = broken == "rule" or (broken and name != "archive")
        if status is Status.FAIL and behind:
            status, text, cause, page = (
                Status.SKIPPED,
                f"nothing arrived, because of the {broken}",
                "",
                "",
            )
        if status is Status.FAIL and not broken:
            broken = name
        yield Finding(name, resources[name] or "", MESSAGES, status, text, cause, page)


def _resources(route: Route) -> dict[str, str | None]:
    queue = route.queue_url
    return {
        "rule": route.rule,
        "event source mapping": route.mapping,
        "time series table": route.time_series,
        "device state table": route.device_state,
        "queue": queue.rsplit("/", 1)[-1] if queue is not None else None,
        "archive": route.archive.name if route.archive is not None else None,
    }


_Result = tuple[Status, str, str, str]


def _passed(text: str) -> _Result:
    return Status.PASS, text, "", ""


def _skipped(text: str) -> _Result:
    return Status.SKIPPED, text, "", ""


def _rule(seen: Seen) -> _Result:
    arrived = f"{len(seen.on_stream)} of {SENT} messages are on the stream"
    if len(seen.on_stream) == SENT:
        return _passed(arrived)
    errors = [letter.reason for letter in seen.letters if letter.kind is Kind.RULE_ERROR]
    cause = (
        f"the rule's error action reports: {errors[0]}"
        if errors
        else "the rule's role cannot put records on the stream or use its key, or the stream is throttled; turn on "
        "AWS IoT logs to see the error"
    )
    return Status.FAIL, arrived, cause, f"{DOCS}iot/latest/developerguide/rule-error-handling.html"


def _mapping(route: Route, seen: Seen) -> _Result:
    if route.mapping is None:
        return _skipped("the stacks have none that reads the stream")
    letters = [letter for letter in seen.letters if letter.kind is not Kind.RULE_ERROR]
    if seen.stored or seen.has_state or letters:
        return _passed("the function has processed records of the run")
    cause = (
        "the function fails, is throttled, or cannot read the stream or use its key; look at its log group, and raise "
        f"--timeout if it is only late. Lambda's last result: {seen.processing_result or 'not reported'}"
    )
    text = "no record of the run was processed"
    return Status.FAIL, text, cause, f"{DOCS}lambda/latest/dg/with-kinesis.html"


def _time_series(route: Route, seen: Seen, bad: bytes) -> _Result:
    if route.time_series is None:
        return _skipped("the stacks have no such table, or several that the function does not name")
    arrived = f"{seen.stored} of {READINGS} readings are stored"
    if seen.stored >= READINGS:
        return _passed(arrived)
    rejections = [
        letter.reason
        for letter in seen.letters
        if isinstance(letter.source, InlineRecords)
        and not any(bad in record.data for record in letter.source.records)
    ]
    cause = (
        f"the processor rejects the readings ({rejections[0]}); give it what it expects with --reading"
        if rejections
        else "the function's role cannot write to the table or use its key, or its code stores readings elsewhere; "
        "look at its log group"
    )
    return (
        Status.FAIL,
        arrived,
        cause,
        f"{DOCS}amazondynamodb/latest/developerguide/Programming.Errors.html",
    )


def _device_state(route: Route, seen: Seen) -> _Result:
    if route.device_state is None:
        return _skipped("the stacks have no such table, or several that the function does not name")
    if seen.has_state:
        return _passed("the state of the device is stored")
    cause = "the function's role cannot write to the table or use its key; look at its log group"
    page = f"{DOCS}amazondynamodb/latest/developerguide/Programming.Errors.html"
    return Status.FAIL, "the state of the device is not stored", cause, page


def _queue(route: Route, seen: Seen, bad: bytes) -> _Result:
    if route.queue_url is None:
        return _skipped("no queue of the stacks receives failures, or it has a redrive policy")
    for letter in seen.letters:
        source = letter.source
        if isinstance(source, InlineRecords) and any(bad in each.data for each in source.records):
            return _passed(f"the bad message arrived with its payload ({letter.kind.value})")
        if letter.kind is Kind.FAILED_BATCH:
            return _passed("the bad message arrived with its position on the stream (failed-batch)")
    if seen.queue_too_long:
        return _skipped("the queue has too many messages to look at each; redrive them first")
    cause = (
        "the function cannot publish to the DLQ topic or use its key, the policy of the queue or of its key refuses "
        "the topic, or the processor accepts a message that is not JSON"
    )
    page = f"{DOCS}sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html"
    return Status.FAIL, "the bad message is not on the queue", cause, page


def _archive(route: Route, seen: Seen, seconds: float) -> _Result:
    archive = route.archive
    if archive is None:
        return _skipped("the stacks have none that reads the stream")
    if archive.unreadable is not None:
        return _skipped(f"its records cannot be looked at: {archive.unreadable}")
    found = f"{len(seen.archived)} of {SENT} records"
    if len(seen.archived) == SENT:
        return _passed(f"{found} are in {min(seen.archived.values())}")
    if not is_awaited(archive, seconds):
        return _skipped(
            f"{found} so far: the buffering interval is {archive.interval_seconds} s; run again with --timeout "
            f"{archive.interval_seconds + ARCHIVE_MARGIN_SECONDS}"
        )
    cause = (
        "the role of the delivery stream cannot read the stream, write to the bucket or use their keys; look at its "
        "log group and at the error prefix of the bucket"
    )
    return (
        Status.FAIL,
        f"{found} are in the bucket",
        cause,
        f"{DOCS}firehose/latest/dev/troubleshooting.html",
    )
