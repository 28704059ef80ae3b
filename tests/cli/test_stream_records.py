"""Reading a batch back from the stream, whole or what is left of it."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError, InvalidRegionError

from iot_constructs.cli.accepted_ranges import AcceptedRanges
from iot_constructs.cli.aws_errors import MAX_ATTEMPTS, RetryPolicy, error_code, format_error
from iot_constructs.cli.dead_letter_messages import StreamRange
from iot_constructs.cli.stream_records import RangeRead, StreamReader

from .aws_fakes import (
    ACCOUNT,
    REGION,
    SHARD,
    STREAM,
    STREAM_ARN,
    Calls,
    Clock,
    FakeKinesis,
    OnShard,
    aws_error,
    on_shard,
)


class Shard:
    """Ten records on one shard, and others before and behind them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.kinesis = FakeKinesis(Calls(self.clock))
        self.kinesis.accept("before", b"before")
        self.records = [self.kinesis.accept(f"d{n}", bytes([n])) for n in range(10)]
        self.kinesis.accept("behind", b"behind")

    def read(self, size: int = 10, shard: str = SHARD, arn: str = STREAM_ARN) -> RangeRead:
        first, last = self.records[0].sequence_number, self.records[-1].sequence_number
        reader = StreamReader(
            lambda region: self.kinesis, RetryPolicy(self.clock.sleep, lambda: 1.0), lambda: None
        )
        return reader.read(StreamRange(arn, shard, first, last, size), AcceptedRanges())


def numbers(records: list[OnShard]) -> list[str]:
    return [record.sequence_number for record in records]


def test_a_range_is_read_with_both_of_its_ends_and_nothing_else() -> None:
    shard = Shard()
    read = shard.read()
    assert (read.missing, read.problem) == (0, None)
    assert [record.sequence_number for record in read.records] == numbers(shard.records)
    assert read.records[3].data == b"\x03"
    assert read.records[3].partition_key == "d3"
    assert read.records[3].arrival == shard.records[3].arrival


def test_a_closed_shard_is_read_like_any_other() -> None:
    shard = Shard()
    shard.kinesis.shards[SHARD].records.pop()  # the batch is the last thing on it
    shard.kinesis.reshard()
    assert len(shard.read().records) == 10
    assert shard.read().problem is None


def test_at_the_tip_of_an_open_shard_reading_comes_to_an_end() -> None:
    shard = Shard()
    lost = shard.kinesis.shards[SHARD].records.pop(), shard.kinesis.shards[SHARD].records.pop()
    assert on_shard(lost[1]) == shard.records[-1]
    read = shard.read()
    assert len(read.records) == 9
    assert read.missing == 1


def test_with_parallel_batches_a_range_has_more_records_than_the_batch() -> None:
    read = Shard().read(size=4)
    assert (len(read.records), read.missing, read.problem) == (10, 0, None)


def test_expired_records_are_counted_and_the_others_are_read() -> None:
    shard = Shard()
    shard.kinesis.trim(SHARD, 4)
    read = shard.read()
    assert [record.sequence_number for record in read.records] == numbers(shard.records[3:])
    assert read.missing == 3
    assert read.problem is not None
    assert "expired: the stream has 7 of 10 records" in read.problem


def test_a_trimmed_first_record_is_missed_even_where_enough_others_are_left() -> None:
    shard = Shard()
    shard.kinesis.trim(SHARD, 2)
    read = shard.read(size=4)
    assert len(read.records) == 9
    assert read.missing == 1
    assert read.problem is not None


def test_an_expired_batch() -> None:
    shard = Shard()
    shard.kinesis.trim(SHARD, 11)
    read = shard.read()
    assert (read.records, read.missing) == ((), 10)
    assert read.problem is not None
    assert "expired" in read.problem


def test_throttled_reads_are_tried_again_for_longer_than_five_seconds() -> None:
    shard = Shard()
    shard.kinesis.throttled_reads = 6
    assert len(shard.read().records) == 10
    assert sum(shard.clock.slept) > 5


def test_a_shard_or_a_number_that_the_stream_does_not_know_is_not_called_expired() -> None:
    shard = Shard()
    shard.kinesis.trimmed_is_an_error = True
    shard.kinesis.trim(SHARD, 11)
    assert_unread(shard.read(), "InvalidArgumentException: the sequence number is not of this")
    del shard.kinesis.shards[SHARD]
    assert_unread(shard.read(), f"ResourceNotFoundException: no shard {SHARD}")


@pytest.mark.parametrize("call", [0, 1], ids=["iterator", "records"])
@pytest.mark.parametrize(
    "error",
    [
        aws_error("AccessDeniedException", "no GetRecords"),
        aws_error("ExpiredTokenException", "the token is expired"),
        aws_error("ResourceNotFoundException", "no such stream"),
        aws_error("UnrecognizedClientException", "the Region is not enabled"),
        EndpointConnectionError(endpoint_url="none"),
    ],
    ids=error_code,
)
def test_what_could_not_be_looked_at_is_not_called_expired(error: Exception, call: int) -> None:
    shard = Shard()
    shard.kinesis.calls.fail_at, shard.kinesis.calls.error = call, lambda: error
    assert_unread(shard.read(), format_error(error))


def test_throttling_that_does_not_end_is_not_called_expired() -> None:
    shard = Shard()
    shard.kinesis.throttled_reads = MAX_ATTEMPTS
    assert_unread(shard.read(), "ProvisionedThroughputExceededException")


def test_a_region_that_is_none_is_not_called_expired() -> None:
    def client_in(region: str) -> FakeKinesis:
        raise InvalidRegionError(region_name=region)

    reader = StreamReader(client_in, RetryPolicy(), lambda: None)
    read = reader.read(StreamRange(STREAM_ARN, SHARD, "1", "2", 2), AcceptedRanges())
    assert_unread(read, "InvalidRegionError")


def assert_unread(read: RangeRead, reason: str) -> None:
    assert (read.records, read.missing) == ((), 0)
    assert read.problem is not None
    where = f"could not read {STREAM} in {REGION} (account {ACCOUNT}): "
    assert read.problem.startswith(where + reason)
    assert "expired:" not in read.problem
