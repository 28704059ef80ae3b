"""The table of defaults: each row has a reason, is used, and is what the docstrings say.

That each row also reaches a template is held by the tests of the construct it belongs to.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from importlib.resources import files
from typing import Any

import pytest

import iot_constructs
from iot_constructs import _defaults as defaults

_PACKAGE = files("iot_constructs")
_SOURCE = _PACKAGE.joinpath("_defaults.py").read_text(encoding="utf-8")
_ROWS = {
    row.target.id: row
    for row in ast.parse(_SOURCE).body
    if isinstance(row, ast.AnnAssign) and isinstance(row.target, ast.Name)
}


def _reasons() -> dict[int, str]:
    """Every comment of the table, by line."""
    tokens = tokenize.generate_tokens(io.StringIO(_SOURCE).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


def _names_used_in(source: str) -> set[str]:
    """What one module reads from the table, as ``defaults.NAME`` or imported by name."""
    used = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used |= {node.attr} if node.value.id == "defaults" else set()
        elif isinstance(node, ast.ImportFrom) and node.module == "iot_constructs._defaults":
            used |= {alias.name for alias in node.names}
    return used


# --- the table ------------------------------------------------------------------------------------


def test_the_table_holds_rows_and_nothing_else() -> None:
    """Above all: importing it starts no jsii engine."""
    docstring, imported, *rest = ast.parse(_SOURCE).body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(imported) == "from typing import Final"
    assert {type(statement) for statement in rest} == {ast.AnnAssign}
    assert len(_ROWS) == len(rest) > 60


@pytest.mark.parametrize("name", list(_ROWS))
def test_every_row_is_final_plain_and_has_a_reason(name: str) -> None:
    row = _ROWS[name]
    assert name.isupper()
    assert ast.unparse(row.annotation) == "Final"
    assert isinstance(getattr(defaults, name), (bool, int, float, str, tuple))
    lines = range(row.lineno, (row.end_lineno or row.lineno) + 1)
    reason = " ".join(text for line, text in _reasons().items() if line in lines)
    assert len(reason.lstrip("# ").split()) >= 2, reason


def test_no_row_is_dead() -> None:
    used = set()
    for module in _PACKAGE.iterdir():
        if module.name.endswith(".py"):
            used |= _names_used_in(module.read_text(encoding="utf-8"))
    assert set(_ROWS) - used == set()
    assert used & set(vars(defaults)) == used  # and none is read that does not exist


# --- the docstrings -------------------------------------------------------------------------------

# class -> argument -> what its line in the docstring must say, with the table's own number in it
_SAID: dict[str, dict[str, str]] = {
    "MonitoredStream": {
        "stream_name": f"None means ``{defaults.STREAM_NAME}``",
        "retention_period": f"None means {defaults.STREAM_RETENTION_HOURS / 24:g} days",
        "iterator_age_threshold": "None means half of the retention",
        "throttles_threshold": f"in {defaults.ALARM_PERIOD_MINUTES} minutes",
    },
    "StreamProcessor": {
        "runtime": "None means Python 3.14",
        "memory_size": f"None means {defaults.MEMORY_MB}",
        "timeout": f"None means {defaults.TIMEOUT_SECONDS}",
        "batch_size": f"1 to {defaults.MAX_BATCH_SIZE}; None means {defaults.BATCH_SIZE}",
        "max_batching_window": (
            f"0 to {defaults.LONGEST_BATCHING_WINDOW_SECONDS} seconds; "
            f"None means {defaults.MAX_BATCHING_WINDOW_SECONDS} seconds"
        ),
        "parallelization_factor": (
            f"1 to {defaults.MAX_PARALLELIZATION_FACTOR}; "
            f"None means {defaults.PARALLELIZATION_FACTOR}"
        ),
        "bisect_batch_on_error": f"None means {defaults.BISECT_BATCH_ON_ERROR}",
        "report_batch_item_failures": f"None means {defaults.REPORT_BATCH_ITEM_FAILURES}",
        "retry_attempts": (
            f"0 to {defaults.MAX_RETRY_ATTEMPTS}; None means {defaults.RETRY_ATTEMPTS}"
        ),
        "max_record_age": (
            f"{defaults.SHORTEST_RECORD_AGE_SECONDS} seconds to "
            f"{defaults.LONGEST_RECORD_AGE_SECONDS / 86_400:g} days, and less than the stream's "
            f"retention; None means {defaults.RECORD_AGE_SHARE_OF_RETENTION} of the retention"
        ),
        "max_event_age": f"None means {defaults.MAX_EVENT_AGE_SECONDS / 3600:g} hours",
        "async_retry_attempts": f"None means {defaults.ASYNC_RETRY_ATTEMPTS}",
        "dlq_name": f"None means ``{defaults.DLQ_NAME}``",
        "log_retention": f"None means {defaults.LOG_RETENTION.lower().replace('_', ' ')}",
    },
    "StreamArchive": {
        "buffering_interval": (
            f"0 to {defaults.LONGEST_BUFFERING_INTERVAL_SECONDS} seconds; "
            f"None means {defaults.BUFFERING_INTERVAL_SECONDS} seconds"
        ),
        "buffering_size": (
            f"1 to {defaults.LARGEST_BUFFERING_MIB} MiB; "
            f"None means {defaults.BUFFERING_SIZE_MIB} MiB"
        ),
        "freshness_threshold": "None means three times the buffering interval",
        "log_retention": f"None means {defaults.LOG_RETENTION.lower().replace('_', ' ')}",
    },
    "TimeSeriesTable": {
        "retention": f"None means {defaults.TIME_SERIES_RETENTION_DAYS} days",
        "recovery_period_in_days": f"None means {defaults.PITR_RECOVERY_PERIOD_DAYS}",
    },
    "DeviceStateTable": {
        "recovery_period_in_days": f"None means {defaults.PITR_RECOVERY_PERIOD_DAYS}",
    },
    "QueryableArchive": {
        "columns": f"one column ``{defaults.PAYLOAD_COLUMN}``",
        "first_year": f"None means {defaults.ARCHIVE_FIRST_YEAR}",
        "bytes_scanned_cutoff": (
            f"{defaults.SMALLEST_BYTES_SCANNED_CUTOFF / 1e6:g} MB or more; "
            f"None means {defaults.QUERY_BYTES_SCANNED_CUTOFF_GIB} GiB"
        ),
        "results_bucket": f"under ``{defaults.QUERY_RESULTS_PREFIX}``",
        "results_bucket_name": f"None means ``{defaults.QUERY_RESULTS_BUCKET_NAME}``",
        "results_expiration": f"None means {defaults.QUERY_RESULTS_DAYS} days",
    },
    "SecureDataBucket": {"versioned": f"None means {defaults.BUCKET_VERSIONED}"},
    "PipelineAlarms": {"alert_topic_name": f"None means ``{defaults.ALERT_TOPIC_NAME}``"},
}

# what the text above the arguments must say
_TOLD: list[tuple[str, str]] = [
    ("MonitoredStream", f"keeps records for {defaults.STREAM_RETENTION_HOURS / 24:g} days"),
    ("StreamProcessor", f"keeps messages for {defaults.DLQ_RETENTION_DAYS} days"),
    ("TelemetryRule", f"SQL version {defaults.SQL_VERSION}"),
    ("TelemetryRule", f"Partition key ``{defaults.PARTITION_KEY_TEMPLATE}``"),
    ("DevicePolicy", f"Publish to ``{defaults.TOPIC_FILTER}`` only"),
    ("StreamArchive", "older than three buffer intervals"),
    ("QueryableArchive", f"has one, ``{defaults.PAYLOAD_COLUMN}``"),
    ("QueryableArchive", f"The four are {defaults.PARTITION_COLUMN_TYPE}s"),
    ("QueryableArchive", f"once it has scanned {defaults.QUERY_BYTES_SCANNED_CUTOFF_GIB} GiB"),
    (
        "QueryableArchive",
        f"arrived, up to {defaults.LONGEST_BUFFERING_INTERVAL_SECONDS // 60} minutes before",
    ),
    ("SecureDataBucket", f"after {defaults.BUCKET_NONCURRENT_VERSION_DAYS} days"),
    ("SecureDataBucket", f"uploads after {defaults.BUCKET_ABORT_MULTIPART_DAYS}"),
    ("SecureDataBucket", f"TLS below {defaults.BUCKET_MINIMUM_TLS_VERSION}"),
    ("TimeSeriesTable", f"the last {defaults.PITR_RECOVERY_PERIOD_DAYS} days"),
    ("TimeSeriesTable", f"``{defaults.PARTITION_KEY}`` (String)"),
    ("TimeSeriesTable", f"``{defaults.SORT_KEY}`` (Number"),
    ("TimeSeriesTable", f"``{defaults.TTL_ATTRIBUTE}`` (Number"),
    ("DeviceStateTable", f"the last {defaults.PITR_RECOVERY_PERIOD_DAYS} days"),
    ("DeviceStateTable", f"``{defaults.PARTITION_KEY}`` (String)"),
    ("EnvironmentSuffix", f"at most {defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH} characters"),
    ("AlarmThresholds", f"sums over {defaults.ALARM_PERIOD_MINUTES} minutes"),
]


def _doc(name: str) -> str:
    return inspect.getdoc(getattr(iot_constructs, name)) or ""


def _arguments(name: str) -> dict[str, str]:
    """The lines of a docstring's Args section, by argument."""
    section = re.search(r"^Args:\n((?:    .*\n|\n)+)", _doc(name) + "\n", re.M)
    if section is None:
        return {}
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", section[1], re.M)
    return {argument: re.sub(r"\s+", " ", text) for argument, text in entries}


