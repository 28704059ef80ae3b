"""CloudFormation templates of a cloud assembly, with their nested stacks and the data of the manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iot_constructs._defaults import MANAGED_BY

MANIFEST = "manifest.json"

Json = Mapping[str, Any]


@dataclass(frozen=True)
class StackInfo:
    """The data of a stack that is in the manifest, but not in the template."""

    name: str
    termination_protection: bool | None
    """None if not set. Newer CDK versions write False as the default."""
    tags: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    """None if the stack is environment-agnostic."""
    region: str | None = None

    @property
    def suffixed(self) -> bool:
        """Whether this is a SuffixedStack, which always sets its protection and has a suffix."""
        return self.tags.get("ManagedBy") == MANAGED_BY and "Environment" in self.tags


@dataclass(eq=False)
class Resource:
    """A resource of a template."""

    template: Template
    logical_id: str
    type: str
    body: Json

    @property
    def properties(self) -> Json:
        """The properties; empty if not set."""
        found = self.body.get("Properties")
        return found if isinstance(found, Mapping) else {}


@dataclass(eq=False)
class Template:
    """A template file.

    Attributes:
        path: the path of the file.
        body: the parsed JSON.
        stack: the data of the manifest; None without a manifest, and for nested stacks.
        parent: the AWS::CloudFormation::Stack resource of a nested stack.
        suffix: the environment suffix of this stack, if known.
        resources: by logical id.
        nested: the templates of its nested stacks, by the logical id of the AWS::CloudFormation::Stack.
    """

    path: Path
    body: Json
    stack: StackInfo | None = None
    parent: Resource | None = None
    suffix: str | None = None
    resources: dict[str, Resource] = field(init=False)
    nested: dict[str, Template] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = self.body.get("Resources")
        # Not a mapping: Fn::ForEach, which CloudFormation expands at deployment.
        self.resources = {
            logical_id: Resource(self, logical_id, str(body.get("Type", "")), body)
            for logical_id, body in (found.items() if isinstance(found, Mapping) else ())
            if isinstance(body, Mapping)
        }

    @classmethod
    def load(cls, path: Path) -> Template:
        """Load the template at ``path`` with its nested stacks and the data of a manifest.json in its directory.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not a CloudFormation template in JSON.
        """
        return _load(path, _read_manifest(path.parent))

    @property
    def root(self) -> Template:
        """The template of the root stack: itself, or the top-level parent."""
        template = self
        while template.parent is not None:
            template = template.parent.template
        return template

    def walk(self) -> Iterator[Template]:
        """Return this template and all nested ones."""
        yield self
        for nested in self.nested.values():
            yield from nested.walk()


def load_templates(paths: Iterable[Path]) -> list[Template]:
    """Load the templates at ``paths`` with their nested stacks; a nested template in ``paths`` is not repeated.

    Raises:
        OSError: one cannot be read.
        ValueError: one is not a CloudFormation template in JSON.
    """
    stacks_info: dict[Path, Mapping[str, StackInfo]] = {}
    loaded = []
    for path in paths:
        folder = path.parent
        if folder not in stacks_info:
            stacks_info[folder] = _read_manifest(folder)
        loaded.append(_load(path, stacks_info[folder]))
    inside = {
        nested.path.resolve()
        for template in loaded
        for nested in template.walk()
        if nested.parent is not None
    }
    return [template for template in loaded if template.path.resolve() not in inside]


def load_assembly(folder: Path) -> list[Template]:
    """Load all stacks of the cloud assembly in ``folder``, including its stages.

    Raises:
        OSError: the manifest or a template cannot be read.
        ValueError: one of them is not valid.
    """
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder}: not a cloud assembly: no {MANIFEST}")
    stacks_info = _read_manifest(folder)
    templates = [_load(folder / file, stacks_info) for file in stacks_info]
    for artifact in _artifacts(folder).values():
        if artifact.get("type") == "cdk:cloud-assembly":
            templates += load_assembly(folder / artifact["properties"]["directoryName"])
    return templates


def _load(
    path: Path, stacks_info: Mapping[str, StackInfo], parent: Resource | None = None
) -> Template:
    body = _read_json(path)
    if not isinstance(body.get("Resources", {}), Mapping):
        raise ValueError(f"{path}: not a CloudFormation template: Resources is not an object")
    stack = stacks_info.get(path.name) if parent is None else None
    suffix = stack.tags["Environment"] if stack is not None and stack.suffixed else None
    template = Template(path, body, stack=stack, parent=parent, suffix=suffix)
    _load_nested(template)
    return template


def _load_nested(template: Template) -> None:
    stacks = [it for it in template.resources.values() if it.type == "AWS::CloudFormation::Stack"]
    if not stacks:
        return
    assets = _asset_files(template)
    for stack in stacks:
        file = _nested_file(stack, assets)
        if file is None:
            continue
        path = template.path.parent / file
        if path.is_file() and path not in _paths_above(template):
            template.nested[stack.logical_id] = _load(path, {}, parent=stack)


def _paths_above(template: Template) -> set[Path]:
    above = {template.path}
    while template.parent is not None:
        template = template.parent.template
        above.add(template.path)
    return above


def _nested_file(stack: Resource, assets: Mapping[str, str]) -> str | None:
    metadata = stack.body.get("Metadata")
    named = metadata.get("aws:asset:path") if isinstance(metadata, Mapping) else None
    if isinstance(named, str):
        return named
    url = stack.properties.get("TemplateURL")
    if isinstance(url, str) and "://" not in url:
        return url  # before `aws cloudformation package`
    # Without asset metadata, the last part of the URL is the object key of the asset.
    found = re.search(r"([0-9a-f]{64})\.json", json.dumps(url))
    return assets.get(found.group(1)) if found else None


def _asset_files(template: Template) -> dict[str, str]:
    """Return asset hash -> file from the stack's asset manifest."""
    root = template.root.path
    manifest = root.with_name(root.name.removesuffix(".template.json") + ".assets.json")
    if not manifest.is_file():
        return {}
    files = _read_json(manifest).get("files", {})
    return {
        key: entry["source"]["path"]
        for key, entry in files.items()
        if isinstance(entry.get("source", {}).get("path"), str)
    }


def _read_manifest(folder: Path) -> dict[str, StackInfo]:
    """Return the data of the manifest in ``folder`` by template file; empty without a manifest."""
    stacks_info = {}
    for artifact_id, artifact in _artifacts(folder).items():
        if artifact.get("type") != "aws:cloudformation:stack":
            continue
        properties = artifact.get("properties", {})
        account, region = _environment(artifact.get("environment", ""))
        stacks_info[properties.get("templateFile", "")] = StackInfo(
            name=properties.get("stackName", artifact_id),
            termination_protection=properties.get("terminationProtection"),
            tags=properties.get("tags", {}),
            account=account,
            region=region,
        )
    return stacks_info


def _artifacts(folder: Path) -> Json:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        artifacts = _read_json(manifest).get("artifacts")
    except ValueError:  # web applications have a file of this name as well
        return {}
    if not isinstance(artifacts, Mapping):
        return {}
    return {key: entry for key, entry in artifacts.items() if isinstance(entry, Mapping)}


def _environment(text: str) -> tuple[str | None, str | None]:
    """Return account and Region of ``aws://account/region``; None if unknown."""
    found = re.fullmatch(r"aws://([^/]+)/([^/]+)", text)
    if found is None:
        return None, None
    account, region = found.groups()
    return (
        None if account == "unknown-account" else account,
        None if region == "unknown-region" else region,
    )


def _read_json(path: Path) -> Json:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: not a JSON object")
    return found
