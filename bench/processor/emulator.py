"""The emulator as the bench uses it: plain HTTP, no permissions, so that a call costs little.

That of `iot_constructs.local` checks signatures and permissions at each call, which would favor whoever makes fewer.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import boto3

REGION = "eu-central-1"
CREDENTIAL = "test"
HOST = "127.0.0.1"
READY_SECONDS = 60.0


@contextmanager
def plain_emulator() -> Iterator[str]:
    """Start an emulator on a free port of 127.0.0.1 for as long as the block runs. Yields its URL.

    Raises:
        RuntimeError: it did not start; the message has its log.
    """
    with socket.create_server((HOST, 0)) as free:
        port = str(free.getsockname()[1])
    url = f"http://{HOST}:{port}"
    variables = {"BIND_HOST": HOST, "GATEWAY_PORT": port, "IOT_MTLS_ENABLED": "0"}
    variables |= {"SFTP_ENABLED": "0"}
    with (
        tempfile.TemporaryFile() as log,
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
        ) as process,
    ):
        try:
            if not _is_ready(url, process):
                log.seek(0)
                raise RuntimeError(f"the emulator did not start:\n{log.read().decode()}")
            yield url
        finally:
            process.kill()  # it keeps nothing


def _is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    give_up = time.monotonic() + READY_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{url}/_ministack/ready", timeout=5):
            return True
        time.sleep(0.05)
    return False


def environment(url: str) -> dict[str, str]:
    """This process's variables, with AWS's replaced by `aws_variables`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | aws_variables(url)


def aws_variables(url: str) -> dict[str, str]:
    """The variables with which a program talks to this emulator only."""
    files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    return files | {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": CREDENTIAL,
        "AWS_SECRET_ACCESS_KEY": CREDENTIAL,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{HOST},localhost",
    }


def client(service: str, url: str) -> Any:
    """A client of one AWS service of the emulator."""
    credentials = {"aws_access_key_id": CREDENTIAL, "aws_secret_access_key": CREDENTIAL}
    return boto3.client(service, endpoint_url=url, region_name=REGION, **credentials)
