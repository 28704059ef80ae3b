"""AWS Lambda: the function that stores telemetry, whose code is in this package."""

from __future__ import annotations

import ast
import atexit
import re
import shutil
import sys
import tempfile
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import processor
from iot_constructs._alarms import period
from iot_constructs._iam import grant_key
from iot_constructs._validation import is_token, validate_cannot_disable, validated
from iot_constructs.processing import StreamProcessor
from iot_constructs.processor.settings import VARIABLES, Settings
from iot_constructs.tables import TimeSeriesTable

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from iot_constructs._props import TelemetryProcessorProps

_HANDLER: Final = "processor.handler.handler"
_PACKAGE: Final = "processor"
_OLDEST_PYTHON: Final = 10
_TRANSFORM: Final = "def transform(reading, record): return reading"
_IN_THE_RUNTIME: Final = frozenset(
    {"awslambdaric", "boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"}
)
"""Packages of Lambda's Python runtime outside of the standard library: a file of that name hides the package."""


class TelemetryProcessor(StreamProcessor):
    """Stores telemetry in a table of readings and a table of device states: a StreamProcessor with its code.

    * Every reading goes to ``time_series_table``, once, also if it is delivered again; the newest one of each device to
      ``device_state_table``, which late data never overwrites.
    * What can never be stored goes to the DLQ topic with its payload and a reason; what fails for now is retried.
    * A record is a JSON object, an array of them, or several one after another, plain, gzip, or aggregated by the KPL:
      see the guide "Payload formats" (docs/guide/payloads.md). Each object is a reading and a separate item.
    * The device ID is the record's partition key, unless ``device_id_field`` is set. A TelemetryRule takes it from the
      topic, which the device's policy restricts.
    * The code is in this package and needs only Lambda's Python runtime: nothing is installed, built in Docker, or
      downloaded at synth.
    * The function may write items to the two tables and cannot get, query or scan them. BatchWriteItem, which it needs
      for the time series, can also delete
      (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html).

    Takes every argument of :class:`StreamProcessor` but ``function``, ``code`` and ``handler``.

    Args:
        stream: the stream to read, as for StreamProcessor.
        time_series_table: for every reading: a TimeSeriesTable, or a table with the partition key ``deviceId`` (String)
            and the sort key ``timestamp`` (Number).
        device_state_table: for the newest reading of each device: a DeviceStateTable, or a table with the partition key
            ``deviceId`` (String) and no sort key. One of the two tables can be left out.
        transform: the path of your Python file, for example ``str(Path(__file__).with_name("units.py"))``,
            with a function ``transform(reading, record)`` that returns the reading to store. See below.
        retention: how long the time series keeps a reading, from which ``ttl`` is set; by default that of the
            TimeSeriesTable, and 90 days for another table.
        timestamp_field: the member of a reading with its timestamp: a number of seconds, milliseconds, microseconds or
            nanoseconds since 1970, or an ISO 8601 string with a time zone.
        use_arrival_time: gives a reading without a timestamp the time at which the stream received its record. A
            message that a device sends twice is then two readings, and so is a record that is redriven through the
            stream. By default, a reading without a timestamp is rejected.
        device_id_field: the member of a reading with its device ID: a string of 1 to 2,048 bytes in UTF-8, or a whole
            number. For a stream whose partition keys are not device IDs: AWS IoT Greengrass stream manager and Fluent
            Bit use random ones. Anyone who can write to the stream can then write as any device.
        device_state_interval: the maximum lag of the state of a device behind its newest reading, 1 second to 24
            hours; by default it is the newest reading. See below.
        **props: of StreamProcessor. ``environment`` adds variables to those of the processor.

    **Your own step.** ``transform`` maps or enriches each reading before it is validated, so it can also set
    the ``timestamp``::

        def transform(reading, record):
            if "temperature" not in reading:
                raise ValueError("no temperature")
            return {**reading, "celsius": (reading["temperature"] - 32) / Decimal("1.8")}

    * ``reading`` is the payload; its numbers are ``decimal.Decimal``. ``record`` has ``partitionKey`` (the device ID),
      ``approximateArrivalTimestamp``, ``sequenceNumber``, ``shardId`` and ``streamArn``. The last three are None for
      a record that never reached the stream, such as a redriven IoT rule error.
    * Return a dict of JSON values; ``int`` and ``float`` are stored exactly as Python shows them.
    * A ValueError rejects the record: it goes to the DLQ with the reason ``rejected-by-transform`` and your text. So
      does a result that is not a dict.
    * Any other exception counts as a bug in your code: Lambda retries the record until it discards it, so that a
      corrected version can store it.
    * It runs again whenever the record is delivered again. Return the same for the same reading and record: the key
      of an item comes from its content, so a clock or a random number in it stores the reading twice.
    * It runs for every reading of a batch, within the timeout of the function: call nothing slow in it.
    * It is one file; it can import the standard library, boto3, and the packages of your ``layers``.

    **Fewer writes of the state.** With ``device_state_interval``, the function reads the timestamps of the states, 100
    in a call, and writes only those that are older than the reading by more than the interval. A read costs a tenth of
    a write
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html), so the interval saves
    money if it is longer than the pause between two readings of a device. It changes the following:

    * The state still never goes back, and the time series has every reading. But the state of a device that stops
      sending remains older than its last reading, by up to the interval.
    * If a read fails, or the function has no time for it, the states are written.
    * The function may then get the items of ``device_state_table``.

    Raises:
        ValueError: as StreamProcessor; a variable of the processor in ``environment``; a retention without a
            ``time_series_table``, or below one day; a field that is an empty string, a token, or the other field;
            ``device_state_interval`` without a ``device_state_table``, or out of range; ``transform`` is no such file;
            a log level above INFO; ``report_batch_item_failures=False``; a runtime
            other than Python 3.10 or later.
        TypeError: neither table is given; ``function``, ``code`` or ``handler`` is; a value has the wrong type.

    Example::

        from iot_constructs import DeviceStateTable, MonitoredStream, TelemetryProcessor, TimeSeriesTable

        processor = TelemetryProcessor(
            stack,
            "Telemetry",
            stream=MonitoredStream(stack, "Stream"),
            time_series_table=TimeSeriesTable(stack, "Readings"),
            device_state_table=DeviceStateTable(stack, "Devices"),
        )
    """

    @validated(
        lambda_.EventSourceMapping,
        lambda_.Function,
        rename={"async_retry_attempts": "retry_attempts", "async_on_failure": "on_failure"},
        extends=StreamProcessor,
    )
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stream: kinesis.IStream | kinesis.IStreamConsumer,
        time_series_table: dynamodb.ITableV2 | None = None,
        device_state_table: dynamodb.ITableV2 | None = None,
        retention: cdk.Duration | None = None,
        timestamp_field: str = Settings.timestamp_field,
        use_arrival_time: bool = False,
        device_id_field: str | None = None,
        transform: str | None = None,
        device_state_interval: cdk.Duration | None = None,
        **props: Unpack[TelemetryProcessorProps],
    ) -> None:
        for keyword in ("function", "code", "handler"):
            if keyword in props:
                raise TypeError(
                    f"TelemetryProcessor() takes no {keyword}=: it has its code; pass {keyword} to a StreamProcessor"
                )
        if time_series_table is None and device_state_table is None:
            raise TypeError(
                "TelemetryProcessor() needs time_series_table= or device_state_table=: pass a TimeSeriesTable or a "
                "DeviceStateTable"
            )
        environment = _telemetry_environment(time_series_table, device_state_table, retention)
        environment |= _interval_environment(device_state_table, device_state_interval)
        environment |= _payload_environment(timestamp_field, use_arrival_time, device_id_field)
        if transform is not None:
            environment["TRANSFORM_MODULE"] = _validate_transform(Path(transform))
        given = props.get("environment")
        own = given if given is not None else {}
        for name in sorted(VARIABLES & own.keys()):
            raise ValueError(
                f"environment: {name} is a variable of the TelemetryProcessor; remove it"
            )
        props["environment"] = {**environment, **own}
        props["code"], props["handler"] = _processor_code(transform), _HANDLER
        validate_cannot_disable(
            "report_batch_item_failures",
            props.get("report_batch_item_failures"),
            "Lambda would take a record that the code reports as failed for stored",
        )
        _validate_runtime(props.get("runtime"))
        _validate_log_level(
            props.get("application_log_level"), props.get("application_log_level_v2")
        )
        super().__init__(scope, id, stream=stream, **props)
        self.counts_device_id_mismatches: bool = device_id_field is None
        """Whether a record with another device ID in its payload than its partition key counts as a mismatch."""
        # Only what the code calls: grant_write_data would also allow DeleteItem and UpdateItem. To the function and not
        # to this construct, whose principal CDK would ask Python for.
        if time_series_table is not None:
            time_series_table.grant(self.function, "dynamodb:BatchWriteItem", "dynamodb:PutItem")
        if device_state_table is not None:
            actions = ["dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"]
            if device_state_interval is not None:
                actions.append("dynamodb:BatchGetItem")
            device_state_table.grant(self.function, *actions)
        # Also to write: amazondynamodb/latest/developerguide/encryption.usagenotes.html, aws-cdk #10010.
        for table in (time_series_table, device_state_table):
            if table is not None:
                grant_key(table.encryption_key, self.function, "kms:Decrypt")

    def metric_device_id_mismatches(self) -> cloudwatch.Metric:
        """Records with a reading whose ``deviceId`` is not the partition key, as a sum."""
        return cloudwatch.Metric(
            namespace=processor.NAMESPACE,
            metric_name=processor.DEVICE_ID_MISMATCHES,
            dimensions_map={"FunctionName": self.function.function_name},
            statistic="Sum",
            period=period(),
        )


