"""The user's own step of a simulation, which has a bug until it is deployed anew.

The processor imports it by the name in TRANSFORM_MODULE, as it does on Lambda.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from iot_constructs.processor.transform import load_transform
from tests.simulation.workload import Trouble

_VARIABLE = "TRANSFORM_MODULE"


def _has_no_bug() -> bool:
    return False


_has_bug: Callable[[], bool] = _has_no_bug


def transform(reading: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reading, or raise an exception."""
    if Trouble.TRANSFORM.value in reading and _has_bug():
        raise LookupError("a bug of the user's step")
    return reading


@contextmanager
def deployed(has_bug: Callable[[], bool]) -> Iterator[None]:
    """Give the function this step. `has_bug` tells whether it still has the bug."""
    global _has_bug  # a module is all that the processor knows of the step
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE], _has_bug = __name__, has_bug
    load_transform.cache_clear()
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
        load_transform.cache_clear()
