"""The simulation finds deliberate bugs, each with the invariant that describes it."""

from __future__ import annotations

import inspect
import re

import pytest

from tools.simulate import invariants, pipeline
from tools.simulate.bugs import BUGS, RECORDS, Bug
from tools.simulate.pipeline import Options, simulate
from tools.simulate.shrink import invariant


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_bug_is_found(bug: Bug) -> None:
    with bug.apply():
        result = simulate(Options(bug.seed, records=RECORDS))
    assert set(map(invariant, result.violations)) & set(bug.invariants), result.violations


@pytest.mark.parametrize("seed", sorted({bug.seed for bug in BUGS.values()}))
def test_no_violation_without_a_bug(seed: int) -> None:
    assert simulate(Options(seed, records=RECORDS)).violations == []


def test_every_invariant_has_a_bug() -> None:
    source = inspect.getsource(invariants) + inspect.getsource(pipeline)
    checked = set(re.findall(r'violated\(\s*"([^"]+)"', source))
    assert "lost" in checked
    assert checked - {name for bug in BUGS.values() for name in bug.invariants} == set()


def test_every_component_has_a_bug() -> None:
    assert {bug.component for bug in BUGS.values()} == {
        "time series",
        "device state",
        "dead letters",
        "processor",
        "mapping",
        "redrive",
    }
