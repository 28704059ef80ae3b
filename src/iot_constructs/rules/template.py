"""CloudFormation templates as they lie in a cloud assembly: resources, nested stacks, and what the manifest says."""

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
class StackFacts:
    """What the assembly's manifest says about one stack, and the template does not (FACTS 15)."""

    name: str
    termination_protection: bool | None
    """None: not a word. Newer CDK versions write False where nothing was said."""
    tags: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    """None: the stack is not bound to one."""
    region: str | None = None

    @property
    def suffixed(self) -> bool:
        """Whether this is a SuffixedStack, which always states its protection and carries a suffix."""
        return self.tags.get("ManagedBy") == MANAGED_BY and "Environment" in self.tags


@dataclass(eq=False)
class Resource:
    """One entry of a template's Resources."""

    template: Template
    logical_id: str
    type: str
    body: Json

    @property
    def properties(self) -> Json:
        """Its Properties; empty where there are none."""
        found = self.body.get("Properties")
        return found if isinstance(found, Mapping) else {}


@dataclass(eq=False)
class Template:
    """One template file.

    Attributes:
        path: where it lies.
        body: the parsed JSON.
        stack: what the manifest beside it says; None without a manifest, and for nested stacks.
        parent: the AWS::CloudFormation::Stack that makes this a nested stack.
        suffix: the environment of this very stack, where it is known to have its own.
        resources: by logical id.
        nested: the templates of its nested stacks, by the logical id of the AWS::CloudFormation::Stack.
    """

    path: Path
    body: Json
    stack: StackFacts | None = None
    parent: Resource | None = None
    suffix: str | None = None
    resources: dict[str, Resource] = field(init=False)
    nested: dict[str, Template] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = self.body.get("Resources")
        # Not a mapping: Fn::ForEach of the language extensions, whose resources do not exist yet.
        self.resources = {
            logical_id: Resource(self, logical_id, str(body.get("Type", "")), body)
            for logical_id, body in (found.items() if isinstance(found, Mapping) else ())
            if isinstance(body, Mapping)
        }

    @classmethod
    def load(cls, path: Path) -> Template:
        """The template at ``path`` with its nested stacks, and what a manifest.json beside it says.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no CloudFormation template in JSON.
        """
        return _load(path, _facts_beside(path.parent))

    @property
    def root(self) -> Template:
        """The stack that this template is deployed with: itself, or the one above all its parents."""
        template = self
        while template.parent is not None:
            template = template.parent.template
        return template

    def walk(self) -> Iterator[Template]:
        """This template and all nested ones."""
        yield self
        for nested in self.nested.values():
            yield from nested.walk()


def load_templates(paths: Iterable[Path]) -> list[Template]:
    """The templates at ``paths``, each with its nested stacks; a nested one named by itself as well is not repeated.

    Raises:
        OSError: one cannot be read.
        ValueError: one is no CloudFormation template in JSON.
    """
    facts: dict[Path, Mapping[str, StackFacts]] = {}
    loaded = []
    for path in paths:
        folder = path.parent
        if folder not in facts:
            facts[folder] = _facts_beside(folder)
        loaded.append(_load(path, facts[folder]))
    inside = {
        nested.path.resolve()
        for template in loaded
        for nested in template.walk()
        if nested.parent is not None
    }
    return [template for template in loaded if template.path.resolve() not in inside]


def load_assembly(folder: Path) -> list[Template]:
    """Every stack of the cloud assembly in ``folder``, those of its stages included.

    Raises:
        OSError: the manifest or a template cannot be read.
        ValueError: one of them is not what it should be.
    """
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder}: has no {MANIFEST}: not a cloud assembly")
    facts = _facts_beside(folder)
    templates = [_load(folder / file, facts) for file in facts]
    for artifact in _artifacts(folder).values():
        if artifact.get("type") == "cdk:cloud-assembly":
            templates += load_assembly(folder / artifact["properties"]["directoryName"])
    return templates


def _load(path: Path, facts: Mapping[str, StackFacts], parent: Resource | None = None) -> Template:
    body = _read_json(path)
    if not isinstance(body.get("Resources", {}), Mapping):
        raise ValueError(f"{path}: its Resources are not an object: not a CloudFormation template")
    stack = facts.get(path.name) if parent is None else None
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
    # Without the CLI's asset metadata the URL is all there is: its last part is the asset's object key.
    found = re.search(r"([0-9a-f]{64})\.json", json.dumps(url))
    return assets.get(found.group(1)) if found else None


def _asset_files(template: Template) -> dict[str, str]:
    """Asset hash -> file, from the stack's asset manifest."""
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


def _facts_beside(folder: Path) -> dict[str, StackFacts]:
    """What the manifest in ``folder`` says, by template file; nothing without a manifest."""
    facts = {}
    for artifact_id, artifact in _artifacts(folder).items():
        if artifact.get("type") != "aws:cloudformation:stack":
            continue
        properties = artifact.get("properties", {})
        account, region = _environment(artifact.get("environment", ""))
        facts[properties.get("templateFile", "")] = StackFacts(
            name=properties.get("stackName", artifact_id),
            termination_protection=properties.get("terminationProtection"),
            tags=properties.get("tags", {}),
            account=account,
            region=region,
        )
    return facts


def _artifacts(folder: Path) -> Json:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        artifacts = _read_json(manifest).get("artifacts")
    except ValueError:  # web applications have a file of this name too
        return {}
    if not isinstance(artifacts, Mapping):
        return {}
    return {key: entry for key, entry in artifacts.items() if isinstance(entry, Mapping)}


def _environment(text: str) -> tuple[str | None, str | None]:
    """Account and region of ``aws://account/region``; None for what is not known."""
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
