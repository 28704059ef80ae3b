"""SecureDataBucket: private, encrypted, TLS-only and logged, whatever the app's feature flags say."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from iot_constructs import SecureDataBucket
from tests.synth_support import (
    ACCOUNT,
    ENV,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    recommended_flags,
    resources,
    template_of,
)

BUCKET = "AWS::S3::Bucket"
DATA_NAME = f"iot-sensor-data-{ACCOUNT}-eu-central-1-prod"
LOGS_NAME = f"iot-sensor-data-logs-{ACCOUNT}-eu-central-1-prod"
BOTH = pytest.mark.parametrize("name", [DATA_NAME, LOGS_NAME], ids=["data", "logs"])


@pytest.fixture(scope="module", params=[False, True], ids=["no-flags", "recommended-flags"])
def prod(request: pytest.FixtureRequest) -> Json:
    """The bucket with nothing but defaults, without feature flags and with those of ``cdk init``."""
    stack = fresh_stack("prod", env=ENV, context=recommended_flags() if request.param else None)
    SecureDataBucket(stack, "Archive")
    return template_of(stack)


@pytest.fixture(scope="module")
def qa7() -> Json:
    stack = fresh_stack("qa7")
    SecureDataBucket(stack, "Archive")
    SecureDataBucket(stack, "Second", bucket_name="second")
    return template_of(stack)


def logical_id(template: Json, name: str) -> str:
    (found,) = [
        key
        for key, value in resources(template, BUCKET).items()
        if value["Properties"]["BucketName"] == name
    ]
    return found


def statements(template: Json, name: str) -> list[Json]:
    bucket = {"Ref": logical_id(template, name)}
    policy = one(template, "AWS::S3::BucketPolicy", Bucket=bucket)
    found: list[Json] = policy["PolicyDocument"]["Statement"]
    return found


def data_bucket(**arguments: Any) -> tuple[Json, Json]:
    """The data bucket's properties, and the whole template, with other arguments than the defaults."""
    stack = fresh_stack("prod", env=ENV)
    SecureDataBucket(stack, "Archive", **arguments)
    template = template_of(stack)
    return one(template, BUCKET, BucketName=DATA_NAME), template


# --- correction 4: private and TLS-only, the log bucket as well --------------------------------------------------


@BOTH
def test_all_public_access_is_blocked(prod: Json, name: str) -> None:
    assert one(prod, BUCKET, BucketName=name)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }


@BOTH
@pytest.mark.parametrize(
    "condition",
    [{"Bool": {"aws:SecureTransport": "false"}}, {"NumericLessThan": {"s3:TlsVersion": 1.2}}],
    ids=["plain-http", "old-tls"],
)
def test_what_is_not_tls_1_2_is_denied(prod: Json, name: str, condition: Json) -> None:
    arn = {"Fn::GetAtt": [logical_id(prod, name), "Arn"]}
    (deny,) = [found for found in statements(prod, name) if found.get("Condition") == condition]
    assert deny["Effect"] == "Deny"
    assert deny["Action"] == "s3:*"
    assert deny["Principal"] == {"AWS": "*"}
    assert deny["Resource"] == [arn, {"Fn::Join": ["", [arn, "/*"]]}]


@BOTH
def test_acls_have_no_say(prod: Json, name: str) -> None:
    bucket = one(prod, BUCKET, BucketName=name)
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "AccessControl" not in bucket


# --- encryption --------------------------------------------------------------------------------------------------


def test_data_is_under_the_key_of_the_stack_with_a_bucket_key(prod: Json) -> None:
    (key,) = resources(prod, "AWS::KMS::Key")
    (rule,) = one(prod, BUCKET, BucketName=DATA_NAME)["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": {"Fn::GetAtt": [key, "Arn"]},
    }
    assert rule["BucketKeyEnabled"] is True


