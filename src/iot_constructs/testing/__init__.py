"""Simulates a Kinesis stream, its Lambda function, and AWS services in one process, in virtual time.

`simulate` tests any handler of a Kinesis stream. It needs ``pip install 'iot-constructs[testing]'``.
"""

from importlib.util import find_spec

if missing := [
    name for name in ("boto3", "greenlet", "moto", "time_machine") if not find_spec(name)
]:
    raise ModuleNotFoundError(
        f"iot_constructs.testing needs {', '.join(missing)}: pip install 'iot-constructs[testing]'"
    )

from iot_constructs.testing.effects import Effects
from iot_constructs.testing.faults import Kind, Rate
from iot_constructs.testing.report import Finding, Report, Run
from iot_constructs.testing.simulation import simulate

__all__ = ["Effects", "Finding", "Kind", "Rate", "Report", "Run", "simulate"]
