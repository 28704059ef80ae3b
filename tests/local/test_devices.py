"""What the simulated devices send, and where."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from paho.mqtt.enums import MQTTErrorCode

from iot_constructs.local import devices
from iot_constructs.local.devices import Fleet
from iot_constructs.local.discovery import Route
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.mqtt import DeviceError
from iot_constructs.local.plan import Kind, Message
from iot_constructs.local.rule_engine import KinesisRule

RULE = KinesisRule("r", "device/+/telemetry", "s", "${topic(2)}", "role", None, None, False)
MESSAGES = [Message(f"rec-{n}", "d", Kind.READING, b"%d" % n, None) for n in range(3)]


class Client:
    """The MQTT client of a device, and the Kinesis client."""

    def __init__(self, *, is_published: bool = True) -> None:
        self.published: list[tuple[str, bytes, int]] = []
        self.put: list[dict[str, Any]] = []
        self._info = SimpleNamespace(
            rc=MQTTErrorCode.MQTT_ERR_SUCCESS,
            wait_for_publish=lambda seconds: None,
            is_published=lambda: is_published,
        )

    def publish(self, topic: str, payload: bytes, qos: int) -> SimpleNamespace:
        self.published.append((topic, payload, qos))
        return self._info

    def put_record(self, **request: Any) -> None:
        self.put.append(request)

    def disconnect(self) -> None:
        """Nothing to do."""

    def loop_stop(self) -> None:
        """Nothing to do."""


def publish(monkeypatch: pytest.MonkeyPatch, client: Client, *routes: Route) -> None:
    monkeypatch.setattr(devices, "broker_tls", lambda emulator: None)
    monkeypatch.setattr(devices, "connected_client", lambda emulator, name, tls: client)
    emulator = cast(Emulator, SimpleNamespace(client=lambda service: client))
    with Fleet(emulator, ["d"], routes) as fleet:
        fleet.publish(MESSAGES, rate=1e6)


def test_the_messages_take_the_routes_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    publish(
        monkeypatch, client, Route("s", RULE), Route("s", RULE, basic_ingest=True), Route("direct")
    )
    assert client.published == [
        ("device/d/telemetry", b"0", 1),
        ("$aws/rules/r/device/d/telemetry", b"1", 1),
    ]
    assert client.put == [{"StreamName": "direct", "Data": b"2", "PartitionKey": "d"}]


def test_a_message_that_is_not_acknowledged_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="3 messages in 60 s; the first is rec-0"):
        publish(monkeypatch, Client(is_published=False), Route("s", RULE))
