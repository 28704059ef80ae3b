"""Helpers shared by the tests of all constructs: make a stack, synthesize it once, look things up in plain JSON."""

from __future__ import annotations

import atexit
import inspect
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
from aws_cdk import assertions

from iot_constructs import SuffixedStack

Json = dict[str, Any]

ACCOUNT = "123456789012"
REGION = "eu-central-1"
ENV = cdk.Environment(account=ACCOUNT, region=REGION)

# Cloud assemblies of a test run go here and are deleted with it.
_ASSEMBLIES = tempfile.mkdtemp(prefix="iot-constructs-tests-")
atexit.register(shutil.rmtree, _ASSEMBLIES, ignore_errors=True)

FAST_CONTEXT: Mapping[str, Any] = {"aws:cdk:disable-asset-staging": True}


def unvalidated_app(**arguments: Any) -> cdk.App:
    """An app without CDK's own template validation, which costs time and changes no template.

    aws-cdk-lib has a switch for it since 2.275. Older ones validate all the same.
    """
    switch = "builtin_cloud_formation_validation"
    if switch in inspect.signature(cdk.App.__init__).parameters:
        arguments[switch] = False
    return cdk.App(**arguments)


def fresh_app(context: Mapping[str, Any] | None = None) -> cdk.App:
    """An app of its own, so that no name in it is taken.

    Without copies of assets and without CDK's own template validation: they cost seconds and change nothing that
    tests of properties look at.
    """
    return unvalidated_app(
        outdir=tempfile.mkdtemp(dir=_ASSEMBLIES),
        analytics_reporting=False,
        context={**FAST_CONTEXT, **(context or {})},
    )


def fresh_stack(
    suffix: str | None = "dev",
    *,
    id: str = "Test",
    app: cdk.App | None = None,
    context: Mapping[str, Any] | None = None,
    env: cdk.Environment | None = None,
    ephemeral: bool | None = None,
) -> SuffixedStack:
    """A SuffixedStack, in an app of its own unless one is given."""
    return SuffixedStack(
        app if app is not None else fresh_app(context),
        id,
        environment_suffix=suffix,
        env=env,
        ephemeral=ephemeral,
    )


def template_of(stack: cdk.Stack) -> Json:
    """The template of ``stack`` as plain JSON. Synthesizes the whole app: call it once per app, at the end."""
    return cast(Json, assertions.Template.from_stack(stack).to_json())


def resources(template: Json, type: str) -> dict[str, Json]:
    """Every resource of ``type``, whole (Type, Properties, DeletionPolicy ...), by logical id."""
    found = template.get("Resources", {})
    return {key: value for key, value in found.items() if value["Type"] == type}


def one_resource(template: Json, type: str, **properties: Any) -> Json:
    """The only resource of ``type`` with these property values, whole; AssertionError if there is not exactly one."""
    wanted = properties.items()
    found = {
        key: value
        for key, value in resources(template, type).items()
        if all(value.get("Properties", {}).get(name) == expected for name, expected in wanted)
    }
    assert len(found) == 1, f"{len(found)} of {type} {properties}: {sorted(found)}"
    return next(iter(found.values()))


def one(template: Json, type: str, **properties: Any) -> Json:
    """The properties of the only resource of ``type`` (with these property values)."""
    return cast(Json, one_resource(template, type, **properties).get("Properties", {}))


def recommended_flags() -> Json:
    """The feature flags that ``cdk init`` puts into a new app's cdk.json, as the installed CDK CLI has them."""
    name = Path("node_modules/aws-cdk/lib/init-templates/.recommended-feature-flags.json")
    candidates = [Path(sys.prefix) / "cdk" / name]
    cli = shutil.which("cdk")
    if cli is not None:  # .../node_modules/aws-cdk/bin/cdk behind a link
        candidates += [parent / name for parent in Path(cli).resolve().parents]
    for candidate in candidates:
        if candidate.is_file():
            return cast(Json, json.loads(candidate.read_text(encoding="utf-8")))
    raise FileNotFoundError(f"no CDK CLI: looked for {candidates[0]} and beside {cli}")
