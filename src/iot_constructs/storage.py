"""Amazon S3: the bucket of raw telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct, Node

from iot_constructs import _defaults as defaults
from iot_constructs._kms import get_or_create_key, grant_log_group
from iot_constructs._nag import acknowledge_in_template, acknowledge_rules
from iot_constructs._naming import Named, Names, is_generated
from iot_constructs._stack import StackContext
from iot_constructs._validation import is_token, validate_cannot_disable, validated
from iot_constructs._warnings import (
    LOG_BUCKET_POLICY_NOT_CHANGED,
    LOG_BUCKET_WITH_KMS_KEY,
    warn,
)
from iot_constructs.environment import (
    EnvironmentSuffix,
    NamePrefix,
    data_removal_policy,
    names_for,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Unpack

    from iot_constructs._props import BucketProps

_CUSTOMER_MANAGED: Final = (s3.BucketEncryption.KMS, s3.BucketEncryption.DSSE)
_PUBLIC_ACCESS: Final = (
    "block_public_acls",
    "block_public_policy",
    "ignore_public_acls",
    "restrict_public_buckets",
)
_PUBLIC_ACLS: Final = (
    s3.BucketAccessControl.PUBLIC_READ,
    s3.BucketAccessControl.PUBLIC_READ_WRITE,
    s3.BucketAccessControl.AUTHENTICATED_READ,
)
_LOGS_BY_POLICY: Final = "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy"
_LOGS_WITH_SSE_S3: Final = dict.fromkeys(
    (
        "HIPAA.Security-S3DefaultEncryptionKMS",
        "NIST.800.53.R5-S3DefaultEncryptionKMS",
        "PCI.DSS.321-S3DefaultEncryptionKMS",
    ),
    "S3 delivers access logs to a bucket with SSE-S3 only "
    "(docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html)",
)


class SecureDataBucket(Named, s3.Bucket):
    """An S3 bucket: private, encrypted, versioned, TLS-only, with server access logs.

    It is a :class:`aws_cdk.aws_s3.Bucket` and takes every property of it. Defaults:

    * All public access is blocked, and plain HTTP and TLS below 1.2 are denied. Neither can be turned off.
    * Encryption with the customer managed key of the stack, with a bucket key: S3 calls KMS per bucket and not per
      object. Encryption cannot be turned off.
    * Server access logs in a separate bucket with SSE-S3, because log delivery requires it
      (https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html). A bucket policy allows
      the delivery, with any feature flags of the app.
    * Old versions expire after 90 days, incomplete multipart uploads after 7. Your lifecycle rules are added; one with
      the id ``ExpireOldVersions`` or ``AbortIncompleteUploads`` replaces the default one.

    Args:
        environment_suffix: by default that of the scope.
        name_prefix: by default that of the scope.
        **props: of ``s3.Bucket``. ``bucket_name`` is the base name: the bucket is called
            ``name-account-region-suffix``; ``server_access_logs_bucket`` is a bucket of yours for the logs;
            ``removal_policy`` is by default DESTROY in an ephemeral stack, where objects are deleted as well, and
            RETAIN_ON_UPDATE_OR_DELETE elsewhere.

    Raises:
        ValueError: public access, plain HTTP or no encryption; a value is out of range; the name is taken or not valid.
        TypeError: a value has the wrong type.

    Example::

        from iot_constructs import SecureDataBucket

        data = SecureDataBucket(stack, "Data")
    """

    @validated(s3.Bucket)
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        **props: Unpack[BucketProps],
    ) -> None:
        _validate_enforced(props)
        self._names = names_for(scope, id, environment_suffix, name_prefix)
        settings = _settings(scope, id, dict(props), self._names)
        self.access_logs_bucket: s3.IBucket = settings.get(
            "server_access_logs_bucket"
        ) or _create_access_logs_bucket(scope, id, settings, self._names, props)
        """Where S3 delivers the server access logs."""
        settings["server_access_logs_bucket"] = _reference(scope, id, self.access_logs_bucket)
        super().__init__(scope, id, **settings)
        self._allow_log_delivery(settings)
        if settings.get("auto_delete_objects"):
            restrict_auto_delete(self, settings.get("encryption_key"))

    def _allow_log_delivery(self, settings: dict[str, Any]) -> None:
        """AmazonS3/latest/userguide/enable-server-access-logging.html, as with CDK's own feature flag."""
        prefix = settings.get("server_access_logs_prefix", "")
        stack = StackContext.of(self)
        same_stack = StackContext.of(self.access_logs_bucket) is stack
        # Known by its name: this bucket refers to the log bucket, so a log bucket of another stack cannot refer to it.
        name = settings.get("bucket_name", "*")
        # CDK sees a reference, to whose policy it adds nothing, and warns.
        cdk.Annotations.of(self).acknowledge_warning(
            "@aws-cdk/aws-s3:accessLogsPolicyNotAdded", "iot-constructs adds the policy, or warns"
        )
        added = self.access_logs_bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.access_logs_bucket.arn_for_objects(f"{prefix}*")],
                conditions={
                    "ArnLike": {
                        "aws:SourceArn": self.bucket_arn
                        if same_stack
                        else f"arn:{stack.partition}:s3:::{'*' if is_generated(name) else name}"
                    },
                    "StringEquals": {"aws:SourceAccount": stack.account},
                },
            )
        )
        if self.access_logs_bucket.encryption_key is not None:
            warn(
                self,
                LOG_BUCKET_WITH_KMS_KEY,
                f"server_access_logs_bucket={self.access_logs_bucket.node.path!r} is encrypted with a KMS key, and S3 "
                "delivers access logs to a bucket with SSE-S3 only; pass one with "
                "encryption=BucketEncryption.S3_MANAGED "
                "(https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html)",
            )
        if not added.statement_added:
            warn(
                self,
                LOG_BUCKET_POLICY_NOT_CHANGED,
                "cannot change the policy of the imported server_access_logs_bucket; make sure that it allows "
                "logging.s3.amazonaws.com s3:PutObject",
            )


