"""Messages on the dead-letter topic: content, limits, and the payload's round trip."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs.processor.dead_letters import (
    DeadLetter,
    DeadLetterTopic,
    decode_payload,
    format_message,
)
from iot_constructs.processor.rejections import InvalidRecordError, Reason
from iot_constructs.processor.retries import Deadline, RetryPolicy

from .aws_fakes import ARRIVAL, SHARD, STREAM, TOPIC, Clock, FakeSNS, make_records, sequence

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=60)


def make_letter(payload: bytes, device_id: str = "d1", detail: str = "byte 0") -> DeadLetter:
    [record] = make_records((device_id, payload))
    return DeadLetter(record, InvalidRecordError(Reason.NOT_UTF8, detail))


def incompressible(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def publish(sns: FakeSNS, *letters: DeadLetter) -> dict[int, str]:
    topic = DeadLetterTopic(sns, TOPIC, RetryPolicy(sleep=Clock().sleep))
    return topic.publish(letters, Deadline(Clock().remaining_ms))


def test_the_message_has_origin_reason_and_payload() -> None:
    sns = FakeSNS()
    assert publish(sns, make_letter(b"\xff")) == {}
    assert sns.messages == [
        {
            "kind": "rejected-record",
            "reason": "not-utf8",
            "detail": "the payload is not text in UTF-8: byte 0",
            "partitionKey": "d1",
            "streamArn": STREAM,
            "shardId": SHARD,
            "sequenceNumber": sequence(0),
            "approximateArrivalTimestamp": ARRIVAL,
            "payloadEncoding": "base64",
            "payload": "/w==",
            "payloadLocation": None,
        }
    ]
    assert sns.attributes == [{"kind": "rejected-record", "reason": "not-utf8"}]


def test_a_large_payload_is_compressed() -> None:
    payload = b'{"value": 1}' * 80_000
    letter = make_letter(payload)
    message = json.loads(format_message(letter))
    assert message["payloadEncoding"] == "gzip+base64"
    assert decode_payload(message) == payload
    # No modification time: a duplicate record results in the same message.
    assert base64.b64decode(message["payload"])[4:8] == bytes(4)


def test_a_payload_too_large_for_a_message_is_replaced_by_its_location() -> None:
    sns = FakeSNS()
    assert publish(sns, make_letter(incompressible(300_000))) == {}
    [message] = sns.messages
    assert (message["payloadEncoding"], message["payload"]) == ("none", None)
    assert decode_payload(message) is None
    assert "shardId and sequenceNumber" in message["payloadLocation"]
    assert "archive" in message["payloadLocation"]


def test_calls_stay_within_ten_messages_and_256_kib() -> None:
    # The fake enforces the limits of SNS.
    sns = FakeSNS()
    large = [make_letter(incompressible(size)) for size in (190_000, 190_000, 60_000, 10, 190_000)]
    assert publish(sns, *large, *[make_letter(b"\xff")] * 25) == {}
    assert len(sns.messages) == 30
    assert max(sns.calls) == 10
    assert all(decode_payload(message) is not None for message in sns.messages)


@pytest.mark.parametrize("size", range(193_000, 193_600, 37))
def test_the_largest_message_leaves_room_for_the_envelope(size: int) -> None:
    letter = make_letter(incompressible(size), device_id="\u20ac" * 256, detail="\u0001" * 5000)
    assert len(format_message(letter)) <= 262_144 - 4_096


@PROPERTY
@given(st.binary(max_size=300), st.sampled_from([1, 1, 1, 2000]), st.text(max_size=20))
def test_the_payload_survives_the_round_trip(payload: bytes, times: int, device: str) -> None:
    sent = payload * times
    message = json.loads(format_message(make_letter(sent, device_id=device or "d")))
    assert decode_payload(message) == sent
    assert message["partitionKey"] == (device or "d")


def test_an_unknown_encoding_is_an_error() -> None:
    with pytest.raises(ValueError, match="'rot13'"):
        decode_payload({"payloadEncoding": "rot13", "payload": "nop"})
    with pytest.raises(ValueError, match="not base64"):
        decode_payload(
            {"payloadEncoding": "base64", "payload": base64.b64encode(b"a").decode() + "!"}
        )
