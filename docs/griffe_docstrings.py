"""Extension of griffe: docstrings as Markdown, and defaults as values instead of names."""

from __future__ import annotations

import re
from typing import Any

import griffe

from iot_constructs import _defaults

_CDK = "https://docs.aws.amazon.com/cdk/api/v2/python/"
_CDK_CLASS = re.compile(r":class:`(?P<module>aws_cdk(?:\.\w+)?)\.(?P<name>[A-Z]\w+)`")
_ROLE = re.compile(r":(?:attr|class|func|meth):(`[\w.]+`)")
_PROPS = re.compile(r"^( *\*\*\w+: )of ``", re.M)
_EXAMPLE = re.compile(r"^(?P<before>.*)::\n\n(?P<block>(?:(?: {4}.*)?(?:\n|\Z))+)", re.M)
_AWS_PAGE = re.compile(
    r"(?<![/\w.-])(?:docs\.aws\.amazon\.com/)?((?:[\w-]+/)+latest/[\w/-]+\.html)"
)
_PRIVATE = re.compile(r"^_\w+\(\)$")
_DEFAULT = re.compile(r"\bdefaults\.([A-Z0-9_]+)")


class Docstrings(griffe.Extension):
    """Changes what the source has into what a reader needs."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Write the docstring in Markdown."""
        if obj.docstring:
            obj.docstring.value = _markdown(obj.docstring.value)

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Show the values of the defaults."""
        for parameter in func.parameters:
            if parameter.default is not None:
                parameter.default = _values(parameter.default)

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Show the values of the fields of dataclasses."""
        if attr.value is not None:
            attr.value = _values(attr.value)


def _values(expression: str | griffe.Expr) -> str | griffe.Expr:
    text = str(expression)
    resolved = _DEFAULT.sub(lambda name: repr(getattr(_defaults, name[1])), text)
    resolved = _PRIVATE.sub("...", resolved)  # the description has the value
    return expression if resolved == text else resolved


def _markdown(text: str) -> str:
    text = _CDK_CLASS.sub(rf"[`\g<module>.\g<name>`]({_CDK}\g<module>/\g<name>.html)", text)
    text = _PROPS.sub(r"\1properties of ``", _ROLE.sub(r"\1", text))
    text = _AWS_PAGE.sub(r"https://docs.aws.amazon.com/\1", text)
    return _EXAMPLE.sub(_code_block, text)


def _code_block(found: re.Match[str]) -> str:
    lines = [line.removeprefix("    ") for line in found["block"].strip("\n").split("\n")]
    return "\n".join([f"{found['before']}:\n\n```python", *lines, "```\n"])