@pytest.mark.parametrize(
    ("name", "argument"), [(name, arg) for name, said in _SAID.items() for arg in said]
)
def test_the_docstring_quotes_the_table(name: str, argument: str) -> None:
    said = _arguments(name)[argument]
    assert re.search(rf"{re.escape(_SAID[name][argument])}(?![\d])", said), said


def test_every_default_a_docstring_quotes_is_held() -> None:
    """A number, a switch or a name after "None means" that is not in the mapping above would rot."""
    quoted = {
        (name, argument)
        for name in iot_constructs.__all__
        for argument, text in _arguments(name).items()
        if re.search(r"None means (\S+ )?(\d|``|True|False|half|three)", text)
    }
    held = {(name, argument) for name, said in _SAID.items() for argument in said}
    assert quoted <= held
    assert len(quoted) > 20


@pytest.mark.parametrize(("name", "told"), _TOLD)
def test_the_text_of_the_docstring_quotes_the_table(name: str, told: str) -> None:
    assert re.search(rf"{re.escape(told)}(?![\d])", re.sub(r"\s+", " ", _doc(name))), told


def test_words_for_shares_are_what_the_table_says() -> None:
    """Docstrings say "half" and "three times"."""
    assert defaults.ITERATOR_AGE_SHARE_OF_RETENTION == 0.5
    assert defaults.FRESHNESS_INTERVALS == 3


