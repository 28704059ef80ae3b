"""The program that runs inside the emulator's process. Started by `emulator.py`, never imported.

ministack binds its HTTP gateway to ``BIND_HOST``, but its MQTT listener to every interface
whatever that says, and a server that trusts everybody must not be reachable from the network.
Two guards hold it to the loopback interface: servers are created on 127.0.0.1 whatever host they
ask for, and an audit hook refuses any other bind that slips past that. The hook also keeps it to
its two ports: with TLS it would take port 443 as well.

A batch of which the function reports a part as failed (``batchItemFailures``) is delivered again by
AWS. The emulator takes the report for a success and drops what failed, so a moment's overload of
this machine would lose records; here such a batch is delivered again too, as a whole. The rest of
what an event source mapping does with failures (a bound on retries, bisecting, a failure
destination) is not done here.

Nothing may outlive the run that started it, also when that run is killed with no chance to clean
up. Its process holds the other end of this one's standard input: when that closes, the whole
process group (the emulator and the functions it is running) is killed and its files are removed.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import sys
import threading
from asyncio import base_events
from collections.abc import Callable, Iterable
from typing import Any

LOOPBACK = "127.0.0.1"


def serve_on_loopback_only() -> None:
    """Make every server of this process listen on the loopback interface."""
    create_server: Callable[..., Any] = base_events.BaseEventLoop.create_server

    async def create_on_loopback(
        loop: Any, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        if options.get("sock") is None:
            host = LOOPBACK
        return await create_server(loop, protocol_factory, host, port, **options)

    setattr(base_events.BaseEventLoop, "create_server", create_on_loopback)  # noqa: B010
    sys.addaudithook(refuse_other_binds)


def refuse_other_binds(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise on a bind to an address that other machines can reach, or to a foreign port."""
    if event != "socket.bind":
        return
    address = arguments[1]
    if not isinstance(address, tuple):  # a Unix socket has a path
        return
    host, port = address[0] or "0.0.0.0", address[1]
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise PermissionError(f"refused to listen on {host!r}: the emulator is for this machine")
    if port and str(port) not in (os.environ["GATEWAY_PORT"], os.environ["IOT_MTLS_PORT"]):
        raise PermissionError(f"refused to listen on port {port}: it was not given to the emulator")


def deliver_failed_batches_again() -> None:
    """Make a reported partial failure of a stream's batch count as a failure of the batch."""
    from ministack.services import lambda_svc

    execute: Callable[[Any, Any], dict[str, Any]] = lambda_svc._execute_function

    def execute_and_judge(function: Any, event: Any) -> dict[str, Any]:
        result = execute(function, event)
        body = result.get("body")
        failures = body.get("batchItemFailures") if isinstance(body, dict) else None
        if result.get("error") or not failures:
            return result
        if stream_of(event) not in streams_with_reports(lambda_svc._iter_all_esms()):
            return result
        message = f"the function reported {failures} of the batch as failed"
        error = {"errorType": "PartialBatchFailure", "errorMessage": message}
        return {**result, "error": True, "body": error}

    lambda_svc._execute_function = execute_and_judge


def stream_of(event: Any) -> str | None:
    """The stream from which a batch comes; None for an event that is no batch of a stream."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not records or records[0].get("eventSource") != "aws:kinesis":
        return None
    return str(records[0]["eventSourceARN"])


def streams_with_reports(mappings: Iterable[tuple[Any, Any, dict[str, Any]]]) -> set[str]:
    """The event sources whose mappings ask the function to report failed items."""
    return {
        mapping["EventSourceArn"]
        for _, _, mapping in mappings
        if "ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or [])
    }


def end_with_parent(directory: str) -> None:
    """Kill this process group and remove its directory once the parent is gone."""

    def wait_for_parent() -> None:
        try:
            while os.read(0, 1):
                pass
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait_for_parent, name="end-with-parent", daemon=True).start()


def main() -> None:
    """Run the emulator until the parent closes our standard input."""
    directory = sys.argv.pop(1)
    end_with_parent(directory)
    serve_on_loopback_only()
    deliver_failed_batches_again()
    # Imported here: this file also has to load where the emulator is not installed (lint, types).
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
