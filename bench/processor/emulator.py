"""The emulator as the bench uses it: plain HTTP, no permissions, so that a call costs little.

The demo's emulator (src/iot_constructs/local/emulator.py) checks signatures and permissions at
each call. Here that would only favour whoever makes fewer calls.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

REGION = "eu-central-1"
CREDENTIAL = "test"
HOST = "127.0.0.1"
READY_SECONDS = 60.0
STOP_SECONDS = 10.0


@contextmanager
def plain_emulator() -> Iterator[str]:
    """Starts an emulator on a free port of 127.0.0.1 for as long as the block runs; yields its URL.

    Raises:
        RuntimeError: it did not start; the message holds its log.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="iot-emulator-") as directory:
        log = Path(directory, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                cwd=directory,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "BIND_HOST": HOST,
                    "GATEWAY_PORT": str(port),
                    "IOT_MTLS_ENABLED": "0",
                    "SFTP_ENABLED": "0",
                },
            )
        try:
            url = f"http://{HOST}:{port}"
            _wait_until_ready(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(url: str) -> dict[str, str]:
    """This process's variables, with AWS's replaced by `aws_variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | aws_variables(url)


def aws_variables(url: str) -> dict[str, str]:
    """The variables with which a program talks to this emulator only."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": CREDENTIAL,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{HOST},localhost",
    }


def client(service: str, url: str) -> Any:
    """A client of one AWS service of the emulator."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIAL,
        aws_secret_access_key=CREDENTIAL,
    )


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + READY_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_ministack/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the emulator did not start:\n{log.read_text(errors='replace')}")
