"""Runs a local AWS emulator (ministack) for the duration of a ``with`` block.

The emulator has the account 000000000000 in us-east-1 with the credentials ``test``/``test``, an HTTPS
port, and a port for MQTT over TLS. Both are free ports on 127.0.0.1, so runs do not interfere. State
is in memory or in a temporary directory.

The emulator enforces IAM permissions (``AUTH``): a function has only the permissions of its role, and
policies can deny plain HTTP. The credentials ``test`` belong to the root user. Permissions between
AWS services are mostly not enforced, such as Firehose reading the stream, CloudWatch publishing to a
topic, or the use of a KMS key.

The emulator has its own process group, which is killed at the end of the block. It also stops when
this process ends (see `emulator_process.py`). It does not use your AWS configuration: not ``~/.aws``,
not ``AWS_PROFILE``, and not a proxy.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session

from iot_constructs.local.certificates import Certificates, make_certificates

ACCOUNT = "000000000000"
REGION = "us-east-1"
CREDENTIAL = "test"
HOST = "127.0.0.1"

READY_SECONDS = 60.0
START_ATTEMPTS = 5
DIRECTORY = "iot-constructs-local-"
"""How the names of the temporary directories begin."""


class EmulatorError(RuntimeError):
    """The emulator did not start, or stopped unexpectedly."""


class _PortInUseError(EmulatorError):
    """Another process bound the port before the emulator did."""


@dataclass(frozen=True)
class Endpoint:
    """The endpoint of an emulator's AWS API and its certificate authority."""

    url: str
    authority: str
    """Path of a PEM file."""

    def client(
        self,
        service: str,
        credentials: Mapping[str, str] | None = None,
        *,
        config: botocore.config.Config | None = None,
    ) -> Any:
        """Return a client of an AWS service, as the root user or with the credentials of a role."""
        # Unset each variable, so that the client does not use the user's profile or endpoints.
        session = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
                "ca_bundle": (None, None, None, None),
            }
        )
        root = {"AccessKeyId": CREDENTIAL, "SecretAccessKey": CREDENTIAL}
        used = credentials if credentials is not None else root
        default = botocore.config.Config(
            proxies={},
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 4},
            s3={"addressing_style": "path"},
        )
        return session.create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            verify=self.authority,
            aws_access_key_id=used["AccessKeyId"],
            aws_secret_access_key=used["SecretAccessKey"],
            aws_session_token=used.get("SessionToken"),
            config=default if config is None else default.merge(config),
        )


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    https_port: int
    mqtt_port: int
    directory: Path
    certificates: Certificates
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of the AWS API."""
        return Endpoint(f"https://{HOST}:{self.https_port}", str(self.certificates.authority))

    @property
    def log(self) -> Path:
        """The log of the emulator and its functions."""
        return self.directory / "emulator.log"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make an AWS program use only this emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint.url,
            **_trust(self.certificates),
            "AWS_ACCESS_KEY_ID": CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": CREDENTIAL,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Otherwise, an SDK without credentials calls a link-local address.
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": f"{HOST},localhost",
        }

    def client(self, service: str, credentials: Mapping[str, str] | None = None) -> Any:
        """Return a client of an AWS service, as the root user or with the credentials of a role."""
        return self.endpoint.client(service, credentials)

    def get(self, path: str, *, timeout: float = 10.0) -> bytes:
        """Return the response body of an emulator-specific endpoint."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(self.certificates.authority)
        connection = http.client.HTTPSConnection(
            HOST, self.https_port, timeout=timeout, context=tls
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise EmulatorError(f"GET {path} returned {response.status}: {body[:200]!r}")
        return body

    def check(self) -> None:
        """Raise an exception with the end of the log if the emulator is not running."""
        if self.process.poll() is not None:
            raise EmulatorError(
                f"the emulator stopped unexpectedly (exit code {self.process.returncode})\n"
                + log_tail(self.log)
            )


@contextmanager
def running_emulator(port: int | None = None) -> Iterator[Emulator]:
    """Start an emulator, wait until it is ready, and stop it at the end.

    Args:
        port: the HTTPS port; by default any free one.

    Raises:
        EmulatorError: the emulator does not start, or another program uses the port.
    """
    with tempfile.TemporaryDirectory(prefix=DIRECTORY, ignore_cleanup_errors=True) as root:
        emulator = _start(Path(root), port)
        try:
            yield emulator
        finally:
            _kill(emulator.process)


def log_tail(log: Path, lines: int = 30) -> str:
    """Return the last lines of a log file, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def _start(root: Path, port: int | None) -> Emulator:
    if port is not None:
        _check_free(port)
    for attempt in range(START_ATTEMPTS):
        directory = root / f"emulator-{attempt}"
        directory.mkdir()
        try:
            return _start_once(directory, port)
        except _PortInUseError as error:
            last = error
    raise EmulatorError(f"no free port in {START_ATTEMPTS} attempts; last error:\n{last}")


def _start_once(directory: Path, port: int | None) -> Emulator:
    https_port, mqtt_port = _free_ports(2)
    https_port = port if port is not None else https_port
    for name in ("home", "tmp"):
        (directory / name).mkdir()
    certificates = make_certificates(directory, HOST)
    with (directory / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            # -I: no PYTHONPATH and no script directory, so that a function in the emulator cannot
            # import this repository. -u: the log is complete after a crash.
            [
                sys.executable,
                "-I",
                "-u",
                str(Path(__file__).with_name("emulator_process.py")),
                str(directory.parent),
            ],
            env=_emulator_environment(directory, certificates, https_port, mqtt_port),
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    emulator = Emulator(https_port, mqtt_port, directory, certificates, process)
    try:
        _wait_until_ready(emulator)
    except BaseException:
        _kill(process)
        raise
    return emulator


def _emulator_environment(
    directory: Path, certificates: Certificates, https_port: int, mqtt_port: int
) -> dict[str, str]:
    """Return the environment of the emulator and its functions. Excludes the user's environment."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "LANG": "C.UTF-8",
        "HOME": str(directory / "home"),
        "TMPDIR": str(directory / "tmp"),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_EDITION": _edition(directory),
        "GATEWAY_PORT": str(https_port),
        "IOT_MTLS_PORT": str(mqtt_port),
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificates.server),
        "MINISTACK_SSL_KEY": str(certificates.server_key),
        # For the functions, which call the emulator.
        **_trust(certificates),
        "SFTP_ENABLED": "0",
        "S3_DATA_DIR": str(directory / "s3"),
        "STATE_DIR": str(directory / "state"),
        # With access to Docker, it would remove the containers of other emulators.
        "DOCKER_HOST": f"unix://{directory / 'no-docker.sock'}",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{HOST},localhost",
    }


