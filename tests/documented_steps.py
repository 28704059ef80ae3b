"""Runs the commands of a page: those of the AWS CLI as calls of clients, those of the CDK CLI as what it calls."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import botocore.session
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name

from tests.synth_support import Json

ASSET_BUCKET = "assets"
_MODELS = botocore.session.get_session()


class Cloud(Protocol):
    """An emulator, or the model."""

    def client(self, service: str) -> Any: ...


class DeploymentError(Exception):
    """A deployment or rollback that the CDK CLI reports as failed."""


def commands(page: Path, heading: str) -> list[list[str]]:
    """The code blocks below a heading, each a list of its lines."""
    section = re.split(rf"^## {re.escape(heading)}\n", page.read_text("utf-8"), flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0]
    blocks = re.findall(r"^ *```\n(.*?)^ *```$", section, flags=re.M | re.S)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


class Cdk:
    """What ``cdk deploy`` and ``cdk rollback`` call (aws-cdk 2.1148, toolkit-lib: deploy-stack.ts, deployments.ts)."""

    def __init__(self, cloud: Cloud, stack: str, template: Json, *, protected: bool) -> None:
        self._cloud = cloud
        self._stack = stack
        self._protected = protected
        self.template = template
        self._change_sets = 0

    def run(self, words: list[str]) -> None:
        _, command, *options = words
        unknown = set(options) - {"-c", "--no-rollback"}
        assert all(option.startswith("environmentSuffix=") for option in unknown), unknown
        if command == "deploy":
            self.deploy(rollback="--no-rollback" not in options)
        else:
            assert (command, len(options)) == ("rollback", 2)
            self.rollback()

    def deploy(self, *, rollback: bool = True) -> None:
        """Deploy the template, after deleting a stack whose creation failed."""
        status = self.status()
        if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
            self._call("delete_stack")
            status = self.status()
            if status != "":
                raise DeploymentError(f"failed deleting the stack: {status}")
        if status in ("CREATE_FAILED", "UPDATE_FAILED") and rollback:
            raise DeploymentError("the stack is paused: roll back first, or pass --no-rollback")
        change_set = self._create_change_set("UPDATE" if status else "CREATE")
        # Before anything is created.
        self._call("update_termination_protection", EnableTerminationProtection=self._protected)
        disabled = {} if rollback else {"DisableRollback": True}
        self._call("execute_change_set", ChangeSetName=change_set, **disabled)
        status = self.status()
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise DeploymentError(f"stack is in {status}")

    def rollback(self) -> None:
        self._call("rollback_stack", RetainExceptOnCreate=True)
        if (status := self.status()) not in ("ROLLBACK_COMPLETE", ""):
            raise DeploymentError(f"stack is in {status}")

    def status(self) -> str:
        """The status of the stack once nothing is in progress; empty if there is no stack."""
        client = self._cloud.client("cloudformation")
        while True:
            try:
                (stack,) = client.describe_stacks(StackName=self._stack)["Stacks"]
            except botocore.exceptions.ClientError:
                return ""
            status = str(stack["StackStatus"])
            if status == "DELETE_COMPLETE":
                return ""
            if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
                return status
            time.sleep(0.01)

    def _create_change_set(self, type: str) -> str:
        self._change_sets += 1
        name = f"attempt-{self._change_sets}"
        body = json.dumps(self.template)
        self._cloud.client("s3").put_object(Bucket=ASSET_BUCKET, Key="template.json", Body=body)
        self._call(
            "create_change_set",
            ChangeSetName=name,
            ChangeSetType=type,
            TemplateURL=f"https://s3.amazonaws.com/{ASSET_BUCKET}/template.json",
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        while True:
            described = self._call("describe_change_set", ChangeSetName=name)
            if described["Status"] == "FAILED":
                raise DeploymentError(described["StatusReason"])
            if described["Status"] == "CREATE_COMPLETE":
                return name
            time.sleep(0.01)

    def _call(self, operation: str, **parameters: Any) -> Any:
        client = self._cloud.client("cloudformation")
        return getattr(client, operation)(StackName=self._stack, **parameters)


class Console:
    """A shell in which commands of a page are typed. ``<table>`` and the like stand for each of ``placeholders``."""

    def __init__(self, cloud: Cloud, cdk: Cdk) -> None:
        self._cloud = cloud
        self._cdk = cdk
        self._variables: dict[str, str] = {}

    def run_block(self, lines: list[str], placeholders: Mapping[str, list[str]]) -> str:
        """Run the lines once, or once for each value of their placeholder. Returns what they print."""
        output = ""
        # A block has no placeholder, or one.
        name = next(iter(re.findall(r"<\w+>", "".join(lines))), "")
        for value in placeholders[name] if name else [""]:
            for line in lines:
                output += self.run(line.replace(name, value) if name else line)
        return output

    def run(self, line: str) -> str:
        """Run a line and return what it prints."""
        if assignment := re.fullmatch(r"(\w+)=\$\((.*)\)", line):
            self._variables[assignment[1]] = self.run(assignment[2]).strip()
            return ""
        words = [self._expand(word) for word in shlex.split(line)]
        if words[0] == "cdk":
            self._cdk.run(words)
            return ""
        assert words[0] == "aws", line
        return self._aws(words[1].replace("s3api", "s3"), words[2:])

    def _expand(self, word: str) -> str:
        if word.startswith("$("):
            return self.run(word[2:-1])
        return self._variables[word[1:]] if word.startswith("$") else word

    def _aws(self, service: str, words: list[str]) -> str:
        client = self._cloud.client(service)
        if words[0] == "wait":
            waiter = client.get_waiter(words[1].replace("-", "_"))
            parameters = _parameters(service, _DESCRIBES[service], words[2:])[0]
            waiter.wait(**parameters, WaiterConfig={"Delay": 0.05})
            return ""
        model = _MODELS.get_service_model(service)
        (name,) = [one for one in model.operation_names if xform_name(one, "-") == words[0]]
        parameters, query, output = _parameters(service, name, words[1:])
        if parameters.get("Delete") == {"Objects": None}:
            return ""  # the page says to skip it for an empty bucket
        operation = xform_name(name)
        if client.can_paginate(operation):
            response = client.get_paginator(operation).paginate(**parameters).build_full_result()
        else:
            response = getattr(client, operation)(**parameters)
        found = jmespath.search(query, response)
        if output == "json":
            return json.dumps(found)
        rows = found if isinstance(found, list) else [[found]]
        return "".join("\t".join(map(str, row)) + "\n" for row in rows)


_DESCRIBES = {"cloudformation": "DescribeStacks", "dynamodb": "DescribeTable"}


def _parameters(service: str, operation: str, options: list[str]) -> tuple[Json, str, str]:
    """The parameters of the API for the options of the AWS CLI, its ``--query`` and its ``--output``."""
    shape = _MODELS.get_service_model(service).operation_model(operation).input_shape
    members = {f"--{xform_name(name, '-')}": (name, value) for name, value in shape.members.items()}
    of_cli = {"--query": "@", "--output": "text", "--max-items": ""}
    parameters: Json = {}
    words = iter(options)
    for option in words:
        if option in of_cli:
            of_cli[option] = next(words)
            continue
        name, member = members[option.replace("--no-", "--")]
        if member.type_name == "boolean":
            parameters[name] = not option.startswith("--no-")
        elif member.type_name == "structure":
            parameters[name] = json.loads(next(words))
        else:
            parameters[name] = int(next(words)) if member.type_name == "integer" else next(words)
    return parameters, of_cli["--query"], of_cli["--output"]
