"""IOT_01: every name carries the environment, so that one account holds two of them (correction 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iot_constructs.rules.finding import Finding
from iot_constructs.rules.pipeline_parts import Pipeline
from iot_constructs.rules.references import NAME_PROPERTIES, Parts
from iot_constructs.rules.template import Resource, Template

RULE = "IOT_01_ENVIRONMENT_SUFFIX"

# What people call environments: where nobody says the suffix, a name with one of these may well have it.
_ENVIRONMENT_WORDS = re.compile(
    r"-(alpha|beta|gamma|ci|demo|dev|development|e2e|int|integration|live|local|perf|pr|preprod|prd|prod|production"
    r"|qa|sandbox|stable|stage|staging|stg|test|testing|tmp|uat)[0-9]*-"
)
# <AccountId> and <Region> of `App.parts`: the same in every environment of one account.
_PSEUDO = re.compile(r"<[A-Za-z]+>")
# Some constructs build a name as CloudFormation would: of the stack's name, cut to fit, and a hash.
_HASH = re.compile(r"(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8}$", re.IGNORECASE)
_ENOUGH_OF_A_STACK_NAME = 8


def check(pipeline: Pipeline, suffix: str | None) -> Iterator[Finding]:
    """Names that two environments would fight over."""
    app = pipeline.app
    for template in app.templates:
        wanted = template.root.suffix or suffix
        for resource in template.resources.values():
            if resource.type in NAME_PROPERTIES:
                parts = app.name_parts(resource)
                if parts is not None and (finding := _name(resource, parts, wanted)):
                    yield finding
    for stack in app.stacks:
        yield from _stack(stack, stack.suffix or suffix)


def carries(name: str, suffix: str) -> bool:
    """Whether ``suffix`` is a word, or words, of ``name``: ``iot_rule_dev``, ``/dev/logs`` and ``StateDev`` do.

    Its place is not looked at: a prefix keeps environments apart as well as a suffix does.
    """
    return f"-{suffix.lower()}-" in _words(name)


def _name(resource: Resource, parts: Parts, suffix: str | None) -> Finding | None:
    if not all(isinstance(part, str) for part in parts):
        return None  # a parameter may hold the suffix, and a generated name the stack's
    name = "".join(str(part) for part in parts)
    if _is_of_its_stack(name, resource.template.root):
        return None
    if suffix is None:
        if _PSEUDO.search(name) or _ENVIRONMENT_WORDS.search(_words(name)):
            return None
        detail = f"name {name!r} is the same in every environment, so it can exist only once in an account"
    elif carries(name, suffix):
        return None
    else:
        detail = f"name {name!r} does not carry the environment suffix {suffix!r}"
    return Finding(
        RULE,
        resource.template.path,
        resource.logical_id,
        detail,
        f"Properties/{NAME_PROPERTIES[resource.type]}",
    )


def _stack(template: Template, suffix: str | None) -> Iterator[Finding]:
    if template.stack is None or suffix is None or carries(template.stack.name, suffix):
        return
    # A stack of other things, such as roles for a pipeline, may well be there once for all environments.
    if any(
        resource.type in NAME_PROPERTIES and not resource.type.startswith("AWS::IAM::")
        for each in template.walk()
        for resource in each.resources.values()
    ):
        yield Finding(
            RULE,
            template.path,
            None,
            f"the stack name {template.stack.name!r} does not carry the environment suffix {suffix!r}, "
            "so a second environment would be the same stack",
        )


def _is_of_its_stack(name: str, stack: Template) -> bool:
    """Whether ``name`` was made from the stack's name: then that one decides for both."""
    if stack.stack is None or not _HASH.search(name):
        return False
    end = re.sub(r"[^a-z0-9]", "", stack.stack.name.lower())[-_ENOUGH_OF_A_STACK_NAME:]
    return end in re.sub(r"[^a-z0-9]", "", name.lower())


def _words(name: str) -> str:
    """The words of ``name`` in lower case, with a hyphen before and after each."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", _PSEUDO.sub("-", name))
    return f"-{re.sub(r'[^a-z0-9]+', '-', apart.lower())}-"
