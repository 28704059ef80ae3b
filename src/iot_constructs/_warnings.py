"""Every warning of the library.

Ids are stable: an app silences one with ``Annotations.of(scope).acknowledge_warning(id)``.
"""

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

DATA_DESTROYED_WITH_STACK: Final = "iot-constructs:dataDestroyedWithStack"
"""``removal_policy=DESTROY`` in a stack that is not ephemeral."""
EVENT_COUNTS_OFF: Final = "iot-constructs:eventCountsOff"
"""PipelineAlarms: the event source mapping emits no metrics, so the alarms on them are not created."""
FUNCTION_ROLE_UNKNOWN: Final = "iot-constructs:functionRoleUnknown"
"""StreamProcessor: ``function`` is imported without its role, so the library cannot grant it anything."""
KEY_POLICY_NOT_CHANGED: Final = "iot-constructs:keyPolicyNotChanged"
"""An imported key has to let an AWS service use it, and the library cannot change its policy."""
NO_SUBSCRIPTION: Final = "iot-constructs:noSubscription"
"""PipelineAlarms: the alarm topic has no subscription, so no one receives the alarms."""
OTHER_ACCOUNT: Final = "iot-constructs:otherAccount"
"""An imported resource is of another account, whose owner has to allow the access."""
RETENTION_UNKNOWN: Final = "iot-constructs:streamRetentionUnknown"
"""StreamProcessor: the stream is imported, so nothing compares ``max_record_age`` with its retention."""
TOPIC_POLICY_NOT_CHANGED: Final = "iot-constructs:topicPolicyNotChanged"
"""An imported topic has to let CloudWatch or S3 publish, and the library cannot change its policy."""
LOG_BUCKET_WITH_KMS_KEY: Final = "iot-constructs:logBucketWithKmsKey"
"""SecureDataBucket: S3 delivers no access logs to a bucket that is encrypted with a KMS key."""
LOG_BUCKET_POLICY_NOT_CHANGED: Final = "iot-constructs:logBucketPolicyNotChanged"
"""SecureDataBucket: the library cannot change the policy of an imported ``server_access_logs_bucket``."""


def warn(scope: IConstruct, warning_id: str, message: str) -> None:
    """Show ``message`` at synth under the stable ``warning_id``."""
    cdk.Annotations.of(scope).add_warning_v2(warning_id, message)
