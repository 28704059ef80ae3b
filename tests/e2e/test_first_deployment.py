"""Resources of the example fail on the emulator, with ``--full`` each; the page's steps repair the deployment.

The emulator's CloudFormation rolls back, retains and protects stacks as documented. It does not reject most names that
are taken, does not protect a global table that the template protects, and deletes buckets that hold objects: for these,
``tests/test_first_deployment.py`` has a model. A resource that it refuses has a stand-in
(:func:`tests.first_deployment.accepted`).
"""

from __future__ import annotations

import functools
import json
import re
import ssl
import subprocess
import urllib.request
import zipfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs.local import toolchain
from iot_constructs.local.deployment import Deployer
from iot_constructs.local.emulator import Emulator
from tests.cloudformation_model import BUCKET, KEY, TABLE
from tests.documented_steps import ASSET_BUCKET, Cdk, DeploymentError
from tests.e2e.programs import EXAMPLE
from tests.first_deployment import (
    AFTER_ROLLBACK,
    CONTINUE,
    EMULATOR,
    START_OVER,
    FirstDeployment,
    accepted,
    broken,
    example,
)
from tests.sweeps import sample
from tests.synth_support import Json, resources, the_id, unvalidated_app

BOOTSTRAP_VERSION = "/cdk-bootstrap/hnb659fds/version"
PROD, DEV = accepted(example("prod")), accepted(example("dev"))


def one_of_each_type(template: Json) -> list[str]:
    return list({body["Type"]: id for id, body in template["Resources"].items()}.values())


class Account:
    """The account of an emulator, with one client for each service."""

    def __init__(self, emulator: Emulator) -> None:
        self.client = functools.cache(emulator.client)


@pytest.fixture(scope="module")
def clients(emulator: Emulator) -> Account:
    return Account(emulator)


@pytest.fixture
def account(emulator: Emulator, clients: Account) -> Account:
    """The account with nothing but the assets and the version of the bootstrap stack."""
    tls = ssl.create_default_context(cafile=emulator.endpoint.authority)
    reset = urllib.request.Request(f"{emulator.endpoint.url}/_ministack/reset", method="POST")
    with urllib.request.urlopen(reset, context=tls) as response:
        assert response.status == 200
    clients.client("ssm").put_parameter(Name=BOOTSTRAP_VERSION, Value="30", Type="String")
    s3 = clients.client("s3")
    s3.create_bucket(Bucket=ASSET_BUCKET)
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("lambda_function.py", "def handler(event, context): ...")
    for template in (PROD, DEV):
        for function in resources(template, "AWS::Lambda::Function").values():
            code = function["Properties"]["Code"]
            code["S3Bucket"] = ASSET_BUCKET
            s3.put_object(Bucket=ASSET_BUCKET, Key=code["S3Key"], Body=archive.getvalue())
    return clients


def existing(account: Account) -> dict[str, list[str]]:
    """The tables, buckets and streams of the account, and its keys that are not being deleted."""
    kms = account.client("kms")
    keys = [kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"] for one in kms.list_keys()["Keys"]]
    buckets = account.client("s3").list_buckets()["Buckets"]
    return {
        TABLE: account.client("dynamodb").list_tables()["TableNames"],
        BUCKET: [one["Name"] for one in buckets if one["Name"].startswith("iot-")],
        KEY: [one["KeyId"] for one in keys if one["KeyState"] == "Enabled"],
        "AWS::Kinesis::Stream": account.client("kinesis").list_streams()["StreamNames"],
    }


def protect(account: Account) -> None:
    """Protect the tables, as the template says."""
    dynamodb = account.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        dynamodb.update_table(TableName=table, DeletionProtectionEnabled=True)


def check_complete(
    account: Account, attempt: FirstDeployment, status: str = "CREATE_COMPLETE"
) -> None:
    assert attempt.cdk.status() == status
    cloudformation = account.client("cloudformation")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=attempt.stack)
    created = [one for page in pages for one in page["StackResourceSummaries"]]
    assert {one["LogicalResourceId"] for one in created} == attempt.template["Resources"].keys()
    for type, found in existing(account).items():
        ids = [one["PhysicalResourceId"] for one in created if one["ResourceType"] == type]
        assert sorted(found) == sorted(ids), type


@pytest.mark.parametrize("logical_id", sample(PROD["Resources"], 6))
def test_the_second_attempt_works_after_a_rollback(account: Account, logical_id: str) -> None:
    attempt = FirstDeployment(account, PROD, "prod")
    attempt.fail(logical_id, rollback=True)
    assert attempt.cdk.status() == "ROLLBACK_COMPLETE"
    left = existing(account)
    protect(account)
    assert left[BUCKET] == left["AWS::Kinesis::Stream"] == []
    attempt.follow(AFTER_ROLLBACK)
    assert attempt.left == sorted((type, id) for type in (TABLE, KEY) for id in left[type])
    check_complete(account, attempt)


