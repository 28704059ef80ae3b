"""Which tests concern which module.

Test files are named as below tests/, the likeliest to notice first. Left out on purpose:

* tests/test_examples.py: its snapshot of the whole example changes with nearly everything, which proves nothing;
* tests/test_defaults_table.py: it holds the table against the docstrings, and would notice a row that reaches no
  template;
* tests/packs, tests/docs, tests/e2e: they take minutes.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final

CONSTRUCTS: Final[Mapping[str, tuple[str, ...]]] = {
    "_alarms.py": (
        *("test_monitored_stream", "test_stream_archive", "test_pipeline_alarms"),
        "test_alarm_catalogue",
    ),
    "_asked_once.py": ("test_asked_once", "test_public_api", "test_permissions"),
    "_auto_delete.py": ("test_secure_data_bucket", "test_permissions"),
    "_dead_letters.py": (
        *("test_stream_processor", "test_permissions", "test_pipeline_alarms"),
        "test_asked_once",
    ),
    "_durations.py": ("test_place", "test_validate"),
    "_encryption.py": ("test_encryption", "test_permissions", "test_stream_processor"),
    "_grants.py": (
        *("test_grants", "test_permissions", "test_telemetry_rule", "test_stream_archive"),
        "test_public_api",
    ),
    "_naming.py": ("test_naming", "test_secure_data_bucket"),
    "_pipeline_construct.py": ("test_place", "test_environment"),
    "_place.py": ("test_place", "test_encryption", "test_secure_data_bucket"),
    "_principals.py": ("test_asked_once", "test_encryption"),
    "_sizes.py": ("test_asked_once", "test_stream_archive"),
    "_table_metrics.py": ("test_device_state_table", "test_alarm_catalogue"),
    "_tables.py": ("test_device_state_table", "test_time_series_table", "test_asked_once"),
    "_taken_names.py": ("test_naming",),
    "_validate.py": ("test_validate", "test_monitored_stream"),
    "_warnings.py": ("test_encryption",),
    "device_policy.py": ("test_device_policy",),
    "device_state_table.py": ("test_device_state_table",),
    "environment.py": ("test_environment", "test_place"),
    "monitored_stream.py": ("test_monitored_stream", "test_asked_once"),
    "pipeline_alarms.py": ("test_pipeline_alarms", "test_alarm_catalogue"),
    "queryable_archive.py": ("test_queryable_archive",),
    "secure_data_bucket.py": (
        *("test_secure_data_bucket", "test_failed_batches", "test_asked_once"),
    ),
    "stream_archive.py": ("test_stream_archive", "test_permissions"),
    "stream_processor.py": ("test_stream_processor", "test_failed_batches", "test_permissions"),
    "telemetry_rule.py": ("test_telemetry_rule", "test_permissions"),
    "time_series_table.py": ("test_time_series_table", "test_device_state_table"),
}

RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "alarm_metrics.py": ("test_check_missing_alarms", "test_check_alarm_metrics"),
    "check_alarm_actions.py": ("test_check_alarm_actions",),
    "check_alarm_metrics.py": ("test_check_alarm_metrics",),
    "check_buckets.py": ("test_check_buckets",),
    "check_failure_paths.py": ("test_check_failure_paths",),
    "check_missing_alarms.py": ("test_check_missing_alarms",),
    "check_names.py": ("test_check_names",),
    "check_retention.py": ("test_check_retention",),
    "check_termination_protection.py": ("test_check_termination_protection",),
    "iot_pipeline.guard": ("test_guard_rules",),
    "guard_rules.py": ("test_guard_rules",),
    "injectors.py": ("test_injectors", "test_injectors_storage", "test_injectors_streaming"),
    "injectors_messaging.py": ("test_injectors",),
    "injectors_policies.py": ("test_injectors",),
    "injectors_storage.py": ("test_injectors_storage", "test_injectors"),
    "injectors_streaming.py": ("test_injectors_streaming",),
    "pipeline_parts.py": (
        "test_check_failure_paths",
        "test_check_missing_alarms",
        "test_check_retention",
    ),
    "policies.py": ("test_check_alarm_actions", "test_check_buckets"),
    "python_checks.py": ("test_python_checks",),
}
"""Left out: ``references.py`` and ``template.py``, which read templates for the rules; the catalogue of metrics and the
table of rules, which are data; and the plugins that hand findings to CDK."""


def tests_of_construct(module: str) -> tuple[str, ...]:
    """The test files of one module of the library."""
    return _paths("tests", CONSTRUCTS[module])


def tests_of_rules(module: str) -> tuple[str, ...]:
    """The test files of one module of the rules."""
    return _paths("tests/rules", RULES[module])


def tests_of_defaults(sources: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The test files of each row: those of the modules that read it."""
    readers: dict[str, dict[str, None]] = {}
    for module, tests in CONSTRUCTS.items():
        for name in _rows_read(sources[module]):
            readers.setdefault(name, {}).update(dict.fromkeys(_paths("tests", tests)))
    return {name: tuple(tests) for name, tests in readers.items()}


def _rows_read(source: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "defaults"
    }


def _paths(folder: str, tests: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{folder}/{test}.py" for test in tests)
