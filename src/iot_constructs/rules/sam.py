"""Expands templates of the AWS Serverless Application Model, offline, with aws-sam-translator."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

from iot_constructs.rules.not_judged import NESTED_STACK, NotJudged
from iot_constructs.rules.reader import PathInFile, extra

TRANSFORM: Final = "AWS::Serverless-2016-10-31"

_AUTHOR: Final = "iot-constructs:author"
_APPLICATION: Final = "AWS::Serverless::Application"
_SERVERLESS: Final = "AWS::Serverless::"
_ATTEMPTS: Final = 5
# Code that lies in local files until `sam package` uploads it: resource type -> properties.
_ARTIFACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::LayerVersion": ("ContentUri",),
    "AWS::Serverless::Api": ("DefinitionUri",),
    "AWS::Serverless::HttpApi": ("DefinitionUri",),
    "AWS::Serverless::StateMachine": ("DefinitionUri",),
    "AWS::Serverless::GraphQLApi": ("SchemaUri",),
}
_UPLOADED: Final = "s3://bucket/key"
_NO_API: Final[Mapping[str, Any]] = {"swagger": "2.0", "paths": {}}
_REPOSITORY: Final = "https://serverlessrepo.amazonaws.com/"
_IMAGE: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:latest"


def is_serverless(resource: Any) -> bool:
    """Return whether a resource needs the SAM transform."""
    return str(_at(resource).get("Type")).startswith(_SERVERLESS)


class Expansion:
    """The template that CloudFormation gets after the transform.

    Attributes:
        body: the template without serverless resources.
        authors: the author's resource, by the logical id of each generated resource.
        not_judged: the resources that the translator rejects.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.authors: dict[str, str] = {}
        self.not_judged: list[NotJudged] = []
        self._source = body
        self._translated: Mapping[str, Any] = {}
        self._rejected: set[str] = set()
        self.body: Mapping[str, Any] = self._expand()

    def author(self, logical_id: str) -> PathInFile:
        """Return where the author wrote the resource ``logical_id``: a serverless resource, or an event of one."""
        author = self.authors.get(logical_id, logical_id)
        path = ("Resources", author)
        if author == logical_id:
            return path
        events = _at(self._source, *path, "Properties", "Events")
        rest = logical_id.removeprefix(author)
        found = [name for name in events if rest.startswith(str(name))]
        return (*path, "Properties", "Events", max(found, key=len)) if found else path

    def event_type(self, logical_id: str) -> str | None:
        """Return the type of the event that ``logical_id`` is generated from, such as Kinesis."""
        if self.authors.get(logical_id, logical_id) == logical_id:
            return None
        found = _at(self._source, *map(str, self.author(logical_id))).get("Type")
        return found if isinstance(found, str) else None

    def _expand(self) -> Mapping[str, Any]:
        try:
            for _ in range(_ATTEMPTS):
                causes = self._translate()
                if not causes:
                    return self._translated
                if not self._reject(causes):
                    break
        except ValueError as error:  # the extra is not installed
            self._skip_all(str(error))
        except RecursionError:
            self._skip_all("it is nested too deeply for aws-sam-translator")
        except Exception as error:  # invalid templates end the translator in any way
            self._skip_all(f"aws-sam-translator fails with {type(error).__name__}: {error}")
        return {**self._source, "Resources": dict(self._plain_resources())}

    def _translate(self) -> list[str]:
        """Translate the template; return the reasons of the translator if it rejects it."""
        translator = extra("samtranslator.translator.translator").Translator
        parser = extra("samtranslator.parser.parser").Parser
        invalid = extra("samtranslator.model.exceptions").InvalidDocumentException
        # Only its Region is used, for the partition; a real one reads the user's AWS configuration.
        session = SimpleNamespace(region_name="us-east-1")
        logging.getLogger("samtranslator").setLevel(logging.CRITICAL)
        prepared = self._prepared()
        if not prepared["Resources"]:
            self._translated = prepared
            return []
        try:
            translated = translator(None, parser(), boto_session=session).translate(
                prepared,
                parameter_values={},
                passthrough_metadata=True,
                get_managed_policy_map=dict,  # the real one asks IAM for all managed policies
            )
        except invalid as error:
            return [cause.message for cause in error.causes]
        self._translated = self._read_authors(translated)
        return []

    def _reject(self, causes: list[str]) -> bool:
        """Leave the resources out that the translator names; return whether it is worth another attempt."""
        named = False
        for cause in causes:
            found = re.search(r"id \[([^\]]+)\]", cause)
            logical_id = found.group(1) if found else None
            known = logical_id in _at(self._source, "Resources")
            self.not_judged.append(
                NotJudged(f"aws-sam-translator rejects it: {cause}", logical_id if known else None)
            )
            if logical_id is not None and known:
                self._rejected.add(logical_id)
                named = True
        return named

    def _skip_all(self, reason: str) -> None:
        self.not_judged.append(
            NotJudged(f"the serverless resources are not expanded: {' '.join(reason.split())}")
        )

    def _plain_resources(self) -> Iterator[tuple[str, Any]]:
        for logical_id, resource in _at(self._source, "Resources").items():
            if not is_serverless(resource):
                yield logical_id, resource

    # -- before the translation ------------------------------------------------------------------------------------

    def _prepared(self) -> dict[str, Any]:
        """Return a copy for the translator, which changes it, as after `sam package`."""
        # cfn-lint reads dates as dates.
        body: dict[str, Any] = json.loads(json.dumps(self._source, default=str))
        resources = {}
        for logical_id, resource in _at(body, "Resources").items():
            if not isinstance(_at(resource).get("Type"), str) or logical_id in self._rejected:
                continue
            resources[logical_id] = resource
            if resource["Type"].startswith(_SERVERLESS):
                metadata = _at(resource, "Metadata")
                resource["Metadata"] = {**metadata, _AUTHOR: logical_id}
                _upload(resource)
        body["Resources"] = resources
        return body

    # -- after the translation -------------------------------------------------------------------------------------

    def _read_authors(self, body: dict[str, Any]) -> dict[str, Any]:
        written = _at(self._source, "Resources")
        for logical_id, resource in _at(body, "Resources").items():
            # All resources of one author share their metadata.
            metadata = dict(_at(resource, "Metadata"))
            author = metadata.pop(_AUTHOR, None)
            if author is None and logical_id not in written:  # an embedded connector
                prefixes = [name for name in written if logical_id.startswith(name)]
                author = max(prefixes, key=len, default=None)
            if author is not None:
                self.authors[logical_id] = author
                resource["Metadata"] = metadata
        return body


