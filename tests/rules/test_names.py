"""The table of physical names, compared with CloudFormation's resource schemas and with CDK."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from iot_constructs.rules.names import L2_KEYWORDS, NAME_PROPERTIES, REQUIRED_NAMES
from iot_constructs.rules.naming import keyword

Json = dict[str, Any]


def folder_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


SCHEMAS: Final = folder_of("cfnlint") / "data" / "schemas"
CDK: Final = folder_of("aws_cdk")

# Identifiers that are no names of their own.
OF_ANOTHER_RESOURCE: Final = """
    ARCZonalShift::ZonalAutoshiftConfiguration ApiGatewayV2::ApiGatewayManagedOverrides AutoScaling::WarmPool
    Bedrock::KnowledgeBasePolicy CloudFront::MonitoringSubscription
    Cognito::UserPoolRegionalConfigurationAttachment Config::RemediationConfiguration
    EC2::GatewayRouteTableAssociation EC2::SqlHaStandbyDetectedInstance EC2::VPCEndpointServicePermissions
    Glue::DataCatalogEncryptionSettings Logs::Transformer M2::Deployment MediaTailor::ChannelPolicy Route53::DNSSEC
    Route53Resolver::ResolverConfig S3::MultiRegionAccessPointPolicy S3Files::FileSystemPolicy
    SecurityHub::SecurityControl ServiceCatalog::AcceptedPortfolioShare VpcLattice::AuthPolicy
"""
ONE_PER_ACCOUNT: Final = """
    Config::ConfigurationRecorder Config::DeliveryChannel Detective::OrganizationAdmin
    IoT::AccountAuditConfiguration IoT::Logging IoTWireless::PartnerAccount SupportApp::SlackWorkspaceConfiguration
"""
DNS_NAMES: Final = """
    ApiGateway::DomainName ApiGatewayV2::DomainName AppStream::DirectoryConfig AppSync::DomainName Lightsail::Domain
"""
NO_NAMES: Final = {
    f"AWS::{type}" for type in f"{OF_ANOTHER_RESOURCE} {ONE_PER_ACCOUNT} {DNS_NAMES}".split()
}

# Services of a telemetry app, for which every name that cannot be updated was looked at.
SERVICES: Final = """
    AmazonMQ Athena Batch CloudWatch DynamoDB ECR ElasticLoadBalancingV2 Elasticsearch EventSchemas Events Glue IAM IoT
    IoTAnalytics KMS KafkaConnect Kinesis KinesisAnalytics KinesisAnalyticsV2 KinesisFirehose Lambda Logs MSK OSIS
    OpenSearchServerless OpenSearchService Pipes S3 S3Tables SNS SQS SSM Scheduler SecretsManager StepFunctions
    Timestream WAFv2
"""
# Names that are unique only in another resource, such as a stream, a function, a catalog or a cluster.
INSIDE_ANOTHER: Final = """
    Athena::PreparedStatement Batch::QuotaShare EventSchemas::Schema Events::EventBusPolicy Glue::Integration
    Glue::Partition Glue::Schema Glue::Table Glue::TableOptimizer Glue::UserDefinedFunction IAM::AccessKey
    IAM::GroupPolicy IAM::RolePolicy IAM::UserPolicy IoT::PolicyPrincipalAttachment IoT::ResourceSpecificLogging
    IoT::SoftwarePackageVersion IoT::ThingPrincipalAttachment Kinesis::StreamConsumer
    KinesisAnalytics::ApplicationOutput KinesisAnalytics::ApplicationReferenceDataSource
    KinesisAnalyticsV2::ApplicationCloudWatchLoggingOption KinesisAnalyticsV2::ApplicationOutput
    KinesisAnalyticsV2::ApplicationReferenceDataSource Lambda::Alias Lambda::EventInvokeConfig Lambda::Permission
    Lambda::Version Lambda::WebFunctionEndpoint Lambda::WebFunctionRevision Logs::Delivery Logs::LogStream
    Logs::MetricFilter Logs::SubscriptionFilter MSK::Topic OpenSearchServerless::CollectionIndex
    OpenSearchServerless::Index StepFunctions::StateMachineAlias Timestream::Table
"""
# A second resource of the name is not refused, or AWS does not document that it is.
NOT_UNIQUE: Final = """
    AmazonMQ::Configuration Athena::NamedQuery CloudWatch::AnomalyDetector CloudWatch::Integration Glue::Catalog
    IAM::ServiceLinkedRole Kinesis::Channel Lambda::LayerVersion Lambda::MicrovmImage Lambda::NetworkConnector
    Lambda::WebFunction MSK::Channel OpenSearchServerless::CollectionGroup Timestream::InfluxDBBackup
