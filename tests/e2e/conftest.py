"""One emulator per module, and synths without CDK's template validation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iot_constructs.local.emulator import Emulator, running_emulator


@pytest.fixture(scope="module", autouse=True)
def no_template_validation() -> Iterator[None]:
    """Turn off CDK's template validation, which takes half of the time of a synth and changes no template.

    ``tests/package`` runs the commands with it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDK_VALIDATION", "false")
        yield


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as running:
        yield running
