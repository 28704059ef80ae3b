"""Every warning this library can emit, and the one function that emits them.

Ids are stable: an app silences one with ``Annotations.of(scope).acknowledge_warning(id)``.
"""

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

FAILED_BATCHES_NOT_ANNOUNCED: Final = "iot-constructs:failedBatchesNotAnnounced"
"""StreamProcessor: ``failed_batches`` is a bucket of your own, which does not say on the DLQ topic what it gets."""
KEY_POLICY_NOT_CHANGED: Final = "iot-constructs:keyPolicyNotChanged"
"""An imported key has to let a service of AWS use it, and its policy cannot be changed from here."""
TOPIC_POLICY_NOT_CHANGED: Final = "iot-constructs:topicPolicyNotChanged"
"""An imported topic has to let CloudWatch or S3 publish, and its policy cannot be changed from here."""


def warn(scope: IConstruct, warning_id: str, message: str) -> None:
    """Emit ``message`` at synth under the stable ``warning_id``."""
    cdk.Annotations.of(scope).add_warning_v2(warning_id, message)
