"""Every permission in a template as a row a person can read: identity, resource and trust policies alike.

Nothing is skipped: a policy in a place that is not known here is an error, not a gap in the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

from tests.synth_support import Json

EVERYONE = "everyone"
ACCOUNT = "account"
ITSELF = "(itself)"

# Where a policy stands in a resource: its kind, and the property that says whose it is.
_POLICIES: dict[tuple[str, str], tuple[str, str | None]] = {
    ("AWS::IAM::Policy", "PolicyDocument"): ("identity", "Roles"),
    ("AWS::IAM::Role", "Policies"): ("identity", None),
    ("AWS::IAM::Role", "AssumeRolePolicyDocument"): ("trust", None),
    ("AWS::IoT::Policy", "PolicyDocument"): ("identity", None),
    ("AWS::KMS::Key", "KeyPolicy"): ("key", None),
    ("AWS::S3::BucketPolicy", "PolicyDocument"): ("resource", None),
    ("AWS::SNS::TopicPolicy", "PolicyDocument"): ("resource", None),
    ("AWS::SQS::QueuePolicy", "PolicyDocument"): ("resource", None),
}
_PSEUDO = {
    "AWS::AccountId": "{account}",
    "AWS::Partition": "{partition}",
    "AWS::Region": "{region}",
    "AWS::StackName": "{stack}",
    "AWS::URLSuffix": "{url-suffix}",
}
_BASIC_EXECUTION = "arn:{partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
# What an AWS managed policy allows, on every resource (aws-managed-policy/latest/reference/).
_MANAGED_POLICIES = {
    _BASIC_EXECUTION: ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
}
_NOT_READ = (
    "AWS::IAM::Group",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::User",
    "AWS::IAM::UserToGroupAddition",
    "AWS::Lambda::LayerVersionPermission",
    "AWS::Lambda::Permission",
)


@dataclass(frozen=True, order=True)
class Permission:
    """One principal, one action, one resource."""

    principal: str
    effect: str
    action: str
    resource: str
    condition: str
    kind: str
    """identity, resource, key or trust."""

    def __str__(self) -> str:
        return " | ".join(field or "-" for field in astuple(self)[:5])


def permissions_of(template: Json, suffix: str) -> set[Permission]:
    """Every permission, with construct paths for logical ids and ``{suffix}`` for the environment's.

    The template needs path metadata (context ``aws:cdk:enable-path-metadata``).
    """
    reader = _Reader(template, suffix)
    return {row for name, body in template["Resources"].items() for row in reader.rows(name, body)}


class _Reader:
    def __init__(self, template: Json, suffix: str) -> None:
        self._resources: Json = template["Resources"]
        # as a word: "-dev" is in "-device" too
        self._suffix = re.compile(rf"(?<=[-_]){re.escape(suffix)}(?![a-z0-9])")

    def rows(self, name: str, body: Json) -> Iterator[Permission]:
        type, properties = body["Type"], body.get("Properties", {})
        if type in _NOT_READ:
            raise NotImplementedError(
                f"{type} {name} permits something: teach this list to read it"
            )
        for key, value in properties.items():
            place = _POLICIES.get((type, key))
            if place is None:
                if key == "ManagedPolicyArns":
                    yield from self._of_managed_policies(name, value)
                elif key == "PermissionsBoundary" or _has_statement(value):
                    raise NotImplementedError(
                        f"{name} ({type}) permits something in {key}: teach this list to read it"
                    )
                continue
            kind, whose = place
            owners = properties[whose] if whose is not None else [{"Ref": name}]
            for statement in _statements(value):
                for owner in owners:
                    yield from self._of_statement(kind, self._text(owner), statement)

    def _of_managed_policies(self, name: str, arns: list[Any]) -> Iterator[Permission]:
        for arn in map(self._text, arns):
            if arn not in _MANAGED_POLICIES:
                raise NotImplementedError(f"{name} permits something in {arn}")
            for action in _MANAGED_POLICIES[arn]:
                yield Permission(self._path(name), "Allow", action, "*", "", "identity")

    def _of_statement(self, kind: str, owner: str, statement: Json) -> Iterator[Permission]:
        strange = set(statement) - {"Action", "Condition", "Effect", "Principal", "Resource", "Sid"}
        if strange:
            raise NotImplementedError(f"{owner}: {sorted(strange)} in a statement")
        condition = self._condition(statement.get("Condition", {}))
        resources = [self._text(each) for each in _as_list(statement.get("Resource", []))]
        if kind == "trust":
            resources = [owner]
        if kind == "key":  # the only thing that "*" means in a key policy
            resources = [f"{owner} {ITSELF}" if each == "*" else each for each in resources]
        principals = [owner] if kind == "identity" else self._principals(statement["Principal"])
        for principal in principals:
            for action in _as_list(statement["Action"]):
                for resource in resources:
                    yield Permission(
                        principal, statement["Effect"], action, resource, condition, kind
                    )

    def _principals(self, principal: Any) -> list[str]:
        if principal == "*":
            return [EVERYONE]
        found = []
        for type, names in principal.items():
            for name in _as_list(names):
                text = self._text(name)
                if type == "Service":
                    found.append(text)
                elif text == "*":
                    found.append(EVERYONE)
                elif text == "arn:{partition}:iam::{account}:root":
                    found.append(ACCOUNT)
                elif type == "AWS":
                    found.append(text)
                else:
                    raise NotImplementedError(f"principal of type {type}")
        return found

    def _condition(self, condition: Json) -> str:
        return " and ".join(
            f"{operator} {key}={','.join(self._text(each) for each in _as_list(value))}"
            for operator, keys in sorted(condition.items())
            for key, value in sorted(keys.items())
        )

    def _text(self, value: Any) -> str:
        if not isinstance(value, dict):
            return self._suffix.sub("{suffix}", str(value))
        ((function, argument),) = value.items()
        if function == "Ref":
            return _PSEUDO[argument] if argument in _PSEUDO else self._path(argument)
        if function == "Fn::GetAtt" and argument[1] == "Arn":
            return self._path(argument[0])
        if function == "Fn::Join":
            return self._suffix.sub(
                "{suffix}", str(argument[0]).join(self._text(part) for part in argument[1])
            )
        raise NotImplementedError(f"{function} in a policy")

    def _path(self, logical_id: str) -> str:
        """``Processor/Role`` for the resource ``Stack/Processor/Role/Resource``."""
        path = str(self._resources[logical_id]["Metadata"]["aws:cdk:path"])
        return path.split("/", 1)[1].removesuffix("/Resource")


def _statements(value: Any) -> Iterator[Json]:
    """Of one policy document, or of a list of named ones."""
    if isinstance(value, list):
        for each in value:
            yield from _as_list(each["PolicyDocument"]["Statement"])
    else:
        yield from _as_list(value["Statement"])


def _has_statement(value: Any) -> bool:
    if isinstance(value, list):
        return any(_has_statement(each) for each in value)
    if isinstance(value, dict):
        return "Statement" in value or any(_has_statement(each) for each in value.values())
    return False


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