def property_path(author: PathInFile, path: PathInFile) -> PathInFile:
    """Return where the author sets a property of a generated resource.

    Args:
        author: from `Expansion.author`.
        path: the path of the property in the generated resource.
    """
    if author[-2:-1] == ("Events",):
        path = tuple(step for step in path if step != "TopicRulePayload")
    return (*author, *path)


def _upload(resource: dict[str, Any]) -> None:
    """Do what `sam package` does, and turn applications into the nested stacks that they become."""
    properties = resource.setdefault("Properties", {})
    if not isinstance(properties, dict):
        return
    if resource["Type"] == _APPLICATION:
        _to_nested_stack(resource, properties)
        return
    if resource["Type"] == "AWS::Serverless::Function":
        if properties.get("PackageType") == "Image" or "ImageUri" in properties:
            properties["ImageUri"] = _IMAGE
        else:
            properties.setdefault("CodeUri", _UPLOADED)
        if isinstance(properties.get("AutoPublishAlias"), dict):  # its name is of no interest
            properties["AutoPublishAlias"] = "alias"
    for name in _ARTIFACTS.get(resource["Type"], ()):
        if name in properties:
            properties[name] = _UPLOADED
    if "Fn::Transform" in _at(properties, "DefinitionBody"):  # a file that is not local
        properties["DefinitionBody"] = _NO_API


def _to_nested_stack(resource: dict[str, Any], properties: dict[str, Any]) -> None:
    """The translator would ask the Serverless Application Repository for an application."""
    location = properties.pop("Location", None)
    resource["Type"] = NESTED_STACK
    properties["TemplateURL"] = location if isinstance(location, str) else _REPOSITORY


def _at(value: Any, *path: str) -> dict[str, Any]:
    """Return the mapping at ``path``; empty if there is none."""
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}
