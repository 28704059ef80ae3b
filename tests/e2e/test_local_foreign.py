"""``iot-constructs local`` with an app that knows nothing of this library."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from iot_constructs.cli.exit_codes import FAILED
from iot_constructs.cli.main import main
from iot_constructs.local.accounting import Run
from tests.e2e.programs import ROOT, assert_nothing_remains, start

APP = Path(__file__).parent / "foreign_app"
SECONDS = 240
# Another program: it has nothing but the variables that the command prints.
PUT_AND_FIND = """
import boto3, time
kinesis, dynamodb = boto3.client("kinesis"), boto3.client("dynamodb")
(stream,) = [each for each in kinesis.list_streams()["StreamNames"] if "direct" in each.lower()]
(table,) = dynamodb.list_tables()["TableNames"]
kinesis.put_record(StreamName=stream, Data=b"by another program", PartitionKey="x")
for _ in range(100):
    items = dynamodb.scan(TableName=table)["Items"]
    if any(each["raw"]["B"] == b"by another program" for each in items):
        print("found")
        break
    time.sleep(0.2)
"""


def run_local(out: Path, *arguments: str, app: Path = APP) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iot_constructs.cli", "local", str(app), "--out", str(out)]
    return subprocess.run(
        [*command, "--devices", "4", "--rate", "300", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_existing_app_stores_its_messages(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "existing_app"
    messages = ["--payload", str(folder / "messages.jsonl")]
    done = run_local(tmp_path, *messages, "--readings", "5", app=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert accounting(done) == {"sent": 20, "stored": 20, "dead_lettered": 0, "lost": 0}


def accounting(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    numbers: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def places(output: str) -> dict[str, int]:
    """The table of the places, by the logical ID that is a part of each generated name."""
    table = output.partition("Where the records are")[2].partition("\n\n")[0]
    rows = re.findall(r"^(\S+)\s+[│|]\s+(\d+)\s*$", table, re.MULTILINE)
    return {name: int(number) for name, number in rows}


def test_every_record_is_in_the_table_the_bucket_or_the_queue(tmp_path: Path) -> None:
    done = run_local(tmp_path, "--readings", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = accounting(done)
    assert (numbers["sent"], numbers["lost"]) == (240, 0)
    found = places(done.stdout)
    in_table = next(number for name, number in found.items() if "Table" in name)
    in_bucket = next(number for name, number in found.items() if name.startswith("s3://"))
    on_queue = next(number for name, number in found.items() if "Discarded" in name)
    assert in_table + in_bucket == numbers["stored"]
    assert on_queue == numbers["dead_lettered"] > 0
    # Every second message takes the rule, and those that are not UTF-8 fail.
    sent: Counter[tuple[bool, bool]] = Counter()
    for number, message in enumerate(Run.load(tmp_path / "run.json").plan()):
        sent[number % 2 == 0, message.payload.startswith(b"\xff")] += 1
    assert on_queue == sent[True, True]
    assert "no IoT rule puts messages on stream ingest-direct" in done.stdout
    assert "it is an error only if it is lost" in done.stdout
    assert "FilterCriteria is not supported, so the emulator runs it" in done.stdout


def test_a_function_that_forgets_records_loses_them(tmp_path: Path) -> None:
    payload = tmp_path / "own.jsonl"
    payload.write_text(
        '{"temperature": 21.5, "time": "$nowIso"}\n[{"a": 1}, {"a": 2}]\nplain text\n',
        encoding="utf-8",
    )
    arguments = ["--readings", "3", "--payload", str(payload), "--context", "forgets=temperature"]
    done = run_local(tmp_path / "out", *arguments, "--patience", "10")
    assert done.returncode == 1, done.stdout + done.stderr
    # Of each line four messages, of which the two with an odd number take the direct way. The text counts once.
    plan = Run.load(tmp_path / "out" / "run.json").plan()
    forgotten = [each.identity for each in plan[1::2] if b"temperature" in each.payload]
    numbers = accounting(done)
    assert (numbers["sent"], numbers["lost"]) == (4 + 2 * 4 + 1, 2)
    assert f"2 lost: {', '.join(forgotten)}" in done.stdout
    assert "each JSON object gets a member messageId" in done.stdout


def test_kept_it_processes_what_others_send(tmp_path: Path) -> None:
    port = free_port()
    options = ["--devices", "1", "--readings", "2", "--keep", "--port", str(port)]
    arguments = ["local", str(APP), "--out", str(tmp_path / "out"), *options]
    with start(tmp_path, "iot_constructs.cli", *arguments) as process:
        assert process.stdout is not None
        shown = [process.stdout.readline()]
        while '"lost"' not in shown[-1]:
            assert shown[-1], "".join(shown)
            shown.append(process.stdout.readline())
        variables = re.findall(r"(AWS_[A-Z_]+)=(\S+)", "".join(shown).partition("press Ctrl-C")[2])
        environment = dict(variables)
        assert environment["AWS_ENDPOINT_URL"] == f"https://127.0.0.1:{port}"
        done = subprocess.run(
            [sys.executable, "-c", PUT_AND_FIND],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert done.stdout == "found\n", done.stderr
    assert process.returncode == 128 + signal.SIGTERM
    assert_nothing_remains(tmp_path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_an_app_without_a_kinesis_mapping_is_an_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cdk.json").write_text('{"app": "python3 app.py"}', encoding="utf-8")
    (tmp_path / "app.py").write_text(
        "import aws_cdk as cdk\nfrom aws_cdk import aws_s3 as s3\napp = cdk.App()\n"
        's3.Bucket(cdk.Stack(app, "NoStream"), "Bucket")\napp.synth()\n',
        encoding="utf-8",
    )
    assert main(["local", str(tmp_path), "--out", str(tmp_path / "out")]) == FAILED
    assert "no enabled event source mapping of a Kinesis stream" in capfd.readouterr().err
