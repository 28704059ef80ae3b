"""Simulates devices that publish telemetry over MQTT.

Each device has its own TLS connection and publishes with QoS 1 to ``device/<id>/telemetry``. A message
counts as sent when the broker acknowledges it.

On AWS, a device authenticates with a certificate, and an IoT policy restricts it to its own topics. The
emulator also accepts devices without a certificate, which this simulation uses. The policy is covered
by tests/e2e/test_device_policy.py.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from iot_constructs.local.emulator import HOST, Emulator
from iot_constructs.local.plan import Message

CONNECT_SECONDS = 60.0
ACKNOWLEDGE_SECONDS = 60.0


class DeviceError(RuntimeError):
    """A device could not connect, or the broker did not acknowledge a message."""


def telemetry_topic(device_id: str) -> str:
    """Return the topic of a device."""
    return f"device/{device_id}/telemetry"


def broker_tls(emulator: Emulator) -> ssl.SSLContext:
    """Return a TLS context that trusts only the emulator's broker."""
    # Since Python 3.13, create_default_context requires extensions that the emulator's CA lacks.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=emulator.get("/_ministack/iot/ca.pem").decode())
    return context


def connected_client(emulator: Emulator, client_id: str, tls: ssl.SSLContext) -> mqtt.Client:
    """Return an MQTT client that is connected to the broker and runs its own thread."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.tls_set_context(tls)
    # The broker creates its key for the first client, which can take a while.
    client.connect_timeout = CONNECT_SECONDS
    responded = threading.Event()
    refusals: list[str] = []

    def on_connect(
        client: mqtt.Client, data: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            refusals.append(str(reason))
        responded.set()

    client.on_connect = on_connect
    try:
        client.connect(HOST, emulator.mqtt_port)
        client.loop_start()
        if not responded.wait(CONNECT_SECONDS):
            refusals.append(f"no response in {CONNECT_SECONDS:.0f} s")
    except OSError as error:
        refusals.append(str(error))
    if refusals:
        client.loop_stop()
        emulator.check()
        raise DeviceError(f"{client_id} could not connect: {refusals[0]}")
    return client


class Fleet:
    """The connected devices of a run."""

    def __init__(self, emulator: Emulator, device_ids: Sequence[str]) -> None:
        self._emulator = emulator
        self._device_ids = device_ids
        self._clients: dict[str, mqtt.Client] = {}

    def __enter__(self) -> Fleet:
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
            client = self._clients[message.device_id]
            info = client.publish(telemetry_topic(message.device_id), message.payload, qos=1)
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise DeviceError(f"{message.identity} could not be sent: {info.rc!s}")
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

    def _disconnect(self) -> None:
        # Disconnect all clients before waiting for the first thread.
        for client in self._clients.values():
            client.disconnect()
        for client in self._clients.values():
            client.loop_stop()
        self._clients.clear()
