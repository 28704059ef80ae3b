"""A short chaos run: all kinds of faults, one redrive, and no lost record."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from iot_constructs.cli.exit_codes import INTERRUPTED
from tests.chaos.fault_proxy import CAN_CRASH
from tests.chaos.faults import Fault
from tests.e2e.programs import assert_nothing_remains, interrupt, start

SECONDS = 420
# The rarest fault of a short run occurs once in 60 calls of BatchWriteItem, of which this makes about 90.
RECORDS = 1000


def start_chaos(tmp_path: Path) -> subprocess.Popen[str]:
    """Start a short chaos run."""
    options = ["--records", str(RECORDS), "--devices", "40", "--seed", "1"]
    return start(tmp_path, "tests.chaos", *options)


@dataclass(frozen=True)
class Finished:
    """A finished run."""

    tmp_path: Path
    exit_code: int
    output: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of all table rows."""
        lines = [re.split("[│|]", line) for line in self.output.splitlines()]
        return [[cell.strip() for cell in cells] for cells in lines if len(cells) > 1]

    def number(self, name: str) -> int:
        """Return a number of the table of records."""
        return next(int(row[1]) for row in self.rows if row[0] == name)


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    tmp_path = tmp_path_factory.mktemp("chaos")
    with start_chaos(tmp_path) as process:
        output, _ = process.communicate(timeout=SECONDS)
    return Finished(tmp_path, process.returncode, output)


def test_no_record_is_lost_duplicated_or_stale(chaos: Finished) -> None:
    assert chaos.exit_code == 0, chaos.output
    numbers = json.loads(chaos.output.splitlines()[-1])
    assert list(numbers) == [
        *["sent", "stored", "dead_lettered"],
        *["lost", "duplicated", "stale_state"],
    ]
    assert numbers["sent"] == numbers["stored"] + numbers["dead_lettered"] >= RECORDS
    assert min(numbers["stored"], numbers["dead_lettered"]) > 0
    assert (numbers["lost"], numbers["duplicated"], numbers["stale_state"]) == (0, 0, 0)


def test_every_kind_of_fault_was_injected(chaos: Finished) -> None:
    times: Counter[str] = Counter()
    for row in chaos.rows:
        if len(row) > 2 and row[2].isdigit():
            times[row[0]] += int(row[2])
    # Only a long run has a frozen process, which takes a minute.
    expected = {fault.value for fault in Fault if fault is not Fault.FREEZE}
    if not CAN_CRASH:
        expected.remove(Fault.CRASH.value)
    assert {name for name in expected if times[name] == 0} == set(), chaos.output


def test_batches_reached_the_failure_destination_and_were_redriven(chaos: Finished) -> None:
    discarded = chaos.number("discarded by the mapping")
    assert discarded > 0
    assert chaos.number("batches on the DLQ queue") > 0
    assert chaos.number("redriven") >= discarded
    assert chaos.number("messages kept") == 0


def test_no_processes_or_files_remain(chaos: Finished) -> None:
    assert_nothing_remains(chaos.tmp_path)


def test_interrupted(tmp_path: Path) -> None:
    process = start_chaos(tmp_path)
    output = interrupt(process, "reshard the stream", signal.SIGINT)
    assert process.returncode == INTERRUPTED, output
    assert "Traceback" not in output
    assert_nothing_remains(tmp_path)
