"""Deploy the example into the emulator with the real CDK command line.

On AWS this is ``cdk bootstrap`` and ``cdk deploy``, and so it is here. The emulator's
CloudFormation refuses a template that holds

- an ``AWS::CloudWatch::CompositeAlarm`` ("Unrecognized resource types"), or
- an ``AWS::CloudWatch::Alarm`` on metric math ("Metrics (metric math) is not supported"),

and it waits an hour for a ``Custom::S3AutoDeleteObjects``, because CDK's function behind it needs
``@aws-sdk/client-s3``, which is part of Lambda's Node.js but not of the emulator's.

Those, and nothing else, are left out of a copy of the synthesized assembly; references to an alarm
are replaced by the name or ARN it would have. After the deployment the alarms are created through
the CloudWatch API, whose calls the emulator does accept, from the properties in the template; and
`Deployer.destroy` empties the buckets that the custom resource would have emptied. Every one is
reported, so that a reader knows what did not go through CloudFormation.

Two permissions are added, because the emulator asks for actions that AWS does not have: for
``sns:PublishBatch`` (AWS: ``sns:Publish``) and, on ``*``, for ``dynamodb:BatchExecuteStatement``
(AWS: ``dynamodb:PartiQLUpdate`` and its like, on the table). Where the template allows the one, the
role gets the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.iot_pipeline.local import toolchain
from examples.iot_pipeline.local.emulator import ACCOUNT, REGION, Emulator

APP_DIRECTORY = Path(__file__).resolve().parents[1]

ALARM = "AWS::CloudWatch::Alarm"
COMPOSITE_ALARM = "AWS::CloudWatch::CompositeAlarm"
AUTO_DELETE = "Custom::S3AutoDeleteObjects"

POLICY = "AWS::IAM::Policy"
# What AWS asks for -> what the emulator asks for.
EMULATOR_ACTIONS = {
    "sns:Publish": "sns:PublishBatch",
    "dynamodb:PartiQLUpdate": "dynamodb:BatchExecuteStatement",
}
# The emulator does not look for the tables in the statements.
_ANY_RESOURCE = {"dynamodb:BatchExecuteStatement"}
ADDED_POLICY = "EmulatorActions"

# What a Ref or GetAtt to a deployed resource yields when it is not the physical id itself.
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
    """A value in a template that only CloudFormation can compute."""


@dataclass(frozen=True)
class UnsupportedResource:
    """A resource that the emulator's CloudFormation refuses."""

    stack: str
    logical_id: str
    type: str
    name: str
    reason: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class AddedPermission:
    """An action that a role was allowed besides what the template says."""

    role: str
    action: str


@dataclass(frozen=True)
class Deployment:
    """A deployed app: its outputs, and what had to be done around CloudFormation."""

    stacks: tuple[str, ...]
    outputs: Mapping[str, str]
    unsupported: tuple[UnsupportedResource, ...]
    created_by_api: tuple[str, ...]
    """The alarms among these that now exist, in the order in which they were made."""
    failed_alarms: Mapping[str, str]
    """The alarms among these that do not exist, and why."""
    buckets_to_empty: tuple[str, ...]
    added_permissions: tuple[AddedPermission, ...]
    """What only the emulator asks for."""
    assembly: Path
    """The assembly that was deployed (the synthesized one, less what was left out)."""

    def output(self, key: str) -> str:
        """One stack output; its absence means that the example has changed."""
        try:
            return self.outputs[key]
        except KeyError:
            known = ", ".join(sorted(self.outputs))
            raise KeyError(f"the stack has no output {key!r}; it has: {known}") from None


