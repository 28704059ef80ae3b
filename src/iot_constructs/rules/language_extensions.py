"""Expands the loops of the transform AWS::LanguageExtensions.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-foreach.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from iot_constructs.rules.not_judged import NotJudged
from iot_constructs.rules.reader import PathInFile, mapping

LOOP: Final = "Fn::ForEach::"

_MOST: Final = 10_000  # iterations; a stack has 500 resources at most
_DEEPEST: Final = 100

Names = Mapping[str, str]


class Loops:
    """Expands all loops of a template.

    Attributes:
        body: the template without loops.
        origins: where the resources of the loops stand in the file, by logical id.
        not_judged: the loops that could not be expanded.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.origins: dict[str, PathInFile] = {}
        self.not_judged: list[NotJudged] = []
        self._parameters = mapping(body.get("Parameters"))
        self._mappings = mapping(body.get("Mappings"))
        self._iterations = 0
        self.body: dict[str, Any] = {}
        for section, value in body.items():
            self.body[section] = self._expand(value, {}, (section,), 0)

    def _expand(self, value: Any, names: Names, path: PathInFile, depth: int) -> Any:
        if isinstance(value, str):
            return _replace(value, names)
        if depth > _DEEPEST:
            return value
        if isinstance(value, list):
            return [
                self._expand(each, names, (*path, index), depth + 1)
                for index, each in enumerate(value)
            ]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1 and isinstance(value.get("Ref"), str) and value["Ref"] in names:
            return names[value["Ref"]]
        found = dict(self._entries(value, names, path, depth))
        text = found.get("Fn::Sub") if names and len(found) == 1 else None
        return text if isinstance(text, str) and "${" not in text else found

    def _entries(
        self, body: Mapping[str, Any], names: Names, path: PathInFile, depth: int
    ) -> Iterator[tuple[str, Any]]:
        """Return the entries of a mapping, with those of its loops."""
        in_resources = path[0] == "Resources" and all(_in_loop(step) for step in path[1:])
        for key, value in body.items():
            if str(key).startswith(LOOP):
                yield from self._loop(value, names, (*path, key), depth + 1)
                continue
            new_key = _replace(str(key), names)
            if in_resources and names:
                self.origins[new_key] = (*path, key)
            yield new_key, self._expand(value, names, (*path, key), depth + 1)

    def _loop(
        self, loop: Any, names: Names, path: PathInFile, depth: int
    ) -> Iterator[tuple[str, Any]]:
        if not isinstance(loop, list) or len(loop) != 3 or not isinstance(loop[2], Mapping):  # noqa: PLR2004
            self._skip(path, "it is not a list of identifier, collection and mapping")
            return
        identifier, collection, body = loop
        values = self._collection(collection, names)
        if values is None:
            self._skip(path, "its collection is known at deployment only")
            return
        self._iterations += len(values)
        if self._iterations > _MOST or depth > _DEEPEST:
            self._skip(path, "it has too many iterations")
            return
        for value in values:
            inner = {**names, str(identifier): value}
            yield from self._entries(body, inner, (*path, 2), depth + 1)

    def _skip(self, path: PathInFile, why: str) -> None:
        in_resource = path[0] == "Resources" and not str(path[1]).startswith(LOOP)
        skipped = NotJudged(
            f"{path[-1]} is not expanded: {why}",
            str(path[1]) if in_resource else None,
            "/".join(str(step) for step in (path[2:] if in_resource else path)),
        )
        if skipped not in self.not_judged:
            self.not_judged.append(skipped)

    # -- collections -----------------------------------------------------------------------------------------------

    def _collection(self, value: Any, names: Names) -> list[str] | None:
        if isinstance(value, list):
            found = [self._texts(item, names) for item in value]
            if any(texts is None for texts in found):
                return None
            return [text for texts in found for text in texts or ()]
        return self._texts(value, names)

    def _texts(self, value: Any, names: Names) -> list[str] | None:
        """Return the texts of a value that is a text or a list of texts; None if unknown."""
        if isinstance(value, (str, int, float)):
            return [_replace(str(value), names)]
        if isinstance(value, list):
            return [str(each) for each in value] if not any(map(_is_nested, value)) else None
        function = mapping(value)
        if isinstance(function.get("Ref"), str):
            return self._reference(function["Ref"], names)
        if isinstance(function.get("Fn::FindInMap"), list):
            return self._find_in_map(function["Fn::FindInMap"], names)
        return None

    def _reference(self, name: str, names: Names) -> list[str] | None:
        if name in names:
            return [names[name]]
        parameter = mapping(self._parameters.get(name))
        default, allowed = parameter.get("Default"), parameter.get("AllowedValues")
        if isinstance(default, str) and "List" in str(parameter.get("Type")):
            return [each.strip() for each in default.split(",")]
        return self._texts(default if default is not None else allowed, {})

    def _find_in_map(self, argument: list[Any], names: Names) -> list[str] | None:
        """Return the texts in a mapping; those of all keys if the key is known at deployment only."""
        found: list[Any] = [self._mappings]
        for step in argument[:3]:
            keys = self._texts(step, names)
            found = [
                value
                for each in found
                for key, value in mapping(each).items()
                if keys is None or key in keys
            ]
        if not found and len(argument) > 3:  # noqa: PLR2004
            found = [mapping(argument[3]).get("DefaultValue")]
        texts = [self._texts(each, names) for each in found]
        if not texts or None in texts:
            return None
        return list(dict.fromkeys(text for each in texts for text in each or ()))


def _replace(text: str, names: Names) -> str:
    """Replace the identifiers of loops: ``${Name}``, and ``&{Name}`` without characters that ids cannot have."""
    if "{" in text:
        for name, value in names.items():
            text = text.replace(f"${{{name}}}", value)
            text = text.replace(f"&{{{name}}}", re.sub("[^A-Za-z0-9]", "", value))
    return text


def _in_loop(step: str | int) -> bool:
    return step == 2 or str(step).startswith(LOOP)  # noqa: PLR2004 - the mapping of a loop


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, Mapping))
