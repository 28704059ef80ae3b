"""DeviceStateTable, and what it has in common with TimeSeriesTable: those tests take both.

PITR and the rest are read off AWS::DynamoDB::GlobalTable directly, since cdk-nag has no rule for that type.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from iot_constructs import DeviceStateTable, TimeSeriesTable
from tests.synth_support import (
    ENV,
    REGION,
    Json,
    fresh_app,
    fresh_stack,
    one,
    one_resource,
    recommended_flags,
    resources,
    template_of,
)

TABLE = "AWS::DynamoDB::GlobalTable"
Table = type[DeviceStateTable] | type[TimeSeriesTable]
BOTH = pytest.mark.parametrize("table", [DeviceStateTable, TimeSeriesTable])
BOTH_ENVS = pytest.mark.parametrize("env", [None, ENV], ids=["agnostic", "with-region"])


def synthesized(
    table: Table, suffix: str = "prod", *, env: cdk.Environment | None = None, **arguments: Any
) -> Json:
    stack = fresh_stack(suffix, env=env)
    table(stack, "T", **arguments)
    return template_of(stack)


def replica(template: Json) -> Json:
    """The table in the stack's own region: most settings of a GlobalTable are there."""
    (found,) = one(template, TABLE)["Replicas"]
    properties: Json = found
    return properties


@pytest.fixture(
    scope="module",
    params=[
        (table, env, flags)
        for table in (DeviceStateTable, TimeSeriesTable)
        for env in (None, ENV)
        for flags in (False, True)
    ],
    ids=lambda row: "-".join(
        [
            row[0].__name__,
            "with-region" if row[1] else "agnostic",
            "flags" if row[2] else "no-flags",
        ]
    ),
)
def prod(request: pytest.FixtureRequest) -> Json:
    """A table with nothing but defaults: region known or not, feature flags of ``cdk init`` or none."""
    table, env, flags = request.param
    stack = fresh_stack("prod", env=env, context=recommended_flags() if flags else None)
    table(stack, "T")
    return template_of(stack)


# --- the latest state of a device --------------------------------------------------------------------------------


