"""Devices publish to the rule itself, under the deployed policy, and nothing is lost."""

from __future__ import annotations

import base64
import json
import queue
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iot_constructs.cli.main import main
from iot_constructs.local.deployment import Deployer, Deployment
from iot_constructs.local.emulator import ACCOUNT, REGION, Emulator
from iot_constructs.local.event_source_mapping import LocalEventSourceMapping
from iot_constructs.local.mqtt import broker_tls, connected_client
from iot_constructs.local.rule_engine import RuleEngine
from tests.e2e.certified_devices import NOT_AUTHORIZED, SECONDS, Device, create_certificate
from tests.iot_policy_evaluator import Connection, is_allowed

_APP = Path(__file__).parent / "basic_ingest_app"
_DEVICES = ["a", "b", "telemetry"]
_READINGS = 20
_NOT_JSON, _NOT_TEXT = b"no JSON", b"\xff\xfe\x00"


@pytest.fixture(scope="module")
def deployment(emulator: Emulator) -> Deployment:
    deployer = Deployer(emulator, app_directory=_APP)
    return deployer.deploy(deployer.prepare("qa7"))


@pytest.fixture(scope="module")
def devices(emulator: Emulator, deployment: Deployment) -> Iterator[dict[str, Device]]:
    policy = deployment.output("Policy")
    connected = {
        name: Device(emulator, name, create_certificate(emulator, policy, name))
        for name in _DEVICES
    }
    yield connected
    for device in connected.values():
        device.close()


def _topic(deployment: Deployment, device: str) -> str:
    return deployment.output("Topic").replace("+", device)


def test_a_device_publishes_to_the_rule_as_itself_only(
    emulator: Emulator, deployment: Deployment, devices: dict[str, Device]
) -> None:
    """The broker decides like the evaluator, which reads the deployed policy as AWS documents it."""
    name = deployment.output("Policy")
    document = json.loads(emulator.client("iot").get_policy(policyName=name)["policyDocument"])
    rule = deployment.output("RuleName")
    own = _topic(deployment, "a")
    assert own == f"$aws/rules/{rule}/device/a/telemetry"
    for topic in (
        own,
        _topic(deployment, "b"),
        f"$aws/rules/{rule}/device/a/other",
        f"$aws/rules/{rule}",
        f"$aws/rules/{rule}/{own}",
        "$aws/rules/other/device/a/telemetry",
        "device/a/telemetry",
    ):
        resource = f"arn:aws:iot:{REGION}:{ACCOUNT}:topic/{topic}"
        connection = Connection("a", frozenset({"a"}))
        allowed = is_allowed(document, connection, "iot:Publish", resource)
        assert allowed is (topic == own)
        assert devices["a"].publish(topic) == ("Success" if allowed else NOT_AUTHORIZED), topic
    assert devices["a"].publish(own, retain=True) == NOT_AUTHORIZED
    # Whatever the policy allows.
    assert devices["a"].subscribe(own) == "Topic filter invalid"


