"""``iot-constructs local``: bad input ends with one line that says what to do."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from iot_constructs.cli.exit_codes import INTERRUPTED
from iot_constructs.cli.main import main
from iot_constructs.local import run as module
from iot_constructs.local.emulator import HOST
from iot_constructs.local.program import run_program
from iot_constructs.local.run import Options
from iot_constructs.local.screen import Screen
from tests.e2e.programs import EXAMPLE

ROOT = Path(__file__).resolve().parents[2]


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line of stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_folder_without_an_app(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["local", str(tmp_path)]) == 2
    assert "iot-constructs init DIR" in error_of(capsys)


def test_the_current_folder_is_the_default(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["local"]) == 2
    assert f"{tmp_path} has no cdk.json" in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "text"), [(None, "No such file"), (b"\n", "is empty")])
def test_an_unusable_payload(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None, text: str
) -> None:
    file = tmp_path / "own.jsonl"
    if content is not None:
        file.write_bytes(content)
    assert main(["local", str(EXAMPLE), "--payload", str(file)]) == 2
    assert text in error_of(capsys)


@pytest.mark.parametrize(("out", "reason"), [("file", "File exists"), ("/proc/out", "")])
def test_an_unusable_folder_of_the_logs(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(["local", str(EXAMPLE), "--out", out]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""  # nothing has been started
    (line,) = printed.err.splitlines()
    assert line.startswith(f"error: --out {out}: {reason}")
    assert "name a folder that you may write to" in line


def test_a_deleted_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["local"]) == 2
    assert "No such file or directory" in error_of(capsys)


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        out = ["--out", str(tmp_path)]
        assert main(["local", str(EXAMPLE), "--port", str(port), *out]) == 2
    assert f"port {port} can't be used" in error_of(capsys)


@pytest.mark.parametrize("package", ["boto3", "cryptography", "ministack", "paho", "rich"])
def test_without_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    assert main(["local", str(EXAMPLE)]) == 2
    assert error_of(capsys).endswith("run: pip install 'iot-constructs[local]'")


def test_help_needs_no_other_package() -> None:
    code = "from iot_constructs.cli.main import main; main(['local', '--help'])"
    blocked = f"import sys; sys.modules.update(dict.fromkeys(['boto3', 'botocore', 'rich', 'paho']));{code}"
    done = subprocess.run(
        [sys.executable, "-c", blocked],
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--payload FILE.jsonl" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--devices", "0"],
        ["--readings", "x"],
        ["--rate", "0"],
        ["--rate", "nan"],
        ["--patience", "-1"],
        ["--port", "0"],
        ["--port", "65536"],
        ["--context", "key"],
        ["--context", "=value"],
    ],
)
def test_invalid_arguments_are_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["local", *arguments])
    assert error.value.code == 2


def test_the_options_reach_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Options] = []

    def run(options: Options) -> int:
        found.append(options)
        return 7

    monkeypatch.setattr(module, "run", run)
    arguments = ["-c", "a=1", "--context", "b=x=y", "--suffix", "qa", "--devices", "3", "--keep"]
    arguments += ["--basic-ingest"]
    arguments += ["--readings", "4", "--rate", "5.5", "--seed", "6", "--out", "o", "--port", "9"]
    assert main(["local", "app", *arguments, "--payload", "p", "--patience", "8"]) == 7
    assert found == [
        Options(
            app=Path("app"),
            context=["a=1", "b=x=y"],
            suffix="qa",
            devices=3,
            readings=4,
            rate=5.5,
            seed=6,
            payload=Path("p"),
            basic_ingest=True,
            out=Path("o"),
            patience=8.0,
            keep=True,
            port=9,
        )
    ]


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_the_first_ctrl_c_ends_the_run_and_a_second_not_the_clean_up(
    before: signal.Handlers, capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned_up: list[bool] = []

    def work(screen: Screen) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned_up.append(True)
        return 0

    # A shell ignores SIGINT for a background job, which `kill -INT` still has to end.
    default = signal.signal(signal.SIGINT, before)
    try:
        assert run_program(work, (), Screen()) == INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, default)
    assert cleaned_up == [True]
    assert "interrupted: stopped the emulator and removed its files" in capsys.readouterr().out
