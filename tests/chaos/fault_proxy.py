"""A proxy that injects faults between the function and DynamoDB or SNS.

The proxy accepts HTTP on a free port on 127.0.0.1 and forwards requests to the emulator over HTTPS. It
keeps the signature, so the emulator still checks the permissions of the function's role. It signs only
modified requests, as the root user.

microburst, a similar proxy on PyPI, supports neither partial failures of a batch (``UnprocessedItems``,
statements with an ``Error``) nor crashes of the caller, where a stream processor can lose records.

Crashes require Linux: the proxy finds the caller's process through /proc/net/tcp (ports to inode) and
/proc/*/fd (inode to process). It signals a process only if it belongs to the emulator's process group
and is not the emulator itself.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from iot_constructs.local.emulator import CREDENTIAL, HOST, REGION, Endpoint
from tests.chaos.faults import BATCH_WRITE, STATE_WRITE, Fault, Faults

# Longer than the read timeout of the function's clients (3 s in processor/handler.py).
SLOW_SECONDS = 3.5
UPSTREAM_TIMEOUT_SECONDS = 30.0
DYNAMODB_TYPE = "com.amazonaws.dynamodb.v20120810#"
PROC = Path("/proc")
CAN_CRASH = sys.platform == "linux"

_DYNAMODB_ERRORS = {
    Fault.TABLE_THROTTLED: (400, "ProvisionedThroughputExceededException"),
    Fault.REQUEST_THROTTLED: (400, "ThrottlingException"),
    Fault.SERVER_ERROR: (500, "InternalServerError"),
    # The SDK does not retry this error, so the mapping uses its retries in seconds.
    Fault.OUTAGE: (400, "AccessDeniedException"),
}
_SNS_ERRORS = {
    Fault.TOPIC_THROTTLED: (400, "Throttling"),
    Fault.OUTAGE: (403, "AuthorizationError"),
}
_SIGNALS = {Fault.CRASH: signal.SIGKILL, Fault.FREEZE: signal.SIGSTOP}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"}
# The checksum of the original body.
_BODY_CHECKSUMS = {"x-amz-crc32"}


@dataclass(frozen=True)
class HttpResponse:
    """A response from the emulator or an injected one."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Split(Protocol):
    """A batch request of which only a part is forwarded."""

    @property
    def forwarded(self) -> dict[str, Any]:
        """The request with the forwarded part."""
        ...

    def response(self, body: bytes) -> bytes:
        """Return the response to the whole request from the response to the forwarded part."""
        ...


@dataclass(frozen=True)
class SplitItems:
    """A partially forwarded BatchWriteItem request."""

    forwarded: dict[str, Any]
    unprocessed: dict[str, list[Any]]

    def response(self, body: bytes) -> bytes:
        """Add the unprocessed items to the response."""
        content: dict[str, Any] = json.loads(body)
        unprocessed: dict[str, list[Any]] = content.setdefault("UnprocessedItems", {})
        for table, requests in self.unprocessed.items():
            unprocessed[table] = unprocessed.get(table, []) + requests
        return json.dumps(content).encode()


@dataclass(frozen=True)
class SplitStatements:
    """A partially forwarded BatchExecuteStatement request."""

    forwarded: dict[str, Any]
    statements: int
    """The number of statements in the whole request."""

    def response(self, body: bytes) -> bytes:
        """Insert throttled statements into the response."""
        content: dict[str, Any] = json.loads(body)
        throttled = {"Code": "ThrottlingError", "Message": f"injected: {Fault.PARTIAL_BATCH.value}"}
        responses: list[Any] = [{"Error": throttled}] * self.statements
        responses[::2] = content["Responses"]
        return json.dumps({**content, "Responses": responses}).encode()


def operation_name(headers: Mapping[str, str], body: bytes) -> str:
    """Return the operation of a call: in DynamoDB from a header, in SNS from the body."""
    target = headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2]
    action = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("Action")
    return action[0] if action else ""


