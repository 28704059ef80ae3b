"""The exit codes of all commands (docs/guide/exit-codes.md), whatever ends them, and wrong arguments."""

from __future__ import annotations

import argparse
import ast
import errno
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_constructs.cli.exit_codes import DONE, EX_SIGPIPE, FAILED, NEGATIVE
from iot_constructs.cli.main import _COMMANDS, _parser, main
from iot_constructs.cli.verification.findings import Finding, Status
from iot_constructs.cli.verification.findings import Report as VerifyReport

from .aws_fakes import QUEUE_URL

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PAGE = ROOT / "docs" / "guide" / "exit-codes.md"

PLAN = ["plan", "--devices", "10", "--every", "60s", "--bytes", "100"]
VALID = {
    "init": ["init", "new"],
    "check": ["check", "template.json"],
    "local": ["local", "app"],
    "plan": PLAN,
    "redrive": ["redrive", "--queue-url", QUEUE_URL],
    "verify": ["verify", "Stack"],
}
WRONG = [
    "",
    "x_y",
    " a b",
    "ü☃",
    "\udcff",
    "x" * 5000,
    "missing",
    "folder",
    "empty",
    "binary",
    "-1",
    "0",
    "9" * 400,
    "9" * 5000,
    "nan",
    "inf",
    "1e400",
    "/dev/null",
    "=",
    "[" * 100_000,
    '{"a": NaN}',
    "http://[",
    "http://x:port",
    "-",
    "--",
]

# An output with a buffer, as a user has it.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("empty").touch()
    Path("binary").write_bytes(b"\xff\xfe\x00")
    Path("template.json").write_text(
        json.dumps({"Resources": {"P": {"Type": "AWS::SSM::Parameter"}}})
    )
    Path("app").mkdir()


def options() -> Iterator[tuple[str, argparse.Action]]:
    """Every option and argument with a value, of every command."""
    (commands,) = (each for each in _parser()._actions if each.dest == "command")
    assert isinstance(commands.choices, dict)
    for command, parser in commands.choices.items():
        for action in parser._actions:
            if action.nargs != 0:
                yield command, action


@pytest.mark.parametrize(
    ("command", "action"), list(options()), ids=lambda each: getattr(each, "dest", each)
)
@pytest.mark.usefixtures("_folder")
def test_no_value_of_an_option_is_a_traceback(
    command: str,
    action: argparse.Action,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if command in {"local", "redrive", "verify"}:
        # Their work needs an emulator or AWS; the other commands do it.
        monkeypatch.setattr(_COMMANDS[command], "run", lambda arguments: DONE)
    for value in WRONG:
        *others, last = VALID[command]
        if action.option_strings:
            arguments = [*others, last, f"{action.option_strings[-1]}={value}"]
        else:
            arguments = [*others, value]
        try:
            code = main(arguments)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        error = capsys.readouterr().err
        assert code in {DONE, FAILED}, (value[:20], error)
        assert "Traceback" not in error, value[:20]
        assert code == DONE or "error: " in error
        # The names of Python functions are no words of a user.
        assert "invalid _" not in error
        assert "_integer value" not in error


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["init", ""], "the current folder is ."),
        (["local", ""], "the current folder is ."),
        (["local", "--suffix", ""], "'' is not a name"),
        (["local", "--seed", "x"], "'x' is not an integer; specify for example 1"),
        (["local", "--rate", "x"], "specify for example 1.5"),
        (["local", "--rate", "1e-9"], "'1e-9' is not a number from 0.001"),
        (["local", "--devices", "1001", "--readings", "1000"], "more than 1000000 records"),
        (["local", "--devices", "1000000001"], "not a positive integer, at most 1000000000"),
        (["verify", "S", "--endpoint-url", "localhost:4566"], "example https://localhost:4566"),
        (["verify", "S", "--endpoint-url", "https://"], "example https://localhost:4566"),
        (["verify", "S", "--endpoint-url", "http://x:port"], "example https://localhost:4566"),
        (["verify", "S", "--region", ""], "'' is not a name"),
        (["verify", "S", "--reading", '{"a": NaN}'], "NaN is not a number of JSON"),
        (["verify", "\udcff"], "is not a name"),
        (["redrive", "--queue-url", "http://["], "aws sqs get-queue-url"),
        (["redrive", "--queue-url=--"], "--queue-url has no value"),
    ],
)
def test_a_wrong_argument_says_what_to_type(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == FAILED
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_and_the_page_have_the_same_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == DONE
    shown = capsys.readouterr().out
    codes = _COMMANDS[command].EXIT_CODES
    assert codes.as_text() in shown
    for code, meaning in enumerate([codes.done, codes.negative, codes.failed]):
        assert meaning is None or f"{code}      {meaning}" in shown.replace("usage error, or ", "")
    cells = [
        f"`{command}`",
        codes.done,
        codes.negative or "not used",
        codes.failed or "usage error",
    ]
    assert f"| {' | '.join(cells)} |" in PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (None, Status.PASS, DONE),
        (None, Status.FAIL, NEGATIVE),
        ("AccessDenied", Status.PASS, FAILED),
        ("AccessDenied", Status.FAIL, FAILED),
    ],
)
def test_verify_that_could_not_look_is_no_answer(
    error: str | None, status: Status, code: int
) -> None:
    finding = Finding("stream", "s", "state", status, "text")
    assert VerifyReport(["S"], "d", [finding], error=error).exit_code == code