def _validate_runtime(runtime: lambda_.Runtime | None) -> None:
    python = runtime and re.fullmatch(r"python3\.(\d+)", runtime.name)
    if runtime is not None and (not python or int(python[1]) < _OLDEST_PYTHON):
        raise ValueError(
            f"runtime={runtime.name!r}: the code needs Python 3.{_OLDEST_PYTHON} or later; remove runtime"
        )


def _validate_log_level(level: str | None, level_v2: lambda_.ApplicationLogLevel | None) -> None:
    name = level_v2.name if level_v2 is not None else level
    if name in ("WARN", "ERROR", "FATAL"):
        raise ValueError(
            f"application_log_level={name}: Lambda would drop the processor's metrics, which are log lines of level "
            "INFO; remove application_log_level "
            "(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html)"
        )


def _telemetry_environment(
    time_series: dynamodb.ITableV2 | None,
    device_state: dynamodb.ITableV2 | None,
    retention: cdk.Duration | None,
) -> dict[str, str]:
    """The variables that ``processor.settings`` reads."""
    environment = {}
    if device_state is not None:
        environment["DEVICE_STATE_TABLE_NAME"] = device_state.table_name
    if time_series is not None:
        if retention is None and isinstance(time_series, TimeSeriesTable):
            retention = time_series.retention
        if retention is None:
            retention = cdk.Duration.days(defaults.TIME_SERIES_RETENTION_DAYS)
        environment["TIME_SERIES_TABLE_NAME"] = time_series.table_name
        environment["TIME_SERIES_RETENTION_SECONDS"] = cdk.Tokenization.stringify_number(
            retention.to_seconds()
        )
    elif retention is not None:
        raise ValueError(
            "retention: a DeviceStateTable keeps the state of each device; remove retention, or pass time_series_table"
        )
    return environment


