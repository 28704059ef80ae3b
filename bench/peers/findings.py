"""What the rules find in each peer's app and in our example: ``python bench/peers/findings.py`` prints the table.

The peers are synthesized in environments of their own, with the versions of their requirements files; the rules are run
by ``iot-constructs check``, as a user would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __package__:
    from .environments import PEERS
    from .synthesize import synthesize_peer
else:  # run as a script
    from environments import PEERS  # type: ignore[import-not-found,no-redef]
    from synthesize import synthesize_peer  # type: ignore[import-not-found,no-redef]

OURS = "iot_constructs"
SUFFIX = "dev"
_TITLES = {
    "plain_l2": "plain L2s",
    "solutions_constructs": "AWS Solutions Constructs",
    "monitoring_constructs": "L2s + cdk-monitoring-constructs",
    OURS: "iot-constructs",
}
Found = Sequence[Mapping[str, Any]]


def synthesize_example(folder: Path, **context: str) -> None:
    """Writes the cloud assembly of examples/iot_pipeline for the environment ``dev``."""
    subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT / "examples" / "iot_pipeline",
        env={
            **os.environ,
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps({"environmentSuffix": SUFFIX, **context}),
        },
        check=True,
        capture_output=True,
    )


def check(folder: Path) -> Found:
    """The findings of ``iot-constructs check`` in a cloud assembly."""
    done = subprocess.run(
        [
            *[sys.executable, "-m", "iot_constructs.cli", "check", str(folder)],
            *["--suffix", SUFFIX, "--json"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    findings: Found = json.loads(done.stdout)
    return findings


def findings_of_all(folder: Path) -> dict[str, Found]:
    """Of each peer and of our example."""
    for peer in PEERS:
        synthesize_peer(peer, folder / peer, CDK_VALIDATION="false")
    synthesize_example(folder / OURS)
    return {name: check(folder / name) for name in (*PEERS, OURS)}


def table(found: Mapping[str, Found]) -> str:
    """Markdown: a row for each rule that found something, with the number of places."""
    counts = {name: Counter(each["rule"] for each in found[name]) for name in _TITLES}
    rules = sorted({rule for each in counts.values() for rule in each})
    rows = [
        ["", *_TITLES.values()],
        ["---"] * (len(_TITLES) + 1),
        *([f"`{rule}`", *(str(counts[name][rule]) for name in _TITLES)] for rule in rules),
        ["total", *(str(counts[name].total()) for name in _TITLES)],
    ]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(table(findings_of_all(Path(directory))))
