"""A first deployment that fails at one resource, and the second attempt by the steps of the page alone."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs.local.deployment import split_template
from iot_constructs.local.emulator import ACCOUNT, REGION
from tests.cloudformation_model import BUCKET, KEY, TABLE, needs
from tests.documented_steps import Cdk, Cloud, Console, DeploymentError, commands
from tests.synth_support import Json, fresh_app, template_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "guide" / "first-deployment.md"
EMULATOR = cdk.Environment(account=ACCOUNT, region=REGION)

CONTINUE, START_OVER, AFTER_ROLLBACK = "Continue after a failure", "Start over", "After a rollback"
_PLACEHOLDERS = {TABLE: "<table>", BUCKET: "<bucket>", KEY: "<key>"}


def example(suffix: str) -> Json:
    """The template of the example, for the account of the emulator."""
    stack = IotPipelineStack(fresh_app(), "IotPipeline", environment_suffix=suffix, env=EMULATOR)
    return template_of(stack)


def accepted(template: Json) -> Json:
    """The template with a stand-in for each resource that the emulator refuses: it has its name and its needs."""
    template = copy.deepcopy(template)
    resources = template["Resources"]
    for missing in split_template("any", template)[1]:
        original = resources[missing.logical_id]
        stand_in: Json = {"Type": "AWS::CloudFormation::WaitConditionHandle", "Properties": {}}
        if "AlarmName" in original["Properties"]:
            stand_in = {"Type": "AWS::CloudWatch::Alarm", "Properties": _alarm(missing.name)}
        stand_in["DependsOn"] = sorted(needs(original, resources))
        resources[missing.logical_id] = stand_in
    return template


def broken(template: Json, logical_id: str) -> Json:
    """The template with an error in one resource, which is created after everything that does not need it."""
    template = copy.deepcopy(template)
    resources = template["Resources"]
    resources[logical_id].setdefault("Properties", {})["Broken"] = {"Fn::ImportValue": "nothing"}
    users = {logical_id}
    while more := {one for one in resources if needs(resources[one], resources) & users} - users:
        users |= more
    resources[logical_id]["DependsOn"] = sorted(resources.keys() - users)
    return template


class FirstDeployment:
    """A stack in a cloud, and somebody who follows the page."""

    def __init__(
        self, cloud: Cloud, template: Json, suffix: str, *, cdk: Cdk | None = None
    ) -> None:
        self.template = template
        self.stack = f"IotPipeline-{suffix}"
        self.cdk = cdk or Cdk(cloud, self.stack, template, protected=suffix == "prod")
        self.left: list[tuple[str, str]] = []
        self._cloud = cloud
        self._console = Console(cloud, self.cdk)

    def fail(self, logical_id: str, *, rollback: bool) -> None:
        """The first attempt, and the fix of its cause."""
        self.cdk.template = broken(self.template, logical_id)
        with pytest.raises(DeploymentError):
            self.cdk.deploy(rollback=rollback)
        self.cdk.template = self.template

    def follow(self, heading: str, *, without: str | None = None, page: Path = PAGE) -> None:
        """Type the commands below a heading, except the one that the page lost."""
        tables = self._cloud.client("dynamodb").list_tables()["TableNames"]
        named: dict[str, list[str]] = {"<table>": tables}
        for block in commands(page, heading):
            output = self._console.run_block([line for line in block if line != without], named)
            if "DELETE_SKIPPED" in "".join(block):
                self.left = sorted(
                    {_row(line) for line in output.splitlines() if line[:5] == "AWS::"}
                )
                named = {
                    word: [id for type, id in self.left if type == of_type]
                    for of_type, word in _PLACEHOLDERS.items()
                }

    def put_objects(self, buckets: Iterable[str]) -> None:
        """What devices and S3 write in the meantime."""
        for bucket in buckets:
            self._cloud.client("s3").put_object(Bucket=bucket, Key="object", Body="{}")


def _row(line: str) -> tuple[str, str]:
    type, physical_id = line.split("\t")
    return type, physical_id


def _alarm(name: str) -> dict[str, Any]:
    return {
        "AlarmName": name,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "MetricName": "Errors",
        "Namespace": "AWS/Lambda",
        "Period": 60,
        "Statistic": "Sum",
        "Threshold": 0,
    }
