"""TimeSeriesTable and DeviceStateTable: dynamodb.TableV2 with the defaults of the library, with a region and without.

They are read off AWS::DynamoDB::GlobalTable directly, since cdk-nag has no rules for that type.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_lambda_event_sources import DynamoEventSource

from iot_constructs import DeviceStateTable, TimeSeriesTable
from iot_constructs import _defaults as defaults
from iot_constructs._warnings import DATA_DESTROYED_WITH_STACK
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    inline_code,
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

TABLE = "AWS::DynamoDB::GlobalTable"
KEY = "AWS::KMS::Key"
EXCEPT_ON_CREATE = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
Table = type[DeviceStateTable] | type[TimeSeriesTable]
BOTH = pytest.mark.parametrize("table", [DeviceStateTable, TimeSeriesTable])
BOTH_ENVS = pytest.mark.parametrize("env", [None, ENV], ids=["agnostic", "with-region"])
BASE_NAMES = {
    DeviceStateTable: defaults.DEVICE_STATE_TABLE_NAME,
    TimeSeriesTable: defaults.TIME_SERIES_TABLE_NAME,
}
RECOVERABLE = {
    "PointInTimeRecoveryEnabled": True,
    "RecoveryPeriodInDays": defaults.PITR_RECOVERY_PERIOD_DAYS,
}
THROTTLED_KEYS = {"Enabled": True, "Mode": "THROTTLED_KEYS"}
STRING = dynamodb.AttributeType.STRING
SITE = dynamodb.Attribute(name="site", type=STRING)
KEYS_OF_REPLICAS = {
    region: f"arn:aws:kms:{region}:{ACCOUNT}:key/replica" for region in ("eu-west-1", "us-east-1")
}


def replica(template: Json) -> Json:
    """The table in the stack's own region: most properties of a GlobalTable are there."""
    (found,) = one(template, TABLE)["Replicas"]
    properties: Json = found
    return properties


def key_arn(template: Json) -> Json:
    return {"Fn::GetAtt": [the_id(template, KEY), "Arn"]}


def role_of_a_function(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def permissions_of_the_role(template: Json) -> set[tuple[str, str]]:
    return permissions(template, {"Fn::GetAtt": [the_id(template, "AWS::IAM::Role"), "Arn"]})


def allow(account: str, action: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[iam.AccountPrincipal(account)], actions=[action], resources=["*"]
    )


@BOTH
@BOTH_ENVS
@pytest.mark.parametrize("flags", [False, True], ids=["no-flags", "recommended-flags"])
def test_defaults(table: Table, env: cdk.Environment | None, flags: bool) -> None:
    stack = fresh_stack("prod", env=env, context=recommended_flags() if flags else None)
    assert isinstance(table(stack, "T"), dynamodb.TableV2)
    template = template_of(stack)
    attributes = [(defaults.PARTITION_KEY, "S", "HASH")]
    if table is TimeSeriesTable:
        attributes.append((defaults.SORT_KEY, "N", "RANGE"))
    expected = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": type} for name, type, _ in attributes
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": name, "KeyType": key} for name, _, key in attributes],
        "Replicas": [
            {
                "ContributorInsightsSpecification": THROTTLED_KEYS,
                "DeletionProtectionEnabled": True,
                "PointInTimeRecoverySpecification": RECOVERABLE,
                "Region": REGION if env else {"Ref": "AWS::Region"},
                "SSESpecification": {"KMSMasterKeyId": key_arn(template)},
                "Tags": ANY,
            }
        ],
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS"},
        "TableName": f"{defaults.NAME_PREFIX}-{BASE_NAMES[table]}-prod",
    }
    if table is TimeSeriesTable:
        ttl = {"AttributeName": defaults.TTL_ATTRIBUTE, "Enabled": True}
        expected["TimeToLiveSpecification"] = ttl
    assert one(template, TABLE) == expected
    assert replica(template)["Tags"][0] == {"Key": "Environment", "Value": "prod"}


@BOTH
def test_construct_ids(table: Table) -> None:
    """Ids are API: a table under another id is another table."""
    stack = fresh_stack()
    assert [child.node.id for child in table(stack, "T").node.children] == ["Resource"]
    assert {child.node.id for child in stack.node.children} == {"IotConstructsKey", "T"}


