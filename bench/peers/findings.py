"""What the rules find in each peer's app and in our example: ``python -m bench.peers.findings`` prints the table.

The rules are run by ``iot-constructs check``, as a user would.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.peers import ROOT
from bench.peers.environments import PEERS, process_environment, synthesize

OURS: Final = "iot_constructs"
_TITLES: Final = {
    "plain_l2": "plain L2s",
    "solutions_constructs": "AWS Solutions Constructs",
    "monitoring_constructs": "L2s + cdk-monitoring-constructs",
    OURS: "iot-constructs",
}
Found = Sequence[Mapping[str, Any]]


def synthesize_example(folder: Path, **context: str) -> None:
    """Write the cloud assembly of examples/iot_pipeline for the environment ``dev``."""
    variables = process_environment(CDK_OUTDIR=str(folder), CDK_CONTEXT_JSON=json.dumps(context))
    example, command = ROOT / "examples" / "iot_pipeline", [sys.executable, "app.py"]
    subprocess.run(command, cwd=example, env=variables, check=True, capture_output=True)


def check(folder: Path) -> Found:
    """The findings of ``iot-constructs check`` in a cloud assembly."""
    command = [sys.executable, "-m", "iot_constructs.cli", "check", "--suffix", "dev", "--json"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    findings: Found = json.loads(done.stdout)
    return findings


def findings_of_all(folder: Path) -> dict[str, Found]:
    """Of each peer and of our example, whose cloud assemblies are written below ``folder``."""
    for peer in PEERS:
        synthesize(peer, folder / peer)
    synthesize_example(folder / OURS)
    return {name: check(folder / name) for name in _TITLES}


def table(found: Mapping[str, Found]) -> str:
    """Markdown: a row for each rule that found something, with the number of places."""
    counts = {name: Counter(each["rule"] for each in found[name]) for name in _TITLES}
    rules = sorted({rule for each in counts.values() for rule in each})
    rows = [
        ["", *_TITLES.values()],
        ["---"] * (len(_TITLES) + 1),
        *([f"`{rule}`", *(str(each[rule]) for each in counts.values())] for rule in rules),
        ["total", *(str(each.total()) for each in counts.values())],
    ]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(table(findings_of_all(Path(directory))))
