"""A seed is one history, in every process."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.pipeline import Options, simulate

# With a bucket, poison records, resharding, and redrives between them.
SEEDS = (1, 7, 12, 15)
RECORDS = 60
PROGRAM = f"""
from tests.simulation.pipeline import Options, simulate
for seed in {SEEDS}:
    print(simulate(Options(seed, records={RECORDS})).history.fingerprint())
"""


def fingerprints() -> list[str]:
    return [simulate(Options(seed, records=RECORDS)).history.fingerprint() for seed in SEEDS]


def in_a_process(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout.split()


def test_the_same_seed_is_the_same_history_twice() -> None:
    first = fingerprints()
    assert len(set(first)) == len(SEEDS)
    assert fingerprints() == first


def test_the_order_of_a_set_does_not_decide_anything() -> None:
    here = fingerprints()
    assert in_a_process("1") == here
    assert in_a_process("2") == here
