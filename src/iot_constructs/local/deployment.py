"""Deploys a CDK app to the emulator with the CDK CLI (``cdk bootstrap`` and ``cdk deploy``).

The emulator's CloudFormation does not support these resources:

- ``AWS::CloudWatch::CompositeAlarm`` ("Unrecognized resource types")
- ``AWS::CloudWatch::Alarm`` with metric math ("Metrics (metric math) is not supported")
- ``Custom::S3AutoDeleteObjects`` (times out after an hour: CDK's function requires
  ``@aws-sdk/client-s3``, which Lambda's Node.js runtime includes and the emulator's doesn't)

`Deployer.deploy` removes them from a copy of the assembly and replaces references to an alarm with its
name or ARN. It then creates the alarms with the CloudWatch API from the template's properties.
`Deployer.destroy` empties the buckets of the custom resources. The run lists the removed resources.

The emulator also requires IAM actions that don't exist on AWS: ``sns:PublishBatch`` instead of
``sns:Publish``, and ``dynamodb:BatchExecuteStatement`` on ``*`` instead of ``dynamodb:PartiQLUpdate`` on
the table. `Deployer.deploy` adds them to the deployed roles with the corresponding AWS actions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iot_constructs.local import toolchain
from iot_constructs.local.emulator import ACCOUNT, REGION, Emulator

ALARM = "AWS::CloudWatch::Alarm"
COMPOSITE_ALARM = "AWS::CloudWatch::CompositeAlarm"
AUTO_DELETE = "Custom::S3AutoDeleteObjects"

ROLE = "AWS::IAM::Role"
# The AWS action -> the emulator's action.
EMULATOR_ACTIONS = {
    "sns:Publish": "sns:PublishBatch",
    "dynamodb:PartiQLUpdate": "dynamodb:BatchExecuteStatement",
}
# The emulator does not determine the table of a PartiQL statement.
_ANY_RESOURCE = {"dynamodb:BatchExecuteStatement"}
ADDED_POLICY = "EmulatorActions"

# The attributes that are a part of the physical ID or the physical ID itself.
_LAST_SEGMENT = {("AWS::SQS::Queue", "QueueName"): "/", ("AWS::SNS::Topic", "TopicName"): ":"}
_PHYSICAL_ID = {
    ("AWS::SNS::Topic", "TopicArn"),
    ("AWS::Lambda::EventSourceMapping", "Id"),
    ("AWS::SQS::Queue", "QueueUrl"),
}

_EVENT = re.compile(r"\|\s*(\d+)/(\d+)\s*\|")

Template = dict[str, Any]
Progress = Callable[[int, int], None]


class UnresolvedError(ValueError):
    """A template value that only CloudFormation can resolve."""


class AppError(ValueError):
    """The app can't be deployed to the emulator."""


@dataclass(frozen=True)
class UnsupportedResource:
    """A resource that the emulator's CloudFormation does not support."""

    stack: str
    logical_id: str
    type: str
    name: str
    reason: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class AddedPermission:
    """An IAM action that the deployment added to a role."""

    role: str
    action: str


@dataclass(frozen=True)
class Deployment:
    """A deployed app, with its outputs and the workarounds for the emulator."""

    stacks: tuple[str, ...]
    outputs: Mapping[str, str]
    unsupported: tuple[UnsupportedResource, ...]
    created_by_api: tuple[str, ...]
    """The unsupported alarms that the CloudWatch API created, in order."""
    failed_alarms: Mapping[str, str]
    """The unsupported alarms that could not be created, with the error."""
    buckets_to_empty: tuple[str, ...]
    added_permissions: tuple[AddedPermission, ...]
    assembly: Path
    """The deployed assembly, without the unsupported resources."""

    def output(self, key: str) -> str:
        """Return a stack output."""
        try:
            return self.outputs[key]
        except KeyError:
            known = ", ".join(sorted(self.outputs))
            raise KeyError(f"the stack has no output {key!r}; its outputs are {known}") from None