def test_access_logs_are_sse_s3_which_log_delivery_needs(prod: Json) -> None:
    (rule,) = one(prod, BUCKET, BucketName=LOGS_NAME)["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_a_given_key_wins() -> None:
    stack = fresh_stack("prod", env=ENV)
    key = kms.Key(stack, "Own")
    SecureDataBucket(stack, "Archive", encryption_key=key)
    template = template_of(stack)
    (logical_key,) = resources(template, "AWS::KMS::Key")
    (rule,) = one(template, BUCKET, BucketName=DATA_NAME)["BucketEncryption"][
        "ServerSideEncryptionConfiguration"
    ]
    arn = {"Fn::GetAtt": [logical_key, "Arn"]}
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == arn
    assert rule["BucketKeyEnabled"] is True


@pytest.mark.parametrize(
    ("encryption", "algorithm"),
    [
        (s3.BucketEncryption.S3_MANAGED, "AES256"),
        (s3.BucketEncryption.KMS_MANAGED, "aws:kms"),
        (s3.BucketEncryption.DSSE_MANAGED, "aws:kms:dsse"),
    ],
)
def test_another_encryption_wins_and_makes_no_key(
    encryption: s3.BucketEncryption, algorithm: str
) -> None:
    bucket, template = data_bucket(encryption=encryption)
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": algorithm}
    assert resources(template, "AWS::KMS::Key") == {}


def test_kms_said_out_loud_is_the_default() -> None:
    bucket, template = data_bucket(encryption=s3.BucketEncryption.KMS)
    (key,) = resources(template, "AWS::KMS::Key")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == {"Fn::GetAtt": [key, "Arn"]}


def test_dsse_is_under_the_key_of_the_stack_and_has_no_bucket_key() -> None:
    bucket, template = data_bucket(encryption=s3.BucketEncryption.DSSE)
    (key,) = resources(template, "AWS::KMS::Key")
    assert one(template, "AWS::KMS::Key")["EnableKeyRotation"] is True
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms:dsse",
        "KMSMasterKeyID": {"Fn::GetAtt": [key, "Arn"]},
    }
    assert not rule.get("BucketKeyEnabled")  # S3 has none for DSSE-KMS


# --- access logs -------------------------------------------------------------------------------------------------


def test_reads_and_writes_are_logged_to_a_bucket_of_their_own(prod: Json) -> None:
    assert len(resources(prod, BUCKET)) == 2
    logging = one(prod, BUCKET, BucketName=DATA_NAME)["LoggingConfiguration"]
    assert logging["DestinationBucketName"] == {"Ref": logical_id(prod, LOGS_NAME)}


def test_the_log_bucket_is_not_logged_itself(prod: Json) -> None:
    assert "LoggingConfiguration" not in one(prod, BUCKET, BucketName=LOGS_NAME)