def test_every_message_is_stored_or_dead_lettered_and_no_subscriber_hears_it(
    emulator: Emulator, deployment: Deployment, devices: dict[str, Device]
) -> None:
    heard: queue.Queue[str] = queue.Queue()
    # The emulator does not restrict a client without a certificate.
    anyone = connected_client(emulator, f"anyone-{uuid.uuid4().hex}", broker_tls(emulator))
    anyone.on_message = lambda _c, _d, message: heard.put(message.topic)
    anyone.subscribe("device/#", qos=1)
    name = deployment.output("RuleName")
    before = emulator.client("iot").get_topic_rule(ruleName=name)["rule"]
    now = int(time.time() * 1000)
    expected = {(device, n) for device in devices for n in range(_READINGS)}
    engine = RuleEngine.from_deployed_rule(emulator, name, basic_ingest=True)
    mapping = LocalEventSourceMapping(emulator, function_name=deployment.output("Function"))
    with mapping, engine:
        for device, n in sorted(expected):
            reading = json.dumps({"timestamp": now + n, "number": n}).encode()
            assert devices[device].publish(_topic(deployment, device), reading) == "Success"
        for payload in (_NOT_JSON, _NOT_TEXT):
            assert devices["a"].publish(_topic(deployment, "a"), payload) == "Success"
        # A topic without the device id, which only a client without the policy can use, and a rule that does not exist.
        for topic in (f"$aws/rules/{name}/device//telemetry", "$aws/rules/none/device/a/telemetry"):
            anyone.publish(topic, b"{}", qos=1).wait_for_publish(SECONDS)
        sent = len(expected) + 2
        _wait_until(lambda: (engine.delivery.put, engine.delivery.failed) >= (sent, 1))
        assert mapping.wait_until_idle(SECONDS)
    assert (engine.delivery.put, engine.delivery.failed, engine.delivery.dropped) == (sent, 1, [])
    after = emulator.client("iot").get_topic_rule(ruleName=name)["rule"]
    assert {**after, "createdAt": before["createdAt"]} == before
    assert _stored(emulator, deployment) == expected
    letters = _dead_letters(emulator, deployment)
    (of_rule,) = (each for each in letters if "base64OriginalPayload" in each)
    assert (of_rule["topic"], of_rule["ruleName"]) == ("device//telemetry", name)
    assert of_rule["clientId"].startswith("anyone-")
    rejected = [each for each in letters if each is not of_rule]
    assert {each["partitionKey"] for each in rejected} == {"a"}
    assert {base64.b64decode(each["payload"]) for each in rejected} == {_NOT_JSON, _NOT_TEXT}
    assert len(letters) == 3
    assert heard.empty()
    anyone.disconnect()
    anyone.loop_stop()


@pytest.mark.parametrize("source", ["FROM '#'", "FROM '+/+'", ""])
def test_the_rule_can_have_any_filter_or_none(
    emulator: Emulator, deployment: Deployment, source: str
) -> None:
    iot = emulator.client("iot")
    deployed = iot.get_topic_rule(ruleName=deployment.output("RuleName"))["rule"]
    payload = {name: deployed[name] for name in ("actions", "awsIotSqlVersion")}
    name = f"any_{uuid.uuid4().hex}"
    iot.create_topic_rule(ruleName=name, topicRulePayload={**payload, "sql": f"SELECT * {source}"})
    client = connected_client(emulator, "anyone", broker_tls(emulator))
    engine = RuleEngine.from_deployed_rule(emulator, name, basic_ingest=True)
    with engine:
        client.publish(f"$aws/rules/{name}/device/a", b"{}", qos=1).wait_for_publish(SECONDS)
        _wait_until(lambda: engine.delivery.put == 1)
    client.disconnect()
    client.loop_stop()
    iot.delete_topic_rule(ruleName=name)


@pytest.mark.parametrize("arguments", [["--basic-ingest"], ["--context", "withoutFrom=true"]])
def test_the_devices_of_a_local_run_publish_to_the_rule(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    options = ["--out", str(tmp_path), "--devices", "3", "--readings", "20", *arguments]
    assert main(["local", str(_APP), *options]) == 0
    output = capfd.readouterr().out
    numbers = json.loads(output.splitlines()[-1])
    assert (numbers["sent"], numbers["lost"]) == (60, 0)
    assert numbers["dead_lettered"] > 0
    # Without FROM, the topic has as many levels as the partition key needs.
    topic = (
        "device/sensor-001/telemetry" if "--basic-ingest" in arguments else "sensor-001/sensor-001"
    )
    assert re.search(rf"to \$aws/rules/iot_telemetry_dev/{topic}$", output, re.MULTILINE)


def _wait_until(reached: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _stored(emulator: Emulator, deployment: Deployment) -> set[tuple[str, int]]:
    pages = (
        emulator.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=deployment.output("SeriesName"))
    )
    return {
        (i["deviceId"]["S"], int(i["reading"]["M"]["number"]["N"]))
        for p in pages
        for i in p["Items"]
    }


def _dead_letters(emulator: Emulator, deployment: Deployment) -> list[dict[str, Any]]:
    sqs = emulator.client("sqs")
    letters: list[dict[str, Any]] = []
    while True:
        response = sqs.receive_message(
            QueueUrl=deployment.output("Queue"), MaxNumberOfMessages=10, VisibilityTimeout=600
        )
        if not response.get("Messages"):
            return letters
        for message in response["Messages"]:
            body = json.loads(message["Body"])
            letters.append(json.loads(body["Message"]) if "Message" in body else body)