class Deployer:
    """Runs the CDK CLI against an emulator."""

    def __init__(
        self, emulator: Emulator, *, app_directory: Path, context: Sequence[str] = ()
    ) -> None:
        """Select the folder of an app, and its context as ``key=value``. Installs the CDK CLI if necessary.

        Raises:
            ToolError: Node.js or the CDK CLI is missing and can't be installed.
        """
        self._program = toolchain.cdk()
        self._emulator = emulator
        self._app_directory = app_directory
        self._context = context
        self._work = emulator.directory / "cdk"
        self._home = self._work / "home"
        self._home.mkdir(parents=True, exist_ok=True)

    def bootstrap(self) -> None:
        """Run ``cdk bootstrap``."""
        # In a folder without cdk.json: otherwise, the CLI synthesizes the app first.
        self._cdk(["bootstrap", f"aws://{ACCOUNT}/{REGION}"], cwd=self._home, log="bootstrap")

    def synthesize(self, suffix: str) -> Path:
        """Run ``cdk synth`` for an environment suffix. Returns the assembly."""
        # A file name has at most 255 bytes.
        name = re.sub(r"[^\w.-]", "_", suffix, flags=re.ASCII)[:100]
        assembly = self._work / f"assembly-{name}"
        arguments = ["synth", "--quiet", "--output", str(assembly)]
        for each in (f"environmentSuffix={suffix}", *self._context):
            arguments += ["--context", each]
        try:
            self._cdk(arguments, cwd=self._app_directory, log=f"synth-{name}")
        except toolchain.ToolError as error:
            if "ENOENT" in str(error) and str(assembly / "manifest.json") in str(error):
                raise AppError("the app has no output: end app.py with app.synth()") from None
            raise
        return assembly

    def prepare(self, suffix: str) -> Path:
        """Bootstrap and synthesize concurrently. Returns the assembly."""
        with ThreadPoolExecutor(max_workers=1) as threads:
            bootstrap = threads.submit(self.bootstrap)
            try:
                assembly = self.synthesize(suffix)
                bootstrap.result()
            except BaseException:
                # The block waits for the thread, which waits for its command.
                toolchain.stop_all()
                raise
        return assembly

    def deploy(self, assembly: Path, *, on_progress: Progress | None = None) -> Deployment:
        """Deploy an assembly: supported resources with ``cdk deploy``, alarms with the API."""
        check_environments(assembly)
        accepted, unsupported = remove_unsupported(assembly)
        outputs_file = self._work / f"{assembly.name}.outputs.json"

        def on_line(line: str) -> None:
            event = _EVENT.search(line)
            if event is not None and on_progress is not None:
                on_progress(int(event[1]), int(event[2]))

        # "**" rather than --all, which leaves out the stacks of a Stage.
        arguments = ["deploy", "**", "--app", str(accepted), "--require-approval", "never"]
        arguments += ["--progress", "events", "--outputs-file", str(outputs_file)]
        self._cdk(arguments, cwd=self._home, log=assembly.name, on_line=on_line)
        by_stack: dict[str, dict[str, str]] = json.loads(outputs_file.read_text("utf-8"))
        created, failed_alarms = self._create_by_api(
            accepted, [each for each in unsupported if each.type != AUTO_DELETE]
        )
        stacks = tuple(templates(accepted))
        added = [each for stack in stacks for each in self._allow_emulator_actions(stack)]
        buckets = [
            str(self.resolver(accepted, each.stack).resolve(each.properties["BucketName"]))
            for each in unsupported
            if each.type == AUTO_DELETE
        ]
        return Deployment(
            stacks=stacks,
            outputs={key: value for each in by_stack.values() for key, value in each.items()},
            unsupported=tuple(unsupported),
            created_by_api=tuple(created),
            failed_alarms=failed_alarms,
            buckets_to_empty=tuple(buckets),
            added_permissions=tuple(added),
            assembly=accepted,
        )

    def destroy(self, deployment: Deployment) -> None:
        """Delete the resources outside CloudFormation, then run ``cdk destroy``."""
        cloudwatch = self._emulator.client("cloudwatch")
        # In reverse order, because an alarm of a composite alarm can't be deleted, and one at a time,
        # because a call can delete only one composite alarm.
        for name in reversed(deployment.created_by_api):
            cloudwatch.delete_alarms(AlarmNames=[name])
        iam = self._emulator.client("iam")
        for role in {each.role for each in deployment.added_permissions}:
            iam.delete_role_policy(RoleName=role, PolicyName=ADDED_POLICY)
        for bucket in deployment.buckets_to_empty:
            self._empty(bucket)
        arguments = ["destroy", "**", "--app", str(deployment.assembly), "--force"]
        self._cdk(arguments, cwd=self._home, log="destroy")

    def save_logs(self, directory: Path) -> None:
        """Copy the logs of the emulator and of each CDK command to a folder."""
        directory.mkdir(parents=True, exist_ok=True)
        for log in [self._emulator.log, *self._work.glob("*.log")]:
            shutil.copyfile(log, directory / log.name)
        print(f"logs: {directory}", file=sys.stderr)

    def _cdk(
        self,
        arguments: list[str],
        *,
        cwd: Path,
        log: str,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        node = str(toolchain.node())
        toolchain.run(
            # Notices would require internet access.
            [node, str(self._program), *arguments, "--no-notices", "--no-color", "--ci"],
            name=f"cdk {arguments[0]}",
            cwd=cwd,
            environment=self._environment(node),
            log=self._work / f"{log}.log",
            on_line=on_line,
        )

    def _environment(self, node: str) -> dict[str, str]:
        # What the app reads of the user's environment, but nothing of AWS, and no settings of the CLI in HOME.
        users = {key: each for key, each in os.environ.items() if not key.startswith("AWS_")}
        return {
            **users,
            **self._emulator.environment(),
            "PATH": toolchain.search_path(),
            "LANG": "C.UTF-8",
            "HOME": str(self._home),
            "TMPDIR": str(self._emulator.directory / "tmp"),
            "JSII_NODE": node,
            # The user's cache: unpacking the CDK's JavaScript takes seconds.
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_jsii_cache(self._work / "jsii")),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "PYTHONUNBUFFERED": "1",
            # The packages of `pip install --user` are in the user's home folder.
            "PYTHONUSERBASE": site.getuserbase(),
        }

    def _create_by_api(
        self, assembly: Path, unsupported: Iterable[UnsupportedResource]
    ) -> tuple[list[str], dict[str, str]]:
        """Create the unsupported alarms. Returns their names and the errors of failed ones."""
        cloudwatch = self._emulator.client("cloudwatch")
        created: list[str] = []
        failed_alarms: dict[str, str] = {}
        # Composite alarms last: the alarms in their rules must exist.
        for alarm in sorted(unsupported, key=lambda each: each.type == COMPOSITE_ALARM):
            try:
                resolver = self.resolver(assembly, alarm.stack)
                request = alarm_request(alarm, resolver)
                if alarm.type == COMPOSITE_ALARM:
                    cloudwatch.put_composite_alarm(**request)
                else:
                    cloudwatch.put_metric_alarm(**request)
            except (UnresolvedError, cloudwatch.exceptions.ClientError) as error:
                failed_alarms[alarm.name] = str(error)
            else:
                created.append(alarm.name)
        return created, failed_alarms

    def _allow_emulator_actions(self, stack: str) -> list[AddedPermission]:
        """Add the emulator's actions to the roles of a stack that have the corresponding AWS actions."""
        iam = self._emulator.client("iam")
        added: list[AddedPermission] = []
        for kind, role in self._physical_ids(stack).values():
            if kind != ROLE:
                continue
            statements: list[dict[str, Any]] = []
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
                statements += emulator_statements(policy)
            if statements:
                document = json.dumps({"Version": "2012-10-17", "Statement": statements})
                iam.put_role_policy(RoleName=role, PolicyName=ADDED_POLICY, PolicyDocument=document)
                added += [AddedPermission(role, each["Action"]) for each in statements]
        return added

    def _physical_ids(self, stack: str) -> dict[str, tuple[str, str]]:
        """Return the type and physical ID of each resource of a deployed stack by logical ID."""
        cloudformation = self._emulator.client("cloudformation")
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        return {
            each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
            for page in pages
            for each in page["StackResourceSummaries"]
        }

    def _empty(self, bucket: str) -> None:
        """Delete all object versions of a bucket."""
        s3 = self._emulator.client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
                s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])

    def resolver(self, assembly: Path, stack: str) -> Resolver:
        """Return the values of a deployed stack for the intrinsic functions of its template."""
        template = json.loads(templates(assembly)[stack].read_text("utf-8"))
        physical = {key: name for key, (_, name) in self._physical_ids(stack).items()}
        types = {key: value["Type"] for key, value in template["Resources"].items()}
        return Resolver(stack, types, physical)


