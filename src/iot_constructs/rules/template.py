"""CloudFormation templates with their nested stacks, and the data of the manifest of a cloud assembly."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from iot_constructs._defaults import MANAGED_BY
from iot_constructs.rules.not_judged import NESTED_STACK, NotJudged
from iot_constructs.rules.reader import STDIN, Document, Location, PathInFile, mapping, read
from iot_constructs.rules.transforms import Expanded

MANIFEST = "manifest.json"

_STACK: Final = "aws:cloudformation:stack"
_STAGE: Final = "cdk:cloud-assembly"
_SUFFIXES: Final = (".json", ".yaml", ".yml", ".template")
_SKIPPED_FOLDERS: Final = ("node_modules", "__pycache__", "venv")
_MOST_NESTED: Final = 500

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
        body: the template; includes, loops, mappings and the SAM transform in it are expanded.
        stack: the data of the manifest; None without a manifest, and for nested stacks.
        parent: the AWS::CloudFormation::Stack resource of a nested stack.
        suffix: the environment suffix of this stack, if known.
        document: the file as it was read; None if the body comes from elsewhere.
        resources: by logical id.
        nested: the templates of its nested stacks, by the logical id of the AWS::CloudFormation::Stack.
        not_judged: what could not be looked at.
    """

    path: Path
    body: Json
    stack: StackInfo | None = None
    parent: Resource | None = None
    suffix: str | None = None
    document: Document | None = None
    resources: dict[str, Resource] = field(init=False)
    nested: dict[str, Template] = field(init=False, default_factory=dict)
    not_judged: list[NotJudged] = field(init=False)

    def __post_init__(self) -> None:
        self._expanded = Expanded(self.body, self.path.parent)
        self.body = self._expanded.body
        self.not_judged = self._expanded.not_judged
        found = self.body.get("Resources")
        # Not a mapping with a type: a loop that is known at deployment only.
        self.resources = {
            logical_id: Resource(self, logical_id, body["Type"], body)
            for logical_id, body in (found.items() if isinstance(found, Mapping) else ())
            if isinstance(body, Mapping) and isinstance(body.get("Type"), str)
        }

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

    def author(self, logical_id: str) -> str:
        """Return the logical id of the resource in the file that ``logical_id`` is generated from, by SAM."""
        return self._expanded.author(logical_id)

    def event_type(self, logical_id: str) -> str | None:
        """Return the type of the SAM event that ``logical_id`` is generated from; None if it is not."""
        return self._expanded.event_type(logical_id)

    def path_in_file(self, logical_id: str | None, property_path: str = "") -> PathInFile:
        """Return where the author wrote a property of a finding, from the root of the file.

        The path can go further than the file: the author did not set the property.

        Args:
            logical_id: the resource; None if ``property_path`` begins at the root of the template.
            property_path: like ``Properties/DestinationConfig``.
        """
        steps = tuple(property_path.split("/")) if property_path else ()
        return steps if logical_id is None else self._expanded.path(logical_id, steps)

    def location(self, logical_id: str | None, property_path: str = "") -> Location | None:
        """Return line and column of a property, or of its nearest parent that exists; None without a file."""
        if self.document is None:
            return None
        return self.document.location(self.path_in_file(logical_id, property_path))


def load(paths: Iterable[Path], *, skip_others: bool = False) -> list[Template]:
    """Load templates, folders of templates and cloud assemblies (cdk.out), each file once.

    A folder contributes the CloudFormation templates in it and below. A template in a folder or assembly that cannot be
    read is a template without resources, with the reason in its ``not_judged``.

    Args:
        paths: files, folders, and ``-`` for standard input.
        skip_others: leave out files that are not CloudFormation templates.

    Raises:
        OSError: a path does not exist or cannot be read.
        ValueError: a file is not a CloudFormation template, or a folder has none.
    """
    loader = _Loader()
    for path in paths:
        if path != STDIN and path.is_dir():
            loader.add_folder(path)
        elif not (skip_others and path.is_file()) or loader.is_template(path):
            loader.add_file(path)
    return loader.roots()


def load_templates(paths: Iterable[Path]) -> list[Template]:
    """Load the templates of a CDK app with their nested stacks; a nested template in ``paths`` is not repeated.

    Raises:
        OSError: one cannot be read.
        ValueError: one is not a CloudFormation template.
    """
    loader = _Loader()
    for path in paths:
        loader.add_file(path, in_assembly=True)
    return loader.roots()


def load_assembly(folder: Path) -> list[Template]:
    """Load all stacks of the cloud assembly in ``folder``, including its stages; like `load`.

    Raises:
        ValueError: it is not a cloud assembly.
    """
    if not _is_assembly(folder):
        raise ValueError(f"{folder}: not a cloud assembly: no {MANIFEST} with stacks")
    loader = _Loader()
    loader.add_folder(folder)
    return loader.roots()