def _interval_environment(
    device_state: dynamodb.ITableV2 | None, interval: cdk.Duration | None
) -> dict[str, str]:
    """The variable that ``processor.settings`` reads."""
    if interval is None:
        return {}
    if device_state is None:
        raise ValueError(
            "device_state_interval: without a device_state_table there are no states; remove device_state_interval, or "
            "pass device_state_table"
        )
    seconds = cdk.Tokenization.stringify_number(interval.to_seconds())
    return {"DEVICE_STATE_INTERVAL_SECONDS": seconds}


def _payload_environment(
    timestamp_field: str, use_arrival_time: bool, device_id_field: str | None
) -> dict[str, str]:
    """The variables that ``processor.settings`` reads, of the settings that are not the defaults."""
    for name, field in (("timestamp_field", timestamp_field), ("device_id_field", device_id_field)):
        if field == "" or (field is not None and is_token(field)):
            raise ValueError(
                f"{name}={field!r}: it must be known at synth; pass the name of a member of a reading"
            )
    if timestamp_field == device_id_field:
        raise ValueError(
            f"device_id_field={device_id_field!r}: it is the timestamp_field; pass another member of a reading"
        )
    environment = {}
    if timestamp_field != Settings.timestamp_field:
        environment["TIMESTAMP_FIELD"] = timestamp_field
    if use_arrival_time:
        environment["USE_ARRIVAL_TIME"] = "true"
    if device_id_field is not None:
        environment["DEVICE_ID_FIELD"] = device_id_field
    return environment


def _validate_transform(file: Path) -> str:
    """The name of the module. The file is not imported: it may need what only the function has."""
    given, name = f"transform={str(file)!r}", file.stem
    try:
        statements = ast.parse(file.read_bytes(), file.name).body
    except OSError as error:
        raise ValueError(
            f"{given}: {error.strerror}; pass the path of a Python file with {_TRANSFORM!r}"
        ) from None
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{given} is not Python: {error}; correct it") from None
    if file.suffix != ".py" or not name.isidentifier() or iskeyword(name):
        raise ValueError(
            f"{given} is not the name of a module; rename it, for example to 'step.py'"
        )
    if name == _PACKAGE or name in _IN_THE_RUNTIME or name in sys.stdlib_module_names:
        raise ValueError(
            f"{given} would hide the module {name!r} in the function; rename it, for example to 'step.py'"
        )
    if not any(_is_transform(one) for one in statements):
        raise ValueError(
            f"{given} has no function of two arguments at its top level: add {_TRANSFORM!r}"
        )
    return name


def _is_transform(statement: ast.stmt) -> bool:
    match statement:
        case ast.FunctionDef(name="transform", args=ast.arguments(args=[_, _])):
            return True
    return False


def _processor_code(transform: str | None) -> lambda_.Code:
    """The asset: the folder ``processor`` of this package, and the user's file. Its hash is of names and content."""
    package = Path(__file__).parent / _PACKAGE
    if transform is None:
        return lambda_.Code.from_asset(
            str(package.parent),
            exclude=["/*", f"!/{_PACKAGE}", "__pycache__"],
            ignore_mode=cdk.IgnoreMode.GIT,
        )
    # CDK copies it into the cloud assembly.
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(package, folder / _PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / Path(transform).name).write_bytes(Path(transform).read_bytes())
    return lambda_.Code.from_asset(str(folder))
