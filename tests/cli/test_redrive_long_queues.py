"""Long queues: the number of calls per message is constant, every run ends, and the report stays short."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

import pytest

from iot_constructs.cli import dead_letter_queue, report
from iot_constructs.cli.aws_errors import RetryPolicy
from iot_constructs.cli.dead_letter_queue import DeadLetterQueue

from .aws_fakes import (
    QUEUE_URL,
    Clock,
    aws_error,
    failed_batch,
    in_envelope,
    random_bytes,
    rejected,
)
from .world import World

SHORT, LONG = 2_000, 20_000
# A message returns after three times the time at which it was received: 1 + 1/3 + 1/9 + …
RECEIVES = 1.5


def add_failed_batches(world: World, count: int) -> None:
    """Messages of which each takes several calls, because its record is on the stream."""
    for number in range(count):
        record = world.kinesis.accept(f"d{number % 50}", random_bytes(str(number)))
        body = failed_batch(record.sequence_number, record.sequence_number, 1)
        world.add(in_envelope(body), (record.partition_key, record.data))


def make_world(latency: float) -> World:
    world = World()
    world.clock.now += 60
    world.calls.latency = latency
    return world


def receives(world: World) -> list[int]:
    return [message.receives for message in world.sqs.messages.values()]


def cut_off_after(world: World, calls: int) -> None:
    """A run that does not end fails instead of running on."""
    world.calls.fail_at = calls
    world.calls.error = lambda: AssertionError("the run does not end")


@pytest.mark.parametrize("count", [SHORT, LONG])
def test_a_dry_run_receives_each_message_one_and_a_half_times_at_the_most(count: int) -> None:
    world = make_world(0.1)
    add_failed_batches(world, count)
    before = dict(world.sqs.messages)
    cut_off_after(world, 4 * count)
    found = world.redrive(execute=False)
    assert world.clock.now - 1_800_000_000 > 2 * dead_letter_queue.VISIBILITY_SECONDS
    assert len(found.rows) == len({row.message_id for row in found.rows}) == count
    assert found.read_to_end
    assert world.sqs.messages == before
    assert len(world.sqs.visible()) == count
    assert sum(receives(world)) <= RECEIVES * count
    assert world.calls.count("receive_message") <= RECEIVES * count / 10 + 1
    assert world.calls.count("get_shard_iterator") == count
    assert world.calls.count("change_message_visibility_batch") == count / 10


@pytest.mark.parametrize("count", [SHORT, LONG])
def test_a_run_that_can_deliver_nothing_receives_each_message_one_and_a_half_times_at_the_most(
    count: int,
) -> None:
    world = make_world(0.1)
    add_failed_batches(world, count)
    world.kinesis.shards["shardId-000000000000"].records.clear()
    cut_off_after(world, 5 * count)
    found = world.redrive()
    assert (len(found.kept), found.exit_code, found.read_to_end) == (count, 1, True)
    assert len(world.sqs.visible()) == count
    assert sum(receives(world)) <= RECEIVES * count


@pytest.mark.parametrize("count", [SHORT, LONG])
def test_a_redrive_takes_one_receive_one_put_and_one_deletion_for_ten_messages(count: int) -> None:
    world = make_world(0.1)
    world.add_rejected(count)
    cut_off_after(world, count)
    assert world.redrive().exit_code == 0
    assert not world.sqs.messages
    assert world.accepted() == world.expected()
    assert Counter(world.calls.names) == {
        "get_queue_attributes": 1,
        "receive_message": count / 10 + 1,
        "put_records": count / 10,
        "delete_message_batch": count / 10,
    }


@pytest.mark.parametrize("execute", [False, True])
def test_the_report_of_a_long_queue_is_as_short_as_that_of_a_short_one(execute: bool) -> None:
    lengths = set()
    for count in (200, 2_000):
        world = make_world(0.01)
        for number in range(count):
            record = world.kinesis.accept("d1", random_bytes(str(number)))
            body = {**rejected(record), "detail": f"detail {number}"}
            world.add(body, ("d1", record.data))
            world.add_hopeless({"some": f"message {number}"})
        found = world.redrive(execute=execute)
        lines = list(found.as_table())
        said = json.loads(found.as_json())
        lengths.add((len(lines), len(said["groups"]), len(said["kept"])))
        assert said["messages_kept"] == count
        assert "details" not in said
        assert [(g["kind"], g["reason"], g["messages"]) for g in said["groups"]] == [
            ("rejected-record", "not-json", count),
            ("unknown", "", count),
        ]
        assert f"{count - report.MAX_KEPT} more messages are kept" in "\n".join(lines)
        found.verbose = True
        assert len(json.loads(found.as_json())["details"]) == 2 * count
        assert sum("unknown kind of message" in line for line in found.as_table()) == count
    assert len(lengths) == 1


def test_a_group_has_the_sums_of_its_messages() -> None:
    world = World()
    add_failed_batches(world, 3)
    world.kinesis.trim("shardId-000000000000", 1)
    world.clock.now += 7200
    [group] = world.redrive(execute=False).groups
    assert (group.messages, group.records, group.put, group.missing, group.kept) == (3, 2, 2, 1, 1)
    assert group.oldest_seconds is not None
    assert group.oldest_seconds // 3600 == 2
    executed = world.redrive()
    [group] = executed.groups
    assert (group.messages, group.records, group.put, group.missing, group.kept) == (3, 2, 2, 1, 1)
    heading, line, *_ = executed.as_table()
    assert heading.split() == [
        "kind", "reason", "messages", "kept", "records", "put", "expired", "oldest",
    ]  # fmt: skip
    assert line.split() == [
        "failed-batch", "RetryAttemptsExhausted:", "Unhandled", "3", "1", "2", "2", "1", "2h",
    ]  # fmt: skip


def test_many_reasons_are_summed_up() -> None:
    world = World()
    for number in range(report.MAX_GROUPS + 5):
        record = world.kinesis.accept("d1", random_bytes(str(number)))
        body = {**rejected(record), "reason": f"reason {number}"}
        world.add(body, ("d1", record.data))
    world.add(body, ("d1", record.data))
    found = world.redrive(execute=False)
    lines = list(found.as_table())
    assert "5 other reasons: 5 messages" in lines
    assert sum(line.startswith("rejected-record") for line in lines) == report.MAX_GROUPS
    said = json.loads(found.as_json())
    assert (len(said["groups"]), said["groups_not_listed"]) == (report.MAX_GROUPS, 5)
    # The largest first.
    assert (said["groups"][0]["reason"], said["groups"][0]["messages"]) == (body["reason"], 2)


def test_messages_that_come_back_are_not_taken_for_newer_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All at once, because a message between them takes long, and before those that were not received yet."""
    monkeypatch.setattr(dead_letter_queue, "MAX_RECEIVES_WITHOUT_WORK", 3)
    world = make_world(0.1)
    for number in range(200):
        world.add_hopeless({"some": f"message {number}"})
    add_failed_batches(world, 1)
    for number in range(50):
        world.add_hopeless({"some": f"message {number}"})
    read = world.kinesis._read

    def slow(request: dict[str, object]) -> dict[str, object]:
        world.clock.now += 1000
        return read(request)

    world.kinesis._read = slow  # type: ignore[method-assign]
    found = world.redrive(execute=False)
    assert sum(receives(world)) > 400
    assert (found.read_to_end, len(found.rows), found.newer) == (True, 251, 0)


