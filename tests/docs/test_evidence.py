"""Everything that the templates need AWS to accept has a row in docs/aws-evidence.md, and every row is needed."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import pytest

from examples.existing_app.stack import ExistingAppStack
from examples.iot_pipeline.stack import IotPipelineStack
from examples.own_processor.app import OverheatingStack
from examples.queryable_archive.app import ArchiveStack
from iot_constructs import DevicePolicy, MonitoredStream, SecureDataBucket, StreamProcessor, _naming
from iot_constructs import _defaults as defaults
from iot_constructs._naming import NameType
from iot_constructs.rules.metric_catalogue import emitted
from tests.permission_list import Permission, permissions_of
from tests.synth_support import (
    Json,
    fresh_app,
    fresh_stack,
    inline_code,
    plain,
    resources,
    template_of,
)

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "aws-evidence.md"
_WITH_PATHS: Json = {"aws:cdk:enable-path-metadata": True}
_SOUNDS_LIKE_A_LIMIT = re.compile(r"(MAX|MOST|LONGEST|LARGEST|SMALLEST|MINIMUM|MAXIMUM)_")
_OUR_OWN_LIMITS = {
    "ENVIRONMENT_SUFFIX_MAX_LENGTH",
    "LONGEST_QUERIED_DAYS",
    "MAX_BATCHING_WINDOW_SECONDS",
    "NAME_PREFIX_MAX_LENGTH",
}
_SHOWN = f"<why> | [<page>](https://docs.aws.amazon.com/<page>.html) | {date.today()} |"

_INSIGHTS = re.compile(
    r'SELECT SUM\((?P<metric>\w+)\) FROM "(?P<namespace>[\w/]+)" WHERE (?P<dimension>\w+) = '
)

Row = tuple[str, ...]
"""What a row of the page is about: the cells before the reason and the source."""


# --- the page -------------------------------------------------------------------------------------


def _tables() -> dict[str, list[dict[str, str]]]:
    """The rows of each table by its heading, the cells by their columns."""
    tables = {}
    for section in re.split(r"^## ", _PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        heading, *lines = section.splitlines()
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
        columns, _, *rows = cells
        tables[heading] = [dict(zip(columns, row, strict=True)) for row in rows]
    return tables


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _links(cell: str) -> list[str]:
    return re.findall(r"\]\((https://[^)]+)\)", cell)


def _check(heading: str, needed: set[Row], rows: list[Row], line: str) -> None:
    """Fail with the lines to add and to remove; ``line`` is one of the page with {} for the cells of a row."""
    twice = {row for row, count in Counter(rows).items() if count > 1}
    changes = [
        *("add " + line.format(*row) for row in sorted(needed - set(rows))),
        *("remove " + line.format(*row) for row in sorted(set(rows) - needed)),
        *("remove one " + line.format(*row) for row in sorted(twice)),
    ]
    where = f"docs/aws-evidence.md, {heading} (**no source** where you find none):"
    assert changes == [], "\n".join([where, *changes])


def test_each_row_has_a_source_and_a_date() -> None:
    for heading, rows in _tables().items():
        for row in rows:
            assert _links(row["Shown by"]) or row["Shown by"] == "**no source**", (heading, row)
            if row["Read"] != "not read":
                assert date.fromisoformat(row["Read"]) >= date(2026, 11, 26), (heading, row)
            assert [column for column, cell in row.items() if not cell] in ([], ["Condition"]), row


# --- statements -----------------------------------------------------------------------------------


def _all_options() -> Json:
    """What the example does not use."""
    stack = fresh_stack("prod", context=_WITH_PATHS)
    StreamProcessor(
        stack,
        "Processor",
        stream=MonitoredStream(stack, "Stream"),
        code=inline_code(),
        on_failure=SecureDataBucket(stack, "Data"),
    )
    DevicePolicy(stack, "DevicePolicy")
    return template_of(stack)


@pytest.fixture(scope="module")
def templates() -> list[Json]:
    return [
        *(
            template_of(IotPipelineStack(fresh_app(_WITH_PATHS), "App", environment_suffix=suffix))
            for suffix in ("dev", "prod")
        ),
        template_of(ExistingAppStack(fresh_app(_WITH_PATHS), "App")),
        template_of(OverheatingStack(fresh_app(_WITH_PATHS), "App")),
        template_of(ArchiveStack(fresh_app(_WITH_PATHS), "App")),
        _all_options(),
    ]


def _needed_statements(template: Json) -> Iterator[Row]:
    """Who, action, type of the resource, and the conditions without their values."""
    types = {
        body["Metadata"]["aws:cdk:path"].split("/", 1)[1].removesuffix("/Resource"): body["Type"]
        for body in template["Resources"].values()
        if "aws:cdk:path" in body.get("Metadata", {})
    }
    for row in permissions_of(template, "dev"):
        who = row.principal if row.effect == "Allow" else f"{row.principal} ({row.effect})"
        conditions = [part.partition("=")[0] for part in row.condition.split(" and ") if part]
        yield who, row.action, _type_of(row, types), _code(conditions)


def _type_of(row: Permission, types: dict[str, str]) -> str:
    """``S3::Bucket/*`` for ``Data/*``."""
    for path in sorted(types, key=len, reverse=True):
        if row.resource == path or row.resource.startswith((f"{path}/", f"{path} ")):
            return types[path].removeprefix("AWS::") + row.resource.removeprefix(path)
    return re.sub(r"^arn(:[^:]*){4}:", "", row.resource)


def test_every_statement_has_a_row(templates: list[Json]) -> None:
    rows: list[Row] = [
        (who, action, on, row["Condition"])
        for table in _tables().values()
        for row in table
        if "Actions" in row
        for who in _words(row["Who"])
        for action in _words(row["Actions"])
        for on in _words(row["On"])
    ]
    needed = {row for template in templates for row in _needed_statements(template)}
    _check(
        "the table of whoever it is",
        needed,
        rows,
        "| `{}` | `{}` | `{}` | {} | " + _SHOWN,
    )


# --- alarms ---------------------------------------------------------------------------------------


def _needed_metrics(template: Json) -> Iterator[Row]:
    """Namespace, metric, dimensions and page of what each alarm looks at."""
    for name, body in resources(template, "AWS::CloudWatch::Alarm").items():
        alarm = body["Properties"]
        queries = alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}])
        looked_at = [
            (one["Namespace"], one["MetricName"], {each["Name"] for each in one["Dimensions"]})
            for one in (query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query)
        ]
        for query in queries:  # Metrics Insights: over every value of the other dimensions
            found = _INSIGHTS.match(plain(query.get("Expression", "")))
            if found is not None:
                known = emitted(found["namespace"], found["metric"])
                assert known is not None, f"{name}: add the metric to rules/metric_catalogue.py"
                sets = [set(one) for one in known.dimension_sets if found["dimension"] in one]
                looked_at.append((found["namespace"], found["metric"], min(sets, key=len)))
        assert looked_at, f"teach this test what {name} looks at"
        for namespace, metric, dimensions in looked_at:
            known = emitted(namespace, metric)
            assert known is not None, f"{name}: add the metric to rules/metric_catalogue.py"
            assert known.has(dimensions), f"{name}: {known.page}"
            yield namespace, metric, _code(sorted(dimensions)), known.page


def test_every_metric_of_an_alarm_has_a_row(templates: list[Json]) -> None:
    rows: list[Row] = [
        (namespace, metric, row["Dimensions"], *_links(row["Shown by"]))
        for row in _tables()["Metrics of the alarms"]
        for namespace in _words(row["Namespace"])
        for metric in _words(row["Metrics"])
    ]
    needed = {row for template in templates for row in _needed_metrics(template)}
    line = f"| `{{}}` | `{{}}` | {{}} | <note> | [<page>]({{}}) | {date.today()} |"
    _check("Metrics of the alarms", needed, rows, line)


# --- limits ---------------------------------------------------------------------------------------

_Limit = defaults.NumberLimit | defaults.DurationLimit | defaults.TextLimit


def _limits_on_arguments() -> Iterator[tuple[str, str, _Limit]]:
    for keyword, number in defaults.NUMBER_LIMITS.items():
        yield keyword, f"{number.low} to {number.high}", number
    for keyword, duration in defaults.DURATION_LIMITS.items():
        yield keyword, f"{duration.low} s to {duration.high} s", duration
    for keyword, text in defaults.TEXT_LIMITS.items():
        yield keyword, text.description, text


def test_every_limit_on_an_argument_has_a_row() -> None:
    needed: set[Row] = {
        (keyword, shown, limit.source.split(", ")[0])
        for keyword, shown, limit in _limits_on_arguments()
        if limit.source.startswith("https:")
    }
    rows: list[Row] = [
        (*_words(row["Argument"]), row["From, to"], *_links(row["Shown by"]))
        for row in _tables()["Limits on arguments"]
    ]
    _check("Limits on arguments", needed, rows, "| `{}` | {} | [<page>]({}) | <date> |")


def test_every_length_of_a_name_has_a_row() -> None:
    needed: set[Row] = {
        (each.resource, f"{each.shortest} to {each.longest}", each.source)
        for each in vars(_naming).values()
        if isinstance(each, NameType)
    }
    rows: list[Row] = [
        (row["Resource"], row["Characters"], *_links(row["Shown by"]))
        for row in _tables()["Lengths of names"]
    ]
    _check("Lengths of names", needed, rows, "| {} | {} | [<page>]({}) | <date> |")


def test_every_other_limit_of_aws_has_a_row() -> None:
    tree = ast.parse(inspect.getsource(defaults))
    assignments = [each for each in tree.body if isinstance(each, ast.AnnAssign)]
    named = {each.target.id: each for each in assignments if isinstance(each.target, ast.Name)}
    on_arguments = {
        node.id
        for name, assignment in named.items()
        if name.endswith("_LIMITS")
        for node in ast.walk(assignment)
        if isinstance(node, ast.Name)
    }
    rows: list[Row] = [
        (*_words(row["Constant"]), row["Value"]) for row in _tables()["Other limits"]
    ]
    names = {name for name in named if _SOUNDS_LIKE_A_LIMIT.search(name)}
    names -= on_arguments | _OUR_OWN_LIMITS
    names |= {name for name, *_ in rows} & named.keys()
    needed: set[Row] = {(name, str(getattr(defaults, name))) for name in names}
    _check("Other limits", needed, rows, "| `{}` | {} | " + _SHOWN)
    assert named.keys() >= _OUR_OWN_LIMITS