def cfn_bucket(bucket: s3.IBucket) -> s3.CfnBucket:
    """The resource of a bucket that this app creates."""
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        raise TypeError("s3.Bucket of this aws-cdk-lib is not an AWS::S3::Bucket")
    return resource


def _settings(scope: Construct, id: str, props: dict[str, Any], names: Names) -> dict[str, Any]:
    """The properties of the L2: your values, and the defaults of this library."""
    policy = data_removal_policy(scope, id, props.get("removal_policy"))
    key = props.get("encryption_key")
    encryption = props.get("encryption", s3.BucketEncryption.KMS)
    settings: dict[str, Any] = {
        **_secure(encryption),
        **_without_acls(scope),
        **({"auto_delete_objects": True} if policy == cdk.RemovalPolicy.DESTROY else {}),
        **props,
        "removal_policy": policy,
        "lifecycle_rules": _lifecycle_rules(props.get("lifecycle_rules", ())),
    }
    if encryption in _CUSTOMER_MANAGED:
        settings["encryption_key"] = get_or_create_key(scope, key, policy)
    if "bucket_name_prefix" not in props:  # which leaves the rest of the name to S3
        settings["bucket_name"] = names.bucket_name(props.get("bucket_name"), defaults.BUCKET_NAME)
    return settings


def _secure(encryption: s3.BucketEncryption) -> dict[str, Any]:
    """What the data bucket and its log bucket share."""
    return {
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "enforce_ssl": True,
        "minimum_tls_version": defaults.BUCKET_MINIMUM_TLS_VERSION,
        "encryption": encryption,
        "versioned": defaults.BUCKET_VERSIONED,
        **({"bucket_key_enabled": True} if encryption == s3.BucketEncryption.KMS else {}),
    }