@BOTH
@pytest.mark.parametrize(
    ("props", "name"),
    [
        ({"table_name": "weather", "environment_suffix": "PR-7"}, "weather-pr-7"),
        ({"name_prefix": "north"}, "north-{}-prod"),
        ({"table_name": cdk.PhysicalName.GENERATE_IF_NEEDED}, None),
    ],
)
def test_names(table: Table, props: dict[str, Any], name: str | None) -> None:
    stack = fresh_stack("prod")
    table(stack, "T", **props)
    expected = name.format(BASE_NAMES[table]) if name else None
    assert one(template_of(stack), TABLE).get("TableName") == expected


@BOTH
@pytest.mark.parametrize(
    ("suffix", "given", "policy", "protected", "warned"),
    [
        ("prod", {}, "Retain", True, False),
        (None, {}, "Retain", True, False),
        ("qa7", {}, "Delete", False, False),
        ("qa7", {"removal_policy": cdk.RemovalPolicy.RETAIN}, "Retain", True, False),
        ("qa7", {"deletion_protection": True}, "Delete", True, False),
        ("prod", {"deletion_protection": False}, "RetainExceptOnCreate", False, False),
        ("prod", {"removal_policy": EXCEPT_ON_CREATE}, "RetainExceptOnCreate", True, False),
        ("prod", {"removal_policy": None, "deletion_protection": True}, "Retain", True, False),
        ("prod", {"removal_policy": cdk.RemovalPolicy.DESTROY}, "Delete", False, True),
        (None, {"removal_policy": cdk.RemovalPolicy.DESTROY}, "Delete", False, True),
    ],
)
def test_removal(
    table: Table,
    suffix: str | None,
    given: dict[str, Any],
    policy: str,
    protected: bool,
    warned: bool,
) -> None:
    stack = fresh_stack(suffix) if suffix else cdk.Stack(fresh_app(), "Plain")
    table(stack, "T", **given)
    template = template_of(stack)
    resource = one_resource(template, TABLE)
    replaced = "Retain" if policy == "RetainExceptOnCreate" else policy
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, replaced)
    assert replica(template)["DeletionProtectionEnabled"] is protected
    # The key is kept at least as long as its data.
    of_key = policy if suffix == "qa7" or policy == "Retain" else "RetainExceptOnCreate"
    assert one_resource(template, KEY)["DeletionPolicy"] == of_key
    warnings = [DATA_DESTROYED_WITH_STACK in text for text in warnings_of(stack)]
    assert warnings == [True] * warned


