"""The example in each public docstring runs as it is; ``stream`` and ``processor`` are those of StreamProcessor's."""

from __future__ import annotations

import inspect
import textwrap

import pytest
from constructs import Construct

import iot_constructs
from tests.synth_support import fresh_stack, template_of


def _example(name: str) -> str:
    """The indented lines behind ``Example::``."""
    _, _, rest = (inspect.getdoc(getattr(iot_constructs, name)) or "").partition("Example::\n")
    lines = []
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines)).strip()


_EXAMPLES = {name: _example(name) for name in iot_constructs.__all__ if _example(name)}


def test_every_construct_has_an_example() -> None:
    constructs = {
        n for n in iot_constructs.__all__ if issubclass(getattr(iot_constructs, n), Construct)
    }
    assert constructs == _EXAMPLES.keys()


@pytest.mark.parametrize("name", _EXAMPLES)
def test_example(name: str) -> None:
    names = {"stack": fresh_stack()}
    if "stream=stream" in _EXAMPLES[name] and name != "StreamProcessor":
        exec(_EXAMPLES["StreamProcessor"], names)
    exec(_EXAMPLES[name], names)
    assert [value for value in names.values() if type(value).__name__ == name]
    template_of(names["stack"])  # CDK validates at synth