def _without_acls(scope: Construct) -> dict[str, Any]:
    """ACLs off, which is the default of S3 for a new bucket, stated where CDK allows it.

    Without this feature flag CDK needs an ACL to use the bucket as a log bucket, and rejects one without ACLs
    (https://github.com/aws/aws-cdk/issues/22183).
    """
    if cdk.FeatureFlags.of(scope).is_enabled(_LOGS_BY_POLICY):
        return {"object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED}
    return {}


def _create_access_logs_bucket(
    scope: Construct,
    id: str,
    data: dict[str, Any],
    names: Names,
    props: BucketProps,
) -> s3.Bucket:
    base_name = props.get("bucket_name")
    if "bucket_name_prefix" in data:
        base_name = cdk.PhysicalName.GENERATE_IF_NEEDED
    bucket = s3.Bucket(
        scope,
        f"{id}AccessLogs",
        **_secure(s3.BucketEncryption.S3_MANAGED),
        **_without_acls(scope),
        bucket_name=names.bucket_name(
            base_name, defaults.BUCKET_NAME, defaults.ACCESS_LOG_NAME_ENDING
        ),
        lifecycle_rules=[
            s3.LifecycleRule(
                id="Expire", expiration=cdk.Duration.days(defaults.ACCESS_LOG_EXPIRATION_DAYS)
            ),
            _expire_old_versions(),
            _abort_multipart_uploads(),
        ],
        removal_policy=data["removal_policy"],
        auto_delete_objects=data.get("auto_delete_objects"),
    )
    acknowledge_rules(bucket, _LOGS_WITH_SSE_S3)
    acknowledge_in_template(
        cfn_bucket(bucket),
        checkov={
            "CKV_AWS_18": "this is the log bucket: it would log its own log deliveries "
            "(docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html)"
        },
    )
    return bucket


def _reference(scope: Construct, id: str, bucket: s3.IBucket) -> s3.IBucket:
    """The bucket by its name.

    CDK changes a log bucket that it is given as a construct: without a feature flag it sets an ACL, which a bucket
    without ACLs rejects (https://github.com/aws/aws-cdk/issues/22183).
    """
    if not isinstance(bucket, s3.Bucket):
        return bucket
    return s3.Bucket.from_bucket_name(scope, f"{id}AccessLogsTarget", bucket.bucket_name)


def _lifecycle_rules(
    yours: Sequence[s3.LifecycleRule | dict[str, Any]],
) -> list[s3.LifecycleRule | dict[str, Any]]:
    """Your rules and the default ones, without a default one whose ID you use: S3 rejects two rules of one ID."""
    taken = {rule.get("id") if isinstance(rule, dict) else rule.id for rule in yours}
    ours = (_expire_old_versions(), _abort_multipart_uploads())
    return [*(rule for rule in ours if rule.id not in taken), *yours]


def _expire_old_versions() -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="ExpireOldVersions",
        noncurrent_version_expiration=cdk.Duration.days(defaults.BUCKET_NONCURRENT_VERSION_DAYS),
    )


def _abort_multipart_uploads() -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="AbortIncompleteUploads",
        abort_incomplete_multipart_upload_after=cdk.Duration.days(
            defaults.BUCKET_ABORT_MULTIPART_DAYS
        ),
    )