def split_items(request: Mapping[str, Any]) -> SplitItems | None:
    """Forward every other item of BatchWriteItem. Returns None for fewer than two items."""
    forwarded: dict[str, list[Any]] = {}
    unprocessed: dict[str, list[Any]] = {}
    position = 0
    for table, writes in request["RequestItems"].items():
        for write in writes:
            part = unprocessed if position % 2 else forwarded
            part.setdefault(table, []).append(write)
            position += 1
    return SplitItems({**request, "RequestItems": forwarded}, unprocessed) if unprocessed else None


def split_statements(request: Mapping[str, Any]) -> SplitStatements | None:
    """Forward every other statement. Returns None for fewer than two statements."""
    statements = request["Statements"]
    if len(statements) < 2:
        return None
    return SplitStatements({**request, "Statements": statements[::2]}, len(statements))


_SPLIT: Mapping[str, Callable[[Mapping[str, Any]], Split | None]] = {
    BATCH_WRITE: split_items,
    STATE_WRITE: split_statements,
}


def error_response(fault: Fault, *, dynamodb: bool) -> HttpResponse | None:
    """Return the error response of AWS for a fault, or None if the fault is not an error response."""
    found = (_DYNAMODB_ERRORS if dynamodb else _SNS_ERRORS).get(fault)
    if found is None:
        return None
    status, code = found
    message = f"injected: {fault.value}"
    if dynamodb:
        headers = (
            ("Content-Type", "application/x-amz-json-1.0"),
            ("x-amzn-errortype", DYNAMODB_TYPE + code),
        )
        body = json.dumps({"__type": DYNAMODB_TYPE + code, "message": message})
    else:
        headers = (("Content-Type", "text/xml"), ("x-amzn-requestid", "injected"))
        kind = "Receiver" if status >= 500 else "Sender"
        body = (
            '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
            f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "<RequestId>injected</RequestId></ErrorResponse>"
        )
    return HttpResponse(status, headers, body.encode())


def sign(url: str, headers: Mapping[str, str], body: bytes, service: str) -> dict[str, str]:
    """Return the headers of a POST request with a signature of the root user."""
    kept = {
        name: value
        for name, value in headers.items()
        if name.lower() in {"content-type", "x-amz-target", "user-agent", "host"}
    }
    request = botocore.awsrequest.AWSRequest("POST", url, headers=kept, data=body)
    root = botocore.credentials.Credentials(CREDENTIAL, CREDENTIAL)
    botocore.auth.SigV4Auth(root, service, REGION).add_auth(request)
    return dict(request.headers.items())


def find_inode(table: str, client_port: int, server_port: int) -> str | None:
    """Return the inode of the client's socket from the content of /proc/net/tcp."""
    loopback = f"{int.from_bytes(socket.inet_aton(HOST), sys.byteorder):08X}"
    ends = [f"{loopback}:{client_port:04X}", f"{loopback}:{server_port:04X}"]
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == ends:
            return fields[9]
    return None


def signal_caller(client_port: int, server_port: int, group: int, number: signal.Signals) -> bool:
    """Signal the client's process if it belongs to a process group and is not its leader."""
    inode = find_inode(PROC.joinpath("net/tcp").read_text(), client_port, server_port)
    if inode is None:
        return False
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with suppress(OSError):  # the process ended or belongs to another user
            if pid != group and os.getpgid(pid) == group and _holds(entry, inode):
                os.kill(pid, number)
                return True
    return False


def _holds(process: Path, inode: str) -> bool:
    for descriptor in process.joinpath("fd").iterdir():
        with suppress(OSError):
            if str(descriptor.readlink()) == f"socket:[{inode}]":
                return True
    return False


