"""The simulation finds deliberate bugs, each with the invariant that describes it."""

from __future__ import annotations

import inspect
import re
from functools import cache

import pytest

from tests.simulation import invariants, pipeline
from tests.simulation.bugs import BUGS, RECORDS, Bug
from tests.simulation.pipeline import Options, simulate
from tests.simulation.shrink import invariant

SEEDS = range(1, 201)


@cache
def violations_without_a_bug(seed: int) -> tuple[str, ...]:
    return tuple(simulate(Options(seed, records=RECORDS)).violations)


def first_seed(bug: Bug) -> int | None:
    """Return a seed that violates an expected invariant, and violates none without the bug.

    The remembered seed is the first that is tried.
    """
    candidates: list[int] = [bug.seed, *SEEDS]
    for seed in candidates:
        with bug.apply():
            result = simulate(Options(seed, records=RECORDS))
        expected = set(map(invariant, result.violations)) & set(bug.invariants)
        if expected and not violations_without_a_bug(seed):
            return seed
    return None


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_bug_is_found(bug: Bug) -> None:
    assert first_seed(bug) is not None


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