def test_there_is_one_item_per_device() -> None:
    table = one(synthesized(DeviceStateTable), TABLE)
    assert table["KeySchema"] == [{"AttributeName": "deviceId", "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [{"AttributeName": "deviceId", "AttributeType": "S"}]


def test_a_state_does_not_expire() -> None:
    assert "TimeToLiveSpecification" not in one(synthesized(DeviceStateTable), TABLE)


# --- names -------------------------------------------------------------------------------------------------------


@BOTH
def test_construct_ids_are_api_since_another_id_is_another_table(table: Table) -> None:
    made = table(fresh_stack(), "T")
    assert made.table.node.path == "Test/T/Table"
    assert made.table.encryption_key is not None
    assert made.table.encryption_key.node.path == "Test/IotConstructsKey"


@BOTH
def test_the_name_is_stem_and_suffix(table: Table) -> None:
    stem = {"DeviceStateTable": "iot-device-state", "TimeSeriesTable": "iot-sensor-metrics"}
    assert one(synthesized(table, "qa7"), TABLE)["TableName"] == f"{stem[table.__name__]}-qa7"


@BOTH
def test_a_given_stem_and_suffix_win(table: Table) -> None:
    template = synthesized(table, table_name="weather", environment_suffix="PR-7")
    assert one(template, TABLE)["TableName"] == "weather-pr-7"


# --- the defaults of both ----------------------------------------------------------------------------------------


def test_it_is_on_demand(prod: Json) -> None:
    table = one(prod, TABLE)
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert "WriteProvisionedThroughputSettings" not in table


def test_it_is_restorable_to_any_second_of_35_days(prod: Json) -> None:
    assert replica(prod)["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True,
        "RecoveryPeriodInDays": 35,
    }


def test_it_is_under_the_key_of_the_stack(prod: Json) -> None:
    (key,) = resources(prod, "AWS::KMS::Key")
    arn = {"Fn::GetAtt": [key, "Arn"]}
    assert one(prod, TABLE)["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    assert replica(prod)["SSESpecification"] == {"KMSMasterKeyId": arn}


def test_contributor_insights_name_the_keys_that_are_throttled(prod: Json) -> None:
    assert replica(prod)["ContributorInsightsSpecification"] == {
        "Enabled": True,
        "Mode": "THROTTLED_KEYS",
    }


def test_it_is_retained_and_protected(prod: Json) -> None:
    table = one_resource(prod, TABLE)
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert replica(prod)["DeletionProtectionEnabled"] is True


def test_its_tags_are_on_the_replica(prod: Json) -> None:
    assert {tag["Key"]: tag["Value"] for tag in replica(prod)["Tags"]} == {
        "Environment": "prod",
        "ManagedBy": "iot-constructs",
        "Project": "Test",
    }


@BOTH
@BOTH_ENVS
def test_in_an_ephemeral_stack_it_goes_unprotected_with_the_stack(
    table: Table, env: cdk.Environment | None
) -> None:
    template = synthesized(table, "qa7", env=env)
    resource = one_resource(template, TABLE)
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete")
    assert replica(template)["DeletionProtectionEnabled"] is False
    assert (
        replica(template)["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    )


# --- a stack without a region --------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("suffix", ["prod", "qa7"])
@pytest.mark.parametrize("custom", [False, True], ids=["defaults", "custom"])
def test_a_stack_without_a_region_gets_the_same_table_as_one_with(
    table: Table, suffix: str, custom: bool
) -> None:
    resources_of: dict[str, Json] = {}
    for name, env in (("agnostic", None), ("known", ENV)):
        stack = fresh_stack(suffix, env=env)
        made = (
            table(stack, "T", recovery_period_in_days=7, deletion_protection=suffix == "qa7")
            if custom
            else table(stack, "T")
        )
        if custom:
            cdk.Tags.of(made).add("Own", "tag")
            cdk.Tags.of(made).remove("Project")
            made.grant_read_data(iam.AccountPrincipal("210987654321"))
        resources_of[name] = one_resource(template_of(stack), TABLE)

    agnostic, known = resources_of["agnostic"], resources_of["known"]
    (agnostic_replica,) = agnostic["Properties"].pop("Replicas")
    (known_replica,) = known["Properties"].pop("Replicas")
    assert agnostic == known
    assert agnostic_replica.pop("Region") == {"Ref": "AWS::Region"}
    assert known_replica.pop("Region") == REGION
    assert sorted(agnostic_replica) == sorted(known_replica)
    for field, value in known_replica.items():
        assert agnostic_replica[field] == value, field


@BOTH_ENVS
def test_an_untagged_table_has_an_untagged_replica(env: cdk.Environment | None) -> None:
    stack = cdk.Stack(fresh_app(), "Plain", env=env)
    DeviceStateTable(stack, "T")
    template = template_of(stack)
    assert "Tags" not in replica(template)
    assert replica(template)["DeletionProtectionEnabled"] is True  # a plain stack retains its data


@BOTH_ENVS
def test_a_grant_to_another_account_is_in_the_resource_policy(env: cdk.Environment | None) -> None:
    stack = fresh_stack("prod", env=env)
    DeviceStateTable(stack, "T").grant_read_data(iam.AccountPrincipal("210987654321"))
    statements = replica(template_of(stack))["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert "210987654321" in str(statements)


@BOTH_ENVS
def test_an_assigned_resource_policy_is_rendered(env: cdk.Environment | None) -> None:
    stack = fresh_stack("prod", env=env)
    table = DeviceStateTable(stack, "T").table
    principal = iam.AccountPrincipal("210987654321")
    statement = iam.PolicyStatement(
        principals=[principal], actions=["dynamodb:GetItem"], resources=["*"]
    )
    table.resource_policy = iam.PolicyDocument(statements=[statement])
    taken_back = DeviceStateTable(stack, "Other", table_name="other").table
    taken_back.resource_policy = table.resource_policy
    taken_back.resource_policy = None
    tables = resources(template_of(stack), "AWS::DynamoDB::GlobalTable").values()
    one, other = (it["Properties"]["Replicas"][0] for it in tables)
    (said,) = one["ResourcePolicy"]["PolicyDocument"]["Statement"]
    assert said["Action"] == "dynamodb:GetItem"
    assert "ResourcePolicy" not in other


def allow(account: str, action: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        principals=[iam.AccountPrincipal(account)], actions=[action], resources=["*"]
    )


def actions_of_accounts(template: Json) -> dict[str, str]:
    """Account -> what the table's resource policy lets it do."""
    found = {}
    for statement in replica(template)["ResourcePolicy"]["PolicyDocument"]["Statement"]:
        arn = statement["Principal"]["AWS"]["Fn::Join"][1]
        found[arn[-1].removeprefix(":iam::").removesuffix(":root")] = statement["Action"]
    return found


@BOTH
@BOTH_ENVS
def test_the_resource_policy_has_every_statement_however_it_got_there(
    table: Table, env: cdk.Environment | None
) -> None:
    stack = fresh_stack("prod", env=env)
    made = table(stack, "T")
    made.grant_write_data(iam.AccountPrincipal("111111111111"))
    made.table.add_to_resource_policy(allow("222222222222", "dynamodb:Query"))
    made.table.add_to_resource_policy(allow("333333333333", "dynamodb:Scan"))
    made.table.grants.actions(iam.AccountPrincipal("444444444444"), "dynamodb:GetItem")
    actions = actions_of_accounts(template_of(stack))
    assert "dynamodb:PutItem" in actions.pop("111111111111")
    assert actions == {
        "222222222222": "dynamodb:Query",
        "333333333333": "dynamodb:Scan",
        "444444444444": "dynamodb:GetItem",
    }


@BOTH_ENVS
def test_what_adds_to_the_resource_policy_hears_that_it_was_added(
    env: cdk.Environment | None,
) -> None:
    made = DeviceStateTable(fresh_stack("prod", env=env), "T")
    added = made.table.add_to_resource_policy(allow("222222222222", "dynamodb:Query"))
    assert added.statement_added is True


@BOTH_ENVS
@pytest.mark.parametrize("then_added", [False, True])
def test_a_resource_policy_that_is_set_as_a_whole_is_that_of_the_table(
    env: cdk.Environment | None, then_added: bool
) -> None:
    stack = fresh_stack("prod", env=env)
    made = DeviceStateTable(stack, "T")
    made.table.add_to_resource_policy(allow("111111111111", "dynamodb:Query"))
    whole = iam.PolicyDocument(statements=[allow("222222222222", "dynamodb:Query")])
    made.table.resource_policy = whole
    if then_added:
        made.table.add_to_resource_policy(allow("333333333333", "dynamodb:Scan"))
    whole.add_statements(allow("444444444444", "dynamodb:GetItem"))
    assert actions_of_accounts(template_of(stack)) == {
        "222222222222": "dynamodb:Query",
        **({"333333333333": "dynamodb:Scan"} if then_added else {}),
        "444444444444": "dynamodb:GetItem",
    }


@BOTH_ENVS
def test_a_table_without_grants_to_others_has_no_resource_policy(
    env: cdk.Environment | None,
) -> None:
    stack = fresh_stack("prod", env=env)
    made = DeviceStateTable(stack, "T")
    made.grant_read_data(
        iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    )
    assert "ResourcePolicy" not in replica(template_of(stack))


@BOTH_ENVS
def test_tags_that_come_late_are_on_the_replica_also_beside_a_resource_policy(
    env: cdk.Environment | None,
) -> None:
    stack = fresh_stack("prod", env=env)
    made = DeviceStateTable(stack, "T")
    cdk.Tags.of(stack).add("Before", "the grant")
    made.table.add_to_resource_policy(allow("222222222222", "dynamodb:Query"))
    cdk.Tags.of(made.table).add("After", "the grant")
    template = template_of(stack)
    tags = {tag["Key"]: tag["Value"] for tag in replica(template)["Tags"]}
    assert {key: tags[key] for key in ("Before", "After", "Environment")} == {
        "Before": "the grant",
        "After": "the grant",
        "Environment": "prod",
    }
    assert actions_of_accounts(template) == {"222222222222": "dynamodb:Query"}


# --- custom values win -------------------------------------------------------------------------------------------


@BOTH
@BOTH_ENVS
@pytest.mark.parametrize("days", [1, 35])
def test_a_given_recovery_period_wins(table: Table, env: cdk.Environment | None, days: int) -> None:
    template = synthesized(table, env=env, recovery_period_in_days=days)
    assert replica(template)["PointInTimeRecoverySpecification"] == {
        "PointInTimeRecoveryEnabled": True,
        "RecoveryPeriodInDays": days,
    }


@BOTH
@BOTH_ENVS
@pytest.mark.parametrize(("suffix", "protection"), [("prod", False), ("qa7", True)])
def test_a_given_deletion_protection_wins(
    table: Table, env: cdk.Environment | None, suffix: str, protection: bool
) -> None:
    template = synthesized(table, suffix, env=env, deletion_protection=protection)
    assert replica(template)["DeletionProtectionEnabled"] is protection


@BOTH
def test_retaining_wins_in_an_ephemeral_stack_and_brings_protection(table: Table) -> None:
    template = synthesized(table, "qa7", removal_policy=cdk.RemovalPolicy.RETAIN)
    assert one_resource(template, TABLE)["DeletionPolicy"] == "Retain"
    assert replica(template)["DeletionProtectionEnabled"] is True


@BOTH
@BOTH_ENVS
def test_a_given_key_wins(table: Table, env: cdk.Environment | None) -> None:
    stack = fresh_stack("prod", env=env)
    table(stack, "T", encryption_key=kms.Key(stack, "Own"))
    template = template_of(stack)
    (key,) = resources(template, "AWS::KMS::Key")
    assert replica(template)["SSESpecification"] == {"KMSMasterKeyId": {"Fn::GetAtt": [key, "Arn"]}}


@BOTH
def test_saying_what_holds_anyway_passes(table: Table) -> None:
    template = synthesized(table, point_in_time_recovery=True)
    assert (
        replica(template)["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    )


# --- failures ----------------------------------------------------------------------------------------------------


@BOTH
def test_recovery_cannot_be_switched_off(table: Table) -> None:
    with pytest.raises(ValueError) as failure:
        table(fresh_stack(), "T", point_in_time_recovery=False)
    assert "point_in_time_recovery=False: a table of telemetry can always be restored" in str(
        failure.value
    )
    assert "leave point_in_time_recovery out" in str(failure.value)


@BOTH
@pytest.mark.parametrize("days", [0, 36, -1, 1.5, False])
def test_a_recovery_period_out_of_range_is_refused_and_not_replaced(
    table: Table, days: Any
) -> None:
    with pytest.raises(ValueError) as failure:
        table(fresh_stack(), "T", recovery_period_in_days=days)
    assert f"recovery_period_in_days={days!r} is not a whole number from 1 to 35" in str(
        failure.value
    )


@BOTH_ENVS
def test_a_recovery_period_token_is_refused_and_not_dropped(env: cdk.Environment | None) -> None:
    stack = fresh_stack(env=env)
    token: Any = cdk.CfnParameter(stack, "Days", type="Number").value_as_number
    # CDK's own TableV2 takes no token here, and says so without a fix.
    with pytest.raises(
        ValueError, match=r"recovery_period_in_days is a token.* pass a literal number"
    ):
        DeviceStateTable(stack, "T", recovery_period_in_days=token)


@BOTH
def test_destroying_data_of_a_lasting_stack_is_refused(table: Table) -> None:
    for stack in (fresh_stack("prod"), fresh_stack("live"), cdk.Stack(fresh_app(), "Test")):
        with pytest.raises(ValueError) as failure:
            table(stack, "T", removal_policy=cdk.RemovalPolicy.DESTROY)
        assert "removal_policy=RemovalPolicy.DESTROY for 'Test/T'" in str(failure.value)
        assert "use SuffixedStack(..., ephemeral=True), or leave removal_policy out" in str(
            failure.value
        )


@BOTH
def test_two_tables_of_one_name_are_refused_with_both_paths(table: Table) -> None:
    stack = fresh_stack("dev")
    table(stack, "One")
    with pytest.raises(ValueError) as failure:
        table(stack, "Two")
    assert "is used by 'Test/One' and by 'Test/Two'" in str(failure.value)
    assert "give one of them another name stem or environment suffix" in str(failure.value)


@BOTH
def test_a_bad_stem_or_suffix_is_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="DynamoDB table name stem 'my table' has ' '"):
        table(fresh_stack(), "T", table_name="my table")
    with pytest.raises(ValueError, match="environment suffix 'my_env'"):
        table(fresh_stack(), "T", environment_suffix="my_env")


# --- the L2 inside -----------------------------------------------------------------------------------------------


def actions_by_role(template: Json) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for policy in resources(template, "AWS::IAM::Policy").values():
        (role,) = policy["Properties"]["Roles"]
        actions = found.setdefault(role["Ref"][:6], set())
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            said = statement["Action"]
            actions.update([said] if isinstance(said, str) else said)
    return found


@BOTH_ENVS
def test_names_arns_and_grants_are_those_of_the_l2(env: cdk.Environment | None) -> None:
    stack = fresh_stack("prod", env=env)
    state = DeviceStateTable(stack, "T")
    service = iam.ServicePrincipal("lambda.amazonaws.com")
    assert state.table_name == state.table.table_name
    assert state.table_arn == state.table.table_arn
    state.grant(
        iam.Role(stack, "Single", assumed_by=service), "dynamodb:PutItem", "dynamodb:GetItem"
    )
    state.grant_read_data(iam.Role(stack, "Reader", assumed_by=service))
    state.grant_write_data(iam.Role(stack, "Writer", assumed_by=service))
    actions = actions_by_role(template_of(stack))
    assert actions["Single"] == {"dynamodb:PutItem", "dynamodb:GetItem", "kms:Decrypt"}
    assert {"dynamodb:Query", "dynamodb:GetItem", "kms:Decrypt"} <= actions["Reader"]
    assert "dynamodb:PutItem" not in actions["Reader"]
    assert {"dynamodb:PutItem", "kms:GenerateDataKey*"} <= actions["Writer"]
    assert "dynamodb:Query" not in actions["Writer"]


@BOTH_ENVS
@pytest.mark.parametrize("own_keys", [False, True], ids=["shared-key", "own-keys"])
def test_a_grant_opens_the_key_of_each_table_once(
    env: cdk.Environment | None, own_keys: bool
) -> None:
    stack = fresh_stack("prod", env=env)
    keys = [kms.Key(stack, id) if own_keys else None for id in ("One", "Other")]
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    tables = [
        DeviceStateTable(stack, "State", encryption_key=keys[0]),
        TimeSeriesTable(stack, "Readings", encryption_key=keys[1]),
    ]
    # Counted here: a statement that is granted twice is in the template once.
    with mock.patch.object(kms.Key, "grant", autospec=True, side_effect=kms.Key.grant) as grant:
        for table in tables:
            table.grant(role, "dynamodb:PutItem")
            table.grant(role, "dynamodb:GetItem")

    template = template_of(stack)
    made = resources(template, "AWS::KMS::Key")
    assert len(made) == grant.call_count == (2 if own_keys else 1)
    statements = one(template, "AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    assert [it["Resource"] for it in statements if it["Action"] == "kms:Decrypt"] == [
        {"Fn::GetAtt": [key, "Arn"]} for key in made
    ]
    assert {str(it["Action"]) for it in statements if "kms" in str(it["Action"])} == {"kms:Decrypt"}


@BOTH
def test_throttle_metrics_are_sums_by_table_alone(table: Table) -> None:
    stack = fresh_stack("prod")
    made = table(stack, "T")
    for metric, name in (
        (made.metric_write_throttles(), "WriteThrottleEvents"),
        (made.metric_read_throttles(), "ReadThrottleEvents"),
    ):
        assert (metric.namespace, metric.metric_name) == ("AWS/DynamoDB", name)
        assert metric.statistic == "Sum"
        assert metric.period.to_seconds() == 300
        assert metric.dimensions is not None
        assert stack.resolve(metric.dimensions) == {"TableName": stack.resolve(made.table_name)}
