"""Where the time of one synth goes, by Node's own profiler: ``--cpu-prof`` in the process that jsii starts."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from bench.peers import ROOT
from bench.peers.environments import process_environment

_PARTS: Final = ("validator", "loading modules", "waiting for Python", "CDK", "jsii and Node")


def profile(command: list[str]) -> dict[str, int]:
    """Milliseconds by part."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        _run(command, folder, NODE_OPTIONS=f"--cpu-prof --cpu-prof-dir={folder}/profile")
        # jsii's launcher has one as well, which only waits.
        largest = max(Path(folder, "profile").iterdir(), key=lambda it: it.stat().st_size)
        return by_part(json.loads(largest.read_text(encoding="utf-8")))


def requests_to_node(command: list[str]) -> int:
    """How often Python asks Node: jsii's own debugging output has a line for each request."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = _run(command, folder, JSII_DEBUG="1", CDK_VALIDATION="false")
    return sum(line.startswith(b"> {") for line in output.splitlines())


def _run(command: list[str], folder: str, **variables: str) -> bytes:
    environment = process_environment(CDK_OUTDIR=f"{folder}/cdk.out", **variables)
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    return done.stderr


def by_part(taken: dict[str, Any]) -> dict[str, int]:
    """Milliseconds by part, of a profile in V8's format; the rest is jsii, the garbage collector and Node itself.

    A sample belongs to the first part that is anywhere on its stack: it is CDK, for one, that calls the validator.
    """
    nodes = {node["id"]: node for node in taken["nodes"]}
    parents = {child: node["id"] for node in nodes.values() for child in node.get("children", ())}
    found = Counter(dict.fromkeys(_PARTS, 0))
    for id, microseconds in zip(taken["samples"], taken["timeDeltas"], strict=True):
        stack = [id]
        while stack[-1] in parents:
            stack.append(parents[stack[-1]])
        found[min((_part(**nodes[it]["callFrame"]) for it in stack), key=_PARTS.index)] += (
            microseconds
        )
    return {part: round(microseconds / 1000) for part, microseconds in found.items()}


def _part(*, functionName: str, url: str, **_: object) -> str:  # noqa: N803  # as V8 has it
    validator, loading, waiting, cdk, rest = _PARTS
    if url.startswith("wasm:") or "validat" in url:
        return validator
    if "internal/modules" in url:
        return loading
    if functionName == "readSync":
        return waiting
    return cdk if "aws-cdk-lib" in url or "/constructs/" in url else rest
