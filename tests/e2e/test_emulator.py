"""The emulator listens only locally, ends with its parent, and ignores the AWS configuration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from iot_constructs.local import emulator as module
from iot_constructs.local.emulator import (
    ACCOUNT,
    HOST,
    Emulator,
    EmulatorError,
    running_emulator,
)
from tests.e2e.processes import PROC, listening_addresses, wait_until_gone

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK_IN_HEX = "0100007F"

needs_proc = pytest.mark.skipif(
    not PROC.joinpath("net").exists(), reason="open sockets are read from /proc"
)


@needs_proc
def test_it_listens_only_on_two_ports_of_the_loopback_interface(emulator: Emulator) -> None:
    # Some services, such as Transfer Family, open ports on first use.
    emulator.client("transfer").create_server()
    assert listening_addresses(emulator.process.pid) == {
        (LOOPBACK_IN_HEX, emulator.https_port),
        (LOOPBACK_IN_HEX, emulator.mqtt_port),
    }


def test_the_aws_configuration_of_the_user_is_ignored(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-real-key")
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert emulator.client("sts").get_caller_identity()["Account"] == ACCOUNT


def test_permissions_are_enforced(emulator: Emulator) -> None:
    iam = emulator.client("iam")
    trust = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", '
        f'"Principal": {{"AWS": "{ACCOUNT}"}}, "Action": "sts:AssumeRole"}}]}}'
    )
    role = iam.create_role(RoleName="no-permissions", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    assumed = emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
    dynamodb = emulator.client("dynamodb", assumed["Credentials"])
    with pytest.raises(ClientError, match="not authorized"):
        dynamodb.list_tables()


def test_two_concurrent_emulators(emulator: Emulator) -> None:
    with running_emulator() as other:
        other.client("sqs").create_queue(QueueName="of-the-other")
        assert not emulator.client("sqs").list_queues().get("QueueUrls")
        process = other.process
    assert process.poll() is not None
    assert emulator.process.poll() is None


def test_a_port_in_use_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    free_ports = module._free_ports
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        offers = [[port, *free_ports(1)], [*free_ports(1), port]]
        monkeypatch.setattr(
            module, "_free_ports", lambda count: offers.pop() if offers else free_ports(count)
        )
        with running_emulator() as emulator:
            assert port not in (emulator.https_port, emulator.mqtt_port)
            assert emulator.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert not offers


def test_an_unexpected_stop_is_reported_with_the_log() -> None:
    with running_emulator() as emulator:
        os.killpg(emulator.process.pid, signal.SIGKILL)
        emulator.process.wait()
        with pytest.raises(EmulatorError, match="stopped unexpectedly") as error:
            emulator.check()
    assert "Ready" in str(error.value)


def wait_until_refused(port: int, seconds: float) -> bool:
    """Wait until no process listens on a port. Sockets can outlive their process briefly."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as connection:
            if connection.connect_ex((HOST, port)) != 0:
                return True
        time.sleep(0.1)
    return False


PARENT = """
import sys, time
from iot_constructs.local.emulator import running_emulator
with running_emulator() as emulator:
    print(emulator.https_port, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    # The command line of every child process contains this directory.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(10)
    assert wait_until_gone(str(tmp_path), 10) == []
    assert list(tmp_path.iterdir()) == []
    assert wait_until_refused(port, 10)
