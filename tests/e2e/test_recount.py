"""The accounting as a program: it counts tables and a queue of the emulator."""

from __future__ import annotations

import base64
import json
import socket
import time
from pathlib import Path

import pytest

from iot_constructs.local import accounting
from iot_constructs.local.accounting import Run, main
from iot_constructs.local.discovery import Places, TelemetryTables
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.plan import Fate, newest_timestamps

REJECTED = {
    "kind": "rejected-record",
    "reason": "not-json",
    "streamArn": "arn:aws:kinesis:us-east-1:123456789012:stream/s",
    "shardId": "shardId-000000000000",
    "sequenceNumber": "1",
    "payloadEncoding": "base64",
}


@pytest.fixture
def run_file(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose records are all in the expected place."""
    # The second count must not wait for the visibility timeout.
    monkeypatch.setattr(accounting, "VISIBILITY_TIMEOUT_SECONDS", 1)
    dynamodb, sqs = emulator.client("dynamodb"), emulator.client("sqs")
    for table, sort_key in (("readings", True), ("states", False)):
        keys = [("deviceId", "S", "HASH"), ("timestamp", "N", "RANGE")][: 1 + sort_key]
        dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": key} for name, _, key in keys],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": kind} for name, kind, _ in keys
            ],
        )
    run = Run(
        devices=2,
        readings=40,
        seed=1,
        now_ms=time.time_ns() // 1_000_000,
        endpoint=emulator.endpoint.url,
        authority=emulator.endpoint.authority,
        places=Places(
            tables=("readings", "states"),
            queues=(sqs.create_queue(QueueName="dead-letters")["QueueUrl"],),
            telemetry=(TelemetryTables("readings", "states"),),
            known_fates=True,
        ),
    )
    plan = run.plan()
    for number, message in enumerate({each.identity: each for each in plan}.values()):
        if message.expected is Fate.STORED:
            item = {
                "deviceId": {"S": message.device_id},
                "timestamp": {"N": f"{message.timestamp}.{number + 1:04d}"},
                "reading": {"M": {"messageId": {"S": message.identity}}},
            }
            dynamodb.put_item(TableName="readings", Item=item)
        else:
            payload = base64.b64encode(message.payload).decode()
            body = {**REJECTED, "partitionKey": message.device_id, "payload": payload}
            sqs.send_message(QueueUrl=run.places.queues[0], MessageBody=json.dumps(body))
    for device_id, newest in newest_timestamps(plan).items():
        key = {"deviceId": {"S": device_id}, "timestamp": {"N": f"{newest}.5"}}
        dynamodb.put_item(TableName="states", Item=key)
    run.save(tmp_path / "run.json")
    return tmp_path / "run.json"


def test_a_deleted_reading_is_lost(
    run_file: Path, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run_file)]) == 0
    before = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert before["lost"] == 0
    assert before["sent"] == before["stored"] + before["dead_lettered"] == 80

    dynamodb = emulator.client("dynamodb")
    item = dynamodb.scan(TableName="readings", Limit=1)["Items"][0]
    key = {name: item[name] for name in ("deviceId", "timestamp")}
    dynamodb.delete_item(TableName="readings", Key=key)

    assert main([str(run_file)]) == 1
    output = capsys.readouterr().out
    after = json.loads(output.splitlines()[-1])
    assert after == {**before, "stored": before["stored"] - 1, "lost": 1}
    assert f"1 lost: {item['reading']['M']['messageId']['S']}" in output


@pytest.mark.parametrize("content", [None, "{", "{}", '{"places": {}}'])
def test_another_file_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "run.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main([str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: {file} is not the file of a run; start a run that stays: iot-constructs local --keep"
    )


def test_an_emulator_that_stopped(
    emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"https://127.0.0.1:{server.getsockname()[1]}"
    file, places = tmp_path / "run.json", Places(tables=("readings",))
    for authority in (emulator.endpoint.authority, str(tmp_path / "removed.pem")):
        Run(1, 1, 1, 1, free, authority, places).save(file)
        assert main([str(file)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: can't count {file}: ")
        assert line.endswith("; start a run that stays: iot-constructs local --keep")


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
