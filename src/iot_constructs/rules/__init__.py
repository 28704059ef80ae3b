"""Rules that check any CDK app or template for mistakes, and property injectors that set safe defaults."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iot_constructs.rules.catalogue import RULES
    from iot_constructs.rules.injectors import property_injectors
    from iot_constructs.rules.plugin import IotPipelineChecks

__all__ = ["RULES", "IotPipelineChecks", "property_injectors"]

_MODULES = {
    "RULES": "catalogue",
    "IotPipelineChecks": "plugin",
    "property_injectors": "injectors",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use: the table of rules needs neither aws_cdk nor Node."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
