"""Simulated devices that publish telemetry over MQTT, as devices of AWS IoT Core do.

Each device has its own connection (TLS, verified with the broker's CA) and publishes with QoS 1
under ``device/<id>/telemetry``. A message counts as sent when the broker has acknowledged it.

On AWS a device presents a certificate whose policy limits it to its own topics. The emulator
accepts a device without one and lets it do everything, which is what devices here do; what a policy
forbids (a device publishing under another's topic) is played by tests/e2e/test_device_policy.py.
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

from examples.iot_pipeline.local.emulator import HOST, Emulator
from examples.iot_pipeline.local.plan import Message

CONNECT_SECONDS = 60.0
ACKNOWLEDGE_SECONDS = 60.0


class DeviceError(RuntimeError):
    """A device could not connect, or the broker did not acknowledge what it sent."""


def telemetry_topic(device_id: str) -> str:
    """Where a device publishes."""
    return f"device/{device_id}/telemetry"


def broker_tls(emulator: Emulator) -> ssl.SSLContext:
    """TLS that trusts the emulator's broker and nobody else."""
    # Not create_default_context: from Python 3.13 on it insists on extensions that the emulator's
    # CA certificate does not have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=emulator.get("/_ministack/iot/ca.pem").decode())
    return context


def connected_client(emulator: Emulator, client_id: str, tls: ssl.SSLContext) -> mqtt.Client:
    """An MQTT client that is connected to the broker and runs its own thread."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.tls_set_context(tls)
    # The broker makes its key when the first client comes, which takes a busy machine a while.
    client.connect_timeout = CONNECT_SECONDS
    answered = threading.Event()
    refusals: list[str] = []

    def on_connect(
        client: mqtt.Client, data: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            refusals.append(str(reason))
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(HOST, emulator.mqtt_port)
        client.loop_start()
        if not answered.wait(CONNECT_SECONDS):
            refusals.append(f"no answer in {CONNECT_SECONDS:.0f} s")
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
        """Send all messages at `rate` per second, then wait until the broker has them all.

        Raises:
            DeviceError: the broker did not acknowledge every one.
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
                f"{ACKNOWLEDGE_SECONDS:.0f} s, the first is {missing[0]}"
            )

    def _disconnect(self) -> None:
        # First all the goodbyes, then the waiting for the threads.
        for client in self._clients.values():
            client.disconnect()
        for client in self._clients.values():
            client.loop_stop()
        self._clients.clear()
