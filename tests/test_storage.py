"""SecureDataBucket: a private, encrypted, TLS-only and logged s3.Bucket, whatever the app's feature flags are."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from iot_constructs import SecureDataBucket
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._warnings import (
    DATA_DESTROYED_WITH_STACK,
    LOG_BUCKET_POLICY_NOT_CHANGED,
    LOG_BUCKET_WITH_KMS_KEY,
)
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    permissions,
    plain,
    recommended_flags,
    resources,
    template_of,
    the_id,
    warnings_of,
)

BUCKET = "AWS::S3::Bucket"
KEY = "AWS::KMS::Key"
AUTO_DELETE = "Custom::S3AutoDeleteObjects"
DATA = f"{defaults.NAME_PREFIX}-{defaults.BUCKET_NAME}"
LOGS = f"{DATA}{defaults.ACCESS_LOG_NAME_ENDING}"
DATA_NAME = f"{DATA}-{ACCOUNT}-{REGION}-prod"
LOGS_NAME = f"{LOGS}-{ACCOUNT}-{REGION}-prod"
GENERATED = cdk.PhysicalName.GENERATE_IF_NEEDED
NO_ACLS = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
OLD_VERSIONS = {
    "Id": "ExpireOldVersions",
    "Status": "Enabled",
    "NoncurrentVersionExpiration": {"NoncurrentDays": defaults.BUCKET_NONCURRENT_VERSION_DAYS},
}
BROKEN_UPLOADS = {
    "Id": "AbortIncompleteUploads",
    "Status": "Enabled",
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": defaults.BUCKET_ABORT_MULTIPART_DAYS},
}
ALL_BLOCKED = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
PUBLIC = "a data bucket is never public"
VERSIONED = {"VersioningConfiguration": {"Status": "Enabled"}} if defaults.BUCKET_VERSIONED else {}


def template_with(suffix: str = "prod", **props: Any) -> Json:
    stack = fresh_stack(suffix, env=ENV)
    SecureDataBucket(stack, "Data", **props)
    return template_of(stack)


def id_of(template: Json, begin: str) -> str:
    """The logical id of the bucket that begins like this, followed by CDK's hash of 8 characters."""
    (found,) = [key for key in resources(template, BUCKET) if key[:-8] == begin]
    return found


def statements(template: Json, bucket: str) -> list[Json]:
    policy = one(template, "AWS::S3::BucketPolicy", Bucket={"Ref": bucket})
    found: list[Json] = policy["PolicyDocument"]["Statement"]
    return found


def encryption(algorithm: str, **more: Any) -> Json:
    by_default = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}, **more}
    return {"ServerSideEncryptionConfiguration": [by_default]}


def delivery(source: Any, target: str, prefix: str = "") -> Json:
    """The statement by which S3 may deliver access logs of ``source``."""
    objects = {"Fn::Join": ["", [{"Fn::GetAtt": [target, "Arn"]}, f"/{prefix}*"]]}
    return {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": objects,
        "Condition": {
            "ArnLike": {"aws:SourceArn": source},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }


@pytest.fixture(scope="module", params=[False, True], ids=["no-flags", "recommended-flags"])
def flags(request: pytest.FixtureRequest) -> Json | None:
    return recommended_flags() if request.param else None


@pytest.fixture(scope="module")
def prod(flags: Json | None) -> Json:
    """The bucket with nothing but defaults."""
    stack = fresh_stack("prod", env=ENV, context=flags)
    assert isinstance(SecureDataBucket(stack, "Data"), s3.Bucket)
    return template_of(stack)


@pytest.fixture(scope="module")
def qa7() -> Json:
    """Two buckets in an ephemeral stack."""
    stack = fresh_stack("qa7")
    SecureDataBucket(stack, "Data")
    SecureDataBucket(stack, "Second", bucket_name="second")
    return template_of(stack)


def test_defaults_of_the_data_bucket(prod: Json, flags: Json | None) -> None:
    (rule,) = encryption("aws:kms", BucketKeyEnabled=True)["ServerSideEncryptionConfiguration"]
    rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] = {
        "Fn::GetAtt": [the_id(prod, KEY), "Arn"]
    }
    assert one(prod, BUCKET, BucketName=DATA_NAME) == {
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]},
        "BucketName": DATA_NAME,
        "LifecycleConfiguration": {"Rules": [OLD_VERSIONS, BROKEN_UPLOADS]},
        "LoggingConfiguration": {"DestinationBucketName": {"Ref": id_of(prod, "DataAccessLogs")}},
        # Without the flags CDK would not let this bucket be the log bucket of another one.
        **({"OwnershipControls": NO_ACLS} if flags else {}),
        "PublicAccessBlockConfiguration": ALL_BLOCKED,
        "Tags": ANY,
        **VERSIONED,
    }


