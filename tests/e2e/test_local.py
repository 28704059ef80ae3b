"""``iot-constructs local`` accounts for every record of the example and cleans up, even after an interrupt."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from iot_constructs.cli.exit_codes import FAILED, INTERRUPTED
from iot_constructs.cli.main import main
from iot_constructs.local.accounting import Run
from iot_constructs.local.plan import EXPECTED, Fate, Kind
from tests.e2e.programs import EXAMPLE, assert_nothing_remains, interrupt, start

SECONDS = 240


def start_local(
    tmp_path: Path, *arguments: str, terminal: int | None = None
) -> subprocess.Popen[str]:
    example = ["local", str(EXAMPLE), "--out", str(tmp_path / "out")]
    return start(tmp_path, "iot_constructs.cli", *example, *arguments, terminal=terminal)


@dataclass(frozen=True)
class Finished:
    """A finished run."""

    tmp_path: Path
    exit_code: int
    output: str

    @property
    def accounting(self) -> dict[str, int]:
        numbers: dict[str, int] = json.loads(self.output.splitlines()[-1])
        return numbers

    def row(self, name: str) -> list[str]:
        """Return the cells of a table row."""
        line = next(each for each in self.output.splitlines() if each.startswith(f"{name} "))
        return [cell.strip() for cell in re.split("[│|]", line)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    tmp_path = tmp_path_factory.mktemp("demo")
    with start_local(tmp_path) as process:
        output, _ = process.communicate(timeout=SECONDS)
    return Finished(tmp_path, process.returncode, output)


def test_every_record_is_accounted_for(demo: Finished) -> None:
    assert demo.exit_code == 0, demo.output
    numbers = demo.accounting
    assert list(numbers) == ["sent", "stored", "dead_lettered", "lost"]
    assert numbers["sent"] >= 1000
    assert numbers["sent"] == numbers["stored"] + numbers["dead_lettered"]
    assert numbers["dead_lettered"] > 0
    assert numbers["lost"] == 0


def test_every_kind_has_the_expected_result(demo: Finished) -> None:
    plan = Run.load(demo.tmp_path / "out" / "run.json").plan()
    for kind in EXPECTED.keys() - {Kind.DUPLICATE}:
        number = str(sum(message.kind is kind for message in plan))
        stored, dead = (number, "0") if EXPECTED[kind] is Fate.STORED else ("0", number)
        assert demo.row(kind.value)[1:5] == [number, stored, dead, "0"]
    assert len({message.identity for message in plan}) == demo.accounting["sent"]


def test_output_is_complete(demo: Finished) -> None:
    for text in (
        "Resources removed from the template for the emulator",
        "created with the API",
        "Records by kind",
        # Only with known fates, without which a record in the wrong place is no error.
        "0 records in the wrong place for their kind",
        "Where the records are",
        "1200 of 1200 records in",
        "aws dynamodb query --endpoint-url https://127.0.0.1:",
        "Limitations of the emulator",
    ):
        assert text in demo.output


def test_alarm_on_dead_letters_fires(demo: Finished) -> None:
    assert demo.row("iot-lambda-dlq-messages-dev")[1] == "ALARM"


def test_where_the_records_are(demo: Finished) -> None:
    assert demo.row("iot-sensor-metrics-dev")[1] == str(demo.accounting["stored"])
    assert demo.row("iot-pipeline-dlq-dev")[1] == str(demo.accounting["dead_lettered"])


def test_chart_shows_every_measurement(demo: Finished) -> None:
    plan = Run.load(demo.tmp_path / "out" / "run.json").plan()
    readings = {
        each.identity
        for each in plan
        if each.device_id == plan[0].device_id and each.expected is Fate.STORED
    }
    for name in ("temperature", "humidity", "battery"):
        assert demo.row(name)[1] == str(len(readings))
        assert {"▁", "█"} <= set(demo.row(name)[3])


def test_no_processes_or_files_remain(demo: Finished) -> None:
    assert_nothing_remains(demo.tmp_path)


@pytest.mark.parametrize(
    ("step", "number", "exit_code"),
    [
        ("cdk bootstrap, cdk synth", signal.SIGINT, INTERRUPTED),
        ("send from", signal.SIGINT, INTERRUPTED),
        ("cdk bootstrap, cdk synth", signal.SIGTERM, 128 + signal.SIGTERM),
        ("cdk deploy", signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_interrupted(tmp_path: Path, step: str, number: signal.Signals, exit_code: int) -> None:
    process = start_local(tmp_path)
    output = interrupt(process, step, number)
    assert process.returncode == exit_code, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert_nothing_remains(tmp_path)


def test_closed_terminal(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    with start_local(tmp_path, terminal=child) as process:
        os.close(child)
        shown = b""
        while b"cdk bootstrap" not in shown:
            shown += os.read(parent, 1000)
        os.close(parent)  # from now on, each write of the run fails
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 128 + signal.SIGHUP
    assert_nothing_remains(tmp_path)


def test_failure_of_the_cdk_app_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code = main(["local", str(EXAMPLE), "--suffix", "x_y", "--out", str(tmp_path)])
    assert exit_code == FAILED
    shown = capsys.readouterr().err
    assert "error: cdk synth failed" in shown
    assert "'x_y'" in shown
    assert "Traceback" not in shown
    log = tmp_path / "logs" / "synth-x_y.log"
    assert f"logs: {log.parent}" in shown
    assert "Traceback" in log.read_text(encoding="utf-8")
