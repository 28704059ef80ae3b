"""Every warning this library can emit, and the one function that emits them.

Ids are stable: an app silences one with ``Annotations.of(scope).acknowledge_warning(id)``.
"""

from typing import Final

import aws_cdk as cdk
from constructs import IConstruct

FAILED_BATCHES_NOT_ANNOUNCED: Final = "iot-constructs:failedBatchesNotAnnounced"
KEY_POLICY_NOT_CHANGED: Final = "iot-constructs:keyPolicyNotChanged"
TOPIC_POLICY_NOT_CHANGED: Final = "iot-constructs:topicPolicyNotChanged"


def warn(scope: IConstruct, warning_id: str, message: str) -> None:
    """Emit ``message`` at synth under the stable ``warning_id``."""
    cdk.Annotations.of(scope).add_warning_v2(warning_id, message)
