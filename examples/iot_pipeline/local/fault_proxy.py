"""A proxy between the function and DynamoDB and SNS that lets things go wrong.

It takes plain HTTP on a free port of 127.0.0.1 and passes it on to the emulator over HTTPS, as it
is: the signature stays that of the function's role, whose permissions the emulator goes on to
check. Only where the proxy changes a request does it sign anew, as the account's root.

Why not microburst, a proxy from PyPI that injects AWS-shaped throttles and timeouts: it cannot
answer a batch that was carried out in part (``UnprocessedItems``, statements with an ``Error``), and
it cannot kill the caller. Those two are where a stream processor loses records.

The caller is found through /proc: the socket's ports give its inode (/proc/net/tcp), the inode the
process that holds it (/proc/*/fd). So crashes are there on Linux only. A process is killed or stopped only if
it belongs to the emulator's process group and is not the emulator itself.
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

from examples.iot_pipeline.local.chaos_faults import BATCH_WRITE, STATE_WRITE, Fault, Faults
from examples.iot_pipeline.local.emulator import CREDENTIAL, HOST, REGION, Endpoint

# Longer than the read timeout of the function's clients (3 s, processor/handler.py).
SLOW_SECONDS = 3.5
UPSTREAM_TIMEOUT_SECONDS = 30.0
DYNAMODB_TYPE = "com.amazonaws.dynamodb.v20120810#"
PROC = Path("/proc")
CAN_CRASH = sys.platform == "linux"

_DYNAMODB_ERRORS = {
    Fault.TABLE_THROTTLED: (400, "ProvisionedThroughputExceededException"),
    Fault.REQUEST_THROTTLED: (400, "ThrottlingException"),
    Fault.SERVER_ERROR: (500, "InternalServerError"),
    # An SDK does not repeat what is denied, so the retries of the mapping are used up in seconds.
    Fault.OUTAGE: (400, "AccessDeniedException"),
}
_SNS_ERRORS = {
    Fault.TOPIC_THROTTLED: (400, "Throttling"),
    Fault.OUTAGE: (403, "AuthorizationError"),
}
_SIGNALS = {Fault.CRASH: signal.SIGKILL, Fault.FREEZE: signal.SIGSTOP}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"}
# The checksum is of the body that the emulator sent.
_BODY_CHECKSUMS = {"x-amz-crc32"}


@dataclass(frozen=True)
class HttpResponse:
    """A response, from the emulator or made up."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Split(Protocol):
    """A batch in two: what is carried out, and what is said to be left."""

    @property
    def forwarded(self) -> dict[str, Any]:
        """The request for what is carried out."""
        ...

    def answer(self, body: bytes) -> bytes:
        """The answer to the whole, from the one to what was carried out."""
        ...


@dataclass(frozen=True)
class SplitItems:
    """A BatchWriteItem in two."""

    forwarded: dict[str, Any]
    left: dict[str, list[Any]]

    def answer(self, body: bytes) -> bytes:
        """The answer of the carried out part, with what is left added to it."""
        content: dict[str, Any] = json.loads(body)
        unprocessed: dict[str, list[Any]] = content.setdefault("UnprocessedItems", {})
        for table, requests in self.left.items():
            unprocessed[table] = unprocessed.get(table, []) + requests
        return json.dumps(content).encode()


@dataclass(frozen=True)
class SplitStatements:
    """A BatchExecuteStatement in two."""

    forwarded: dict[str, Any]
    statements: int
    """Of the whole request."""

    def answer(self, body: bytes) -> bytes:
        """The answer of the carried out part, with throttled statements in between."""
        content: dict[str, Any] = json.loads(body)
        throttled = {"Code": "ThrottlingError", "Message": f"injected: {Fault.PARTIAL_BATCH.value}"}
        responses: list[Any] = [{"Error": throttled}] * self.statements
        responses[::2] = content["Responses"]
        return json.dumps({**content, "Responses": responses}).encode()