class _Loader:
    """Loads templates, each file once, and their nested stacks."""

    def __init__(self) -> None:
        self._templates: dict[Path, Template] = {}  # by resolved path
        self._manifests: dict[Path, Mapping[str, StackInfo]] = {}
        self._documents: dict[Path, Document] = {}
        self._nested = 0

    def roots(self) -> list[Template]:
        """Return the templates that are not nested in another one."""
        inside = {
            _resolved(nested.path)
            for template in self._templates.values()
            for nested in template.walk()
            if nested.parent is not None
        }
        roots = [template for path, template in self._templates.items() if path not in inside]
        # Templates that contain each other are in one another: the first one is read as their root.
        read = {_resolved(each.path) for root in roots for each in root.walk()}
        for path, template in self._templates.items():
            if path not in read:
                roots.append(template)
                read |= {_resolved(each.path) for each in template.walk()}
        return roots

    def add_file(self, path: Path, *, in_assembly: bool = False) -> None:
        """Add a template; one of an assembly can have no resources."""
        if _resolved(path) in self._templates:
            return
        document = self._read(path)
        if path.parent not in self._manifests:
            self._manifests[path.parent] = _read_manifest(path.parent)
        stack = self._manifests[path.parent].get(path.name)
        in_assembly = in_assembly or stack is not None
        if not isinstance(document.body, Mapping) or not isinstance(
            document.body.get("Resources", {}), Mapping
        ):
            raise ValueError(f"{path}: not a CloudFormation template: Resources is not a mapping")
        if "Resources" not in document.body and not in_assembly:
            raise ValueError(f"{path}: not a CloudFormation template: no Resources")
        suffix = stack.tags["Environment"] if stack is not None and stack.suffixed else None
        template = Template(path, document.body, stack=stack, suffix=suffix, document=document)
        if not template.resources and not template.not_judged and not in_assembly:
            template.not_judged.append(NotJudged("the template has no resources"))
        self._templates[_resolved(path)] = template
        self._load_nested(template)

    def add_folder(self, folder: Path) -> None:
        """Add the stacks of an assembly, or the templates in and below any other folder."""
        if _is_assembly(folder):
            self._add_assembly(folder, set())
        else:
            self._add_tree(folder)
        if not any(
            path.is_relative_to(_resolved(folder)) or template.path.is_relative_to(folder)  # a link
            for path, template in self._templates.items()
        ):
            raise ValueError(f"{folder}: no CloudFormation template in this folder")

    def _add_assembly(self, folder: Path, above: set[Path]) -> None:
        if _resolved(folder) in above:
            return
        for file in _read_manifest(folder):
            self._try_file(folder / file, in_assembly=True)
        for artifact in _artifacts(folder).values():
            if artifact.get("type") == _STAGE:
                stage = folder / str(mapping(artifact.get("properties")).get("directoryName"))
                self._add_assembly(stage, {*above, _resolved(folder)})

    def _add_tree(self, folder: Path) -> None:
        for parent, folders, files in os.walk(folder, onerror=self._skip_folder):
            here = Path(parent)
            if here != folder and _is_assembly(here):
                self._add_assembly(here, set())
                folders.clear()
                continue
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and name not in _SKIPPED_FOLDERS
            )
            for file in sorted(files):
                path = here / file
                if path.suffix.lower() in _SUFFIXES and self.is_template(path):
                    self._try_file(path)

    def _try_file(self, path: Path, *, in_assembly: bool = False) -> None:
        """Add a template that the user did not name; one that cannot be read must not hide the others."""
        try:
            self.add_file(path, in_assembly=in_assembly)
        except (OSError, ValueError) as error:
            self._skip(path, error)

    def _skip_folder(self, error: OSError) -> None:
        self._skip(Path(error.filename), error)

    def _skip(self, path: Path, error: Exception) -> None:
        template = Template(path, {})
        template.not_judged.append(NotJudged(_reason(error, path)))
        self._templates[_resolved(path)] = template

    def is_template(self, path: Path) -> bool:
        """Return whether a file in a folder is a template, or is meant to be one."""
        try:
            if not path.is_file():  # a broken link, a pipe
                return False
            content = path.read_bytes()
        except OSError:
            return True  # nobody knows
        # Most other files are not worth parsing.
        words = (b"AWSTemplateFormatVersion", b"Resources", b"R\0e\0s\0o\0u\0r\0c\0e\0s")
        if not any(word in content for word in words):
            return False
        try:
            body = self._read(path).body
        except ValueError:
            return b"AWSTemplateFormatVersion" in content or b"AWS::" in content
        if not isinstance(body, Mapping):
            return False
        if "AWSTemplateFormatVersion" in body or "Transform" in body:
            return True
        return any(
            "Type" in mapping(each) or str(key).startswith("Fn::")
            for key, each in mapping(body.get("Resources")).items()
        )

    def _read(self, path: Path) -> Document:
        if path not in self._documents:
            self._documents[path] = read(path)
        return self._documents[path]

    # -- nested stacks ---------------------------------------------------------------------------------------------

    def _load_nested(self, template: Template) -> None:
        stacks = [it for it in template.resources.values() if it.type == NESTED_STACK]
        assets = _asset_files(template) if stacks else {}
        for stack in stacks:
            problem = self._load_stack(template, stack, _nested_file(stack, assets))
            if problem is not None:
                template.not_judged.append(
                    NotJudged(problem, stack.logical_id, "Properties/TemplateURL")
                )
        for resource in template.resources.values():
            if resource.type == "AWS::CloudFormation::StackSet":
                detail = "the template of a stack set is not read"
                template.not_judged.append(NotJudged(detail, resource.logical_id, "Properties"))

    def _load_stack(self, template: Template, stack: Resource, file: str | None) -> str | None:
        """Load the template of a nested stack; return why if that is not possible."""
        if file is None:
            url = stack.properties.get("TemplateURL")
            shown = url if isinstance(url, str) else "its URL is known at deployment only"
            return f"the nested stack is not a local file: {shown}"
        path = template.path.parent / file
        if _resolved(path) in _paths_above(template):
            return f"the nested stack contains itself: {file}"
        self._nested += 1
        if self._nested > _MOST_NESTED:
            return f"there are more than {_MOST_NESTED} nested stacks"
        try:
            document = self._read(path)
        except (OSError, ValueError) as error:
            return f"the nested template cannot be read: {_reason(error, path)}"
        if not isinstance(document.body, Mapping) or not isinstance(
            document.body.get("Resources"), Mapping
        ):
            return f"the nested template has no Resources: {file}"
        nested = Template(path, document.body, parent=stack, document=document)
        template.nested[stack.logical_id] = nested
        self._load_nested(nested)
        return None


