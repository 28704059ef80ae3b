"""SecureDataBucket: where raw telemetry is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from iot_constructs import _asked_once as asked
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._auto_delete import confine_auto_delete
from iot_constructs._dead_letters import check_standard_topic
from iot_constructs._durations import of_days
from iot_constructs._encryption import allow_service, key_for
from iot_constructs._findings import acknowledge, acknowledge_in_template
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._validate import check_not_switched_off
from iot_constructs._warnings import TOPIC_POLICY_NOT_CHANGED, warn
from iot_constructs.environment import EnvironmentSuffix, data_removal_policy

_S3 = "s3.amazonaws.com"
_UNDER_A_KEY = (s3.BucketEncryption.KMS, s3.BucketEncryption.DSSE)
_LOGS_UNDER_SSE_S3 = dict.fromkeys(
    (
        "HIPAA.Security-S3DefaultEncryptionKMS",
        "NIST.800.53.R5-S3DefaultEncryptionKMS",
        "PCI.DSS.321-S3DefaultEncryptionKMS",
    ),
    "S3 delivers access logs to a bucket under SSE-S3 only (FACTS 7)",
)
_LOGS_BY_POLICY = "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy"


class SecureDataBucket(PipelineConstruct):
    """A private, encrypted, versioned, TLS-only bucket whose reads and writes are logged (correction 4).

    * All public access is blocked, plain HTTP and TLS below 1.2 are denied: neither can be turned off.
    * Encrypted with the stack's key (bucket key on, so that KMS is asked once per bucket and day, not per object).
    * Server access logs go to a bucket of their own, which is SSE-S3 because log delivery needs it, and is not
      logged itself (S3 ServerLogs; FACTS 7).
    * Old versions go after 90 days, broken multipart uploads after 7.

    Args:
        bucket_name: stem; the bucket is called ``stem-account-region-suffix``.
        encryption: another encryption than the customer managed key, for example ``S3_MANAGED``.
        encryption_key: None takes the key that the stack shares.
        versioned: whether an overwritten or deleted object can be brought back; None means True.
        lifecycle_rules: your rules, in addition to the two above. Transitions skip objects under 128 KB.
        access_logs_bucket: None makes one; or a bucket that S3 may deliver logs to.
        removal_policy: None retains, except in an ephemeral stack, where objects are deleted as well.
        environment_suffix: None takes it from the surroundings.
        block_public_access: here only to refuse anything but ``BLOCK_ALL``, which it always is.
        enforce_ssl: here only to refuse False: requests without TLS are always denied.

    Raises:
        ValueError: public access, plain HTTP or no encryption was asked for; DESTROY in a stack that is not
            ephemeral; the name breaks S3's rules.

    Example::

        from iot_constructs import SecureDataBucket

        archive = SecureDataBucket(stack, "Archive")
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket_name: str = defaults.BUCKET_NAME,
        encryption: s3.BucketEncryption | None = None,
        encryption_key: kms.IKey | None = None,
        versioned: bool | None = None,
        lifecycle_rules: Sequence[s3.LifecycleRule] | None = None,
        access_logs_bucket: s3.IBucket | None = None,
        removal_policy: cdk.RemovalPolicy | None = None,
        environment_suffix: str | EnvironmentSuffix | None = None,
        block_public_access: s3.BlockPublicAccess | None = None,
        enforce_ssl: bool | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        _check_public_access(block_public_access)
        check_not_switched_off(
            "enforce_ssl", enforce_ssl, "a data bucket answers over TLS only (correction 4)"
        )
        _check_encryption(encryption, encryption_key)
        suffix = self._suffix
        policy = data_removal_policy(self, removal_policy)
        self._name = naming.bucket_name(self, bucket_name, suffix)
        encryption = encryption if encryption is not None else s3.BucketEncryption.KMS
        self._key = key_for(self, encryption_key, policy) if encryption in _UNDER_A_KEY else None

        self._announcements: list[s3.CfnBucket.TopicConfigurationProperty] = []
        # Below here only: log delivery by bucket policy, whatever the app's flags. The older way is an ACL, which a
        # bucket with enforced ownership refuses.
        self.node.set_context(_LOGS_BY_POLICY, True)
        self.access_logs_bucket: s3.IBucket = (
            access_logs_bucket
            if access_logs_bucket is not None
            else self._create_access_logs_bucket(bucket_name, suffix, policy)
        )
        """Where S3 writes who read and wrote what."""
        self.bucket = self._create_bucket(
            self._name,
            encryption,
            policy=policy,
            versioned=versioned,
            lifecycle_rules=lifecycle_rules,
        )
        """The data bucket."""

    def _create_access_logs_bucket(
        self, data_stem: str, suffix: EnvironmentSuffix, policy: cdk.RemovalPolicy
    ) -> s3.Bucket:
        # The ending must fit as well, so with a long suffix the stem gives way.
        room = naming.bucket_stem_room(self, suffix) - len(defaults.ACCESS_LOG_NAME_ENDING)
        stem = f"{data_stem[:room].rstrip('-')}{defaults.ACCESS_LOG_NAME_ENDING}"
        bucket = self._plain_bucket(
            "AccessLogs",
            bucket_name=naming.bucket_name(self, stem, suffix),
            encryption=s3.BucketEncryption.S3_MANAGED,  # log delivery cannot use a customer managed key (FACTS 7)
            policy=policy,
            versioned=defaults.BUCKET_VERSIONED,  # who reads the data must not be able to wipe out the traces
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="Expire", expiration=of_days(defaults.ACCESS_LOG_EXPIRATION_DAYS)
                ),
                _expire_old_versions(),
                _abort_multipart_uploads(),
            ],
        )
        acknowledge(bucket, _LOGS_UNDER_SSE_S3)
        acknowledge_in_template(
            _resource_of(bucket),
            checkov={"CKV_AWS_18": "this is the log bucket: it would log into itself (FACTS 7)"},
        )
        return bucket

    def _create_bucket(
        self,
        name: str,
        encryption: s3.BucketEncryption,
        *,
        policy: cdk.RemovalPolicy,
        versioned: bool | None,
        lifecycle_rules: Sequence[s3.LifecycleRule] | None,
    ) -> s3.Bucket:
        return self._plain_bucket(
            "Bucket",
            bucket_name=name,
            encryption=encryption,
            encryption_key=self._key,
            policy=policy,
            versioned=versioned if versioned is not None else defaults.BUCKET_VERSIONED,
            server_access_logs_bucket=self.access_logs_bucket,
            lifecycle_rules=[
                _expire_old_versions(),
                _abort_multipart_uploads(),
                *(lifecycle_rules if lifecycle_rules is not None else ()),
            ],
        )

    def _plain_bucket(
        self,
        id: str,
        *,
        bucket_name: str,
        encryption: s3.BucketEncryption,
        policy: cdk.RemovalPolicy,
        lifecycle_rules: Sequence[s3.LifecycleRule],
        encryption_key: kms.IKey | None = None,
        versioned: bool | None = None,
        server_access_logs_bucket: s3.IBucket | None = None,
    ) -> s3.Bucket:
        destroyed = policy == cdk.RemovalPolicy.DESTROY
        bucket = s3.Bucket(
            self,
            id,
            bucket_name=bucket_name,
            block_public_access=_block_all(),
            enforce_ssl=True,
            minimum_tls_version=defaults.BUCKET_MINIMUM_TLS_VERSION,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=encryption,
            encryption_key=encryption_key,
            bucket_key_enabled=True if encryption == s3.BucketEncryption.KMS else None,
            versioned=versioned,
            server_access_logs_bucket=server_access_logs_bucket,
            lifecycle_rules=list(lifecycle_rules),
            removal_policy=policy,
            auto_delete_objects=True if destroyed else None,
        )
        asked.key_of.know(bucket, encryption_key)
        if destroyed:
            confine_auto_delete(self, self._key)
        return bucket

    @property
    def bucket_name(self) -> str:
        """The physical name."""
        return self.bucket.bucket_name

    @property
    def bucket_arn(self) -> str:
        """The ARN."""
        return self.bucket.bucket_arn

    def announce_new_objects(self, topic: sns.ITopic, *, prefix: str) -> None:
        """Have S3 publish a message to a standard topic for every new object under ``prefix``.

        The topic's policy lets S3 do so for this bucket only, its key for this account only. S3 checks that when the
        bucket is made and publishes one test message (``s3:TestEvent``) in doing so
        (AmazonS3/latest/userguide/how-to-enable-disable-notification-intro.html).

        Args:
            topic: a standard topic.
            prefix: what the object's key begins with.

        Raises:
            ValueError: the topic is FIFO.
        """
        check_standard_topic("topic", topic)
        place = self._place
        key = asked.key_of_topic(topic)
        if key is not None:
            # S3 grant-destinations-permissions-to-s3.html
            allow_service(self, key, _S3, ("kms:Decrypt", "kms:GenerateDataKey"))
        allowed = topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(_S3)],
                actions=["sns:Publish"],
                resources=[asked.topic_arn(topic)],
                # The ARN is composed: the bucket waits for this policy, so the policy cannot wait for the bucket.
                conditions={
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {"aws:SourceArn": f"arn:{place.partition}:s3:::{self._name}"},
                },
            )
        )
        if not allowed.statement_added:
            warn(
                self,
                TOPIC_POLICY_NOT_CHANGED,
                f"the policy of the imported topic cannot be changed here: see that it allows {_S3} sns:Publish",
            )
        elif allowed.policy_dependable is not None:
            self.bucket.node.add_dependency(allowed.policy_dependable)
        self._announce(topic, prefix)

    def _announce(self, topic: sns.ITopic, prefix: str) -> None:
        # Said in the bucket itself: CDK's add_event_notification does it with a function of its own at deploy time,
        # which may change the notifications of every bucket in the account.
        announcement = s3.CfnBucket.TopicConfigurationProperty(
            event="s3:ObjectCreated:*",
            topic=asked.topic_arn(topic),
            filter=s3.CfnBucket.NotificationFilterProperty(
                s3_key=s3.CfnBucket.S3KeyFilterProperty(
                    rules=[s3.CfnBucket.FilterRuleProperty(name="prefix", value=prefix)]
                )
            ),
        )
        self._announcements.append(announcement)
        resource = _resource_of(self.bucket)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            topic_configurations=list(self._announcements)
        )

    def grant_read(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``Bucket.grant_read``."""
        return self.bucket.grant_read(identity)

    def grant_put(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``Bucket.grant_put``."""
        return self.bucket.grant_put(identity)

    def grant_write(self, identity: iam.IGrantable) -> iam.Grant:
        """As ``Bucket.grant_write``."""
        return self.bucket.grant_write(identity)


@cache
def _block_all() -> s3.BlockPublicAccess:
    return s3.BlockPublicAccess.BLOCK_ALL


def _resource_of(bucket: s3.Bucket) -> s3.CfnBucket:
    resource = bucket.node.default_child
    if not isinstance(resource, s3.CfnBucket):
        raise TypeError("Bucket of this aws-cdk-lib is not an AWS::S3::Bucket")
    return resource


def _expire_old_versions() -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="ExpireOldVersions",
        noncurrent_version_expiration=of_days(defaults.BUCKET_NONCURRENT_VERSION_DAYS),
    )