def test_an_unexpected_exception_is_not_the_answer_no(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(_COMMANDS["plan"], "run", run)
    assert main(PLAN) == FAILED
    assert capsys.readouterr().err.splitlines()[-1] == "ZeroDivisionError: a bug"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "full"), "error: cannot write the output: full\n"),
        (OSError(errno.EACCES, "denied", "f"), "error: [Errno 13] denied: 'f'\n"),
    ],
)
def test_an_error_of_the_system_is_one_line(
    error: OSError,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(_COMMANDS["plan"], "run", run)
    assert main(PLAN) == FAILED
    assert capsys.readouterr().err == text


# A program that cleans up as the commands do; it tells its folder, and waits.
PROGRAM = """
import os, signal, sys, tempfile, time
from contextlib import suppress
from pathlib import Path
from iot_constructs.cli.exit_codes import ending_signals, interrupted_exit_code, run_to_exit_code

def work():
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as name:
        try:
            print("ready", flush=True)
            signal.pause()
        finally:
            for number in [int(each) for each in sys.argv[2:] if each.isdigit()]:
                os.kill(os.getpid(), number)
            Path(sys.argv[1], "cleaned-up").touch()
            if "quiet" not in sys.argv:
                print("x" * 100)
    return 0

def report():
    # As `local`: it ignores a second Ctrl-C, and prints a line after an interrupt.
    try:
        with ending_signals(signal.SIGINT):
            return work()
    except KeyboardInterrupt as interrupt:
        with suppress(OSError):
            print("report")
        return interrupted_exit_code(interrupt)

sys.exit(run_to_exit_code(report if "report" in sys.argv else work))
"""


def start(tmp_path: Path, *arguments: str, **streams: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *arguments]
    process: subprocess.Popen[bytes] = subprocess.Popen(command, env=ENVIRONMENT, **streams)  # type: ignore[call-overload]
    return process


def end(process: subprocess.Popen[bytes], number: int) -> int:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cleans_up_and_is_the_exit_code(tmp_path: Path, number: int) -> None:
    process = start(tmp_path, stdout=subprocess.PIPE)
    assert end(process, number) == 128 + number
    assert [each.name for each in tmp_path.iterdir()] == ["cleaned-up"]


@pytest.mark.parametrize(
    ("number", "program", "again"),
    [
        (signal.SIGTERM, "work", [signal.SIGTERM, signal.SIGHUP]),
        (signal.SIGHUP, "work", [signal.SIGTERM, signal.SIGHUP]),
        (signal.SIGINT, "report", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]),
    ],
)
def test_a_second_signal_does_not_end_the_clean_up(
    tmp_path: Path, number: int, program: str, again: list[signal.Signals]
) -> None:
    process = start(tmp_path, program, *[str(int(each)) for each in again], stdout=subprocess.PIPE)
    assert end(process, number) == 128 + number
    assert [each.name for each in tmp_path.iterdir()] == ["cleaned-up"]


def test_nohup_ignores_a_closed_terminal(tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("arguments", [[], ["report", "quiet"]], ids=["clean-up", "report"])
def test_a_closed_terminal_is_exit_code_129(tmp_path: Path, arguments: list[str]) -> None:
    parent, child = pty.openpty()
    process = start(tmp_path, *arguments, stdin=child, stdout=child, stderr=child)
    os.close(child)
    assert os.read(parent, 100).startswith(b"ready")
    os.close(parent)  # from now on, each write of the program fails
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert [each.name for each in tmp_path.iterdir()] == ["cleaned-up"]


@pytest.mark.parametrize("arguments", [PLAN, ["plan", "--help"], ["plan"]], ids=" ".join)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_pipe_is_never_a_traceback(arguments: list[str], stream: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    ended = subprocess.run(
        [sys.executable, "-m", "iot_constructs.cli", *arguments],
        env=ENVIRONMENT,
        check=False,
        **streams,  # type: ignore[call-overload]
    )
    os.close(writer)
    usage_error = arguments == ["plan"]
    expected = {FAILED if usage_error else EX_SIGPIPE if stream == "stdout" else DONE}
    if "--help" in arguments:
        expected.add(DONE)  # argparse ignores the error if the help does not fit into its buffer
    assert ended.returncode in expected
    if stream == "stdout":
        assert (b"required" if usage_error else b"") in ended.stderr
        assert b"Broken" not in ended.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("arguments", "code"), [(PLAN, DONE), (["check", "-"], FAILED)])
def test_a_stream_that_the_shell_closed(closed: str, arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "iot_constructs.cli", *arguments]
    ended = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    if "2>&-" in closed:
        # An error message must not go to the standard output, which can be JSON.
        assert "error: " not in ended.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_exit_code_2() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "iot_constructs.cli", *PLAN],
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == FAILED
    assert ended.stderr.startswith("error: cannot write the output: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_locale_without_the_characters_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "ü☃.json").write_text(json.dumps({"Resources": {"S": {"Type": "AWS::S3::Bucket"}}}))
    ended = subprocess.run(
        [sys.executable, "-m", "iot_constructs.cli", "check", str(tmp_path / "ü☃.json")],
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == NEGATIVE, ended.stderr
    assert b"\\xfc\\u2603.json" in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_init_leaves_nothing_after_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: os.kill(os.getpid(), number))
    assert main(["init", str(tmp_path / "farm")]) == 128 + number
    assert list(tmp_path.iterdir()) == []


def imports(file: Path) -> set[str]:
    """The first parts of the names of all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_package_imports_nothing_that_the_wheel_lacks() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 100
    apart = {"examples", "tests", "tools", "docs"}
    assert {str(file): found for file in files if (found := imports(file) & apart)} == {}
