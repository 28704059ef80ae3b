"""Where the time of one synth goes, by Node's own profiler: ``--cpu-prof`` in the process that jsii starts."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.peers import ROOT
from bench.peers.environments import process_environment

# A sample belongs to the first of these that is anywhere on its stack: it is CDK, for one, that calls the validator.
_PARTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "validator": lambda _, url: url.startswith("wasm:") or "validat" in url,
    "loading modules": lambda _, url: "internal/modules" in url,
    "waiting for Python": lambda name, _: name == "readSync",
    "CDK": lambda _, url: "aws-cdk-lib" in url or "/constructs/" in url,
}


def profile(command: list[str]) -> dict[str, int]:
    """Milliseconds by part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        options = f"--cpu-prof --cpu-prof-dir={folder}/profile"
        environment = process_environment(CDK_OUTDIR=f"{folder}/cdk.out", NODE_OPTIONS=options)
        subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
        # jsii's launcher has one as well, which only waits.
        largest = max(Path(folder, "profile").iterdir(), key=lambda it: it.stat().st_size)
        return by_part(json.loads(largest.read_text(encoding="utf-8")))


def round_trips(command: list[str]) -> int:
    """How often Python asks Node: jsii's own debugging output has a line for each request."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        environment = process_environment(CDK_OUTDIR=folder, JSII_DEBUG="1", CDK_VALIDATION="false")
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    return sum(line.startswith(b"> {") for line in done.stderr.splitlines())


def by_part(taken: dict[str, Any]) -> dict[str, int]:
    """Milliseconds by part, of a profile in V8's format; the rest is jsii, the garbage collector and Node itself."""
    nodes = {node["id"]: node for node in taken["nodes"]}
    parents = {child: node["id"] for node in nodes.values() for child in node.get("children", ())}
    found: Counter[str] = Counter()
    for id, microseconds in zip(taken["samples"], taken["timeDeltas"], strict=True):
        frames = []
        node: int | None = id
        while node is not None:
            frame = nodes[node]["callFrame"]
            frames.append((frame["functionName"], frame["url"]))
            node = parents.get(node)
        belongs = (part for part, has in _PARTS.items() if any(has(*it) for it in frames))
        found[next(belongs, "jsii and Node")] += microseconds
    return {part: round(found[part] / 1000) for part in (*_PARTS, "jsii and Node")}
