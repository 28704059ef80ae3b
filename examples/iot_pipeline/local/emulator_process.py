"""The program that runs inside the emulator's process. Started by `emulator.py`, never imported.

ministack binds its HTTP gateway to ``BIND_HOST``, but its MQTT listener to every interface
whatever that says, and a server that trusts everybody must not be reachable from the network.
Two guards hold it to the loopback interface: servers are created on 127.0.0.1 whatever host they
ask for, and an audit hook refuses any other bind that slips past that. The hook also keeps it to
its two ports: with TLS it would take port 443 as well.

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
from collections.abc import Callable
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
    # Imported here: this file also has to load where the emulator is not installed (lint, types).
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