def test_a_person_is_called_before_records_are_given_up() -> None:
    assert defaults.ITERATOR_AGE_SHARE_OF_RETENTION < defaults.RECORD_AGE_SHARE_OF_RETENTION < 1


_SIGNATURES: dict[str, dict[str, Any]] = {
    "MonitoredStream": {
        "throttles_threshold": defaults.STREAM_THROTTLES,
        "alarm_name_prefix": defaults.ALARM_NAME_PREFIX,
    },
    "StreamProcessor": {
        "handler": defaults.HANDLER,
        "function_name": defaults.FUNCTION_NAME,
    },
    "TelemetryRule": {
        "rule_name": defaults.RULE_NAME,
        "topic_filter": defaults.TOPIC_FILTER,
        "partition_key": defaults.PARTITION_KEY_TEMPLATE,
    },
    "DevicePolicy": {
        "policy_name": defaults.DEVICE_POLICY_NAME,
        "publish_topics": (defaults.TOPIC_FILTER,),
        "subscribe_topics": (),
    },
    "StreamArchive": {
        "archive_name": defaults.ARCHIVE_NAME,
        "alarm_name_prefix": defaults.ALARM_NAME_PREFIX,
    },
    "QueryableArchive": {
        "database_name": defaults.DATABASE_NAME,
        "table_name": defaults.ARCHIVE_TABLE_NAME,
        "workgroup_name": defaults.WORKGROUP_NAME,
    },
    "PipelineAlarms": {
        "alarm_name_prefix": defaults.ALARM_NAME_PREFIX,
        "composite_alarm_name": defaults.COMPOSITE_ALARM_NAME,
        "dashboard_name": defaults.DASHBOARD_NAME,
    },
    "TimeSeriesTable": {"table_name": defaults.TIME_SERIES_TABLE_NAME},
    "DeviceStateTable": {"table_name": defaults.DEVICE_STATE_TABLE_NAME},
    "SecureDataBucket": {"bucket_name": defaults.BUCKET_NAME},
}


@pytest.mark.parametrize("name", list(_SIGNATURES))
def test_the_signature_shows_the_table(name: str) -> None:
    """What an editor shows while typing; an argument with a default that is not None is in the table."""
    initializer = getattr(iot_constructs, name).__init__
    shown = {
        parameter.name: parameter.default
        for parameter in inspect.signature(initializer).parameters.values()
        if parameter.default not in (None, inspect.Parameter.empty)
    }
    assert shown == _SIGNATURES[name]