@pytest.mark.parametrize("logical_id", sample(one_of_each_type(PROD), 3))
def test_the_second_attempt_continues_without_a_rollback(account: Account, logical_id: str) -> None:
    attempt = FirstDeployment(account, PROD, "prod")
    attempt.fail(logical_id, rollback=False)
    before = existing(account)
    attempt.follow(CONTINUE)
    check_complete(account, attempt, "UPDATE_COMPLETE")
    for type, found in existing(account).items():
        assert set(before[type]) <= set(found)


@pytest.mark.parametrize("logical_id", sample(one_of_each_type(PROD), 3))
def test_the_second_attempt_starts_over(account: Account, logical_id: str) -> None:
    attempt = FirstDeployment(account, PROD, "prod")
    attempt.fail(logical_id, rollback=False)
    before = existing(account)
    protect(account)
    attempt.follow(START_OVER)
    check_complete(account, attempt)
    assert not set(before[KEY]) & set(existing(account)[KEY])


@pytest.mark.parametrize("logical_id", sample(one_of_each_type(DEV), 3))
def test_an_ephemeral_environment_leaves_nothing_and_needs_no_steps(
    account: Account, logical_id: str
) -> None:
    attempt = FirstDeployment(account, DEV, "dev")
    attempt.fail(logical_id, rollback=True)
    assert attempt.cdk.status() == "ROLLBACK_COMPLETE"
    assert [found for found in existing(account).values() if found] == []
    attempt.cdk.deploy()
    check_complete(account, attempt)


class CdkCli(Cdk):
    """The CDK CLI itself."""

    def __init__(self, emulator: Emulator, folder: Path, *, suffix: str, template: Json) -> None:
        super().__init__(emulator, f"IotPipeline-{suffix}", template, protected=suffix == "prod")
        self._emulator = emulator
        self._folder = folder
        app = unvalidated_app(outdir=str(folder / "assembly"))
        IotPipelineStack(app, "IotPipeline", environment_suffix=suffix, env=EMULATOR)
        app.synth()

    def deploy(self, *, rollback: bool = True) -> None:
        option = [] if rollback else ["--no-rollback"]
        self._cdk("deploy", "--require-approval", "never", *option)

    def rollback(self) -> None:
        self._cdk("rollback")

    def _cdk(self, *arguments: str) -> None:
        assembly = self._folder / "assembly"
        body = json.dumps(self.template)
        (assembly / "IotPipeline.template.json").write_text(body, "utf-8")
        manifest = assembly / "manifest.json"
        # The CLI uploads a template under its hash, once.
        url = json.loads(manifest.read_text("utf-8"))["artifacts"]["IotPipeline"]["properties"]
        (before,) = re.findall(r"[0-9a-f]{64}", url["stackTemplateAssetObjectUrl"])
        for file in (manifest, assembly / "IotPipeline.assets.json"):
            text = file.read_text("utf-8")
            file.write_text(text.replace(before, sha256(body.encode()).hexdigest()), "utf-8")
        environment = {**self._emulator.environment(), "PATH": toolchain.search_path()}
        command = [str(toolchain.node()), str(toolchain.cdk()), *arguments]
        done = subprocess.run(
            [*command, "--app", str(assembly), "--no-notices", "--ci"],
            cwd=self._folder,
            env={**environment, "HOME": str(self._folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DeploymentError(done.stdout + done.stderr)


def test_the_steps_with_the_cdk_cli(emulator: Emulator, account: Account, tmp_path: Path) -> None:
    """The cause is found last, so each section of the page is needed."""
    account.client("ssm").delete_parameter(Name=BOOTSTRAP_VERSION)
    Deployer(emulator, app_directory=EXAMPLE).bootstrap()
    cli = CdkCli(emulator, tmp_path, suffix="prod", template=PROD)
    attempt = FirstDeployment(account, PROD, "prod", cdk=cli)
    last = the_id(PROD, "AWS::CloudWatch::Dashboard")
    attempt.fail(last, rollback=True)
    with pytest.raises(DeploymentError, match="TerminationProtection is enabled"):
        cli.deploy()
    cli.template = broken(PROD, last)
    for heading in (AFTER_ROLLBACK, START_OVER):
        with pytest.raises(DeploymentError, match=last):
            attempt.follow(heading)
        assert cli.status() == "CREATE_FAILED"
    cli.template = PROD
    attempt.follow(CONTINUE)
    check_complete(account, attempt, "UPDATE_COMPLETE")
