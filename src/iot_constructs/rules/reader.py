"""Reads templates in YAML and JSON, with the line and column of every value.

JSON is read with the standard library. YAML needs PyYAML, which the extra ``check`` installs: cfn-lint depends on it.
The decoder of cfn-lint itself is not used: on a template of 1 MB it takes seconds, more than about 400 levels of
nesting end it, and 100,000 levels crash the interpreter.
"""

from __future__ import annotations

import json
import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

STDIN: Final = Path("-")

PathInFile = tuple[str | int, ...]
"""The keys and indices that lead from the root of a file to a value."""

_DEEPEST: Final = 1000  # levels of nesting; CloudFormation's functions and policies need about 30
_LARGEST: Final = 1_000_000  # values after the expansion of YAML aliases


class Location(NamedTuple):
    """A range in a file; lines and columns start at 1."""

    line: int
    column: int
    end_line: int
    end_column: int


class Position:
    """The location of a value (of its key, in a mapping), and those of the values in it."""

    __slots__ = ("children", "location")

    def __init__(self, location: Location) -> None:
        self.location = location
        self.children: dict[str | int, Position] = {}

    def find(self, path: Iterable[str | int]) -> Location:
        """Return the location of the value at ``path``, or of its nearest parent that exists."""
        found = self
        for step in path:
            child = found.children.get(step)
            if child is None and isinstance(step, str) and step.isdigit():
                child = found.children.get(int(step))
            if child is None:
                break
            found = child
        return found.location


class Document:
    """A template as it was read.

    Attributes:
        path: the file; `STDIN` for standard input.
        body: mappings, lists and scalars. The short functions of YAML have their long form (``!Sub`` is ``Fn::Sub``).
    """

    def __init__(self, path: Path, body: Any, positions: Callable[[], Position]) -> None:
        self.path = path
        self.body = body
        self._positions = positions

    def location(self, path: Iterable[str | int]) -> Location:
        """Return the location of the value at ``path``, or of its nearest parent that exists.

        List indices in ``path`` may be texts.
        """
        return self.positions.find(path)

    @cached_property
    def positions(self) -> Position:
        """The locations of all values."""
        return self._positions()


def read(path: Path) -> Document:
    """Read the template at ``path``, or standard input for ``-``.

    Raises:
        OSError: it cannot be read.
        ValueError: it is neither YAML nor JSON; the message names file, line and column.
    """
    return parse(_decode(_content(path), path), path)


def parse(text: str, path: Path) -> Document:
    """Parse the text of the file ``path``; raises like `read`."""
    if not text.lstrip().startswith(("{", "[")):
        return _parse_yaml(text, path)
    try:
        body = json.loads(text, object_pairs_hook=_unique)
    except _DuplicateKeyError:
        _build(_json_events(text), path)  # raises the error with its location
        raise
    except RecursionError:
        return _parse_yaml(text, path)
    except json.JSONDecodeError as error:
        problem = _error(path, error.lineno, error.colno, f"not JSON: {error.msg}")
        if path.suffix == ".json":
            raise problem from error
        try:  # YAML in flow style starts like JSON
            return _parse_yaml(text, path)
        except ValueError:
            raise problem from error
    except ValueError as error:  # a number with thousands of digits
        raise ValueError(f"{path}: not JSON: {error}") from error
    return Document(path, body, lambda: _build(_json_events(text), path)[1])


def mapping(value: Any) -> Mapping[str, Any]:
    """Return ``value``; empty if it is not a mapping."""
    return value if isinstance(value, Mapping) else {}