def _validate_enforced(props: BucketProps) -> None:
    """Raise ValueError for public access, plain HTTP, or no encryption."""
    private = "a data bucket is never public"
    validate_cannot_disable("enforce_ssl", props.get("enforce_ssl"), "requests need TLS")
    access = props.get("block_public_access")
    if access is not None:
        off = [name for name in _PUBLIC_ACCESS if getattr(access, name, None) is not True]
        if off:
            raise ValueError(
                f"block_public_access leaves {', '.join(off)} off: {private}; remove block_public_access, or pass "
                "s3.BlockPublicAccess.BLOCK_ALL"
            )
    if props.get("public_read_access"):
        raise ValueError(f"public_read_access=True: {private}; remove public_read_access")
    acl = props.get("access_control")
    if acl in _PUBLIC_ACLS:
        raise ValueError(f"access_control={acl}: {private}; remove access_control")
    tls = props.get("minimum_tls_version")
    if tls not in (None, *defaults.BUCKET_TLS_VERSIONS):
        versions = " or ".join(map(str, defaults.BUCKET_TLS_VERSIONS))
        raise ValueError(
            f"minimum_tls_version={tls}: requests need TLS {versions}; remove minimum_tls_version "
            "(https://docs.aws.amazon.com/AmazonS3/latest/userguide/security-best-practices.html)"
        )
    encryption = props.get("encryption")
    if encryption == s3.BucketEncryption.UNENCRYPTED:
        raise ValueError(
            "encryption=BucketEncryption.UNENCRYPTED: a data bucket is always encrypted; remove encryption"
        )
    if props.get("encryption_key") is not None and encryption not in (None, *_CUSTOMER_MANAGED):
        raise ValueError(
            f"encryption_key excludes encryption={encryption}, which does not use it; remove one of the two"
        )


_PROVIDER_ID: Final = "Custom::S3AutoDeleteObjectsCustomResourceProvider"
_LOG_GROUP_ID: Final = "AutoDeleteObjectsLogs"


def restrict_auto_delete(scope: Construct, key: kms.IKey | None) -> None:
    """Give CDK's auto-delete function of the stack a separate log group, and a role for that group only.

    Lambda creates a log group with a function's first log line, outside of any stack: a deleted environment would leave
    it behind, without an end to its retention. The role that CDK creates may write to every log group of the account
    (AWSLambdaBasicExecutionRole).

    Args:
        scope: a bucket whose objects are deleted with it.
        key: for the log group; None leaves its encryption to CloudWatch Logs.
    """
    stack = StackContext.of(scope)
    if stack.node.try_find_child(_LOG_GROUP_ID) is not None:
        return
    provider = stack.node.find_child(_PROVIDER_ID).node
    handler = _resource(provider, "Handler")
    role = _resource(provider, "Role")
    if key is not None:
        # CloudFormation generates the group's name, which begins with that of the stack: in the policy of a key of
        # another stack AWS::StackName is not it, and the name of a nested stack is not known.
        in_stack = StackContext.of(key) is stack
        name = cdk.Aws.STACK_NAME if in_stack else stack.stack.stack_name
        beginning = f"{name}-" if in_stack or not is_token(name) else "*"
        grant_log_group(scope, key, f"{beginning}{_LOG_GROUP_ID}*")
    log_group = logs.LogGroup(
        stack.stack,
        _LOG_GROUP_ID,
        encryption_key=key,
        retention=logs.RetentionDays.ONE_WEEK,
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
    handler.add_property_override("LoggingConfig", {"LogGroup": log_group.log_group_name})
    role.add_property_deletion_override("ManagedPolicyArns")
    statement = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": log_group.log_group_arn,
    }
    document = {"Version": "2012-10-17", "Statement": [statement]}
    role.add_property_override("Policies", [{"PolicyName": "Logs", "PolicyDocument": document}])
    role.add_property_override(
        "AssumeRolePolicyDocument.Statement.0.Condition",
        {"StringEquals": {"aws:SourceAccount": stack.account}},
    )
    acknowledge_in_template(
        handler,
        checkov=dict.fromkeys(
            ("CKV_AWS_115", "CKV_AWS_116"),
            "CloudFormation invokes it once, when the bucket is deleted, waits for its response, and reports a failure "
            "(docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html)",
        ),
        cfn_lint=("W3005",),  # CDK makes it depend on its role and name the role as well
    )


def _resource(provider: Node, id: str) -> cdk.CfnResource:
    found = provider.try_find_child(id)
    if not isinstance(found, cdk.CfnResource):
        raise TypeError(f"{_PROVIDER_ID} of this aws-cdk-lib has no {id} to change")
    return found
