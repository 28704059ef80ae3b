"""Connections to the emulator's broker."""

from __future__ import annotations

import ssl
import sys
from typing import Any, cast

import pytest

from iot_constructs.local.mqtt import DeviceError, connected_client


def test_a_python_with_which_the_broker_does_not_work_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(DeviceError, match=r"Python 3\.11 or later"):
        connected_client(cast(Any, None), "a", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