class Deployer:
    """The CDK command line, aimed at one emulator."""

    def __init__(self, emulator: Emulator, *, app_directory: Path = APP_DIRECTORY) -> None:
        self._emulator = emulator
        self._app_directory = app_directory
        self._work = emulator.directory / "cdk"
        self._home = self._work / "home"
        self._home.mkdir(parents=True, exist_ok=True)

    def bootstrap(self) -> None:
        """``cdk bootstrap``: the roles and the bucket that every deployment needs."""
        # Run where no cdk.json is: with one, the CLI would synthesize the app first.
        self._cdk(["bootstrap", f"aws://{ACCOUNT}/{REGION}"], cwd=self._home, log="bootstrap")

    def synthesize(self, suffix: str) -> Path:
        """``cdk synth`` of the example for one environment suffix; returns the assembly."""
        assembly = self._work / f"assembly-{suffix}"
        arguments = ["synth", "--quiet", "--output", str(assembly)]
        arguments += ["--context", f"environmentSuffix={suffix}"]
        self._cdk(arguments, cwd=self._app_directory, log=f"synth-{suffix}")
        return assembly

    def prepare(self, suffix: str) -> Path:
        """Bootstrap and synthesize, side by side; returns the assembly."""
        with ThreadPoolExecutor(max_workers=1) as threads:
            bootstrap = threads.submit(self.bootstrap)
            try:
                assembly = self.synthesize(suffix)
                bootstrap.result()
            except BaseException:
                # Leaving the block waits for the thread, and the thread for its command.
                toolchain.stop_all()
                raise
        return assembly

    def deploy(self, assembly: Path, *, on_progress: Progress | None = None) -> Deployment:
        """``cdk deploy`` of an assembly, less what the emulator refuses, plus that by API."""
        accepted, unsupported = remove_unsupported(assembly)
        outputs_file = self._work / f"{assembly.name}.outputs.json"

        def on_line(line: str) -> None:
            event = _EVENT.search(line)
            if event is not None and on_progress is not None:
                on_progress(int(event[1]), int(event[2]))

        arguments = ["deploy", "--app", str(accepted), "--all", "--require-approval", "never"]
        arguments += ["--progress", "events", "--outputs-file", str(outputs_file)]
        self._cdk(arguments, cwd=self._home, log=assembly.name, on_line=on_line)
        by_stack: dict[str, dict[str, str]] = json.loads(outputs_file.read_text("utf-8"))
        created, failed_alarms = self._create_by_api(
            accepted, [each for each in unsupported if each.type != AUTO_DELETE]
        )
        added = [
            each for stack in by_stack for each in self._allow_emulator_actions(accepted, stack)
        ]
        buckets = [
            str(self._resolver(accepted, each.stack).resolve(each.properties["BucketName"]))
            for each in unsupported
            if each.type == AUTO_DELETE
        ]
        return Deployment(
            stacks=tuple(by_stack),
            outputs={key: value for each in by_stack.values() for key, value in each.items()},
            unsupported=tuple(unsupported),
            created_by_api=tuple(created),
            failed_alarms=failed_alarms,
            buckets_to_empty=tuple(buckets),
            added_permissions=tuple(added),
            assembly=accepted,
        )

    def destroy(self, deployment: Deployment) -> None:
        """``cdk destroy``, after deleting what CloudFormation does not know of."""
        cloudwatch = self._emulator.client("cloudwatch")
        # Last made, first deleted: a composite alarm keeps its children from being deleted, and
        # one call may delete only one composite alarm.
        for name in reversed(deployment.created_by_api):
            cloudwatch.delete_alarms(AlarmNames=[name])
        iam = self._emulator.client("iam")
        for role in {each.role for each in deployment.added_permissions}:
            iam.delete_role_policy(RoleName=role, PolicyName=ADDED_POLICY)
        for bucket in deployment.buckets_to_empty:
            self._empty(bucket)
        arguments = ["destroy", "--app", str(deployment.assembly), "--all", "--force"]
        self._cdk(arguments, cwd=self._home, log="destroy")

    def logs(self) -> Iterable[Path]:
        """What the CLI printed, one file a command."""
        return sorted(self._work.glob("*.log"))

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
            # --no-notices: it would fetch a list of notices from the internet.
            [node, str(toolchain.cdk()), *arguments, "--no-notices", "--no-color", "--ci"],
            cwd=cwd,
            environment=self._environment(node),
            log=self._work / f"{log}.log",
            on_line=on_line,
        )

    def _environment(self, node: str) -> dict[str, str]:
        environment = {
            **self._emulator.environment(),
            "PATH": toolchain.search_path(),
            "LANG": "C.UTF-8",
            "HOME": str(self._home),
            "TMPDIR": str(self._emulator.directory / "tmp"),
            "JSII_NODE": node,
            # Unpacking the CDK's JavaScript takes seconds: keep it where every CDK app keeps it.
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_jsii_cache()),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "PYTHONUNBUFFERED": "1",
        }
        # Whatever makes this program importable makes the CDK app importable too.
        if "PYTHONPATH" in os.environ:
            environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
        return environment

    def _create_by_api(
        self, assembly: Path, unsupported: Iterable[UnsupportedResource]
    ) -> tuple[list[str], dict[str, str]]:
        """Create the left-out alarms; returns their names, and why others could not be made."""
        cloudwatch = self._emulator.client("cloudwatch")
        created: list[str] = []
        failed_alarms: dict[str, str] = {}
        # A composite alarm is refused while an alarm in its rule does not exist.
        for alarm in sorted(unsupported, key=lambda each: each.type == COMPOSITE_ALARM):
            try:
                resolver = self._resolver(assembly, alarm.stack)
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

    def _allow_emulator_actions(self, assembly: Path, stack: str) -> list[AddedPermission]:
        """Add the emulator's own actions to each role that may do the like on AWS."""
        iam = self._emulator.client("iam")
        resolver = self._resolver(assembly, stack)
        template = json.loads(templates(assembly)[stack].read_text("utf-8"))
        added: list[AddedPermission] = []
        for resource in template["Resources"].values():
            if resource["Type"] != POLICY:
                continue
            statements = emulator_statements(resource["Properties"])
            if not statements:
                continue
            document = {"Version": "2012-10-17", "Statement": resolver.resolve(statements)}
            for role in resolver.resolve(resource["Properties"].get("Roles", [])):
                iam.put_role_policy(
                    RoleName=role, PolicyName=ADDED_POLICY, PolicyDocument=json.dumps(document)
                )
                added += [AddedPermission(role, each["Action"]) for each in statements]
        return added

    def _empty(self, bucket: str) -> None:
        """Delete all that is in a bucket, old versions included."""
        s3 = self._emulator.client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for each in page.get("Versions", []) + page.get("DeleteMarkers", []):
                s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])

    def _resolver(self, assembly: Path, stack: str) -> Resolver:
        template = json.loads(templates(assembly)[stack].read_text("utf-8"))
        cloudformation = self._emulator.client("cloudformation")
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        physical = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
        }
        types = {key: value["Type"] for key, value in template["Resources"].items()}
        return Resolver(stack, types, physical)


