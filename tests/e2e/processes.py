"""Lists processes and listening sockets, from /proc or from ps."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"


def command_lines() -> dict[int, str]:
    """Return the command line of every other process."""
    if PROC.joinpath("self").exists():
        found = {}
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                try:
                    line = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ")
                except OSError:
                    continue  # the process ended
                found[int(entry.name)] = line.decode(errors="replace")
    else:
        listing = subprocess.run(
            ["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True
        )
        lines = (line.strip().split(maxsplit=1) for line in listing.stdout.splitlines())
        found = {int(parts[0]): parts[-1] for parts in lines}
    found.pop(os.getpid(), None)
    return found


def wait_until_gone(text: str, seconds: float) -> list[str]:
    """Wait until no command line contains `text`. Returns the command lines that still do."""
    deadline = time.monotonic() + seconds
    while True:
        remaining = [line for line in command_lines().values() if text in line]
        if not remaining or time.monotonic() > deadline:
            return remaining
        time.sleep(0.1)


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """Return the addresses (in the kernel's hexadecimal format) and ports of listening sockets."""
    sockets = set()
    for descriptor in PROC.joinpath(str(pid), "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # closed in the meantime
        if target.startswith("socket:["):
            sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in PROC.joinpath(str(pid), "net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in sockets:
                address, _, port = fields[1].rpartition(":")
                found.add((address, int(port, 16)))
    return found