def operation_name(headers: Mapping[str, str], body: bytes) -> str:
    """The operation of a call: DynamoDB names it in a header, SNS in the body."""
    target = headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2]
    action = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("Action")
    return action[0] if action else ""


def split_items(request: Mapping[str, Any]) -> SplitItems | None:
    """Leave every other item of a BatchWriteItem; None if there are fewer than two."""
    forwarded: dict[str, list[Any]] = {}
    left: dict[str, list[Any]] = {}
    position = 0
    for table, writes in request["RequestItems"].items():
        for write in writes:
            part = left if position % 2 else forwarded
            part.setdefault(table, []).append(write)
            position += 1
    return SplitItems({**request, "RequestItems": forwarded}, left) if left else None


def split_statements(request: Mapping[str, Any]) -> SplitStatements | None:
    """Leave every other statement; None if there are fewer than two."""
    statements = request["Statements"]
    if len(statements) < 2:
        return None
    return SplitStatements({**request, "Statements": statements[::2]}, len(statements))


_SPLIT: Mapping[str, Callable[[Mapping[str, Any]], Split | None]] = {
    BATCH_WRITE: split_items,
    STATE_WRITE: split_statements,
}


def error_response(fault: Fault, *, dynamodb: bool) -> HttpResponse | None:
    """The answer of AWS for a fault that is an error answer; None for another kind of fault."""
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
    """The headers of a POST with the signature of the account's root for this body."""
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
    """The inode of the client's end of a connection on 127.0.0.1, from a text of /proc/net/tcp."""
    loopback = f"{int.from_bytes(socket.inet_aton(HOST), sys.byteorder):08X}"
    ends = [f"{loopback}:{client_port:04X}", f"{loopback}:{server_port:04X}"]
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == ends:
            return fields[9]
    return None


def signal_caller(client_port: int, server_port: int, group: int, number: signal.Signals) -> bool:
    """Signal the process at the other end, if it is one that the leader of a process group started."""
    inode = find_inode(PROC.joinpath("net/tcp").read_text(), client_port, server_port)
    if inode is None:
        return False
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with suppress(OSError):  # it has ended, or it is not ours
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
    """Listens for as long as a ``with`` block runs."""

    def __init__(self, endpoint: Endpoint, faults: Faults, *, group: int) -> None:
        """Listen on a free port.

        Args:
            endpoint: the emulator's.
            faults: what happens to which call.
            group: the emulator's process group, outside of which nothing is killed.
        """
        self._faults = faults
        self._group = group
        self._upstream = urllib.parse.urlsplit(endpoint.url)
        self._tls = ssl.create_default_context(cafile=endpoint.authority)
        self._connections = threading.local()
        self.not_found = 0
        """Crashes and freezes that did not happen, because the caller was not found."""
        self._server = _Server((HOST, 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="fault-proxy", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it listens, as an endpoint."""
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
        """Answer one call; None to break the connection."""
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
            assert split is not None  # it would not have fitted
            return self._forward_part(headers, split)
        if fault is Fault.SLOW:
            # Carried out after the caller has given up, and maybe after its second attempt.
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
        answer = self._forward(signed, body)
        if answer.status != 200:
            return answer
        kept = tuple(each for each in answer.headers if each[0].lower() not in _BODY_CHECKSUMS)
        return HttpResponse(answer.status, kept, split.answer(answer.body))

    def _forward(self, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        for is_last in (False, True):
            connection = self._connection()
            try:
                connection.request("POST", "/", body, dict(headers))
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                # The emulator closes connections that were idle; a write can be repeated.
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
        """The connection of this thread, which serves one connection of the function."""
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
        """A function that was killed or has given up closes its end: that is no error here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece, at once.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Every call of DynamoDB and SNS."""
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:  # the function was killed while it was sending
            self.close_connection = True
            return
        headers = {name: value for name, value in self.headers.items() if name != "Connection"}
        answer = self.server.proxy.handle(headers, body, self.client_address[1])
        if answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Not on standard error."""

    def finish(self) -> None:
        """The function has closed this connection, or we do."""
        super().finish()
        self.server.proxy.hang_up()
