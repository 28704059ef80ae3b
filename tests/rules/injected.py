"""Two apps that differ in their injectors only, and the whole difference between their templates.

A test states that difference in full, so it holds both that a default is injected and that nothing else changes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import aws_cdk as cdk

from iot_constructs import SuffixedStack
from iot_constructs.rules.injectors import property_injectors
from tests.synth_support import ENV, Json, fresh_app

ABSENT = "absent"

Difference = dict[str, Any]
Build = Callable[[cdk.Stack], object]

_HASH = re.compile(r"[0-9A-F]{8}$")


class Cases:
    """What the tests of one module look at: functions that build into a stack of their own, by their names.

    A name that starts with ``ephemeral`` gets a stack that may be thrown away, one with ``replica`` in it a stack
    with account and region.
    """

    def __init__(self) -> None:
        self._builds: dict[str, Build] = {}

    def __call__(self, build: Build) -> str:
        """Registers a case, as a decorator; its name is what ``differences`` knows it by."""
        name = getattr(build, "__name__", "")
        assert name not in self._builds, name
        self._builds[name] = build
        return name

    def differences(self) -> dict[str, Difference]:
        """By case: path -> value for everything that is not the same with and without injectors."""
        without, injected = (
            self._templates(fresh_app()),
            self._templates(with_injectors(fresh_app())),
        )
        return {name: difference(without[name], injected[name]) for name in self._builds}

    def _templates(self, app: cdk.App) -> dict[str, Json]:
        stacks = {name: _new_stack(app, name) for name in self._builds}
        for name, build in self._builds.items():
            build(stacks[name])
        assembly = app.synth()
        return {
            name: assembly.get_stack_artifact(stack.artifact_id).template
            for name, stack in stacks.items()
        }


def differences_of_deprecated(module: str, cases: str) -> dict[str, Difference]:
    """``differences`` of ``cases`` in ``module``, in a process of its own in which deprecated APIs may be used.

    An author may still use them, though here they are errors; Node learns that from its environment, once.
    """
    program = (
        f"import json; from {module} import {cases} as it; print(json.dumps(it.differences()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "JSII_DEPRECATED": "quiet"},
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, Difference] = json.loads(done.stdout)
    return found


def with_injectors(app: cdk.App) -> cdk.App:
    cdk.PropertyInjectors.of(app).add(*property_injectors())
    return app


def _new_stack(app: cdk.App, name: str) -> cdk.Stack:
    id = name.replace("_", "-")
    if name.startswith("ephemeral"):
        return SuffixedStack(app, id, environment_suffix="dev")
    return cdk.Stack(app, id, env=ENV if "replica" in name else None)


def difference(before: Json, after: Json) -> Difference:
    """Path -> new value of each leaf that was added or changed; ``absent`` for what is gone."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return {path: new.get(path, ABSENT) for path in paths}


def _leaves(template: Json) -> Iterator[tuple[str, Any]]:
    for logical_id, resource in template["Resources"].items():
        yield from _flat(_HASH.sub("", logical_id), resource)
    for section in template.keys() - {"Resources"}:
        yield section, template[section]


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _flat(f"{path}/{key}", below)
    else:
        yield path.replace("/Properties/", "/"), value


def without_policy(found: Difference, resource: str) -> Difference:
    """The difference without the resource's own policy, which is looked at by itself."""
    return {
        path: value for path, value in found.items() if not path.startswith(f"{resource}Policy/")
    }


def policy_of(found: Difference, resource: str) -> list[Json]:
    """The statements of the resource's own policy, where that is new or changed."""
    statements: list[Json] = found[f"{resource}Policy/PolicyDocument/Statement"]
    return statements
