"""Two environments in one account are independent, and a short-lived one is deleted completely."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from iot_constructs.local.deployment import Deployer, Deployment
from iot_constructs.local.emulator import Emulator
from tests.e2e.programs import EXAMPLE

Inventory = dict[str, set[str]]


def inventory(emulator: Emulator) -> Inventory:
    """Return the names of all resources in the account."""

    def names(service: str, operation: str, pick: Callable[[Any], list[str]]) -> set[str]:
        client = emulator.client(service)
        if client.can_paginate(operation):
            pages = list(client.get_paginator(operation).paginate())
        else:
            pages = [getattr(client, operation)()]
        return {name for page in pages for name in pick(page)}

    def each(key: str, name: str) -> Callable[[Any], list[str]]:
        return lambda page: [entry[name] for entry in page.get(key, [])]

    kms = emulator.client("kms")
    return {
        "tables": names("dynamodb", "list_tables", lambda page: page["TableNames"]),
        "streams": names("kinesis", "list_streams", lambda page: page["StreamNames"]),
        "functions": names("lambda", "list_functions", each("Functions", "FunctionName")),
        "mappings": names(
            "lambda", "list_event_source_mappings", each("EventSourceMappings", "UUID")
        ),
        "topics": names("sns", "list_topics", each("Topics", "TopicArn")),
        "subscriptions": names("sns", "list_subscriptions", each("Subscriptions", "Endpoint")),
        "queues": names("sqs", "list_queues", lambda page: page.get("QueueUrls", [])),
        "buckets": names("s3", "list_buckets", each("Buckets", "Name")),
        "alarms": names(
            "cloudwatch",
            "describe_alarms",
            lambda page: [
                alarm["AlarmName"] for alarm in page["MetricAlarms"] + page["CompositeAlarms"]
            ],
        ),
        "dashboards": names(
            "cloudwatch", "list_dashboards", each("DashboardEntries", "DashboardName")
        ),
        "log groups": names("logs", "describe_log_groups", each("logGroups", "logGroupName")),
        "rules": names("iot", "list_topic_rules", each("rules", "ruleName")),
        "delivery streams": names(
            "firehose", "list_delivery_streams", lambda page: page["DeliveryStreamNames"]
        ),
        "roles": names("iam", "list_roles", each("Roles", "RoleName")),
        "key aliases": names("kms", "list_aliases", each("Aliases", "AliasName")),
        "keys in use": {
            key["KeyId"]
            for key in kms.list_keys()["Keys"]
            if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion"
        },
        "stacks": names("cloudformation", "describe_stacks", each("Stacks", "StackName")),
    }


@dataclass(frozen=True)
class Environments:
    """The deployed environments `dev` and `qa7`."""

    deployer: Deployer
    dev: Deployment
    qa7: Deployment
    before_qa7: Inventory
    """The resources before the deployment of `qa7`."""


@pytest.fixture(scope="module")
def environments(emulator: Emulator) -> Environments:
    deployer = Deployer(emulator, app_directory=EXAMPLE)
    with ThreadPoolExecutor(max_workers=2) as threads:
        synthesized = threads.submit(deployer.synthesize, "qa7")
        assembly = deployer.prepare("dev")
        dev = deployer.deploy(assembly)
        before_qa7 = inventory(emulator)
        qa7 = deployer.deploy(synthesized.result())
    return Environments(deployer, dev, qa7, before_qa7)


def test_no_name_is_shared(environments: Environments) -> None:
    dev, qa7 = environments.dev.outputs, environments.qa7.outputs
    assert set(dev) == set(qa7)
    assert not set(dev.values()) & set(qa7.values())
    assert not set(environments.dev.stacks) & set(environments.qa7.stacks)


def test_the_second_environment_does_not_change_the_first(
    emulator: Emulator, environments: Environments
) -> None:
    now = inventory(emulator)
    for kind, names in environments.before_qa7.items():
        assert names <= now[kind], kind


def test_data_stays_in_its_environment(emulator: Emulator, environments: Environments) -> None:
    dynamodb, kinesis = emulator.client("dynamodb"), emulator.client("kinesis")
    for suffix, deployment in (("dev", environments.dev), ("qa7", environments.qa7)):
        reading = {"timestamp": time.time_ns() // 1_000_000, "of": suffix}
        kinesis.put_record(
            StreamName=deployment.output("StreamName"),
            Data=json.dumps(reading).encode(),
            PartitionKey="device",
        )
    for suffix, deployment in (("dev", environments.dev), ("qa7", environments.qa7)):
        table = deployment.output("TimeSeriesTableName")
        deadline = time.monotonic() + 30
        while not (items := dynamodb.scan(TableName=table)["Items"]):
            assert time.monotonic() < deadline, f"nothing arrived in {table}"
            time.sleep(0.2)
        assert [item["reading"]["M"]["of"]["S"] for item in items] == [suffix]


# Must be the last test in this file, because it deletes an environment.
def test_teardown_deletes_everything(emulator: Emulator, environments: Environments) -> None:
    bucket = environments.qa7.output("BucketName")
    emulator.client("s3").put_object(Bucket=bucket, Key="telemetry/x", Body=b"x")
    environments.deployer.destroy(environments.qa7)
    after = inventory(emulator)
    assert after == environments.before_qa7
    for kind, names in after.items():
        assert not [name for name in names if "qa7" in name], kind