class FaultProxy:
    """Listens for the duration of a ``with`` block."""

    def __init__(self, endpoint: Endpoint, faults: Faults, *, group: int) -> None:
        """Bind a free port.

        Args:
            endpoint: the emulator's endpoint.
            faults: selects the fault of each call.
            group: the emulator's process group. The proxy signals only its processes.
        """
        self._faults = faults
        self._group = group
        self._upstream = urllib.parse.urlsplit(endpoint.url)
        self._tls = ssl.create_default_context(cafile=endpoint.authority)
        self._connections = threading.local()
        self.not_found = 0
        """The number of crashes and freezes without effect because the caller was not found."""
        self._server = _Server((HOST, 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="fault-proxy", daemon=True
        )

    @property
    def port(self) -> int:
        """The port."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The endpoint URL."""
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(
        self, headers: Mapping[str, str], body: bytes, client_port: int
    ) -> HttpResponse | None:
        """Return the response to a call, or None to close the connection."""
        operation = operation_name(headers, body)
        dynamodb = "X-Amz-Target" in headers
        split = _SPLIT[operation](json.loads(body)) if operation in _SPLIT else None
        fault = self._faults.next(
            operation, lambda each: split is not None or each is not Fault.PARTIAL_BATCH
        )
        if fault is None:
            return self._forward(headers, body)
        error = error_response(fault, dynamodb=dynamodb)
        if error is not None:
            return error
        if fault is Fault.PARTIAL_BATCH:
            assert split is not None  # otherwise, the call would not accept the fault
            return self._forward_part(headers, split)
        if fault is Fault.SLOW:
            # Forwarded after the caller's timeout, maybe even after its second attempt.
            time.sleep(SLOW_SECONDS)
            return self._forward(headers, body)
        self._forward(headers, body)
        number = _SIGNALS.get(fault)
        if number is not None and not signal_caller(client_port, self.port, self._group, number):
            self.not_found += 1
        return None

    def hang_up(self) -> None:
        """Close this thread's connection to the emulator."""
        self._connection().close()

    def _forward_part(self, headers: Mapping[str, str], split: Split) -> HttpResponse:
        body = json.dumps(split.forwarded).encode()
        signed = sign(f"{self.url}/", headers, body, "dynamodb")
        response = self._forward(signed, body)
        if response.status != 200:
            return response
        kept = tuple(each for each in response.headers if each[0].lower() not in _BODY_CHECKSUMS)
        return HttpResponse(response.status, kept, split.response(response.body))

    def _forward(self, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        for is_last in (False, True):
            connection = self._connection()
            try:
                connection.request("POST", "/", body, dict(headers))
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                # The emulator closes idle connections. The writes are idempotent.
                connection.close()
                if is_last:
                    raise
                continue
            kept = tuple(
                (name, value)
                for name, value in response.getheaders()
                if name.lower() not in _HOP_BY_HOP
            )
            return HttpResponse(response.status, kept, content)
        raise AssertionError("the last attempt returns or raises")

    def _connection(self) -> http.client.HTTPSConnection:
        """Return this thread's connection, which serves one connection of the function."""
        if hasattr(self._connections, "upstream"):
            existing: http.client.HTTPSConnection = self._connections.upstream
            return existing
        made = http.client.HTTPSConnection(
            HOST, self._upstream.port, timeout=UPSTREAM_TIMEOUT_SECONDS, context=self._tls
        )
        self._connections.upstream = made
        return made


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: FaultProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that the function closed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Send each response in one packet, without delay.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Handle a call to DynamoDB or SNS."""
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:  # the function was killed while sending
            self.close_connection = True
            return
        headers = {name: value for name, value in self.headers.items() if name != "Connection"}
        response = self.server.proxy.handle(headers, body, self.client_address[1])
        if response is None:
            self.close_connection = True
            return
        self.send_response_only(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Suppress the log on standard error."""

    def finish(self) -> None:
        """Close the connection to the emulator together with this one."""
        super().finish()
        self.server.proxy.hang_up()
