"""The emulator's process listens only on its own ports of the loopback interface."""

from __future__ import annotations

import pytest

from iot_constructs.local.emulator_process import refuse_other_binds


@pytest.fixture(autouse=True)
def _ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "4000")
    monkeypatch.setenv("IOT_MTLS_PORT", "4001")


@pytest.mark.parametrize(
    "address",
    [("127.0.0.1", 4000), ("127.0.0.1", 4001), ("::1", 4000, 0, 0), ("127.0.0.1", 0), "/a/path"],
)
def test_its_own_ports_are_allowed(address: object) -> None:
    refuse_other_binds("socket.bind", (None, address))


@pytest.mark.parametrize(
    "address",
    [("0.0.0.0", 4000), ("", 4000), ("::", 4000, 0, 0), ("10.1.2.3", 4000), ("127.0.0.1", 443)],
)
def test_other_addresses_and_ports_are_refused(address: object) -> None:
    with pytest.raises(PermissionError, match="refused to listen"):
        refuse_other_binds("socket.bind", (None, address))


def test_other_events_are_ignored() -> None:
    refuse_other_binds("socket.connect", (None, ("10.1.2.3", 80)))
