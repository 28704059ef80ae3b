"""What the names in a module stand for: which arguments a call may leave out, which other members an enum has."""

from __future__ import annotations

import ast
import builtins
import inspect
from enum import Enum
from types import ModuleType
from typing import Any, Final

# Where not just any other member will do: the one that a person would choose by mistake, or that weakens most.
OTHER_MEMBERS: Final = {
    "Architecture.ARM_64": "X86_64",
    "BlockPublicAccess.BLOCK_ALL": "BLOCK_ACLS",
    "BucketEncryption.KMS": "S3_MANAGED",
    "ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD": "GREATER_THAN_THRESHOLD",
    "Compression.GZIP": "UNCOMPRESSED",
    "ContributorInsightsMode.THROTTLED_KEYS": "ACCESSED_AND_THROTTLED_KEYS",
    "QueueEncryption.KMS": "KMS_MANAGED",
    "RemovalPolicy.DESTROY": "RETAIN",
    "RemovalPolicy.RETAIN": "DESTROY",
    "RetentionDays.ONE_WEEK": "ONE_MONTH",
    "Runtime.PYTHON_3_14": "PYTHON_3_13",
    "StartingPosition.TRIM_HORIZON": "LATEST",
    "StreamEncryption.KMS": "MANAGED",
    "StreamMode.ON_DEMAND": "PROVISIONED",
    "TreatMissingData.NOT_BREACHING": "MISSING",
}


class CallTargets:
    """Looks names up in an imported module; what it cannot find, such as a method of a local, it knows nothing of."""

    def __init__(self, module: ModuleType | None) -> None:
        self._names = vars(module) if module is not None else {}

    def may_leave_out(self, call: ast.Call, argument: str, class_name: str | None) -> bool:
        """Whether the callee has a default for the argument. Without one, leaving it out is a crash and no mutant."""
        parameter = self._parameter(call, argument, class_name)
        if parameter is not None:
            return parameter.default is not inspect.Parameter.empty
        # All metric methods of CDK have defaults for everything.
        return isinstance(call.func, ast.Attribute) and call.func.attr.startswith("metric")

    def may_be_none(self, call: ast.Call, argument: str, class_name: str | None) -> bool:
        """Whether a base class takes None for an argument that it has no default for."""
        if not ast.unparse(call.func).startswith("super()."):
            return False
        parameter = self._parameter(call, argument, class_name)
        return (
            parameter is not None
            and parameter.default is inspect.Parameter.empty
            and "None" in str(parameter.annotation)
        )

    def _parameter(
        self, call: ast.Call, argument: str, class_name: str | None
    ) -> inspect.Parameter | None:
        callee = self._find(call.func, class_name)
        try:
            parameters = inspect.signature(_callable(callee)).parameters
        except (TypeError, ValueError):  # not found, or written in C
            return None
        return parameters.get(argument)

    def other_member(self, node: ast.Attribute) -> str | None:
        """Another member of the enum that ``node`` takes one of; None where it is no enum."""
        owner = self._find(node.value, None)
        if not isinstance(owner, type):
            return None
        chosen = OTHER_MEMBERS.get(f"{owner.__name__}.{node.attr}")
        if chosen is not None or not issubclass(owner, Enum):
            return chosen
        others = [name for name in owner.__members__ if name != node.attr]
        return others[0] if others else None

    def _find(self, node: ast.expr, class_name: str | None) -> Any:
        if isinstance(node, ast.Name):
            return self._names.get(node.id, getattr(builtins, node.id, None))
        if not isinstance(node, ast.Attribute):
            return None
        owner = self._names.get(class_name) if class_name is not None else None
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return getattr(owner, node.attr, None)
        if ast.unparse(node.value) == "super()" and isinstance(owner, type):
            return getattr(owner.__mro__[1], node.attr, None)
        return getattr(self._find(node.value, class_name), node.attr, None)


def _callable(callee: Any) -> Any:
    if not isinstance(callee, type):
        return callee
    # Not the class itself: jsii's metaclass says (*args, **kwargs).
    return next(vars(base)["__init__"] for base in callee.__mro__ if "__init__" in vars(base))
