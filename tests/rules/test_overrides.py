"""Property overrides of L1 constructs, from the YAML of a fix."""

from __future__ import annotations

import pytest

from iot_constructs.rules.overrides import overrides, variable

HEAD = "It:\n  Properties:\n"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ("    A: 1", ['mapping.add_property_override("A", 1)']),
        ("    A: true\n    B: c/d-1.x", ["A", "B"]),
        ("    A:\n      B: x\n      C: 2\n    D: 3", ["A.B", "A.C", "D"]),
        ("    A: [B]", ['mapping.add_property_override("A", ["B"])']),
        ("    A:  # each\n      - {}\n      - B:\n          C: 1", ["A.1.B.C"]),
        ("    A:\n      - B: 1\n        C: 2", ["A.0.B", "A.0.C"]),
        # more than keys and plain scalars
        ("    A: {Ref: B}", []),
        ('    A: "1"', []),
        ("    A:\n      - B", []),
        ("    A: 1\nOther:\n  Type: AWS::SNS::Topic", []),
    ],
)
def test_overrides(properties: str, expected: list[str]) -> None:
    found = overrides(HEAD + properties, "AWS::Lambda::EventSourceMapping").splitlines()
    assert len(found) == len(expected)
    for statement, text in zip(found, expected, strict=True):
        assert statement == text or statement.startswith(
            f'mapping.add_property_override("{text}", '
        )


def test_what_is_no_property() -> None:
    assert overrides("It:\n  DeletionPolicy: Retain\n  Properties:\n    A: 1", "X") == ""
    assert overrides("", "X") == ""


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("AWS::KinesisFirehose::DeliveryStream", "delivery_stream"),
        ("AWS::DynamoDB::GlobalTable", "table"),
        ("AWS::RDS::DBCluster", "db_cluster"),
        ("AWS::S3::Bucket", "bucket"),
        ("AWS::IoT::TopicRule", "rule"),
    ],
)
def test_variables(type: str, expected: str) -> None:
    assert variable(type) == expected