def test_log_delivery_is_allowed_by_policy_for_this_bucket_of_this_account(prod: Json) -> None:
    (allow,) = [found for found in statements(prod, LOGS_NAME) if found["Effect"] == "Allow"]
    logs_arn = {"Fn::GetAtt": [logical_id(prod, LOGS_NAME), "Arn"]}
    assert allow["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert allow["Action"] == "s3:PutObject"
    assert allow["Resource"] == {"Fn::Join": ["", [logs_arn, "/*"]]}
    assert allow["Condition"] == {
        "ArnLike": {"aws:SourceArn": {"Fn::GetAtt": [logical_id(prod, DATA_NAME), "Arn"]}},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }


def test_a_given_log_bucket_wins_and_none_is_made() -> None:
    stack = fresh_stack("prod", env=ENV)
    mine = s3.Bucket(stack, "Mine", bucket_name="mine")
    archive = SecureDataBucket(stack, "Archive", access_logs_bucket=mine)
    template = template_of(stack)
    assert archive.access_logs_bucket is mine
    assert len(resources(template, BUCKET)) == 2
    logging = one(template, BUCKET, BucketName=DATA_NAME)["LoggingConfiguration"]
    assert logging["DestinationBucketName"] == {"Ref": logical_id(template, "mine")}


def test_the_flag_that_is_set_for_log_delivery_stays_inside() -> None:
    stack = fresh_stack("prod")
    archive = SecureDataBucket(stack, "Archive")
    flag = "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy"
    assert archive.node.try_get_context(flag) is True
    assert stack.node.try_get_context(flag) is None


# --- versions and lifecycle --------------------------------------------------------------------------------------


def test_data_is_versioned_and_old_versions_and_broken_uploads_end(prod: Json) -> None:
    bucket = one(prod, BUCKET, BucketName=DATA_NAME)
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["LifecycleConfiguration"]["Rules"] == [
        {
            "Id": "ExpireOldVersions",
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        },
        {
            "Id": "AbortIncompleteUploads",
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    ]


def test_access_logs_end_after_a_year(prod: Json) -> None:
    assert one(prod, BUCKET, BucketName=LOGS_NAME)["LifecycleConfiguration"]["Rules"] == [
        {"Id": "Expire", "Status": "Enabled", "ExpirationInDays": 365},
        {
            "Id": "ExpireOldVersions",
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
        },
        {
            "Id": "AbortIncompleteUploads",
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    ]


def test_access_logs_can_be_brought_back(prod: Json) -> None:
    assert one(prod, BUCKET, BucketName=LOGS_NAME)["VersioningConfiguration"] == {
        "Status": "Enabled"
    }


@pytest.mark.parametrize(
    ("encryption", "encrypted"),
    [(None, True), (s3.BucketEncryption.DSSE, True), (s3.BucketEncryption.S3_MANAGED, False)],
)
def test_the_log_of_auto_delete_is_under_the_key_of_the_data(
    encryption: s3.BucketEncryption | None, encrypted: bool
) -> None:
    stack = fresh_stack("dev")
    SecureDataBucket(stack, "Data", encryption=encryption)
    template = template_of(stack)
    assert ("KmsKeyId" in one(template, "AWS::Logs::LogGroup")) is encrypted
    assert len(resources(template, "AWS::KMS::Key")) == int(encrypted)


def test_versioning_can_be_switched_off() -> None:
    assert "VersioningConfiguration" not in data_bucket(versioned=False)[0]
    assert data_bucket(versioned=True)[0]["VersioningConfiguration"] == {"Status": "Enabled"}


def test_given_lifecycle_rules_come_in_addition() -> None:
    mine = s3.LifecycleRule(id="Mine", expiration=cdk.Duration.days(30))
    rules = data_bucket(lifecycle_rules=[mine])[0]["LifecycleConfiguration"]["Rules"]
    assert [rule["Id"] for rule in rules] == ["ExpireOldVersions", "AbortIncompleteUploads", "Mine"]
    assert rules[2]["ExpirationInDays"] == 30
    none = data_bucket(lifecycle_rules=[])[0]["LifecycleConfiguration"]["Rules"]
    assert [rule["Id"] for rule in none] == ["ExpireOldVersions", "AbortIncompleteUploads"]


# --- names -------------------------------------------------------------------------------------------------------


def names(suffix: str, *, env: cdk.Environment | None = ENV, **arguments: Any) -> list[Any]:
    stack = fresh_stack(suffix, env=env)
    SecureDataBucket(stack, "Archive", **arguments)
    found = resources(template_of(stack), BUCKET).values()
    return sorted((bucket["Properties"]["BucketName"] for bucket in found), key=str)


def test_construct_ids_are_api_since_another_id_is_another_bucket() -> None:
    archive = SecureDataBucket(fresh_stack(), "Archive")
    assert archive.bucket.node.path == "Test/Archive/Bucket"
    assert archive.access_logs_bucket.node.path == "Test/Archive/AccessLogs"


def test_names_are_stem_account_region_suffix() -> None:
    assert names("prod") == [DATA_NAME, LOGS_NAME]
    assert names("prod", bucket_name="weather", environment_suffix="qa") == [
        f"weather-{ACCOUNT}-eu-central-1-qa",
        f"weather-logs-{ACCOUNT}-eu-central-1-qa",
    ]


def test_in_an_agnostic_stack_account_and_region_are_left_to_cloudformation() -> None:
    place = [{"Ref": "AWS::AccountId"}, "-", {"Ref": "AWS::Region"}, "-prod"]
    assert names("prod", env=None) == [
        {"Fn::Join": ["", ["iot-sensor-data-", *place]]},
        {"Fn::Join": ["", ["iot-sensor-data-logs-", *place]]},
    ]


def test_the_longest_suffix_fits_and_the_log_buckets_stem_gives_way() -> None:
    place = [{"Ref": "AWS::AccountId"}, "-", {"Ref": "AWS::Region"}, f"-{'x' * 19}"]
    assert names("x" * 19, env=None) == [
        {"Fn::Join": ["", ["iot-sensor-data-", *place]]},
        {"Fn::Join": ["", ["iot-sensor-logs-", *place]]},
    ]


def test_the_shortened_stem_does_not_end_in_two_hyphens() -> None:
    stems = {name["Fn::Join"][1][0] for name in names("x" * 17, env=None)}
    assert stems == {"iot-sensor-data-", "iot-sensor-d-logs-"}
    stems = {name["Fn::Join"][1][0] for name in names("x" * 18, env=None)}
    assert stems == {"iot-sensor-data-", "iot-sensor-logs-"}


def test_a_stem_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(fresh_stack("x" * 19), "Archive", bucket_name="s" * 16)
    assert "has 64 characters and AWS allows 63" in str(failure.value)
    assert f"shorten the stem '{'s' * 16}' by 1 or the suffix" in str(failure.value)


def test_two_buckets_of_one_name_are_refused_with_both_paths() -> None:
    stack = fresh_stack("prod", env=ENV)
    SecureDataBucket(stack, "One")
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(stack, "Two")
    assert "is used by 'Test/One' and by 'Test/Two'" in str(failure.value)
    assert "another name stem or environment suffix" in str(failure.value)


@pytest.mark.parametrize(
    ("stem", "fix"),
    [
        ("", "is empty; leave the argument out for the default"),
        ("My_data", "AWS allows a-z0-9-"),
        (cdk.Aws.REGION, "pass a literal string"),
    ],
)
def test_a_bad_stem_is_named_as_it_was_given(stem: str, fix: str) -> None:
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(fresh_stack(), "Archive", bucket_name=stem)
    assert "-logs" not in str(failure.value)
    assert "S3 bucket name stem" in str(failure.value)
    assert f"stem {stem!r}" in str(failure.value) or not stem
    assert fix in str(failure.value)


# --- what goes with the stack ------------------------------------------------------------------------------------


@BOTH
def test_data_and_logs_are_retained_and_nothing_empties_them(prod: Json, name: str) -> None:
    bucket = one_resource(prod, BUCKET, BucketName=name)
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert resources(prod, "Custom::S3AutoDeleteObjects") == {}
    assert resources(prod, "AWS::Lambda::Function") == {}


def test_in_an_ephemeral_stack_both_buckets_are_emptied_and_deleted(qa7: Json) -> None:
    emptied = {
        resource["Properties"]["BucketName"]["Ref"]
        for resource in resources(qa7, "Custom::S3AutoDeleteObjects").values()
    }
    assert emptied == set(resources(qa7, BUCKET))
    assert {value["DeletionPolicy"] for value in resources(qa7, BUCKET).values()} == {"Delete"}


def test_the_function_that_empties_buckets_leaves_no_log_group_behind(qa7: Json) -> None:
    (group,) = resources(qa7, "AWS::Logs::LogGroup")  # one, for both constructs
    assert group == "AutoDeleteObjectsLogs3627FC73"  # ids are API
    logs = one_resource(qa7, "AWS::Logs::LogGroup")
    function = one(qa7, "AWS::Lambda::Function")
    assert function["LoggingConfig"] == {"LogGroup": {"Ref": group}}
    assert logs["Properties"]["RetentionInDays"] == 7
    assert (logs["DeletionPolicy"], logs["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_the_function_that_empties_buckets_may_write_to_that_log_group_only(qa7: Json) -> None:
    """What it may do with a bucket stands in the bucket's policy."""
    role = one(qa7, "AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    # IAM takes no inline policy without a name, and a document without a version for one of 2008.
    assert policy["PolicyName"] == "Logs"
    assert policy["PolicyDocument"]["Version"] == "2012-10-17"
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": {"Fn::GetAtt": ["AutoDeleteObjectsLogs3627FC73", "Arn"]},
    }
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def users_own(stack: cdk.Stack) -> s3.Bucket:
    """A bucket that CDK's function empties, made by the user."""
    return s3.Bucket(
        stack, "Mine", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True
    )


@pytest.mark.parametrize("mine_first", [True, False])
def test_the_function_is_confined_also_beside_a_bucket_of_the_users(mine_first: bool) -> None:
    stack = fresh_stack("qa7")
    if mine_first:
        users_own(stack)
    SecureDataBucket(stack, "Archive")
    if not mine_first:
        users_own(stack)
    template = template_of(stack)
    assert len(resources(template, "Custom::S3AutoDeleteObjects")) == 3
    (group,) = resources(template, "AWS::Logs::LogGroup")
    assert one(template, "AWS::Lambda::Function")["LoggingConfig"] == {"LogGroup": {"Ref": group}}
    assert "ManagedPolicyArns" not in one(template, "AWS::IAM::Role")


def test_the_function_is_confined_once_by_the_first_bucket_of_a_stack() -> None:
    app = fresh_app()
    stacks = [fresh_stack("qa7", app=app, id=id) for id in ("A", "B")]
    for stack, stem in zip(stacks, ("a", "b"), strict=True):
        without_key = s3.BucketEncryption.S3_MANAGED
        SecureDataBucket(stack, "First", bucket_name=stem, encryption=without_key)
        SecureDataBucket(stack, "Second", bucket_name=f"{stem}-second")
    for stack in stacks:
        template = template_of(stack)
        # The second one's key would have come with a log group of its own.
        assert "KmsKeyId" not in one(template, "AWS::Logs::LogGroup")
        assert len(resources(template, "AWS::KMS::Key")) == 1
        (policy,) = one(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
        assert (
            "AWS" in policy["Principal"]
        )  # no log service: the key is for the second bucket alone


def test_a_nested_stack_empties_its_own_buckets() -> None:
    nested = cdk.NestedStack(fresh_stack("qa7"), "Nested")
    SecureDataBucket(nested, "Archive")
    template = template_of(nested)
    (group,) = resources(template, "AWS::Logs::LogGroup")
    assert one(template, "AWS::Lambda::Function")["LoggingConfig"] == {"LogGroup": {"Ref": group}}


def test_retaining_wins_in_an_ephemeral_stack() -> None:
    stack = fresh_stack("qa7")
    SecureDataBucket(stack, "Archive", removal_policy=cdk.RemovalPolicy.RETAIN)
    template = template_of(stack)
    assert {value["DeletionPolicy"] for value in resources(template, BUCKET).values()} == {"Retain"}
    assert resources(template, "Custom::S3AutoDeleteObjects") == {}


@pytest.mark.parametrize("plain", [False, True], ids=["prod", "plain-stack"])
def test_destroying_data_of_a_lasting_stack_is_refused(plain: bool) -> None:
    stack = cdk.Stack(fresh_app(), "Test") if plain else fresh_stack("prod")
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(stack, "Archive", removal_policy=cdk.RemovalPolicy.DESTROY)
    assert "removal_policy=RemovalPolicy.DESTROY for 'Test/Archive'" in str(failure.value)
    assert "use SuffixedStack(..., ephemeral=True), or leave removal_policy out" in str(
        failure.value
    )


# --- what cannot be switched off ---------------------------------------------------------------------------------


def test_plain_http_is_refused() -> None:
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(fresh_stack(), "Archive", enforce_ssl=False)
    assert "enforce_ssl=False: a data bucket answers over TLS only" in str(failure.value)
    assert "leave enforce_ssl out" in str(failure.value)


def test_no_block_of_public_access_is_refused() -> None:
    off: Any = False
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(fresh_stack(), "Archive", block_public_access=off)
    assert "block_public_access=False: a data bucket is never public" in str(failure.value)
    assert "leave block_public_access out" in str(failure.value)


@pytest.mark.parametrize(
    "switch",
    ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"],
)
@pytest.mark.parametrize("value", [False, None])
def test_a_single_open_door_is_refused_and_named(switch: str, value: bool | None) -> None:
    switches: dict[str, Any] = {
        "block_public_acls": True,
        "block_public_policy": True,
        "ignore_public_acls": True,
        "restrict_public_buckets": True,
    }
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(
            fresh_stack(),
            "Archive",
            block_public_access=s3.BlockPublicAccess(**{**switches, switch: value}),
        )
    assert f"leaves {switch} off: a data bucket is never public" in str(failure.value)
    assert "leave block_public_access out or pass s3.BlockPublicAccess.BLOCK_ALL" in str(
        failure.value
    )


def test_no_encryption_is_refused() -> None:
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(fresh_stack(), "Archive", encryption=s3.BucketEncryption.UNENCRYPTED)
    assert "encryption=BucketEncryption.UNENCRYPTED: a data bucket is always encrypted" in str(
        failure.value
    )
    assert "leave encryption out" in str(failure.value)


@pytest.mark.parametrize(
    "encryption",
    [
        s3.BucketEncryption.S3_MANAGED,
        s3.BucketEncryption.KMS_MANAGED,
        s3.BucketEncryption.DSSE_MANAGED,
    ],
)
def test_a_key_beside_an_encryption_that_does_not_use_it_is_refused(
    encryption: s3.BucketEncryption,
) -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError) as failure:
        SecureDataBucket(
            stack, "Archive", encryption=encryption, encryption_key=kms.Key(stack, "Own")
        )
    assert f"encryption_key was given together with encryption={encryption}" in str(failure.value)
    assert "leave one out" in str(failure.value)


@pytest.mark.parametrize("encryption", [None, s3.BucketEncryption.KMS, s3.BucketEncryption.DSSE])
def test_a_key_beside_an_encryption_that_uses_it_passes(
    encryption: s3.BucketEncryption | None,
) -> None:
    stack = fresh_stack("prod", env=ENV)
    key = kms.Key(stack, "Own")
    archive = SecureDataBucket(stack, "Archive", encryption=encryption, encryption_key=key)
    assert archive.bucket.encryption_key is not None
    assert archive.bucket.encryption_key.node.path == key.node.path


def test_saying_what_holds_anyway_passes() -> None:
    bucket, _ = data_bucket(enforce_ssl=True, block_public_access=s3.BlockPublicAccess.BLOCK_ALL)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}


# --- the L2 inside -----------------------------------------------------------------------------------------------


def test_names_arns_and_grants_are_those_of_the_l2() -> None:
    stack = fresh_stack("prod", env=ENV)
    archive = SecureDataBucket(stack, "Archive")
    assert archive.bucket_name == archive.bucket.bucket_name
    assert archive.bucket_arn == archive.bucket.bucket_arn
    service = iam.ServicePrincipal("lambda.amazonaws.com")
    for id, grant in (
        ("Reader", archive.grant_read),
        ("Putter", archive.grant_put),
        ("Writer", archive.grant_write),
    ):
        grant(iam.Role(stack, id, assumed_by=service))
    actions = {
        logical_id[:6]: {
            action
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            for action in (
                [statement["Action"]]
                if isinstance(statement["Action"], str)
                else statement["Action"]
            )
        }
        for logical_id, policy in resources(template_of(stack), "AWS::IAM::Policy").items()
    }
    assert {"s3:GetObject*", "s3:List*", "kms:Decrypt"} <= actions["Reader"]
    assert not any(action.startswith(("s3:Put", "s3:Delete")) for action in actions["Reader"])
    assert {"s3:PutObject", "kms:GenerateDataKey*"} <= actions["Putter"]
    assert not any(action.startswith(("s3:Get", "s3:Delete")) for action in actions["Putter"])
    assert {"s3:PutObject", "s3:DeleteObject*", "kms:GenerateDataKey*"} <= actions["Writer"]
