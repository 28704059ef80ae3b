"""What CloudFormation does with a template before it deploys it: includes, loops, SAM, macros, mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from iot_constructs.rules import sam
from iot_constructs.rules.language_extensions import LOOP, Loops
from iot_constructs.rules.not_judged import NotJudged
from iot_constructs.rules.reader import PathInFile, mapping, read

ONE_OF: Final = "Fn::OneOf"
"""Our own function: one of several values of a mapping of the template."""

_INCLUDE: Final = "AWS::Include"
_INLINE: Final = "Fn::Transform"
# Transforms that are expanded here, or that add no resources.
_KNOWN: Final = (sam.TRANSFORM, "AWS::LanguageExtensions", _INCLUDE, "AWS::CodeDeployBlueGreen")
_DEEPEST: Final = 200


class Expanded:
    """A template after its transforms.

    Attributes:
        body: the template.
        not_judged: what could not be expanded.
    """

    def __init__(self, body: Mapping[str, Any], folder: Path) -> None:
        self.not_judged: list[NotJudged] = []
        self._folder = folder
        self._loops: Mapping[str, PathInFile] = {}
        self._sam: sam.Expansion | None = None
        self.body = self._expand(body)

    def author(self, logical_id: str) -> str:
        """Return the resource of the author that ``logical_id`` is generated from."""
        if self._sam is None:
            return logical_id
        return self._sam.authors.get(logical_id, logical_id)

    def event_type(self, logical_id: str) -> str | None:
        """Return the type of the SAM event that ``logical_id`` is generated from; None if it is not."""
        return None if self._sam is None else self._sam.event_type(logical_id)

    def path(self, logical_id: str, property_path: PathInFile) -> PathInFile:
        """Return where the author wrote a property of a resource, from the root of the file."""
        author: PathInFile = ("Resources", logical_id)
        if self._sam is not None:
            author = self._sam.author(logical_id)
        path = sam.property_path(author, property_path)
        in_loop = self._loops.get(str(path[1]))
        return path if in_loop is None else (*in_loop, *path[2:])

    def _expand(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        found = list(_find(body))
        if any(key == _INLINE for _, key, _ in found) or _INCLUDE in _names(body):
            body = self._include(body, found)
        if any(key.startswith(LOOP) for _, key, _ in found):
            loops = Loops(body)
            body, self._loops = loops.body, loops.origins
            self.not_judged += loops.not_judged
        self._skip_directives(body, found)
        names = _names(body)
        if sam.TRANSFORM in names:
            self._sam = sam.Expansion(body)
            body = self._sam.body
            self.not_judged += self._sam.not_judged
        elif any(sam.is_serverless(each) for each in mapping(body.get("Resources")).values()):
            detail = (
                f"AWS::Serverless resources are not expanded without Transform: {sam.TRANSFORM}"
            )
            self.not_judged.append(NotJudged(detail, property_path="Resources"))
        for name in names:
            if name not in _KNOWN:
                self.not_judged.append(
                    NotJudged(f"the macro {name} is not applied", property_path="Transform")
                )
        return _resolve_mappings(body)

    def _skip_directives(
        self, body: Mapping[str, Any], found: list[tuple[PathInFile, str, Any]]
    ) -> None:
        for path, key, _ in found:
            if "Rain::" in key:
                self._skip(path, f"the directive {key.removeprefix('Fn::')} of Rain is not applied")
        for section in ("Rain", "Modules"):
            if section in body:
                self.not_judged.append(
                    NotJudged(f"the section {section} is not applied", property_path=section)
                )
        resources = body.get("Resources")
        for logical_id, resource in resources.items() if isinstance(resources, Mapping) else ():
            type = resource.get("Type") if isinstance(resource, Mapping) else None
            if isinstance(type, str) and type.endswith("::MODULE"):
                detail = f"the module {type} is not expanded"
                self.not_judged.append(NotJudged(detail, logical_id, "Type"))
            elif not isinstance(type, str) and not logical_id.startswith("Fn::"):
                self.not_judged.append(NotJudged("it has no type", logical_id))

    def _skip(self, path: PathInFile, detail: str) -> None:
        in_resource = len(path) > 2 and path[0] == "Resources"  # noqa: PLR2004
        below = path[2:] if in_resource else path
        logical_id = str(path[1]) if in_resource else None
        self.not_judged.append(NotJudged(detail, logical_id, "/".join(str(it) for it in below)))

    # -- includes --------------------------------------------------------------------------------------------------

    def _include(
        self, body: Mapping[str, Any], found: list[tuple[PathInFile, str, Any]]
    ) -> Mapping[str, Any]:
        """Merge the local files of AWS::Include; other files and macros are not judged."""
        included: dict[int, Mapping[str, Any]] = {}
        for path, key, value in found:
            if key == _INLINE:
                contents = [self._included(each, path) for each in _listed(value)]
                merged = [content for content in contents if content is not None]
                if merged:
                    included[id(value)] = {k: v for each in merged for k, v in each.items()}
        if included:
            body = _merge(body, included, 0)
        for each in _listed(body.get("Transform")):
            if isinstance(each, Mapping) and each.get("Name") == _INCLUDE:
                content = self._included(each, ("Transform",))
                for section, entries in (content or {}).items():
                    written = body.get(section)
                    if isinstance(written, Mapping) and isinstance(entries, Mapping):
                        body = {**body, section: {**entries, **written}}
                    else:
                        body = {**body, section: entries}
        return body

    def _included(self, transform: Any, path: PathInFile) -> Mapping[str, Any] | None:
        transform = transform if isinstance(transform, Mapping) else {"Name": transform}
        name = transform.get("Name")
        if name != _INCLUDE:
            self._skip(path, f"the macro {name} is not applied")
            return None
        location = mapping(transform.get("Parameters")).get("Location")
        if not isinstance(location, str) or "://" in location:
            shown = location if isinstance(location, str) else "a location known at deployment only"
            self._skip(path, f"the file of {_INCLUDE} is not local: {shown}")
            return None
        try:
            content = read(self._folder / location).body
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self._skip(path, f"the file of {_INCLUDE} cannot be read: {location}: {reason}")
            return None
        if not isinstance(content, Mapping):
            self._skip(path, f"the file of {_INCLUDE} is not a mapping: {location}")
            return None
        return content


def _names(body: Mapping[str, Any]) -> list[str]:
    """Return the names of the transforms of a template."""
    found = []
    for each in _listed(body.get("Transform")):
        name = each.get("Name") if isinstance(each, Mapping) else each
        if name is not None:
            found.append(str(name))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _find(body: Mapping[str, Any]) -> Iterator[tuple[PathInFile, str, Any]]:
    """Return path, key and value of all loops, inline transforms and Rain directives."""
    pending: list[tuple[PathInFile, Mapping[str, Any] | list[Any]]] = [((), body)]
    while pending:
        path, value = pending.pop()
        for key, below in value.items() if isinstance(value, Mapping) else enumerate(value):
            if isinstance(key, str) and (key == _INLINE or key.startswith(LOOP) or "Rain::" in key):
                yield (*path, key), key, below
            if isinstance(below, (Mapping, list)):
                pending.append(((*path, key), below))


def _merge(value: Any, included: Mapping[int, Mapping[str, Any]], depth: int) -> Any:
    """Return a copy of ``value`` with the content of included files in the place of their Fn::Transform."""
    if depth > _DEEPEST:
        return value
    if isinstance(value, list):
        return [_merge(each, included, depth + 1) for each in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for key, below in value.items():
        if key == _INLINE and id(below) in included:
            found = {**included[id(below)], **found}
        else:
            found[key] = _merge(below, included, depth + 1)
    return found


# -- mappings ----------------------------------------------------------------------------------------------------------


def _resolve_mappings(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace each Fn::FindInMap by its value, or by all values that it can have."""
    mappings = mapping(body.get("Mappings"))
    if not mappings:
        return body
    return {
        section: _resolved(value, mappings, 0) if section in ("Resources", "Outputs") else value
        for section, value in body.items()
    }


