"""Parametrized tests of which `make test` runs a sample, and `make test-full` all."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def sample(values: Iterable[object], step: int) -> list[ParameterSet]:
    """Return the values as parameters; only every ``step``-th, from the first, is for `make test`."""
    return [
        pytest.param(value, marks=[pytest.mark.full] if number % step else [])
        for number, value in enumerate(values)
    ]