@dataclass(frozen=True)
class Resolver:
    """Resolves the intrinsic functions of alarms from the deployed resources of a stack."""

    stack: str
    types: Mapping[str, str]
    physical_ids: Mapping[str, str]

    def resolve(self, value: Any) -> Any:
        """Resolve the intrinsic functions in a value. `UnresolvedError`: an unsupported one."""
        if isinstance(value, list):
            return [self.resolve(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument) = next(iter(value.items()))
            if name == "Ref":
                return self._ref(argument)
            if name == "Fn::GetAtt":
                return self._get_att(*argument)
            if name == "Fn::Join":
                return str(argument[0]).join(str(self.resolve(part)) for part in argument[1])
            if name == "Fn::Sub" and isinstance(argument, str):
                return re.sub(r"\$\{([^}]+)\}", lambda match: str(self._ref(match[1])), argument)
            if name.startswith("Fn::"):
                raise UnresolvedError(f"{name} is not supported: {json.dumps(value)}")
        return {key: self.resolve(each) for key, each in value.items()}

    def _ref(self, name: str) -> str:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::StackName": self.stack,
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.physical_ids:
            return self.physical_ids[name]
        raise UnresolvedError(f"no resource {name!r} in stack {self.stack}")

    def _get_att(self, name: str, attribute: str) -> str:
        key = (self.types.get(name, ""), attribute)
        if key == (ALARM, "Arn"):
            return alarm_arn(self._ref(name))
        if key in _LAST_SEGMENT:
            return self._ref(name).rsplit(_LAST_SEGMENT[key], 1)[-1]
        if key in _PHYSICAL_ID:
            return self._ref(name)
        raise UnresolvedError(f"attribute {attribute} of {name} ({key[0]}) is not supported")


def check_app(directory: Path) -> None:
    """Raise `AppError` if a folder has no CDK app."""
    if not directory.joinpath("cdk.json").is_file():
        raise AppError(
            f"{directory.resolve()} has no cdk.json: name the folder of a CDK app, or create an app with "
            "iot-constructs init DIR"
        )


def remove_unsupported(assembly: Path) -> tuple[Path, list[UnsupportedResource]]:
    """Copy an assembly without unsupported resources. Returns the copy and these resources."""
    copy = assembly.with_name(f"{assembly.name}-accepted")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(assembly, copy)
    unsupported: list[UnsupportedResource] = []
    for stack, file in templates(copy).items():
        template: Template = json.loads(file.read_text("utf-8"))
        stripped, missing = split_template(stack, template)
        if missing:
            file.write_text(json.dumps(stripped, indent=1), "utf-8")
            unsupported += missing
    return copy, unsupported


def templates(assembly: Path) -> dict[str, Path]:
    """Return the template file of each stack in an assembly, by stack name."""
    return {
        artifact["properties"].get("stackName", name): folder
        / artifact["properties"]["templateFile"]
        for folder, name, artifact in _stacks(assembly)
    }


def check_environments(assembly: Path) -> None:
    """Raise `AppError` if a stack is for an account or Region that the emulator does not have."""
    for _, name, artifact in _stacks(assembly):
        account, region = artifact["environment"].removeprefix("aws://").split("/")
        if account not in (ACCOUNT, "unknown-account") or region not in (REGION, "unknown-region"):
            raise AppError(
                f"stack {name} is for account {account} in {region}, and the emulator has {ACCOUNT} in {REGION}: take "
                "env from CDK_DEFAULT_ACCOUNT and CDK_DEFAULT_REGION, or pass another with --context"
            )


def _stacks(assembly: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Yield the folder, name, and artifact of each stack, also of those in stages."""
    manifest = json.loads((assembly / "manifest.json").read_text("utf-8"))
    for name, artifact in sorted(manifest["artifacts"].items()):
        if artifact["type"] == "aws:cloudformation:stack":
            yield assembly, name, artifact
        elif artifact["type"] == "cdk:cloud-assembly":
            yield from _stacks(assembly / artifact["properties"]["directoryName"])


def split_template(stack: str, template: Template) -> tuple[Template, list[UnsupportedResource]]:
    """Split a template into a supported template and the unsupported resources."""
    missing: list[UnsupportedResource] = []
    for logical_id, resource in template["Resources"].items():
        reason = _unsupported_reason(resource)
        if reason is None:
            continue
        properties = resource["Properties"]
        path = resource.get("Metadata", {}).get("aws:cdk:path", logical_id)
        # CloudFormation would generate a name from the same two.
        generated = f"{stack}-{logical_id}"
        name = path if resource["Type"] == AUTO_DELETE else properties.get("AlarmName", generated)
        if not isinstance(name, str):
            raise UnresolvedError(f"{logical_id} must have a literal AlarmName")
        if resource["Type"] != AUTO_DELETE:
            properties = {**properties, "AlarmName": name}
        missing.append(
            UnsupportedResource(stack, logical_id, resource["Type"], name, reason, properties)
        )
    names = {each.logical_id: each.name for each in missing}
    stripped = {
        **template,
        "Resources": {
            key: value for key, value in template["Resources"].items() if key not in names
        },
    }
    literal = _resolve_references(stripped, names)
    assert isinstance(literal, dict)  # a template in is a template out
    return literal, [
        UnsupportedResource(
            each.stack,
            each.logical_id,
            each.type,
            each.name,
            each.reason,
            _resolve_references(each.properties, names),
        )
        for each in missing
    ]


def emulator_statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the statements with the emulator's actions for a policy document."""
    added = []
    for statement in policy["Statement"]:
        actions = statement.get("Action", [])
        for action in [actions] if isinstance(actions, str) else actions:
            if statement["Effect"] == "Allow" and action in EMULATOR_ACTIONS:
                required = EMULATOR_ACTIONS[action]
                resource = "*" if required in _ANY_RESOURCE else statement["Resource"]
                added.append({"Effect": "Allow", "Action": required, "Resource": resource})
    return added


def alarm_request(alarm: UnsupportedResource, resolver: Resolver) -> dict[str, Any]:
    """Return the API request that creates an alarm of the template."""
    # CloudFormation's property names equal the API's parameter names.
    return {key: resolver.resolve(value) for key, value in alarm.properties.items()}


def alarm_arn(name: str) -> str:
    """Return the ARN of an alarm in the emulator's account."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def _unsupported_reason(resource: Mapping[str, Any]) -> str | None:
    if resource["Type"] == COMPOSITE_ALARM:
        return "no composite alarms in the emulator's CloudFormation"
    if resource["Type"] == ALARM and resource["Properties"].get("Metrics"):
        return "no metric math in the emulator's CloudFormation"
    if resource["Type"] == AUTO_DELETE:
        return "no S3 client in the emulator's Node.js runtime"
    return None


def _resolve_references(value: Any, names: Mapping[str, str]) -> Any:
    """Replace references to unsupported alarms with their names or ARNs."""
    if isinstance(value, list):
        return [_resolve_references(each, names) for each in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        reference, get_att = value.get("Ref"), value.get("Fn::GetAtt")
        if isinstance(reference, str) and reference in names:
            return names[reference]
        if isinstance(get_att, list) and get_att[0] in names and get_att[1] == "Arn":
            return alarm_arn(names[get_att[0]])
    literal = {key: _resolve_references(each, names) for key, each in value.items()}
    depends_on = literal.get("DependsOn")
    if isinstance(depends_on, list):
        literal["DependsOn"] = [each for each in depends_on if each not in names]
    elif isinstance(depends_on, str) and depends_on in names:
        del literal["DependsOn"]
    return literal


def _jsii_cache(fallback: Path) -> Path:
    """Return the user's cache folder of jsii packages. If it can't be written, jsii would wait without end."""
    mac = sys.platform == "darwin"
    cache = "Library/Caches/com.amazonaws.jsii" if mac else ".cache/aws/jsii"
    try:
        configured = os.environ.get("JSII_RUNTIME_PACKAGE_CACHE_ROOT")
        default = toolchain.home_folder() / cache / "package-cache"
        folder = Path(configured) if configured else default
        toolchain.create_folder(folder)
    except (OSError, toolchain.ToolError):
        return fallback
    return folder
