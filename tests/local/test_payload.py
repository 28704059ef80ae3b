"""The messages of ``--payload``."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.local.payload import PayloadError, plan_payload, read_payload
from iot_constructs.local.plan import Kind, Message

NOW_MS = 1_790_000_000_000


def plan(*lines: bytes, devices: int = 2, readings: int = 3) -> list[Message]:
    return plan_payload(lines, devices=devices, readings=readings, seed=1, now_ms=NOW_MS)


def content(message: Message) -> Any:
    return json.loads(message.payload)


def test_the_devices_send_the_lines_in_turn() -> None:
    messages = plan(b'{"n": 1}', b'{"n": 2}', b'{"n": 3}', b'{"n": 4}')
    assert [content(each)["n"] for each in messages] == [1, 2, 3, 4, 1, 2]
    assert [each.device_id for each in messages] == ["sensor-001", "sensor-002"] * 3
    assert {each.kind for each in messages} == {Kind.PAYLOAD}


def test_every_object_gets_an_id_of_its_own() -> None:
    messages = plan(b'{"messageId": "mine", "n": 1}', b'[{"n": 2}, {"n": 3}, 4]')
    found = [each for message in messages for each in message.identities]
    assert len(set(found)) == len(found) == 3 * 1 + 3 * 2
    one, array = content(messages[0]), content(messages[1])
    assert one == {"messageId": messages[0].identity, "n": 1}
    assert [each["n"] for each in array[:2]] == [2, 3]
    assert array[2] == 4
    assert messages == plan(b'{"messageId": "mine", "n": 1}', b'[{"n": 2}, {"n": 3}, 4]')


@pytest.mark.parametrize(
    "line",
    [
        *(b"21.5;55", b"\xff\xfe", b"{broken", b"42", b"[1,  2]", b'"$nowMs"'),
        *(b"[" * depth + b"{}" + b"]" * depth for depth in (900, 100_000)),
    ],
)
def test_any_other_line_is_sent_as_it_is_and_is_one_record(line: bytes) -> None:
    messages = plan(b'{"n": 1}', line)
    assert {each.payload for each in messages[1::2]} == {line}
    assert {each.identities for each in messages[1::2]} == {("line 2",)}


def test_only_placeholders_are_replaced() -> None:
    line = (
        b'{"at": ["$nowMs", "$nowIso"], "device": {"id": "$deviceId"}, "timestamp": "now $nowMs"}'
    )
    for number, message in enumerate(plan(line)):
        sent = content(message)
        milliseconds, text = sent["at"]
        assert milliseconds == NOW_MS + number
        assert datetime.fromisoformat(text).timestamp() == pytest.approx(milliseconds / 1000)
        assert sent["device"] == {"id": message.device_id}
        assert sent["timestamp"] == "now $nowMs"


@pytest.mark.parametrize(
    "line",
    [
        b'{"value": 1e400, "exact": 0.10000000000000000000001}',
        b'{"value": 1, "value": 2}',
        b'{"value":NaN,"text":"\\u00e9 \xc3\xa9"}',
        b"{  }",
    ],
)
def test_an_object_keeps_its_bytes(line: bytes) -> None:
    alone, array = plan(line, b" [" + line + b" ,7]", readings=1)
    rest = line[1:] if line != b"{  }" else b"  }"
    comma = b", " if line != b"{  }" else b""
    mark = b'{"messageId": "%s"' % alone.identity.encode()
    assert alone.payload == mark + comma + rest
    mark = b'{"messageId": "%s"' % array.identity.encode()
    assert array.payload == b" [" + mark + comma + rest + b" ,7]"


def test_a_placeholder_as_a_name_or_in_a_text_stays() -> None:
    [message] = plan(b'{"$nowMs": "\\"$nowMs\\""}', devices=1, readings=1)
    assert content(message) == {"messageId": message.identity, "$nowMs": '"$nowMs"'}


def test_empty_lines_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_bytes(b'{"n": 1}\r\n\n  \n{"n": 2}')
    assert read_payload(file) == [b'{"n": 1}', b'{"n": 2}']


def test_a_missing_and_an_empty_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="No such file"):
        read_payload(tmp_path / "none.jsonl")
    with pytest.raises(PayloadError, match="Is a directory"):
        read_payload(tmp_path)
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"\n \n")
    with pytest.raises(PayloadError, match="empty"):
        read_payload(empty)