@pytest.mark.parametrize("execute", [False, True])
def test_a_run_that_holds_too_many_messages_ends_and_reports_it(
    execute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letter_queue, "MAX_IN_FLIGHT", 50)
    world = World()
    for number in range(80):
        world.add_hopeless({"some": f"message {number}"})
    found = world.redrive(execute=execute)
    assert (len(found.rows), found.read_to_end) == (50, False)
    assert "did not receive all messages" in "\n".join(found.as_table())
    assert len(world.sqs.visible()) == 80


def test_an_empty_response_at_the_quota_of_sqs_is_not_the_end_of_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With long polling, SQS returns no error at the quota (SQSDeveloperGuide/quotas-queues.html)."""
    monkeypatch.setattr(dead_letter_queue, "MAX_IN_FLIGHT", 50)
    world = World()
    world.sqs.max_in_flight = 50
    held = [world.add_hopeless({"some": f"message {number}"}) for number in range(80)][:30]
    for id in held:  # by another consumer
        world.sqs._hide(world.sqs.messages[id], 40_000)
    found = world.redrive(execute=False)
    assert (len(found.rows), found.read_to_end, found.in_flight_elsewhere) == (20, False, 30)
    assert "about 30 messages were not received" in "\n".join(found.as_table())


def test_a_killed_run_gives_its_messages_back_after_twice_its_time() -> None:
    world = make_world(0.1)
    add_failed_batches(world, 3_000)
    started = world.clock.now
    world.calls.fail_at = 6_000
    world.sqs.change_message_visibility_batch = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.redrive(execute=False)
    elapsed = world.clock.now - started
    assert len(world.sqs.visible()) < 3_000
    world.clock.now += 2 * elapsed + 1
    assert len(world.sqs.visible()) == 3_000


def killed(**request: object) -> dict[str, object]:
    raise KeyboardInterrupt


@pytest.mark.parametrize("before", [0, 40_000])
def test_a_message_is_held_for_the_12_hours_that_sqs_allows(before: int) -> None:
    """The fake rejects more, as SQS does."""
    clock = Clock()
    world = World(clock)
    world.add_rejected(1)
    queue = DeadLetterQueue(
        world.sqs, QUEUE_URL, retry_policy=RetryPolicy(clock.sleep, lambda: 1.0), clock=clock
    )
    clock.now += before
    [message] = queue.receive(10)
    ends = clock.now + 43_200
    while clock.now < ends - dead_letter_queue.VISIBILITY_SECONDS:
        queue.keep_alive()
        assert world.sqs.visible() == []
        clock.now += 60
    assert world.sqs.messages[message.id].visible_at <= ends


def test_a_release_that_is_throttled_is_repeated() -> None:
    world = World()
    for number in range(40):
        world.add_hopeless({"some": f"message {number}"})
    change = world.sqs.change_message_visibility_batch
    errors = [aws_error("ThrottlingException")] * 2

    def throttled(**request: object) -> dict[str, object]:
        if errors:
            raise errors.pop()
        return change(**request)

    world.sqs.change_message_visibility_batch = throttled  # type: ignore[method-assign]
    world.sqs.change_failures = ["InternalError"] * 3
    found = world.redrive(execute=False)
    assert len(world.sqs.visible()) == 40
    assert (found.error, found.invisible) == (None, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, lambda: aws_error("AccessDenied")])
def test_messages_that_stay_invisible_are_reported_with_their_time(
    error: type[BaseException],
) -> None:
    world = World()
    for number in range(40):
        world.add_hopeless({"some": f"message {number}"})
    world.calls.fail_at, world.calls.error = 7, error  # attributes, 5 receives, a release
    found = report.Report(executed=False, destination="")
    with suppress(KeyboardInterrupt):
        world.redrive(execute=False, report=found)
    assert len(world.sqs.visible()) == 10
    assert found.invisible == 30
    assert 290 < found.invisible_seconds <= 302
    assert any("30 messages could not be made visible" in line for line in found.as_table())
    world.clock.now += found.invisible_seconds
    assert len(world.sqs.visible()) == 40