def test_defaults_of_the_log_bucket(prod: Json, flags: Json | None) -> None:
    expiration = {
        "Id": "Expire",
        "Status": "Enabled",
        "ExpirationInDays": defaults.ACCESS_LOG_EXPIRATION_DAYS,
    }
    assert one(prod, BUCKET, BucketName=LOGS_NAME) == {
        "BucketEncryption": encryption("AES256"),  # log delivery supports no other
        "BucketName": LOGS_NAME,
        "LifecycleConfiguration": {"Rules": [expiration, OLD_VERSIONS, BROKEN_UPLOADS]},
        **({"OwnershipControls": NO_ACLS} if flags else {}),
        "PublicAccessBlockConfiguration": ALL_BLOCKED,
        "Tags": ANY,
        **VERSIONED,
    }


def test_policies_require_tls_and_allow_log_delivery(prod: Json) -> None:
    data, logs = id_of(prod, "Data"), id_of(prod, "DataAccessLogs")
    denies = {
        bucket: [
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": "s3:*",
                "Resource": [arn, {"Fn::Join": ["", [arn, "/*"]]}],
                "Condition": condition,
            }
            for arn in [{"Fn::GetAtt": [bucket, "Arn"]}]
            for condition in (
                {"Bool": {"aws:SecureTransport": "false"}},
                {"NumericLessThan": {"s3:TlsVersion": defaults.BUCKET_MINIMUM_TLS_VERSION}},
            )
        ]
        for bucket in (data, logs)
    }
    assert statements(prod, data) == denies[data]
    source = {"Fn::GetAtt": [data, "Arn"]}
    assert statements(prod, logs) == [*denies[logs], delivery(source, logs)]


def test_construct_ids() -> None:
    """Ids are API: a bucket under another id is another bucket."""
    stack = fresh_stack()
    data = SecureDataBucket(stack, "Data")
    assert (data.node.path, data.access_logs_bucket.node.path) == (
        "Test/Data",
        "Test/DataAccessLogs",
    )
    assert {child.node.id for child in stack.node.children} == {
        "IotConstructsKey",
        "Data",
        "DataAccessLogs",
        "DataAccessLogsTarget",
        "Custom::S3AutoDeleteObjectsCustomResourceProvider",
        "AutoDeleteObjectsLogs",
    }


@pytest.mark.parametrize(
    ("props", "rendered"),
    [
        ({"versioned": False}, {"VersioningConfiguration": None}),
        ({"bucket_name": "weather"}, {"BucketName": f"weather-{ACCOUNT}-{REGION}-prod"}),
        ({"environment_suffix": "QA-1"}, {"BucketName": f"{DATA}-{ACCOUNT}-{REGION}-qa-1"}),
        ({"bucket_name": GENERATED}, {"BucketName": None}),
        (
            {"bucket_name_prefix": "w", "bucket_namespace": s3.BucketNamespace.ACCOUNT_REGIONAL},
            {"BucketName": None, "BucketNamePrefix": "w", "BucketNamespace": "account-regional"},
        ),
        # A rule is added, and replaces one of ours with its id.
        (
            {"lifecycle_rules": [s3.LifecycleRule(id="Own", expiration=cdk.Duration.days(30))]},
            {
                "LifecycleConfiguration": {
                    "Rules": [
                        OLD_VERSIONS,
                        BROKEN_UPLOADS,
                        {"Id": "Own", "Status": "Enabled", "ExpirationInDays": 30},
                    ]
                }
            },
        ),
        (
            {
                "lifecycle_rules": [
                    {"expiration": cdk.Duration.days(30)},
                    s3.LifecycleRule(
                        id="ExpireOldVersions", noncurrent_version_expiration=cdk.Duration.days(3)
                    ),
                ]
            },
            {
                "LifecycleConfiguration": {
                    "Rules": [
                        BROKEN_UPLOADS,
                        {"Status": "Enabled", "ExpirationInDays": 30},
                        {**OLD_VERSIONS, "NoncurrentVersionExpiration": {"NoncurrentDays": 3}},
                    ]
                }
            },
        ),
        # what is enforced may be given as well
        (
            {
                "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
                "enforce_ssl": True,
                "public_read_access": False,
                "access_control": s3.BucketAccessControl.BUCKET_OWNER_FULL_CONTROL,
            },
            {"PublicAccessBlockConfiguration": ALL_BLOCKED},
        ),
        # which the library does not mention:
        (
            {"transfer_acceleration": True},
            {"AccelerateConfiguration": {"AccelerationStatus": "Enabled"}},
        ),
    ],
    ids=",".join,
)
def test_given_values_win(props: dict[str, Any], rendered: Json) -> None:
    template = template_with(**props)
    data = resources(template, BUCKET)[id_of(template, "Data")]["Properties"]
    assert {name: data.get(name) for name in rendered} == rendered
    # The log bucket's name follows that of the data bucket.
    logs = resources(template, BUCKET)[id_of(template, "DataAccessLogs")]["Properties"]
    assert ("BucketName" in logs) == ("BucketName" in data)


