"""Simulates devices that send telemetry.

A device of an app with an IoT rule has its own TLS connection and publishes over MQTT with QoS 1 to a topic of the
rule, or to the rule itself (Basic Ingest); a message counts as sent when the broker acknowledges it. A stream without a
rule gets its records with PutRecord, with the device ID as the partition key.

On AWS, a device authenticates with a certificate, and an IoT policy restricts it to its own topics. The
emulator also accepts devices without a certificate, which this simulation uses. The policy is covered
by tests/e2e/test_device_policy.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from iot_constructs.local.discovery import Route
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.mqtt import DeviceError, broker_tls, connected_client
from iot_constructs.local.plan import Message

ACKNOWLEDGE_SECONDS = 60.0


class Fleet:
    """The connected devices of a run. The messages take the routes in turn."""

    def __init__(
        self, emulator: Emulator, device_ids: Sequence[str], routes: Sequence[Route]
    ) -> None:
        self._emulator = emulator
        self._device_ids = device_ids
        self._routes = routes
        self._kinesis = emulator.client("kinesis")
        self._clients: dict[str, mqtt.Client] = {}

    def __enter__(self) -> Fleet:
        if all(route.rule is None for route in self._routes):
            return self
        tls = broker_tls(self._emulator)
        try:
            for device_id in self._device_ids:
                self._clients[device_id] = connected_client(self._emulator, device_id, tls)
        except BaseException:
            self._disconnect()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._disconnect()

    def publish(
        self,
        messages: Sequence[Message],
        *,
        rate: float,
        on_published: Callable[[int], None] | None = None,
    ) -> None:
        """Send the messages at `rate` per second and wait for the broker's acknowledgments.

        Raises:
            DeviceError: the broker did not acknowledge every message.
        """
        pending: list[tuple[Message, mqtt.MQTTMessageInfo]] = []
        start = time.monotonic()
        for number, message in enumerate(messages):
            pause = start + number / rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            route = self._routes[number % len(self._routes)]
            info = self._send(route, message)
            if info is not None and info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise DeviceError(f"{message.identity} could not be sent: {info.rc!s}")
            if info is not None:
                pending.append((message, info))
            if on_published is not None:
                on_published(number + 1)
        deadline = time.monotonic() + ACKNOWLEDGE_SECONDS
        for _, info in pending:
            info.wait_for_publish(max(0.0, deadline - time.monotonic()))
        missing = [message.identity for message, info in pending if not info.is_published()]
        if missing:
            raise DeviceError(
                f"the broker did not acknowledge {len(missing)} messages in "
                f"{ACKNOWLEDGE_SECONDS:.0f} s; the first is {missing[0]}"
            )

    def _send(self, route: Route, message: Message) -> mqtt.MQTTMessageInfo | None:
        if route.rule is None:
            self._kinesis.put_record(
                StreamName=route.stream_name, Data=message.payload, PartitionKey=message.device_id
            )
            return None
        topic = route.topic(message.device_id)
        return self._clients[message.device_id].publish(topic, message.payload, qos=1)

    def _disconnect(self) -> None:
        # Disconnect all clients before waiting for the first thread.
        for client in self._clients.values():
            client.disconnect()
        for client in self._clients.values():
            client.loop_stop()
        self._clients.clear()
