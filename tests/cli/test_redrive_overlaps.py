"""Failed batches whose ranges overlap: with a parallelization factor, a batch has only some records of its range."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.aws_errors import MAX_ATTEMPTS
from iot_constructs.cli.dead_letter_messages import StreamRange

from .aws_fakes import STREAM_ARN, OnShard, aws_error, failed_batch, in_envelope, rejected
from .world import Content, World

PARALLEL = 10
RECORDS = 400


def add_parallel_batches(world: World, seed: int | None = None) -> list[OnShard]:
    """Each batch has every tenth of 100 records, and so nearly their whole range."""
    records = [
        world.kinesis.accept(f"d{n % PARALLEL}", f"record {n}".encode()) for n in range(RECORDS)
    ]
    batches = [
        records[start + device : start + 100 : PARALLEL]
        for start in range(0, RECORDS, 100)
        for device in range(PARALLEL)
    ]
    if seed is not None:
        random.Random(seed).shuffle(batches)
    for batch in batches:
        add_batch(world, batch)
    return records


def add_batch(world: World, batch: list[OnShard]) -> str:
    body = failed_batch(batch[0].sequence_number, batch[-1].sequence_number, len(batch))
    return world.add(in_envelope(body), *map(content, batch))


def content(record: OnShard) -> Content:
    return record.partition_key, record.data


def once(records: list[OnShard]) -> Counter[Content]:
    return Counter(map(content, records))


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("to_function", [False, True])
def test_a_record_in_the_ranges_of_many_messages_is_delivered_once(
    to_function: bool, seed: int | None
) -> None:
    world = World()
    records = add_parallel_batches(world, seed)
    said = json.loads(world.redrive(to_function=to_function).as_json())
    assert world.accepted() == once(records)
    assert (said["records_found"], said["records_put"]) == (RECORDS, RECORDS)
    assert said["messages_deleted"] == said["messages"] == 4 * PARALLEL
    assert not world.sqs.messages


def test_a_dry_run_counts_as_the_redrive_does() -> None:
    world = World()
    add_parallel_batches(world)
    said = json.loads(world.redrive(execute=False).as_json())
    assert (said["records_found"], said["groups"][0]["would_put"]) == (RECORDS, RECORDS)
    assert len(world.sqs.messages) == 4 * PARALLEL


def test_batches_in_the_order_of_the_stream_are_read_about_twice_instead_of_ten_times() -> None:
    world = World()
    add_parallel_batches(world)
    read = 0
    get_records = world.kinesis.get_records

    def counting(**request: Any) -> dict[str, Any]:
        nonlocal read
        response = get_records(**request)
        read += len(response["Records"])
        return response

    world.kinesis.get_records = counting  # type: ignore[method-assign]
    world.redrive()
    assert RECORDS <= read <= 2 * RECORDS


def refuse_first_put(world: World) -> None:
    world.kinesis.put_errors.append(aws_error("AccessDeniedException"))


def refuse_a_record(world: World) -> None:
    refusals = iter(["InternalFailure"] * MAX_ATTEMPTS)
    world.kinesis.refuses = lambda entry: next(refusals, None) if entry["Data"] == b"\5" else None


def fail_first_invocation(world: World) -> None:
    world.function.errors.append(aws_error("AccessDeniedException"))


@pytest.mark.parametrize("fault", [refuse_first_put, refuse_a_record, fail_first_invocation])
def test_records_that_were_not_accepted_are_delivered_for_the_next_message(
    fault: Callable[[World], None],
) -> None:
    """Otherwise the second message would be deleted although nobody has its records."""
    world = World()
    records = [world.kinesis.accept("d", bytes([n])) for n in range(10)]
    first = add_batch(world, records)
    add_batch(world, records[1:9])
    fault(world)
    world.redrive(to_function=fault is fail_first_invocation)
    assert list(world.sqs.messages) == [first]
    assert set(once(records[1:9])) <= set(world.accepted())


def test_a_message_that_sns_delivered_twice_is_delivered_once() -> None:
    world = World()
    records = [world.kinesis.accept("d", bytes([n])) for n in range(2)]
    for record in (*records, *records):
        add_batch(world, [record])
    world.redrive()
    assert world.accepted() == once(records)
    assert not world.sqs.messages


@pytest.mark.parametrize("to_function", [False, True])
def test_a_record_that_is_rejected_again_within_the_run_is_delivered_for_its_new_message(
    to_function: bool,
) -> None:
    """The message of a large record has no payload, only the position that the run has delivered."""
    world = World()
    record = world.kinesis.accept("d", b"not JSON")
    body = rejected(record, encoding="none")
    for _ in range(2):  # as if the function had rejected what the run delivered
        world.add(in_envelope(body), content(record))
    world.redrive(to_function=to_function)
    assert world.accepted() == {content(record): 2}


def test_expired_records_of_an_overlapping_range_are_reported_for_each_message() -> None:
    world = World()
    records = [world.kinesis.accept("d", bytes([n])) for n in range(10)]
    kept = [add_batch(world, records), add_batch(world, records[1:])]
    whole = add_batch(world, records[4:8])
    world.kinesis.trim("shardId-000000000000", 2)
    report = world.redrive()
    assert sorted(row.message_id for row, _ in report.kept) == sorted(kept)
    assert [row.missing for row in report.rows] == [2, 1, 0]
    assert whole not in world.sqs.messages
    assert world.accepted() == once(records[2:])


def test_expired_while_the_run_reads_overlapping_ranges() -> None:
    """The part that is read begins with an accepted record; if this has expired, others can have too."""
    world = World()
    records = [world.kinesis.accept("d", bytes([n])) for n in range(20)]
    add_batch(world, records[:10])
    late = add_batch(world, records[5:])
    trimmed = False
    put_records = world.kinesis.put_records

    def trim_after_put(**request: Any) -> dict[str, Any]:
        nonlocal trimmed
        response = put_records(**request)
        if not trimmed:
            world.kinesis.trim("shardId-000000000000", 12)
            trimmed = True
        return response

    world.kinesis.put_records = trim_after_put  # type: ignore[method-assign]
    report = world.redrive()
    assert [row.message_id for row, _ in report.kept] == [late]
    assert report.rows[1].missing > 0
    assert world.accepted() == once([*records[:10], *records[12:]])


def test_other_streams_and_shards_have_the_same_sequence_numbers() -> None:
    accepted = AcceptedRanges()
    accepted.add(stream_range(1, 5))
    assert accepted.has(stream_range(1, 5), 3)
    assert not accepted.has(StreamRange(STREAM_ARN, "shardId-000000000001", "1", "5", 1), 3)
    assert not accepted.has(StreamRange(f"{STREAM_ARN}2", "shardId-000000000000", "1", "5", 1), 3)


def test_ranges_are_joined_as_a_set_of_numbers_would_be() -> None:
    for seed in range(50):
        random_ = random.Random(seed)
        accepted, numbers = AcceptedRanges(), set[int]()
        for _ in range(30):
            first = random_.randrange(100)
            last = first + random_.randrange(12)
            whole = stream_range(first, last)
            assert [accepted.has(whole, n) for n in range(120)] == [
                n in numbers for n in range(120)
            ]
            accepted.add(whole)
            numbers |= set(range(first, last + 1))


def test_what_remains_of_a_range_begins_with_its_last_accepted_record() -> None:
    accepted = AcceptedRanges()
    accepted.add(stream_range(10, 20))
    assert accepted.remaining(stream_range(12, 20)) is None
    assert accepted.remaining(stream_range(15, 30)) == stream_range(20, 30)
    assert accepted.remaining(stream_range(5, 15)) == stream_range(5, 15)
    assert accepted.remaining(stream_range(21, 30)) == stream_range(21, 30)


def stream_range(first: int, last: int) -> StreamRange:
    return StreamRange(STREAM_ARN, "shardId-000000000000", str(first), str(last), 1)
