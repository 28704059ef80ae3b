"""The rules for buckets: IOT_04, IOT_24, IOT_25."""

from __future__ import annotations

from typing import Any

import pytest

from iot_constructs.rules.rule import Finding
from tests.rules import compliant_pipeline
from tests.rules.compliant_pipeline import (
    Json,
    att,
    compliant,
    places,
    ref,
    resource,
    template,
)

RULES = ("IOT_04", "IOT_24", "IOT_25")

FLAGS = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"]


def check(resources: dict[str, Json]) -> list[Finding]:
    findings = compliant_pipeline.check(template(resources))
    return [it for it in findings if it.rule_id.startswith(RULES)]


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return places(check(resources))


def statement(resources: dict[str, Json]) -> Json:
    document: Json = resources["DataPolicy"]["Properties"]["PolicyDocument"]
    first: Json = document["Statement"][0]
    return first


# The findings of the bucket "Logs" if nothing shows that it stores logs.
ORDINARY = [("IOT_24", "Logs"), ("IOT_25", "Logs")]


def alone_with_logs() -> dict[str, Json]:
    """The bucket "Logs", without the one that logs into it."""
    resources = compliant()
    for name in ("Data", "DataPolicy", "Archive", "Freshness"):
        del resources[name]
    return resources


class TestPublicAccess:
    @pytest.mark.parametrize("flag", FLAGS)
    @pytest.mark.parametrize("value", [False, "false", None, {"Fn::If": ["X", False, False]}])
    def test_a_flag_that_is_not_true(self, flag: str, value: Any) -> None:
        resources = compliant()
        block = resources["Data"]["Properties"]["PublicAccessBlockConfiguration"]
        block[flag] = value
        if value is None:
            del block[flag]
        findings = check(resources)
        assert [(it.rule_id, it.logical_id) for it in findings] == [
            ("IOT_04_PRIVATE_TLS_BUCKET", "Data")
        ]
        assert flag in findings[0].detail
        assert all(other not in findings[0].detail for other in FLAGS if other != flag)

    def test_no_properties_at_all(self) -> None:
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


