"""Injectors of plain streams, functions and event source mappings."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk import custom_resources
from aws_cdk.aws_cloudfront import experimental
from aws_cdk.aws_lambda_event_sources import (
    DynamoEventSource,
    KinesisConsumerEventSource,
    KinesisEventSource,
    SqsDlq,
    SqsEventSource,
)
from constructs import Construct

from iot_constructs import MonitoredStream, SuffixedStack
from iot_constructs import _defaults as defaults
from iot_constructs.rules import property_injectors
from tests.rules.injected import ABSENT, Cases, Difference, with_injectors
from tests.synth_support import ENV, REGION, Json, fresh_app, one, resources, template_of

_ID = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
_SEVEN_DAYS = {"Stream/RetentionPeriodHours": defaults.STREAM_RETENTION_HOURS}
_STREAM_ON_DEMAND = {
    "Stream/ShardCount": ABSENT,
    "Stream/StreamModeDetails/StreamMode": "ON_DEMAND",
}

case = Cases()


@pytest.fixture(scope="module")
def added() -> dict[str, Difference]:
    return case.differences()


# --- streams ------------------------------------------------------------------------------------------------------


@case
def stream(stack: cdk.Stack) -> object:
    return kinesis.Stream(stack, "Stream")


def test_a_stream_is_on_demand_and_keeps_records_for_seven_days(
    added: dict[str, Difference],
) -> None:
    assert added[stream] == _SEVEN_DAYS | _STREAM_ON_DEMAND


def test_a_stream_of_an_ephemeral_stack_keeps_the_defaults_of_cdk() -> None:
    """They cost least while nobody sends, as those of a MonitoredStream there."""
    stack = SuffixedStack(
        fresh_app(), "S", environment_suffix="dev", property_injectors=property_injectors()
    )
    nested = cdk.NestedStack(stack, "Nested")
    kinesis.Stream(nested, "Stream")
    MonitoredStream(nested, "Ours")
    plain, ours = (
        it["Properties"] for it in resources(template_of(nested), "AWS::Kinesis::Stream").values()
    )
    for name in ("ShardCount", "RetentionPeriodHours"):
        assert plain[name] == ours[name]
    assert "StreamModeDetails" not in plain  # provisioned


@case
def stream_says_no(stack: cdk.Stack) -> object:
    return kinesis.Stream(
        stack,
        "Stream",
        retention_period=cdk.Duration.hours(24),
        stream_mode=kinesis.StreamMode.PROVISIONED,
        encryption=kinesis.StreamEncryption.UNENCRYPTED,
    )


@case
def stream_says_a_token(stack: cdk.Stack) -> object:
    number = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    return kinesis.Stream(
        stack, "Stream", shard_count=number, retention_period=cdk.Duration.hours(number)
    )


@case
def stream_with_shards(stack: cdk.Stack) -> object:
    return kinesis.Stream(stack, "Stream", shard_count=3)


def test_a_stream_with_shards_keeps_them(added: dict[str, Difference]) -> None:
    assert added[stream_with_shards] == _SEVEN_DAYS


# --- functions ----------------------------------------------------------------------------------------------------


def function(scope: Construct, id: str = "Function", **said: Any) -> lambda_.Function:
    return lambda_.Function(
        scope,
        id,
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
        **said,
    )


@case
def function_alone(stack: cdk.Stack) -> object:
    return function(stack)


def test_a_function_is_traced(added: dict[str, Difference]) -> None:
    found = added[function_alone]
    assert found.pop("Function/TracingConfig/Mode") == "Active"
    statements = found["FunctionServiceRoleDefaultPolicy/PolicyDocument/Statement"]
    assert [it["Action"] for it in statements] == [
        ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    ]
    assert [path for path in found if not path.startswith("FunctionServiceRole")] == [
        "Function/DependsOn"
    ]


@case
def function_says_no(stack: cdk.Stack) -> object:
    return function(
        stack,
        tracing=lambda_.Tracing.DISABLED,
        timeout=cdk.Duration.seconds(4),
        environment={"REGION": cdk.Aws.REGION},
        retry_attempts=0,
    )


@case
def function_with_a_role(stack: cdk.Stack) -> object:
    principal = iam.ServicePrincipal("lambda.amazonaws.com")
    return function(stack, role=iam.Role(stack, "Role", assumed_by=principal))


@case
def functions_of_cdk(stack: cdk.Stack) -> object:
    call = custom_resources.AwsSdkCall(
        service="S3",
        action="listBuckets",
        physical_resource_id=custom_resources.PhysicalResourceId.of("it"),
    )
    any_resource = custom_resources.AwsCustomResourcePolicy.ANY_RESOURCE
    custom_resources.AwsCustomResource(
        stack,
        "Custom",
        on_create=call,
        policy=custom_resources.AwsCustomResourcePolicy.from_sdk_calls(resources=any_resource),
    )
    theirs = function(stack, tracing=lambda_.Tracing.DISABLED)
    return custom_resources.Provider(stack, "Provider", on_event_handler=theirs)


_FOR_EDGE = cdk.Environment(account=ENV.account, region="us-east-1")


def at_edge(scope: Construct, version: lambda_.IVersion) -> cloudfront.Distribution:
    association = cloudfront.EdgeLambda(
        function_version=version, event_type=cloudfront.LambdaEdgeEventType.VIEWER_REQUEST
    )
    return cloudfront.Distribution(
        scope,
        "Distribution",
        default_behavior=cloudfront.BehaviorOptions(
            origin=origins.HttpOrigin("www.example.com"), edge_lambdas=[association]
        ),
    )


def functions_of(app: cdk.App) -> list[Json]:
    return [
        it["Properties"]
        for stack in app.synth().stacks
        for it in stack.template.get("Resources", {}).values()
        if it["Type"] == "AWS::Lambda::Function"
    ]


@case
def function_for_the_edge(stack: cdk.Stack) -> object:
    return at_edge(stack, function(stack).current_version)


@case
def function_for_the_edge_l1(stack: cdk.Stack) -> object:
    """With an L1 distribution, the app lets Lambda@Edge assume the role itself."""
    made = function(stack)
    assert isinstance(made.role, iam.Role)
    assert made.role.assume_role_policy is not None
    made.role.assume_role_policy.add_statements(
        iam.PolicyStatement(
            actions=["sts:AssumeRole"],
            principals=[iam.ServicePrincipal("edgelambda.amazonaws.com")],
        )
    )
    return made


def test_the_function_of_a_distribution_in_another_stack_is_not_traced() -> None:
    app = with_injectors(fresh_app())
    edge, site = (cdk.Stack(app, id, env=_FOR_EDGE) for id in ("Edge", "Site"))
    at_edge(site, function(edge).current_version)
    (found,) = functions_of(app)
    assert "TracingConfig" not in found


def test_an_edge_function_is_not_traced_wherever_it_lands() -> None:
    app = with_injectors(fresh_app())
    for id, region in (("Near", "us-east-1"), ("Far", REGION)):
        stack = cdk.Stack(app, id, env=cdk.Environment(account=ENV.account, region=region))
        experimental.EdgeFunction(
            stack,
            "Function",
            code=lambda_.Code.from_inline("def handler(event, context): pass"),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
        )
    assert len(app.synth().stacks) == 3  # EdgeFunction puts the far one into a stack of its own
    functions = functions_of(app)
    assert len(functions) >= 2
    assert not [it for it in functions if "TracingConfig" in it]


@case
def function_with_an_escape_hatch(stack: cdk.Stack) -> object:
    made = function(stack)
    resource = made.node.default_child
    assert isinstance(resource, lambda_.CfnFunction)
    resource.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode="PassThrough")
    return made


def test_tracing_does_not_rely_on_a_permissions_boundary() -> None:
    """Lambda rejects tracing if the boundary does not allow it."""
    app = with_injectors(fresh_app({"@aws-cdk/core:permissionsBoundary": {"name": "developers"}}))
    function(cdk.Stack(app, "Stack", env=ENV))
    (found,) = functions_of(app)
    assert "TracingConfig" not in found


def test_a_role_that_a_person_creates_gets_no_new_permission() -> None:
    stack = cdk.Stack(with_injectors(fresh_app()), "Stack")
    iam.Role.customize_roles(stack, use_precreated_roles={"Stack/Function/ServiceRole": "mine"})
    function(stack)
    template = template_of(stack)
    assert not resources(template, "AWS::IAM::Policy")
    assert "TracingConfig" not in one(template, "AWS::Lambda::Function")


# --- versions and aliases -----------------------------------------------------------------------------------------


def versioned(app: cdk.App, **said: Any) -> dict[str, Json]:
    """Logical id -> resource of an app with a current version, an alias, and a version of its own."""
    stack = cdk.Stack(app, "Stack")
    made = function(stack, **said)
    lambda_.Alias(stack, "Live", alias_name="live", version=made.current_version)
    lambda_.Version(stack, "Fixed", lambda_=made)
    found: dict[str, Json] = template_of(stack)["Resources"]
    return found


def test_tracing_publishes_a_version_and_the_alias_points_to_it() -> None:
    """Tracing is part of a version, so an alias of the old version would go on without it."""
    before, after = versioned(fresh_app()), versioned(with_injectors(fresh_app()))
    (old,), (new,) = (
        before.keys() - after.keys(),
        after.keys() - before.keys() - {_xray_policy(after)},
    )
    assert before[old] == after[new]
    assert before[old]["Type"] == "AWS::Lambda::Version"
    alias = next(id for id in before if id.startswith("Live"))
    assert before[alias]["Properties"]["FunctionVersion"] == {"Fn::GetAtt": [old, "Version"]}
    assert after[alias]["Properties"]["FunctionVersion"] == {"Fn::GetAtt": [new, "Version"]}
    rest = before.keys() - {old, alias}
    changed = {before[id]["Type"] for id in rest if before[id] != after[id]}
    assert changed == {"AWS::Lambda::Function"}


def _xray_policy(template: dict[str, Json]) -> str:
    (id,) = (id for id, it in template.items() if it["Type"] == "AWS::IAM::Policy")
    return id


@pytest.mark.parametrize("mode", list(lambda_.Tracing))
def test_with_a_tracing_mode_of_the_app_nothing_changes(mode: lambda_.Tracing) -> None:
    said = {"tracing": mode}
    assert versioned(with_injectors(fresh_app()), **said) == versioned(fresh_app(), **said)


# --- mappings -----------------------------------------------------------------------------------------------------

_PACE = {
    "MaximumBatchingWindowInSeconds": defaults.MAX_BATCHING_WINDOW_SECONDS,
    "BisectBatchOnFunctionError": defaults.BISECT_BATCH_ON_ERROR,
}
_SHORTEST_RETENTION = defaults.STREAM_MINIMUM_RETENTION_HOURS * 3600
_BOUNDS = {
    "MaximumRetryAttempts": defaults.RETRY_ATTEMPTS,
    "MaximumRecordAgeInSeconds": int(_SHORTEST_RETENTION * defaults.RECORD_AGE_SHARE_OF_RETENTION),
}


def reader(stack: cdk.Stack, source: lambda_.IEventSource) -> lambda_.Function:
    """A function without a word left to say, with an event source."""
    made = function(stack, tracing=lambda_.Tracing.DISABLED)
    made.add_event_source(source)
    return made


def token_stream(stack: cdk.Stack) -> kinesis.Stream:
    retention = cdk.Duration.hours(24)
    return kinesis.Stream(stack, "Source", shard_count=1, retention_period=retention)


def mapping_difference(found: Difference) -> Difference:
    """The difference by property; nothing else than one mapping may differ."""
    assert len({path.rpartition("/")[0] for path in found}) <= 1, found
    return {path.rpartition("/")[2]: value for path, value in found.items()}


@case
def mapping(stack: cdk.Stack) -> object:
    source = KinesisEventSource(
        token_stream(stack), starting_position=lambda_.StartingPosition.LATEST
    )
    return reader(stack, source)


@case
def mapping_by_name(stack: cdk.Stack) -> object:
    known = kinesis.Stream.from_stream_attributes(
        stack, "Source", stream_arn=f"arn:aws:kinesis:{REGION}:{ENV.account}:stream/readings"
    )
    position = lambda_.StartingPosition.TRIM_HORIZON
    return reader(stack, KinesisEventSource(known, starting_position=position))


@case
def mapping_by_computed_name(stack: cdk.Stack) -> object:
    arn = stack.format_arn(service="kinesis", resource="stream", resource_name="readings")
    return lambda_.EventSourceMapping(
        stack,
        "Mapping",
        target=function(stack, tracing=lambda_.Tracing.DISABLED),
        event_source_arn=arn,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
    )


@case
def mapping_of_a_consumer(stack: cdk.Stack) -> object:
    consumer = kinesis.StreamConsumer(
        stack, "Consumer", stream=token_stream(stack), stream_consumer_name="reader"
    )
    position = lambda_.StartingPosition.TRIM_HORIZON
    return reader(stack, KinesisConsumerEventSource(consumer, starting_position=position))


@pytest.mark.parametrize(
    "name", [mapping, mapping_by_name, mapping_by_computed_name, mapping_of_a_consumer]
)
def test_a_kinesis_mapping_waits_for_batches_and_bisects(
    added: dict[str, Difference], name: str
) -> None:
    # No bound: without a destination it would drop records. No partial batches: the code may not know of them.
    assert mapping_difference(added[name]) == _PACE


@case
def mapping_with_a_destination(stack: cdk.Stack) -> object:
    lost = sqs.Queue(stack, "Lost", enforce_ssl=False, encryption=sqs.QueueEncryption.KMS_MANAGED)
    source = KinesisEventSource(
        token_stream(stack),
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        on_failure=SqsDlq(lost),
    )
    return reader(stack, source)


def test_a_mapping_with_a_destination_gives_up_in_time(added: dict[str, Difference]) -> None:
    found = mapping_difference(added[mapping_with_a_destination])
    assert found == _PACE | _BOUNDS
    assert found["MaximumRecordAgeInSeconds"] < _SHORTEST_RETENTION


@case
def mapping_says_no(stack: cdk.Stack) -> object:
    lost = sqs.Queue(stack, "Lost", enforce_ssl=False, encryption=sqs.QueueEncryption.KMS_MANAGED)
    source = KinesisEventSource(
        token_stream(stack),
        starting_position=lambda_.StartingPosition.AT_TIMESTAMP,
        starting_position_timestamp=1_700_000_000.5,
        on_failure=SqsDlq(lost),
        max_batching_window=cdk.Duration.seconds(0),
        bisect_batch_on_error=False,
        retry_attempts=0,
        max_record_age=cdk.Duration.seconds(60),
        report_batch_item_failures=False,
        enabled=False,
    )
    return reader(stack, source)


@case
def mapping_says_retries_only(stack: cdk.Stack) -> object:
    retries = cdk.CfnParameter(stack, "Retries", type="Number").value_as_number
    source = KinesisEventSource(
        token_stream(stack),
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        retry_attempts=retries,
    )
    return reader(stack, source)


def test_a_bound_of_the_author_is_not_completed_without_a_destination(
    added: dict[str, Difference],
) -> None:
    assert mapping_difference(added[mapping_says_retries_only]) == _PACE


@case
def mapping_with_a_tumbling_window(stack: cdk.Stack) -> object:
    source = KinesisEventSource(
        token_stream(stack),
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
        tumbling_window=cdk.Duration.seconds(60),
    )
    return reader(stack, source)


@case
def mapping_of_a_queue(stack: cdk.Stack) -> object:
    jobs = sqs.Queue(stack, "Jobs", enforce_ssl=False, encryption=sqs.QueueEncryption.KMS_MANAGED)
    return reader(stack, SqsEventSource(jobs))


@case
def mapping_of_a_table(stack: cdk.Stack) -> object:
    changes = dynamodb.Table(
        stack,
        "Changes",
        partition_key=_ID,
        stream=dynamodb.StreamViewType.NEW_IMAGE,
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        deletion_protection=False,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
    )
    position = lambda_.StartingPosition.TRIM_HORIZON
    return reader(stack, DynamoEventSource(changes, starting_position=position))


@case
def mapping_of_something(stack: cdk.Stack) -> object:
    return lambda_.EventSourceMapping(
        stack,
        "Mapping",
        target=function(stack, tracing=lambda_.Tracing.DISABLED),
        event_source_arn=cdk.CfnParameter(stack, "Source").value_as_string,
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
    )


@case
def mapping_of_a_cluster(stack: cdk.Stack) -> object:
    cluster = cdk.CfnResource(stack, "Cluster", type="AWS::MSK::Cluster")
    return lambda_.EventSourceMapping(
        stack,
        "Mapping",
        target=function(stack, tracing=lambda_.Tracing.DISABLED),
        event_source_arn=cluster.get_att("Arn").to_string(),
        kafka_topic="readings",
        starting_position=lambda_.StartingPosition.TRIM_HORIZON,
    )


def test_a_mapping_without_a_source_is_refused_in_cdks_own_words() -> None:
    stack = cdk.Stack(with_injectors(fresh_app()), "Stack")
    with pytest.raises(RuntimeError, match="eventSourceArn"):
        lambda_.EventSourceMapping(
            stack,
            "Mapping",
            target=function(stack),
            starting_position=lambda_.StartingPosition.LATEST,
        )


# --- properties of the caller take precedence ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        stream_says_no,
        stream_says_a_token,
        function_says_no,
        function_with_a_role,
        function_with_an_escape_hatch,
        function_for_the_edge,
        function_for_the_edge_l1,
        functions_of_cdk,
        mapping_says_no,
        mapping_with_a_tumbling_window,
        mapping_of_a_queue,
        mapping_of_a_table,
        mapping_of_something,
        mapping_of_a_cluster,
    ],
)
def test_properties_of_the_caller_take_precedence(added: dict[str, Difference], name: str) -> None:
    assert added[name] == {}
