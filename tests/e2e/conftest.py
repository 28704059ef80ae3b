"""One emulator per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iot_constructs.local.emulator import Emulator, running_emulator


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running
