"""What a user imports, and what importing it costs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib.resources import files

import pytest

import iot_constructs
from iot_constructs import _warnings

_VALUES = {"AlarmActions", "AlarmThresholds", "EnvironmentSuffix", "NamePrefix", "Severity"}
_CONSTRUCTS = [name for name in iot_constructs.__all__ if name not in _VALUES]


def test_all_is_what_can_be_imported() -> None:
    assert iot_constructs.__all__ == sorted(iot_constructs.__all__)
    assert set(iot_constructs.__all__) <= set(dir(iot_constructs))
    for name in iot_constructs.__all__:
        assert inspect.isclass(getattr(iot_constructs, name)), name
    with pytest.raises(AttributeError, match="no attribute 'SecureBucket'"):
        iot_constructs.SecureBucket  # noqa: B018 - looking is the point


def test_every_public_class_of_a_public_module_is_in_all() -> None:
    found = set()
    for module in pkgutil.iter_modules(iot_constructs.__path__):
        if module.name.startswith("_") or module.ispkg:  # cli is a command line, rules its own API
            continue
        loaded = importlib.import_module(f"iot_constructs.{module.name}")
        found |= {
            name
            for name, value in vars(loaded).items()
            if inspect.isclass(value)
            and value.__module__ == loaded.__name__
            and not name.startswith("_")
        }
    # Severity stands beside the alarm table, which monitoring imports.
    assert found | {"Severity"} == set(iot_constructs.__all__)


@pytest.mark.parametrize("name", _CONSTRUCTS)
def test_a_construct_takes_documented_keywords(name: str) -> None:
    construct = getattr(iot_constructs, name)
    scope, id, *keywords = list(inspect.signature(construct.__init__).parameters.values())[1:]
    assert (scope.name, id.name) == ("scope", "id")
    kinds = {parameter.kind for parameter in keywords}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    arguments = re.search(r"^Args:\n((?:    .*\n|\n)+)", inspect.getdoc(construct) or "", re.M)
    assert arguments is not None
    documented = re.findall(r"^    \*{0,2}(\w+):", arguments[1], re.M)
    assert sorted(documented) == sorted(parameter.name for parameter in keywords)


def test_the_package_is_typed() -> None:
    assert files("iot_constructs").joinpath("py.typed").is_file()


def test_the_ids_of_warnings_are_stable() -> None:
    """Apps acknowledge them by id, so a renamed one returns as a new warning."""
    ids = {value for name, value in vars(_warnings).items() if name.isupper()}
    assert ids == {
        "iot-constructs:dataDestroyedWithStack",
        "iot-constructs:eventCountsOff",
        "iot-constructs:functionRoleUnknown",
        "iot-constructs:keyPolicyNotChanged",
        "iot-constructs:logBucketPolicyNotChanged",
        "iot-constructs:logBucketWithKmsKey",
        "iot-constructs:noSubscription",
        "iot-constructs:otherAccount",
        "iot-constructs:streamRetentionUnknown",
        "iot-constructs:topicPolicyNotChanged",
    }


# --- what an import loads ----------------------------------------------------------------------------------------

_USED = (
    "aws_athena",
    "aws_cloudwatch_actions",
    "aws_dynamodb",
    "aws_glue",
    "aws_iot",
    "aws_kinesis",
    "aws_kinesisfirehose",
    "aws_kms",
    "aws_lambda",
    "aws_s3",
    "aws_sns",
    "aws_sqs",
)
_SHARED = ("environment", "_kms", "_nag")  # what all constructs use


def _modules_after(statement: str) -> set[str]:
    """Which modules of CDK are loaded after ``statement``, and whether boto3 is."""
    code = (
        f"import sys\n{statement}\n"
        "print(*(m for m in sys.modules if m == 'boto3' or m.startswith('aws_cdk')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_of_cdk() -> None:
    assert _modules_after("import iot_constructs") == set()


def test_one_construct_loads_what_it_uses() -> None:
    loaded = _modules_after("from iot_constructs import SecureDataBucket")
    assert "aws_cdk.aws_s3" in loaded
    assert "aws_cdk.aws_kinesis" not in loaded


def test_shared_modules_load_nothing_of_single_services() -> None:
    shared = ", ".join(f"iot_constructs.{module}" for module in _SHARED)
    unused = {f"aws_cdk.{module}" for module in _USED} - {"aws_cdk.aws_kms"}
    assert _modules_after(f"import {shared}") & unused == set()


def test_all_of_it_needs_no_boto3_and_no_module_of_cdk_that_it_does_not_use() -> None:
    used = ", ".join(f"aws_cdk.{module}" for module in _USED)
    assert _modules_after("from iot_constructs import *") == _modules_after(f"import {used}")