@dataclass(frozen=True)
class Resolver:
    """Computes the intrinsic functions that alarms use, from what a stack has deployed."""

    stack: str
    types: Mapping[str, str]
    physical_ids: Mapping[str, str]

    def resolve(self, value: Any) -> Any:
        """The value with its intrinsic functions computed; `UnresolvedError` for an unknown one."""
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
                raise UnresolvedError(f"{name} is not known here: {json.dumps(value)}")
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
        raise UnresolvedError(f"attribute {attribute} of {name} ({key[0]}) is not known here")


def remove_unsupported(assembly: Path) -> tuple[Path, list[UnsupportedResource]]:
    """Copy an assembly without what the emulator refuses; returns the copy and what is missing."""
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
    """The template file of each stack in an assembly, by the name under which it is deployed."""
    manifest = json.loads((assembly / "manifest.json").read_text("utf-8"))
    return {
        artifact["properties"].get("stackName", name): assembly
        / artifact["properties"]["templateFile"]
        for name, artifact in sorted(manifest["artifacts"].items())
        if artifact["type"] == "aws:cloudformation:stack"
    }


def split_template(stack: str, template: Template) -> tuple[Template, list[UnsupportedResource]]:
    """Split a template into what the emulator accepts and what it refuses."""
    missing: list[UnsupportedResource] = []
    for logical_id, resource in template["Resources"].items():
        reason = _unsupported_reason(resource)
        if reason is None:
            continue
        properties = resource["Properties"]
        path = resource.get("Metadata", {}).get("aws:cdk:path", logical_id)
        name = path if resource["Type"] == AUTO_DELETE else properties.get("AlarmName")
        if not isinstance(name, str):
            # Nothing can stand for an alarm whose name only CloudFormation would make up.
            raise UnresolvedError(f"{logical_id} needs a literal AlarmName to be left out")
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
    """What the emulator asks for besides what a policy of the template allows."""
    added = []
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            if statement["Effect"] == "Allow" and action in EMULATOR_ACTIONS:
                asked = EMULATOR_ACTIONS[action]
                resource = "*" if asked in _ANY_RESOURCE else statement["Resource"]
                added.append({"Effect": "Allow", "Action": asked, "Resource": resource})
    return added


def alarm_request(alarm: UnsupportedResource, resolver: Resolver) -> dict[str, Any]:
    """The API request that makes the alarm which a template describes."""
    # CloudFormation's property names are the API's parameter names.
    return {key: resolver.resolve(value) for key, value in alarm.properties.items()}


def alarm_arn(name: str) -> str:
    """The ARN of an alarm in the emulator's account."""
    return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"


def _unsupported_reason(resource: Mapping[str, Any]) -> str | None:
    if resource["Type"] == COMPOSITE_ALARM:
        return "the emulator's CloudFormation does not know composite alarms"
    if resource["Type"] == ALARM and resource["Properties"].get("Metrics"):
        return "the emulator's CloudFormation does not know alarms on metric math"
    if resource["Type"] == AUTO_DELETE:
        return "the emulator's Node.js lacks the S3 client that its function needs"
    return None


def _resolve_references(value: Any, names: Mapping[str, str]) -> Any:
    """The value with each reference to a left-out alarm replaced by its name or ARN."""
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


def _jsii_cache() -> Path:
    """Where jsii keeps its unpacked packages for this user."""
    configured = os.environ.get("JSII_RUNTIME_PACKAGE_CACHE_ROOT")
    if configured:
        return Path(configured)
    mac = sys.platform == "darwin"
    cache = "Library/Caches/com.amazonaws.jsii" if mac else ".cache/aws/jsii"
    return Path.home() / cache / "package-cache"
