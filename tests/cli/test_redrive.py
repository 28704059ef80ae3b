"""Complete runs: which records are put, which messages are deleted or kept, and the report."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

import pytest

from iot_constructs.cli import dead_letter_queue
from iot_constructs.cli.dead_letter_messages import Kind
from iot_constructs.cli.destinations import Outcome, StreamDestination

from .aws_fakes import (
    ACCOUNT,
    BUCKET,
    REGION,
    STREAM,
    STREAM_ARN,
    async_failure,
    aws_error,
    failed_batch,
    in_envelope,
    object_created,
    random_bytes,
    rejected,
    rule_error,
    stored_batch,
)
from .world import World


def test_every_kind_comes_back_and_the_rest_is_kept_with_a_reason() -> None:
    world = World().add_every_kind()
    report = world.redrive()
    assert world.accepted() == world.expected()
    assert sorted(world.sqs.messages) == sorted(world.hopeless)
    assert sorted(row.message_id for row, _ in report.kept) == sorted(world.hopeless)
    assert all(reason for _, reason in report.kept)
    assert report.exit_code == 1
    said = json.loads(report.as_json())
    total = sum(world.expected().values())
    assert (said["records_found"], said["records_put"]) == (total, total)
    assert said["messages"] == len(world.behind) + len(world.hopeless)
    assert said["messages_deleted"] == len(world.behind)
    assert (said["out_of_retention"], said["unknown"]) == (2, 2)
    assert Counter(kept["kind"] for kept in said["kept"]) == {
        "unknown": 2,
        "stored-batch": 1,
        "failed-batch": 1,
    }


def test_a_dry_run_changes_nothing_and_reports_what_would_be_done() -> None:
    world = World().add_every_kind()
    before = dict(world.sqs.messages)
    report = world.redrive(execute=False)
    assert world.sqs.messages == before
    assert sorted(world.sqs.visible()) == sorted(before)
    assert not world.accepted()
    for name in ("put_records", "invoke", "delete_message_batch"):
        assert world.calls.count(name) == 0
    assert report.exit_code == 0
    said = json.loads(report.as_json())
    assert said["executed"] is False
    assert said["records_found"] == sum(world.expected().values())
    assert said["records_put"] == said["messages_deleted"] == 0
    assert sorted(kept["message_id"] for kept in said["kept"]) == sorted(world.hopeless)
    report.verbose = True
    table = "\n".join(report.as_table())
    assert "would put 7, delete" in table
    assert "would keep: the message is not a JSON object" in table
    assert "--execute" in table
    # And what it announced is what then happens.
    executed = json.loads(world.redrive().as_json())
    assert executed["records_put"] == said["records_found"]
    assert [k["message_id"] for k in executed["kept"]] == [k["message_id"] for k in said["kept"]]


def test_the_table_tells_kind_reason_place_devices_and_age() -> None:
    world = World()
    first = world.kinesis.accept("d1", b"x")
    last = world.kinesis.accept("d2", b"y")
    batch = failed_batch(first.sequence_number, last.sequence_number, 2)
    world.add(in_envelope(batch), ("d1", b"x"), ("d2", b"y"))
    world.clock.now += 3 * 3600
    report = world.redrive(execute=False)
    report.verbose = True
    lines = list(report.as_table())
    heading = next(number for number, line in enumerate(lines) if line.startswith("message "))
    assert lines[heading].split() == [
        "message",
        "kind",
        "reason",
        "records",
        "from",
        "devices",
        "age",
    ]
    for cell in ("failed-batch", "RetryAttemptsExhausted", " 2  ", "stream shardId-0", "3h"):
        assert cell in lines[heading + 1]


def test_a_control_character_in_a_message_never_reaches_the_terminal() -> None:
    world = World()
    record = world.kinesis.accept("d1", b"x")
    message = {**rejected(record), "detail": "\x1b]0;owned\x07\nnot json\u202e"}
    world.add(message, ("d1", b"x"))
    report = world.redrive(execute=False)
    for report.verbose in (False, True):
        assert all(line.isprintable() for line in report.as_table())


def test_partly_out_of_retention_puts_the_rest_and_keeps_the_message() -> None:
    world = World()
    batch = [world.kinesis.accept(f"d{n}", random_bytes(str(n))) for n in range(6)]
    body = failed_batch(batch[0].sequence_number, batch[-1].sequence_number, 6)
    id = world.add_hopeless(in_envelope(body))
    world.kinesis.trim("shardId-000000000000", 2)
    report = world.redrive()
    assert world.accepted() == Counter((r.partition_key, r.data) for r in batch[2:])
    assert list(world.sqs.messages) == [id]
    said = json.loads(report.as_json())
    assert (said["records_found"], said["records_put"], said["out_of_retention"]) == (4, 4, 2)
    assert "the stream has 4 of 6 records" in said["kept"][0]["reason"]
    assert report.exit_code == 1


def test_a_stream_of_another_region_is_read_and_filled_there() -> None:
    world = World()
    there, here = world.regions["us-west-2"], world.kinesis
    batch = [there.accept(f"d{n}", random_bytes(str(n))) for n in range(4)]
    first, last = batch[0].sequence_number, batch[-1].sequence_number
    contents = [(record.partition_key, record.data) for record in batch]
    world.add(in_envelope(failed_batch(first, last, 4, arn=there.arn)), *contents)
    record = here.accept("d9", b"here")
    world.add(rejected(record), ("d9", b"here"))
    report = world.redrive(stream=None)
    assert (report.kept, report.exit_code) == ([], 0)
    assert (there.put, here.put) == (contents, [("d9", b"here")])


def test_a_stream_that_cannot_be_read_keeps_the_message_and_counts_nothing_as_expired() -> None:
    world = World()
    del world.kinesis.shards["shardId-000000000000"]
    [id] = [world.add_hopeless(in_envelope(failed_batch("1", "2", 2)))]
    report = world.redrive()
    assert list(world.sqs.visible()) == [id]
    said = json.loads(report.as_json())
    assert (said["out_of_retention"], report.exit_code) == (0, 1)
    reason = said["kept"][0]["reason"]
    assert reason.startswith(f"could not read {STREAM} in {REGION} (account {ACCOUNT}): Resource")
    table = "\n".join(report.as_table())
    assert "ResourceNotFoundException" in table
    assert "records have expired" not in table


def test_a_bucket_that_cannot_be_read_is_not_called_missing() -> None:
    for code, said in (("NoSuchKey", "does not exist"), ("NoSuchBucket", "could not read s3://")):
        world = World()
        world.add_hopeless(object_created("aws/lambda/1"))
        world.s3._get = partial(fail, code)  # type: ignore[method-assign]
        [(_, reason)] = world.redrive().kept
        assert said in reason
        assert (f"could not read s3://{BUCKET}/aws/lambda/1: {code}" in reason) == ("could" in said)


def fail(code: str, request: dict[str, object]) -> dict[str, object]:
    raise aws_error(code)


def test_a_message_is_kept_when_one_of_its_records_was_not_accepted() -> None:
    world = World()
    batch = [world.kinesis.accept("d1", bytes([n])) for n in range(4)]
    body = failed_batch(batch[0].sequence_number, batch[-1].sequence_number, 4)
    world.add(body, *(("d1", record.data) for record in batch))
    world.kinesis.refuses = lambda entry: "InternalFailure" if entry["Data"] == b"\2" else None
    report = world.redrive()
    assert len(world.sqs.messages) == 1
    assert world.sqs.visible() == list(world.sqs.messages)
    assert report.exit_code == 1
    world.kinesis.refuses = lambda entry: None
    assert world.redrive().exit_code == 0
    assert not world.sqs.messages


def test_records_that_fail_again_at_once_cause_no_endless_loop() -> None:
    """Each record that is put is rejected again within the run, as a message of its own."""
    world = World()
    ids = world.add_rejected(25)
    world.clock.now += 60
    put = world.kinesis._put

    def put_and_reject(request: dict[str, object]) -> dict[str, object]:
        answer = put(request)
        assert len(world.kinesis.put) <= 25, "round in circles"
        world.clock.now += 2
        for entry in request["Records"]:  # type: ignore[attr-defined]
            record = world.kinesis.accept(entry["PartitionKey"], entry["Data"])
            world.add(in_envelope(rejected(record)), (entry["PartitionKey"], entry["Data"]))
        return answer

    world.kinesis._put = put_and_reject  # type: ignore[method-assign]
    report = world.redrive()
    assert world.sqs.deleted == ids
    assert len(world.kinesis.put) == 25
    assert report.newer == 25
    assert report.exit_code == 0
    assert len(world.sqs.visible()) == 25  # for the next run, at once
    assert "25 messages arrived during the run" in "\n".join(report.as_table())


@pytest.mark.parametrize("skew", [-600.0, 600.0])
def test_the_clock_of_sqs_decides_what_came_before_the_run(skew: float) -> None:
    world = World()
    world.sqs.skew = skew
    world.add_rejected(3)
    assert world.redrive().exit_code == 0
    assert not world.sqs.messages


def test_a_flood_of_newer_messages_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_queue, "MAX_RECEIVES_WITHOUT_WORK", 5)
    world = World()
    receive = world.sqs.receive_message

    def flooded(**request: object) -> dict[str, object]:
        world.clock.now += 5
        world.add_rejected(10, f"flood {world.clock.now}")
        return receive(**request)

    world.sqs.receive_message = flooded  # type: ignore[method-assign]
    report = world.redrive()
    assert not report.read_to_end
    assert report.exit_code == 1
    assert not world.kinesis.put


def test_too_many_messages_in_flight_end_the_run() -> None:
    world = World()
    world.add_rejected(25)
    world.calls.fail_at = 4  # attributes, receive, put, delete, receive
    world.calls.error = lambda: aws_error("AWS.SimpleQueueService.OverLimit")
    report = world.redrive()
    assert (len(report.rows), report.read_to_end, report.exit_code) == (10, False, 1)


def test_only_the_kinds_that_are_asked_for() -> None:
    world = World().add_every_kind()
    count = len(world.sqs.messages)
    report = world.redrive(kinds=[Kind.RULE_ERROR, Kind.TEST_EVENT])
    assert world.kinesis.put == [("d7", b"from the rule")]
    assert len(world.sqs.visible()) == count - 2
    assert report.skipped == count - 2
    assert report.exit_code == 0


@pytest.mark.parametrize("to_function", [False, True], ids=["stream", "function"])
def test_with_basic_ingest_a_rule_error_goes_back_under_the_key_of_its_device(
    to_function: bool,
) -> None:
    """Both forms of its topic: with the prefix that the rule does not see, and without."""
    world = World()
    for number, prefix in enumerate(("", "$aws/rules/iot_telemetry_dev/")):
        device, data = f"d{number}", f"reading {number}".encode()
        world.add(rule_error(f"{prefix}device/{device}/telemetry", data), (device, data))
    assert world.redrive(to_function=to_function).exit_code == 0
    assert world.accepted() == world.expected()
    assert not world.sqs.messages


def test_a_limit_on_the_messages() -> None:
    world = World()
    world.add_rejected(30)
    report = world.redrive(limit=13)
    assert (len(report.rows), len(world.sqs.messages), len(world.kinesis.put)) == (13, 17, 13)
    assert len(world.sqs.visible()) == 17
    assert report.exit_code == 0


def test_messages_are_held_for_as_long_as_they_are_worked_on() -> None:
    """At one record a second, ten batches of 100 records take longer than the visibility timeout."""
    world = World()
    for number in range(10):
        batch = [world.kinesis.accept(f"d{n}", random_bytes(f"{number} {n}")) for n in range(100)]
        body = failed_batch(batch[0].sequence_number, batch[-1].sequence_number, 100)
        world.add(in_envelope(body), *((r.partition_key, r.data) for r in batch))
    seen: list[str] = []
    put = world.kinesis._put

    def look(request: dict[str, object]) -> dict[str, object]:
        seen.extend(world.sqs.visible())
        return put(request)

    world.kinesis._put = look  # type: ignore[method-assign]
    assert world.redrive(rate=1).exit_code == 0
    assert world.clock.now - 1_800_000_000 > 900
    assert seen == []
    assert world.accepted() == world.expected()


def test_messages_are_held_while_the_others_of_the_same_call_are_looked_at() -> None:
    world = World()
    for number in range(10):
        record = world.kinesis.accept("d1", random_bytes(str(number)))
        key = f"aws/lambda/{number}"
        world.s3.objects[key] = json.dumps(stored_batch(record)).encode()
        world.add(object_created(key), ("d1", record.data))
    get, seen = world.s3._get, []

    def slow(request: dict[str, object]) -> dict[str, object]:
        seen.extend(world.sqs.visible())
        world.clock.now += 60
        return get(request)

    world.s3._get = slow  # type: ignore[method-assign]
    assert world.redrive().exit_code == 0
    assert seen == []


def test_a_destination_that_takes_less_without_a_word_deletes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        StreamDestination, "deliver", lambda self, found: [Outcome(0) for _ in found]
    )
    world = World()
    world.add_rejected(1)
    report = world.redrive()
    assert len(world.sqs.messages) == 1
    assert report.exit_code == 1


def test_a_message_that_comes_back_within_the_run_is_not_taken_up_again() -> None:
    world = World()
    world.add_hopeless("not JSON")
    world.add_rejected(30)
    put = world.kinesis._put

    def slow(request: dict[str, object]) -> dict[str, object]:
        world.clock.now += 400  # longer than the first message is held
        return put(request)

    world.kinesis._put = slow  # type: ignore[method-assign]
    report = world.redrive()
    assert len(report.rows) == len({row.message_id for row in report.rows})
    assert [row.message_id for row, _ in report.kept if row.kind is Kind.UNKNOWN] == world.hopeless


def test_a_message_that_cannot_be_deleted_reports_that_its_records_were_put() -> None:
    world = World()
    [id] = world.add_rejected(1)
    world.sqs.refuses_delete = lambda id: "InternalError"
    report = world.redrive()
    [(row, reason)] = report.kept
    assert (row.message_id, row.accepted) == (id, 1)
    assert "cannot be deleted (InternalError)" in reason
    world.sqs.refuses_delete = lambda id: None
    assert world.redrive().exit_code == 0


def test_a_deletion_that_fails_for_a_moment_is_tried_again() -> None:
    world = World()
    world.add_rejected(3)
    refusals = ["InternalError"] * 2
    world.sqs.refuses_delete = lambda id: refusals.pop() if refusals else None
    assert world.redrive().exit_code == 0
    assert not world.sqs.messages


def test_what_the_destination_cannot_take_is_kept_and_still_counted() -> None:
    world = World()
    world.add_hopeless(async_failure({"not": "from the stream"}))
    world.add_hopeless(rule_error("device/d1/telemetry", b"x"))
    record = world.kinesis.accept("d1", b"y")
    world.add(rejected(record), ("d1", b"y"))
    report = world.redrive(stream=None)
    assert world.kinesis.targets == [STREAM_ARN]
    assert [row.records for row in report.rows] == [1, 1, 1]
    assert ["--function" in reason for _, reason in report.kept] == [True, False]
    assert ["--stream" in reason for _, reason in report.kept] == [False, True]
    assert sorted(world.sqs.messages) == sorted(world.hopeless)


def test_a_record_that_the_function_refuses_stays_on_the_queue() -> None:
    world = World()
    world.add_rejected(12)
    bad = world.behind["message-000005"][0][1]
    world.function.fails_on = {bad}
    report = world.redrive(to_function=True)
    assert list(world.sqs.messages) == ["message-000005"]
    assert len(world.function.stored) == 11
    assert report.exit_code == 1


def test_an_empty_queue_is_no_error() -> None:
    report = World().redrive()
    assert report.exit_code == 0
    assert next(report.as_table()).startswith("0 messages with 0 records")
