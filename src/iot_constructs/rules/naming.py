"""The rule for names: an account can have several environments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Final

from iot_constructs.rules.names import L2_KEYWORDS, NAME_PROPERTIES, REQUIRED_NAMES
from iot_constructs.rules.overrides import variable
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.remediations import Remediation, set_properties
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource, Template, text_of

# "live-metrics" and "production-line" name no environment: only these are clear as a first word.
_CLEAR_ENVIRONMENTS: Final = frozenset(
    {"dev", "develop", "development", "e2e", "nonprod", "preprod", "prd", "prod", "qa", "staging"}
    | {"stg", "uat"}
)
_ENVIRONMENTS: Final = _CLEAR_ENVIRONMENTS | {
    *("alpha", "beta", "gamma", "ci", "int", "integration", "live", "local", "perf", "pr"),
    *("production", "sandbox", "stable", "stage", "test", "testing", "tmp"),
}
# Of names in which words come first that CDK, CloudFormation or AWS requires.
_PREFIX: Final = re.compile(r"^(alias/|/?aws/[a-z]+/)")
# <AccountId> and <Region> from `Graph.parts`, which are equal in all environments of an account.
_PSEUDO: Final = re.compile(r"<[A-Za-z]+>")
# Some constructs generate a name as CloudFormation does: from the shortened stack name and a hash.
_HASH: Final = re.compile(r"(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8}$", re.IGNORECASE)
# The hash of CDK's Names.unique_id().
_UNIQUE_ID: Final = re.compile(r"(?=[0-9A-F]*[0-9])(?=[0-9A-F]*[A-F])[0-9A-F]{8}$")
# The hash of CDK's PhysicalName.GENERATE_IF_NEEDED, which is made of the stack's name and path.
_PHYSICAL_NAME: Final = re.compile(r"(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{20}$")
_STACK_NAME_CHARACTERS: Final = 8
# Pseudo parameter -> attribute of cdk.Aws.
_TOKENS: Final = {
    "AccountId": "ACCOUNT_ID",
    "Region": "REGION",
    "Partition": "PARTITION",
    "URLSuffix": "URL_SUFFIX",
}
# Types whose names cannot have a hyphen.
_UNDERSCORES: Final = ("AWS::IoT::TopicRule", "AWS::IoTAnalytics::", "AWS::Cassandra::Keyspace")
# What these names have to start with.
_EXAMPLES: Final = {
    "AWS::KMS::Alias": "alias/",
    "AWS::PaymentCryptography::Alias": "alias/",
    "AWS::GameLift::Location": "custom-",
}


def keyword(type: str) -> str:
    """Return the keyword of the name in the CDK construct of ``type``: the L2, if there is one."""
    return L2_KEYWORDS.get(type, _snake(NAME_PROPERTIES[type].rpartition("/")[2]))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def contains_suffix(name: str, suffix: str) -> bool:
    """Return whether ``name`` contains ``suffix`` as a word, as in ``iot_rule_dev``, ``/dev/logs`` and ``StateDev``.

    The position does not matter: a prefix separates environments as well.
    """
    return f"-{suffix.lower()}-" in f"-{'-'.join(_words(name))}-"


def names_environment(name: str) -> bool:
    """Return whether the last word of ``name`` is an environment, as in ``iot-dev`` and ``iot-pr-12``, or the first."""
    words = _words(_PREFIX.sub("", name.removesuffix(".fifo")))
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    if not words:
        return False
    first, last = (word.rstrip("0123456789") for word in (words[0], words[-1]))
    return {last, words[-1]} & _ENVIRONMENTS != set() or (
        {first, words[0]} & _CLEAR_ENVIRONMENTS != set()
    )


def _fix(type: str, name: str) -> Remediation:
    """Return the fix that adds the environment to ``name``, or lets CloudFormation generate one."""
    separator = "_" if type.startswith(_UNDERSCORES) else "-"
    base, fifo = name.removesuffix(".fifo"), ".fifo" if name.endswith(".fifo") else ""
    code = f"{base}{separator}{{EnvironmentSuffix.of(self)}}{fifo}"
    yaml = f"{base}{separator}${{AWS::StackName}}{fifo}"
    for token, in_code in _TOKENS.items():
        code = code.replace(f"<{token}>", f"{{cdk.Aws.{in_code}}}")
        yaml = yaml.replace(f"<{token}>", f"${{AWS::{token}}}")
    path = NAME_PROPERTIES[type]
    value = f"Fn::Sub: {yaml}" if type in REQUIRED_NAMES else "Ref: AWS::NoValue"
    lines = (*path.split("/"), value)
    properties = ":\n".join("  " * depth + line for depth, line in enumerate(lines))
    fix = set_properties(f'{keyword(type)}=f"{code}"', properties)
    dotted = path.replace("/", ".")
    l1 = (
        f'{variable(type)}.add_property_override("{dotted}", f"{code}")'
        if "/" in path
        else f'{_snake(path)}=f"{code}"'
    )
    return replace(fix, l1=l1)


def _stack_fix(name: str) -> Remediation:
    return Remediation(
        "# The scope of the stack: scope in its class, app outside.\n"
        f'stack_name=f"{name}-{{EnvironmentSuffix.of(scope)}}"',
        "",
    )


def _example(type: str) -> str:
    """Return a name for the fix of the table of rules."""
    return f"{_EXAMPLES.get(type, '')}telemetry"


class EnvironmentSuffixInNames(Rule):
    """Reports names that conflict between two environments."""

    id = "IOT_01_ENVIRONMENT_SUFFIX"
    info = (
        "Every physical name contains the environment suffix, and the stack's name does if "
        "CloudFormation generates the resource names; without a known suffix, the last word of "
        "every literal name is an environment, such as dev, or its first word is."
    )
    explanation = (
        "A fixed name can exist only once in an account, so a second environment fails to deploy or "
        "changes the first one."
    )
    remediations: ClassVar = {
        "": _stack_fix("Telemetry"),
        **{type: _fix(type, _example(type)) for type in NAME_PROPERTIES},
    }
    source_url = f"{DOCS}/AWSCloudFormation/latest/UserGuide/aws-properties-name.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find names that are the same in every environment."""
        for template in pipeline.graph.templates:
            suffix = pipeline.suffix_of(template)
            for resource in template.resources.values():
                if resource.type in NAME_PROPERTIES:
                    yield from self._resource(pipeline, resource, suffix)
        for stack in pipeline.graph.stacks:
            yield from self._stack(stack, pipeline.suffix_of(stack))

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix with the name that is already there."""
        if finding.logical_id is None:
            return _stack_fix(finding.value)
        return _fix(finding.resource_type, finding.value)

    def _resource(
        self, pipeline: Pipeline, resource: Resource, suffix: str | None
    ) -> Iterator[Finding]:
        found = []
        for parts in pipeline.graph.possible_names(resource):
            if parts is None or not all(isinstance(part, str) for part in parts):
                return  # generated, or a parameter can contain the suffix
            name = _unpinned("".join(str(part) for part in parts), resource.template.root)
            detail = _conflict(name, resource, suffix)
            if detail is None:
                return
            found.append((detail, name))
        detail, name = found[0]
        yield self.finding(resource, detail, f"Properties/{NAME_PROPERTIES[resource.type]}", name)

    def _stack(self, template: Template, suffix: str | None) -> Iterator[Finding]:
        if template.stack is None or suffix is None:
            return
        name = template.stack.name
        # A stack of other resources, such as the roles of a pipeline, can be shared by all environments.
        if not contains_suffix(name, suffix) and any(
            resource.type in NAME_PROPERTIES and not resource.type.startswith("AWS::IAM::")
            for each in template.walk()
            for resource in each.resources.values()
        ):
            detail = (
                f"the stack name {name!r} does not contain the environment suffix {suffix!r}, "
                "so a second environment would replace this stack"
            )
            yield Finding(self.id, template.path, None, detail, value=name)


def _conflict(name: str, resource: Resource, suffix: str | None) -> str | None:
    """Return why ``name`` cannot exist in two environments; None if it can."""
    root = resource.template.root
    if suffix is not None and contains_suffix(name, suffix):
        return None
    value = text_of(_value_of(resource))
    # With the name of the stack in it, that name is checked instead.
    if _is_generated(name, root) or "AWS::StackName" in value or _is_named_after(name, root):
        return None
    if suffix is not None:
        return f"name {name!r} does not contain the environment suffix {suffix!r}"
    if _PSEUDO.search(name) or names_environment(name):
        return None
    return (
        f"name {name!r} is the same in every environment, so it can exist only once in an account"
    )


def _value_of(resource: Resource) -> Any:
    value: Any = resource.properties
    for step in NAME_PROPERTIES[resource.type].split("/"):
        value = value.get(step)
    return value


def _unpinned(name: str, root: Template) -> str:
    """Return ``name`` with the account and the Region of the stack, which CDK resolves, as pseudo parameters."""
    pinned = () if root.stack is None else (root.stack.account, root.stack.region)
    for value, pseudo in zip(pinned, ("<AccountId>", "<Region>"), strict=False):
        name = name if value is None else _as_word(value).sub(pseudo, name)
    return name


def _is_named_after(name: str, root: Template) -> bool:
    """Return whether ``name`` contains the name of the stack, as CDK resolves it."""
    return root.stack is not None and _as_word(root.stack.name).search(name) is not None


def _as_word(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(text)}(?![A-Za-z0-9])")


def _is_generated(name: str, root: Template) -> bool:
    """Return whether ``name`` is generated from the stack name, which is then checked instead."""
    name = _PSEUDO.sub("", name.removesuffix(".fifo")).strip("-")
    if _PHYSICAL_NAME.search(name):
        return True
    if root.stack is None:
        return _UNIQUE_ID.search(name) is not None
    stack, made = (re.sub(r"[^a-z0-9]", "", it.lower()) for it in (root.stack.name, name))
    # What is too long is cut at its beginning or in the middle.
    ends = (stack[:_STACK_NAME_CHARACTERS], stack[-_STACK_NAME_CHARACTERS:])
    return _HASH.search(name) is not None and any(it in made for it in ends)


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", _PSEUDO.sub("-", name))
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


RULES: Final = (EnvironmentSuffixInNames(),)