def extra(module: str) -> Any:
    """Import a module that the extra ``check`` installs.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ValueError(
            f"{package} is not installed; type: pip install 'iot-constructs[check]'"
        ) from error


def _content(path: Path) -> bytes:
    if path != STDIN:
        return path.read_bytes()
    # Python's type does not say it: a closed standard input is None.
    return sys.stdin.buffer.read() if sys.stdin else b""


def _decode(content: bytes, path: Path) -> str:
    # PowerShell writes UTF-16 when it redirects output to a file.
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise _error(path, line, column, f"not {encoding[:6].rstrip('-').upper()} text") from error


def _error(path: Path, line: int, column: int, problem: str) -> ValueError:
    return ValueError(f"{path}:{line}:{column}: {' '.join(problem.split())}")


# -- values and positions from events ------------------------------------------------------------------------------


class _Event(NamedTuple):
    kind: str
    """``{`` or ``[``, ``}`` for the end of either, ``v`` for a scalar, ``*`` for an alias."""
    location: Location
    value: Any = None
    """The value of a scalar; the name of an alias."""
    text: str = ""
    """The scalar as it is written, for keys."""
    function: str | None = None
    """``Fn::Sub`` for the tag ``!Sub``."""
    anchor: str | None = None


class _Node:
    """A value with its position; its size is the number of values in it."""

    __slots__ = ("event", "key", "merged", "position", "size", "value")

    def __init__(self, event: _Event, value: Any, position: Position | None = None) -> None:
        self.event = event
        self.value = value
        self.position = position if position is not None else Position(event.location)
        self.size = 1
        self.key: _Event | None = None
        self.merged: list[Any] = []


def _build(events: Iterable[_Event], path: Path) -> tuple[Any, Position]:
    """Build the value and its positions; without recursion, as a file can nest deeper than Python's stack."""
    builder = _Builder(path)
    for event in events:
        builder.add(event)
    if builder.root is None:
        raise ValueError(f"{path}: empty")
    return builder.root.value, builder.root.position


class _Builder:
    def __init__(self, path: Path) -> None:
        self.root: _Node | None = None
        self._path = path
        self._open: list[_Node] = []
        self._anchors: dict[str, _Node] = {}

    def add(self, event: _Event) -> None:
        parent = self._open[-1] if self._open else None
        if event.kind == "}":
            self._close()
        elif parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._add_key(parent, event)
        elif event.kind in "{[":
            if len(self._open) >= _DEEPEST:
                raise self._error(event, f"nested deeper than {_DEEPEST} levels")
            self._open.append(_Node(event, {} if event.kind == "{" else []))
        elif event.kind == "*":
            self._add_alias(event)
        else:
            self._finish(_Node(event, event.value))

    def _add_key(self, parent: _Node, key: _Event) -> None:
        if key.kind != "v" or key.function is not None:
            raise self._error(key, "the key of a mapping is not text")
        if key.value is None:
            raise self._error(key, "the key of a mapping is empty")
        if key.text in parent.value:
            first = parent.position.children[key.text].location
            raise self._error(key, f"duplicate key {key.text!r}, first in line {first.line}")
        parent.key = key

    def _add_alias(self, event: _Event) -> None:
        node = self._anchors.get(event.value)
        if node is None:
            raise self._error(event, f"undefined alias {event.value!r}")
        copy = _Node(event, node.value)
        copy.size = node.size
        self._place(copy)

    def _close(self) -> None:
        node = self._open.pop()
        for merged in node.merged:
            for each in merged if isinstance(merged, list) else [merged]:
                if isinstance(each, dict):
                    node.value = {**each, **node.value}
        self._finish(node)

    def _finish(self, node: _Node) -> None:
        """Add the function of the node's tag, and its anchor."""
        event = node.event
        if event.function is not None:
            value = event.text if event.kind == "v" else node.value
            if event.function == "Fn::GetAtt" and isinstance(value, str):
                value = value.split(".", 1)
            wrapped = _Node(event, {event.function: value})
            wrapped.position.children[event.function] = node.position
            wrapped.size = node.size + 1
            node = wrapped
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._place(node)

    def _place(self, node: _Node) -> None:
        """Put the node into its parent."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.size += node.size
        if parent.size > _LARGEST:
            raise self._error(node.event, f"more than {_LARGEST} values, with aliases expanded")
        if isinstance(parent.value, list):
            parent.position.children[len(parent.value)] = node.position
            parent.value.append(node.value)
            return
        key = parent.key
        assert key is not None  # add() takes the key first
        parent.key = None
        if key.text == "<<":
            parent.merged.append(node.value)
            return
        node.position.location = key.location
        parent.value[key.text] = node.value
        parent.position.children[key.text] = node.position

    def _error(self, event: _Event, problem: str) -> ValueError:
        return _error(self._path, event.location.line, event.location.column, problem)


# -- JSON --------------------------------------------------------------------------------------------------------------

# A text in few steps: the regular expression engine remembers each one.
_JSON_TOKEN: Final = re.compile(r'[\[{]|[\]}]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s\[\]{},:"]+')


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DuplicateKeyError
    return found


def _json_events(text: str) -> Iterator[_Event]:
    """Return the events of valid JSON, for its positions and duplicate keys."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for match in _JSON_TOKEN.finditer(text):
        token = match.group()
        line = bisect_right(starts, match.start())
        column = match.start() - starts[line - 1] + 1
        location = Location(line, column, line, column + len(token))
        if token in "{[":
            yield _Event(token, location)
        elif token in "}]":
            yield _Event("}", location)
        else:
            # Only keys matter: the values are read by the standard library.
            text = json.loads(token) if "\\" in token else token.strip('"')
            yield _Event("v", location, token, text)


# -- YAML --------------------------------------------------------------------------------------------------------------


def _parse_yaml(text: str, path: Path) -> Document:
    body, positions = _build(_yaml_events(text, path), path)
    return Document(path, body, lambda: positions)


def _yaml_events(text: str, path: Path) -> Iterator[_Event]:
    yaml = extra("yaml")
    scalar = _scalars(yaml)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            start, end = event.start_mark, event.end_mark
            location = Location(start.line + 1, start.column + 1, end.line + 1, end.column + 1)
            if isinstance(event, yaml.ScalarEvent):
                tag = event.tag
                plain = event.implicit[0] and tag is None
                value = scalar(event.value) if plain else event.value
                yield _Event("v", location, value, event.value, _function(tag), event.anchor)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                kind = "{" if isinstance(event, yaml.MappingStartEvent) else "["
                yield _Event(kind, location, function=_function(event.tag), anchor=event.anchor)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                yield _Event("}", location)
            elif isinstance(event, yaml.AliasEvent):
                yield _Event("*", location, event.anchor)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _error(path, *location[:2], "more than one YAML document")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        raise _error(path, mark.line + 1, mark.column + 1, f"not YAML: {problem}") from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error


def _function(tag: str | None) -> str | None:
    """Return the function of a tag like ``!Sub``."""
    if tag is None or not tag.startswith("!") or tag == "!":
        return None
    return tag[1:] if tag in ("!Ref", "!Condition") else f"Fn::{tag[1:]}"


def _scalars(yaml: Any) -> Callable[[str], Any]:
    """Return the function that gives a plain scalar its type; dates remain texts, as in CloudFormation."""
    loader = yaml.SafeLoader("")

    @lru_cache(maxsize=10_000)
    def scalar(text: str) -> Any:
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))
        if tag.rpartition(":")[2] not in ("null", "bool", "int", "float"):
            return text
        try:
            return loader.construct_object(yaml.ScalarNode(tag, text))
        except ValueError:  # `1_` and numbers with thousands of digits
            return text

    return scalar