"""
LEFT_OUT: Final = {f"AWS::{type}" for type in f"{INSIDE_ANOTHER} {NOT_UNIQUE}".split()}


@cache
def schemas() -> dict[str, Json]:
    files: dict[str, str] = json.loads((SCHEMAS / "providers" / "us-east-1.json").read_text())
    return {
        type: json.loads((SCHEMAS / "resources" / f"{file}.json").read_text())
        for type, file in files.items()
        if type.startswith("AWS::")
    }


def names_in(schema: Json, key: str) -> list[str]:
    """The properties of a list such as ``primaryIdentifier``; without the parts of properties."""
    paths = [path.removeprefix("/properties/") for path in schema.get(key, [])]
    return [path for path in paths if "/" not in path]


def schema_at(type: str, path: str) -> tuple[Json, bool]:
    """The schema of a property, and whether every step of the path is required."""
    at, required = schemas()[type], True
    for step in path.split("/"):
        required = required and step in at.get("required", [])
        at = at["properties"][step]
        if "$ref" in at:
            at = schemas()[type]["definitions"][at["$ref"].rpartition("/")[2]]
    return at, required


def test_every_type_that_its_name_identifies() -> None:
    missing = []
    for type, schema in schemas().items():
        identifier = names_in(schema, "primaryIdentifier")
        if len(schema.get("primaryIdentifier", [])) != 1 or identifier == []:
            continue
        given = identifier[0] not in names_in(schema, "readOnlyProperties")
        if given and re.search(r"(Name|Identifier|Id|Alias)$", identifier[0]):
            missing += [] if type in NAME_PROPERTIES or type in NO_NAMES else [type]
    assert missing == []
    assert NO_NAMES.isdisjoint(NAME_PROPERTIES)


def test_every_name_that_cannot_be_updated_of_the_services_of_a_telemetry_app() -> None:
    missing = []
    for type, schema in schemas().items():
        if type.split("::")[1] in SERVICES.split() and type not in NAME_PROPERTIES:
            names = set(names_in(schema, "createOnlyProperties"))
            names -= set(names_in(schema, "readOnlyProperties"))
            if any(name.endswith("Name") for name in names):
                missing += [] if type in LEFT_OUT or type in NO_NAMES else [type]
    assert missing == []
    assert LEFT_OUT.isdisjoint(NAME_PROPERTIES)


@pytest.mark.parametrize("type", sorted(NAME_PROPERTIES))
def test_each_name_is_a_property_of_its_type(type: str) -> None:
    if type not in schemas():
        pytest.skip("not in the schemas of this version of cfn-lint")
    schema, required = schema_at(type, NAME_PROPERTIES[type])
    assert schema.get("type", "string") == "string"
    assert (type in REQUIRED_NAMES) == required


@cache
def source_of(module: str) -> str:
    return (CDK / module / "__init__.py").read_text(encoding="utf-8")


@cache
def cfn_classes() -> dict[str, tuple[str, str]]:
    """Resource type -> module of CDK and L1 class; from the source, as importing all modules takes minutes."""
    found: dict[str, tuple[str, str]] = {}
    pattern = re.compile(
        r"^class (Cfn\w+)\((?:(?!^class ).)*?^    :cloudformationResource: (\S+)$", re.M | re.S
    )
    for path in sorted(CDK.glob("aws_*/__init__.py")):
        for name, type in pattern.findall(source_of(path.parent.name)):
            found.setdefault(type, (path.parent.name, name))
    return found


def keywords_of(module: str, name: str) -> list[str] | None:
    """The keywords of the constructor of a class; None if there is none."""
    _, _, body = source_of(module).partition(f"\nclass {name}(")
    constructor = re.search(r"\n    def __init__\(\n(.*?)\n    \) -> None:", body, re.S)
    if not body or constructor is None:
        return None
    return re.findall(r"^        (\w+):", constructor[1], re.M)


# L2 classes that have another name than the resource type.
L2_CLASSES: Final = {
    "AWS::CloudFront::OriginAccessControl": "S3OriginAccessControl",
    "AWS::DynamoDB::GlobalTable": "TableV2",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "ApplicationLoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "ApplicationTargetGroup",
    "AWS::Glue::Job": "PySparkEtlJob",
    "AWS::RDS::DBCluster": "DatabaseCluster",
    "AWS::RDS::DBInstance": "DatabaseInstance",
    "AWS::SSM::Parameter": "StringParameter",
}
# Their L2 takes the name in another way.
L1_ONLY: Final = ("AWS::Cognito::UserPoolDomain", "AWS::ElasticLoadBalancing::LoadBalancer")


def test_the_constructs_of_the_types_exist() -> None:
    # An older aws-cdk-lib lacks the newest two.
    missing = set(NAME_PROPERTIES) - set(cfn_classes())
    assert missing <= {"AWS::CloudWatch::View", "AWS::Lightsail::KeyPair"}


@pytest.mark.parametrize("type", sorted(set(NAME_PROPERTIES) & set(cfn_classes())))
def test_each_keyword_is_one_of_the_construct(type: str) -> None:
    module, l1 = cfn_classes()[type]
    l2 = L2_CLASSES.get(type, l1.removeprefix("Cfn"))
    keywords = None if type in L1_ONLY else keywords_of(module, l2)
    if keywords is None:
        assert type not in L2_KEYWORDS
        keywords = keywords_of(module, l1)
    assert keywords is not None
    assert keyword(type) in keywords
