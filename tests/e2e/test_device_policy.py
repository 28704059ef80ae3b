"""The deployed device policy, enforced by the emulator's broker."""

from __future__ import annotations

import json
import queue
import uuid
from collections.abc import Iterator

import aws_cdk as cdk
import pytest

from iot_constructs import DevicePolicy, SuffixedStack
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.mqtt import broker_tls, connected_client
from tests.e2e.certified_devices import (
    NOT_AUTHORIZED,
    SECONDS,
    Certificate,
    Device,
    create_certificate,
)
from tests.synth_support import fresh_app, template_of


@pytest.fixture(scope="module")
def policy_name(emulator: Emulator) -> str:
    """Deploy the policy and return its name."""
    # Without the bootstrap version check, because the account is not bootstrapped.
    stack = SuffixedStack(
        fresh_app(),
        "Devices",
        environment_suffix="dev",
        synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    policy = DevicePolicy(stack, "Devices", subscribe_topics=["device/+/commands"])
    template = template_of(stack)
    template.pop("Parameters", None)
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(StackName="Devices-dev", TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="Devices-dev", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return policy.policy_name


@pytest.fixture(scope="module")
def certificate_of_a(emulator: Emulator, policy_name: str) -> Certificate:
    create_certificate(emulator, policy_name, "b")
    return create_certificate(emulator, policy_name, "a")


@pytest.fixture
def a(emulator: Emulator, certificate_of_a: Certificate) -> Iterator[Device]:
    device = Device(emulator, "a", certificate_of_a)
    assert device.connected == "Success"
    yield device
    device.close()


def test_a_publishes_as_itself_and_cannot_as_b(emulator: Emulator, a: Device) -> None:
    received: queue.Queue[str] = queue.Queue()
    # The emulator does not restrict a client without a certificate.
    listener = connected_client(emulator, f"listener-{uuid.uuid4().hex}", broker_tls(emulator))
    subscribed: queue.Queue[None] = queue.Queue()
    listener.on_message = lambda _c, _d, message: received.put(message.topic)
    listener.on_subscribe = lambda _c, _d, _m, _r, _p: subscribed.put(None)
    listener.subscribe("#", qos=1)
    subscribed.get(timeout=SECONDS)
    try:
        for refused in ("device/b/telemetry", "device/a/other", "device/telemetry", "device/a"):
            assert a.publish(refused) == NOT_AUTHORIZED, refused
        assert a.publish("device/a/telemetry", retain=True) == NOT_AUTHORIZED
        assert a.publish("device/a/telemetry") == "Success"
        # The refused messages were sent earlier, so the listener would have received them earlier.
        assert received.get(timeout=SECONDS) == "device/a/telemetry"
    finally:
        listener.disconnect()
        listener.loop_stop()


def test_a_subscribes_only_to_its_own_commands(a: Device) -> None:
    assert a.subscribe("device/a/commands") == "Granted QoS 1"
    for refused in ("device/b/commands", "device/+/commands", "device/#", "#", "+/a/commands"):
        assert a.subscribe(refused) == NOT_AUTHORIZED, refused


def test_a_cannot_connect_with_another_client_id(
    emulator: Emulator, certificate_of_a: Certificate
) -> None:
    for client_id in ("b", "other", "a2", "*", "${iot:Connection.Thing.ThingName}"):
        device = Device(emulator, client_id, certificate_of_a)
        assert device.connected == NOT_AUTHORIZED, client_id
        device.close()


def test_a_certificate_without_a_thing_cannot_connect(emulator: Emulator, policy_name: str) -> None:
    unattached = create_certificate(emulator, policy_name, None)
    for client_id in ("a", "other", "${iot:Connection.Thing.ThingName}"):
        device = Device(emulator, client_id, unattached)
        assert device.connected == NOT_AUTHORIZED, client_id
        device.close()


def test_a_detached_certificate_cannot_connect(emulator: Emulator, policy_name: str) -> None:
    certificate = create_certificate(emulator, policy_name, "c")
    device = Device(emulator, "c", certificate)
    assert device.connected == "Success"
    device.close()
    emulator.client("iot").detach_thing_principal(thingName="c", principal=certificate.arn)
    device = Device(emulator, "c", certificate)
    assert device.connected == NOT_AUTHORIZED
    device.close()
