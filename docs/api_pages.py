"""One section of API.md for each public name. Missing documentation is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import griffe

from docs import api_defaults, api_text
from docs.api_defaults import Default

_EXAMPLE = "Example::"


Defaults = Mapping[str, Default]


def page(name: str, documented: griffe.Object, defaults: Defaults) -> str:
    """The section of one public name."""
    parts = [f"## {name}", *_body(name, documented, defaults)]
    return "\n\n".join(part for part in parts if part)


def summary(documented: griffe.Object) -> str:
    """The first sentence of its docstring."""
    return _text(documented).split("\n", maxsplit=1)[0]


def _body(name: str, documented: griffe.Object, defaults: Defaults) -> Iterator[str]:
    if isinstance(documented, griffe.Class):
        yield from _class(name, documented, defaults)
    elif isinstance(documented, griffe.Function):
        yield from _function(name, documented, defaults)
    elif isinstance(documented, griffe.Attribute):
        yield api_text.markdown(_text(documented))
        yield f"Type: `{documented.annotation}`"


def _class(name: str, documented: griffe.Class, defaults: Defaults) -> Iterator[str]:
    text, example = _split(_text(documented))
    yield api_text.markdown(text)
    yield api_text.code_block(example or f"from {documented.package.path} import {name}")
    if documented.has_labels("dataclass") or "__init__" in documented.members:
        initializer = documented.members["__init__"]
        if not isinstance(initializer, griffe.Function):
            raise TypeError(f"{name}.__init__ is not a function")
        yield from _arguments(name, documented, initializer, defaults)
    yield _attribute_table(name, documented)
    yield _method_table(documented)
    yield api_defaults.links(name, defaults)
    for key, method in _methods(documented).items():
        if _needs_a_section(method):
            yield f"### {name}.{key}"
            yield from _function(f"{name}.{key}", method, defaults)


def _function(name: str, documented: griffe.Function, defaults: Defaults) -> Iterator[str]:
    text, example = _split(_text(documented))
    yield _signature(name, documented, defaults)
    yield api_text.markdown(text)
    yield from _arguments(name, documented, documented, defaults, show_signature=False)
    if example:
        yield api_text.code_block(example)


# --- arguments ------------------------------------------------------------------------------------


def _arguments(
    name: str,
    documented: griffe.Object,
    function: griffe.Function,
    defaults: Defaults,
    *,
    show_signature: bool = True,
) -> Iterator[str]:
    """The signature with resolved defaults, what each argument does, and what is refused."""
    if show_signature:
        yield _signature(name, function, defaults)
    explanations = _argument_lines(documented)
    rows = []
    # The text of a method with an argument or two says it all.
    explained = function.name == "__init__" or bool(explanations)
    for parameter in _parameters(function) if explained else ():
        if function.name == "__init__" and parameter.name in ("scope", "id"):
            continue  # the introduction explains them once
        shown = _stars(parameter) + parameter.name
        text = explanations.pop(shown, "")
        if not text:
            raise ValueError(f"{name}: no docstring describes the argument {shown}")
        required = " *Required.*" if parameter.required and not _stars(parameter) else ""
        rows.append((api_text.code(shown), api_text.cell(_sentence(text)) + required))
    if explanations:
        raise ValueError(f"{name}: the docstring has arguments that do not exist: {explanations}")
    if rows:
        yield api_text.table(("argument", "what it does"), rows)
    for error, text in _raises(documented):
        yield f"Raises `{error}`: {api_text.cell(text)}"


def _argument_lines(documented: griffe.Object) -> dict[str, str]:
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


def _signature(name: str, function: griffe.Function, defaults: Defaults) -> str:
    """As it is written in Python, with the values of the defaults."""
    lines = []
    keywords = False
    for parameter in _parameters(function):
        if parameter.kind is griffe.ParameterKind.keyword_only and not keywords:
            keywords = True
            lines.append("*")
        lines.append(_parameter(parameter, defaults))
    returns = "" if function.returns in (None, "None") else f" -> {function.returns}"
    if function.name == "__init__":
        returns = ""
    inner = "".join(f"    {line},\n" for line in lines)
    return api_text.code_block(f"{name}(\n{inner}){returns}" if lines else f"{name}(){returns}")


def _stars(parameter: griffe.Parameter) -> str:
    kinds = griffe.ParameterKind
    return {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")  # type: ignore[arg-type]


def _parameter(parameter: griffe.Parameter, defaults: Defaults) -> str:
    shown = f"{_stars(parameter)}{parameter.name}: {parameter.annotation}"
    if parameter.required or _stars(parameter):
        return shown
    default = str(parameter.default)
    private = default.startswith("_")  # a function that makes it: the description has the value
    return f"{shown} = {'...' if private else api_defaults.resolved(default, defaults)}"


# --- attributes and methods -----------------------------------------------------------------------


def _attribute_table(name: str, documented: griffe.Class) -> str:
    """Attributes and properties; of an enumeration, its members."""
    is_enum = any(str(base) == "Enum" for base in documented.bases)
    rows = []
    for key, member in _members(documented).items():
        is_field = documented.has_labels("dataclass") and not member.has_labels("property")
        if not isinstance(member, griffe.Attribute) or is_field:  # the fields are arguments
            continue
        type_ = name if is_enum else member.annotation
        if type_ is None or not member.docstring:
            raise ValueError(f"{name}.{key}: the source has no docstring or no type")
        rows.append((api_text.code(key), api_text.code(str(type_)), api_text.cell(_text(member))))
    return api_text.table(("attribute", "type", "what it is"), rows) if rows else ""


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
        f"{_stars(each)}{each.name}: {each.annotation}" for each in _parameters(method)
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
    text = f"Properties {text}" if text.startswith("of ``") else text
    text = text if text.startswith("`") else text[0].upper() + text[1:]
    return text if text.endswith((".", ")", "?")) else f"{text}."
