"""AWS Lambda: the function that stores telemetry, whose code is in this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._validation import validated
from iot_constructs.processing import StreamProcessor
from iot_constructs.tables import TimeSeriesTable

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from iot_constructs._props import TelemetryProcessorProps

_HANDLER: Final = "processor.handler.handler"


class TelemetryProcessor(StreamProcessor):
    """Stores telemetry in a table of readings and a table of device states: a StreamProcessor with its code.

    * Every reading goes to ``time_series_table``, once, also if it is delivered again; the newest one of each device to
      ``device_state_table``, which late data never overwrites.
    * What can never be stored goes to the DLQ topic with its payload and a reason; what fails for now is retried.
    * The device id is the record's partition key. A TelemetryRule takes it from the topic, which the device's policy
      restricts.
    * The code is in this package and needs only Lambda's Python runtime: nothing is installed, built in Docker, or
      downloaded at synth.
    * The function may write items to the two tables, and nothing else: it can neither read nor delete.

    Takes every argument of :class:`StreamProcessor` but ``function``, ``code`` and ``handler``.

    Args:
        stream: the stream to read, as for StreamProcessor.
        time_series_table: for every reading: a TimeSeriesTable, or a table with the partition key ``deviceId`` (String)
            and the sort key ``timestamp`` (Number).
        device_state_table: for the newest reading of each device: a DeviceStateTable, or a table with the partition key
            ``deviceId`` (String) and no sort key. One of the two tables can be left out.
        retention: how long the time series keeps a reading, from which ``ttl`` is set; by default that of the
            TimeSeriesTable, and 365 days for another table.
        **props: of StreamProcessor. ``environment`` adds variables to those of the processor.

    Raises:
        ValueError: as StreamProcessor; a variable of the processor in ``environment``; a retention without a
            ``time_series_table``, or below one day.
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
        own = props.get("environment") or {}
        for name in sorted(environment.keys() & own.keys()):
            raise ValueError(
                f"environment: {name} is a variable of the TelemetryProcessor; remove it"
            )
        props["environment"] = {**environment, **own}
        props["code"], props["handler"] = _processor_code(), _HANDLER
        super().__init__(scope, id, stream=stream, **props)
        # Only what the code does: grant_write_data would also allow deleting.
        if time_series_table is not None:
            time_series_table.grant(self, "dynamodb:BatchWriteItem", "dynamodb:PutItem")
        if device_state_table is not None:
            device_state_table.grant(self, "dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate")


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
        environment["TIME_SERIES_RETENTION_SECONDS"] = str(round(retention.to_seconds()))
    elif retention is not None:
        raise ValueError(
            "retention: a DeviceStateTable keeps the state of each device; remove retention, or pass time_series_table"
        )
    return environment


def _processor_code() -> lambda_.Code:
    """The asset: the folder ``processor`` of this package. Its hash is of the files' names and content."""
    return lambda_.Code.from_asset(
        str(Path(__file__).parent),
        exclude=["/*", "!/processor", "__pycache__"],
        ignore_mode=cdk.IgnoreMode.GIT,
    )
