"""Where the time of one synth goes, by Node's sampling profiler: ``--cpu-prof`` in the engine that jsii starts."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.synth.apps import App

# A sample belongs to the first of these that is anywhere on its stack: it is CDK, for one, that calls the validator.
# Each is asked with a function's name and the file it stands in.
_PARTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "validator": lambda _, url: url.startswith("wasm:") or "validat" in url,
    "loading": lambda _, url: "internal/modules" in url,
    "waiting_for_python": lambda name, _: name == "readSync",
    "garbage_collector": lambda name, _: name == "(garbage collector)",
    "cdk": lambda _, url: "aws-cdk-lib" in url or "/constructs/" in url,
}
REST: Final = "rest"


def profile(app: App) -> dict[str, float]:
    """Milliseconds of the engine's life by part; what is in none of them is the kernel of jsii and Node itself."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name) / "profile"
        options = f"--cpu-prof --cpu-prof-dir={folder}"
        subprocess.run(
            app.command(),
            env=app.environment(Path(name) / "cdk.out") | {"NODE_OPTIONS": options},
            cwd=name,
            capture_output=True,
            check=True,
        )
        # jsii's launcher has one as well, which only waits.
        largest = max(folder.glob("*.cpuprofile"), key=lambda it: it.stat().st_size)
        return by_part(json.loads(largest.read_text(encoding="utf-8")))


def by_part(taken: dict[str, Any]) -> dict[str, float]:
    """Milliseconds by part, of a profile in V8's format."""
    nodes = {node["id"]: node for node in taken["nodes"]}
    parents = {child: node["id"] for node in nodes.values() for child in node.get("children", ())}
    found = dict.fromkeys((*_PARTS, REST), 0.0)
    spent: Counter[int] = Counter()
    for id, microseconds in zip(taken["samples"], taken["timeDeltas"], strict=True):
        spent[id] += microseconds
    for id, microseconds in spent.items():
        found[_part(_stack(id, nodes, parents))] += microseconds / 1000
    return found


def _stack(
    id: int | None, nodes: dict[int, dict[str, Any]], parents: dict[int, int]
) -> list[tuple[str, str]]:
    frames = []
    while id is not None:
        frame = nodes[id]["callFrame"]
        frames.append((frame["functionName"], frame["url"]))
        id = parents.get(id)
    return frames


def _part(stack: list[tuple[str, str]]) -> str:
    for name, belongs in _PARTS.items():
        if any(belongs(*frame) for frame in stack):
            return name
    return REST