PLAIN_HTTP = {"Bool": {"aws:SecureTransport": "false"}}


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
            {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}},
            {"Condition": {"StringNotEquals": {"aws:SecureTransport": "false"}}},
            {"Condition": {"Bool": "aws:SecureTransport"}},
            {"Condition": {"NumericLessThan": {"s3:TlsVersion": 1.2}}},
            {"Condition": {**PLAIN_HTTP, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}},
            {
                "Condition": {
                    "Bool": {"aws:SecureTransport": "false", "aws:MultiFactorAuthPresent": "false"}
                }
            },
            {"Condition": {}},
            {"Resource": [att("Logs"), {"Fn::Sub": "${Logs.Arn}/*"}]},
            {"Resource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]},
            {"Resource": ""},
        ],
    )
    def test_a_policy_that_does_not_deny_it(self, change: Json) -> None:
        resources = compliant()
        statement(resources).update(change)
        (finding,) = check(resources)
        assert (finding.rule_id[:6], finding.logical_id) == ("IOT_04", "Data")
        assert finding.detail.startswith("no policy denies plain HTTP")

    @pytest.mark.parametrize(
        ("denied", "said"),
        [
            (att("Data"), "for the bucket, but not its objects"),
            ({"Fn::Join": ["", [att("Data"), "/*"]]}, "for the objects, but not the bucket"),
        ],
    )
    def test_a_policy_that_denies_half_of_it(self, denied: Json, said: str) -> None:
        resources = compliant()
        statement(resources)["Resource"] = denied
        (finding,) = check(resources)
        assert (finding.rule_id[:6], finding.logical_id) == ("IOT_04", "Data")
        assert said in finding.detail

    def test_an_allow_that_cannot_be_judged_denies_nothing(self) -> None:
        resources = compliant()
        statement(resources).update(Effect="Allow", NotAction="s3:PutObject")
        assert found(resources) == [("IOT_04", "Data")]

    @pytest.mark.parametrize(
        "change",
        [
            {"Principal": "*"},
            {"Action": ["s3:*"]},
            {"Action": "*"},
            {"Resource": "*"},
            {"Resource": [att("Data"), {"Fn::Sub": "${Data.Arn}/*"}]},
            {"Resource": [{"Fn::Sub": "${Data.Arn}/*"}, att("Data")]},
            {"Resource": {"Fn::Sub": "${Data.Arn}*"}},
            {"Resource": [ref("SomeArn")]},
            {"Condition": {"Bool": {"AWS:SecureTransport": False}}},
            {"Condition": {"BoolIfExists": {"aws:SecureTransport": ["false"]}}},
            {"Condition": {**PLAIN_HTTP, "BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}},
            # what may deny it
            {"Condition": {"Bool": {"aws:SecureTransport": {"Fn::If": ["A", "false", "true"]}}}},
            {"Condition": {"Bool": ref("Test")}},
            {"Condition": {"Fn::If": ["A", {}, ref("AWS::NoValue")]}},
            {"Principal": ref("Principal")},
            {"Principal": {"AWS": ref("Somebody")}},
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

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({}, []),
            ({"Resource": [ref("Parameter")]}, []),
            ({"Resource": [{"Fn::Sub": "arn:aws:s3:::${Parameter}/*"}]}, []),
            ({"Resource": "arn:aws:s3:::*"}, []),
            ({"Resource": ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]}, [("IOT_04", "Data")]),
            ({"Effect": "Allow"}, [("IOT_04", "Data")]),
        ],
    )
    def test_a_policy_for_a_bucket_that_only_the_deployment_knows(
        self, change: Json, expected: list[tuple[str, str]]
    ) -> None:
        resources = compliant()
        resources["DataPolicy"]["Properties"]["Bucket"] = ref("BucketParameter")
        statement(resources).update(change)
        assert found(resources) == expected

    @pytest.mark.parametrize(
        ("denied", "expected"), [("arn:aws:s3:::iot-*", []), ("arn:aws:s3:::x*", ["IOT_04"])]
    )
    def test_a_wildcard_in_the_name(self, denied: str, expected: list[str]) -> None:
        resources = compliant()
        resources["Data"]["Properties"]["BucketName"] = "iot-data-dev"
        statement(resources)["Resource"] = denied
        assert [rule for rule, _ in found(resources)] == expected

    def test_a_wildcard_that_can_match_a_generated_name(self) -> None:
        resources = compliant()
        del resources["Data"]["Properties"]["BucketName"]
        statement(resources)["Resource"] = "arn:aws:s3:::telemetry-*"
        assert found(resources) == []

    def test_actions_in_capitals(self) -> None:
        resources = compliant()
        statement(resources)["Action"] = "S3:*"
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


PUBLIC_READ: Json = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": {"Fn::Sub": "${Data.Arn}/*"},
}


class TestPublicOnPurpose:
    """The injectors leave these buckets alone as well (test_injectors_storage.py)."""

    def judge(self, properties: Json, statement: Json | None = None) -> list[str]:
        resources = {"Data": resource("AWS::S3::Bucket", **properties)}
        if statement is not None:
            resources["Policy"] = resource(
                "AWS::S3::BucketPolicy",
                Bucket=ref("Data"),
                PolicyDocument={"Statement": [statement]},
            )
        return [rule for rule, _ in found(resources) if rule == "IOT_04"]

    @pytest.mark.parametrize(
        "properties",
        [
            {"WebsiteConfiguration": {"IndexDocument": "index.html"}},
            {"WebsiteConfiguration": {"RedirectAllRequestsTo": {"HostName": "example.com"}}},
            {
                "WebsiteConfiguration": {
                    "Fn::If": ["A", {"IndexDocument": "i"}, ref("AWS::NoValue")]
                }
            },
            {"AccessControl": "PublicRead"},
            {"AccessControl": "PublicReadWrite"},
            {"AccessControl": "AuthenticatedRead"},
            {"AccessControl": {"Fn::If": ["IsPublic", "PublicRead", "Private"]}},
        ],
    )
    def test_by_its_properties(self, properties: Json) -> None:
        assert self.judge(properties) == []

    @pytest.mark.parametrize(
        "properties",
        [
            {},
            {"AccessControl": "Private"},
            {"AccessControl": ref("Parameter")},
            {"WebsiteConfiguration": ref("AWS::NoValue")},
        ],
    )
    def test_other_properties(self, properties: Json) -> None:
        assert self.judge(properties) == ["IOT_04", "IOT_04"]

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"Principal": {"AWS": "*"}},
            {"Action": "s3:*"},
            {"Action": ["s3:Get*"]},
            {"Action": ref("P")},
        ],
    )
    def test_by_a_policy(self, change: Json) -> None:
        assert self.judge({}, {**PUBLIC_READ, **change}) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"Principal": {"Service": "cloudfront.amazonaws.com"}},
            {"Principal": {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}}},
            {"Action": "s3:PutObject"},
            {"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1a2b3c4d"}}},
        ],
    )
    def test_a_policy_that_lets_only_some_read(self, change: Json) -> None:
        assert self.judge({}, {**PUBLIC_READ, **change}) == ["IOT_04", "IOT_04"]

    def test_a_policy_that_can_be_anything_does_not_make_it_public(self) -> None:
        # It can deny plain HTTP, but the flags are missing.
        assert self.judge({}, {**PUBLIC_READ, "Principal": ref("P"), "Effect": ref("E")}) == [
            "IOT_04"
        ]


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

    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            ([{"Status": "Enabled", "ExpirationInDays": 30}], []),
            ([{"Status": "Enabled", "ExpirationDate": "2030-01-01T00:00:00Z"}], []),
            ([{"Status": "Enabled", "ExpirationInDays": ref("Days")}], []),
            ([{"Status": ref("Status"), "ExpirationInDays": 30}], []),
            ([{"Fn::If": ["A", {"ExpirationInDays": 30}, ref("AWS::NoValue")]}], []),
            (ref("Rules"), []),
            ([{"Status": "Disabled", "ExpirationInDays": 30}], ["IOT_24"]),
            ([{"Status": "Enabled", "NoncurrentVersionExpiration": {}}], ["IOT_24"]),
            ([{"Status": "Enabled", "Transitions": [{"TransitionInDays": 30}]}], ["IOT_24"]),
            ([], ["IOT_24"]),
        ],
    )
    def test_a_bucket_that_expires_its_objects(self, rules: Any, expected: list[str]) -> None:
        resources = compliant()
        properties = resources["Data"]["Properties"]
        del properties["VersioningConfiguration"]
        properties["LifecycleConfiguration"] = {"Rules": rules}
        assert [rule for rule, _ in found(resources)] == expected


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

    def test_into_a_bucket_of_another_app(self) -> None:
        resources = compliant()
        resources["Data"]["Properties"]["LoggingConfiguration"] = {
            "DestinationBucketName": "central-logs"
        }
        del resources["Logs"], resources["LogsPolicy"]
        assert found(resources) == []

    def test_under_a_condition(self) -> None:
        resources = compliant()
        data = resources["Data"]["Properties"]
        data["LoggingConfiguration"] = {
            "Fn::If": ["IsProd", data["LoggingConfiguration"], ref("AWS::NoValue")]
        }
        assert found(resources) == []

    def test_a_bucket_that_another_app_logs_into(self) -> None:
        resources = alone_with_logs()
        resources["Logs"]["Properties"]["AccessControl"] = "LogDeliveryWrite"
        assert found(resources) == []

    def test_an_acl_by_condition(self) -> None:
        resources = alone_with_logs()
        resources["Logs"]["Properties"]["AccessControl"] = {
            "Fn::If": ["IsProd", "LogDeliveryWrite", "Private"]
        }
        assert found(resources) == []

    @pytest.mark.parametrize(
        ("effect", "service", "expected"),
        [
            ("Allow", "logging.s3.amazonaws.com", []),
            ("Allow", "delivery.logs.amazonaws.com", []),
            ("Allow", "cloudtrail.amazonaws.com", []),
            ("Allow", "config.amazonaws.com", []),
            ("Allow", "logdelivery.elasticloadbalancing.amazonaws.com", []),
            ("Deny", "logging.s3.amazonaws.com", ORDINARY),
            ("Allow", "cloudfront.amazonaws.com", ORDINARY),
        ],
    )
    def test_a_bucket_that_a_service_may_write_to(
        self, effect: str, service: str, expected: list[tuple[str, str]]
    ) -> None:
        resources = alone_with_logs()
        document = resources["LogsPolicy"]["Properties"]["PolicyDocument"]
        document["Statement"].append(
            {
                "Action": "s3:PutObject",
                "Effect": effect,
                "Principal": {"Service": service},
                "Resource": {"Fn::Sub": "${Logs.Arn}/*"},
            }
        )
        assert found(resources) == expected

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
