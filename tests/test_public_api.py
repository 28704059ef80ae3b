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


def test_all_is_what_can_be_imported() -> None:
    assert iot_constructs.__all__ == sorted(iot_constructs.__all__)
    for name in iot_constructs.__all__:
        assert inspect.isclass(getattr(iot_constructs, name)), name


def test_every_public_class_of_a_public_module_is_in_all() -> None:
    found = set()
    for module in pkgutil.iter_modules(iot_constructs.__path__):
        if module.name.startswith("_") or module.ispkg:  # cli is a command line, not an import
            continue
        loaded = importlib.import_module(f"iot_constructs.{module.name}")
        found |= {
            name
            for name, value in vars(loaded).items()
            if inspect.isclass(value)
            and value.__module__ == loaded.__name__
            and not name.startswith("_")
        }
    assert found == set(iot_constructs.__all__)


def _parameters(name: str) -> list[inspect.Parameter]:
    """Of the constructor as written: the class itself answers with jsii's metaclass."""
    initializer = getattr(iot_constructs, name).__init__
    return list(inspect.signature(initializer).parameters.values())[1:]


_CONSTRUCTS = [n for n in iot_constructs.__all__ if _parameters(n)[0].name == "scope"]


def test_most_of_the_public_classes_are_constructs() -> None:
    assert set(iot_constructs.__all__) - set(_CONSTRUCTS) == {
        "AlarmThresholds",
        "EnvironmentSuffix",
    }


@pytest.mark.parametrize("name", _CONSTRUCTS)
def test_constructs_take_keywords_only_and_never_any_keyword(name: str) -> None:
    parameters = _parameters(name)
    assert [p.name for p in parameters[:2]] == ["scope", "id"]
    assert {p.kind for p in parameters[2:]} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", _CONSTRUCTS)
def test_every_argument_is_in_the_docstring_of_its_class(name: str) -> None:
    documented = re.findall(
        r"^[a-z_, ]+:|^[a-z_, ]+,$", inspect.getdoc(getattr(iot_constructs, name)) or "", re.M
    )
    names = set(re.findall(r"[a-z_]+", " ".join(documented)))
    arguments = {p.name for p in _parameters(name)[2:]}
    assert arguments - names == set()


def test_the_package_says_that_it_is_typed() -> None:
    assert files("iot_constructs").joinpath("py.typed").is_file()


def test_importing_the_package_loads_nothing_of_cdk() -> None:
    assert _modules_after("import iot_constructs") == set()


def test_one_construct_loads_what_it_uses() -> None:
    loaded = _modules_after("from iot_constructs import SecureDataBucket")
    assert "aws_cdk.aws_s3" in loaded
    assert "aws_cdk.aws_kinesis" not in loaded


@pytest.mark.parametrize("module", ["_asked_once", "_grants"])
def test_what_all_constructs_need_loads_nothing_of_what_it_is_about(module: str) -> None:
    about = ("dynamodb", "kinesis", "lambda", "s3", "sns")
    loaded = _modules_after(f"import iot_constructs.{module}")
    assert loaded & {f"aws_cdk.aws_{it}" for it in about} == set()


def test_all_of_it_needs_no_boto3_and_no_module_of_cdk_that_it_does_not_use() -> None:
    used = ", ".join(f"aws_cdk.{module}" for module in _USED)
    assert _modules_after("from iot_constructs import *") == _modules_after(f"import {used}")


def test_a_name_that_does_not_exist_is_said_to_be_missing() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SecureBucket'"):
        iot_constructs.SecureBucket  # noqa: B018 - looking is the point


def test_dir_shows_the_names_before_they_are_loaded() -> None:
    assert set(iot_constructs.__all__) <= set(dir(iot_constructs))


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
    "aws_lambda_destinations",
    "aws_lambda_event_sources",
    "aws_s3",
    "aws_sns",
    "aws_sqs",
)


def _modules_after(statement: str) -> set[str]:
    """Which modules of CDK, and whether boto3, are loaded once ``statement`` has run."""
    code = (
        f"import sys\n{statement}\n"
        "print(*(m for m in sys.modules if m == 'boto3' or m.startswith('aws_cdk')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())
