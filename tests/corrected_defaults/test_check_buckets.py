"""IOT_04, IOT_24, IOT_25: buckets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.corrected_defaults.compliant_pipeline import (
    Json,
    att,
    check,
    compliant,
    found,
    ref,
    resource,
    template,
)

FLAGS = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"]


def statement(resources: dict[str, Json]) -> Json:
    document: Json = resources["DataPolicy"]["Properties"]["PolicyDocument"]
    first: Json = document["Statement"][0]
    return first


class TestPublicAccess:
    @pytest.mark.parametrize("flag", FLAGS)
    @pytest.mark.parametrize("value", [False, "false", None, {"Fn::If": ["X", False, False]}])
    def test_a_flag_that_is_not_true(self, flag: str, value: Any) -> None:
        resources = compliant()
        block = resources["Data"]["Properties"]["PublicAccessBlockConfiguration"]
        block[flag] = value
        if value is None:
            del block[flag]
        findings = check(template(resources))
        assert [(it.rule_id, it.logical_id) for it in findings] == [
            ("IOT_04_PRIVATE_TLS_BUCKET", "Data")
        ]
        assert flag in findings[0].detail
        assert all(other not in findings[0].detail for other in FLAGS if other != flag)

    def test_nothing_said_at_all(self) -> None:
        resources = compliant()
        del resources["Data"]["Properties"]["PublicAccessBlockConfiguration"]
        assert found(resources) == [("IOT_04", "Data")]

    @pytest.mark.parametrize(
        "value", [True, "true", ref("Parameter"), {"Fn::If": ["IsProd", True, False]}]
    )
    def test_a_flag_that_is_true_or_may_be(self, value: Any) -> None:
        resources = compliant()
        resources["Data"]["Properties"]["PublicAccessBlockConfiguration"]["BlockPublicAcls"] = value
        assert found(resources) == []

    def test_a_whole_block_by_condition(self) -> None:
        resources = compliant()
        properties = resources["Data"]["Properties"]
        block = properties["PublicAccessBlockConfiguration"]
        properties["PublicAccessBlockConfiguration"] = {
            "Fn::If": ["IsPrivate", block, {"Ref": "AWS::NoValue"}]
        }
        assert found(resources) == []


class TestPlainHttp:
    def test_no_policy(self) -> None:
        resources = compliant()
        del resources["DataPolicy"]
        assert found(resources) == [("IOT_04", "Data")]

    @pytest.mark.parametrize(
        "change",
        [
            {"Effect": "Allow"},
            {"Action": "s3:GetObject"},
            {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
            {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
            {"Condition": {"NumericLessThan": {"s3:TlsVersion": 1.2}}},
            {"Condition": {}},
            {"Resource": att("Data")},
            {"Resource": {"Fn::Join": ["", [att("Data"), "/*"]]}},
            {"Resource": [att("Logs"), {"Fn::Sub": "${Logs.Arn}/*"}]},
            {"Resource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]},
        ],
    )
    def test_a_policy_that_does_not_deny_it(self, change: Json) -> None:
        resources = compliant()
        statement(resources).update(change)
        assert found(resources) == [("IOT_04", "Data")]

    @pytest.mark.parametrize(
        "change",
        [
            {"Principal": "*"},
            {"Action": ["s3:*"]},
            {"Action": "*"},
            {"Resource": "*"},
            {"Resource": [att("Data"), {"Fn::Sub": "${Data.Arn}/*"}]},
            {"Resource": {"Fn::Sub": "${Data.Arn}*"}},
            {"Resource": [ref("SomeArn")]},
            {"Condition": {"Bool": {"AWS:SecureTransport": False}}},
            {"Condition": {"BoolIfExists": {"aws:SecureTransport": ["false"]}}},
            {
                "Resource": [
                    {"Fn::Sub": "arn:aws:s3:::iot-data-${AWS::AccountId}-${AWS::Region}-dev"},
                    {"Fn::Sub": "arn:aws:s3:::iot-data-${AWS::AccountId}-${AWS::Region}-dev/*"},
                ]
            },
        ],
    )
    def test_other_ways_to_deny_it(self, change: Json) -> None:
        resources = compliant()
        statement(resources).update(change)
        assert found(resources) == []

    def test_in_two_statements(self) -> None:
        resources = compliant()
        first = statement(resources)
        first["Resource"] = att("Data")
        document = resources["DataPolicy"]["Properties"]["PolicyDocument"]
        document["Statement"].append({**first, "Resource": {"Fn::Sub": "${Data.Arn}/*"}})
        assert found(resources) == []

    def test_the_policy_of_another_bucket(self) -> None:
        resources = compliant()
        resources["DataPolicy"]["Properties"]["Bucket"] = "some-imported-bucket"
        assert found(resources) == [("IOT_04", "Data")]

    def test_a_policy_for_a_bucket_that_only_the_deployment_knows(self) -> None:
        resources = compliant()
        resources["DataPolicy"]["Properties"]["Bucket"] = ref("BucketParameter")
        assert found(resources) == []

    def test_a_policy_that_names_the_bucket(self) -> None:
        resources = compliant()
        resources["Data"]["Properties"]["BucketName"] = "iot-data-dev"
        resources["DataPolicy"]["Properties"]["Bucket"] = "iot-data-dev"
        assert found(resources) == []

    def test_a_document_that_cannot_be_read(self) -> None:
        resources = compliant()
        resources["DataPolicy"]["Properties"]["PolicyDocument"] = ref("Document")
        assert found(resources) == []


class TestVersioning:
    @pytest.mark.parametrize("value", [None, {"Status": "Suspended"}, {}])
    def test_off(self, value: Json | None) -> None:
        resources = compliant()
        properties = resources["Data"]["Properties"]
        del properties["VersioningConfiguration"]
        if value is not None:
            properties["VersioningConfiguration"] = value
        assert found(resources) == [("IOT_24", "Data")]

    @pytest.mark.parametrize(
        "value", [{"Status": ref("Status")}, {"Status": {"Fn::If": ["A", "Enabled", "Suspended"]}}]
    )
    def test_on_or_maybe(self, value: Json) -> None:
        resources = compliant()
        resources["Data"]["Properties"]["VersioningConfiguration"] = value
        assert found(resources) == []

    def test_object_lock_turns_it_on(self) -> None:
        resources = compliant()
        del resources["Data"]["Properties"]["VersioningConfiguration"]
        resources["Data"]["Properties"]["ObjectLockEnabled"] = True
        assert found(resources) == []


class TestAccessLogs:
    def test_none(self) -> None:
        resources = compliant()
        del resources["Data"]["Properties"]["LoggingConfiguration"]
        # Without a source, the other bucket is an ordinary one.
        assert found(resources) == [
            ("IOT_24", "Logs"),
            ("IOT_25", "Data"),
            ("IOT_25", "Logs"),
        ]

    def test_into_a_bucket_of_somebody_else(self) -> None:
        resources = compliant()
        resources["Data"]["Properties"]["LoggingConfiguration"] = {
            "DestinationBucketName": "central-logs"
        }
        del resources["Logs"], resources["LogsPolicy"]
        assert found(resources) == []

    @pytest.mark.parametrize("kind", ["acl", "policy"])
    def test_a_bucket_that_another_app_logs_into(self, kind: str) -> None:
        resources = compliant()
        del resources["Data"], resources["DataPolicy"], resources["Archive"], resources["Freshness"]
        if kind == "acl":
            resources["Logs"]["Properties"]["AccessControl"] = "LogDeliveryWrite"
        else:
            document = resources["LogsPolicy"]["Properties"]["PolicyDocument"]
            document["Statement"].append(
                {
                    "Action": "s3:PutObject",
                    "Effect": "Allow",
                    "Principal": {"Service": "logging.s3.amazonaws.com"},
                    "Resource": {"Fn::Sub": "${Logs.Arn}/*"},
                }
            )
        assert found(resources) == []

    def test_a_bucket_that_logs_into_itself_is_no_log_bucket(self) -> None:
        resources = compliant()
        data = resources["Data"]["Properties"]
        data["LoggingConfiguration"] = {"DestinationBucketName": ref("Data")}
        del data["VersioningConfiguration"], resources["Logs"], resources["LogsPolicy"]
        assert found(resources) == [("IOT_24", "Data")]


def test_a_log_bucket_must_be_private_too() -> None:
    resources = compliant()
    del resources["LogsPolicy"]
    del resources["Logs"]["Properties"]["PublicAccessBlockConfiguration"]
    assert found(resources) == [("IOT_04", "Logs"), ("IOT_04", "Logs")]


def test_other_kinds_of_bucket_are_not_looked_at() -> None:
    assert found({"It": resource("AWS::S3Express::DirectoryBucket")}) == []
