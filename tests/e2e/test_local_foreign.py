"""``iot-constructs local`` with an app that knows nothing of this library."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from iot_constructs.cli.main import main
from iot_constructs.local.accounting import Run
from iot_constructs.local.program import FAILED
from tests.e2e.programs import ROOT

APP = Path(__file__).parent / "foreign_app"
SECONDS = 240


def run_local(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iot_constructs.cli", "local", str(APP), "--out", str(out)]
    return subprocess.run(
        [*command, "--devices", "4", "--rate", "300", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


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


def test_a_function_that_forgets_records_loses_them(tmp_path: Path) -> None:
    payload = tmp_path / "own.jsonl"
    payload.write_text(
        '{"temperature": 21.5, "time": "$nowIso"}\n[{"a": 1}, {"a": 2}]\nplain text\n',
        encoding="utf-8",
    )
    arguments = ["--readings", "3", "--payload", str(payload), "--context", "forgets=temperature"]
    done = run_local(tmp_path / "out", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    # Of each line four messages, of which the two with an odd number take the direct way. The text counts once.
    plan = Run.load(tmp_path / "out" / "run.json").plan()
    forgotten = [each.identity for each in plan[1::2] if b"temperature" in each.payload]
    numbers = accounting(done)
    assert (numbers["sent"], numbers["lost"]) == (4 + 2 * 4 + 1, 2)
    assert f"2 lost: {', '.join(forgotten)}" in done.stdout
    assert "each JSON object gets a member messageId" in done.stdout


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
