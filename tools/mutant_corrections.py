"""Which mutants undo one of the eight corrections: of these not a single one may survive."""

from __future__ import annotations

import re
from typing import Final

CORRECTIONS: Final[dict[int, tuple[str, ...]]] = {
    # 1: every physical name ends in the environment suffix.
    1: (
        r"_defaults\.py \| \w+_NAME(_PREFIX|_ENDING)? \|",
        r"_naming\.py \| (physical_name|bucket_name|_check_stem) \|",
        r".*\b(bucket|stream|table|function|topic|queue|rule|policy|log_group|alarm|dashboard)_name=\.\.\.\) left out",
    ),
    # 2: point-in-time recovery, by the property that is not deprecated.
    2: (
        r"_defaults\.py \| PITR",
        r"_tables\.py \| .*(point_?in_?time|recovery)",
    ),
    # 3: the batching window.
    3: (
        r"_defaults\.py \| \w*BATCHING_WINDOW",
        r"stream_processor\.py \| .*batching_window",
    ),
    # 4: no public access, TLS only; neither can be turned off.
    4: (
        r"_defaults\.py \| BUCKET_MINIMUM_TLS",
        r"secure_data_bucket\.py \| _check_public_access",
        r"secure_data_bucket\.py \| .*(public_access|enforce_ssl|tls|BlockPublicAccess)",
    ),
    # 5: termination protection is always said.
    5: (
        r"_defaults\.py \| EPHEMERAL_WORDS",
        r"environment\.py \| .*(termination|ephemeral)",
    ),
    # 6: the dead-letter path of the function and of its mapping.
    6: (
        r"_defaults\.py \| (DLQ|MAX_EVENT_AGE|ASYNC_RETRY)",
        r"_dead_letters\.py \|",
        r"stream_processor\.py \| .*(on_failure|max_event_age|async_retry|dead_letters|_failure_[dt])",
        r"stream_processor\.py \| StreamProcessor\._create_role \| left out: grant_publish",
    ),
    # 7: the complete alarm set, on metrics that AWS emits.
    7: (
        r"_alarms\.py \|",
        r"_table_metrics\.py \|",
        r"pipeline_alarms\.py \| PipelineAlarms",
        r"(monitored_stream|stream_archive)\.py \| .*(alarm|metric)",
        r"(stream_processor|telemetry_rule)\.py \| \w+\.\w*metric",
    ),
    # 8: DynamoDB with deviceId and timestamp, on demand, TTL.
    8: (
        r"_defaults\.py \| (PARTITION_KEY|SORT_KEY|TTL_ATTRIBUTE|TIME_SERIES_RETENTION_DAYS) \|",
        r"time_series_table\.py \|",
        r"_tables\.py \| .*(billing|sort_key|time_to_live|AttributeType)",
    ),
}


def corrections_of(name: str) -> list[int]:
    """The numbers of the corrections that a mutant undoes."""
    return [
        number
        for number, patterns in CORRECTIONS.items()
        if any(re.match(pattern, name) for pattern in patterns)
    ]