def _trust(certificates: Certificates) -> dict[str, str]:
    """Return the variables that make the SDKs, and HTTPS of Python itself, trust the emulator."""
    authority = str(certificates.authority)
    return dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), authority)


def _wait_until_ready(emulator: Emulator) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        if emulator.process.poll() is not None:
            tail = log_tail(emulator.log)
            if "already in use" in tail:
                raise _PortInUseError(tail)
            emulator.check()
        ready = _health(emulator)
        if ready is not None and ready.get("iot_mtls") != "starting":
            if ready.get("iot_mtls") == "listening":
                return
            # The listener logs a failed bind and continues.
            tail = log_tail(emulator.log)
            if "failed to bind port" in tail:
                raise _PortInUseError(tail)
            raise EmulatorError(
                f"the emulator's MQTT listener is {ready.get('iot_mtls')!r}; is the package "
                f"cryptography installed?\n{tail}"
            )
        if time.monotonic() > deadline:
            raise EmulatorError(
                f"the emulator was not ready after {READY_SECONDS:.0f} s\n{log_tail(emulator.log)}"
            )
        time.sleep(0.05)


def _health(emulator: Emulator) -> dict[str, Any] | None:
    """Return the health of this emulator. None: no response, or another process listens."""
    try:
        # Another process on the port might never respond.
        emulator.get("/_ministack/ready", timeout=2)
        health: dict[str, Any] = json.loads(emulator.get("/_ministack/health", timeout=2))
    except (OSError, http.client.HTTPException, EmulatorError, ValueError):
        return None
    return health if health.get("edition") == _edition(emulator.directory) else None


def _edition(directory: Path) -> str:
    """Return a name that distinguishes this emulator from one of another run on the same port."""
    return f"local-{directory.parent.name}"


def _check_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As a server does: a port that a recent connection still occupies can be used.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EmulatorError(
                f"port {port} can't be used: {error.strerror}; choose another --port, or leave it out"
            ) from None


def _free_ports(count: int) -> list[int]:
    """Return different free ports. Keeps them bound until all are chosen."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the emulator and its functions."""
    # The group exists while it has members, even after the leader ended.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