@BOTH
@BOTH_ENVS
def test_every_property_arrives(table: Table, env: cdk.Environment | None) -> None:
    stack = fresh_stack("prod", env=env)
    made = table(
        stack,
        "T",
        billing=dynamodb.Billing.provisioned(
            read_capacity=dynamodb.Capacity.fixed(5),
            write_capacity=dynamodb.Capacity.autoscaled(max_capacity=9),
        ),
        contributor_insights_specification=dynamodb.ContributorInsightsSpecification(
            enabled=True, mode=dynamodb.ContributorInsightsMode.ACCESSED_AND_THROTTLED_KEYS
        ),
        dynamo_stream=dynamodb.StreamViewType.NEW_IMAGE,
        global_secondary_indexes=[
            dynamodb.GlobalSecondaryIndexPropsV2(index_name="by-site", partition_key=SITE)
        ],
        kinesis_stream=kinesis.Stream(stack, "Changes"),
        partition_key=dynamodb.Attribute(name="serial", type=STRING),
        sort_key=dynamodb.Attribute(name="at", type=STRING),
        local_secondary_indexes=[
            dynamodb.LocalSecondaryIndexProps(index_name="local", sort_key=SITE)
        ],
        point_in_time_recovery=True,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True, recovery_period_in_days=7
        ),
        resource_policy=iam.PolicyDocument(statements=[allow("111111111111", "dynamodb:Query")]),
        stream_resource_policy=iam.PolicyDocument(
            statements=[allow("111111111111", "dynamodb:GetRecords")]
        ),
        table_class=dynamodb.TableClass.STANDARD_INFREQUENT_ACCESS,
        tags=[cdk.CfnTag(key="Own", value="tag")],
        time_to_live_attribute="expires",
        warm_throughput=dynamodb.WarmThroughput(
            read_units_per_second=15_000, write_units_per_second=6_000
        ),
    )
    made.add_global_secondary_index(index_name="added", partition_key=SITE)
    assert made.add_to_resource_policy(allow("222222222222", "dynamodb:Scan")).statement_added
    made.grant_read_data(iam.AccountPrincipal("333333333333"))
    cdk.Tags.of(made).add("Late", "tag")
    cdk.Tags.of(made).remove("Project")
    template = template_of(stack)
    rendered, at_home = one(template, TABLE), replica(template)
    assert rendered["BillingMode"] == "PROVISIONED"
    scaling = rendered["WriteProvisionedThroughputSettings"]["WriteCapacityAutoScalingSettings"]
    assert scaling["MaxCapacity"] == 9
    assert at_home["ReadProvisionedThroughputSettings"] == {"ReadCapacityUnits": 5}
    assert at_home["ContributorInsightsSpecification"]["Mode"] == "ACCESSED_AND_THROTTLED_KEYS"
    assert rendered["WarmThroughput"] == {
        "ReadUnitsPerSecond": 15_000,
        "WriteUnitsPerSecond": 6_000,
    }
    assert rendered["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert [it["IndexName"] for it in rendered["GlobalSecondaryIndexes"]] == ["by-site", "added"]
    assert [it["IndexName"] for it in rendered["LocalSecondaryIndexes"]] == ["local"]
    assert [it["AttributeName"] for it in rendered["KeySchema"]] == ["serial", "at"]
    assert at_home["KinesisStreamSpecification"]["StreamArn"] == {
        "Fn::GetAtt": [the_id(template, "AWS::Kinesis::Stream"), "Arn"]
    }
    assert at_home["PointInTimeRecoverySpecification"]["RecoveryPeriodInDays"] == 7
    statements = at_home["ResourcePolicy"]["PolicyDocument"]["Statement"]
    accounts = [plain(it["Principal"]["AWS"]).split(":")[-2] for it in statements]
    assert accounts == ["111111111111", "222222222222", "333333333333"]
    of_stream = at_home["ReplicaStreamSpecification"]["ResourcePolicy"]["PolicyDocument"]
    assert [it["Action"] for it in of_stream["Statement"]] == ["dynamodb:GetRecords"]
    assert at_home["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert {tag["Key"] for tag in at_home["Tags"]} >= {"Own", "Late", "Environment"}
    assert "Project" not in {tag["Key"] for tag in at_home["Tags"]}
    assert rendered["TimeToLiveSpecification"]["AttributeName"] == "expires"
    # and what is ours stays
    assert at_home["SSESpecification"] == {"KMSMasterKeyId": key_arn(template)}
    assert at_home["DeletionProtectionEnabled"] is True


@BOTH
@BOTH_ENVS
def test_without_grants_and_tags_there_are_none(table: Table, env: cdk.Environment | None) -> None:
    stack = cdk.Stack(fresh_app(), "Plain", env=env)
    table(stack, "T").grant_read_data(role_of_a_function(stack))
    assert not {"ResourcePolicy", "Tags"} & set(replica(template_of(stack)))


@BOTH
@BOTH_ENVS
@pytest.mark.parametrize("by", [None, "encryption_key", "encryption", "imported"])
def test_grants_include_the_key(table: Table, env: cdk.Environment | None, by: str | None) -> None:
    stack = fresh_stack("prod", env=env)
    arn: Any = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/own"
    props: dict[str, Any] = {}
    if by == "imported":
        props["encryption_key"] = kms.Key.from_key_arn(stack, "Own", arn)
    elif by == "encryption_key":
        props["encryption_key"] = kms.Key(stack, "Own")
    elif by == "encryption":
        own = kms.Key(stack, "Own")
        props["encryption"] = dynamodb.TableEncryptionV2.customer_managed_key(own)
    table(stack, "T", **props).grant_write_data(role_of_a_function(stack))
    template = template_of(stack)
    if by != "imported":
        assert the_id(template, KEY).startswith("Own" if by else "IotConstructsKey")
        arn = key_arn(template)
    assert replica(template)["SSESpecification"] == {"KMSMasterKeyId": arn}
    assert {
        ("dynamodb:PutItem", f"${{{the_id(template, TABLE)}.Arn}}"),
        ("kms:Decrypt", plain(arn)),
        ("kms:GenerateDataKey*", plain(arn)),
    } <= permissions_of_the_role(template)


@BOTH
@BOTH_ENVS
@pytest.mark.parametrize(
    ("encryption", "rendered"),
    [
        (
            dynamodb.TableEncryptionV2.aws_managed_key(),
            {"SSEEnabled": True, "SSEType": "KMS"},
        ),
        (dynamodb.TableEncryptionV2.dynamo_owned_key(), {"SSEEnabled": False}),
    ],
    ids=["aws-managed", "aws-owned"],
)
def test_other_encryption_wins_and_creates_no_key(
    table: Table,
    env: cdk.Environment | None,
    encryption: dynamodb.TableEncryptionV2,
    rendered: Json,
) -> None:
    stack = fresh_stack("prod", env=env)
    assert table(stack, "T", encryption=encryption).encryption_key is None
    template = template_of(stack)
    assert one(template, TABLE)["SSESpecification"] == rendered
    assert "SSESpecification" not in replica(template)
    assert resources(template, KEY) == {}


@BOTH
def test_in_an_ephemeral_stack_no_rule_of_contributor_insights_is_paid_for(table: Table) -> None:
    stack = fresh_stack("qa7")
    table(stack, "T")
    table(cdk.NestedStack(stack, "Nested"), "T", name_prefix="nested")
    table(
        stack,
        "With",
        name_prefix="with",
        contributor_insights_specification=dynamodb.ContributorInsightsSpecification(
            enabled=True, mode=dynamodb.ContributorInsightsMode.THROTTLED_KEYS
        ),
    )
    found = {
        it["Properties"]["TableName"].split("-")[0]: it["Properties"]["Replicas"][0]
        for each in (stack, *stack.node.children)
        if isinstance(each, cdk.Stack)
        for it in resources(template_of(each), TABLE).values()
    }
    specification = "ContributorInsightsSpecification"
    assert {prefix: it.get(specification) for prefix, it in found.items()} == {
        defaults.NAME_PREFIX: None,
        "nested": None,
        "with": THROTTLED_KEYS,
    }


@BOTH
def test_replicas_have_keys_of_their_own(table: Table) -> None:
    stack = fresh_stack("prod", env=ENV)
    replicas = [
        dynamodb.ReplicaTableProps(
            region="eu-west-1", table_class=dynamodb.TableClass.STANDARD_INFREQUENT_ACCESS
        )
    ]
    made = table(stack, "T", replicas=replicas, replica_key_arns=KEYS_OF_REPLICAS)
    made.add_replica(region="us-east-1")
    template = template_of(stack)
    found = {it.pop("Region"): it for it in one(template, TABLE)["Replicas"]}
    keys = {region: it["SSESpecification"]["KMSMasterKeyId"] for region, it in found.items()}
    assert keys == {**KEYS_OF_REPLICAS, REGION: key_arn(template)}
    assert found["eu-west-1"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    for it in found.values():
        assert it["PointInTimeRecoverySpecification"] == RECOVERABLE
        assert it["ContributorInsightsSpecification"] == THROTTLED_KEYS
        assert it["DeletionProtectionEnabled"] is True


@BOTH
def test_replicas_under_the_aws_managed_key_need_no_arns(table: Table) -> None:
    stack = fresh_stack("prod", env=ENV)
    encryption = dynamodb.TableEncryptionV2.aws_managed_key()
    replicas = [dynamodb.ReplicaTableProps(region="eu-west-1")]
    table(stack, "T", replicas=replicas, encryption=encryption)
    found = one(template_of(stack), TABLE)["Replicas"]
    assert {it["Region"] for it in found} == {"eu-west-1", REGION}
    assert not any("SSESpecification" in it for it in found)


@BOTH
@BOTH_ENVS
def test_as_an_event_source_of_a_function(table: Table, env: cdk.Environment | None) -> None:
    stack = fresh_stack("prod", env=env)
    function = lambda_.Function(
        stack,
        "Function",
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=inline_code(),
        role=role_of_a_function(stack),
    )
    made = table(stack, "T", dynamo_stream=dynamodb.StreamViewType.NEW_IMAGE)
    function.add_event_source(
        DynamoEventSource(made, starting_position=lambda_.StartingPosition.LATEST)
    )
    template = template_of(stack)
    stream = {"Fn::GetAtt": [the_id(template, TABLE), "StreamArn"]}
    assert one(template, "AWS::Lambda::EventSourceMapping")["EventSourceArn"] == stream
    assert {
        ("dynamodb:GetRecords", f"${{{the_id(template, TABLE)}.StreamArn}}"),
        ("kms:Decrypt", f"${{{the_id(template, KEY)}.Arn}}"),
    } <= permissions_of_the_role(template)


def test_retention() -> None:
    stack = fresh_stack()
    seconds = cdk.CfnParameter(stack, "Seconds", type="Number").value_as_number
    day = cdk.Duration.days(1)
    century = cdk.Duration.days(36_500)
    given = {None: None, "day": day, "century": century, "token": cdk.Duration.seconds(seconds)}
    found = {
        name: TimeSeriesTable(
            stack, f"T{name}", name_prefix=name, retention=retention
        ).retention.to_seconds()
        for name, retention in given.items()
    }
    assert stack.resolve(found.pop("token")) == {"Ref": "Seconds"}
    assert found == {
        None: defaults.TIME_SERIES_RETENTION_DAYS * 86_400,
        "day": day.to_seconds(),
        "century": century.to_seconds(),
    }


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        (cdk.Duration.seconds(86_399), r"retention=86399 seconds.*Duration\.seconds\(86400\)"),
        (cdk.Duration.days(0), r"retention=0 seconds.*Duration\.seconds\(86400\)"),
        (cdk.Duration.days(36_501), r"retention=36501 days.*Duration\.seconds\(3153600000\)"),
    ],
)
def test_a_retention_out_of_range(retention: cdk.Duration, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeSeriesTable(fresh_stack(), "T", retention=retention)


def recovery(**settings: Any) -> dict[str, Any]:
    return {"point_in_time_recovery_specification": settings}


@BOTH
@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"point_in_time_recovery": False}, "^point_in_time_recovery=False.*always be restored"),
        (
            recovery(point_in_time_recovery_enabled=False),
            "^point_in_time_recovery_specification.*=False.*always be restored",
        ),
        (
            {
                "point_in_time_recovery_specification": dynamodb.PointInTimeRecoverySpecification(
                    point_in_time_recovery_enabled=False
                )
            },
            "^point_in_time_recovery_specification.*=False.*always be restored",
        ),
        *(
            (
                recovery(point_in_time_recovery_enabled=True, recovery_period_in_days=days),
                "point_in_time_recovery_specification.*between `1` and `35`",
            )
            for days in (0, 36)
        ),
        (
            {"replicas": [dynamodb.ReplicaTableProps(region="us-west-2")]},
            "^replicas: .*'us-west-2' has no customer managed key; pass replica_key_arns=",
        ),
        (
            {"replicas": [{"region": "us-west-2"}], "replica_key_arns": KEYS_OF_REPLICAS},
            "^replicas: .*'us-west-2' has no customer managed key",
        ),
        ({"replica_key_arns": {REGION: "arn"}}, f"^replica_key_arns: '{REGION}' is the region of"),
        ({"removal_policy": cdk.RemovalPolicy.SNAPSHOT}, "removal_policy=RemovalPolicy.SNAPSHOT"),
        ({"table_name": ""}, "table_name='': the name is empty"),
        ({"table_name": "my table"}, "table_name='my table': ' ' is not allowed"),
        ({"table_name": "x" * 251}, "has 256 characters.*shorten table_name.*by 1"),
        ({"table_name": cdk.Aws.STACK_NAME}, "table_name=.*a token.*pass a literal string"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(
    table: Table, props: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        table(fresh_stack("prod", env=ENV), "T", **props)


@BOTH
@pytest.mark.parametrize("other", ["encryption_key", "replica_key_arns"])
def test_encryption_has_keys_of_its_own(table: Table, other: str) -> None:
    stack = fresh_stack("prod", env=ENV)
    props: dict[str, Any] = {other: KEYS_OF_REPLICAS}
    if other == "encryption_key":
        props = {other: kms.Key(stack, "Own")}
    with pytest.raises(ValueError, match=r"^encryption excludes encryption_key and replica_key"):
        table(stack, "T", encryption=dynamodb.TableEncryptionV2.aws_managed_key(), **props)


@BOTH
def test_two_tables_of_one_name(table: Table) -> None:
    stack = fresh_stack()
    table(stack, "One")
    with pytest.raises(ValueError, match=r"^table_name: .*'Test/Two' is that of 'Test/One'"):
        table(stack, "Two")