def _resolved(path: Path) -> Path:
    """Return ``path`` without links; a loop of links, or a name that no file can have, as far as it goes."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:
        return path


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, OSError):
        return f"{path.name}: {error.strerror}"
    return str(error).replace(str(path), path.name)


def _paths_above(template: Template) -> set[Path]:
    above = {_resolved(template.path)}
    while template.parent is not None:
        template = template.parent.template
        above.add(_resolved(template.path))
    return above


def _nested_file(stack: Resource, assets: Mapping[str, str]) -> str | None:
    metadata = stack.body.get("Metadata")
    named = metadata.get("aws:asset:path") if isinstance(metadata, Mapping) else None
    if isinstance(named, str):
        return named
    url = stack.properties.get("TemplateURL")
    if isinstance(url, str) and "://" not in url and "{{" not in url:
        return url  # before `aws cloudformation package`
    # Without asset metadata, the last part of the URL is the object key of the asset.
    found = re.search(r"([0-9a-f]{64})\.json", text_of(url))
    return assets.get(found.group(1)) if found else None


def text_of(value: Any) -> str:
    """Return a value as JSON, to search or compare it; empty if it is nested too deeply."""
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except RecursionError:
        return ""


def _asset_files(template: Template) -> dict[str, str]:
    """Return asset hash -> file from the stack's asset manifest."""
    root = template.root.path
    manifest = root.with_name(root.name.removesuffix(".template.json") + ".assets.json")
    if not manifest.is_file():
        return {}
    found = {}
    for key, entry in mapping(_read_json(manifest).get("files")).items():
        file = mapping(mapping(entry).get("source")).get("path")
        if isinstance(file, str):
            found[key] = file
    return found


def _is_assembly(folder: Path) -> bool:
    """Return whether ``folder`` has the manifest of a CDK app with stacks; web applications have a manifest as well."""
    types = [artifact.get("type") for artifact in _artifacts(folder).values()]
    return _STACK in types or _STAGE in types


def _read_manifest(folder: Path) -> dict[str, StackInfo]:
    """Return the data of the manifest in ``folder`` by template file; empty without a manifest."""
    stacks_info = {}
    for artifact_id, artifact in _artifacts(folder).items():
        properties = mapping(artifact.get("properties"))
        file = properties.get("templateFile")
        if artifact.get("type") != _STACK or not isinstance(file, str):
            continue
        account, region = _environment(str(artifact.get("environment", "")))
        stacks_info[file] = StackInfo(
            name=properties.get("stackName", artifact_id),
            termination_protection=properties.get("terminationProtection"),
            tags=mapping(properties.get("tags")),
            account=account,
            region=region,
        )
    return stacks_info


def _artifacts(folder: Path) -> Json:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    artifacts = mapping(_read_json(manifest).get("artifacts"))
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
    """Return the content of a manifest; empty if it is not JSON, so that the templates beside it are still read."""
    try:
        return mapping(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        return {}
