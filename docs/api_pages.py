"""One section of API.md for each public name. What is not described is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import griffe

from docs import api_defaults, api_facts, api_text
from docs.api_attributes import Attribute, attributes
from docs.api_defaults import Default

_EXAMPLE = "Example::"


@dataclass(frozen=True)
class Evidence:
    """What the sections quote beside the docstrings."""

    defaults: Mapping[str, Default]
    facts: dict[int, list[str]]


def page(name: str, documented: griffe.Object, package: str, evidence: Evidence) -> str:
    """The section of one public name."""
    parts = [f"## {name}", *_body(name, documented, package, evidence)]
    return "\n\n".join(part for part in parts if part)


def summary(documented: griffe.Object) -> str:
    """The first sentence of its docstring."""
    return _text(documented).split("\n", maxsplit=1)[0]


def _body(name: str, documented: griffe.Object, package: str, evidence: Evidence) -> Iterator[str]:
    if isinstance(documented, griffe.Class):
        yield from _class(name, documented, package, evidence)
    elif isinstance(documented, griffe.Function):
        yield from _function(name, documented, evidence)
    elif isinstance(documented, griffe.Attribute):
        yield api_text.markdown(_text(documented))
        yield f"Type: `{documented.annotation}`"


def _class(name: str, documented: griffe.Class, package: str, evidence: Evidence) -> Iterator[str]:
    text, example = _split(_text(documented))
    yield api_text.markdown(text)
    yield api_text.code_block(example or f"from {package} import {name}")
    if documented.has_labels("dataclass") or "__init__" in documented.members:
        initializer = documented.members["__init__"]
        if not isinstance(initializer, griffe.Function):
            raise TypeError(f"{name}.__init__ is not a function")
        yield from _arguments(name, documented, initializer, evidence)
    yield _attribute_table(name, documented)
    yield _method_table(documented)
    yield _behind(documented, evidence)
    for key, method in _methods(documented).items():
        if _needs_a_section(method):
            yield f"### {name}.{key}"
            yield from _function(f"{name}.{key}", method, evidence)


def _function(name: str, documented: griffe.Function, evidence: Evidence) -> Iterator[str]:
    text, example = _split(_text(documented))
    yield _signature(name, documented, evidence)
    yield api_text.markdown(text)
    yield from _arguments(name, documented, documented, evidence, show_signature=False)
    if example:
        yield api_text.code_block(example)
    yield api_facts.sources(
        documented.docstring.value if documented.docstring else "", evidence.facts
    )


# --- arguments ------------------------------------------------------------------------------------


def _arguments(
    name: str,
    documented: griffe.Object,
    function: griffe.Function,
    evidence: Evidence,
    *,
    show_signature: bool = True,
) -> Iterator[str]:
    """The signature with resolved defaults, what each argument does, and what is refused."""
    if show_signature:
        yield _signature(name, function, evidence)
    described = _described(documented)
    rows = []
    # The text of a method with an argument or two says it all.
    explained = function.name == "__init__" or bool(described)
    for parameter in _parameters(function) if explained else ():
        if function.name == "__init__" and parameter.name in ("scope", "id"):
            continue  # the introduction explains them once
        text = described.pop(parameter.name, "")
        if not text:
            raise ValueError(f"{name}: no docstring says what the argument {parameter.name} does")
        required = " *Required.*" if parameter.required else ""
        rows.append((api_text.code(parameter.name), api_text.cell(_sentence(text)) + required))
    if described:
        raise ValueError(f"{name}: the docstring has arguments that do not exist: {described}")
    if rows:
        yield api_text.table(("argument", "what it does"), rows)
    for error, text in _raises(documented):
        yield f"Raises `{error}`: {api_text.cell(text)}"


def _described(documented: griffe.Object) -> dict[str, str]:
    """What the docstring, or in a dataclass the docstring of a field, says of each argument."""
    found = {
        item.name: item.description
        for section in _sections(documented)
        if isinstance(section, griffe.DocstringSectionParameters)
        for item in section.value
    }
    if isinstance(documented, griffe.Class) and documented.has_labels("dataclass"):
        for name, member in documented.members.items():
            field = isinstance(member, griffe.Attribute) and not member.has_labels("property")
            if field and member.docstring and name not in found:
                found[name] = member.docstring.value
    return found


def _raises(documented: griffe.Object) -> list[tuple[str, str]]:
    return [
        (str(item.annotation), item.description)
        for section in _sections(documented)
        if isinstance(section, griffe.DocstringSectionRaises)
        for item in section.value
    ]


def _parameters(function: griffe.Function) -> list[griffe.Parameter]:
    return [each for each in function.parameters if each.name not in ("self", "cls")]


def _signature(name: str, function: griffe.Function, evidence: Evidence) -> str:
    """As it is written in Python, with the values of the defaults."""
    lines = []
    keywords = False
    for parameter in _parameters(function):
        if parameter.kind is griffe.ParameterKind.keyword_only and not keywords:
            keywords = True
            lines.append("*")
        lines.append(_parameter(parameter, evidence))
    returns = "" if function.returns in (None, "None") else f" -> {function.returns}"
    if function.name == "__init__":
        returns = ""
    inner = "".join(f"    {line},\n" for line in lines)
    return api_text.code_block(f"{name}(\n{inner}){returns}" if lines else f"{name}(){returns}")


def _parameter(parameter: griffe.Parameter, evidence: Evidence) -> str:
    star = "*" if parameter.kind is griffe.ParameterKind.var_positional else ""
    shown = f"{star}{parameter.name}: {parameter.annotation}"
    if parameter.required or star:
        return shown
    return f"{shown} = {api_defaults.resolved(str(parameter.default), evidence.defaults)}"


# --- attributes and methods -----------------------------------------------------------------------


def _attribute_table(name: str, documented: griffe.Class) -> str:
    # The fields of a dataclass are its arguments.
    assigned = [] if documented.has_labels("dataclass") else _assigned(documented)
    found = [*assigned, *_properties(documented)]
    for attribute in found:
        if not (attribute.type and attribute.text):
            raise ValueError(
                f"{name}.{attribute.name}: the source has no docstring or no type: {attribute}"
            )
    rows = [
        (api_text.code(each.name), api_text.code(each.type), api_text.cell(each.text))
        for each in found
    ]
    return api_text.table(("attribute", "type", "what it is"), rows) if rows else ""


def _assigned(documented: griffe.Class) -> list[Attribute]:
    found: dict[str, Attribute] = {}
    for each in [documented, *_own_bases(documented)]:
        for attribute in attributes(each.module.source, each.name):
            found.setdefault(attribute.name, attribute)
    return list(found.values())


def _own_bases(documented: griffe.Class) -> list[griffe.Class]:
    """Those of this package: what CDK's classes have is in CDK's reference."""
    return [base for base in documented.mro() if base.path.startswith("iot_constructs.")]


def _members(documented: griffe.Class) -> dict[str, griffe.Object]:
    members: dict[str, griffe.Object] = {}
    for each in [documented, *_own_bases(documented)]:
        for name, member in each.members.items():
            if not name.startswith("_") and isinstance(member, griffe.Object):
                members.setdefault(name, member)
    return members


def _properties(documented: griffe.Class) -> list[Attribute]:
    return [
        Attribute(name, str(member.annotation), _text(member))
        for name, member in _members(documented).items()
        if isinstance(member, griffe.Attribute) and member.has_labels("property")
    ]


def _methods(documented: griffe.Class) -> dict[str, griffe.Function]:
    return {
        name: member
        for name, member in _members(documented).items()
        if isinstance(member, griffe.Function)
    }


def _method_table(documented: griffe.Class) -> str:
    """Those that one paragraph describes; the others have sections of their own."""
    rows = [
        (_call(name, method), api_text.cell(_text(method)))
        for name, method in _methods(documented).items()
        if not _needs_a_section(method)
    ]
    return api_text.table(("method", "what it does"), rows) if rows else ""


def _needs_a_section(method: griffe.Function) -> bool:
    return "\n\n" in (method.docstring.value if method.docstring else "")


def _call(name: str, method: griffe.Function) -> str:
    shown = ", ".join(
        ("*" if each.kind is griffe.ParameterKind.var_positional else "")
        + f"{each.name}: {each.annotation}"
        for each in _parameters(method)
    )
    return api_text.code(f"{name}({shown}) -> {method.returns}")


# --- text -----------------------------------------------------------------------------------------


def _sections(documented: griffe.Object) -> list[griffe.DocstringSection]:
    if documented.docstring is None:
        raise ValueError(f"{documented.path} has no docstring")
    # Without warnings: what is missing is an error here.
    return documented.docstring.parse("google", warnings=False)


def _text(documented: griffe.Object) -> str:
    return "\n\n".join(
        str(section.value)
        for section in _sections(documented)
        if isinstance(section, griffe.DocstringSectionText)
    )


def _split(text: str) -> tuple[str, str]:
    """The prose and the example."""
    prose, _, example = text.partition(_EXAMPLE)
    lines = [line.removeprefix("    ") for line in example.strip("\n").splitlines()]
    return prose.strip(), "\n".join(lines)


def _sentence(text: str) -> str:
    """As a sentence of its own."""
    text = text.strip()
    text = text if text.startswith("`") else text[0].upper() + text[1:]
    return text if text.endswith((".", ")", "?")) else f"{text}."


def _behind(documented: griffe.Class, evidence: Evidence) -> str:
    """Where the defaults and their reasons are, and AWS's pages behind both."""
    names: set[str] = set()
    for each in [documented, *_own_bases(documented)]:
        names |= api_defaults.names_in(each.module.source)
    groups = list(
        dict.fromkeys(row.group for row in evidence.defaults.values() if row.name in names)
    )
    lines = []
    if groups:
        lines.append(f"Defaults and reasons: {', '.join(map(api_defaults.link, groups))}.")
    reasons = " ".join(row.reason for row in evidence.defaults.values() if row.name in names)
    text = documented.docstring.value if documented.docstring else ""
    lines.append(api_facts.sources(f"{text} {reasons}", evidence.facts))
    return "\n\n".join(line for line in lines if line)
