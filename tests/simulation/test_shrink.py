"""A failing run becomes shorter, and still shows the same violation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iot_constructs.testing.history import History
from iot_constructs.testing.scheduler import START
from tests.simulation import shrink as shrinking
from tests.simulation.bugs import BUGS
from tests.simulation.pipeline import Options, Result, simulate
from tests.simulation.shrink import VIOLATION, Shrunk, invariant, relevant, shrink

# Violates two invariants, of which the first one is "order", because of a fault. The search takes 40 times as long with
# 150 records.
BUG, SEED, RECORDS = BUGS["swallowed put"], 17, 40


@pytest.fixture(scope="module")
def failing() -> Result:
    with BUG.apply():
        return simulate(Options(SEED, records=RECORDS))


@pytest.fixture(scope="module")
def shrunk(failing: Result) -> Shrunk:
    with BUG.apply():
        return shrink(failing)


def test_the_violation_is_of_the_same_invariant(failing: Result, shrunk: Shrunk) -> None:
    kinds = list(map(invariant, failing.violations))
    assert kinds[0] == "order"
    assert "lost" in kinds
    assert "order" in map(invariant, shrunk.result.violations)


def test_a_run_that_violates_another_invariant_is_not_kept(
    failing: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulate_another(options: Options) -> Result:
        return replace(failing, options=options, violations=["lost: device-1/2"])

    monkeypatch.setattr(shrinking, "simulate", simulate_another)
    assert shrink(failing, max_runs=10).result is failing


def test_everything_that_is_not_needed_is_left_out(failing: Result, shrunk: Shrunk) -> None:
    short = shrunk.result
    assert short.sent <= RECORDS / 2
    assert len(short.history) < len(failing.history) / 2
    # One failed put is enough.
    assert 1 <= len(short.fault_ids) <= 2 < len(failing.fault_ids)
    of = short.configuration
    assert (of.outages, of.reshards, of.redrives) == (0, 0, 0)


def test_the_options_repeat_the_short_run(shrunk: Shrunk) -> None:
    with BUG.apply():
        again = simulate(shrunk.result.options)
    assert again.violations == shrunk.result.violations
    assert again.history.fingerprint() == shrunk.result.history.fingerprint()


def test_the_number_of_runs_is_bounded(failing: Result) -> None:
    with BUG.apply():
        assert shrink(failing, max_runs=7).runs == 7


def test_a_run_without_the_bug_is_not_shortened(failing: Result) -> None:
    shorter = shrink(failing, max_runs=10)
    assert shorter.result is failing


def test_the_history_ends_with_the_violation(shrunk: Shrunk) -> None:
    lines = relevant(shrunk.result, "order")
    assert VIOLATION in lines[-1]
    assert sum(VIOLATION in line for line in lines) == 1
    assert "put_records" in "".join(lines)


def test_a_long_history_has_the_lines_about_what_the_violation_names(failing: Result) -> None:
    history = History()
    for second in range(100):
        device = second % 10
        history.add(START + second, f"invocation {second}", f"batch_write_item: device-{device} 1")
    history.add(START + 100, VIOLATION, "lost: device-1 is gone")
    history.add(START + 101, "producer", "put_records: device-1")
    result = replace(failing, history=history)
    lines = relevant(result, "lost")
    assert len(lines) == 11
    assert all("device-1 " in line for line in lines)
    assert [line.split()[0] for line in lines[:2]] == ["1.000", "11.000"]


def test_a_history_of_one_device_is_cut_in_the_middle(failing: Result) -> None:
    history = History()
    for second in range(100):
        history.add(START + second, "producer", f"put_records: device-1 …{second:05}")
    history.add(START + 100, VIOLATION, "lost: device-1 is gone")
    lines = relevant(replace(failing, history=history), "lost", max_lines=8)
    assert len(lines) == 8
    assert "…00000" in lines[0]
    assert lines[2].split() == ["…", "94", "lines"]
    assert "…00096" in lines[3]
    assert VIOLATION in lines[-1]