def _resolved(value: Any, mappings: Mapping[str, Any], depth: int) -> Any:
    """Return ``value`` itself if there is nothing to resolve in it."""
    if depth > _DEEPEST or not isinstance(value, (Mapping, list)):
        return value
    if isinstance(value, list):
        items = [_resolved(each, mappings, depth + 1) for each in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    if len(value) == 1 and isinstance(value.get("Fn::FindInMap"), list):
        return _values_in_map(value["Fn::FindInMap"], mappings, value)
    entries = {key: _resolved(each, mappings, depth + 1) for key, each in value.items()}
    return value if all(entries[key] is value[key] for key in value) else entries


def _values_in_map(argument: list[Any], mappings: Mapping[str, Any], unresolved: Any) -> Any:
    found: list[Any] = [mappings]
    for step in argument[:3]:
        known = isinstance(step, (str, int))
        found = [
            value
            for each in found
            if isinstance(each, Mapping)
            for value in ([each.get(str(step))] if known else each.values())
        ]
    certain = len(found) == 1 and found[0] is not None
    if len(argument) > 3 and isinstance(argument[3], Mapping) and not certain:  # noqa: PLR2004
        found.append(argument[3].get("DefaultValue"))
    values: list[Any] = []
    for value in found:
        if value is not None and value not in values:
            values.append(value)
    if not values:
        return unresolved
    return values[0] if len(values) == 1 else {ONE_OF: values}
