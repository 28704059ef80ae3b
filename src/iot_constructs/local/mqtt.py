"""Connects MQTT clients to the emulator's broker."""

from __future__ import annotations

import ssl
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from iot_constructs.local.emulator import HOST, Emulator

CONNECT_SECONDS = 60.0
# With 3.10, the TLS handshake of the emulator's broker (ministack 1.5.33, loop.start_tls) never ends.
OLDEST_PYTHON = (3, 11)


class DeviceError(RuntimeError):
    """A client could not connect, or the broker did not acknowledge a message."""


def broker_tls(emulator: Emulator) -> ssl.SSLContext:
    """Return a TLS context that trusts only the emulator's broker."""
    # Since Python 3.13, create_default_context requires extensions that the emulator's CA lacks.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=emulator.get("/_ministack/iot/ca.pem").decode())
    return context


def connected_client(emulator: Emulator, client_id: str, tls: ssl.SSLContext) -> mqtt.Client:
    """Return an MQTT client that is connected to the broker and runs its own thread.

    Raises:
        DeviceError: the broker does not accept it, or cannot run with this Python.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise DeviceError(
            "the app has an IoT rule, and the emulator's MQTT broker needs Python 3.11 or later: create the virtual "
            "environment with it, for example python3.11 -m venv .venv"
        )
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
