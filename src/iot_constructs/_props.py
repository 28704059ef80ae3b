"""The properties of the L2s that the constructs extend or pass on, for type checkers and editors.

A test holds each class to the signature of its L2, with the lowest and with the newest supported aws-cdk-lib. Nothing
imports this module at run time. pyright does not take a ``kms.Key`` for a ``kms.IKey``, nor a ``sns.Topic`` for a
``sns.ITopic``, so both stand where a key or a topic is expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import aws_cdk as cdk
from aws_cdk import aws_codeguruprofiler as codeguruprofiler
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.interfaces.aws_kms import IKeyRef
from aws_cdk.interfaces.aws_lambda import ICodeSigningConfigRef
from aws_cdk.interfaces.aws_logs import ILogGroupRef

from iot_constructs.environment import EnvironmentSuffix, NamePrefix
from iot_constructs.processing import FailureDestination


class StackProps(TypedDict, total=False):
    """The properties of ``aws_cdk.Stack``."""

    analytics_reporting: bool | None
    cross_region_references: bool | None
    description: str | None
    env: cdk.Environment | dict[str, Any] | None
    notification_arns: Sequence[str] | None
    permissions_boundary: cdk.PermissionsBoundary | None
    property_injectors: Sequence[cdk.IPropertyInjector] | None
    stack_name: str | None
    suppress_template_indentation: bool | None
    synthesizer: cdk.IStackSynthesizer | None
    tags: Mapping[str, str] | None
    termination_protection: bool | None


class BucketProps(TypedDict, total=False):
    """The properties of ``s3.Bucket``."""

    abac_status: bool | None
    access_control: s3.BucketAccessControl | None
    auto_delete_objects: bool | None
    block_public_access: s3.BlockPublicAccess | None
    blocked_encryption_types: Sequence[s3.BlockedEncryptionType] | None
    bucket_key_enabled: bool | None
    bucket_name: str | None
    bucket_name_prefix: str | None
    bucket_namespace: s3.BucketNamespace | None
    cors: Sequence[s3.CorsRule | dict[str, Any]] | None
    encryption: s3.BucketEncryption | None
    encryption_key: kms.IKey | kms.Key | None
    enforce_ssl: bool | None
    event_bridge_enabled: bool | None
    intelligent_tiering_configurations: (
        Sequence[s3.IntelligentTieringConfiguration | dict[str, Any]] | None
    )
    inventories: Sequence[s3.Inventory | dict[str, Any]] | None
    lifecycle_rules: Sequence[s3.LifecycleRule | dict[str, Any]] | None
    metrics: Sequence[s3.BucketMetrics | dict[str, Any]] | None
    minimum_tls_version: float | None
    notifications_handler_role: iam.IRole | None
    notifications_skip_destination_validation: bool | None
    object_lock_default_retention: s3.ObjectLockRetention | None
    object_lock_enabled: bool | None
    object_ownership: s3.ObjectOwnership | None
    public_read_access: bool | None
    removal_policy: cdk.RemovalPolicy | None
    replication_role: iam.IRole | None
    replication_rules: Sequence[s3.ReplicationRule | dict[str, Any]] | None
    server_access_logs_bucket: s3.IBucket | None
    server_access_logs_prefix: str | None
    target_object_key_format: s3.TargetObjectKeyFormat | None
    transfer_acceleration: bool | None
    transition_default_minimum_object_size: s3.TransitionDefaultMinimumObjectSize | None
    versioned: bool | None
    website_error_document: str | None
    website_index_document: str | None
    website_redirect: s3.RedirectTarget | dict[str, Any] | None
    website_routing_rules: Sequence[s3.RoutingRule | dict[str, Any]] | None


class StreamProps(TypedDict, total=False):
    """The properties of ``kinesis.Stream``."""

    encryption: kinesis.StreamEncryption | None
    encryption_key: kms.IKey | kms.Key | None
    removal_policy: cdk.RemovalPolicy | None
    retention_period: cdk.Duration | None
    shard_count: float | None
    shard_level_metrics: Sequence[kinesis.ShardLevelMetrics] | None
    stream_mode: kinesis.StreamMode | None
    stream_name: str | None


class TableProps(TypedDict, total=False):
    """The properties of ``dynamodb.TableV2``."""

    billing: dynamodb.Billing | None
    contributor_insights: bool | None
    contributor_insights_specification: (
        dynamodb.ContributorInsightsSpecification | dict[str, Any] | None
    )
    deletion_protection: bool | None
    dynamo_stream: dynamodb.StreamViewType | None
    encryption: dynamodb.TableEncryptionV2 | None
    global_secondary_indexes: Sequence[dynamodb.GlobalSecondaryIndexPropsV2 | dict[str, Any]] | None
    global_table_settings_replication_mode: dynamodb.GlobalTableSettingsReplicationMode | None
    kinesis_stream: kinesis.IStream | None
    local_secondary_indexes: Sequence[dynamodb.LocalSecondaryIndexProps | dict[str, Any]] | None
    multi_region_consistency: dynamodb.MultiRegionConsistency | None
    partition_key: dynamodb.Attribute | dict[str, Any] | None
    point_in_time_recovery: bool | None
    point_in_time_recovery_specification: (
        dynamodb.PointInTimeRecoverySpecification | dict[str, Any] | None
    )
    removal_policy: cdk.RemovalPolicy | None
    replicas: Sequence[dynamodb.ReplicaTableProps | dict[str, Any]] | None
    resource_policy: iam.PolicyDocument | None
    sort_key: dynamodb.Attribute | dict[str, Any] | None
    stream_resource_policy: iam.PolicyDocument | None
    table_class: dynamodb.TableClass | None
    table_name: str | None
    tags: Sequence[cdk.CfnTag | dict[str, Any]] | None
    time_to_live_attribute: str | None
    warm_throughput: dynamodb.WarmThroughput | dict[str, Any] | None
    witness_region: str | None


class FunctionProps(TypedDict, total=False):
    """The properties of ``lambda_.Function`` that StreamProcessor passes on as they are.

    ``retry_attempts`` and ``on_failure`` are ``async_retry_attempts`` and ``async_on_failure`` there.
    """

    adot_instrumentation: lambda_.AdotInstrumentationConfig | dict[str, Any] | None
    allow_all_ipv6_outbound: bool | None
    allow_all_outbound: bool | None
    allow_public_subnet: bool | None
    application_log_level: str | None
    application_log_level_v2: lambda_.ApplicationLogLevel | None
    architecture: lambda_.Architecture | None
    code: lambda_.Code | None
    code_signing_config: ICodeSigningConfigRef | None
    current_version_options: lambda_.VersionOptions | dict[str, Any] | None
    dead_letter_queue: sqs.IQueue | None
    dead_letter_queue_enabled: bool | None
    dead_letter_topic: sns.ITopic | sns.Topic | None
    description: str | None
    durable_config: lambda_.DurableConfig | dict[str, Any] | None
    environment: Mapping[str, str] | None
    environment_encryption: IKeyRef | kms.Key | None
    ephemeral_storage_size: cdk.Size | None
    events: Sequence[lambda_.IEventSource] | None
    filesystem: lambda_.FileSystem | None
    function_name: str | None
    handler: str | None
    initial_policy: Sequence[iam.PolicyStatement] | None
    insights_version: lambda_.LambdaInsightsVersion | None
    ipv6_allowed_for_dual_stack: bool | None
    layers: Sequence[lambda_.ILayerVersion] | None
    log_format: str | None
    log_group: ILogGroupRef | None
    log_removal_policy: cdk.RemovalPolicy | None
    log_retention_retry_options: lambda_.LogRetentionRetryOptions | dict[str, Any] | None
    log_retention_role: iam.IRole | None
    logging_format: lambda_.LoggingFormat | None
    max_event_age: cdk.Duration | None
    memory_size: float | None
    on_success: lambda_.IDestination | None
    params_and_secrets: lambda_.ParamsAndSecretsLayerVersion | None
    profiling: bool | None
    profiling_group: codeguruprofiler.IProfilingGroup | None
    recursive_loop: lambda_.RecursiveLoop | None
    reserved_concurrent_executions: float | None
    role: iam.IRole | None
    runtime: lambda_.Runtime | None
    runtime_management_mode: lambda_.RuntimeManagementMode | None
    security_groups: Sequence[ec2.ISecurityGroup] | None
    snap_start: lambda_.SnapStartConf | None
    system_log_level: str | None
    system_log_level_v2: lambda_.SystemLogLevel | None
    tenancy_config: lambda_.TenancyConfig | None
    timeout: cdk.Duration | None
    tracing: lambda_.Tracing | None
    vpc: ec2.IVpc | None
    vpc_subnets: ec2.SubnetSelection | dict[str, Any] | None


class EventSourceMappingProps(TypedDict, total=False):
    """The properties of ``lambda_.EventSourceMapping`` that StreamProcessor passes on as they are."""

    batch_size: float | None
    bisect_batch_on_error: bool | None
    enabled: bool | None
    filter_encryption: kms.IKey | kms.Key | None
    filters: Sequence[Mapping[str, Any]] | None
    kafka_bootstrap_servers: Sequence[str] | None
    kafka_consumer_group_id: str | None
    kafka_topic: str | None
    log_level: lambda_.EventSourceMappingLogLevel | None
    max_batching_window: cdk.Duration | None
    max_concurrency: float | None
    max_record_age: cdk.Duration | None
    metrics_config: lambda_.MetricsConfig | dict[str, Any] | None
    parallelization_factor: float | None
    provisioned_poller_config: lambda_.ProvisionedPollerConfig | dict[str, Any] | None
    report_batch_item_failures: bool | None
    retry_attempts: float | None
    schema_registry_config: lambda_.ISchemaRegistry | None
    source_access_configurations: (
        Sequence[lambda_.SourceAccessConfiguration | dict[str, Any]] | None
    )
    starting_position: lambda_.StartingPosition | None
    starting_position_timestamp: float | None
    support_s3_on_failure_destination: bool | None
    tumbling_window: cdk.Duration | None


class StreamProcessorProps(FunctionProps, EventSourceMappingProps, total=False):
    """The properties that StreamProcessor passes on."""


class TelemetryProcessorProps(StreamProcessorProps, total=False):
    """What TelemetryProcessor passes on to StreamProcessor, but its stream."""

    async_on_failure: lambda_.IDestination | None
    async_retry_attempts: float | None
    dlq_name: str | None
    dlq_topic: sns.ITopic | sns.Topic | None
    encryption_key: kms.IKey | kms.Key | None
    environment_suffix: str | EnvironmentSuffix | None
    log_retention: logs.RetentionDays | None
    name_prefix: str | NamePrefix | None
    on_failure: FailureDestination | None
    removal_policy: cdk.RemovalPolicy | None


class DeliveryProps(TypedDict, total=False):
    """The properties of ``firehose.S3Bucket``, the destination."""

    buffering_interval: cdk.Duration | None
    buffering_size: cdk.Size | None
    compression: firehose.Compression | None
    data_format_conversion: firehose.DataFormatConversionProps | dict[str, Any] | None
    data_output_prefix: str | None
    dynamic_partitioning: firehose.DynamicPartitioningProps | dict[str, Any] | None
    encryption_key: kms.IKey | kms.Key | None
    error_output_prefix: str | None
    file_extension: str | None
    logging_config: firehose.ILoggingConfig | None
    processor: firehose.IDataProcessor | None
    processors: Sequence[firehose.IDataProcessor] | None
    role: iam.IRole | None
    s3_backup: firehose.DestinationS3BackupProps | dict[str, Any] | None
    time_zone: cdk.TimeZone | None
