"""The main program of the emulator's process. `emulator.py` starts it.

ministack binds its HTTP gateway to ``BIND_HOST``, but its MQTT listener to every interface. The
emulator accepts any credentials, so it must not be reachable from the network. This program creates
every server on 127.0.0.1 regardless of the requested host, and an audit hook rejects any other bind.
The hook also rejects other ports: with TLS, ministack would bind port 443, too.

The emulator must stop even if its parent process is killed. The parent holds the write end of this
process's standard input. When it closes, the process group (the emulator and its functions) is
killed and its files are removed.
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
    """Bind every server of this process to the loopback interface."""
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
    """Reject a bind to an address that other machines can reach, or to an unexpected port."""
    if event != "socket.bind":
        return
    address = arguments[1]
    if not isinstance(address, tuple):  # a Unix socket has a path
        return
    host, port = address[0] or "0.0.0.0", address[1]
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise PermissionError(f"refused to listen on {host!r}: the emulator must be local")
    if port and str(port) not in (os.environ["GATEWAY_PORT"], os.environ["IOT_MTLS_PORT"]):
        raise PermissionError(f"refused to listen on port {port}: not a port of the emulator")


def end_with_parent(directory: str) -> None:
    """Kill this process group and remove its directory when the parent ends."""

    def wait_for_parent() -> None:
        try:
            while os.read(0, 1):
                pass
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait_for_parent, name="end-with-parent", daemon=True).start()


def main() -> None:
    """Run the emulator until the parent closes standard input."""
    directory = sys.argv.pop(1)
    end_with_parent(directory)
    serve_on_loopback_only()
    # Imported here so that this module loads without the emulator, as in tests.
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