def test_a_given_minimum_tls_version_wins() -> None:
    template = template_with(minimum_tls_version=1.3)
    conditions = [found["Condition"] for found in statements(template, id_of(template, "Data"))]
    assert {"NumericLessThan": {"s3:TlsVersion": 1.3}} in conditions


@pytest.mark.parametrize(
    ("given", "rendered", "with_key"),
    [
        (s3.BucketEncryption.KMS, encryption("aws:kms", BucketKeyEnabled=True), True),
        # S3 has no bucket key for DSSE-KMS.
        (s3.BucketEncryption.DSSE, encryption("aws:kms:dsse"), True),
        (s3.BucketEncryption.S3_MANAGED, encryption("AES256"), False),
        (s3.BucketEncryption.KMS_MANAGED, encryption("aws:kms"), False),
        (s3.BucketEncryption.DSSE_MANAGED, encryption("aws:kms:dsse"), False),
    ],
)
@pytest.mark.parametrize("own_key", [False, True])
def test_encryption(
    given: s3.BucketEncryption, rendered: Json, with_key: bool, own_key: bool
) -> None:
    stack = fresh_stack("qa7")
    props: dict[str, Any] = {"encryption_key": kms.Key(stack, "Own")} if own_key else {}
    if own_key and not with_key:
        with pytest.raises(ValueError, match=f"encryption_key excludes encryption={given}"):
            SecureDataBucket(stack, "Data", encryption=given, **props)
        return
    SecureDataBucket(stack, "Data", encryption=given, **props)
    template = template_of(stack)
    data = resources(template, BUCKET)[id_of(template, "Data")]["Properties"]
    (rule,) = data["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    key = rule["ServerSideEncryptionByDefault"].pop("KMSMasterKeyID", None)
    # CDK writes False where there is no bucket key.
    assert {name: value for name, value in rule.items() if value is not False} == rendered[
        "ServerSideEncryptionConfiguration"
    ][0]
    arn = {"Fn::GetAtt": [the_id(template, KEY), "Arn"]} if with_key else None
    assert key == arn
    assert len(resources(template, KEY)) == with_key
    # The log of the function that empties the bucket is under the key of the data.
    assert one(template, "AWS::Logs::LogGroup").get("KmsKeyId") == arn


def test_names_without_account_and_region() -> None:
    stack = fresh_stack("prod")
    SecureDataBucket(stack, "Data")
    names = [
        bucket["Properties"]["BucketName"]
        for bucket in resources(template_of(stack), BUCKET).values()
    ]
    place = [{"Ref": "AWS::AccountId"}, "-", {"Ref": "AWS::Region"}, "-prod"]
    assert names == [{"Fn::Join": ["", [f"{base}-", *place]]} for base in (LOGS, DATA)]


@pytest.mark.parametrize("length", range(12, defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH + 1))
def test_the_name_of_the_log_bucket_is_cut_to_fit(length: int) -> None:
    stack = fresh_stack("x" * length)
    SecureDataBucket(stack, "Data")
    template = template_of(stack)
    logs = template["Resources"][id_of(template, "DataAccessLogs")]["Properties"]
    base = logs["BucketName"]["Fn::Join"][1][0]
    assert base.endswith(f"{defaults.ACCESS_LOG_NAME_ENDING}-")
    assert "--" not in base
    place = defaults.LONGEST_ACCOUNT + 1 + defaults.LONGEST_REGION + 1
    assert len(base) + place + length <= naming.BUCKET.longest


@pytest.mark.parametrize("name", [None, "weather", GENERATED])
@pytest.mark.parametrize("where", ["same stack", "other stack", "nested stack"])
def test_a_given_log_bucket_gets_a_policy_and_no_acl(
    flags: Json | None, where: str, name: str | None
) -> None:
    app = fresh_app(flags)
    stack = fresh_stack("prod", app=app, env=ENV)
    of_logs: cdk.Stack = stack
    if where == "other stack":
        of_logs = cdk.Stack(app, "Other", env=ENV)
    elif where == "nested stack":
        of_logs = cdk.NestedStack(stack, "Nested")
    logs = s3.Bucket(of_logs, "Logs")
    props: dict[str, Any] = {"server_access_logs_prefix": "data/", "bucket_name": name}
    data = SecureDataBucket(stack, "Data", server_access_logs_bucket=logs, **props)
    assert data.access_logs_bucket is logs
    template, template_of_logs = template_of(stack), template_of(of_logs)
    data_id, logs_id = id_of(template, "Data"), id_of(template_of_logs, "Logs")

    (allow,) = statements(template_of_logs, logs_id)
    source = allow["Condition"]["ArnLike"]["aws:SourceArn"]
    assert allow == delivery(source, logs_id, "data/")
    if where == "same stack":
        assert source == {"Fn::GetAtt": [data_id, "Arn"]}
    else:  # by name, since two stacks cannot refer to each other
        base_name = DATA if name is None else name
        expected = "*" if name == GENERATED else f"{base_name}-{ACCOUNT}-{REGION}-prod"
        assert plain(source).endswith(f":s3:::{expected}")
    changed = set(resources(template_of_logs, BUCKET)[logs_id].get("Properties", {}))
    assert changed <= {"Tags"}  # neither AccessControl nor OwnershipControls
    logging = resources(template, BUCKET)[data_id]["Properties"]["LoggingConfiguration"]
    assert logging == {"DestinationBucketName": ANY, "LogFilePrefix": "data/"}
    assert len(resources(template, BUCKET)) == 1 + (where == "same stack")
    assert "accessLogsPolicyNotAdded" not in str(warnings_of(stack))


def test_an_imported_log_bucket_gives_one_warning(flags: Json | None) -> None:
    stack = fresh_stack("prod", context=flags)
    logs = s3.Bucket.from_bucket_name(stack, "Logs", "theirs")
    SecureDataBucket(stack, "Data", server_access_logs_bucket=logs)
    logging = one(template_of(stack), BUCKET)["LoggingConfiguration"]
    assert logging == {"DestinationBucketName": "theirs"}
    (warning,) = warnings_of(stack)
    assert LOG_BUCKET_POLICY_NOT_CHANGED in warning


def test_a_log_bucket_with_a_kms_key_gets_no_logs_and_warns() -> None:
    stack = fresh_stack()
    logs = SecureDataBucket(stack, "Logs")
    SecureDataBucket(stack, "Data", bucket_name="data", server_access_logs_bucket=logs)
    (warning,) = warnings_of(stack)
    assert LOG_BUCKET_WITH_KMS_KEY in warning


def test_as_the_log_bucket_of_another_bucket(flags: Json | None) -> None:
    stack = fresh_stack("prod", context=flags)
    logs = SecureDataBucket(stack, "Logs", encryption=s3.BucketEncryption.S3_MANAGED)
    s3.Bucket(stack, "Plain", server_access_logs_bucket=logs)
    template = template_of(stack)
    logs_id = id_of(template, "Logs")
    plain_bucket = resources(template, BUCKET)[id_of(template, "Plain")]["Properties"]
    assert plain_bucket["LoggingConfiguration"] == {"DestinationBucketName": {"Ref": logs_id}}
    properties = resources(template, BUCKET)[logs_id]["Properties"]
    allowed = [found["Effect"] for found in statements(template, logs_id)].count("Allow")
    # CDK's two ways to allow the delivery
    assert (properties.get("AccessControl"), allowed) == (
        (None, 1) if flags else ("LogDeliveryWrite", 0)
    )


def test_a_grant_includes_the_key() -> None:
    stack = fresh_stack("prod")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    SecureDataBucket(stack, "Data").grant_read(role)
    template = template_of(stack)
    assert {
        ("s3:GetObject*", f"${{{id_of(template, 'Data')}.Arn}}/*"),
        ("kms:Decrypt", f"${{{the_id(template, KEY)}.Arn}}"),
    } <= permissions(template, {"Fn::GetAtt": [the_id(template, "AWS::IAM::Role"), "Arn"]})


@pytest.mark.parametrize("name", ["Data", "DataAccessLogs"])
def test_a_lasting_stack_retains_both_buckets(prod: Json, name: str) -> None:
    bucket = resources(prod, BUCKET)[id_of(prod, name)]
    policies = (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"])
    assert policies == ("RetainExceptOnCreate", "Retain")
    assert resources(prod, AUTO_DELETE) == resources(prod, "AWS::Lambda::Function") == {}


def test_an_ephemeral_stack_empties_and_deletes_all_buckets(qa7: Json) -> None:
    emptied = [
        body["Properties"]["BucketName"]["Ref"] for body in resources(qa7, AUTO_DELETE).values()
    ]
    assert sorted(emptied) == sorted(resources(qa7, BUCKET))
    assert {body["DeletionPolicy"] for body in resources(qa7, BUCKET).values()} == {"Delete"}


@pytest.mark.parametrize(
    ("suffix", "props", "policy", "emptied", "warned"),
    [
        ("qa7", {"removal_policy": cdk.RemovalPolicy.RETAIN}, "Retain", 0, 0),
        ("prod", {"removal_policy": cdk.RemovalPolicy.RETAIN}, "Retain", 0, 0),
        ("qa7", {"auto_delete_objects": False}, "Delete", 0, 0),
        ("prod", {"removal_policy": cdk.RemovalPolicy.DESTROY}, "Delete", 2, 1),
        (None, {"removal_policy": cdk.RemovalPolicy.DESTROY}, "Delete", 2, 1),
    ],
)
def test_a_given_removal_wins(
    suffix: str | None, props: dict[str, Any], policy: str, emptied: int, warned: int
) -> None:
    stack = fresh_stack(suffix) if suffix else cdk.Stack(fresh_app(), "Plain")
    SecureDataBucket(stack, "Data", **props)
    template = template_of(stack)
    assert [body["DeletionPolicy"] for body in resources(template, BUCKET).values()] == [policy] * 2
    assert len(resources(template, AUTO_DELETE)) == emptied
    # The key is kept at least as long as its data.
    of_key = policy if suffix == "qa7" or policy == "Retain" else "RetainExceptOnCreate"
    assert one_resource(template, KEY)["DeletionPolicy"] == of_key
    warnings = warnings_of(stack)
    assert [DATA_DESTROYED_WITH_STACK in text for text in warnings] == [True] * warned


def test_the_emptying_function_has_one_log_group_and_a_role_for_it_alone(qa7: Json) -> None:
    group = the_id(qa7, "AWS::Logs::LogGroup")  # one for both constructs
    logs = one_resource(qa7, "AWS::Logs::LogGroup")
    assert (logs["DeletionPolicy"], logs["UpdateReplacePolicy"]) == ("Delete", "Delete")
    assert logs["Properties"]["RetentionInDays"] > 0
    assert one(qa7, "AWS::Lambda::Function")["LoggingConfig"] == {"LogGroup": {"Ref": group}}
    key_policy = one(qa7, KEY)["KeyPolicy"]["Statement"]
    (of_logs,) = [it for it in key_policy if "logs." in plain(it["Principal"].get("Service"))]
    (context,) = of_logs["Condition"]["ArnLike"].values()
    # The logical id without CDK's hash: CloudFormation names the group after it.
    assert plain(context).endswith(f":log-group:${{AWS::StackName}}-{group[:-8]}*")
    role = one(qa7, "AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    statement = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": {"Fn::GetAtt": [group, "Arn"]},
    }
    # IAM takes no inline policy without a name, and a document without a version for one of 2008.
    document = {"Version": "2012-10-17", "Statement": [statement]}
    assert role["Policies"] == [{"PolicyName": ANY, "PolicyDocument": document}]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@pytest.mark.parametrize("order", [("Own", "Data"), ("Data", "Own")])
@pytest.mark.parametrize("nested", [False, True])
def test_the_emptying_function_is_restricted_beside_a_bucket_of_yours(
    order: tuple[str, str], nested: bool
) -> None:
    stack = fresh_stack("qa7")
    scope = cdk.NestedStack(stack, "Nested") if nested else stack
    destroyed: dict[str, Any] = {
        "removal_policy": cdk.RemovalPolicy.DESTROY,
        "auto_delete_objects": True,
    }
    for id in order:
        (s3.Bucket if id == "Own" else SecureDataBucket)(scope, id, **destroyed)
    template = template_of(scope)
    assert len(resources(template, AUTO_DELETE)) == 3
    group = the_id(template, "AWS::Logs::LogGroup")
    assert one(template, "AWS::Lambda::Function")["LoggingConfig"] == {"LogGroup": {"Ref": group}}
    assert "ManagedPolicyArns" not in one(template, "AWS::IAM::Role")


def test_the_first_bucket_of_a_stack_decides_on_the_key_of_the_log_group() -> None:
    stack = fresh_stack("qa7")
    SecureDataBucket(stack, "First", encryption=s3.BucketEncryption.S3_MANAGED)
    SecureDataBucket(stack, "Second", bucket_name="second")
    template = template_of(stack)
    assert "KmsKeyId" not in one(template, "AWS::Logs::LogGroup")
    (statement,) = one(template, KEY)["KeyPolicy"]["Statement"]
    assert "AWS" in statement["Principal"]  # no log service: only the second bucket uses the key


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"enforce_ssl": False}, "enforce_ssl=False.*remove enforce_ssl"),
        ({"minimum_tls_version": 1.1}, "minimum_tls_version=1.1.*remove minimum_tls_version"),
        ({"minimum_tls_version": 0}, "minimum_tls_version=0"),
        ({"public_read_access": True}, f"public_read_access=True: {PUBLIC}"),
        *(
            ({"access_control": acl}, f"access_control={acl}: {PUBLIC}; remove access_control")
            for acl in (
                s3.BucketAccessControl.PUBLIC_READ,
                s3.BucketAccessControl.PUBLIC_READ_WRITE,
                s3.BucketAccessControl.AUTHENTICATED_READ,
            )
        ),
        ({"encryption": s3.BucketEncryption.UNENCRYPTED}, "UNENCRYPTED.*remove encryption"),
        ({"removal_policy": cdk.RemovalPolicy.SNAPSHOT}, "removal_policy=RemovalPolicy.SNAPSHOT"),
        ({"bucket_name": ""}, "bucket_name='': the name is empty"),
        ({"bucket_name": "My_data"}, "bucket_name='My_data': 'M' is not allowed"),
        ({"bucket_name": cdk.Aws.REGION}, "bucket_name=.*a token.*pass a literal string"),
        ({"bucket_name": "x" * 33}, "has 64 characters.*shorten bucket_name.*by 1"),
        ({"bucket_name": "x", "bucket_name_prefix": "y"}, "bucketName.*cannot be used together"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SecureDataBucket(fresh_stack("prod", env=ENV), "Data", **props)


@pytest.mark.parametrize("value", [False, None])
@pytest.mark.parametrize(
    "switch",
    ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"],
)
def test_public_access_is_blocked_in_all_ways(switch: str, value: bool | None) -> None:
    switches: dict[str, Any] = {
        "block_public_acls": True,
        "block_public_policy": True,
        "ignore_public_acls": True,
        "restrict_public_buckets": True,
        switch: value,
    }
    with pytest.raises(ValueError, match=f"block_public_access leaves {switch} off: {PUBLIC}"):
        SecureDataBucket(
            fresh_stack(), "Data", block_public_access=s3.BlockPublicAccess(**switches)
        )


def test_public_access_cannot_be_granted() -> None:
    with pytest.raises(RuntimeError, match="blockPublicPolicy"):
        SecureDataBucket(fresh_stack(), "Data").grant_public_access()


def test_two_buckets_of_one_name() -> None:
    """Names of buckets are global: two stacks of other accounts collide as well."""
    app = fresh_app()
    SecureDataBucket(fresh_stack("prod", app=app, env=ENV), "One")
    with pytest.raises(ValueError, match=r"^bucket_name: .*'Other/Two' is that of 'Test/One'"):
        SecureDataBucket(fresh_stack("prod", id="Other", app=app, env=ENV), "Two")
