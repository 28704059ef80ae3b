"""IOT_01: physical names contain the environment suffix, so that an account can have several environments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iot_constructs.rules.graph import NAME_PROPERTIES, Parts
from iot_constructs.rules.pipeline import Pipeline
from iot_constructs.rules.rule import Finding
from iot_constructs.rules.template import Resource, Template

RULE = "IOT_01_ENVIRONMENT_SUFFIX"

# Common names of environments: without a given suffix, a name with one of these is compliant.
_ENVIRONMENT_WORDS = re.compile(
    r"-(alpha|beta|gamma|ci|demo|dev|development|e2e|int|integration|live|local|perf|pr|preprod|prd|prod|production"
    r"|qa|sandbox|stable|stage|staging|stg|test|testing|tmp|uat)[0-9]*-"
)
# <AccountId> and <Region> from `Graph.parts`, which are equal in all environments of an account.
_PSEUDO = re.compile(r"<[A-Za-z]+>")
# Some constructs generate a name as CloudFormation does: from the shortened stack name and a hash.
_HASH = re.compile(r"(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8}$", re.IGNORECASE)
_STACK_NAME_CHARACTERS = 8


def check(pipeline: Pipeline, suffix: str | None) -> Iterator[Finding]:
    """Find names that conflict between two environments."""
    graph = pipeline.graph
    for template in graph.templates:
        wanted = template.root.suffix or suffix
        for resource in template.resources.values():
            if resource.type in NAME_PROPERTIES:
                parts = graph.name_parts(resource)
                if parts is not None and (finding := _name(resource, parts, wanted)):
                    yield finding
    for stack in graph.stacks:
        yield from _stack(stack, stack.suffix or suffix)


def contains_suffix(name: str, suffix: str) -> bool:
    """Return whether ``name`` contains ``suffix`` as a word, as in ``iot_rule_dev``, ``/dev/logs`` and ``StateDev``.

    The position does not matter: a prefix separates environments as well.
    """
    return f"-{suffix.lower()}-" in _normalized(name)


def _name(resource: Resource, parts: Parts, suffix: str | None) -> Finding | None:
    if not all(isinstance(part, str) for part in parts):
        return None  # a parameter can contain the suffix
    name = "".join(str(part) for part in parts)
    if _is_derived_from_stack_name(name, resource.template.root):
        return None
    if suffix is None:
        if _PSEUDO.search(name) or _ENVIRONMENT_WORDS.search(_normalized(name)):
            return None
        detail = f"name {name!r} is the same in every environment, so it can exist only once in an account"
    elif contains_suffix(name, suffix):
        return None
    else:
        detail = f"name {name!r} does not contain the environment suffix {suffix!r}"
    return Finding(
        RULE,
        resource.template.path,
        resource.logical_id,
        detail,
        f"Properties/{NAME_PROPERTIES[resource.type]}",
    )


def _stack(template: Template, suffix: str | None) -> Iterator[Finding]:
    if template.stack is None or suffix is None or contains_suffix(template.stack.name, suffix):
        return
    # A stack of other resources, such as the roles of a pipeline, can be shared by all environments.
    if any(
        resource.type in NAME_PROPERTIES and not resource.type.startswith("AWS::IAM::")
        for each in template.walk()
        for resource in each.resources.values()
    ):
        yield Finding(
            RULE,
            template.path,
            None,
            f"the stack name {template.stack.name!r} does not contain the environment suffix {suffix!r}, "
            "so a second environment would replace this stack",
        )


def _is_derived_from_stack_name(name: str, stack: Template) -> bool:
    """Return whether ``name`` is generated from the stack name, which is then checked instead."""
    if stack.stack is None or not _HASH.search(name):
        return False
    end = re.sub(r"[^a-z0-9]", "", stack.stack.name.lower())[-_STACK_NAME_CHARACTERS:]
    return end in re.sub(r"[^a-z0-9]", "", name.lower())


def _normalized(name: str) -> str:
    """Return the words of ``name`` in lower case, with a hyphen before and after each."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", _PSEUDO.sub("-", name))
    return f"-{re.sub(r'[^a-z0-9]+', '-', apart.lower())}-"
