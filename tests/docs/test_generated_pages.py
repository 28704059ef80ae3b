"""Generated pages and docstrings have what the sources have today: the only test that a stale one turns red."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import iot_constructs
from docs.generate_rules import RULES_MD, rules_md
from docs.generate_scale import SCALE_MD, scale_md
from examples.iot_pipeline.stack import IotPipelineStack
from iot_constructs import _defaults as defaults
from tests.comparison import comparison_table
from tests.plain_pipeline import PlainPipelineStack
from tests.synth_support import fresh_app, template_of

_COMPARISON = Path(__file__).resolve().parents[2] / "docs" / "comparison.md"
_PAGES: dict[Path, Callable[[], str]] = {
    RULES_MD: rules_md,
    SCALE_MD: scale_md,
}


_STATED = [
    ("AlarmThresholds", f"sums over {defaults.ALARM_PERIOD_MINUTES} minutes"),
    ("DeviceStateTable", f"recovery of {defaults.PITR_RECOVERY_PERIOD_DAYS} days"),
    ("EnvironmentSuffix", f"at most {defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH} characters"),
    ("MonitoredStream", f"{defaults.STREAM_RETENTION_HOURS / 24:g} days of retention"),
    ("MonitoredStream", f"calls in each {defaults.ALARM_PERIOD_MINUTES} minutes"),
    ("NamePrefix", f"at most {defaults.NAME_PREFIX_MAX_LENGTH} characters"),
    ("QueryableArchive", f"scanned {defaults.QUERY_BYTES_SCANNED_CUTOFF_GIB} GiB"),
    ("QueryableArchive", f"by default {defaults.QUERY_BYTES_SCANNED_CUTOFF_GIB} GiB"),
    ("QueryableArchive", f"UTC; by default {defaults.ARCHIVE_FIRST_YEAR}"),
    ("QueryableArchive", f"by default {defaults.QUERY_RESULTS_DAYS} days"),
    ("QueryableArchive", f"``{defaults.PAYLOAD_COLUMN}``"),
    ("SecureDataBucket", f"TLS below {defaults.BUCKET_MINIMUM_TLS_VERSION}"),
    ("SecureDataBucket", f"expire after {defaults.BUCKET_NONCURRENT_VERSION_DAYS} days"),
    ("SecureDataBucket", f"uploads after {defaults.BUCKET_ABORT_MULTIPART_DAYS}"),
    ("StreamArchive", f"``buffering_interval`` is {defaults.BUFFERING_INTERVAL_SECONDS} s"),
    ("StreamArchive", f"``buffering_size`` {defaults.BUFFERING_SIZE_MIB} MiB"),
    ("StreamProcessor", f"messages for {defaults.DLQ_RETENTION_DAYS} days"),
    ("StreamProcessor", f"by default {defaults.ASYNC_RETRY_ATTEMPTS}"),
    ("StreamProcessor", f"by default {defaults.LOG_RETENTION.lower().replace('_', ' ')}"),
    ("StreamProcessor", f"``batch_size`` {defaults.BATCH_SIZE}"),
    ("StreamProcessor", f"``max_batching_window`` {defaults.MAX_BATCHING_WINDOW_SECONDS} s"),
    ("StreamProcessor", f"``retry_attempts`` {defaults.RETRY_ATTEMPTS}"),
    ("StreamProcessor", f"{defaults.RECORD_AGE_SHARE_OF_RETENTION} of the retention"),
    ("TelemetryRule", f"SQL version {defaults.SQL_VERSION}"),
    ("TelemetryRule", f"Partition key ``{defaults.PARTITION_KEY_TEMPLATE}``"),
    ("TimeSeriesTable", f"recovery of {defaults.PITR_RECOVERY_PERIOD_DAYS} days"),
    ("TimeSeriesTable", f"by default {defaults.TIME_SERIES_RETENTION_DAYS} days"),
]


_SECURITY_MD = Path(__file__).resolve().parents[2] / "docs" / "guide" / "security.md"
_STATED_ON_SECURITY = [
    f"tables | {defaults.PITR_RECOVERY_PERIOD_DAYS} days | {defaults.PITR_RECOVERY_PERIOD_DAYS} days |",
    f"holds them for {defaults.PITR_RECOVERY_PERIOD_DAYS} days more",
    f"| {defaults.BUCKET_NONCURRENT_VERSION_DAYS} days after they are replaced",
    f"TLS {defaults.BUCKET_MINIMUM_TLS_VERSION} or later",
    f"for {defaults.DLQ_RETENTION_DAYS} days",
]


def _stale() -> Iterator[str]:
    for path, write in _PAGES.items():
        if path.read_text(encoding="utf-8") != write():
            yield path.name
    security = _SECURITY_MD.read_text(encoding="utf-8")
    for stated in _STATED_ON_SECURITY:
        if stated not in security:
            yield f"{_SECURITY_MD.name} does not have {stated!r}"
    for name, stated in _STATED:
        text = re.sub(r"\s+", " ", inspect.getdoc(getattr(iot_constructs, name)) or "")
        if not re.search(rf"{re.escape(stated)}(?!\d)", text):
            yield f"the docstring of {name} does not have {stated!r}"


def test_generated_pages_are_current() -> None:
    ours = template_of(IotPipelineStack(fresh_app(), "Ours", environment_suffix="prod"))
    plain = template_of(PlainPipelineStack(fresh_app(), "Plain"))
    table = comparison_table(ours["Resources"], plain["Resources"])
    stale = list(_stale())
    assert stale == [], "correct the docstrings, then run `make docs`"
    assert table in _COMPARISON.read_text(encoding="utf-8"), (
        f"docs/comparison.md needs this table:\n{table}"
    )
