"""The property with the physical name, by resource type: names that are unique in an account, in a Region or globally.

A name that is unique only inside another resource, such as that of a Glue table or of a stream's consumer, is not in
it, and neither are DNS names. `tests/rules/test_names.py` compares it with the resource schemas of CloudFormation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

# Service: type and property, which can be a path; "!" marks a required one.
_TABLE: Final = """
AmazonMQ: Broker.BrokerName!
ApiGateway: ApiKey.Name
AppConfig: Extension.Name!
AppFlow: ConnectorProfile.ConnectorProfileName! Flow.FlowName!
AppIntegrations: EventIntegration.Name!
AppStream: AppBlockBuilder.Name! Fleet.Name! ImageBuilder.Name! Stack.Name
Athena: CapacityReservation.Name! DataCatalog.Name! WorkGroup.Name!
AutoScaling: AutoScalingGroup.AutoScalingGroupName LaunchConfiguration.LaunchConfigurationName
Backup: BackupVault.BackupVaultName! Framework.FrameworkName
  LogicallyAirGappedBackupVault.BackupVaultName! ReportPlan.ReportPlanName
  RestoreTestingPlan.RestoreTestingPlanName! TieringConfiguration.TieringConfigurationName!
Batch: ComputeEnvironment.ComputeEnvironmentName ConsumableResource.ConsumableResourceName
  JobDefinition.JobDefinitionName JobQueue.JobQueueName SchedulingPolicy.Name
  ServiceEnvironment.ServiceEnvironmentName
BedrockAgentCore: WorkloadIdentity.Name!
Cassandra: Keyspace.KeyspaceName
Chatbot: CustomAction.ActionName! MicrosoftTeamsChannelConfiguration.ConfigurationName!
  SlackChannelConfiguration.ConfigurationName!
CloudFront: CachePolicy.CachePolicyConfig/Name! Function.Name! KeyValueStore.Name!
  OriginAccessControl.OriginAccessControlConfig/Name!
  OriginRequestPolicy.OriginRequestPolicyConfig/Name! RealtimeLogConfig.Name!
  ResponseHeadersPolicy.ResponseHeadersPolicyConfig/Name!
CloudTrail: Trail.TrailName
CloudWatch: Alarm.AlarmName AlarmMuteRule.Name CompositeAlarm.AlarmName Dashboard.DashboardName
  InsightRule.RuleName! LogAlarm.AlarmName MetricStream.Name View.Name
CodeBuild: Fleet.Name Project.Name ReportGroup.Name
CodeCommit: Repository.RepositoryName!
CodeDeploy: Application.ApplicationName DeploymentConfig.DeploymentConfigName
CodeGuruProfiler: ProfilingGroup.ProfilingGroupName!
CodePipeline: Pipeline.Name Webhook.Name
Cognito: UserPoolDomain.Domain!
Config: ConfigRule.ConfigRuleName ConfigurationAggregator.ConfigurationAggregatorName
  ConformancePack.ConformancePackName! OrganizationConfigRule.OrganizationConfigRuleName!
  OrganizationConformancePack.OrganizationConformancePackName! StoredQuery.QueryName!
CUR: ReportDefinition.ReportName!
CustomerProfiles: Domain.DomainName!
DataBrew: Dataset.Name! Job.Name! Project.Name! Recipe.Name! Ruleset.Name! Schedule.Name!
DAX: Cluster.ClusterName ParameterGroup.ParameterGroupName SubnetGroup.SubnetGroupName
DevOpsAgent: PrivateConnection.Name!
DMS: EventSubscription.SubscriptionName ReplicationSubnetGroup.ReplicationSubnetGroupIdentifier
DocDB: DBClusterParameterGroup.Name DBSubnetGroup.DBSubnetGroupName
  EventSubscription.SubscriptionName GlobalCluster.GlobalClusterIdentifier!
DynamoDB: GlobalTable.TableName Table.TableName
EC2: KeyPair.KeyName! LaunchTemplate.LaunchTemplateName
ECR: PublicRepository.RepositoryName Repository.RepositoryName
ECS: CapacityProvider.Name Cluster.ClusterName
EKS: Cluster.Name
ElastiCache: CacheCluster.ClusterName ReplicationGroup.ReplicationGroupId
  ServerlessCache.ServerlessCacheName! SubnetGroup.CacheSubnetGroupName User.UserId!
  UserGroup.UserGroupId!
