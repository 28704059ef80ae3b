"""TelemetryProcessor: what it packs, what its function may do, and what it refuses."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_

import iot_constructs
from iot_constructs import (
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    TelemetryProcessor,
    TimeSeriesTable,
)
from iot_constructs import _defaults as defaults
from iot_constructs.processor.settings import VARIABLES, Settings
from tests.synth_support import (
    Json,
    fresh_stack,
    inline_code,
    one,
    permissions,
    plain,
    template_of,
    unvalidated_app,
)

_SOURCE = Path(iot_constructs.__file__).parent / "processor"
_FILES = {path.name for path in _SOURCE.glob("*.py")}
_FUNCTION = "AWS::Lambda::Function"
_TRANSFORM = "def transform(reading, record):\n    return reading\n"


def _create(stack: cdk.Stack, **props: Any) -> TelemetryProcessor:
    """With a table of readings, unless the test has its own."""
    if not {"time_series_table", "device_state_table"} & props.keys():
        props["time_series_table"] = TimeSeriesTable(stack, "Series")
    return TelemetryProcessor(stack, "Processor", stream=MonitoredStream(stack, "Stream"), **props)


def _plain_table(stack: cdk.Stack, id: str, **props: Any) -> dynamodb.TableV2:
    key = dynamodb.Attribute(name="deviceId", type=dynamodb.AttributeType.STRING)
    return dynamodb.TableV2(stack, id, partition_key=key, **props)


def _variables(template: Json) -> Json:
    variables: Json = one(template, _FUNCTION, Handler="processor.handler.handler")["Environment"]
    return {k: v for k, v in variables["Variables"].items() if k != "DLQ_TOPIC_ARN"}


# --- tables ---------------------------------------------------------------------------------------


def _table_permissions(template: Json) -> set[tuple[str, str]]:
    role = one(template, _FUNCTION, Handler="processor.handler.handler")["Role"]
    return {(a, on) for a, on in permissions(template, role) if a.startswith("dynamodb:")}


def test_the_function_may_write_items_and_nothing_else() -> None:
    stack = fresh_stack()
    series, state = TimeSeriesTable(stack, "Series"), DeviceStateTable(stack, "State")
    _create(stack, time_series_table=series, device_state_table=state)
    template = template_of(stack)
    names = {table: plain(stack.resolve(table.table_arn)) for table in (series, state)}
    assert _table_permissions(template) == {
        ("dynamodb:BatchWriteItem", names[series]),
        ("dynamodb:PutItem", names[series]),
        ("dynamodb:PartiQLInsert", names[state]),
        ("dynamodb:PartiQLUpdate", names[state]),
    }
    assert _variables(template) == {
        "TIME_SERIES_TABLE_NAME": stack.resolve(series.table_name),
        "TIME_SERIES_RETENTION_SECONDS": str(defaults.TIME_SERIES_RETENTION_DAYS * 86_400),
        "DEVICE_STATE_TABLE_NAME": stack.resolve(state.table_name),
    }


def test_with_an_interval_the_function_may_also_get_the_states() -> None:
    stack = fresh_stack()
    state = DeviceStateTable(stack, "State", encryption_key=kms.Key(stack, "Own"))
    series = TimeSeriesTable(stack, "Series")
    _create(
        stack,
        time_series_table=series,
        device_state_table=state,
        device_state_interval=cdk.Duration.minutes(15),
    )
    template = template_of(stack)
    on_states = plain(stack.resolve(state.table_arn))
    assert {action for action, on in _table_permissions(template) if on == on_states} == {
        "dynamodb:BatchGetItem",
        "dynamodb:PartiQLInsert",
        "dynamodb:PartiQLUpdate",
    }
    role = one(template, _FUNCTION, Handler="processor.handler.handler")["Role"]
    key = plain(stack.resolve(state.encryption_key.key_arn if state.encryption_key else ""))
    assert {action for action, on in permissions(template, role) if on == key} == {"kms:Decrypt"}
    assert _variables(template)["DEVICE_STATE_INTERVAL_SECONDS"] == "900"
    assert (
        Settings.from_environment(
            {**_variables(template), "DLQ_TOPIC_ARN": "t"}
        ).device_state_interval_seconds
        == 900
    )


def test_the_function_may_use_the_keys_of_the_tables() -> None:
    stack = fresh_stack()
    tables = {
        "device_state_table": DeviceStateTable(
            stack, "State", encryption_key=kms.Key(stack, "StateKey")
        ),
        "time_series_table": TimeSeriesTable(
            stack, "Series", encryption_key=kms.Key(stack, "SeriesKey")
        ),
    }
    _create(stack, **tables)
    template = template_of(stack)
    role = one(template, _FUNCTION, Handler="processor.handler.handler")["Role"]
    granted = permissions(template, role)
    for table in tables.values():
        assert table.encryption_key is not None
        key = plain(stack.resolve(table.encryption_key.key_arn))
        assert {action for action, on in granted if on == key} == {"kms:Decrypt"}


def test_a_retention_that_is_known_at_deployment() -> None:
    stack = fresh_stack()
    retention = cdk.CfnParameter(stack, "Retention", type="Number").value_as_number
    series = dynamodb.TableV2.from_table_name(stack, "Series", "readings")
    _create(stack, time_series_table=series, retention=cdk.Duration.seconds(retention))
    variables = _variables(template_of(stack))
    assert variables["TIME_SERIES_RETENTION_SECONDS"] == {"Ref": "Retention"}


def test_an_interval_of_an_imported_table_that_is_known_at_deployment() -> None:
    stack = fresh_stack()
    interval = cdk.CfnParameter(stack, "Interval", type="Number").value_as_number
    _create(
        stack,
        device_state_table=dynamodb.TableV2.from_table_name(stack, "State", "states"),
        device_state_interval=cdk.Duration.seconds(interval),
    )
    template = template_of(stack)
    assert "dynamodb:BatchGetItem" in {action for action, _ in _table_permissions(template)}
    assert _variables(template)["DEVICE_STATE_INTERVAL_SECONDS"] == {"Ref": "Interval"}


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        (cdk.Duration.seconds(0), "must be from 1 second to 24 hours"),
        (cdk.Duration.millis(1500), "must be a multiple of 1 second"),
        (cdk.Duration.seconds(86_401), "must be from 1 second to 24 hours"),
    ],
)
def test_an_interval_out_of_range(interval: cdk.Duration, says: str) -> None:
    stack = fresh_stack()
    state = DeviceStateTable(stack, "State")
    with pytest.raises(ValueError, match=f"device_state_interval=.*{says}"):
        _create(stack, device_state_table=state, device_state_interval=interval)


def test_an_interval_without_states() -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError, match=r"^device_state_interval: .*or pass device_state_table$"):
        _create(stack, device_state_interval=cdk.Duration.minutes(1))


def test_plain_tables_of_which_one_is_left_out() -> None:
    stack = fresh_stack()
    _create(stack, device_state_table=_plain_table(stack, "State"))
    template = template_of(stack)
    assert {action for action, _ in _table_permissions(template)} == {
        "dynamodb:PartiQLInsert",
        "dynamodb:PartiQLUpdate",
    }
    assert _variables(template).keys() == {"DEVICE_STATE_TABLE_NAME"}

    stack = fresh_stack()
    sort_key = dynamodb.Attribute(name="timestamp", type=dynamodb.AttributeType.NUMBER)
    _create(stack, time_series_table=_plain_table(stack, "Series", sort_key=sort_key))
    template = template_of(stack)
    assert {action for action, _ in _table_permissions(template)} == {
        "dynamodb:BatchWriteItem",
        "dynamodb:PutItem",
    }
    assert _variables(template).keys() == {
        "TIME_SERIES_TABLE_NAME",
        "TIME_SERIES_RETENTION_SECONDS",
    }


@pytest.mark.parametrize(
    ("of_table", "given", "days"),
    [(None, None, defaults.TIME_SERIES_RETENTION_DAYS), (30, None, 30), (30, 7, 7)],
)
def test_the_retention_is_that_of_the_table_unless_given(
    of_table: int | None, given: int | None, days: int
) -> None:
    stack = fresh_stack()
    table = (
        TimeSeriesTable(stack, "Series", retention=cdk.Duration.days(of_table))
        if of_table is not None
        else _plain_table(stack, "Series")
    )
    retention = {} if given is None else {"retention": cdk.Duration.days(given)}
    _create(stack, time_series_table=table, **retention)
    variables = _variables(template_of(stack))
    assert variables["TIME_SERIES_RETENTION_SECONDS"] == str(days * 86_400)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ({}, {}),
        ({"timestamp_field": "timestamp", "use_arrival_time": False, "device_id_field": None}, {}),
        ({"timestamp_field": "time"}, {"TIMESTAMP_FIELD": "time"}),
        ({"use_arrival_time": True}, {"USE_ARRIVAL_TIME": "true"}),
        ({"device_id_field": "serialNumber"}, {"DEVICE_ID_FIELD": "serialNumber"}),
    ],
)
def test_what_a_reading_is_reaches_the_function(
    arguments: dict[str, Any], variables: dict[str, str]
) -> None:
    stack = fresh_stack()
    processor = _create(stack, **arguments)
    found = _variables(template_of(stack))
    tables = {"TIME_SERIES_TABLE_NAME", "TIME_SERIES_RETENTION_SECONDS"}
    assert {name: found[name] for name in found.keys() - tables} == variables
    # The function reads what was set, and has the same defaults.
    of_tables = {"DLQ_TOPIC_ARN": "t", "TIME_SERIES_TABLE_NAME": "s"}
    read = Settings.from_environment(
        {**of_tables, "TIME_SERIES_RETENTION_SECONDS": "1", **variables}
    )
    expected = {"timestamp_field": "timestamp", "use_arrival_time": False, "device_id_field": None}
    assert {name: getattr(read, name) for name in expected} == {**expected, **arguments}
    assert processor.counts_device_id_mismatches is ("DEVICE_ID_FIELD" not in variables)


@pytest.mark.parametrize("keyword", ["timestamp_field", "device_id_field"])
@pytest.mark.parametrize("value", ["", cdk.Aws.REGION])
def test_a_field_that_is_not_known_at_synth(keyword: str, value: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{keyword}=.*: it must be known at synth; pass the name"
    ):
        _create(fresh_stack(), **{keyword: value})


def test_one_field_for_two_things() -> None:
    with pytest.raises(
        ValueError, match=r"^device_id_field='t': it is the timestamp_field; pass an"
    ):
        _create(fresh_stack(), timestamp_field="t", device_id_field="t")


def test_a_function_without_a_table() -> None:
    stack = fresh_stack()
    with pytest.raises(TypeError, match="needs time_series_table= or device_state_table="):
        TelemetryProcessor(stack, "Processor", stream=MonitoredStream(stack, "Stream"))


def test_a_retention_of_states() -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError, match=r"^retention: .*remove retention, or pass time_series_"):
        _create(
            stack,
            device_state_table=DeviceStateTable(stack, "State"),
            retention=cdk.Duration.days(7),
        )


# --- the other arguments --------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["code", "handler", "function"])
def test_code_of_your_own(keyword: str) -> None:
    value = {"code": inline_code(), "handler": "index.handler"}.get(keyword)
    stack = fresh_stack()
    if value is None:
        value = lambda_.Function.from_function_name(stack, "Mine", "mine")
    with pytest.raises(TypeError, match=rf"takes no {keyword}=: .* to a StreamProcessor"):
        _create(stack, **{keyword: value})


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_no_variable_of_the_processor_is_in_environment(name: str) -> None:
    with pytest.raises(ValueError, match=f"^environment: {name} is a variable of the Telemetry"):
        _create(fresh_stack(), environment={name: "own"})


def test_the_variables_are_those_that_the_function_reads() -> None:
    class Environment(dict[str, str]):
        read: ClassVar[set[str]] = {"TRANSFORM_MODULE"}

        def get(self, name: str, default: Any = None) -> Any:
            self.read.add(name)
            return super().get(name, default)

    values = {"DLQ_TOPIC_ARN": "t", "TIME_SERIES_TABLE_NAME": "s"}
    Settings.from_environment(Environment(values, TIME_SERIES_RETENTION_SECONDS="1"))
    assert Environment.read == VARIABLES


def test_partial_failures_cannot_be_ignored() -> None:
    """Lambda would take the response of the code as success, and never retry the records that it names."""
    with pytest.raises(ValueError, match=r"^report_batch_item_failures=False: "):
        _create(fresh_stack(), report_batch_item_failures=False)
    stack = fresh_stack()
    _create(stack, report_batch_item_failures=True)
    mapping = one(template_of(stack), "AWS::Lambda::EventSourceMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("runtime", ["NODEJS_22_X", "PYTHON_3_9", "PYTHON_3_8"])
def test_a_runtime_that_cannot_run_the_code(runtime: str) -> None:
    with pytest.raises(ValueError, match=r"^runtime=.*: the code needs Python 3.10 or later"):
        _create(fresh_stack(), runtime=getattr(lambda_.Runtime, runtime))


@pytest.mark.parametrize("runtime", ["PYTHON_3_10", "PYTHON_3_13"])
def test_a_runtime_that_can_run_the_code(runtime: str) -> None:
    stack = fresh_stack()
    _create(stack, runtime=getattr(lambda_.Runtime, runtime))
    assert one(template_of(stack), _FUNCTION)["Runtime"].startswith("python3.1")


def test_environment_adds_variables() -> None:
    stack = fresh_stack()
    _create(stack, environment={"UNIT": "C"})
    assert _variables(template_of(stack))["UNIT"] == "C"


def test_properties_of_a_stream_processor_are_passed_on() -> None:
    stack = fresh_stack()
    processor = _create(stack, batch_size=500, memory_size=1024, dlq_name="lost")
    template = template_of(stack)
    assert one(template, "AWS::Lambda::EventSourceMapping")["BatchSize"] == 500
    assert one(template, _FUNCTION)["MemorySize"] == 1024
    assert one(template, "AWS::SNS::Topic")["TopicName"] == "lost-dev"
    assert isinstance(processor.function, lambda_.Function)


@pytest.mark.parametrize(
    "level",
    [
        {"application_log_level": "WARN", "log_format": "JSON"},
        {"application_log_level_v2": lambda_.ApplicationLogLevel.ERROR},
        {"application_log_level_v2": lambda_.ApplicationLogLevel.FATAL},
    ],
)
def test_a_log_level_that_drops_the_metrics(level: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^application_log_level=(WARN|ERROR|FATAL): .* metrics"):
        _create(fresh_stack(), **level)


def test_a_log_level_that_keeps_the_metrics() -> None:
    stack = fresh_stack()
    _create(stack, application_log_level_v2=lambda_.ApplicationLogLevel.DEBUG)
    logging = one(template_of(stack), _FUNCTION)["LoggingConfig"]
    assert (logging["ApplicationLogLevel"], logging["LogFormat"]) == ("DEBUG", "JSON")


# --- metrics --------------------------------------------------------------------------------------


def _alarm_ids(processor: TelemetryProcessor) -> set[str]:
    alarms = PipelineAlarms(cdk.Stack.of(processor), "Alarms", processor=processor)
    return {alarm.node.id for alarm in alarms.alarms}


def test_mismatches_alarm_only_where_they_are_counted() -> None:
    assert "DeviceIdMismatches" in _alarm_ids(_create(fresh_stack()))
    processor = _create(fresh_stack(), device_id_field="serialNumber")
    assert "DeviceIdMismatches" not in _alarm_ids(processor)


# --- the asset ------------------------------------------------------------------------------------


def _staged(folder: Path, **props: Any) -> Path:
    """The asset in the cloud assembly, as it is uploaded."""
    stack = fresh_stack(app=unvalidated_app(outdir=str(folder)))
    _create(stack, **props)
    code = one(template_of(stack), _FUNCTION, Handler="processor.handler.handler")["Code"]
    return folder / f"asset.{code['S3Key'].removesuffix('.zip')}"


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_asset_has_the_code_and_nothing_else(tmp_path: Path) -> None:
    assert (_SOURCE / "__pycache__").is_dir()  # or the test below could not fail
    asset = _staged(tmp_path / "one")
    assert _contents(asset).keys() == {f"processor/{name}" for name in _FILES}
    assert asset.name == _staged(tmp_path / "two").name


def test_the_asset_with_a_step_of_your_own_has_that_file_as_well(tmp_path: Path) -> None:
    names = set()
    for number in range(2):  # the same bytes in another folder
        file = tmp_path / str(number) / "units.py"
        file.parent.mkdir()
        file.write_text(_TRANSFORM, encoding="utf-8")
        asset = _staged(tmp_path / f"out{number}", transform=str(file))
        assert _contents(asset) == {
            "units.py": _TRANSFORM.encode(),
            **{f"processor/{name}": (_SOURCE / name).read_bytes() for name in _FILES},
        }
        names.add(asset.name)
    file.write_text(f"{_TRANSFORM}\n", encoding="utf-8")
    names.add(_staged(tmp_path / "other", transform=str(file)).name)
    assert len(names) == 2


_IMPORT = """
import sys
sys.path[:] = [p for p in sys.path if p and "site-packages" not in p]
sys.path[:0] = [{asset!r}, {packages!r}]
from processor import handler
handler._processor()
print(handler.__file__)
print(*(name for name in sys.modules if name.split(".")[0] in {forbidden!r}))
"""


@pytest.mark.parametrize("transform", [None, _TRANSFORM])
def test_the_function_starts_with_botocore_alone(tmp_path: Path, transform: str | None) -> None:
    props: dict[str, Any] = {}
    if transform is not None:
        (tmp_path / "step.py").write_text(transform, encoding="utf-8")
        props["transform"] = str(tmp_path / "step.py")
    asset = _staged(tmp_path / "out", **props)
    packages = tmp_path / "packages"  # what Lambda's runtime has, and nothing else of this machine
    packages.mkdir()
    for name in ("botocore", "dateutil", "jmespath", "urllib3", "six"):
        (package,) = (
            Path(entry) / found
            for entry in sys.path
            for found in (name, f"{name}.py")
            if "site-packages" in entry and (Path(entry) / found).exists()
        )
        (packages / package.name).symlink_to(package)
    code = _IMPORT.format(
        asset=str(asset), packages=str(packages), forbidden=("boto3", "aws_cdk", "iot_constructs")
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-s", "-B", "-c", code],
        cwd=tmp_path,
        env={
            "AWS_DEFAULT_REGION": "eu-central-1",
            "DLQ_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:dlq",
            "DEVICE_STATE_TABLE_NAME": "state",
            **({"TRANSFORM_MODULE": "step"} if transform is not None else {}),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [str(asset / "processor" / "handler.py"), ""]


def test_the_code_imports_itself_relatively_and_no_cdk() -> None:
    """So that it is the package `processor` in the asset and `iot_constructs.processor` here."""
    roots = set()
    for path in _SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add(str(node.module).split(".")[0])
    assert roots - sys.stdlib_module_names == {"botocore"}


def test_the_code_is_typed_on_its_own(tmp_path: Path) -> None:
    shutil.copytree(_SOURCE, tmp_path / "processor", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "-p", "processor"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    # botocore has no types.
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in errors if "[import-untyped]" not in line] == []
    assert "processor/" in done.stdout or "Success" in done.stdout


def test_nothing_is_built_or_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CDK would start Docker, and pip a download, by a program on PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    log = tmp_path / "called"
    for name in ("docker", "finch", "pip", "uv", "npm"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexit 1\n', encoding="utf-8")
        tool.chmod(0o755)
    program = (
        "import aws_cdk as cdk, iot_constructs as iot\n"
        "app = cdk.App(outdir='out', analytics_reporting=False)\n"
        "stack = cdk.Stack(app, 'Test')\n"
        "stream = iot.MonitoredStream(stack, 'Stream')\n"
        "iot.TelemetryProcessor(stack, 'P', stream=stream, transform='step.py',\n"
        "    device_state_table=iot.DeviceStateTable(stack, 'State'))\n"
        "app.synth()\n"
    )
    (tmp_path / "step.py").write_text(_TRANSFORM, encoding="utf-8")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    monkeypatch.setenv("CDK_VALIDATION", "false")  # three seconds
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    assert not log.exists()
    left = [path for path in (tmp_path / "temporary").rglob("*") if path.name == "step.py"]
    assert left == []  # only in the cloud assembly
    assets = json.loads((tmp_path / "out" / "Test.assets.json").read_text(encoding="utf-8"))
    packaging = {one["source"]["packaging"] for one in assets["files"].values()}
    assert packaging == {"file", "zip"}


# --- a step of your own ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, r"No such file or directory; pass the path of a Python file with"),
        (".", None, r"Is a directory; pass the path of a Python file with"),
        ("x" * 300, None, r"File name too long; pass"),
        ("step.txt", _TRANSFORM, r"is not the name of a module; rename it"),
        ("my-step.py", _TRANSFORM, r"is not the name of a module; rename it"),
        ("class.py", _TRANSFORM, r"is not the name of a module; rename it"),
        ("json.py", _TRANSFORM, r"would hide the module 'json' in the function; rename it"),
        ("processor.py", _TRANSFORM, r"would hide the module 'processor' in the function"),
        ("botocore.py", _TRANSFORM, r"would hide the module 'botocore' in the function"),
        ("step.py", "def transform(:", r"is not Python: .*line 1.*; correct it"),
        ("step.py", "\0", r"is not Python: "),
        ("step.py", "", r"has no function of two arguments at its top level: add .def transform"),
        ("step.py", "def transform(reading): return reading", "has no function of two arguments"),
        ("step.py", f"async {_TRANSFORM}", "has no function of two arguments"),
        ("step.py", "class A:\n def transform(self, x): pass", "has no function of two arguments"),
        ("step.py", "raise SystemExit  # is not run", "has no function of two arguments"),
    ],
)
def test_a_file_that_is_no_step(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^transform='.*{message}"):
        _create(fresh_stack(), transform=str(file))


def test_the_name_of_the_file_is_the_functions_to_import(tmp_path: Path) -> None:
    file = tmp_path / "units.py"
    file.write_text(_TRANSFORM, encoding="utf-8")
    stack = fresh_stack()
    _create(stack, transform=str(file))
    assert _variables(template_of(stack))["TRANSFORM_MODULE"] == "units"
