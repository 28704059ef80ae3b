"""Using what CDK has deprecated is an error in tests, by tests/conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb

from tests.synth_support import fresh_stack

_USES_IT = """
import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
dynamodb.Table(cdk.Stack(), "Table", partition_key=key, point_in_time_recovery=True)
"""


def test_a_deprecated_argument_is_an_error() -> None:
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    with pytest.raises(RuntimeError, match="pointInTimeRecovery is deprecated"):
        dynamodb.Table(fresh_stack(), "Table", partition_key=key, point_in_time_recovery=True)


def test_a_deprecation_that_is_an_annotation_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"some\.api is deprecated: use another"):
        cdk.Annotations.of(fresh_stack()).add_deprecation("some.api", "use another")


def test_it_is_an_error_in_programs_that_tests_start() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _USES_IT],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "pointInTimeRecovery is deprecated" in done.stderr