ElasticBeanstalk: Application.ApplicationName Environment.EnvironmentName
ElasticLoadBalancing: LoadBalancer.LoadBalancerName
ElasticLoadBalancingV2: LoadBalancer.Name TargetGroup.Name TrustStore.Name
Elasticsearch: Domain.DomainName
EMR: SecurityConfiguration.Name WALWorkspace.WALWorkspaceName
EntityResolution: IdMappingWorkflow.WorkflowName! IdNamespace.IdNamespaceName!
  MatchingWorkflow.WorkflowName! SchemaMapping.SchemaName!
Events: ApiDestination.Name Archive.ArchiveName Connection.Name Endpoint.Name EventBus.Name!
  Rule.Name
EventSchemas: Registry.RegistryName
FSx: S3AccessPointAttachment.Name!
GameLift: ContainerGroupDefinition.Name! GameSessionQueue.Name! Location.LocationName!
  MatchmakingConfiguration.Name! MatchmakingRuleSet.Name!
Glue: Blueprint.Name! Crawler.Name CustomEntityType.Name Database.DatabaseInput/Name
  DataQualityRuleset.Name! DevEndpoint.EndpointName Job.Name Registry.Name!
  SecurityConfiguration.Name! Trigger.Name UsageProfile.Name! Workflow.Name
IAM: Group.GroupName InstanceProfile.InstanceProfileName ManagedPolicy.ManagedPolicyName
  Role.RoleName SAMLProvider.Name ServerCertificate.ServerCertificateName User.UserName
  VirtualMFADevice.VirtualMfaDeviceName
InternetMonitor: Monitor.MonitorName!
IoT: Authorizer.AuthorizerName BillingGroup.BillingGroupName
  CertificateProvider.CertificateProviderName Command.CommandId! CustomMetric.MetricName
  Dimension.Name DomainConfiguration.DomainConfigurationName FleetMetric.MetricName!
  JobTemplate.JobTemplateId! MitigationAction.ActionName Policy.PolicyName
  ProvisioningTemplate.TemplateName RoleAlias.RoleAlias ScheduledAudit.ScheduledAuditName
  SecurityProfile.SecurityProfileName SoftwarePackage.PackageName Thing.ThingName
  ThingGroup.ThingGroupName ThingType.ThingTypeName TopicRule.RuleName
IoTAnalytics: Channel.ChannelName Dataset.DatasetName Datastore.DatastoreName Pipeline.PipelineName
IoTFleetWise: Campaign.Name! DecoderManifest.Name! Fleet.Id! ModelManifest.Name! SignalCatalog.Name
  StateTemplate.Name! Vehicle.Name!
IoTSiteWise: AssetModel.AssetModelName! Gateway.GatewayName! Workspace.WorkspaceName!
IoTTwinMaker: Workspace.WorkspaceId!
IoTWireless: Destination.Name! NetworkAnalyzerConfiguration.Name!
KafkaConnect: Connector.ConnectorName! CustomPlugin.Name! WorkerConfiguration.Name!
Kinesis: Stream.Name
KinesisAnalytics: Application.ApplicationName
KinesisAnalyticsV2: Application.ApplicationName
KinesisFirehose: DeliveryStream.DeliveryStreamName
KinesisVideo: SignalingChannel.Name Stream.Name
KMS: Alias.AliasName!
Lambda: CapacityProvider.CapacityProviderName Function.FunctionName
Lightsail: Alarm.AlarmName! Bucket.BucketName! Certificate.CertificateName! Container.ServiceName!
  Database.RelationalDatabaseName! DatabaseSnapshot.RelationalDatabaseSnapshotName! Disk.DiskName!
  DiskSnapshot.DiskSnapshotName! Distribution.DistributionName! Instance.InstanceName!
  InstanceSnapshot.InstanceSnapshotName! KeyPair.KeyPairName! LoadBalancer.LoadBalancerName!
  StaticIp.StaticIpName!
Location: APIKey.KeyName! GeofenceCollection.CollectionName! Map.MapName! PlaceIndex.IndexName!
  RouteCalculator.CalculatorName! Tracker.TrackerName!
Logs: AccountPolicy.PolicyName! DeliveryDestination.Name! DeliverySource.Name!
  Destination.DestinationName! Integration.IntegrationName! LogGroup.LogGroupName
  ResourcePolicy.PolicyName! ScheduledQuery.Name!
