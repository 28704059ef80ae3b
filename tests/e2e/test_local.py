"""``make demo`` accounts for every record and cleans up, even after an interrupt."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from iot_constructs.local.accounting import Run
from iot_constructs.local.demo import main
from iot_constructs.local.plan import EXPECTED, Fate, Kind
from iot_constructs.local.program import FAILED, INTERRUPTED
from tests.e2e.programs import assert_nothing_remains, interrupt, start

SECONDS = 240


def start_demo(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return start(tmp_path, "iot_constructs.local.demo", "--out", str(tmp_path / "out"), *arguments)


@dataclass(frozen=True)
class Finished:
    """A finished demo."""

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
    with start_demo(tmp_path) as process:
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
    for kind in set(Kind) - {Kind.DUPLICATE}:
        number = str(sum(message.kind is kind for message in plan))
        stored, dead = (number, "0") if EXPECTED[kind] is Fate.STORED else ("0", number)
        assert demo.row(kind.value)[1:5] == [number, stored, dead, "0"]
    assert len({message.identity for message in plan}) == demo.accounting["sent"]


def test_output_is_complete(demo: Finished) -> None:
    for text in (
        "Resources removed from the template for the emulator",
        "created with the API",
        "Records by kind",
        "1200 of 1200 records in",
        "aws dynamodb query --endpoint-url https://127.0.0.1:",
        "Limitations of the emulator",
    ):
        assert text in demo.output


def test_alarm_on_dead_letters_fires(demo: Finished) -> None:
    assert demo.row("iot-lambda-dlq-messages-dev")[1] == "ALARM"


def test_chart_is_a_png_file(demo: Finished) -> None:
    chart = (demo.tmp_path / "out" / "chart.png").read_bytes()
    assert chart.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(chart) > 10_000


def test_no_processes_or_files_remain(demo: Finished) -> None:
    assert_nothing_remains(demo.tmp_path)


@pytest.mark.parametrize(
    ("step", "number", "exit_code"),
    [
        ("cdk bootstrap, cdk synth", signal.SIGINT, INTERRUPTED),
        ("send from", signal.SIGINT, INTERRUPTED),
        ("cdk bootstrap, cdk synth", signal.SIGTERM, 128 + signal.SIGTERM),
    ],
)
def test_interrupted(tmp_path: Path, step: str, number: signal.Signals, exit_code: int) -> None:
    process = start_demo(tmp_path)
    output = interrupt(process, step, number)
    assert process.returncode == exit_code, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert_nothing_remains(tmp_path)


def test_failure_of_the_cdk_app_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code = main(["--suffix", "Not_A_Suffix!", "--out", str(tmp_path)])
    assert exit_code == FAILED
    assert "Not_A_Suffix!" in capsys.readouterr().err
    assert list((tmp_path / "logs").glob("*.log"))


@pytest.mark.parametrize(
    "arguments", [["--devices", "0"], ["--readings", "x"], ["--rate", "0"], ["--rate", "nan"]]
)
def test_invalid_arguments_are_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == FAILED
