"""The command line: options, exit codes, output, and life without boto3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

import iot_constructs.cli
from iot_constructs.cli.dead_letter_messages import Kind
from iot_constructs.cli.exit_codes import EX_SIGPIPE, FAILED, INTERRUPTED
from iot_constructs.cli.main import main
from iot_constructs.cli.progress import Progress

from .aws_fakes import ACCOUNT, QUEUE_URL, STREAM, aws_error, failed_batch
from .world import World

DRY_RUN = ["redrive", "--queue-url", QUEUE_URL, "--stream", STREAM]
EXECUTE = [*DRY_RUN, "--execute"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    clients = {
        "sqs": world.sqs,
        "s3": world.s3,
        "lambda": world.function,
    }
    world.sessions: list[dict[str, Any]] = []  # type: ignore[misc, attr-defined]
    world.clients: list[tuple[str, str | None]] = []  # type: ignore[misc, attr-defined]

    class Session:
        def __init__(self, **settings: Any) -> None:
            world.sessions.append(settings)  # type: ignore[attr-defined]

        def client(self, service: str, region_name: str | None, **settings: Any) -> Any:
            world.clients.append((service, region_name))  # type: ignore[attr-defined]
            if service == "kinesis":
                return world.kinesis_in(region_name)
            return clients[service]

    monkeypatch.setattr(boto3, "Session", Session)
    return world


def test_everything_redriven_is_exit_code_0(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.add_rejected(25)
    assert main(DRY_RUN) == 0
    assert len(world.sqs.visible()) == 25
    assert "dry run: 25 messages with 25 records" in capsys.readouterr().out
    assert main(EXECUTE) == 0
    out, err = capsys.readouterr()
    assert "25 messages with 25 records; 25 records put to stream" in out
    assert "25 of about 25 messages, 25 records" in err
    assert not world.sqs.messages
    assert world.accepted() == world.expected()


def test_something_kept_is_exit_code_1(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add_hopeless("not JSON")
    assert main(DRY_RUN) == 0
    capsys.readouterr()
    assert main([*EXECUTE, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["kept"] == [
        {
            "message_id": world.hopeless[0],
            "kind": "unknown",
            "reason": "the message is not a JSON object",
        }
    ]
    assert (said["messages"], said["records_found"], said["unknown"]) == (1, 0, 1)


def test_verbose_lists_every_message(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ids = world.add_rejected(25)
    assert main(DRY_RUN) == 0
    assert "would put 1, delete" not in capsys.readouterr().out
    assert main([*DRY_RUN, "--verbose"]) == 0
    assert capsys.readouterr().out.count("would put 1, delete") == 25
    assert main([*DRY_RUN, "--verbose", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["message_id"] for each in said["details"]] == ids


def test_to_the_function(world: World) -> None:
    world.add_rejected(3)
    options = ["--function", "processor", "--execute"]
    assert main(["redrive", "--queue-url", QUEUE_URL, *options]) == 0
    assert len(world.function.stored) == 3
    assert not world.kinesis.put


def test_kinds_and_limit(world: World) -> None:
    world.add_every_kind()
    count = len(world.sqs.messages)
    options = ["--kind", "rule-error", "--kind", "test-event", "--limit", "1"]
    assert main([*EXECUTE, *options]) == 0
    assert len(world.sqs.messages) == count - 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt, 130),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 143),
    ],
    ids=["SIGINT", "SIGTERM"],
)
def test_interrupted(
    world: World,
    capsys: pytest.CaptureFixture[str],
    error: Callable[[], BaseException | None],
    code: int,
) -> None:
    world.add_rejected(12)
    before = signal.getsignal(signal.SIGTERM)

    def stop(entry: dict[str, Any]) -> None:
        raised = error()
        if raised is not None:
            raise raised

    world.kinesis.refuses = stop
    assert main([*EXECUTE, "--json"]) == code
    assert signal.getsignal(signal.SIGTERM) is before
    said = json.loads(capsys.readouterr().out)
    assert said["interrupted"] is True
    assert said["messages_deleted"] == 0
    assert len(said["kept"]) == 10
    assert len(world.sqs.visible()) == 12


def test_an_aws_error_is_printed_in_one_line(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.calls.fail_at = 0
    world.calls.error = lambda: aws_error("AccessDenied", "no sqs:GetQueueAttributes")
    assert main(EXECUTE) == FAILED
    assert "error: AccessDenied: no sqs:GetQueueAttributes\n" in capsys.readouterr().err


def test_messages_in_flight_elsewhere_are_mentioned(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    [id] = world.add_rejected(1)
    world.sqs._hide(world.sqs.messages[id], 100)
    assert main(DRY_RUN) == 0
    assert "about 1 messages were not received" in capsys.readouterr().out
    assert main([*DRY_RUN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["in_flight_elsewhere"] == 1


def test_the_region_defaults_to_that_of_the_queue(world: World) -> None:
    main(DRY_RUN)
    main([*DRY_RUN, "--region", "us-west-2", "--profile", "ops"])
    assert world.sessions == [  # type: ignore[attr-defined]
        {"profile_name": None, "region_name": "eu-central-1"},
        {"profile_name": "ops", "region_name": "us-west-2"},
    ]


def test_an_arn_is_looked_for_in_its_own_region(world: World) -> None:
    there = world.regions["us-west-2"]
    records = [there.accept("d1", b"1"), there.accept("d2", b"2")]
    for record in records:
        number = record.sequence_number
        batch = failed_batch(number, number, 1, arn=there.arn)
        world.add(batch, (record.partition_key, record.data))
    queue = ["redrive", "--queue-url", QUEUE_URL, "--region", "eu-central-1"]
    function = f"arn:aws:lambda:us-west-2:{ACCOUNT}:function:processor"
    assert main([*queue, "--function", function]) == 0
    assert main([*queue, "--stream", there.arn, "--execute"]) == 0
    assert there.put == [("d1", b"1"), ("d2", b"2")]
    made = world.clients  # type: ignore[attr-defined]
    assert ("lambda", "us-west-2") in made
    # Once in each of the two runs.
    assert [region for service, region in made if service == "kinesis"] == ["us-west-2"] * 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["redrive"], "--queue-url"),
        (["redrive", "--queue-url", "my-queue"], "'my-queue' is not a URL"),
        ([*DRY_RUN, "--function", "f"], "not allowed with"),
        ([*DRY_RUN, "--rate", "0"], "'0' is not a positive integer"),
        ([*DRY_RUN, "--limit", "-1"], "'-1' is not a positive integer"),
        ([*DRY_RUN, "--rate", "1.5"], "'1.5' is not a positive integer"),
        ([*DRY_RUN, "--kind", "other"], "rejected-record"),
        ([*DRY_RUN, "--topic-level", "x"], "'x' is not a positive integer"),
    ],
)
def test_usage_errors_are_exit_code_2(
    world: World, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not world.calls.names


def test_the_help_explains_every_kind_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["redrive", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in (*(kind.value for kind in Kind), "130", "143", "--execute", "--topic-level"):
        assert word in text


def without(*packages: str) -> str:
    """A program that runs the command where some packages are not installed.

    The package around it is left out as well: the command must not depend on the constructs.
    """
    folder = str(Path(iot_constructs.cli.__file__).parents[1])
    return (
        "import sys, types\n"
        "package = types.ModuleType('iot_constructs')\n"
        f"package.__path__ = [{folder!r}]\n"
        "sys.modules['iot_constructs'] = package\n"
        f"sys.modules.update(dict.fromkeys({packages!r}))\n"
        "from iot_constructs.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "assert not [m for m in sys.modules if m.startswith(('aws_cdk', 'jsii'))]\n"
        "sys.exit(code)\n"
    )


def test_without_boto3_it_prints_how_to_install_it_and_still_has_help() -> None:
    program = without("boto3", "botocore")
    asked = [sys.executable, "-c", program, *EXECUTE]
    run = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "pip install 'iot-constructs[ops]'" in run.stderr
    assert "Traceback" not in run.stderr
    asked = [sys.executable, "-c", program, "redrive", "--help"]
    assert "--queue-url" in subprocess.run(asked, capture_output=True, text=True, check=True).stdout


class Terminal:
    def __init__(self, is_terminal: bool) -> None:
        self.text = ""
        self.is_terminal = is_terminal

    def write(self, text: str, /) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self.is_terminal


def test_a_terminal_gets_a_bar_and_a_file_gets_a_few_lines() -> None:
    terminal, file = Terminal(True), Terminal(False)
    for output in (terminal, file):
        progress = Progress(output, 1000)
        for done in range(10, 1011, 10):
            progress.update(done, 2 * done)
        progress.close()
    assert terminal.text.count("\r") == 101
    assert "[############............] 500 of about 1000 messages" in terminal.text
    assert terminal.text.endswith("1010 of about 1010 messages, 2020 records\x1b[K\n")
    assert file.text.count("\n") == 10
    assert "\r" not in file.text
    assert "\x1b" not in file.text
    quiet = Terminal(False)
    Progress(quiet, 0).update(0, 0)
    assert quiet.text == ""


def test_a_reader_that_has_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    plan = ["plan", "--devices", "1000", "--every", "60s", "--bytes", "400"]
    ended = subprocess.run(
        [sys.executable, "-m", "iot_constructs.cli", *plan],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (EX_SIGPIPE, b"")


def test_ctrl_c_before_a_command_handles_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Path, *arguments: object, **options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    assert main(["init", str(tmp_path / "farm")]) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"
    assert list(tmp_path.iterdir()) == []