LookoutEquipment: InferenceScheduler.InferenceSchedulerName
LookoutVision: Project.ProjectName!
MediaConvert: JobTemplate.Name Preset.Name Queue.Name
MediaPackage: Asset.Id! Channel.Id! OriginEndpoint.Id! PackagingConfiguration.Id!
  PackagingGroup.Id!
MediaTailor: Channel.ChannelName! Function.FunctionId! PlaybackConfiguration.Name!
  SourceLocation.SourceLocationName!
MemoryDB: ACL.ACLName! Cluster.ClusterName! ParameterGroup.ParameterGroupName!
  SubnetGroup.SubnetGroupName! User.UserName!
MSK: Cluster.ClusterName! Configuration.Name! Replicator.ReplicatorName!
  ServerlessCluster.ClusterName!
MWAA: Environment.Name!
Neptune: DBCluster.DBClusterIdentifier DBClusterParameterGroup.Name DBInstance.DBInstanceIdentifier
  DBParameterGroup.Name DBSubnetGroup.DBSubnetGroupName EventSubscription.SubscriptionName
  GlobalCluster.GlobalClusterIdentifier
Omics: AnnotationStore.Name! Configuration.Name! VariantStore.Name!
OpenSearchServerless: AccessPolicy.Name! Collection.Name! LifecyclePolicy.Name! SecurityConfig.Name
  SecurityPolicy.Name! VpcEndpoint.Name!
OpenSearchService: Application.Name! Domain.DomainName
OSIS: Pipeline.PipelineName!
PaymentCryptography: Alias.AliasName!
Pinpoint: InAppTemplate.TemplateName!
Pipes: Pipe.Name
QuickSight: ApprovalPolicy.PolicyId!
RDS: DBCluster.DBClusterIdentifier DBClusterParameterGroup.DBClusterParameterGroupName
  DBInstance.DBInstanceIdentifier DBParameterGroup.DBParameterGroupName DBProxy.DBProxyName!
  DBProxyEndpoint.DBProxyEndpointName! DBShardGroup.DBShardGroupIdentifier
  DBSubnetGroup.DBSubnetGroupName EventSubscription.SubscriptionName
  GlobalCluster.GlobalClusterIdentifier OptionGroup.OptionGroupName
Redshift: Cluster.ClusterIdentifier ClusterParameterGroup.ParameterGroupName
  EndpointAccess.EndpointName! EventSubscription.SubscriptionName!
  ScheduledAction.ScheduledActionName!
RedshiftServerless: Namespace.NamespaceName! Snapshot.SnapshotName! Workgroup.WorkgroupName!
Rekognition: Collection.CollectionId! Project.ProjectName! StreamProcessor.Name
ResourceGroups: Group.Name!
Route53RecoveryReadiness: Cell.CellName ReadinessCheck.ReadinessCheckName
  RecoveryGroup.RecoveryGroupName ResourceSet.ResourceSetName
RUM: AppMonitor.Name!
S3: AccessPoint.Name Bucket.BucketName MultiRegionAccessPoint.Name StorageLensGroup.Name!
S3Express: AccessPoint.Name DirectoryBucket.BucketName
S3ObjectLambda: AccessPoint.Name
S3Tables: TableBucket.TableBucketName!
S3Vectors: VectorBucket.VectorBucketName
SageMaker: AppImageConfig.AppImageConfigName! DeviceFleet.DeviceFleetName!
  FeatureGroup.FeatureGroupName! InferenceExperiment.Name! MlflowTrackingServer.TrackingServerName!
  ModelCard.ModelCardName! Pipeline.PipelineName! StudioLifecycleConfig.StudioLifecycleConfigName!
Scheduler: Schedule.Name ScheduleGroup.Name
SecretsManager: Secret.Name
ServiceDiscovery: HttpNamespace.Name!
SES: ConfigurationSet.Name ContactList.ContactListName
  CustomVerificationEmailTemplate.TemplateName! DedicatedIpPool.PoolName
  MultiRegionEndpoint.EndpointName! ReceiptRuleSet.RuleSetName Tenant.TenantName!
