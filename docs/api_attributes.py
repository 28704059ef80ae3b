"""What a construct exposes, read from the assignments to ``self`` in its class: type and docstring.

griffe knows such attributes, but neither the types of those that a method of the class makes nor the ones that are
assigned in pairs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Attribute:
    """One attribute; ``type`` and ``text`` are empty where the source does not say them."""

    name: str
    type: str
    text: str


def attributes(module_source: str, class_name: str) -> list[Attribute]:
    """The public attributes that the class's methods assign, in order, each once."""
    module = ast.parse(module_source).body
    (node,) = (
        each for each in module if isinstance(each, ast.ClassDef) and each.name == class_name
    )
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    functions = [each for each in module if isinstance(each, ast.FunctionDef)]
    returned = {"naming.physical_name": "str"}
    for prefix, callables in (("self.", methods), ("", functions)):
        for each in callables:
            returned[prefix + each.name] = ast.unparse(each.returns) if each.returns else ""
    found: dict[str, Attribute] = {}
    for method in methods:
        for attribute in _assigned(method, returned):
            if not attribute.name.startswith("_"):
                found.setdefault(attribute.name, attribute)
    return list(found.values())


def _assigned(method: ast.FunctionDef, returned: Mapping[str, str]) -> Iterator[Attribute]:
    for statement, following in zip(method.body, [*method.body[1:], None], strict=True):
        text = _docstring(following)
        if isinstance(statement, ast.AnnAssign):
            for name in _names(statement.target):
                yield Attribute(name, ast.unparse(statement.annotation), text)
        elif isinstance(statement, ast.Assign):
            names = _names(statement.targets[0])
            types = _types(statement.value, method, returned)
            for name, type_ in zip(names, types, strict=bool(names)):
                yield Attribute(name, type_, text)


def _docstring(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return str(statement.value.value)
    return ""


def _names(target: ast.expr) -> list[str]:
    """``self.one`` or ``self.one, self.other``."""
    if isinstance(target, ast.Tuple):
        return [name for element in target.elts for name in _names(element)]
    if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
        return [target.attr]
    return []


def _types(value: ast.expr, method: ast.FunctionDef, returned: Mapping[str, str]) -> list[str]:
    """One type, or those of a ``tuple[one, other]``."""
    type_ = _type(value, method, returned)
    if type_.startswith("tuple["):
        elements = ast.parse(type_, mode="eval").body
        if isinstance(elements, ast.Subscript) and isinstance(elements.slice, ast.Tuple):
            return [ast.unparse(element) for element in elements.slice.elts]
    return [type_]


def _type(value: ast.expr, method: ast.FunctionDef, returned: Mapping[str, str]) -> str:
    if isinstance(value, ast.IfExp):  # x if x is not None else its default
        return _type(value.body, method, returned)
    if isinstance(value, ast.Name):
        arguments = [*method.args.args, *method.args.kwonlyargs]
        annotations = [each.annotation for each in arguments if each.arg == value.id]
        if annotations and annotations[0] is not None:
            return ast.unparse(annotations[0]).removesuffix(" | None")
    if isinstance(value, ast.Call):
        called = ast.unparse(value.func)
        if called in returned:
            return returned[called]
        if called.split(".")[-1][0].isupper():
            return called  # a class
    return ""