def _abort_multipart_uploads() -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="AbortIncompleteUploads",
        abort_incomplete_multipart_upload_after=of_days(defaults.BUCKET_ABORT_MULTIPART_DAYS),
    )


def _check_public_access(requested: s3.BlockPublicAccess | None) -> None:
    check_not_switched_off(
        "block_public_access", requested, "a data bucket is never public (correction 4)"
    )
    if requested is None:
        return
    switches = (
        "block_public_acls",
        "block_public_policy",
        "ignore_public_acls",
        "restrict_public_buckets",
    )
    open_doors = [switch for switch in switches if getattr(requested, switch, None) is not True]
    if open_doors:
        raise ValueError(
            f"block_public_access leaves {', '.join(open_doors)} off: a data bucket is never public "
            "(correction 4); leave block_public_access out or pass s3.BlockPublicAccess.BLOCK_ALL"
        )


def _check_encryption(encryption: s3.BucketEncryption | None, key: kms.IKey | None) -> None:
    if encryption == s3.BucketEncryption.UNENCRYPTED:
        raise ValueError(
            f"encryption={encryption}: a data bucket is always encrypted; leave encryption out"
        )
    if key is not None and encryption not in (None, *_UNDER_A_KEY):
        raise ValueError(
            f"encryption_key was given together with encryption={encryption}, which does not use it; leave one out"
        )