SimSpaceWeaver: Simulation.Name!
SMSVOICE: ConfigurationSet.ConfigurationSetName OptOutList.OptOutListName
SNS: Topic.TopicName
SQS: Queue.QueueName
SSM: Document.Name Parameter.Name ResourceDataSync.SyncName!
StepFunctions: Activity.Name! StateMachine.StateMachineName
Synthetics: Canary.Name! Group.Name!
Timestream: Database.DatabaseName InfluxDBCluster.Name InfluxDBInstance.Name
  ScheduledQuery.ScheduledQueryName
VerifiedPermissions: PolicyStoreAlias.AliasName!
WAFv2: IPSet.Name RegexPatternSet.Name RuleGroup.Name WebACL.Name
XRay: Group.GroupName! ResourcePolicy.PolicyName!
"""


def _entries() -> Iterator[tuple[str, str]]:
    service = ""
    for word in _TABLE.split():
        if word.endswith(":"):
            service = word.removesuffix(":")
        else:
            name, property_path = word.split(".")
            yield f"AWS::{service}::{name}", property_path


NAME_PROPERTIES: Final[Mapping[str, str]] = {
    type: path.removesuffix("!") for type, path in _entries()
}
"""Resource type -> property, or path with slashes."""

REQUIRED_NAMES: Final = frozenset(type for type, path in _entries() if path.endswith("!"))
"""The types for which CloudFormation generates no name."""

L2_KEYWORDS: Final[Mapping[str, str]] = {
    "AWS::ApiGateway::ApiKey": "api_key_name",
    "AWS::AppConfig::Extension": "extension_name",
    "AWS::BedrockAgentCore::WorkloadIdentity": "workload_identity_name",
    "AWS::Chatbot::SlackChannelConfiguration": "slack_channel_configuration_name",
    "AWS::CloudFront::CachePolicy": "cache_policy_name",
    "AWS::CloudFront::Function": "function_name",
    "AWS::CloudFront::KeyValueStore": "key_value_store_name",
    "AWS::CloudFront::OriginAccessControl": "origin_access_control_name",
    "AWS::CloudFront::OriginRequestPolicy": "origin_request_policy_name",
    "AWS::CloudFront::RealtimeLogConfig": "realtime_log_config_name",
    "AWS::CloudFront::ResponseHeadersPolicy": "response_headers_policy_name",
    "AWS::CloudWatch::AlarmMuteRule": "alarm_mute_rule_name",
    "AWS::CloudWatch::CompositeAlarm": "composite_alarm_name",
    "AWS::CodeBuild::Fleet": "fleet_name",
    "AWS::CodeBuild::Project": "project_name",
    "AWS::CodeBuild::ReportGroup": "report_group_name",
    "AWS::CodePipeline::Pipeline": "pipeline_name",
    "AWS::EC2::KeyPair": "key_pair_name",
    "AWS::EKS::Cluster": "cluster_name",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "load_balancer_name",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "target_group_name",
    "AWS::ElasticLoadBalancingV2::TrustStore": "trust_store_name",
    "AWS::Events::ApiDestination": "api_destination_name",
    "AWS::Events::Connection": "connection_name",
    "AWS::Events::EventBus": "event_bus_name",
    "AWS::Events::Rule": "rule_name",
    "AWS::Glue::DataQualityRuleset": "ruleset_name",
    "AWS::Glue::Database": "database_name",
    "AWS::Glue::Job": "job_name",
    "AWS::Glue::SecurityConfiguration": "security_configuration_name",
    "AWS::Glue::Workflow": "workflow_name",
    "AWS::Kinesis::Stream": "stream_name",
    "AWS::Logs::ResourcePolicy": "resource_policy_name",
    "AWS::RDS::DBCluster": "cluster_identifier",
    "AWS::RDS::DBInstance": "instance_identifier",
    "AWS::SES::ConfigurationSet": "configuration_set_name",
    "AWS::SES::DedicatedIpPool": "dedicated_ip_pool_name",
    "AWS::SES::ReceiptRuleSet": "receipt_rule_set_name",
    "AWS::SSM::Parameter": "parameter_name",
    "AWS::Scheduler::Schedule": "schedule_name",
    "AWS::Scheduler::ScheduleGroup": "schedule_group_name",
    "AWS::SecretsManager::Secret": "secret_name",
    "AWS::StepFunctions::Activity": "activity_name",
    "AWS::Synthetics::Canary": "canary_name",
    "AWS::Synthetics::Group": "group_name",
}
"""Resource type -> keyword of the L2's name, where it is not the property in snake case."""
