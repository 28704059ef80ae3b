"""The corrections for any CDK app: rules that find the mistakes, and property injectors that fix them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iot_constructs.rules.add_to import CorrectedDefaults
    from iot_constructs.rules.injectors import corrected_property_injectors
    from iot_constructs.rules.rule_table import RULES

__all__ = ["RULES", "CorrectedDefaults", "corrected_property_injectors"]

_MODULES = {
    "RULES": "rule_table",
    "CorrectedDefaults": "add_to",
    "corrected_property_injectors": "injectors",
}


def __getattr__(name: str) -> Any:
    """Load a name when it is asked for: the table of rules needs neither aws_cdk nor Node."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
