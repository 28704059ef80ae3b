"""Devices with a certificate, whose policy the emulator's broker enforces."""

from __future__ import annotations

import queue
import uuid
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from iot_constructs.local.emulator import HOST, Emulator
from iot_constructs.local.mqtt import broker_tls

SECONDS = 30.0
NOT_AUTHORIZED = "Not authorized"


@dataclass(frozen=True)
class Certificate:
    arn: str
    certificate: Path
    key: Path


class Device:
    """A device connection. Unlike MQTT 3.1.1, MQTT 5 returns the reason of a refusal."""

    def __init__(self, emulator: Emulator, client_id: str, certificate: Certificate) -> None:
        tls = broker_tls(emulator)
        tls.load_cert_chain(certificate.certificate, certificate.key)
        self._reasons: queue.Queue[str] = queue.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5
        )
        self._client.tls_set_context(tls)
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self._add_reason(reason)
        self._client.on_publish = lambda _c, _d, _m, reason, _p: self._add_reason(reason)
        self._client.on_subscribe = lambda _c, _d, _m, reasons, _p: self._add_reason(reasons[0])
        self._client.connect(HOST, emulator.mqtt_port)
        self._client.loop_start()
        self.connected = self._reasons.get(timeout=SECONDS)

    def publish(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> str:
        self._client.publish(topic, payload, qos=1, retain=retain)
        return self._reasons.get(timeout=SECONDS)

    def subscribe(self, topic_filter: str) -> str:
        self._client.subscribe(topic_filter, options=SubscribeOptions(qos=1))
        return self._reasons.get(timeout=SECONDS)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _add_reason(self, reason: ReasonCode) -> None:
        self._reasons.put(str(reason))


def create_certificate(emulator: Emulator, policy_name: str, thing: str | None) -> Certificate:
    """Create a certificate with the policy, attached to a new thing."""
    iot = emulator.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    files = [emulator.directory / f"{uuid.uuid4().hex}.{end}" for end in ("pem", "key")]
    files[0].write_text(made["certificatePem"], encoding="ascii")
    files[1].write_text(made["keyPair"]["PrivateKey"], encoding="ascii")
    iot.attach_policy(policyName=policy_name, target=made["certificateArn"])
    if thing is not None:
        iot.create_thing(thingName=thing)
        iot.attach_thing_principal(thingName=thing, principal=made["certificateArn"])
    return Certificate(made["certificateArn"], *files)
