"""What makes the constructs drop-in and open, in one app: they are L2s, and nothing of CDK has to be worked around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.aws_lambda_event_sources import DynamoEventSource, KinesisEventSource
from constructs import Construct

from iot_constructs import (
    DevicePolicy,
    DeviceStateTable,
    MonitoredStream,
    NamePrefix,
    PipelineAlarms,
    QueryableArchive,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    SuffixedStack,
    TelemetryRule,
    TimeSeriesTable,
)
from iot_constructs import _defaults as defaults
from tests.synth_support import ACCOUNT, ENV, REGION, Json, fresh_app, one, resources

CODE = lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")
L2S: dict[type, type] = {
    SecureDataBucket: s3.Bucket,
    MonitoredStream: kinesis.Stream,
    TimeSeriesTable: dynamodb.TableV2,
    DeviceStateTable: dynamodb.TableV2,
}
REPLICAS = {
    region: f"arn:aws:kms:{region}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
    for region in ("eu-west-1", "us-east-1")
}
TWO_SITES = ("north", "south")


class Open(SuffixedStack):
    """Every way to bring something of one's own."""

    def __init__(self, scope: Construct, id: str, folder: Path) -> None:
        super().__init__(scope, id, environment_suffix="dev", env=ENV)
        self.stream = MonitoredStream(
            self, "Stream", shard_level_metrics=[kinesis.ShardLevelMetrics.ALL]
        )
        self.bucket = SecureDataBucket(self, "Data", transfer_acceleration=True)
        self.state = DeviceStateTable(
            self, "State", dynamo_stream=dynamodb.StreamViewType.KEYS_ONLY
        )
        self.readings = TimeSeriesTable(
            self,
            "Readings",
            table_class=dynamodb.TableClass.STANDARD_INFREQUENT_ACCESS,
            replicas=[dynamodb.ReplicaTableProps(region=region) for region in REPLICAS],
            replica_key_arns=REPLICAS,
        )
        # As an argument of CDK's own L2s.
        s3.Bucket(self, "Logged", server_access_logs_bucket=self.bucket)
        self.function = lambda_.Function(
            self, "Own", code=CODE, handler="index.handler", runtime=lambda_.Runtime.PYTHON_3_13
        )
        start = lambda_.StartingPosition.LATEST
        self.function.add_event_source(KinesisEventSource(self.stream, starting_position=start))
        self.function.add_event_source(DynamoEventSource(self.state, starting_position=start))
        self._create_processors(folder)

    def _create_processors(self, folder: Path) -> None:
        (folder / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
        in_vpc = StreamProcessor(
            self,
            "InVpc",
            stream=self.stream,
            code=CODE,
            handler="index.handler",
            dlq_name="vpc",
            vpc=ec2.Vpc(self, "Vpc", nat_gateways=0),
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            filters=[lambda_.FilterCriteria.filter({"data": {"alarm": [True]}})],
            starting_position=lambda_.StartingPosition.AT_TIMESTAMP,
            starting_position_timestamp=1_700_000_000,
            tumbling_window=cdk.Duration.seconds(30),
        )
        self.bucket.grant_read(in_vpc)
        self.readings.grant_read_data(in_vpc)
        image = lambda_.DockerImageFunction(
            self, "Image", code=lambda_.DockerImageCode.from_image_asset(str(folder))
        )
        StreamProcessor(self, "InImage", stream=self.stream, function=image, dlq_name="image")
        alias = lambda_.Alias(
            self,
            "Live",
            alias_name="live",
            version=self.function.current_version,
            provisioned_concurrent_executions=2,
        )
        consumer = kinesis.StreamConsumer(
            self, "Consumer", stream=self.stream, stream_consumer_name="fan-out"
        )
        StreamProcessor(
            self,
            "OnAlias",
            stream=consumer,
            function=alias,
            dlq_name="alias",
            on_failure=self.bucket,
        )


def create_site(scope: Construct) -> None:
    """A whole pipeline with every default."""
    stream = MonitoredStream(scope, "Stream")
    readings, state = TimeSeriesTable(scope, "Readings"), DeviceStateTable(scope, "State")
    processor = StreamProcessor(
        scope, "Processor", stream=stream, code=CODE, handler="index.handler"
    )
    rule = TelemetryRule(scope, "Rule", stream=stream, dlq_topic=processor.dlq_topic)
    data = SecureDataBucket(scope, "Data")
    archive = StreamArchive(scope, "Archive", stream=stream, bucket=data)
    QueryableArchive(scope, "Queries", bucket=data)
    DevicePolicy(scope, "Devices")
    PipelineAlarms(
        scope,
        "Alarms",
        stream=stream,
        processor=processor,
        time_series_table=readings,
        device_state_table=state,
        archive=archive,
        rule=rule,
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Open:
    return Open(fresh_app(), "Open", tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def template(stack: Open) -> Json:
    app = stack.node.root
    assert isinstance(app, cdk.App)
    return app.synth().get_stack_by_name(stack.stack_name).template  # type: ignore[no-any-return]


@pytest.mark.parametrize("construct", list(L2S))
def test_each_resource_is_its_l2(construct: type, stack: Open) -> None:
    created = (stack.bucket, stack.stream, stack.readings, stack.state)
    of_type = [one for one in created if type(one) is construct]
    assert len(of_type) == 1
    assert isinstance(of_type[0], L2S[construct])


def test_a_property_of_the_l2_that_the_library_does_not_mention_arrives(template: Json) -> None:
    assert one(template, "AWS::Kinesis::Stream")["DesiredShardLevelMetrics"] == ["ALL"]
    accelerated = {"AccelerationStatus": "Enabled"}
    one(template, "AWS::S3::Bucket", AccelerateConfiguration=accelerated)
    one(template, "AWS::DynamoDB::GlobalTable", StreamSpecification={"StreamViewType": "KEYS_ONLY"})


def test_cdk_takes_each_as_an_argument(template: Json, stack: Open) -> None:
    data = stack.resolve(stack.bucket.bucket_name)
    one(template, "AWS::S3::Bucket", LoggingConfiguration={"DestinationBucketName": data})
    for arn in (stack.stream.stream_arn, stack.state.table_stream_arn):
        found = [
            mapping
            for mapping in resources(template, "AWS::Lambda::EventSourceMapping").values()
            if mapping["Properties"]["EventSourceArn"] == stack.resolve(arn)
            and mapping["Properties"]["FunctionName"] == stack.resolve(stack.function.function_name)
        ]
        assert len(found) == 1, arn


def test_a_global_table_has_a_customer_managed_key_in_each_region(template: Json) -> None:
    table = one(template, "AWS::DynamoDB::GlobalTable", TableName="iot-sensor-metrics-dev")
    keys = {r["Region"]: r["SSESpecification"]["KMSMasterKeyId"] for r in table["Replicas"]}
    assert keys.pop(REGION) == {
        "Fn::GetAtt": [next(iter(resources(template, "AWS::KMS::Key"))), "Arn"]
    }
    assert keys == REPLICAS
    assert {r["TableClass"] for r in table["Replicas"]} == {"STANDARD_INFREQUENT_ACCESS"}


def test_a_processor_in_a_vpc_with_filters_at_a_timestamp_and_with_a_window(template: Json) -> None:
    mapping: dict[str, Any] = one(
        template, "AWS::Lambda::EventSourceMapping", StartingPosition="AT_TIMESTAMP"
    )
    assert mapping["StartingPositionTimestamp"] == 1_700_000_000
    assert mapping["TumblingWindowInSeconds"] == 30
    assert mapping["FilterCriteria"] == {"Filters": [{"Pattern": '{"data":{"alarm":[true]}}'}]}
    # What is not given keeps the corrected default.
    assert mapping["BatchSize"] == defaults.BATCH_SIZE
    assert mapping["BisectBatchOnFunctionError"] is True
    function = one(template, "AWS::Lambda::Function", Handler="index.handler", Runtime="python3.14")
    assert function["VpcConfig"]["SubnetIds"]


def test_a_processor_on_an_alias_reads_a_consumer(template: Json, stack: Open) -> None:
    consumer = next(iter(resources(template, "AWS::Kinesis::StreamConsumer")))
    arn = {"Fn::GetAtt": [consumer, "ConsumerARN"]}
    mapping = one(template, "AWS::Lambda::EventSourceMapping", EventSourceArn=arn)
    assert "live" in str(mapping["FunctionName"])
    bucket = stack.resolve(stack.bucket.bucket_arn)
    assert mapping["DestinationConfig"] == {"OnFailure": {"Destination": bucket}}
    one(template, "AWS::Lambda::EventInvokeConfig", Qualifier="live")
    alias = one(template, "AWS::Lambda::Alias")
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}


def test_a_processor_in_an_image_is_mapped_to_the_stream(template: Json) -> None:
    images = [
        id
        for id, function in resources(template, "AWS::Lambda::Function").items()
        if function["Properties"].get("PackageType") == "Image"
    ]
    assert len(images) == 1
    one(template, "AWS::Lambda::EventSourceMapping", FunctionName={"Ref": images[0]})


def test_two_whole_pipelines_in_one_stack_differ_by_one_word() -> None:
    app = fresh_app()
    stack = SuffixedStack(app, "Sites", environment_suffix="dev", env=ENV)
    for site in TWO_SITES:
        scope = Construct(stack, site)
        NamePrefix(site).attach_to(scope)
        create_site(scope)
    template = app.synth().get_stack_by_name(stack.stack_name).template
    names = {
        site: {
            (resource["Type"], value.replace(site, "SITE"))
            for resource in template["Resources"].values()
            for key, value in resource.get("Properties", {}).items()
            if key.endswith("Name") and isinstance(value, str) and value.startswith(f"{site}-")
        }
        for site in TWO_SITES
    }
    assert len(names["north"]) > 30
    assert names["north"] == names["south"]
