"""Kinesis, as a mapping, a producer, and a redrive use it: the model and the emulator behave in the same way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from .conftest import Models, Services

SHARD = "shardId-000000000000"


def put(services: Services, *data: bytes, key: str = "d1") -> list[str]:
    """Return the sequence numbers."""
    response = services.kinesis.put_records(
        StreamARN=services.stream_arn,
        Records=[{"Data": each, "PartitionKey": key} for each in data],
    )
    assert response["FailedRecordCount"] == 0
    assert {each["ShardId"] for each in response["Records"]} == {SHARD}
    return [each["SequenceNumber"] for each in response["Records"]]


def iterator(
    services: Services, type: str = "TRIM_HORIZON", shard: str = SHARD, **more: Any
) -> str:
    response = services.kinesis.get_shard_iterator(
        StreamARN=services.stream_arn, ShardId=shard, ShardIteratorType=type, **more
    )
    found: str = response["ShardIterator"]
    return found


def get(services: Services, at: str, **more: Any) -> dict[str, Any]:
    response: dict[str, Any] = services.kinesis.get_records(
        StreamARN=services.stream_arn, ShardIterator=at, **more
    )
    return response


def read(services: Services, type: str = "TRIM_HORIZON", **more: Any) -> list[bytes]:
    return data_of(get(services, iterator(services, type, **more)))


def data_of(response: dict[str, Any]) -> list[bytes]:
    return [each["Data"] for each in response["Records"]]


def refused(call: Any, *arguments: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(*arguments, **request)
    code: str = raised.value.response["Error"]["Code"]
    return code


def numbers(texts: Iterable[str]) -> list[int]:
    return list(map(int, texts))


def test_records_are_read_as_they_were_put(services: Services) -> None:
    before = datetime.now(timezone.utc)
    sequence_numbers = put(services, b"a", b"", b"\xff\x00", key="dévice")
    assert numbers(sequence_numbers) == sorted(set(numbers(sequence_numbers)))
    response = get(services, iterator(services))
    assert data_of(response) == [b"a", b"", b"\xff\x00"]
    assert [each["SequenceNumber"] for each in response["Records"]] == sequence_numbers
    assert {each["PartitionKey"] for each in response["Records"]} == {"dévice"}
    arrivals = [each["ApproximateArrivalTimestamp"] for each in response["Records"]]
    assert arrivals == sorted(arrivals)
    assert arrivals[0].tzinfo is not None
    assert response["MillisBehindLatest"] == 0
    if not isinstance(services, Models):
        assert (arrivals[0] - before).total_seconds() > -1


def test_a_record_that_was_put_twice_is_there_twice(services: Services) -> None:
    assert len(set(put(services, b"a", b"a") + put(services, b"a"))) == 3
    assert read(services) == [b"a"] * 3


def test_each_type_of_iterator(services: Services) -> None:
    first, second = put(services, b"a", b"b")
    latest = iterator(services, "LATEST")
    [third] = put(services, b"c")
    assert read(services, "TRIM_HORIZON") == [b"a", b"b", b"c"]
    assert read(services, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=second) == [b"b", b"c"]
    assert read(services, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=second) == [b"c"]
    assert read(services, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=third) == []
    assert read(services, "LATEST") == []
    assert data_of(get(services, latest)) == [b"c"]
    long_ago = datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert read(services, "AT_TIMESTAMP", Timestamp=long_ago) == [b"a", b"b", b"c"]
    arrival = get(services, iterator(services))["Records"][0]["ApproximateArrivalTimestamp"]
    assert read(services, "AT_TIMESTAMP", Timestamp=arrival)[0] == b"a"
    assert first < second < third


def test_the_next_iterator_continues_and_can_be_used_again(services: Services) -> None:
    put(services, b"a", b"b", b"c")
    response = get(services, iterator(services), Limit=2)
    assert data_of(response) == [b"a", b"b"]
    following = response["NextShardIterator"]
    assert data_of(get(services, following)) == [b"c"]
    put(services, b"d")
    assert data_of(get(services, following)) == [b"c", b"d"]
    end = get(services, get(services, following)["NextShardIterator"])
    assert (data_of(end), end["MillisBehindLatest"]) == ([], 0)
    assert end["NextShardIterator"] is not None


def test_a_call_puts_up_to_500_records(services: Services) -> None:
    entries = [{"Data": b"x", "PartitionKey": "d1"}] * 501
    code = refused(services.kinesis.put_records, StreamARN=services.stream_arn, Records=entries)
    # A constraint of the request's members is checked first on AWS.
    assert code in ("InvalidArgumentException", "ValidationException")
    assert read(services) == []
    put(services, *[b"x"] * 500)
    assert len(read(services)) == 500
    with pytest.raises((ClientError, ParamValidationError)):
        put(services)


def test_a_partition_key_has_1_to_256_characters(services: Services) -> None:
    put(services, b"x", key="k" * 256)
    with pytest.raises((ClientError, ParamValidationError)):
        put(services, b"x", key="")
    with pytest.raises(ClientError):
        put(services, b"x", key="k" * 257)
    assert len(read(services)) == 1


def test_a_call_gets_up_to_10000_records(services: Services) -> None:
    at = iterator(services)
    with pytest.raises((ClientError, ParamValidationError)):
        get(services, at, Limit=0)
    assert get(services, at, Limit=10_000)["Records"] == []


def test_what_does_not_exist(services: Services) -> None:
    missing = f"{services.stream_arn}-2"
    entries = [{"Data": b"x", "PartitionKey": "d1"}]
    not_found = "ResourceNotFoundException"
    assert refused(services.kinesis.put_records, StreamARN=missing, Records=entries) == not_found
    assert refused(services.kinesis.list_shards, StreamARN=missing) == not_found
    at = {"ShardId": SHARD, "ShardIteratorType": "LATEST"}
    assert refused(services.kinesis.get_shard_iterator, StreamARN=missing, **at) == not_found
    at["ShardId"] = "shardId-000000000009"
    call = services.kinesis.get_shard_iterator
    assert refused(call, StreamARN=services.stream_arn, **at) == not_found


def test_the_shard_of_a_new_stream(services: Services) -> None:
    [shard] = services.kinesis.list_shards(StreamARN=services.stream_arn)["Shards"]
    assert shard["ShardId"] == SHARD
    assert shard["HashKeyRange"] == {
        "StartingHashKey": "0",
        "EndingHashKey": str(2**128 - 1),
    }
    assert int(shard["SequenceNumberRange"]["StartingSequenceNumber"]) <= int(put(services, b"")[0])
    assert "EndingSequenceNumber" not in shard["SequenceNumberRange"]


# --- only the model: the emulator deletes a parent shard with its records (local/mapping_stream.py)


def test_a_split_shard_stays_readable_to_its_end(models: Models) -> None:
    """streams/latest/dev/kinesis-using-sdk-java-after-resharding.html"""
    put(models, b"a", b"b")
    at = iterator(models)
    models.kinesis.split_shard(SHARD)
    parent, left, right = models.kinesis.list_shards(StreamARN=models.stream_arn)["Shards"]
    ends = parent["SequenceNumberRange"]
    assert int(ends["StartingSequenceNumber"]) <= int(ends["EndingSequenceNumber"])
    for child in (left, right):
        assert child["ParentShardId"] == SHARD
        first = child["SequenceNumberRange"]["StartingSequenceNumber"]
        assert int(first) > int(ends["EndingSequenceNumber"])
    assert left["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)}
    assert right["HashKeyRange"]["StartingHashKey"] == str(2**127)
    # The null iterator comes with the last records.
    response = get(models, at, Limit=1)
    assert (data_of(response), response["MillisBehindLatest"] > 0) == ([b"a"], True)
    response = get(models, response["NextShardIterator"])
    assert (data_of(response), response["NextShardIterator"]) == ([b"b"], None)
    response = get(models, iterator(models, "LATEST"))
    assert (data_of(response), response["NextShardIterator"]) == ([], None)


def test_records_go_to_the_children_by_the_hash_of_their_key(models: Models) -> None:
    """API_PutRecords: MD5 maps a partition key to a shard."""
    models.kinesis.split_shard(SHARD)
    entries = [{"Data": b"x", "PartitionKey": f"d{n}"} for n in range(100)]
    results = models.kinesis.put_records(StreamARN=models.stream_arn, Records=entries)["Records"]
    shards = {result["ShardId"] for result in results}
    assert shards == {"shardId-000000000001", "shardId-000000000002"}
    again = models.kinesis.put_records(StreamARN=models.stream_arn, Records=entries)["Records"]
    assert [each["ShardId"] for each in again] == [each["ShardId"] for each in results]
    # md5("d1") begins with 0x99, in the upper half.
    assert results[1]["ShardId"] == "shardId-000000000002"


def test_a_merged_shard_has_two_parents(models: Models) -> None:
    models.kinesis.split_shard(SHARD)
    models.kinesis.merge_shards("shardId-000000000001", "shardId-000000000002")
    merged = models.kinesis.list_shards(StreamARN=models.stream_arn)["Shards"][-1]
    assert merged["ParentShardId"] == "shardId-000000000001"
    assert merged["AdjacentParentShardId"] == "shardId-000000000002"
    assert [shard.id for shard in models.kinesis.open_shards()] == [merged["ShardId"]]


def test_shards_that_are_not_adjacent_cannot_be_merged(models: Models) -> None:
    models.kinesis.split_shard(SHARD)
    models.kinesis.split_shard("shardId-000000000001")
    merge = models.kinesis.merge_shards
    code = refused(merge, "shardId-000000000003", "shardId-000000000002")
    assert code == "InvalidArgumentException"
    merge("shardId-000000000003", "shardId-000000000004")
    assert refused(merge, "shardId-000000000003", "shardId-000000000004") == (
        "InvalidArgumentException"
    )


def test_an_iterator_keeps_its_place_when_records_expire(models: Models) -> None:
    put(models, b"a")
    models.scheduler.now += 86_400
    put(models, b"b", b"c")
    first = iterator(models)
    second = get(models, first, Limit=2)["NextShardIterator"]
    models.scheduler.now += 1
    assert data_of(get(models, first)) == [b"b", b"c"]
    assert data_of(get(models, second)) == [b"c"]


def test_records_and_then_closed_shards_expire(models: Models) -> None:
    """API_ListShards: shards in the retention period. A shard expires with its last record."""
    put(models, b"a")
    at = iterator(models)
    models.scheduler.now += 3600
    [kept] = put(models, b"b")
    models.kinesis.split_shard(SHARD)
    models.scheduler.now += 86_400 - 1800
    assert read(models) == [b"b"]
    assert read(models, "AT_SEQUENCE_NUMBER", StartingSequenceNumber="1") == [b"b"]
    assert len(models.kinesis.list_shards(StreamARN=models.stream_arn)["Shards"]) == 3
    models.scheduler.now += 1801
    listed = models.kinesis.list_shards(StreamARN=models.stream_arn)["Shards"]
    assert [shard["ShardId"] for shard in listed] == [
        "shardId-000000000001",
        "shardId-000000000002",
    ]
    code = refused(iterator, models, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=kept)
    assert code == "ResourceNotFoundException"
    models.kinesis.split_shard("shardId-000000000001")
    assert models.kinesis.open_shards()[0].id == "shardId-000000000003"
    assert refused(get, models, at) == "ExpiredIteratorException"


def test_invalid_arguments_of_a_read(models: Models) -> None:
    """API_GetRecords. The emulator reads up to 10,000 records, and calls an unknown iterator expired."""
    assert refused(get, models, iterator(models), Limit=10_001) == "InvalidArgumentException"
    assert refused(get, models, "made-up") == "InvalidArgumentException"


# --- only the model: virtual time, faults, and sizes that take the emulator long


def test_an_iterator_expires_after_5_minutes(models: Models) -> None:
    """API_GetShardIterator"""
    put(models, b"a")
    at = iterator(models)
    models.scheduler.now += 300
    following = get(models, at)["NextShardIterator"]
    models.scheduler.now += 1
    assert refused(get, models, at) == "ExpiredIteratorException"
    assert data_of(get(models, following)) == []


def test_the_bytes_of_a_call(models: Models) -> None:
    """API_PutRecords and API_GetRecords: 10 MiB, with the partition keys for a put."""
    mib = 2**20
    assert refused(put, models, *[bytes(mib)] * 10) == "InvalidArgumentException"
    put(models, *[bytes(mib)] * 9)
    put(models, bytes(10 * mib - 2))
    assert refused(put, models, bytes(10 * mib - 1)) == "InvalidArgumentException"
    response = get(models, iterator(models))
    assert len(response["Records"]) == 9
    assert response["MillisBehindLatest"] > 0
    response = get(models, response["NextShardIterator"])
    assert (len(response["Records"]), response["MillisBehindLatest"]) == (1, 0)


def test_a_failed_record_is_in_the_response_and_the_others_are_put(models: Models) -> None:
    """API_PutRecords: "A single record failure does not stop the processing of subsequent records." """
    entries = [{"Data": bytes([n]), "PartitionKey": "d1"} for n in range(3)]
    response = models.kinesis.put_records(
        StreamARN=models.stream_arn,
        Records=entries,
        fails=lambda index: "InternalFailure" if index == 1 else None,
    )
    assert response["FailedRecordCount"] == 1
    assert [each.get("ErrorCode") for each in response["Records"]] == [
        None,
        "InternalFailure",
        None,
    ]
    assert "SequenceNumber" not in response["Records"][1]
    assert read(models) == [b"\0", b"\2"]


def test_a_read_can_be_empty_before_the_end(models: Models) -> None:
    """API_GetRecords: "It might take multiple calls to get to a portion of the shard that contains records." """
    put(models, b"a", b"b")
    empty = iter([True, False, False])
    models.kinesis.reads_nothing = lambda: next(empty)
    response = get(models, iterator(models))
    assert (data_of(response), response["MillisBehindLatest"] > 0) == ([], True)
    response = get(models, response["NextShardIterator"])
    assert (data_of(response), response["MillisBehindLatest"]) == ([b"a", b"b"], 0)
